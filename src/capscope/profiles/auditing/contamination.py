"""Contamination: tests for models that do better on items they may have seen than their ability predicts."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from capscope.axes import RowFloats
from capscope.data import Responses, Study, families_of
from capscope.display import ArrowTables, html_table
from capscope.errors import InputError, counted
from capscope.fit import IRTSettings, fit_irt, item_chance
from capscope.profiles.auditing.exposure import (
    Cutoffs,
    Exposure,
    against_control,
    by_column,
    by_date,
    cutoffs_of,
    date_notes,
    unknown_cutoffs,
)
from capscope.profiles.auditing.exposure_shifts import AnsweredItems
from capscope.profiles.auditing.leak_tests import FEWEST_ANSWERS, FEWEST_MODELS, LeakTest, TestRates
from capscope.profiles.comparison.all_pairs import corrected_p
from capscope.profiles.item_groups import of_benchmark, opened, places_of
from capscope.profiles.meanings import table_lines

FEWEST_FOR_PATTERN, FEWEST_FOR_SLOPES = 30, 20
"""Fewest items for a test without known exposure, and for the fit of slopes."""
MOST_MISSED = 0.5
"""A test that would miss a leak of this share is inconclusive."""
COLUMNS = (
    *("subject", "scope", "evidence", "benchmark", "items", "controls", "score", "excess", "lower", "upper"),
    *("corrected", "leak", "p", "p_corrected", "smallest_leak", "verdict"),
)
MOST_LISTED = 4
"""Largest number of detectable leaks in the sentence."""
LEAK, NONE, UNKNOWN = "leak", "no evidence", "cannot tell"
SHARED = "a leak that all models share looks like easy items and cannot be found"


@dataclass(frozen=True, kw_only=True)
class ContaminationSettings:
    """Settings of the tests: error rate, power, suspected benchmark, evidence."""

    rate: float = 0.05
    """Probability of any false alarm in a study without leaks (family-wise error rate)."""
    power: float = 0.8
    """Power at which the smallest detectable leak is stated."""
    level: float = 0.9
    """Coverage of the intervals of the excess."""
    benchmark: str | None = None
    """The suspected benchmark; None for each."""
    against: str | None = None
    """A benchmark of similar content that cannot have leaked, such as a rewritten version; None for none."""
    exposure: tuple[str, ...] = ()
    """Columns of the items table with the exposure of each item."""
    cutoffs: Cutoffs | None = None
    """Training cut-off by model, or a table of them; None for the table of models in the study folder."""
    families: str | None = None
    """A table of families, ``names`` to guess them from the names; None for the table of models in the study folder."""
    seed: int = 0
    """Seed of everything random."""

    def __post_init__(self) -> None:
        """Validate the rates.

        Raises:
            InputError: A rate lies outside (0, 1).
        """
        for name, value in (("--alarm-rate", self.rate), ("power", self.power), ("--level", self.level)):
            if not 0 < value < 1:
                raise InputError(f"{name} {value:g} is not a share; use a number between 0 and 1")


@dataclass(frozen=True)
class Contamination(ArrowTables):
    """Tests of every model (and family) for leaked items, with what they would have found."""

    table: pd.DataFrame
    """Columns `COLUMNS`, most suspicious first. `excess` is how much higher the score on the suspected items is than a
    clean model's of that ability, with bounds; `corrected` the score without it; `leak` the share of the suspected
    answers that must have leaked; `p_corrected` (Holm, 1979) counts all tests; `smallest_leak` would have been found
    with the stated power (approximately, where the evidence is ``pattern``)."""
    rate: float
    """Probability of any false alarm in a study without leaks (family-wise error rate)."""
    power: float
    notes: tuple[str, ...]
    """What could not be examined, and why."""

    def __repr__(self) -> str:
        return f"Contamination({self.sentence()})"

    def _repr_html_(self) -> str:
        return html_table("Contamination", self.table, " ".join((self.sentence(), *self.notes)))

    def found(self) -> pd.DataFrame:
        """Return the rows that raise an alarm."""
        return self.table[self.table["verdict"] == LEAK].reset_index(drop=True)

    def reach(self) -> pd.DataFrame:
        """Smallest leak found with the stated power, by evidence and benchmark, over models.

        Returns:
            Columns evidence, benchmark, models, smallest_leak (median), best, worst.
        """
        rows = self.table[self.table["scope"] == "model"]
        grouped = rows.groupby(["evidence", "benchmark"], sort=True)["smallest_leak"]
        return grouped.agg(models="size", smallest_leak="median", best="min", worst="max").reset_index()

    def sentence(self) -> str:
        """Say what was found, and what would have been."""
        if not len(self.table):
            return f"Contamination: cannot tell; {self.notes[0]}."
        signal, reach = self.found(), self.reach()
        columns = (reach["smallest_leak"], reach["benchmark"], reach["evidence"])
        least = [f"{leak:.0%} on {benchmark} by {evidence}" for leak, benchmark, evidence in zip(*columns, strict=True)]
        more = "; all are listed" if len(least) > MOST_LISTED else ""
        power = (
            f"leaks of at least these shares of the suspected answers would have been found with {self.power:.0%} power"
            f" (median model): {', '.join(least[:MOST_LISTED])}{more}"
        )
        if not len(signal):
            tests = counted(len(self.table), "test")
            underpowered = (self.table["verdict"] == UNKNOWN).all()
            verdict = f"cannot tell from {tests}" if underpowered else f"no evidence in {tests}"
            return f"Contamination: {verdict}; {power}; a smaller one may be there."
        first = signal.iloc[0]
        return (
            f"Contamination: {counted(signal['subject'].nunique(), 'subject')} out of line (first {first['subject']} on"
            f" {first['benchmark']} by {first['evidence']}: {first['excess']:+.1%} of the score, corrected p"
            f" {first['p_corrected']:.2g}); for the others, {power}."
        )

    def as_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "rate": self.rate,
            "power": self.power,
            "tests": len(self.table),
            "found": self.found().to_dict("records"),
            "reach": self.reach().to_dict("records"),
            "table": self.table.to_dict("records"),
            "notes": list(self.notes),
        }

    def as_text(self) -> str:
        """Return what was found and what would have been, as tables to read."""
        head = f"\nContamination: a study without leaks raises an alarm with a chance of {self.rate:.0%}"
        shown = [
            "subject",
            "evidence",
            "benchmark",
            "items",
            "score",
            "excess",
            "lower",
            "upper",
            "leak",
            "p_corrected",
        ]
        signal = self.found()
        parts = [head, table_lines(signal[shown]) if len(signal) else "no alarm"]
        parts += [f"\nSmallest leak found with {self.power:.0%} power, as a share of the suspected answers:"]
        parts += [table_lines(self.reach())]
        return "\n".join([*parts, *(f"note: {note}" for note in self.notes)])


def find_contamination(
    study: Study | str | Path, settings: ContaminationSettings = ContaminationSettings(), folder: Path | None = None
) -> Contamination:
    """Test every model for leaked items.

    Each benchmark is tested with all available evidence: items before and after a model's cut-off (``date``), columns
    of exposure, a control benchmark (``control``), and without any (``pattern``: right answers that come whatever the
    difficulty). A model's excess is compared with that of the other models, most of which must be clean.

    Args:
        study: A study with answers of at least 8 models, or its folder.
        settings: Error rate, power, suspected benchmark and evidence.
        folder: Where a table of models may lie, if the study is not a folder.

    Returns:
        The tests, each with its smallest detectable leak.

    Raises:
        InputError: The study has no answers, or a column, benchmark or date that is named cannot be used.
    """
    folder = folder if isinstance(study, Study) else Path(study)
    study = opened(study)
    models = sorted(study.require("responses")["model"].astype(str).unique())
    families = families_of(models, settings.families, folder or Path()) if folder or settings.families else None
    sources = _ModelFacts(cutoffs_of(settings.cutoffs, folder), families or {})
    tests: list[LeakTest] = []
    notes: list[str] = []
    for part in _parts(study, settings):
        tested, note = _tested(part, sources, settings)
        tests += tested
        notes += note
    notes += unknown_cutoffs(sources.cutoffs, models)
    return _corrected(tests, settings, (*dict.fromkeys(notes), SHARED))


@dataclass(frozen=True)
class _ModelFacts:
    """Training cut-offs and families of the models."""

    cutoffs: dict[str, pd.Timestamp]
    families: dict[str, str]


@dataclass(frozen=True)
class _Suspected:
    """Items to examine together: a suspected benchmark alone, or beside its control."""

    study: Study
    suspect: str
    control: bool


def _parts(study: Study, settings: ContaminationSettings) -> list[_Suspected]:
    """Each suspected benchmark alone and, where there is a control, beside it."""
    if study.items is None:
        if settings.benchmark or settings.against:
            of_benchmark(study, str(settings.benchmark or settings.against))
        return [_Suspected(study, "all", control=False)]
    names = sorted(study.items["benchmark"].astype(str).unique())
    if settings.benchmark is not None:
        of_benchmark(study, settings.benchmark)
        names = [settings.benchmark]
    parts = [_Suspected(of_benchmark(study, name), name, control=False) for name in names if name != settings.against]
    if settings.against is None:
        return parts
    beside = of_benchmark(study, settings.against).require("items")["item_id"]
    both = [pd.concat([part.study.require("items")["item_id"], beside]) for part in parts]
    joint = [study.keep_items(pd.Index(ids)) for ids in both]
    return parts + [_Suspected(one, part.suspect, control=True) for one, part in zip(joint, parts, strict=True)]


def _tested(
    part: _Suspected, sources: _ModelFacts, settings: ContaminationSettings
) -> tuple[list[LeakTest], list[str]]:
    """Test all models on one part of a study with all evidence."""
    if part.study.responses is None or not len(part.study.responses):
        return [], [f"{part.suspect}: nobody answered"]
    responses = Responses.of(part.study)
    if len(responses.models) < FEWEST_MODELS:
        answered = counted(len(responses.models), "model")
        return [], [f"{part.suspect}: {answered} answered; {FEWEST_MODELS} are needed to compare with"]
    exposures, notes = _exposures(part, responses, sources, settings)
    if not exposures:
        return [], notes
    cells = _answered(part.study, responses, settings.seed)
    tests: list[LeakTest] = []
    for exposure in exposures:
        test = LeakTest.of(part.suspect, responses.models, cells, exposure, sources.families)
        tests += [] if test is None else [test]
        few = f"fewer than {FEWEST_MODELS} models have {FEWEST_ANSWERS} answers on either side"
        notes += [f"{part.suspect}, {exposure.evidence}: {few}"] if test is None else []
    return tests, notes


def _answered(study: Study, responses: Responses, seed: int) -> AnsweredItems:
    """Fit the curves of the items on one ability."""
    floor = item_chance(study, responses.items)
    floor = None if floor is None else np.nan_to_num(floor)
    few = len(responses.items) < FEWEST_FOR_SLOPES
    settings = IRTSettings(model="rasch" if few else "2pl", form="auto" if few else "signed", seed=seed)
    return AnsweredItems.of(responses, fit_irt(responses, settings, floor=floor).posterior, floor)


def _exposures(
    part: _Suspected, responses: Responses, sources: _ModelFacts, settings: ContaminationSettings
) -> tuple[list[Exposure], list[str]]:
    """Return the available evidence, and notes on missing evidence."""
    models, ids, items = responses.models, responses.items, part.study.items
    if part.control:
        return [against_control(places_of(part.study, ids).benchmark == part.suspect, models)], []
    exposures: list[Exposure] = []
    notes: list[str] = []
    dated = None if items is None else by_date(items, models, ids, sources.cutoffs)
    if dated is not None:
        exposures.append(dated)
    notes += date_notes(items, models, sources.cutoffs)
    if settings.exposure:
        described = part.study.require("items")
        for column in (by_column(described, name, models, ids) for name in settings.exposure):
            differs = column.exposed is not None and bool(column.exposed.any())
            exposures += [column] if differs else []
            notes += [] if differs else [f"{part.suspect}: {column.evidence} is the same for every item, or empty"]
    if len(ids) >= FEWEST_FOR_PATTERN:
        exposures.append(Exposure("pattern", None))
    elif settings.against is None:
        notes.append(f"{part.suspect}: {counted(len(ids), 'item')}; {FEWEST_FOR_PATTERN} show a leak of unknown items")
    return exposures, notes


def _corrected(tests: list[LeakTest], settings: ContaminationSettings, notes: tuple[str, ...]) -> Contamination:
    """Correct for the number of tests, and decide."""
    size = sum(test.size for test in tests)
    if not size:
        return Contamination(pd.DataFrame(columns=list(COLUMNS)), settings.rate, settings.power, notes)
    rates = TestRates(settings.rate / size, settings.power, settings.level)
    table = pd.concat([test.table(rates) for test in tests], ignore_index=True)
    corrected = corrected_p(table["p"].to_numpy(dtype=float), "holm")
    table["p_corrected"] = corrected
    table["verdict"] = verdicts(corrected, table["smallest_leak"].to_numpy(dtype=float), settings.rate)
    order = np.lexsort((table["subject"].astype(str), table["p"]))
    return Contamination(table[list(COLUMNS)].iloc[order].reset_index(drop=True), settings.rate, settings.power, notes)


def verdicts(corrected: RowFloats, smallest_leak: RowFloats, rate: float) -> np.ndarray:
    """Decide each test; one with an unknown (NaN) or too large detectable leak is inconclusive.

    Args:
        corrected: Corrected p-value of each test.
        smallest_leak: Smallest detectable leak of each test, as a share of the suspected answers.
        rate: Family-wise error rate.
    """
    underpowered = ~(smallest_leak <= MOST_MISSED)
    return np.where(corrected <= rate, LEAK, np.where(underpowered, UNKNOWN, NONE))
