"""Ask an OpenAI-compatible endpoint and never pay twice: chat client, batch jobs, ledger, cost."""

from capscope.endpoint.asking import Asker, Question, Tally
from capscope.endpoint.batch import BatchClient, BatchStatus, CollectedBatches
from capscope.endpoint.batch_book import BatchBook
from capscope.endpoint.capability import Capability, find_capability
from capscope.endpoint.client import ChatClient, EndpointSettings
from capscope.endpoint.cost import Budget, Prices, find_prices
from capscope.endpoint.ledger import Entry, Ledger, answered_keys, call_key
from capscope.endpoint.messages import ChatReply, ChatRequest, Messages, Sampling, TokenChoice, Usage

__all__ = [
    "Asker",
    "BatchBook",
    "BatchClient",
    "BatchStatus",
    "Budget",
    "Capability",
    "ChatClient",
    "ChatReply",
    "ChatRequest",
    "CollectedBatches",
    "EndpointSettings",
    "Entry",
    "Ledger",
    "Messages",
    "Prices",
    "Question",
    "Sampling",
    "Tally",
    "TokenChoice",
    "Usage",
    "answered_keys",
    "call_key",
    "find_capability",
    "find_prices",
]
