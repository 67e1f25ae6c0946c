"""Settings of a run, and its plan: how many questions, tokens and dollars it would take, before anything is asked."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd

from capscope.battery.adaptive.questions import BatteryQuestion, battery_questions
from capscope.battery.banks.bank import Bank
from capscope.battery.banks.sources import load_bank
from capscope.data import ArrowTable, Study, as_frame, read_items
from capscope.endpoint import (
    ASK_ABOVE_USD,
    EndpointSettings,
    Messages,
    Prices,
    Sampling,
    Usage,
    answered_keys,
    call_key,
    cost_line,
    estimate_tokens,
    find_prices,
    refuse_unconfirmed,
)
from capscope.errors import InputError, counted

LEDGER_NAME = "replies.sqlite"
"""Name of the ledger in a run's folder."""
REPLY_TOKENS = 200
"""Estimated tokens of one reply."""


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """Stop rules of a run, and how the endpoint is asked."""

    size: int = 100
    """Largest number of items to ask."""
    width: float | None = None
    """Stop when the interval of the score is at most this wide, in shares of 1."""
    ability_sd: float | None = None
    """Stop when every ability's posterior standard deviation is at most this."""
    benchmarks: tuple[str, ...] = ()
    """Benchmarks whose mean score is wanted; all by default."""
    level: float = 0.95
    """Nominal coverage of the intervals."""
    seed: int = 0
    """Seed of the draws."""
    endpoint: EndpointSettings | str | None = None
    """Address of the endpoint, or all its settings; by default OPENAI_BASE_URL, else OpenAI."""
    grader: str = "auto"
    """How replies are graded: one of `KINDS`."""
    judge: str = ""
    """Name of the model that grades open answers, at the same endpoint."""
    temperature: float = 0.0
    """Sampling temperature of the model under test."""
    max_tokens: int = 2000
    """Largest number of tokens of a reply."""
    usd_in: float | None = None
    """Price of a million tokens read, in US dollars; by default from genai-prices, where installed."""
    usd_out: float | None = None
    """Price of a million tokens written, in US dollars."""
    max_usd: float | None = None
    """Largest amount that this run may spend, judge included, in US dollars."""
    max_usd_total: float | None = None
    """Largest amount that all runs on the same ledger may spend together, in US dollars."""
    max_failures: int = 20
    """Failures in a row of one cause, or replies from the start that cannot be graded, that end the run."""

    def endpoint_settings(self) -> EndpointSettings:
        """Return all settings of the endpoint; questions are asked one by one.

        Raises:
            EndpointError: The address or the key cannot be used.
        """
        if isinstance(self.endpoint, EndpointSettings):
            return self.endpoint
        return EndpointSettings.from_environment(self.endpoint, concurrency=1)

    def sampling(self, model: str, *, judge: bool = False) -> Sampling:
        """Return how a model is to answer; a judge always at temperature 0.

        Args:
            model: Model to ask, by the name that its endpoint knows.
            judge: Whether the model grades replies.
        """
        return Sampling(model, 0.0 if judge else self.temperature, self.max_tokens)

    def prices(self, model: str) -> Prices | None:
        """Return the prices of the model under test; None where unknown."""
        return find_prices(model, self.usd_in, self.usd_out)

    def judge_prices(self, model: str) -> Prices | None:
        """Return the prices of the judge: its own where known, else those of the model under test."""
        own = find_prices(self.judge, None, None) if self.judge else None
        return own or self.prices(model)


@dataclass(frozen=True)
class RunPlan:
    """Size and price of a run, at most."""

    model: str
    """The model under test."""
    items: int
    """Items that can be asked."""
    questions: int
    """Largest number of questions, those of the judge included."""
    cached: int
    """Questions whose reply is in the ledger; a run uses those that it draws again."""
    prompt_tokens: int
    """Tokens to be read, estimated as a quarter of the characters."""
    completion_tokens: int
    """Tokens to be written, estimated."""
    usd: float | None
    """Estimated cost in US dollars; None where the price is unknown."""
    price_source: str
    """Where prices come from; empty where unknown."""

    def as_dict(self) -> dict[str, object]:
        """Return plain values for JSON."""
        return asdict(self)

    def as_text(self) -> str:
        """Return lines to read."""
        return "\n".join(
            [
                f"model      {self.model}",
                f"items      {self.items} can be asked",
                f"questions  at most {self.questions}; {counted(self.cached, 'reply', 'are')} in the ledger",
                f"tokens     about {self.prompt_tokens} in, {self.completion_tokens} out",
                f"cost       {cost_line(self.usd, self.price_source)}",
            ]
        )

    def confirm(self, confirmed: bool, above: float = ASK_ABOVE_USD) -> None:
        """Require confirmation of an expensive run; a run of unknown price needs none.

        Args:
            confirmed: Whether the user has confirmed.
            above: US dollars above which confirmation is required.

        Raises:
            ConfirmationNeeded: The estimate exceeds `above` without confirmation.
        """
        refuse_unconfirmed(self.usd, f"up to {counted(self.questions, 'question')}", confirmed=confirmed, above=above)


def plan_battery(
    bank: Bank | str | Path,
    items: Study | pd.DataFrame | ArrowTable | str | Path,
    *,
    model: str,
    out: str | Path,
    settings: RunSettings | None = None,
) -> RunPlan:
    """Estimate what `run_battery` would ask and cost at most; nothing is asked or written.

    Args:
        bank: A bank, or its folder.
        items: Texts and right answers; see `run_battery`.
        model: Name of the model at the endpoint.
        out: Folder of the run, whose ledger may hold replies.
        settings: Stop rules, judge, prices.

    Returns:
        Largest numbers of questions and tokens, and US dollars where prices are known.

    Raises:
        InputError: The bank or the items cannot be read, or open answers have no judge.
    """
    settings = settings or RunSettings()
    return plan_questions(askable(load_bank(bank), items, settings), model=model, out=out, settings=settings)


def plan_questions(
    questions: Sequence[BatteryQuestion], *, model: str, out: str | Path, settings: RunSettings
) -> RunPlan:
    """Estimate what asking questions would take and cost at most, the judge included; nothing is asked or written.

    Questions whose reply is in the ledger cost nothing. Where only some of the others will be asked, they count by
    their mean.

    Args:
        questions: Questions that can be asked; at most `settings.size` of them are.
        model: Name of the model at the endpoint.
        out: Folder of the run, whose ledger may hold replies.
        settings: Endpoint, judge, prices, number of items.

    Returns:
        Questions, tokens and US dollars.

    Raises:
        EndpointError: There is a ledger, and the address or the key of the endpoint cannot be used.
        InputError: The ledger cannot be read.
    """
    new = _unanswered(questions, model, Path(out) / LEDGER_NAME, settings)
    cached, asked = len(questions) - len(new), min(settings.size, len(questions))
    to_ask, mean_over = max(asked - cached, 0), max(len(new), 1)
    read = sum(estimate_tokens(question.messages) for question in new) / mean_over
    judged = sum(question.kind == "judge" for question in new) / mean_over
    judged_of_all = sum(question.kind == "judge" for question in questions) / len(questions)
    written = min(REPLY_TOKENS, settings.max_tokens)
    model_usage = Usage(round(to_ask * read), to_ask * written)
    # a judge reads the question, the right answer and the reply
    judge_usage = Usage(round(to_ask * judged * (2 * read + written)), round(to_ask * judged * written))
    prices, judge_prices = settings.prices(model), settings.judge_prices(model)
    known = prices is not None and (judge_prices is not None or not judged)
    usd = prices.of(model_usage) + (judge_prices.of(judge_usage) if judge_prices else 0.0) if known and prices else None
    usage = model_usage.plus(judge_usage)
    source = prices.source if prices else ""
    total = asked + round(asked * judged_of_all)
    return RunPlan(model, len(questions), total, cached, usage.prompt_tokens, usage.completion_tokens, usd, source)


def _unanswered(
    questions: Sequence[BatteryQuestion], model: str, ledger: Path, settings: RunSettings
) -> list[BatteryQuestion]:
    """Return the questions whose reply is not in the ledger; without a ledger, no address or key is needed."""
    answered = answered_keys(ledger)
    if not answered:
        return list(questions)
    url, sampling = settings.endpoint_settings().shown_url, settings.sampling(model)
    return [one for one in questions if question_key("model", url, sampling, one.messages) not in answered]


def askable(
    bank: Bank, items: Study | pd.DataFrame | ArrowTable | str | Path, settings: RunSettings
) -> list[BatteryQuestion]:
    """Return the questions for the bank's items of the chosen benchmarks.

    Args:
        bank: The item bank.
        items: A study or a table of items with their texts, or its path.
        settings: Settings of the run: benchmarks, grader and judge.

    Raises:
        InputError: The items cannot be read, none can be asked, or open answers have no judge.
    """
    items = as_frame(items)
    table = items if isinstance(items, pd.DataFrame) else _study(items).require("items")
    wanted = tuple(bank.items[place] for place in bank.of_benchmarks(settings.benchmarks))
    name = "items" if isinstance(items, pd.DataFrame) else items.name if isinstance(items, Study) else str(items)
    questions = battery_questions(table, wanted, settings.grader, name)
    if not settings.judge and any(question.kind == "judge" for question in questions):
        raise InputError("grader 'judge' needs a model that judges; name it with --judge")
    return questions


def question_key(role: str, url: str, sampling: Sampling, messages: Messages) -> str:
    """Return the key of a question in the ledger: the hash of everything that decides its reply.

    Args:
        role: Who is asked: the model, or the judge.
        url: Address of the endpoint.
        sampling: Model, temperature and limits.
        messages: What is asked.
    """
    return call_key({"kind": f"battery {role}", "url": url} | vars(sampling) | {"m": messages})


def _study(items: Study | str | Path) -> Study:
    return items if isinstance(items, Study) else read_items(Path(items))
