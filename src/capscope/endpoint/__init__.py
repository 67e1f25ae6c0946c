"""Ask an OpenAI-compatible endpoint and never pay twice: chat client, batch jobs, ledger, cost."""

from capscope.endpoint.asking import Asker, Question, RunLimits, Tally
from capscope.endpoint.batch import BatchClient, BatchStatus, CollectedBatches
from capscope.endpoint.batch_book import BatchBook
from capscope.endpoint.capability import Capability, find_capability, probe_meter
from capscope.endpoint.client import ChatClient
from capscope.endpoint.cost import Budget, Prices, estimate_tokens, find_prices, largest_tokens
from capscope.endpoint.ledger import Entry, Ledger, answered_keys, call_key, refuse_place
from capscope.endpoint.messages import (
    ChatReply,
    ChatRequest,
    Messages,
    Sampling,
    TokenChoice,
    Usage,
    is_cut,
    is_whole,
)
from capscope.endpoint.settings import EndpointSettings

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
    "RunLimits",
    "Sampling",
    "Tally",
    "TokenChoice",
    "Usage",
    "answered_keys",
    "call_key",
    "estimate_tokens",
    "find_capability",
    "find_prices",
    "is_cut",
    "is_whole",
    "largest_tokens",
    "probe_meter",
    "refuse_place",
]
