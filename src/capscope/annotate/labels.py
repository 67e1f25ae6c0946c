"""Labels in a study's tables: written whole, marked with their rubric's hash, versions never mixed silently."""

import hashlib
import json
import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from capscope.annotate.judgements import Judgement
from capscope.data import Study, validate
from capscope.errors import InputError, first_few

COLUMNS = ("item_id", "rubric", "annotator", "level", "sd", "confidence", "rubric_sha")


def label_table(judgements: Iterable[Judgement], annotator: str) -> pd.DataFrame:
    """Lay judgements out as rows of a demands table."""
    rows = [(j.item_id, j.rubric, annotator, j.level, j.sd, j.confidence, j.rubric_sha) for j in judgements]
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
    old = old.astype({"item_id": str, "rubric": str, "annotator": str})
    if "rubric_sha" not in old:
        old = old.assign(rubric_sha=None)
    ours = old["annotator"].isin(new["annotator"].unique())
    version = old["rubric"].map(new.groupby("rubric")["rubric_sha"].first())
    other = ours & version.notna() & old["rubric_sha"].notna() & (old["rubric_sha"] != version)
    if other.any() and not replace:
        codes = first_few(sorted(old.loc[other, "rubric"].unique()))
        raise InputError(
            f"{where}: {int(other.sum())} labels by this annotator were made with another version of {codes};"
            " add --replace to drop them, or keep the old rubrics with --rubrics"
        )
    key = ["item_id", "rubric", "annotator"]
    renewed = pd.MultiIndex.from_frame(old[key]).isin(pd.MultiIndex.from_frame(new[key]))
    return pd.concat([old[~other & ~renewed], new], ignore_index=True)


def version_warnings(demands: pd.DataFrame) -> tuple[str, ...]:
    """Warn of rubrics whose labels were made with different versions, by whichever annotators."""
    if "rubric_sha" not in demands:
        return ()
    versions = demands[demands["rubric_sha"].notna()].groupby("rubric", observed=True)["rubric_sha"].nunique()
    mixed = [str(code) for code in versions.index[versions > 1]]
    if not mixed:
        return ()
    return (f"labels on {first_few(mixed)} come from different versions of the rubric; compare annotators with care",)


def write_demands(folder: Path, demands: pd.DataFrame) -> Path:
    """Write a study's demands table in one step and note its hash in `study.json`.

    Raises:
        InputError: The table breaks its specification.
    """
    path = folder / "demands.parquet"
    checked = validate(demands, "demands", str(path))
    _write_whole(path, checked)
    _update_manifest(folder, path, sorted(map(str, checked["rubric"].unique())))
    return path


def write_options(folder: Path, study: Study, options: dict[str, int | None]) -> Path:
    """Write the numbers of options that were found into the items table, and Unguessability for every item.

    ``unguessability`` is 100 (1 - 1/k) for k options and 100 for open answers (Zhou et al., 2026). A number of options
    that the study states itself is kept.
    """
    items = study.require("items").copy()
    ids = items["item_id"].astype(str)
    stated = items["n_options"] if "n_options" in items else pd.Series(np.nan, index=items.index)
    found = ids.map({item: np.nan if count is None else float(count) for item, count in options.items()})
    items["n_options"] = stated.astype(float).fillna(found.astype(float))
    known = items["n_options"].notna() | ids.isin(list(options))
    guess = (1 / items["n_options"]).fillna(0.0)
    items["unguessability"] = (100 * (1 - guess)).where(known)
    chance = items["chance"] if "chance" in items else pd.Series(np.nan, index=items.index)
    items["chance"] = chance.astype(float).fillna(guess.where(known))
    path = folder / "items.parquet"
    _write_whole(path, items)
    _update_manifest(folder, path, None)
    return path


def _write_whole(path: Path, frame: pd.DataFrame) -> None:
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    frame.to_parquet(scratch, index=False)
    os.replace(scratch, path)


def _update_manifest(folder: Path, path: Path, rubrics: list[str] | None) -> None:
    place = folder / "study.json"
    if not place.is_file():
        return
    manifest = json.loads(place.read_text("utf-8"))
    manifest.setdefault("sha256", {})[path.name] = hashlib.sha256(path.read_bytes()).hexdigest()
    if rubrics is not None:
        manifest["rubrics"] = rubrics
    place.write_text(json.dumps(manifest, indent=2, ensure_ascii=False) + "\n", "utf-8")
