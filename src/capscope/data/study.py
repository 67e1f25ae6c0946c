"""A study: tables of items, responses and demands in one folder, checked when read and written whole."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from capscope.data.columns import guess_chance
from capscope.data.reading import read_table
from capscope.data.study_folder import (
    MANIFEST,
    SCHEMA_VERSION,
    STUDY_FILES,
    edited_files,
    keep_models,
    rated_rubrics,
    read_manifest,
    read_unchanged,
    replace_tables,
    table_files,
)
from capscope.data.tables import (
    TABLES,
    ArrowTable,
    TableName,
    as_frame,
    holds_scores,
    is_checked,
    long_responses,
    validate,
)
from capscope.display import html_table
from capscope.errors import InputError, counted, refuse_absent_model
from capscope.files import locked, sha256_of, whole_folder, write_json, write_table

ADVICE: dict[TableName, str] = {
    "items": "add a table of items to the study folder, or import the logs with their texts",
    "responses": "add answers with 'capscope import FILES --into STUDY'",
    "demands": "rate the items with 'capscope annotate STUDY --annotator openai:MODEL', or add levels that exist with"
    " 'capscope import levels FILE --into STUDY'",
}
"""How to get a table that is missing."""


@dataclass(frozen=True)
class Study:
    """Up to three tables about the same items (columns: see `TABLES`).

    Read one with `Study.load`, or make one of data frames with `Study.of`; tables are checked either way.
    """

    items: pd.DataFrame | None = None
    """One row for each item: `item_id`, `benchmark`, `task`, `text`, optionally `target`, `n_options`, `chance`."""
    responses: pd.DataFrame | None = None
    """One row for each model and item: `score` in [0, 1], optionally `n_trials`."""
    demands: pd.DataFrame | None = None
    """One row for each item, rubric and annotator: `level` from 0 to 5."""
    name: str = "study"
    """Name for messages: the folder."""
    sources: dict[str, Any] = field(default_factory=dict[str, Any])
    """Origin of the tables, as recorded in `study.json`."""
    edited: tuple[str, ...] = ()
    """Table files whose hash differs from the one in `study.json`."""

    def __post_init__(self) -> None:
        """Check tables that were not checked before, and fill in what a table of items may leave out.

        Raises:
            InputError: A table breaks its specification.
        """
        for table, frame in self.tables().items():
            if not is_checked(frame, table):
                object.__setattr__(self, table, validate(frame, table, f"{self.name}: {table}"))
        if self.items is not None and not {"benchmark", "task", "text"} <= set(self.items.columns):
            object.__setattr__(self, "items", _with_defaults(self.items))

    def __repr__(self) -> str:
        """Return the name and sizes."""
        sizes = ", ".join(counted(len(frame), table.removesuffix("s")) for table, frame in self.tables().items())
        return f"Study('{self.name}': {sizes}{_axes_of(self)})"

    def _repr_html_(self) -> str:
        """Return the columns of each table, for notebooks."""
        rows = [(table, len(frame), ", ".join(map(str, frame.columns))) for table, frame in self.tables().items()]
        return html_table(f"Study {self.name}", pd.DataFrame(rows, columns=["table", "rows", "columns"]))

    @classmethod
    def of(
        cls,
        items: pd.DataFrame | ArrowTable | None = None,
        responses: pd.DataFrame | ArrowTable | None = None,
        demands: pd.DataFrame | ArrowTable | None = None,
        name: str = "study",
        sources: dict[str, Any] | None = None,
    ) -> "Study":
        """Check tables and make a study of them; tables of polars, pyarrow and DuckDB are accepted.

        Args:
            items: Table of items. A first table with the columns of responses, or a matrix of scores with a row for
                each model (its index, or column ``model``) and a column for each item (NaN where an item was not
                administered), is taken as responses.
            responses: Table of responses.
            demands: Table of demand levels.
            name: Name for messages.
            sources: Origin of the tables.

        Raises:
            InputError: A table breaks its specification; the message says where.
            TypeError: A table is no DataFrame.
        """
        items, responses, demands = as_frame(items), as_frame(responses), as_frame(demands)
        for frame in (items, responses, demands):
            if not isinstance(frame, pd.DataFrame | None):  # pyright: ignore[reportUnnecessaryIsInstance]
                kind = type(frame).__name__
                raise TypeError(f"{name}: a table is {kind}; give a DataFrame of pandas, polars, pyarrow or DuckDB")
        if items is not None and responses is None:
            items, responses = (None, long_responses(items, name)) if holds_scores(items) else (items, None)
        given: dict[TableName, pd.DataFrame | None] = {
            "items": items,
            "responses": responses,
            "demands": demands,
        }
        checked = {
            table: validate(frame, table, f"{name}: {table}") for table, frame in given.items() if frame is not None
        }
        if not checked:
            raise InputError(f"{name}: no table; give at least one of {', '.join(TABLES)}")
        return cls(
            _with_defaults(checked.get("items")),
            checked.get("responses"),
            checked.get("demands"),
            name,
            sources or {},
        )

    @classmethod
    def load(cls, folder: Path | str) -> "Study":
        """Read and check the tables of a study folder.

        Raises:
            InputError: The folder does not exist or holds no table, or a table is wrong.
        """
        return read_unchanged(Path(folder), cls._load)

    @classmethod
    def _load(cls, folder: Path) -> "Study":
        tables = {table: validate(read_table(path), table, str(path)) for table, path in table_files(folder).items()}
        manifest = read_manifest(folder / MANIFEST)
        return cls(
            _with_defaults(tables.get("items")),
            tables.get("responses"),
            tables.get("demands"),
            str(folder),
            manifest.get("sources", {}),
            edited_files(folder, manifest),
        )

    def save(self, folder: Path | str, *, force: bool = False) -> Path:
        """Write the tables and `study.json` (schema version, sources, hashes); all of it or nothing.

        With `force`, an older study stays whole until the new one is complete. A `models.csv` in the folder stays.

        Args:
            folder: The folder to write.
            force: Whether an existing study may be replaced.

        Raises:
            OutputError: The folder exists and `force` is not set, it is no study, or it cannot be written.
        """
        folder = Path(folder)
        with (
            locked(folder),
            whole_folder(folder, force=force, what="study", holds=STUDY_FILES.__contains__) as complete,
        ):
            self._write(complete)
            keep_models(folder, complete)
        return folder

    @staticmethod
    def replace_table(
        folder: Path | str,
        table: TableName,
        change: Callable[[pd.DataFrame | None], pd.DataFrame],
        *,
        suffix: str | None = None,
    ) -> Path:
        """Replace or extend one table of a study folder, in the table's own format.

        The table is read again under a lock just before it is changed, so that rows which another process has added in
        the meantime are kept. A new table takes the format of the folder's other tables.

        Args:
            folder: The study folder.
            table: Name of the table.
            change: Takes the checked table as it is now (None where there is none) and returns the new one.
            suffix: Ending of a table that is not there yet; by default that of the other tables.

        Returns:
            The file that was written.

        Raises:
            InputError: The folder is no study, or the old or the new table breaks its specification.
            OutputError: The table cannot be written; the old one is then still there.
        """
        folder = Path(folder)
        with locked(folder):
            paths = table_files(folder)
            manifest = read_manifest(folder / MANIFEST)
            old = validate(read_table(paths[table]), table, str(paths[table])) if table in paths else None
            suffix = suffix or next((path.suffix for path in paths.values()), ".parquet")
            path = paths.get(table, folder / f"{table}{suffix}")
            new = validate(change(old), table, str(path))

            def stated(hashes: Mapping[str, str]) -> dict[str, Any]:
                rated = {"rubrics": rated_rubrics(new)} if table == "demands" else {}
                return manifest | {"sha256": manifest.get("sha256", {}) | hashes} | rated if manifest else {}

            replace_tables(folder, {path: new}, stated)
        return path

    @staticmethod
    def update(folder: Path | str, change: Callable[["Study"], "Study"]) -> "Study":
        """Change the tables of a study folder, each in its own format, under a lock.

        Args:
            folder: The study folder.
            change: Takes the study as it is now and returns the new one.

        Returns:
            The new study.

        Raises:
            InputError: The folder is no study, or the change is refused; the folder is then as it was.
            OutputError: A table cannot be written; all are then as they were.
        """
        folder = Path(folder)
        with locked(folder):
            old = Study.load(folder)
            new = change(old)
            paths, manifest = table_files(folder), read_manifest(folder / MANIFEST)
            suffix = next(path.suffix for path in paths.values())
            changed = {
                paths.get(table, folder / f"{table}{suffix}"): frame
                for table, frame in new.tables().items()
                if frame is not old.tables().get(table)
            }

            def stated(hashes: Mapping[str, str]) -> dict[str, Any]:
                known = {"schema_version": SCHEMA_VERSION, "sources": new.sources}
                all_hashes = {"sha256": manifest.get("sha256", {}) | hashes}
                return manifest | known | all_hashes | {"rubrics": rated_rubrics(new.demands)}

            replace_tables(folder, changed, stated)
        return new

    def _write(self, folder: Path) -> None:
        hashes: dict[str, str] = {}
        for table, frame in self.tables().items():
            path = write_table(folder / f"{table}.parquet", frame)
            hashes[path.name] = sha256_of(path)
        manifest = {
            "schema_version": SCHEMA_VERSION,
            "sources": self.sources,
            "sha256": hashes,
            "rubrics": rated_rubrics(self.demands),
        }
        write_json(folder / MANIFEST, manifest)

    def tables(self) -> dict[TableName, pd.DataFrame]:
        """Return the tables this study has, by name."""
        held: dict[TableName, pd.DataFrame | None] = {
            "items": self.items,
            "responses": self.responses,
            "demands": self.demands,
        }
        return {table: frame for table, frame in held.items() if frame is not None}

    def require(self, table: TableName) -> pd.DataFrame:
        """Return a table that has to be there.

        Raises:
            InputError: The study does not have it.
        """
        tables = self.tables()
        if table not in tables:
            raise InputError(f"{self.name}: this job needs {table}.parquet; {ADVICE[table]}")
        return tables[table]

    def with_items(self) -> "Study":
        """Return the study with a table of items; where it has none, one with the ids of the other tables."""
        if self.items is not None:
            return self
        ids = sorted({str(name) for frame in self.tables().values() for name in frame["item_id"].unique()})
        items = _with_defaults(validate(pd.DataFrame({"item_id": ids}), "items", self.name))
        return Study(items, self.responses, self.demands, self.name, self.sources, self.edited)

    def keep_items(self, item_ids: pd.Index) -> "Study":
        """Return the study reduced to these items in every table it has."""
        kept = {
            table: frame[frame["item_id"].isin(item_ids)].reset_index(drop=True)
            for table, frame in self.tables().items()
        }
        return Study(kept.get("items"), kept.get("responses"), kept.get("demands"), self.name, self.sources)

    def keep_models(self, models: list[str]) -> "Study":
        """Return the study with the responses of these models only.

        Raises:
            InputError: There is no such model.
        """
        responses = self.require("responses")
        known = sorted(map(str, responses["model"].unique()))
        for model in models:
            refuse_absent_model(self.name, model, known)
        kept = responses[responses["model"].isin(models)].reset_index(drop=True)
        return Study(self.items, kept, self.demands, self.name, self.sources)


def _axes_of(study: Study) -> str:
    if study.responses is None:
        return ""
    models, items = study.responses["model"].nunique(), study.responses["item_id"].nunique()
    return f"; {counted(models, 'model')} on {counted(items, 'item')}"


def read_study(folder: Path | str) -> Study:
    """Read and check the tables of a study folder; `Study.of` makes one of frames, `import_logs` of other files.

    Args:
        folder: A folder with `items`, `responses` or `demands` as Parquet, CSV or JSON lines.

    Returns:
        The study.

    Raises:
        InputError: The folder does not exist or holds no table, or a table is wrong.

    Example:
        >>> study = read_study("study")  # doctest: +SKIP
    """
    return Study.load(folder)


def _with_defaults(items: pd.DataFrame | None) -> pd.DataFrame | None:
    """Fill in what a table of items may leave out: its benchmark, its task, and the chance of a guess."""
    if items is None:
        return None
    items = items.copy()
    if "benchmark" not in items:
        items["benchmark"] = pd.Categorical(["all"] * len(items))
    if "task" not in items:
        items["task"] = items["benchmark"]
    if "text" not in items:
        items["text"] = pd.Series([None] * len(items), dtype="str")
    if "n_options" in items:
        guess = guess_chance(items["n_options"])
        stated = items["chance"].mask(items["n_options"] == 1, 0.0) if "chance" in items else guess
        items["chance"] = stated.fillna(guess)
    return items
