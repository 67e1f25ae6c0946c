"""Comparisons: two models item by item, all models of a suite, and models judged in pairs."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from capscope.data import ArrowTable, Study, as_frame, read_table
from capscope.errors import InputError
from capscope.profiles.agents import PartComparison, compare_parts
from capscope.profiles.comparison.leaderboard import SuiteAggregates, suite_aggregates
from capscope.profiles.comparison.paired_judgements import JudgedModels, bradley_terry
from capscope.profiles.comparison.run_scores import DEFAULT_RUNS
from capscope.profiles.comparison.two_models import Comparison, compare_models
from capscope.profiles.item_groups import opened

Compared = Comparison | SuiteAggregates | JudgedModels | PartComparison
"""A comparison: it has `table`, `head`, `notes` or none, `as_dict()` and `as_text()`."""


def compare(
    source: Study | pd.DataFrame | ArrowTable | str | Path,
    *models: str,
    seed: int = 0,
    level: float = 0.9,
    runs: Sequence[int] = DEFAULT_RUNS,
    by: str | None = None,
) -> Compared:
    """Compare two models of a study, all of its models, or models judged in pairs.

    Args:
        source: A study or its folder; or judgements, as a table with columns model_a, model_b, winner or as its file.
        models: Two models of the study, or none to compare all.
        seed: Seed of everything random.
        level: Nominal coverage of the intervals.
        by: Compare two values of this facet, such as two scaffolds, with models held fixed; see `compare_parts`.
        runs: Numbers of runs of pass^k and pass@k, where all models are compared and some ran items more than once.

    Returns:
        A `Comparison` of two models, `SuiteAggregates` of all models, or `JudgedModels`.

    Raises:
        InputError: Another number of models, models with judgements, or no such model.

    Examples:
        >>> compare(study, "gpt", "llama").table  # doctest: +SKIP
    """
    if len(models) not in (0, 2) or (by is not None and not models):
        what = "models are named; name two, or none to rank all" if by is None else f"{by}s are named; name two"
        raise InputError(f"{len(models)} {what}")
    source = as_frame(source)
    if isinstance(source, str | Path) and Path(source).is_file():
        source = read_table(Path(source))
    if isinstance(source, pd.DataFrame):
        if models:
            raise InputError("judgements rank all their models; name none")
        return bradley_terry(source, level=level)
    study = opened(source)
    if by is not None and by != "model":
        return compare_parts(study, models[0], models[1], by=by, level=level)
    if models:
        return compare_models(study, models[0], models[1], seed=seed, level=level)
    return suite_aggregates(study, seed=seed, level=level, runs=runs)
