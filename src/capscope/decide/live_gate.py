"""Live gate: draw items, ask the candidate at an endpoint, test at a few looks, stop at the first decision."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from capscope import files
from capscope.battery import (
    LEDGER_NAME,
    BatteryQuestion,
    EndpointAnswerer,
    RunPlan,
    RunSettings,
    battery_questions,
    plan_questions,
)
from capscope.data import Study, with_named_agents
from capscope.decide.gate_settings import GateSettings
from capscope.decide.release_gate import GateResult, gate
from capscope.decide.version_answers import VersionAnswers, planned_draw
from capscope.errors import BudgetReached, EndpointError, InputError, counted, first_few

MOST_UNSCORED = 0.2
"""Largest share of unscored replies; with more, missing scores could change the verdict."""

FEWEST = 10
"""Fewest answers at each look."""


@dataclass(frozen=True)
class LiveGate:
    """Result of a live gate."""

    result: GateResult
    """The decision at the last look."""
    asked: int
    """Number of questions asked."""
    problems: dict[str, str] = field(default_factory=dict[str, str])
    """Items whose reply could not be scored, with the reason; they count as missing, not as wrong."""
    usd: float | None = None
    """Dollars spent in this run; None where prices are unknown."""
    unmetered: int = 0
    """Calls whose usage the endpoint did not state; `usd` holds an estimate for them."""

    def as_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return self.result.as_dict() | {"asked": self.asked, "unscored": len(self.problems), "usd": self.usd}

    def as_text(self) -> str:
        """Return lines on the run itself: questions, replies without a score and why, cost."""
        lines = [f"{counted(self.asked, 'question')} asked, {counted(len(self.problems), 'reply')} not scored"]
        lines += [f"{count} x {problem}" for problem, count in Counter(self.problems.values()).most_common(3)]
        lines += [] if self.usd is None else [f"cost ${self.usd:.4f}{_estimated_calls(self.unmetered)}"]
        return "\n".join(lines)


@dataclass(frozen=True)
class LivePlan:
    """Questions of a live gate in their order, with an upper bound of the cost."""

    answers: VersionAnswers
    """Answers of the baseline and of past models to the suite."""
    questions: tuple[BatteryQuestion, ...]
    """Drawn items in random order."""
    chance: pd.Series
    """Probability of each item of the suite to be drawn, by item id."""
    cost: RunPlan
    """Upper bounds of size and cost of the run: with the judge, without replies that are in the ledger."""

    def as_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return self.cost.as_dict()

    def as_text(self) -> str:
        """Return lines to read."""
        return self.cost.as_text()

    def confirm(self, confirmed: bool) -> None:
        """Refuse a run above a dollar that was not confirmed.

        Raises:
            ConfirmationNeeded: The estimate is over a dollar.
        """
        self.cost.confirm(confirmed)


def plan_live_gate(
    study: Study | Path | str, baseline: str, model: str, run: RunSettings, *, out: Path | str
) -> LivePlan:
    """Draw the items for a candidate, and estimate the cost; nothing is asked or written.

    Args:
        study: Responses of the baseline and of past models, and items with texts and right answers.
        baseline: The version in use, with answers to the whole suite.
        model: Name of the candidate at the endpoint.
        run: Number of items, endpoint, grader, judge, prices, seed.
        out: Folder of the run, whose ledger may hold replies.

    Returns:
        The questions in their order, with their estimated cost.

    Raises:
        InputError: The candidate is in the study already, an item has no text or right answer, or open answers have no
            judge.
    """
    study, (baseline,) = with_named_agents(study if isinstance(study, Study) else Study.load(study), (baseline,))
    answers = VersionAnswers.of_baseline(study, baseline)
    if model in set(study.require("responses")["model"].astype(str)):
        raise InputError(f"{study.name}: '{model}' has answers already; decide on them with 'capscope gate decide'")
    rng = np.random.default_rng(run.seed)
    drawn, chance = planned_draw(answers, min(run.size, len(answers.items)), rng)
    order = rng.permutation(drawn)
    wanted = tuple(answers.items[place] for place in order)
    asked = {one.item_id: one for one in battery_questions(study.require("items"), wanted, run.grader)}
    lacking = [item for item in wanted if item not in asked]
    if lacking:
        raise InputError(f"{study.name}: no text or right answer of {first_few(lacking)}; add them to the items")
    questions = tuple(asked[item] for item in wanted)
    if not run.judge and any(question.kind == "judge" for question in questions):
        raise InputError("grader 'judge' needs a model that judges; name it with --judge")
    cost = plan_questions(questions, model=model, out=out, settings=run)
    return LivePlan(answers, questions, pd.Series(chance, index=list(answers.items)), cost)


def run_gate(  # noqa: PLR0913 - all but the first two are keywords
    study: Study | Path | str,
    baseline: str,
    *,
    model: str,
    out: Path | str,
    settings: GateSettings | None = None,
    run: RunSettings | None = None,
    progress: Callable[[int, GateResult], object] | None = None,
) -> LiveGate:
    """Ask a candidate at an endpoint, and stop at the first planned look with a decision.

    Replies are stored in a ledger: the same call resumes an interrupted run, and no reply is paid twice.

    Args:
        study: Responses of the baseline and of past models, and items with texts and right answers.
        baseline: The version in use, with answers to the whole suite.
        model: Name of the candidate at the endpoint.
        out: Folder of the run: ledger, answers, result.
        settings: Margin, level, number of looks; `look` is not used.
        run: Number of items, endpoint, grader, prices, limits, seed.
        progress: Called after every look with the questions asked and the decision so far.

    Returns:
        The decision at the last look, questions asked, replies not scored, and dollars spent.

    Raises:
        InputError: See `plan_live_gate`; or more than a fifth of the replies could not be scored.
        BudgetReached: The limit on spending is reached; replies so far are kept.
        EndpointError: The endpoint ended the run; replies so far are kept.
        OutputError: The folder cannot be written.
        Interrupted: Ctrl-C; replies so far are kept.
    """
    settings, run, folder = settings or GateSettings(), run or RunSettings(), Path(out)
    study = study if isinstance(study, Study) else Study.load(study)
    plan = plan_live_gate(study, baseline, model, run, out=folder)
    files.refuse_unwritable(folder / "result.json")
    folder.mkdir(parents=True, exist_ok=True)
    looks = min(settings.looks, max(1, len(plan.questions) // FEWEST))
    scores: dict[str, float] = {}
    problems: dict[str, str] = {}
    result: GateResult | None = None
    with EndpointAnswerer(folder / LEDGER_NAME, model, run) as answer:
        for look, part in enumerate(_parts(plan.questions, looks), 1):
            _ask(answer, part, scores, problems)
            asked = len(scores) + len(problems)
            _write_answers(folder, model, scores)
            _refuse_unscored(problems, asked)
            now = replace(settings, look=look, looks=looks)
            drawn = plan.chance * (asked / len(plan.questions))
            result = gate(_with_candidate(study, model, scores), baseline, model, now, drawn)
            if progress is not None:
                progress(asked, result)
            if result.verdict != "undecided":
                break
        spent, unmetered = answer.usd if run.prices(model) else None, answer.unmetered
    assert result is not None
    live = LiveGate(result, len(scores) + len(problems), problems, spent, unmetered)
    files.write_json(folder / "result.json", live.as_dict())
    return live


def _refuse_unscored(problems: dict[str, str], asked: int) -> None:
    """Refuse to decide where many replies could not be scored.

    Args:
        problems: Why a reply was not scored, by item.
        asked: Number of questions asked.

    Raises:
        InputError: More than the share `MOST_UNSCORED` of the replies were not scored.
    """
    if len(problems) > MOST_UNSCORED * asked:
        why, count = Counter(problems.values()).most_common(1)[0]
        item = next(name for name, problem in problems.items() if problem == why)
        raise InputError(
            f"{len(problems)} of {asked} replies were not scored, {count} of them (the first is '{item}')"
            f" since: {why}; what is missing may decide: mend this, then run again"
        )


def _parts(questions: tuple[BatteryQuestion, ...], looks: int) -> Iterator[tuple[BatteryQuestion, ...]]:
    ends = [round(len(questions) * look / looks) for look in range(looks + 1)]
    yield from (questions[start:end] for start, end in zip(ends[:-1], ends[1:], strict=True))


def _ask(
    answer: EndpointAnswerer,
    questions: tuple[BatteryQuestion, ...],
    scores: dict[str, float],
    problems: dict[str, str],
) -> None:
    """Ask questions one by one; add scores to `scores`, and replies without a score to `problems`.

    Raises:
        BudgetReached: The limit on spending is reached.
        EndpointError: The endpoint ended the run.
    """
    for question in questions:
        graded = answer(question)
        if graded.stopped and graded.problem:
            raise EndpointError(f"{graded.problem} ({counted(len(scores), 'answer', 'are')} scored and kept)")
        if graded.stopped:
            raise BudgetReached(
                f"stopped at ${answer.usd:.4f} of {answer.limit}{_estimated_calls(answer.unmetered)};"
                f" {counted(len(scores), 'answer', 'are')} kept; run again with a larger limit"
            )
        if graded.score is None:
            problems[question.item_id] = graded.problem
        else:
            scores[question.item_id] = graded.score


def _estimated_calls(unmetered: int) -> str:
    """Say how many calls stated no usage; nothing where all did."""
    return f" ({counted(unmetered, 'call')} without a stated usage, counted by an estimate)" if unmetered else ""


def _write_answers(folder: Path, model: str, scores: dict[str, float]) -> None:
    rows = pd.DataFrame({"model": model, "item_id": list(scores), "score": list(scores.values())})
    files.write_table(folder / "responses.csv", rows, force=True)


def _with_candidate(study: Study, model: str, scores: dict[str, float]) -> Study:
    """Add the candidate's answers to the study; their other columns are missing."""
    before = study.require("responses")[["model", "item_id", "score"]].astype({"model": str, "item_id": str})
    trials = study.require("responses").get("n_trials")
    before = before.assign(n_trials=1.0 if trials is None else trials.astype(float))
    own = pd.DataFrame({"model": model, "item_id": list(scores), "score": list(scores.values()), "n_trials": 1.0})
    pooled = before.assign(right=before["score"] * before["n_trials"]).groupby(
        ["model", "item_id"], as_index=False, observed=True
    )
    pooled = pooled[["right", "n_trials"]].sum().assign(score=lambda table: table["right"] / table["n_trials"])
    rows = pd.concat([pooled.drop(columns="right"), own], ignore_index=True)
    return Study.of(items=study.items, responses=rows, demands=study.demands)
