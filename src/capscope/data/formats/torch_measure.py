"""Long form of torch-measure: `BENCHMARK.parquet` beside the registries `items.parquet` and `subjects.parquet`."""

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from capscope.data.columns import as_identifier, as_number, blank_cells, data_row
from capscope.data.formats.assembly import assemble_logs
from capscope.data.formats.described_items import ItemBook, LoggedItem
from capscope.data.formats.format import (
    NOT_ADMINISTERED,
    Argument,
    ExportReport,
    Format,
    Head,
    ImportReport,
    Paths,
    as_paths,
    report_on_export,
    single_responses,
)
from capscope.data.formats.score_tables import ScoreTable, is_sentinel
from capscope.data.formats.scored_log import SCORE_BOUNDS, log_files
from capscope.data.reading import read_table
from capscope.data.study import Study
from capscope.errors import InputError, nearest
from capscope.files import whole_folder, write_table

REGISTRIES = ("items.parquet", "subjects.parquet", "benchmarks.parquet")
REQUIRED = ("subject_id", "item_id", "response")
LONGEST_NAME = 200
"""Bytes of the longest file name that is written."""
TRACES = "_traces"
"""End of the name of a file that holds traces rather than responses."""
KEY = ("subject_id", "item_id", "trial", "test_condition")


def import_torch_measure(paths: Paths, not_administered: Sequence[str] = ()) -> tuple[Study, ImportReport]:
    """Make a study of long-form data of torch-measure.

    Trials of a subject on an item become one response with their mean and number; a test condition is the `scaffold`.

    Args:
        paths: Files of responses, or folders of them; the registries of items and subjects are read where they lie
            beside them.
        not_administered: Responses that mean "not administered"; NaN and null always do.

    Returns:
        The study, and a report with counts.

    Raises:
        InputError: A column is missing, a response lies outside 0 to 1, or a row occurs twice.
    """
    files = [path for path in log_files(paths, ["*.parquet"], "long-form data") if _holds_responses(path)]
    if not files:
        raise InputError(f"{as_paths(paths)[0]}: holds registries only; give the folder with BENCHMARK.parquet")
    items = ItemBook()
    tables = [_scores(path, items, not_administered) for path in files]
    return assemble_logs("torch-measure", tables, items.table(), files)


def _holds_responses(path: Path) -> bool:
    return path.name not in REGISTRIES and not path.stem.endswith(TRACES)


def _scores(path: Path, items: ItemBook, sentinels: Sequence[str]) -> ScoreTable:
    frame = read_table(path)
    for name in REQUIRED:
        if name not in frame:
            raise InputError(f"{path}: column '{name}' is missing{nearest(name, map(str, frame.columns))}")
    ids = {name: as_identifier(frame[name], name, str(path)).astype(str) for name in ("item_id", "subject_id")}
    frame = frame.assign(**ids, scaffold=_conditions(frame, path))
    _refuse_repeated(frame, path)
    frame = frame.assign(model=_names(ids["subject_id"], path))
    _describe(frame, path, items)
    absent = frame["response"].isna().to_numpy() | is_sentinel(frame["response"], sentinels)
    kept = frame[~absent]

    def place(position: int) -> str:
        return data_row(int(kept.index[position]))

    kept = kept.assign(score=as_number(kept["response"], "score", SCORE_BOUNDS, str(path), place))
    described = kept[["item_id"]].astype("category")
    return ScoreTable(
        source=str(path),
        responses=_averaged(kept),
        described=described,
        rows=len(frame),
        not_administered=int(absent.sum()),
    )


def _averaged(kept: pd.DataFrame) -> pd.DataFrame:
    """Return one row for each subject, item and condition, its index the row where it occurs first."""
    rows = kept.assign(row=kept.index)
    by_cell = rows.groupby(["model", "item_id", "scaffold"], sort=False)
    means = by_cell.agg(score=("score", "mean"), n_trials=("score", "size"), row=("row", "first")).reset_index()
    responses = means.set_index("row").rename_axis(None)
    return responses if (responses["scaffold"] != "none").any() else responses.drop(columns="scaffold")


def _refuse_repeated(frame: pd.DataFrame, path: Path) -> None:
    key = [name for name in KEY if name in frame]
    repeated = frame.duplicated(key)
    if repeated.any():
        row = int(np.flatnonzero(repeated)[0])
        raise InputError(f"{path}: {data_row(row)} repeats its {', '.join(key)}; keep one row of each")


def _conditions(frame: pd.DataFrame, path: Path) -> pd.Series:
    if "test_condition" not in frame:
        return pd.Series("none", index=frame.index)
    stated = frame["test_condition"].astype(object)
    stated = stated.mask(blank_cells(stated), "none")
    return as_identifier(stated, "test_condition", str(path)).astype(str)


def _names(subjects: pd.Series, path: Path) -> pd.Series:
    """Call subjects by their display names, where the registry has one of their own for each."""
    registry = path.with_name("subjects.parquet")
    if not registry.is_file():
        return subjects
    known = _read_registry(registry, "subject_id")
    if "display_name" not in known or known["display_name"].isna().any() or known["display_name"].duplicated().any():
        return subjects
    display = dict(zip(known["subject_id"].astype(str), known["display_name"].astype(str), strict=True))
    return pd.Series([display.get(str(subject), str(subject)) for subject in subjects], index=subjects.index)


def _read_registry(path: Path, key: str) -> pd.DataFrame:
    known = read_table(path)
    if key not in known:
        raise InputError(f"{path}: column '{key}' is missing{nearest(key, map(str, known.columns))}; write it again")
    return known


def _describe(frame: pd.DataFrame, path: Path, items: ItemBook) -> None:
    """Take from the registry what it says about the items, and from the responses the benchmark."""
    registry = path.with_name("items.parquet")
    known = _read_registry(registry, "item_id") if registry.is_file() else pd.DataFrame({"item_id": []})
    by_id = known.assign(item_id=known["item_id"].astype(str)).drop_duplicates("item_id").set_index("item_id")
    benchmark = frame["benchmark_id"] if "benchmark_id" in frame else pd.Series(path.stem, index=frame.index)
    first = frame.assign(benchmark=benchmark.astype(str)).drop_duplicates("item_id")
    known_items = by_id.reindex(first["item_id"])
    columns = [_text(known_items, name) for name in ("content", "correct_answer", "content_hash")]
    for row, item_id, bench, text, target, digest in zip(
        first.index, first["item_id"], first["benchmark"], *columns, strict=True
    ):
        items.describe(item_id, LoggedItem(bench, None, text, target, None, digest), path, data_row(int(row)))


def _text(known_items: pd.DataFrame, column: str) -> list[str | None]:
    if column not in known_items:
        return [None] * len(known_items)
    return [value if isinstance(value, str) else None for value in known_items[column]]


def export_torch_measure(study: Study, out: Path, force: bool = False) -> ExportReport:
    """Write the responses of a study in the long form that `torch_measure.datasets.load(..., local_dir=OUT)` reads.

    A rate over trials becomes that many rows: ones and zeros where it is a count of successes, else the rate in each.
    A benchmark whose name cannot be a file's own (it is reserved, too long, or equals another's but for letter case
    or slashes) has a file of another name; `benchmark_id` in it is the name.

    Args:
        study: A study with responses.
        out: The folder to write: one file for each benchmark, and the registries.
        force: Replace existing files.

    Returns:
        The files that were written, and the columns that they lack.

    Raises:
        InputError: A model answers an item under several prompts.
        OutputError: Files exist, or cannot be written.
    """
    held = ("model", "item_id", "scaffold")
    responses = single_responses(study, "long-form data", held).astype({"model": str, "item_id": str})
    items = _registry(study, responses)
    of_item = items.set_index("item_id")["benchmark_id"]
    long = _long(responses).assign(benchmark_id=lambda rows: rows["item_id"].map(of_item))
    subjects = pd.DataFrame({"subject_id": sorted(responses["model"].unique())})
    benchmarks = sorted(long["benchmark_id"].unique())
    names = _file_names(benchmarks)
    tables = {names[str(name)]: rows.reset_index(drop=True) for name, rows in long.groupby("benchmark_id", sort=True)}
    tables |= {
        "items.parquet": items,
        "subjects.parquet": subjects.assign(display_name=subjects["subject_id"]),
        "benchmarks.parquet": pd.DataFrame({"benchmark_id": benchmarks, "name": benchmarks}),
    }
    _write_tables(tables, out, force=force)
    kept = ("model", "item_id", "score", "n_trials", "scaffold", "benchmark", "text", "target")
    return report_on_export(study, [out / name for name in tables], kept=kept)


def _write_tables(tables: dict[str, pd.DataFrame], out: Path, *, force: bool) -> None:
    """Write all tables or none; a folder that holds anything else is refused."""
    with whole_folder(out, force=force, what="long-form data", holds=tables.__contains__) as folder:
        for name, table in tables.items():
            write_table(folder / name, table)


def _file_names(benchmarks: Iterable[str]) -> dict[str, str]:
    """Return a file name for each benchmark: its own where it can be one, else with a hash of it at the end."""
    names: dict[str, str] = {}
    taken = {Path(name).stem for name in REGISTRIES}
    for benchmark in benchmarks:
        stem = "".join("_" if mark in '/\\:*?"<>|' or not mark.isprintable() else mark for mark in benchmark)
        reserved = stem.endswith(TRACES) or stem.startswith(".") or len(stem.encode()) > LONGEST_NAME
        if reserved or stem.casefold() in taken:
            short = stem.encode()[: LONGEST_NAME - 12].decode(errors="ignore").lstrip(".")
            stem = f"{short}-{hashlib.sha256(benchmark.encode()).hexdigest()[:8]}"
        taken.add(stem.casefold())
        names[benchmark] = f"{stem}.parquet"
    return names


def _registry(study: Study, responses: pd.DataFrame) -> pd.DataFrame:
    """Return the registry of the items that were answered."""
    registry = pd.DataFrame({"item_id": sorted(responses["item_id"].unique())})
    known = study.items if study.items is not None else pd.DataFrame({"item_id": []})
    by_id = known.assign(item_id=known["item_id"].astype(str)).set_index("item_id").reindex(registry["item_id"])
    columns = {"benchmark_id": "benchmark", "content": "text", "correct_answer": "target"}
    for name, column in columns.items():
        registry[name] = by_id[column].astype(object).to_numpy() if column in by_id else None
    registry["benchmark_id"] = registry["benchmark_id"].fillna("all").astype(str)
    return registry.assign(raw_item_id=registry["item_id"])


def _long(responses: pd.DataFrame) -> pd.DataFrame:
    """Return one row for each trial."""
    trials = responses["n_trials"].to_numpy() if "n_trials" in responses else np.ones(len(responses))
    counts = np.maximum(np.rint(trials), 1).astype(np.int64)
    place = np.repeat(np.arange(len(responses)), counts)
    trial = np.arange(len(place)) - np.repeat(np.cumsum(counts) - counts, counts)
    score = responses["score"].to_numpy(dtype=float)
    successes = np.rint(score * counts)
    counted = np.isclose(successes, score * counts, atol=1e-9) & (counts > 1)
    of_trial = np.where(counted[place], (trial < successes[place]).astype(float), score[place])
    condition = responses["scaffold"].astype(object) if "scaffold" in responses else pd.Series(None, responses.index)
    return pd.DataFrame(
        {
            "subject_id": responses["model"].to_numpy()[place],
            "item_id": responses["item_id"].to_numpy()[place],
            "trial": trial + 1,
            "test_condition": condition.to_numpy(dtype=object)[place],
            "response": of_trial,
        }
    )


def _detect(head: Head) -> bool:
    return set(REQUIRED) <= head.names and head.path.name not in REGISTRIES


TORCH_MEASURE = Format(
    name="torch-measure",
    help="Long form of torch-measure.",
    example="folder",
    patterns=("*.parquet",),
    detect=_detect,
    read=import_torch_measure,
    write=export_torch_measure,
    arguments=(Argument(help="BENCHMARK.parquet, or folders with the registries beside it."),),
    options=(NOT_ADMINISTERED,),
)
