"""Right inputs of every kind that capscope reads, small enough to be damaged thousands of times, and how each is read."""

import csv
import io
import json
import math
import re
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from capscope.annotate import AnnotatorSettings, load_rubrics  # noqa: F401
from capscope.battery import (
    Bank,
    Battery,
    load_answers,
    load_costs,
    read_harness_names,
    select_battery,
)
from capscope.data import Study, read_level_counts
from capscope.data.formats import FORMATS, export_study, read_format
from capscope.data.levels import read_items
from capscope.data.splits import read_families
from capscope.endpoint import Ledger
from capscope.endpoint.messages import ChatReply, Usage
from capscope.files import write_table
from capscope.fit import Fit, fit, load
from capscope.predict.scores.benchmark import read_labels, read_past_effects
from capscope.profiles import compare, profile

FIXTURES = Path(__file__).resolve().parents[2] / "tests/data/fixtures"
Values = Mapping[tuple[str, ...], tuple[float | str, ...]]
"""What a reader makes of an input: numbers by names."""
STRICT_NUMBER = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*")


@dataclass(frozen=True, kw_only=True)
class Input:
    """One kind of input: files that are right, those that are damaged, and the reader."""

    name: str
    """What it is."""
    make: Callable[[Path], None]
    """Writes the right files into an empty folder."""
    read: Callable[[Path], Values]
    """Reads the folder; a `CapscopeError` is a refusal."""
    targets: tuple[str, ...]
    """Patterns of the files that are damaged."""
    strict: Callable[[Path], Values | None] | None = None
    """What a strict reader makes of the damaged files: equal values, or a refusal; None where it cannot read them."""
    weight: int = 1
    """How often it is drawn."""


def answers(seed: int = 0) -> pd.DataFrame:
    """Return scores of four models on eight items, no two rows of a model alike."""
    rng = np.random.default_rng(seed)
    rows = [(f"m{m}", f"i{i}", float(rng.choice([0.0, 1.0, 0.5, 0.25, 0.125]))) for m in range(4) for i in range(8)]
    return pd.DataFrame(rows, columns=["model", "item_id", "score"])


def demands(items: int = 8) -> pd.DataFrame:
    """Return levels of the items on two rubrics."""
    rows = [(f"i{i}", code, "me", float((i * k) % 6)) for i in range(items) for k, code in ((1, "QLl"), (2, "AS"))]
    return pd.DataFrame(rows, columns=["item_id", "rubric", "annotator", "level"])


def texts() -> pd.DataFrame:
    """Return items with texts, options and tasks."""
    rows = [(f"i{i}", f"b{i % 2}", f"t{i % 4}", f"Say, {i} times: \"yes\"", 4.0) for i in range(8)]
    return pd.DataFrame(rows, columns=["item_id", "benchmark", "task", "text", "n_options"])


def study_values(study: Study) -> Values:
    """Return every number of a study."""
    values: dict[tuple[str, ...], tuple[float | str, ...]] = {}
    if study.responses is not None:
        facets = [name for name in ("prompt", "scaffold", "run") if name in study.responses]
        trials = study.responses["n_trials"] if "n_trials" in study.responses else [1.0] * len(study.responses)
        for row, count in zip(study.responses.itertuples(), trials, strict=True):
            values["score", str(row.model), str(row.item_id), *(str(getattr(row, f)) for f in facets)] = (row.score, count)
    if study.demands is not None:
        for row in study.demands.itertuples():
            values["level", str(row.item_id), str(row.rubric), str(row.annotator)] = (row.level,)
    if study.items is not None and "chance" in study.items:
        for row in study.items.itertuples():
            values["chance", str(row.item_id)] = (math.nan if pd.isna(row.chance) else row.chance,)
    return values


def strict_rows(path: Path) -> list[dict[str, Any]] | None:
    """Read a table with Python's own modules alone; None where they cannot, or where a row does not fit the header."""
    try:
        raw = path.read_bytes()
        if path.suffix == ".parquet":
            import pyarrow.parquet as pq

            return pq.read_table(path).to_pylist()
        text = raw.decode("utf-8-sig")
        if path.suffix in (".json", ".jsonl"):
            lines = [json.loads(line) for line in text.split("\n") if line.strip()]
            rows = lines if path.suffix == ".jsonl" else json.loads(text)
            return rows if all(isinstance(row, dict) for row in rows) else None
        mark = "," if path.suffix == ".csv" else "\t"
        table = [row for row in csv.reader(io.StringIO(text), delimiter=mark, strict=True) if row]
        names = [name.strip() for name in table[0]]
        if len(set(names)) < len(names) or any(len(row) != len(names) for row in table):
            return None
        return [dict(zip(names, row, strict=True)) for row in table[1:]]
    except Exception:  # noqa: BLE001 - whatever the modules raise, they cannot read it
        return None


def strict_number(value: object, truth: bool) -> float | None:
    """Read a cell as a number, if it is one beyond doubt."""
    if isinstance(value, bool):
        return float(value) if truth else None
    if isinstance(value, int | float):
        try:
            return float(value)
        except OverflowError:
            return None
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if not isinstance(value, str):
        return None if not hasattr(value, "as_tuple") else float(value)  # pyright: ignore[reportArgumentType]
    if truth and value.strip().lower() in ("true", "false"):
        return float(value.strip().lower() == "true")
    return float(value) if STRICT_NUMBER.fullmatch(value) else None


def strict_table(names: tuple[str, ...], number: str, bounds: tuple[float, float]) -> Callable[[Path], Values | None]:
    """Return a strict reader of one table: its key columns and its number."""

    def read(folder: Path) -> Values | None:
        (path,) = (path for path in folder.iterdir() if path.stem.startswith("table"))
        rows = strict_rows(path)
        if not rows:
            return None
        values: dict[tuple[str, ...], tuple[float | str, ...]] = {}
        for row in rows:
            value = strict_number(row.get(number), number == "score")
            key = tuple(_name(row.get(name)) for name in names)
            if value is None or not bounds[0] <= value <= bounds[1] or not all(key) or key in values:
                return None
            values[key] = (value,)
        return values

    return read


def _name(value: object) -> str:
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace").strip()
    if value is None or isinstance(value, list | dict | bool) or value != value:  # noqa: PLR0124 - NaN
        return ""
    return str(value).strip()


def _tables() -> list[Input]:
    found: list[Input] = []
    for suffix in (".csv", ".tsv", ".json", ".jsonl", ".parquet"):
        for table, frame in (("responses", answers()), ("demands", demands()), ("items", texts())):
            found.append(
                Input(
                    name=f"study {table}{suffix}",
                    make=lambda folder, s=suffix, t=table, f=frame: _study(folder, s, t, f),
                    read=lambda folder: study_values(Study.load(folder)),
                    targets=(f"{table}{suffix}",),
                    strict=_STRICT[table](suffix),
                    weight=3,
                )
            )
    return found


def _study(folder: Path, suffix: str, table: str, frame: pd.DataFrame) -> None:
    write_table(folder / f"{table}{suffix}", frame)


def _strict_study(names: tuple[str, ...], number: str, bounds: tuple[float, float], word: str) -> Callable[[str], Any]:
    def of(suffix: str) -> Callable[[Path], Values | None]:
        def read(folder: Path) -> Values | None:
            (path,) = folder.glob(f"*{suffix}")
            rows = strict_rows(path)
            if not rows:
                return None
            values: dict[tuple[str, ...], tuple[float | str, ...]] = {}
            for row in rows:
                value, key = strict_number(row.get(number), number == "score"), tuple(_name(row.get(n)) for n in names)
                if value is None or not bounds[0] <= value <= bounds[1] or not all(key) or (word, *key) in values:
                    return None
                values[word, *key] = (value, 1.0) if word == "score" else (value,) if word == "level" else (1 / value,)
            return values

        return read

    return of


_STRICT = {
    "responses": _strict_study(("model", "item_id"), "score", (0, 1), "score"),
    "demands": _strict_study(("item_id", "rubric", "annotator"), "level", (0, 5), "level"),
    "items": _strict_study(("item_id",), "n_options", (1, math.inf), "chance"),
}


def _copied(*names: str) -> Callable[[Path], None]:
    return lambda folder: [shutil.copytree(FIXTURES / name, folder / Path(name).name) if (FIXTURES / name).is_dir() else shutil.copy(FIXTURES / name, folder) for name in names] and None


def _log(name: str, format: str, files: tuple[str, ...], targets: tuple[str, ...], **options: Any) -> Input:
    return Input(
        name=name,
        make=_copied(*files),
        read=lambda folder: study_values(read_format(FORMATS, format, [folder], options)[0]),
        targets=targets,
        weight=6,
    )


def _exported(format: str, target: str, **options: Any) -> Input:
    def make(folder: Path) -> None:
        binary = answers().assign(score=lambda frame: frame["score"].round())
        study = Study.of(texts().assign(benchmark="b"), binary)
        export_study(FORMATS, format, study, folder / target if "." in target else folder / "out", force=True)

    def read(folder: Path) -> Values:
        paths = [folder / target] if "." in target else [folder / "out"]
        return study_values(read_format(FORMATS, format, paths, options)[0])

    return Input(name=f"format {format}", make=make, read=read, targets=(target if "." in target else "out/*",), weight=4)


def _adele(long: bool) -> Input:
    def make(folder: Path) -> None:
        wide = demands().pivot(index="item_id", columns="rubric", values="level").reset_index()
        battery = wide.rename(columns={"item_id": "instance_id"}).assign(task="t", source="s", question="q")
        (folder / "battery.csv").write_text(battery.to_csv(index=False))
        frame = answers().rename(columns={"item_id": "instance_id"})
        (folder / "answers.csv").write_text(frame.to_csv(index=False))

    def read(folder: Path) -> Values:
        return study_values(read_format(FORMATS, "adele", [folder / "battery.csv"], {})[0])

    return Input(name="format adele", make=make, read=read, targets=("battery.csv",), weight=2 + long)


def _batch() -> Input:
    def make(folder: Path) -> None:
        rows = [
            {
                "custom_id": f"QLl:i{i}",
                "response": {
                    "status_code": 200,
                    "body": {"choices": [{"message": {"content": json.dumps({"level": i % 6})}, "finish_reason": "stop"}]},
                },
                "error": None,
            }
            for i in range(8)
        ]
        (folder / "batch.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    def read(folder: Path) -> Values:
        from capscope.annotate import parse_reply

        options = {"names": BatchNames(annotator="me", separator=":"), "read_level": parse_reply}
            return study_values(read_format(FORMATS, "openai-batch", [folder / "batch.jsonl"], options)[0])

    return Input(name="format openai-batch", make=make, read=read, targets=("batch.jsonl",), weight=4)


def _batch_options(options: dict[str, Any], known: tuple[str, ...]) -> dict[str, Any]:
    return {**{name: options["parse_level"] for name in known}, "annotator": options["annotator"]}


def _frame_input(name: str, frame: pd.DataFrame, read: Callable[[Path], Values], suffix: str = ".csv", weight: int = 2) -> Input:
    return Input(
        name=name,
        make=lambda folder: _study(folder, suffix, "table", frame),
        read=lambda folder: read(folder / f"table{suffix}"),
        targets=(f"table{suffix}",),
        weight=weight,
    )


@cache
def fitted(model: str) -> Path:
    """Return a fit of a model to the answers, made once."""
    folder = Path(tempfile.mkdtemp()) / model
    study = Study.of(texts(), answers().assign(score=lambda frame: frame["score"].round()), demands())
    fit(study, model, dims=2 if model == "mirt" else None, device="cpu").save(folder)
    return folder


@cache
def banked() -> Path:
    """Return a bank of the answers, made once."""
    folder = Path(tempfile.mkdtemp()) / "bank"
    return Bank.build(Study.of(texts(), answers().assign(score=lambda frame: frame["score"].round()))).save(folder)


def _fit_values(held: Fit[Any]) -> Values:
    table = held.abilities()
    profile(held)
    numbers = table.select_dtypes("number")
    names = table.drop(columns=numbers.columns).astype(str).to_numpy().tolist()
    return {tuple(key): tuple(row) for key, row in zip(names, numbers.to_numpy().tolist(), strict=True)}


def _bank_values(bank: Bank) -> Values:
    table = bank.table().select_dtypes("number")
    return {(item,): tuple(row) for item, row in zip(bank.items, table.to_numpy().tolist(), strict=True)}


def _folder(name: str, source: Callable[[], Path], read: Callable[[Path], Values], weight: int = 4) -> Input:
    return Input(
        name=name,
        make=lambda folder: shutil.copytree(source(), folder / "x") and None,
        read=lambda folder: read(folder / "x"),
        targets=("x/manifest.json", "x/tensors.safetensors"),
        weight=weight,
    )


def _ledger() -> Input:
    def make(folder: Path) -> None:
        with Ledger(folder / "ledger.sqlite") as ledger:
            for number in range(12):
                ledger.claim(f"k{number}")
                ledger.put(f"k{number}", ChatReply(f'{{"level": {number % 6}}}', "stop", Usage(10, 5)), "m", 0.25)
            ledger.record_fact("probe", {"form": "text"})
        for rest in ("ledger.sqlite-wal", "ledger.sqlite-shm"):
            (folder / rest).unlink(missing_ok=True)

    def read(folder: Path) -> Values:
        with Ledger(folder / "ledger.sqlite") as ledger:
            ledger.spent(), ledger.count(), ledger.fact("probe")
            found = {entry.key: entry.reply for entry in ledger.done(f"k{n}" for n in range(12))}
        return {(key,): (reply.text if reply else "", reply.problem if reply else "") for key, reply in found.items()}

    return Input(name="ledger", make=make, read=read, targets=("ledger.sqlite",), weight=6)


def _ledger_rows() -> Input:
    """A ledger whose stored replies, JSON texts, are damaged one by one."""
    whole = _ledger()

    def make(folder: Path) -> None:
        whole.make(folder)
        with sqlite3.connect(folder / "ledger.sqlite") as db:
            (stored,) = db.execute("SELECT reply FROM calls WHERE key = 'k3'").fetchone()
        (folder / "reply.json").write_text(stored)

    def read(folder: Path) -> Values:
        with sqlite3.connect(folder / "ledger.sqlite") as db:
            text = (folder / "reply.json").read_bytes()
            try:
                db.execute("UPDATE calls SET reply = ? WHERE key = 'k3'", (text.decode(),))
            except (UnicodeError, ValueError):
                db.execute("UPDATE calls SET reply = CAST(? AS TEXT) WHERE key = 'k3'", (text,))
        db.close()
        return {key: value for key, value in whole.read(folder).items() if key != ("k3",)}

    return Input(name="ledger replies", make=make, read=read, targets=("reply.json",), weight=3)


def _rubrics() -> Input:
    def make(folder: Path) -> None:
        (folder / "r").mkdir()
        for code in ("QLl", "AS"):
            levels = "\n".join(f"Level {n}: words {n}\n- example {n}" for n in range(6))
            (folder / "r" / f"{code}.txt").write_text(f"Scale {code}\n\n{levels}\n")
        (folder / "r" / "index.json").write_text(json.dumps({"name": "set", "version": "1", "order": ["QLl", "AS"]}))

    def read(folder: Path) -> Values:
        held = load_rubrics(folder / "r")
        return {(code, str(level.level)): (level.text,) for code in held.codes for level in held.get(code).levels}

    return Input(name="rubrics", make=make, read=read, targets=("r/*",), weight=4)


def _residuals() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    rows = [
        ("forest", 0, b, f"m{m}", f"i{i}", f"b{b}", f"t{b}", float(rng.random() < 0.5), 0.5, 0.0, 1.0)
        for m in range(4)
        for b in range(3)
        for i in range(3 * b, 3 * b + 3)
    ]
    columns = "assessor seed fold model item_id benchmark task score chance log_odds_mean log_odds_sd".split()
    return pd.DataFrame(rows, columns=columns)


def _counts() -> pd.DataFrame:
    rows = [(f"m{m}", code, level, 10, 10 - level - m) for m in range(3) for code in ("AS", "QLl") for level in range(6)]
    return pd.DataFrame(rows, columns=["model", "rubric", "level", "n", "correct"])


def _read_counts(path: Path) -> Values:
    held = read_level_counts(path)
    return {
        (model, dim, str(level)): (held.n[m, d, level], held.correct[m, d, level])
        for m, model in enumerate(held.models)
        for d, dim in enumerate(held.dims)
        for level in range(6)
    }


def _battery_frame(folder: Path) -> pd.DataFrame:
    select_battery(Study.of(texts(), answers()), 4, seed=0).save(folder / "b.csv")
    return pd.read_csv(folder / "b.csv")


def _read_battery(path: Path) -> Values:
    held = Battery.load(path)
    return {(str(row.item_id),): (row.draw_chance, row.weight, held.pool, held.seed) for row in held.table.itertuples()}


def _judged() -> pd.DataFrame:
    rows = [("A", "B", "a"), ("A", "C", "b"), ("B", "C", "tie"), ("C", "D", "a"), ("D", "A", "b"), ("B", "D", "a")] * 3
    return pd.DataFrame(rows, columns=["model_a", "model_b", "winner"])


def _read_judged(path: Path) -> Values:
    table = compare(path).table
    return {(str(row.model),): (float(row.strength),) for row in table.itertuples()}


def _values_of_effect(effect: Any) -> Values:
    return {("effect",): tuple(float(value) for value in vars(effect).values() if isinstance(value, int | float))}


def inputs() -> list[Input]:
    """Return every kind of input."""
    held = Path(tempfile.mkdtemp())
    labels = answers().head(10)
    models, items = tuple(f"m{m}" for m in range(4)), tuple(f"i{i}" for i in range(8))
    costs = pd.DataFrame({"item_id": items, "cost": [1.5, 2, 3, 4, 5, 6, 7, 8]})
    families = pd.DataFrame({"model": models, "family": ["a", "a", "b", "b"]})
    found = [
        *_tables(),
        _log("Inspect .json", "inspect", ("inspect/sums-beta.json",), ("*.json",), metrics=["match"]),
        _log("Inspect .eval", "inspect", ("inspect/sums-alpha.eval",), ("*.eval",), metrics=["match"]),
        _log("lm-eval", "lm-eval", ("lm_eval/toy__alpha",), ("toy__alpha/samples_*.jsonl",), metrics=["acc", "exact_match"], filters=["none", "strict-match"]),
        _log("HELM", "helm", ("helm",), ("helm/*/*.json",), metrics=["exact_match"]),
        _log("Every Eval Ever", "every-eval-ever", ("every_eval_ever/pick",), ("pick/*/*/*",), metrics=["acc"]),
        _exported("pyirt", "table.jsonlines"),
        _exported("irw", "table.csv"),
        _exported("torch-measure", "out", benchmark="b") if "benchmark" in FORMATS["torch-measure"].read.__annotations__ else _exported("torch-measure", "out"),
        _adele(False),
        _batch(),
        _frame_input("tidy long", answers(), lambda path: study_values(read_format(FORMATS, "tidy", [path], {})[0])),
        _frame_input("tidy wide", _wide(), lambda path: study_values(read_format(FORMATS, "tidy", [path], {"layout": "wide"})[0])),
        _frame_input("texts with levels", _levelled(), lambda path: study_values(read_items(path, ("QLl", "AS"))), ".jsonl", 4),
        _frame_input("answers of a battery", answers(), lambda path: study_values(load_answers(path))),
        _frame_input("labels", labels, lambda path: study_values(Study(responses=read_labels(path, models, items)))),
        _frame_input("out-of-fold predictions", _residuals(), lambda path: _values_of_effect(read_past_effects(path)), ".csv", 4),
        _frame_input("level counts", _counts(), _read_counts, ".csv", 4),
        _frame_input("costs", costs, lambda path: {(key,): (value,) for key, value in load_costs(path).items()}),
        _frame_input("families", families, lambda path: {(key,): (value,) for key, value in read_families(path).items()}),
        _frame_input("battery", _battery_frame(held), _read_battery, ".csv", 4),
        _frame_input("judged pairs", _judged(), _read_judged, ".csv", 2),
        *(_folder(f"fit {name}", lambda name=name: fitted(name), lambda path: _fit_values(load(path))) for name in ("2pl", "mirt", "curves", "demand")),
        _folder("bank", banked, lambda path: _bank_values(Bank.load(path)), 6),
        _ledger(),
        _ledger_rows(),
        _rubrics(),
        Input(
            name="harness names",
            make=lambda folder: (folder / "names.json").write_text(json.dumps({"b/t": "x", "b/u": "y"})) and None,
            read=lambda folder: {(key,): (value,) for key, value in read_harness_names(folder / "names.json").items()},
            targets=("names.json",),
        ),
    ]
    return found


def _wide() -> pd.DataFrame:
    return answers().pivot(index="model", columns="item_id", values="score").reset_index()


def _levelled() -> pd.DataFrame:
    levels = demands().pivot(index="item_id", columns="rubric", values="level")
    return texts().assign(demands=[dict(levels.loc[item]) for item in texts()["item_id"]])
