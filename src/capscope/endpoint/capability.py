"""What an endpoint can do, found out once by asking it and recorded in the ledger.

Some servers answer 500 to a JSON schema and others ignore it without a word, so that being accepted proves nothing: the
probe never mentions JSON schema in its words, and a form counts only if the reply obeys it.
"""

import json
from dataclasses import asdict, dataclass, replace
from typing import Any, cast, get_args

from capscope.endpoint.client import ChatClient
from capscope.endpoint.ledger import Ledger
from capscope.endpoint.messages import ChatReply, ChatRequest, Format, Sampling
from capscope.errors import EndpointError

PROBE_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"reasoning": {"type": "string"}, "level": {"type": "integer", "enum": [0, 1, 2, 3, 4, 5]}},
    "required": ["reasoning", "level"],
    "additionalProperties": False,
}
PROBES: dict[Format, str] = {
    "json_schema": "Name a fruit.",
    "json_object": "Name a fruit. Reply as a JSON object.",
    "text": "Name a fruit.",
}


@dataclass(frozen=True)
class Capability:
    """Which parameters an endpoint takes for one model."""

    format: Format = "json_schema"
    """Strongest reply form that the model was seen to obey."""
    limit_name: str = "max_tokens"
    """What the longest reply is called there; newer models want ``max_completion_tokens``."""
    temperature: bool = True
    """Whether a temperature may be set."""
    logprobs: bool = True
    """Whether log-probabilities may be asked for."""

    def body(self, request: ChatRequest, sampling: Sampling) -> dict[str, Any]:
        """Write the JSON body of one call, leaving out what the endpoint does not take."""
        body: dict[str, Any] = {
            "model": sampling.model,
            "messages": [{"role": role, "content": content} for role, content in request.messages],
        }
        if self.temperature and sampling.temperature is not None:
            body["temperature"] = sampling.temperature
        if sampling.max_tokens is not None:
            body[self.limit_name] = sampling.max_tokens
        if self.logprobs and sampling.top_logprobs:
            body |= {"logprobs": True, "top_logprobs": sampling.top_logprobs}
        if request.sample:
            body["seed"] = request.sample
        if request.schema is not None and self.format == "json_schema":
            schema = {"name": "reply", "strict": True, "schema": request.schema}
            body["response_format"] = {"type": "json_schema", "json_schema": schema}
        elif request.schema is not None and self.format == "json_object":
            body["response_format"] = {"type": "json_object"}
        return body


async def find_capability(client: ChatClient, ledger: Ledger, sampling: Sampling) -> Capability:
    """Return what the endpoint can do for a model: from the ledger, else by at most a few short calls.

    Raises:
        EndpointError: The endpoint answers no form of question.
    """
    name = f"capability {client.settings.shown_url} {sampling.model} logprobs={sampling.top_logprobs > 0}"
    known = ledger.fact(name)
    if known is not None:
        return Capability(**known)
    found = await _probe(client, sampling)
    ledger.record_fact(name, asdict(found))
    return found


async def _probe(client: ChatClient, sampling: Sampling) -> Capability:
    problem = ""
    capability = Capability()
    for form in get_args(Format):
        capability = replace(capability, format=cast(Format, form))
        capability, reply = await _try_form(client, capability, sampling)
        if not reply.problem and (form == "text" or obeys(reply.text, capability.format)):
            return capability
        problem = reply.problem or problem
    raise EndpointError(f"{client.settings.shown_url}: no form of question is answered ({problem}); check the model")


async def _try_form(client: ChatClient, capability: Capability, sampling: Sampling) -> tuple[Capability, ChatReply]:
    """Ask in one form, dropping parameters that the endpoint says it does not take."""
    request = ChatRequest((("user", PROBES[capability.format]),), PROBE_SCHEMA)
    reply = ChatReply(problem="not asked")
    for _ in range(4):
        reply = await client.ask(capability.body(request, sampling))
        narrower = _without_refused(capability, reply.problem)
        if narrower == capability:
            break
        capability = narrower
    return capability, reply


def _without_refused(capability: Capability, problem: str) -> Capability:
    """Drop the parameter that a refusal (HTTP 400 or 422) names."""
    if not problem.startswith(("HTTP 400", "HTTP 422")):
        return capability
    if "max_tokens" in problem and capability.limit_name == "max_tokens":
        return replace(capability, limit_name="max_completion_tokens")
    if "temperature" in problem and capability.temperature:
        return replace(capability, temperature=False)
    if "logprobs" in problem and capability.logprobs:
        return replace(capability, logprobs=False)
    return capability


def obeys(text: str, form: Format) -> bool:
    """Return whether a probe's reply has the form that was asked for."""
    try:
        found = json.loads(text)
    except ValueError:
        return False
    if not isinstance(found, dict):
        return False
    return form == "json_object" or (set(found) == {"reasoning", "level"} and found["level"] in range(6))
