"""The release gate: a decision whether a candidate may replace a baseline, and the draw of items for it."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from capscope.axes import Bool, Float
from capscope.battery import with_item_ids
from capscope.data import ArrowTable, Study, checked_columns, pooled_agents, read_table, with_named_agents
from capscope.data.formats import LoggedBattery, LoggedDraws, read_answers, read_draws
from capscope.decide.difference import FEWEST_CLUSTERS, Difference, DrawSequence, PairedDifferences
from capscope.decide.gate_settings import (
    FEWEST_IN_SCOPE,
    BenchmarkMargin,
    GateSettings,
    Scope,
    benchmark_margins,
    joint_verdict,
)
from capscope.decide.verdicts import ScopeClaim, Verdict, claims, detectable_difference, further_answers, verdict_of
from capscope.decide.version_answers import VersionAnswers, planned_draw
from capscope.errors import InputError, counted, first_few, refuse_absent_model

HIGH_DEMAND = 3.0
"""Smallest demand level of a demanding item."""


@dataclass(frozen=True)
class GateResult:
    """Decision on a release, with the difference, its intervals and claims; all as shares of the score."""

    baseline: str
    """The version in use."""
    candidate: str
    """The version that may replace it."""
    verdict: Verdict
    """`ship`, `hold` or `undecided`."""
    difference: Difference
    """Candidate minus baseline."""
    settings: GateSettings
    """Settings of the decision."""
    more_answers: int | None
    """Number of further answers to a decision; 0 where it is reached, None where the whole suite is not enough."""
    claims: tuple[ScopeClaim, ...]
    """Losses and gains by benchmark, task or demand."""
    n_past: int
    """Number of past models behind the predictions."""
    warnings: tuple[str, ...] = field(default=())
    """Limitations of the decision, one line each."""
    margins: tuple[BenchmarkMargin, ...] = ()
    """Decisions on benchmarks with their own margins."""

    @property
    def lower(self) -> float:
        """Lower bound of the difference on this suite."""
        return self.difference.interval(self.settings.quantile)[0]

    @property
    def upper(self) -> float:
        """Upper bound of the difference on this suite."""
        return self.difference.interval(self.settings.quantile)[1]

    def as_dict(self) -> dict[str, Any]:
        """Return plain values."""
        difference, settings = self.difference, self.settings
        again = difference.another_run_interval(settings.quantile)
        new_items = difference.new_items_interval(settings.quantile, (1 - settings.level) / 2)
        return {
            "verdict": self.verdict,
            "baseline": self.baseline,
            "candidate": self.candidate,
            "difference": difference.estimate,
            "lower": self.lower,
            "upper": self.upper,
            "another_run": {"lower": again[0], "upper": again[1]},
            "new_items": {"lower": new_items[0], "upper": new_items[1]},
            "run_noise": None if difference.noise is None else difference.noise.as_dict(difference.n_items),
            "margin": settings.margin,
            "margins": [asdict(difference) for difference in self.margins],
            "level": settings.level,
            "look": settings.look,
            "looks": settings.looks,
            "n_answers": difference.n_answers,
            "n_items": difference.n_items,
            "effective_answers": difference.effective_answers,
            "detectable_difference": detectable_difference(difference, settings.quantile, settings.fixed),
            "more_answers": self.more_answers,
            "past_models": self.n_past,
            "by": {claim.scope: {k: v for k, v in asdict(claim).items() if k != "scope"} for claim in self.claims},
            "warnings": list(self.warnings),
        }

    def __repr__(self) -> str:
        """The decision in one line."""
        points = f"{100 * self.difference.estimate:+.1f} points ({100 * self.lower:+.1f} to {100 * self.upper:+.1f})"
        return f"GateResult({self.verdict}: {self.candidate} against {self.baseline}, {points})"


def gate(
    study: Study | Path | str,
    baseline: str,
    candidate: str,
    settings: GateSettings | None = None,
    chance: pd.Series | None = None,
    answers: Study | pd.DataFrame | ArrowTable | Path | str | None = None,
) -> GateResult:
    """Decide whether a candidate may replace a baseline.

    Args:
        study: Responses of both and of past models; a study or its folder.
        baseline: The version in use; the interval is narrowest where it answered the whole suite. Of a model in
            several scaffolds or efforts, ``model+scaffold`` names one agent; the model's name alone pools them.
        candidate: The version that may replace it, with answers to some or all of its items.
        settings: Margin, level, looks and scopes.
        chance: Probability of each item to be drawn for the candidate, by item id; None for a simple random sample.
        answers: Answers of the candidate that are not in the study: a study, a table model, item_id, score, or logs of
            another tool. They replace those that the study has of the same model. A log of Inspect whose samples a
            battery drew brings its chances along.

    Returns:
        The verdict, the difference (candidate minus baseline, as a share) with its intervals, and its parts.

    Raises:
        InputError: A model is not in the study, too few items were answered by both, or an answered item has no chance.
    """
    settings = settings or GateSettings()
    study = study if isinstance(study, Study) else Study.load(study)
    study, (baseline, candidate) = with_named_agents(study, (baseline, candidate))
    log = read_draws(answers) if isinstance(answers, str | Path) and Path(answers).is_file() else None
    if isinstance(log, LoggedBattery):
        return _of_battery(study, baseline, candidate, settings, log)
    if log is not None:
        return _decided(_with_answers(study, _logged(log, candidate), candidate), baseline, candidate, settings, log)
    if answers is not None:
        study = _with_answers(study, read_answers(answers), candidate)
    return _decided(study, baseline, candidate, settings, chance)


def _decided(
    study: Study, baseline: str, candidate: str, settings: GateSettings, chance: pd.Series | LoggedDraws | None
) -> GateResult:
    """Decide from a study with answers of both."""
    unused = ""
    if isinstance(chance, pd.Series):
        study, unused = _drawn_answers(study, candidate, chance)
    versions = VersionAnswers.of(study, baseline, candidate)
    differing = _differing_conditions(study, baseline, candidate)
    if isinstance(chance, LoggedDraws):
        pairs = _sequential(versions, chance)
    else:
        pairs = PairedDifferences.of(versions, None if chance is None else _chances(versions, chance))
    difference = pairs.over()
    scopes = list(_scopes(versions, settings, pairs))
    scope_claims = tuple(claims(scopes, settings.quantile, 1 - settings.level, settings.correction))
    margins = tuple(benchmark_margins(versions, settings, pairs))
    return GateResult(
        baseline,
        candidate,
        joint_verdict(difference, settings, margins),
        difference,
        settings,
        further_answers(difference, settings.quantile, settings.margin, settings.fixed),
        scope_claims,
        len(versions.past_score),
        (
            *pooled_agents(study, (baseline, candidate)),
            *differing,
            *([unused] if unused else []),
            *_warnings(versions, difference),
            *_run_warnings(versions, difference, settings),
        ),
        margins,
    )


def _with_answers(study: Study, answers: Study, candidate: str) -> Study:
    """Replace the candidate's answers in the study by those of another study.

    Raises:
        InputError: The answers are of other models.
    """
    if study.items is not None and {"task", "doc_index"} <= set(study.items):
        items = study.items.dropna(subset=["task", "doc_index"])
        places = (items[name].tolist() for name in ("item_id", "task", "doc_index"))
        answers = with_item_ids(answers, *places)
    new, old = answers.require("responses"), study.require("responses")
    refuse_absent_model(answers.name, candidate, sorted(set(new["model"].astype(str))))
    new = new[new["model"].astype(str) == candidate]
    new = new.drop(columns=[name for name in new if name not in old])
    kept = old[old["model"].astype(str) != candidate]
    return replace(study, responses=Study.of(responses=pd.concat([kept, new], ignore_index=True)).responses)


def _drawn_answers(study: Study, candidate: str, chance: pd.Series) -> tuple[Study, str]:
    """Remove the candidate's answers to items that were not drawn; also return a warning with their number.

    If no drawn item was answered, the study is returned unchanged.
    """
    responses = study.require("responses")
    own = responses["model"].astype(str) == candidate
    other = own & ~responses["item_id"].astype(str).isin(chance.index.astype(str))
    if not other.any() or not (own & ~other).any():
        return study, ""
    n = int(other.sum())
    unused, which = f"{counted(n, 'other answer')} of '{candidate}'", "is not" if n == 1 else "are not"
    kept = replace(study, responses=responses[~other].reset_index(drop=True))
    return kept, f"{unused} {which} used: the draw does not name {'its item' if n == 1 else 'their items'}"


def _of_battery(study: Study, baseline: str, candidate: str, settings: GateSettings, log: LoggedBattery) -> GateResult:
    """Decide on the items of the log's bank, which are those that could be drawn.

    Raises:
        InputError: The study has no answer to any of them.
    """
    responses = study.require("responses")
    inside = responses["item_id"].astype(str).isin(log.pool)
    if not inside.any():
        raise InputError(f"{study.name}: no answer to an item that the log drew from ({first_few(log.pool)})")
    suite = replace(study, responses=responses[inside].reset_index(drop=True))
    own = Study.of(responses=log.answers(candidate), name="the log")
    chance = log.drawn.set_index("item_id")["draw_chance"]
    result = _decided(_with_answers(suite, own, candidate), baseline, candidate, settings, chance)
    outside = responses.loc[~inside, "item_id"].nunique()
    note = f"{counted(outside, 'item')} of the study had no sample in the task: the difference is that on the others"
    return replace(result, warnings=(*((note,) if outside else ()), *log.notes, *result.warnings))


def _logged(log: LoggedDraws, candidate: str) -> Study:
    """Return the answers of an adaptive battery under the candidate's name."""
    rows = [(candidate, str(draw["item"]), score) for draw, score in log.draws]
    return Study.of(responses=pd.DataFrame(rows, columns=["model", "item_id", "score"]), name="the log")


def _sequential(versions: VersionAnswers, log: LoggedDraws) -> PairedDifferences:
    """Pair the answers of a log with sequential draws.

    Raises:
        InputError: The baseline did not answer a sample that was drawn.
    """
    place = {item: row for row, item in enumerate(versions.items)}
    chance, number, spread = np.full((3, len(place)), np.nan)
    answered = set(versions.paired.tolist())
    for draw, _ in log.draws:
        row = place.get(str(draw["item"]), -1)
        if row not in answered:
            raise InputError(
                f"'{versions.baseline}' did not answer item '{draw['item']}', which the log drew; give its answers to"
                " all items, and a study with the item ids of the bank"
            )
        chance[row], number[row], spread[row] = float(draw["chance"]), float(draw["number"]), float(draw["spread"][0])
    return PairedDifferences.of(versions, sequence=DrawSequence(number, chance, spread))


def _differing_conditions(study: Study, baseline: str, candidate: str) -> tuple[str, ...]:
    """Return warnings on conditions in which the versions differ; versions with different judges are refused.

    Raises:
        InputError: No judge scored both.
    """
    responses = study.require("responses")
    model = responses["model"].astype(str)
    notes: list[str] = []
    for facet in (name for name in ("judge", "prompt", "scaffold", "effort") if name in responses):
        old, new = (set(responses.loc[model == name, facet].astype(str)) for name in (baseline, candidate))
        if old & new:
            continue
        named = f"{first_few(sorted(old))} and {first_few(sorted(new))}"
        if facet == "judge":
            raise InputError(f"{study.name}: '{baseline}' and '{candidate}' were scored by different judges ({named})")
        notes.append(f"the two answered under different values of {facet} ({named}): the difference may be due to it")
    return tuple(notes)


def plan_gate(study: Study | Path | str, baseline: str, size: int, seed: int = 0) -> pd.DataFrame:
    """Draw items for a candidate, by how often models with similar scores differ from the baseline on them.

    Args:
        study: Responses of the baseline to the whole suite and of past models; a study or its folder.
        baseline: The version in use.
        size: Number of items.
        seed: Seed of the draw.

    Returns:
        Columns `item_id`, `draw_chance` and `weight` (inverse of the chance).

    Raises:
        InputError: The baseline is not in the study, or more items are asked for than it answered.
    """
    study, (baseline,) = with_named_agents(study if isinstance(study, Study) else Study.load(study), (baseline,))
    answers = VersionAnswers.of_baseline(study, baseline)
    drawn, chance = planned_draw(answers, size, np.random.default_rng(seed))
    ids = [answers.items[row] for row in drawn]
    return pd.DataFrame({"item_id": ids, "draw_chance": chance[drawn], "weight": 1 / chance[drawn]})


def draw_chances(path: Path | str) -> pd.Series:
    """Read a table of `plan_gate`.

    Args:
        path: The table.

    Returns:
        The chance of each item to be drawn, by item id.

    Raises:
        InputError: The file cannot be read, or its columns are not those of a draw.
    """
    table = checked_columns(
        read_table(Path(path)),
        str(path),
        names=["item_id"],
        numbers={"draw_chance": (1e-12, 1.0)},
        remedy="make the file with 'capscope gate plan'",
    )
    return table.set_index("item_id")["draw_chance"]


def _chances(answers: VersionAnswers, chance: pd.Series) -> Float[np.ndarray, " item"]:
    aligned = chance.reindex(list(answers.items)).to_numpy(dtype=float)
    missing = [answers.items[row] for row in answers.paired if not aligned[row] > 0]
    if missing:
        raise InputError(
            f"the draw names no chance for item '{missing[0]}' that was answered; give the file it came from"
        )
    return np.where(np.isnan(aligned), 1.0, aligned)


def _scopes(
    answers: VersionAnswers, settings: GateSettings, pairs: PairedDifferences
) -> Iterator[tuple[str, Difference]]:
    for name, part in _parts(answers, settings.per):
        if part[pairs.answered].sum() >= FEWEST_IN_SCOPE:
            yield name, pairs.over(part)


def _parts(answers: VersionAnswers, per: tuple[Scope, ...]) -> Iterator[tuple[str, Bool[np.ndarray, " item"]]]:
    """Items of each benchmark, task or demand band."""
    for scope in per:
        if scope == "demand":
            yield from _demand_parts(answers)
            continue
        label = answers.labels[scope].to_numpy()
        for value in sorted(set(label)):
            yield f"{scope} {value}", label == value


def _demand_parts(answers: VersionAnswers) -> Iterator[tuple[str, Bool[np.ndarray, " item"]]]:
    if answers.demand is None:
        raise InputError("losses by demand need demand levels; make them with 'capscope annotate', or leave demand out")
    level = answers.demand.at(answers.items)
    for column, dim in enumerate(answers.demand.dims):
        high = np.nan_to_num(level[:, column], nan=-1.0) >= HIGH_DEMAND
        yield f"demand {dim} {HIGH_DEMAND:g} or more", high


def _run_warnings(answers: VersionAnswers, difference: Difference, settings: GateSettings) -> Iterator[str]:
    repeats = answers.repeats
    agree = (False, False) if repeats is None else repeats.all_agree()
    for name, same in zip((answers.baseline, answers.candidate), agree, strict=True):
        if same:
            yield f"all repeated runs of '{name}' agree: if they come from a cache they are no repeats, leave them out"
    if settings.fixed or difference.noise is not None:
        return
    allowed, fixed = (verdict_of(difference, settings.quantile, settings.margin, of) for of in (False, True))
    if allowed != fixed:
        yield (
            f"if another run gave the same answers (--fixed), the verdict would be {fixed}: repeated runs of either"
            " version or of past models would show how much runs differ"
        )


def _warnings(answers: VersionAnswers, difference: Difference) -> Iterator[str]:
    if not answers.complete:
        yield "the baseline has not answered the whole suite: only items that both answered are compared"
    if not len(answers.past_score):
        yield "no past models: answers of earlier models to this suite would make the interval narrower"
    if difference.clusters < FEWEST_CLUSTERS:
        yield f"the answers stem from {counted(difference.clusters, 'task')}: how much new tasks differ is poorly known"
