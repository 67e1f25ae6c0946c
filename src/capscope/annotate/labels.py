"""Labels in a study's tables, with the hash of their rubric, which distinguishes its versions."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from capscope.annotate.ratings import Rating
from capscope.data import Study, guess_chance
from capscope.errors import InputError, counted, first_few

COLUMNS = ("item_id", "rubric", "annotator", "level", "sd", "confidence", "rubric_sha")
KEY = ["item_id", "rubric", "annotator"]


def label_table(ratings: Iterable[Rating], annotator: str) -> pd.DataFrame:
    """Lay ratings out as rows of a demands table.

    Args:
        ratings: Levels with their uncertainty, one for each item and rubric.
        annotator: Name of the annotator.

    Returns:
        The table, with the columns `COLUMNS`.
    """
    rows = [(r.item_id, r.rubric, annotator, r.level, r.sd, r.confidence, r.rubric_sha) for r in ratings]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def merge_labels(old: pd.DataFrame | None, new: pd.DataFrame, where: str, *, replace: bool = False) -> pd.DataFrame:
    """Add labels to a demands table; a label of the same item, rubric and annotator is renewed.

    Args:
        old: The table so far, if any.
        new: Labels of one annotator.
        where: What to call the table in an error.
        replace: Drop this annotator's labels that were made with another version of a rubric.

    Raises:
        InputError: The annotator already rated on another version of a rubric, and `replace` is not set.
    """
    if old is None or old.empty:
        return new.reset_index(drop=True)
    old = old.astype(dict.fromkeys(KEY, str))
    if "rubric_sha" not in old:
        old = old.assign(rubric_sha=None)
    versions = {str(code): str(sha) for code, sha in new.groupby("rubric")["rubric_sha"].first().dropna().items()}
    other = _other_versions(old, set(new["annotator"].unique()), versions)
    if other.any() and not replace:
        raise _version_error(old, other, where)
    renewed = pd.MultiIndex.from_frame(old[KEY]).isin(pd.MultiIndex.from_frame(new[KEY]))
    return pd.concat([old[~other & ~renewed], new], ignore_index=True)


def refuse_other_versions(study: Study, annotator: str, versions: dict[str, str]) -> None:
    """Refuse a run, before it asks anything, whose labels would mix with those of other versions of a rubric.

    Args:
        study: The study.
        annotator: Name under which labels would be stored.
        versions: Hash of each rubric by code.

    Raises:
        InputError: The annotator already rated on another version of a rubric.
    """
    if study.demands is None:
        return
    demands = study.demands.astype({"rubric": str, "annotator": str})
    other = _other_versions(demands, {annotator}, versions)
    if other.any():
        raise _version_error(demands, other, study.name)


def rubric_versions(demands: pd.DataFrame) -> pd.Series:
    """Return the rubric's hash that each row was made with; missing where the table does not say (blank in CSV)."""
    if "rubric_sha" not in demands:
        return pd.Series(None, index=demands.index, dtype=object)
    stated = demands["rubric_sha"].astype(object)
    return stated.where(stated.notna() & (stated.astype(str).str.strip() != ""), None)


def _other_versions(demands: pd.DataFrame, annotators: set[str], versions: dict[str, str]) -> pd.Series:
    """Mark the rows by these annotators that were made with another version of a rubric."""
    version, stated = demands["rubric"].map(versions), rubric_versions(demands)
    of_annotators, known = demands["annotator"].isin(annotators), version.notna() & stated.notna()
    return of_annotators & known & (stated != version.astype(object))


def _version_error(demands: pd.DataFrame, other: pd.Series, where: str) -> InputError:
    codes = first_few(sorted(demands.loc[other, "rubric"].unique()))
    return InputError(
        f"{where}: {counted(int(other.sum()), 'label')} by this annotator"
        f" {'was' if other.sum() == 1 else 'were'} made with another version of {codes};"
        " add --replace to drop them, or keep the old rubrics with --rubrics"
    )


def version_warnings(demands: pd.DataFrame) -> tuple[str, ...]:
    """Warn of rubrics whose labels were made with different versions, by whichever annotators."""
    versions = rubric_versions(demands).groupby(demands["rubric"].astype(str)).nunique()
    mixed = [str(code) for code in versions.index[versions > 1]]
    if not mixed:
        return ()
    return (f"labels on {first_few(mixed)} come from different versions of the rubric; compare annotators with care",)


def add_labels(folder: Path | str, rows: pd.DataFrame, *, replace: bool = False) -> tuple[str, ...]:
    """Add labels to the demands table of a study folder, in the table's own format; a new table is Parquet.

    The table is read again under a lock when it is written, so that labels which another run has added stay.

    Args:
        folder: The study folder.
        rows: Rows of a demands table; none changes nothing.
        replace: Drop the annotator's labels that were made with another version of a rubric.

    Returns:
        Warnings about versions.

    Raises:
        InputError: The annotator already rated on another version of a rubric, and `replace` is not set.
        OutputError: The table cannot be written.
    """
    if rows.empty:
        return ()
    warnings: list[str] = []

    def merged(old: pd.DataFrame | None) -> pd.DataFrame:
        table = merge_labels(old, rows, str(folder), replace=replace)
        warnings.extend(version_warnings(table))
        return table

    Study.replace_table(folder, "demands", merged, suffix=".parquet")
    return tuple(warnings)


def add_options(folder: Path | str, options: dict[str, int | None]) -> None:
    """Write numbers of options and Unguessability into the items table of a study folder.

    Args:
        folder: A study.
        options: Number of options of each item; None for an open question.

    Raises:
        OutputError: The table cannot be written.
    """
    Study.replace_table(folder, "items", lambda items: with_options(_required(items, folder), options))


def with_options(items: pd.DataFrame, options: dict[str, int | None]) -> pd.DataFrame:
    """Return an items table with the numbers of options that were learnt.

    ``unguessability`` is 100 (1 - 1/k) for k options and 100 for open answers (Zhou et al., 2026). A number of options
    that the table states itself is kept.

    Args:
        items: The items table.
        options: Number of options by item; None for an open answer.
    """
    items = items.copy()
    ids = items["item_id"].astype(str)
    stated = items["n_options"] if "n_options" in items else pd.Series(np.nan, index=items.index)
    learnt = ids.map({item: np.nan if count is None else float(count) for item, count in options.items()})
    items["n_options"] = stated.astype(float).fillna(learnt.astype(float))
    known = items["n_options"].notna() | ids.isin(list(options))
    guess = guess_chance(items["n_options"]).fillna(0.0)
    items["unguessability"] = (100 * (1 - guess)).where(known)
    chance = items["chance"] if "chance" in items else pd.Series(np.nan, index=items.index)
    items["chance"] = chance.astype(float).fillna(guess.where(known))
    return items


def _required(items: pd.DataFrame | None, folder: Path | str) -> pd.DataFrame:
    if items is None:
        raise InputError(f"{folder}: the table of items is gone; put it back and run again")
    return items
