"""Runs of an adaptive battery: ask, grade, update, until the interval is narrow enough; replay a run from its log."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from capscope.battery.adaptive.adaptive_battery import AdaptiveBattery, HeldItem, Targets
from capscope.battery.adaptive.answering import Answerer, EndpointAnswerer
from capscope.battery.adaptive.estimate import MOST_MODELS
from capscope.battery.adaptive.planning import LEDGER_NAME, RunSettings, askable
from capscope.battery.adaptive.questions import BatteryQuestion
from capscope.battery.banks.ability import ItemPool
from capscope.battery.banks.bank import Bank
from capscope.battery.banks.sources import load_bank
from capscope.data import ArrowTable, Study
from capscope.display import ArrowTables, html_table
from capscope.errors import BudgetReached, EndpointError, InputError, OutputError, counted
from capscope.files import refuse_unwritable, write_all
from capscope.intervals import normal_quantile

SUITE = "all"
"""Name of the target that contains every item."""
BUDGET, ENDPOINT = "budget", "endpoint"
"""Statuses of a run that the budget or the endpoint ended."""
FEWEST = 10
"""Fewest answers after which a run may stop by precision; intervals from fewer answers depend on the item curves."""


@dataclass(frozen=True, repr=False)
class BatteryRun(ArrowTables):
    """Result of an adaptive battery."""

    model: str
    """The model."""
    steps: pd.DataFrame
    """One row for each item asked, in order: item_id, chance (to be drawn), expected, score, problem (if unscored)."""
    scores: pd.DataFrame
    """Columns target, items, score, lower, upper: estimated mean scores of the suite and of each benchmark."""
    abilities: pd.DataFrame
    """Columns dim, ability, sd, lower, upper."""
    status: str
    """Why the run ended: `width`, `ability_sd`, `max_items`, `no-items-left`, `budget` or `endpoint`."""
    level: float
    """Nominal coverage of the intervals."""
    cause: str = ""
    """Message of the endpoint or of the budget where it ended the run."""
    usd: float | None = None
    """US dollars spent in this run; None where prices are unknown."""
    unmetered: int = 0
    """Calls whose usage the endpoint did not state; `usd` holds an estimate for them."""

    def as_dict(self) -> dict[str, object]:
        """Return plain values for JSON."""
        unscored = self.steps[self.steps["score"].isna()]
        return {
            "model": self.model,
            "status": self.status,
            "asked": len(self.steps),
            "unscored": len(unscored),
            "problems": self.problems,
            "level": self.level,
            "scores": self.scores.to_dict("records"),
            "abilities": self.abilities.to_dict("records"),
            "usd": self.usd,
            "unmetered": self.unmetered,
        }

    @property
    def problems(self) -> dict[str, int]:
        """Return why replies were not scored, with counts."""
        return dict(Counter(self.steps.loc[self.steps["score"].isna(), "problem"]).most_common())

    def refuse_unfinished(self) -> None:
        """Raise where the budget or the endpoint ended the run, or where no reply could be scored.

        Raises:
            BudgetReached: The limit on spending is reached.
            EndpointError: The endpoint ended the run, or no reply could be scored.
        """
        scored = int(self.steps["score"].notna().sum())
        if self.status == BUDGET:
            raise BudgetReached(
                f"{self.cause}; {counted(scored, 'answer', 'are')} scored; run again with a larger limit"
            )
        if self.status == ENDPOINT:
            raise EndpointError(f"{self.cause} ({counted(scored, 'answer', 'are')} scored)")
        if len(self.steps) and not scored:
            problem, count = Counter(self.steps["problem"]).most_common(1)[0]
            raise EndpointError(f"none of {len(self.steps)} replies could be scored; {count} times: {problem}")

    def summary(self) -> str:
        """Return in one line how many items were asked and why the run ended."""
        unscored = int(self.steps["score"].isna().sum())
        cost = "" if self.usd is None else f"; cost ${self.usd:.4f}"
        if self.unmetered:
            cost += f" ({counted(self.unmetered, 'call')} without a stated usage, counted by an estimate)"
        return (
            f"{counted(len(self.steps), 'item')} asked, {unscored} unscored (left out, not counted as wrong);"
            f" ended: {self.status}{cost}"
        )

    def __repr__(self) -> str:
        return f"BatteryRun({self.model}: {self.summary()})\n{self.scores.round(3).to_string(index=False, na_rep='-')}"

    def _repr_html_(self) -> str:
        """Show the scores as a table in a notebook."""
        return html_table(f"Adaptive battery of {self.model}", self.scores, self.summary())

    def save(self, folder: str | Path) -> Path:
        """Write `result.json`, every question in `steps.csv`, and the scored answers in `responses.csv`.

        Args:
            folder: Folder of the run, which may hold its ledger; files of an earlier run are replaced.

        Raises:
            OutputError: A file cannot be written.
        """
        folder = Path(folder)
        steps, responses, result = folder / "steps.csv", folder / "responses.csv", folder / "result.json"
        write_all({steps: self.steps, responses: self.answers(), result: self.as_dict()})
        return folder

    def answers(self) -> pd.DataFrame:
        """Return the scored answers as rows of a responses table."""
        scored = self.steps.dropna(subset=["score"])
        return pd.DataFrame({"model": self.model, "item_id": scored["item_id"], "score": scored["score"]})


def run_adaptively(
    bank: Bank,
    questions: list[BatteryQuestion],
    answer: Answerer,
    model: str,
    settings: RunSettings | None = None,
    progress: Callable[[int, AdaptiveBattery], object] | None = None,
) -> BatteryRun:
    """Draw items one by one, have them answered, and estimate the model's scores and abilities.

    The same bank, seed and replies give the same run, so that an interrupted run goes on where its ledger ends.

    Args:
        bank: The items' parameters and past models.
        questions: Items that can be asked.
        answer: Asks and grades one question; any function from a question to `Graded`.
        model: Name of the model.
        settings: Stop rules.
        progress: Called after every question with their number and the state.

    Returns:
        Draws, scores and abilities, and why the run ended.

    Raises:
        InputError: No question belongs to the chosen benchmarks.
    """
    settings = settings or RunSettings()
    asked = {question.item_id: question for question in questions}
    state, rng = begin_run(bank, asked, settings), np.random.default_rng(settings.seed)
    rows: list[tuple[str, float, float, float | None, str]] = []
    status = cause = ""
    while not status:
        item, chance = state.draw(rng)
        name = bank.items[item]
        graded = answer(asked[name])
        if graded.stopped:
            status, cause = (ENDPOINT if graded.problem else BUDGET), graded.problem
            break
        rows.append((name, chance, float(state.expected[item]), graded.score, graded.problem))
        state = state.without(item) if graded.score is None else state.with_answer(item, chance, graded.score)
        status = run_status(state, len(rows), settings)
        if progress:
            progress(len(rows), state)
    return replace(_result(model, rows, state, status, settings.level), cause=cause)


def _result(
    model: str,
    rows: list[tuple[str, float, float, float | None, str]],
    state: AdaptiveBattery,
    status: str,
    level: float,
) -> BatteryRun:
    steps = pd.DataFrame(rows, columns=["item_id", "chance", "expected", "score", "problem"])
    steps["score"] = steps["score"].astype(float)
    return BatteryRun(model, steps, score_table(state, level), ability_table(state, level), status, level)


def begin_run(bank: Bank, asked: Collection[str], settings: RunSettings) -> AdaptiveBattery:
    """Return the state of a run before its first question.

    Args:
        bank: The items' parameters and past models.
        asked: Ids of the items that can be asked.
        settings: The benchmarks whose mean score is wanted.

    Raises:
        InputError: No item of the chosen benchmarks can be asked.
    """
    wanted = bank.of_benchmarks(settings.benchmarks)
    open_items = np.array([place for place in wanted if bank.items[place] in asked], dtype=np.int64)
    if not len(open_items):
        named = ", ".join(settings.benchmarks) or "the bank"
        raise InputError(f"no item of {named} can be asked; give its texts and right answers with --items")
    benchmark = np.array(bank.benchmark)
    # chances are known for every item, but only items that can be asked can correct them: those are the target
    member = [np.isin(np.arange(len(benchmark)), open_items)]
    names = sorted({bank.benchmark[place] for place in open_items})
    if len(names) > 1:
        member += [member[0] & (benchmark == name) for name in names]
    else:
        names = []
    weights = np.stack([row / row.sum() for row in member])
    return AdaptiveBattery.start(ItemPool.of(bank, most=MOST_MODELS), Targets((SUITE, *names), weights), open_items)


def run_status(state: AdaptiveBattery, asked: int, settings: RunSettings) -> str:
    """Return why a run ends after so many items were asked; empty where it goes on.

    Args:
        state: State of the run.
        asked: Number of items asked.
        settings: Stop rules.
    """
    if not len(state.left):
        return "no-items-left"
    if len(state.draws) >= FEWEST and settings.width is not None:
        score = state.estimate(settings.level, 1)
        if score.upper[0] - score.lower[0] <= settings.width:
            return "width"
    sd = np.sqrt(np.diagonal(state.ability.cov[0]))
    if len(state.draws) >= FEWEST and settings.ability_sd is not None and sd.max() <= settings.ability_sd:
        return "ability_sd"
    return "max_items" if asked >= settings.size else ""


def score_table(state: AdaptiveBattery, level: float) -> pd.DataFrame:
    """Return the mean score of each target with its interval; columns as in `BatteryRun.scores`.

    Args:
        state: State of a run.
        level: Nominal coverage of the intervals, 0 to 1.
    """
    score, items = state.estimate(level), (state.targets.member > 0).sum(axis=1)
    columns = {"target": state.targets.names, "items": items, "score": score.score}
    return pd.DataFrame(columns | {"lower": score.lower, "upper": score.upper})


def ability_table(state: AdaptiveBattery, level: float) -> pd.DataFrame:
    """Return each ability with its interval; columns as in `BatteryRun.abilities`.

    Args:
        state: State of a run.
        level: Nominal coverage of the intervals, 0 to 1.
    """
    mean, sd = state.ability.mean[0], np.sqrt(np.diagonal(state.ability.cov[0]))
    width = normal_quantile(level) * sd
    dims = np.arange(1, len(mean) + 1)
    return pd.DataFrame({"dim": dims, "ability": mean, "sd": sd, "lower": mean - width, "upper": mean + width})


def run_battery(
    bank: Bank | str | Path,
    items: Study | pd.DataFrame | ArrowTable | str | Path,
    *,
    model: str,
    out: str | Path,
    settings: RunSettings | None = None,
    progress: Callable[[int, float], object] | None = None,
) -> BatteryRun:
    """Run an adaptive battery against an endpoint and write the result; run again to continue an interrupted run.

    Args:
        bank: A bank, or its folder.
        items: A study with texts and right answers of the bank's items, its folder or file, or an items table.
        model: Name of the model at the endpoint.
        out: Folder of the run: its ledger of replies and its result.
        settings: Stop rules, and how the endpoint is asked.
        progress: Called after every question with their number and the score so far.

    Returns:
        The run, which is written to the folder too; its status is `budget` where a limit ended it.

    Raises:
        InputError: The bank or the items cannot be read, or open answers have no judge.
        EndpointError: The endpoint cannot be used, or ended the run; answers so far are written.
        OutputError: The folder or the ledger cannot be written; replies so far are in the ledger.
        Interrupted: Ctrl-C; replies so far are in the ledger.

    Example:
        >>> run = run_battery("bank", "study", model="gpt-4o", out="run")  # doctest: +SKIP
        >>> run.scores  # doctest: +SKIP
    """
    settings, folder = settings or RunSettings(), Path(out)
    loaded = load_bank(bank)
    questions = askable(loaded, items, settings)
    answerer = EndpointAnswerer(folder / LEDGER_NAME, model, settings)
    _make_folder(folder)

    def show(asked: int, state: AdaptiveBattery) -> None:
        if progress:
            progress(asked, float(state.estimate(settings.level, 1).score[0]))

    with answerer as answer:
        run = run_adaptively(loaded, questions, answer, model, settings, show)
        run = replace(run, usd=answer.usd if settings.prices(model) else None, unmetered=answer.unmetered)
        if run.status == BUDGET:
            run = replace(run, cause=f"stopped at ${answer.usd:.4f} of {answer.limit}")
    run.save(folder)
    if run.status == ENDPOINT:
        run.refuse_unfinished()
    return run


def _make_folder(folder: Path) -> None:
    """Make the folder of a run and check, before anything is asked, that files can be written there.

    Raises:
        OutputError: No file can be written there.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be written ({error.strerror}); choose another --out") from None
    refuse_unwritable(folder / "result.json")


def replayed(
    bank: Bank, drawn: Iterable[tuple[Mapping[str, Any], float]], benchmarks: Sequence[str] = ()
) -> AdaptiveBattery:
    """Return the state of a run from the draws and scores that its log holds.

    Args:
        bank: The bank that the samples were drawn from.
        drawn: The draw in each sample's metadata, and its score.
        benchmarks: Benchmarks of the bank whose mean score is wanted.

    Raises:
        InputError: There is no draw, or a draw is of an item that the bank does not have.
    """
    pairs = list(drawn)
    if not pairs:
        raise InputError("no sample says how it was drawn; run the task with dataset=capscope_battery(...)")
    names = [str(draw["item"]) for draw, _ in pairs]
    places = bank.positions(tuple(names))
    settings = RunSettings(benchmarks=tuple(benchmarks))
    state = begin_run(bank, set(bank.items) - set(pairs[0][0].get("missing", ())), settings)
    for place, (draw, score) in zip(places, pairs, strict=True):
        spread = np.asarray(draw["spread"], float)
        held = HeldItem(int(place), float(draw["chance"]), spread, int(draw["number"]))
        state = state.with_held_answer(held, score)
    return state
