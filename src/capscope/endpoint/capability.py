"""Capabilities of an endpoint, found by a short probe and recorded in the ledger.

Some servers answer 500 to a JSON schema and others ignore it, so that acceptance proves nothing: the text of the probe
does not mention the schema, and a form counts as supported only if the reply follows it. Refusals of later questions
(of a system message, of too many alternatives) reduce the capabilities further.
"""

import re
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, cast, get_args

from capscope.endpoint.answer_body import clean, read_json
from capscope.endpoint.client import ChatClient
from capscope.endpoint.cost import Budget, CallMeter, Prices
from capscope.endpoint.ledger import Ledger
from capscope.endpoint.messages import ChatReply, ChatRequest, Format, Messages, Sampling
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
PROBE_ATTEMPTS = 3
"""Most calls for one form of the probe."""
MOST_ALTERNATIVES = 20
FEWER_ALTERNATIVES = 5
REFUSED = ("HTTP 400", "HTTP 422")


@dataclass(frozen=True)
class Capability:
    """Which parameters an endpoint takes for one model."""

    format: Format = "json_schema"
    """Strongest reply form that the model was seen to obey."""
    limit_name: str = "max_tokens"
    """Name of the parameter for the longest reply; newer models use ``max_completion_tokens``."""
    temperature: bool = True
    """Whether a temperature may be set."""
    logprobs: bool = True
    """Whether log-probabilities may be asked for."""
    most_logprobs: int = MOST_ALTERNATIVES
    """Most alternatives per token that may be asked for."""
    system: bool = True
    """Whether messages may have the role ``system``; else its text goes into the user's message."""

    def body(self, request: ChatRequest, sampling: Sampling) -> dict[str, Any]:
        """Write the JSON body of one call, leaving out what the endpoint does not take.

        Args:
            request: Messages, schema and number of the sample.
            sampling: Model, temperature and limits.

        Returns:
            Plain values to send as JSON.
        """
        messages = request.messages if self.system else _without_system(request.messages)
        body: dict[str, Any] = {
            "model": sampling.model,
            "messages": [{"role": role, "content": clean(content)} for role, content in messages],
        }
        if self.temperature and sampling.temperature is not None:
            body["temperature"] = sampling.temperature
        if sampling.max_tokens is not None:
            body[self.limit_name] = sampling.max_tokens
        if self.logprobs and sampling.top_logprobs:
            body |= {"logprobs": True, "top_logprobs": min(sampling.top_logprobs, self.most_logprobs)}
        if request.sample:
            body["seed"] = request.sample
        if request.schema is not None and self.format == "json_schema":
            schema = {"name": "reply", "strict": True, "schema": request.schema}
            body["response_format"] = {"type": "json_schema", "json_schema": schema}
        elif request.schema is not None and self.format == "json_object":
            body["response_format"] = {"type": "json_object"}
        return body

    def without_refused(self, problem: str) -> "Capability":
        """Return the capability without the parameter that a refusal (HTTP 400 or 422) names; itself without one."""
        if not problem.startswith(REFUSED):
            return self
        if "max_tokens" in problem and self.limit_name == "max_tokens":
            return replace(self, limit_name="max_completion_tokens")
        if "temperature" in problem and self.temperature:
            return replace(self, temperature=False)
        if "logprobs" in problem and self.logprobs:
            fewer = self._fewer_logprobs(problem)
            return replace(self, most_logprobs=fewer) if fewer else replace(self, logprobs=False)
        if self.system and re.search(r"system (?:role|message|prompt|instruction)|role.{0,20}system", problem, re.I):
            return replace(self, system=False)
        return self

    def _fewer_logprobs(self, problem: str) -> int:
        """Return the number of alternatives that a refusal allows; 0 where it allows none, or 5 were refused."""
        if "top_logprobs" not in problem:
            return 0
        named = [int(number) for number in re.findall(r"\b\d{1,3}\b", problem.split(":", 1)[-1])]
        smaller = [number for number in named if 0 < number < self.most_logprobs]
        if smaller:
            return max(smaller)
        return FEWER_ALTERNATIVES if named and self.most_logprobs > FEWER_ALTERNATIVES else 0


def fact_name(client: ChatClient, sampling: Sampling) -> str:
    """Return the name under which the ledger keeps the capability for a model.

    Args:
        client: Client of the endpoint.
        sampling: The model and its settings.
    """
    return f"capability {client.settings.shown_url} {sampling.model} logprobs={sampling.top_logprobs > 0}"


def record_capability(client: ChatClient, ledger: Ledger, sampling: Sampling, capability: Capability) -> None:
    """Store the capabilities of an endpoint in the ledger.

    Args:
        client: Client of the endpoint.
        ledger: Where capabilities are kept.
        sampling: The model that was probed, and its settings.
        capability: What the probe found.
    """
    ledger.record_fact(fact_name(client, sampling), asdict(capability))


async def find_capability(
    client: ChatClient, ledger: Ledger, sampling: Sampling, meter: CallMeter | None = None
) -> Capability | None:
    """Return the capabilities of an endpoint for a model: from the ledger, else by a few short calls.

    Args:
        client: The endpoint.
        ledger: Where capabilities are kept; what the probe costs is kept there too.
        sampling: The model and how it answers.
        meter: Counts what the probe costs.

    Returns:
        The capability; None where the budget has no room for the probe.

    Raises:
        EndpointError: The endpoint answers no form of question.
    """
    known = ledger.fact(fact_name(client, sampling))
    if known is not None:
        names = {field.name for field in fields(Capability)}
        return Capability(**{name: value for name, value in known.items() if name in names})
    meter = meter or probe_meter(sampling)
    try:
        capability = await _probe(client, sampling, meter)
    finally:
        if meter.usd:
            ledger.record_cost(fact_name(client, sampling), sampling.model, meter.usd)
    if capability is not None:
        record_capability(client, ledger, sampling, capability)
    return capability


def probe_meter(sampling: Sampling, prices: Prices | None = None, budget: Budget | None = None) -> CallMeter:
    """Return a meter for the probe.

    Args:
        sampling: The model and how it answers.
        prices: Its prices; None where unknown.
        budget: Where costs are counted; by default one without a limit.
    """
    return CallMeter((("user", PROBES["json_object"]),), sampling.max_tokens, prices=prices, budget=budget)


async def _probe(client: ChatClient, sampling: Sampling, meter: CallMeter) -> Capability | None:
    problem = ""
    capability = Capability()
    for form in get_args(Format):
        capability = replace(capability, format=cast(Format, form))
        capability, reply = await _try_form(client, capability, sampling, meter)
        if meter.refused:
            return None
        if not reply.problem and (form == "text" or obeys(reply.text, capability.format)):
            return capability
        # A reply cut by its own length still shows that the endpoint answers.
        if form == "text" and reply.final and not reply.problem.startswith("no answer"):
            return capability
        problem = reply.problem or problem
        if _concerns_every_form(reply.problem):
            break
    raise EndpointError(f"{client.settings.shown_url}: {client.with_hint(problem)}")


def _concerns_every_form(problem: str) -> bool:
    """Return whether a refusal has nothing to do with the form of the question."""
    if problem.startswith("no answer"):
        return True
    code = re.match(r"HTTP (\d+)", problem)
    if code is None:
        return False
    if code[1] in ("400", "422"):
        return re.search(r"endpoint|not found|no such|unknown path|route", problem, re.IGNORECASE) is not None
    return int(code[1]) < 500


async def _try_form(
    client: ChatClient, capability: Capability, sampling: Sampling, meter: CallMeter
) -> tuple[Capability, ChatReply]:
    """Ask in one form, dropping parameters that the endpoint says it does not take."""
    request = ChatRequest((("user", PROBES[capability.format]),), PROBE_SCHEMA)
    reply = ChatReply(problem="not asked")
    for _ in range(6):
        reply = await client.ask(capability.body(request, sampling), meter, PROBE_ATTEMPTS)
        narrower = capability.without_refused(reply.problem)
        if narrower == capability:
            break
        capability = narrower
    return capability, reply


def _without_system(messages: Messages) -> Messages:
    """Put the text of system messages before that of the first user message."""
    head = "\n\n".join(content for role, content in messages if role == "system")
    rest = [(role, content) for role, content in messages if role != "system"]
    if not head or not rest:
        return messages if not head else (("user", head),)
    first_role, first = rest[0]
    return ((first_role, f"{head}\n\n{first}"), *rest[1:])


def obeys(text: str, form: Format) -> bool:
    """Return whether a probe's reply has the form that was asked for.

    Args:
        text: Reply to the probe.
        form: Form that was asked for.
    """
    document = read_json(text)
    if not isinstance(document, dict):
        return False
    return form == "json_object" or (set(document) == {"reasoning", "level"} and document["level"] in range(6))
