"""Right inputs of every kind that capscope reads, small enough to be damaged thousands of times, and their readers."""

import json
import shutil
import sqlite3
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from capscope.annotate import load_rubrics, parse_reply
from capscope.battery import Bank, Battery, load_answers, load_costs, read_harness_names, select_battery
from capscope.data import Study, read_families, read_items, read_level_counts
from capscope.data.formats import FORMATS, export_study, read_format
from capscope.endpoint import ChatReply, Ledger, Usage
from capscope.fit import Fit, fit, load
from capscope.predict.scores.benchmark import read_labels, read_past_effects
from capscope.profiles import compare, profile
from faults.tables import Input, Values, answers, demands, study_values, tables, texts, write_one

FIXTURES = Path(__file__).resolve().parents[2] / "tests/data/fixtures"
CODES = "AS CEc CEe CL MCr MCt MCu MS QLl QLq SNs KNa KNc KNf KNn KNs AT VO"
RESIDUALS = "assessor seed fold model item_id benchmark task score chance log_odds_mean log_odds_sd"


def _copied(*names: str) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        for name in names:
            source, target = FIXTURES / name, folder / Path(name).name
            if source.is_dir():
                shutil.copytree(source, target)
            else:
                shutil.copy(source, target)

    return make


def _log(name: str, format: str, files: tuple[str, ...], targets: tuple[str, ...], **options: object) -> Input:
    return Input(
        name=name,
        make=_copied(*files),
        read=lambda folder: study_values(read_format(FORMATS, format, [folder], options)[0]),
        targets=targets,
        weight=6,
    )


def _archive() -> Input:
    """The log of Inspect as an archive that Python's own module can write anew."""

    def make(folder: Path) -> None:
        document = json.loads((FIXTURES / "inspect/sums-beta.json").read_text())
        samples = document.pop("samples")
        summaries = [{key: each[key] for key in ("id", "epoch", "input", "target", "scores")} for each in samples]
        members = {"header.json": document, "summaries.json": summaries}
        members |= {f"samples/{each['id']}_epoch_{each['epoch']}.json": each for each in samples}
        with zipfile.ZipFile(folder / "log.eval", "w", zipfile.ZIP_DEFLATED) as archive:
            for name, value in members.items():
                archive.writestr(name, json.dumps(value))

    log = _log("Inspect .eval", "inspect", (), ("*.eval",), scorers=["match"])
    return replace(log, make=make)


def _exported(format: str, target: str) -> Input:
    def make(folder: Path) -> None:
        binary = answers().assign(score=lambda frame: frame["score"].round())
        study = Study.of(texts().assign(benchmark="b"), binary)
        export_study(FORMATS, format, study, folder / target if "." in target else folder / "out", force=True)

    def read(folder: Path) -> Values:
        paths = [folder / target] if "." in target else [folder / "out"]
        return study_values(read_format(FORMATS, format, paths, {})[0])

    return Input(
        name=f"format {format}", make=make, read=read, targets=(target if "." in target else "out/*",), weight=4
    )


def _adele(long: bool) -> Input:
    def make(folder: Path) -> None:
        codes = CODES.split()
        battery = pd.DataFrame({code: [(i + n) % 6 for i in range(8)] for n, code in enumerate(codes)})
        names = {"instance_id": [f"i{i}" for i in range(8)], "benchmark": "b", "task": "t", "prompt": "q"}
        battery = battery.assign(**names, groundtruth="a", UG=25)
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
                "custom_id": f"i{i}__QLl",
                "response": {
                    "status_code": 200,
                    "body": {
                        "choices": [{"message": {"content": json.dumps({"level": i % 6})}, "finish_reason": "stop"}]
                    },
                },
                "error": None,
            }
            for i in range(8)
        ]
        (folder / "batch.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    def read(folder: Path) -> Values:
        options = {"annotator": "me", "read_level": lambda text, finish: parse_reply(text, finish).level}
        return study_values(read_format(FORMATS, "openai-batch", [folder / "batch.jsonl"], options)[0])

    return Input(name="format openai-batch", make=make, read=read, targets=("batch.jsonl",), weight=4)


def _frame_input(
    name: str, frame: pd.DataFrame, read: Callable[[Path], Values], suffix: str = ".csv", weight: int = 2
) -> Input:
    return Input(
        name=name,
        make=lambda folder: write_one(folder, suffix, "table", frame),
        read=lambda folder: read(folder / f"table{suffix}"),
        targets=(f"table{suffix}",),
        weight=weight,
    )


@cache
def fitted(model: str) -> Path:
    """Return a fit of a model to the answers, made once."""
    folder = Path(tempfile.mkdtemp()) / model
    study = Study.of(texts(), answers().assign(score=lambda frame: frame["score"].round()), demands())
    fit(study, model, dims=2 if model == "mirt" else 1, device="cpu").save(folder)
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

    return Input(name="rubrics", make=make, read=read, targets=("r/*",), weight=4, rows=False)


def _residuals() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    rows = [
        ("forest", 0, b, f"m{m}", f"i{i}", f"b{b}", f"t{b}", float(rng.random() < 0.2 + 0.3 * b), 0.5, 0.0, 1.0)
        for m in range(4)
        for b in range(3)
        for i in range(6 * b, 6 * b + 6)
    ]
    columns = RESIDUALS.split()
    return pd.DataFrame(rows, columns=columns)


def _counts() -> pd.DataFrame:
    rows = [
        (f"m{m}", code, level, 10, 10 - level - m) for m in range(3) for code in ("AS", "QLl") for level in range(6)
    ]
    return pd.DataFrame(rows, columns=["model", "rubric", "level", "n", "correct"])


def _read_counts(path: Path) -> Values:
    held = read_level_counts(path)
    return {
        (model, dim, str(level)): (held.n[m, d, level], held.correct[m, d, level])
        for m, model in enumerate(held.models)
        for d, dim in enumerate(held.dims)
        for level in range(6)
        if held.n[m, d, level]
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
    """Read the models alone: strengths follow from all pairs and stand in no row."""
    return {(str(model),): () for model in compare(path).table["model"]}


def _values_of_effect(effect: object) -> Values:
    return {("effect",): tuple(float(value) for value in vars(effect).values() if isinstance(value, int | float))}


def inputs() -> list[Input]:
    """Return every kind of input."""
    held = Path(tempfile.mkdtemp())
    labels = answers().head(10)
    models, items = tuple(f"m{m}" for m in range(4)), tuple(f"i{i}" for i in range(8))
    costs = pd.DataFrame({"item_id": items, "cost": [1.5, 2, 3, 4, 5, 6, 7, 8]})
    families = pd.DataFrame({"model": models, "family": ["a", "a", "b", "b"]})
    return [
        *tables(),
        _log("Inspect .json", "inspect", ("inspect/sums-beta.json",), ("*.json",), scorers=["match"]),
        _archive(),
        _log(
            "lm-eval",
            "lm-eval",
            ("lm_eval/toy__alpha",),
            ("toy__alpha/samples_*.jsonl",),
            metrics=["acc", "exact_match"],
            filters=["none", "strict-match"],
        ),
        _log("HELM", "helm", ("helm",), ("helm/*/*.json",), metrics=["exact_match"]),
        _log("Every Eval Ever", "every-eval-ever", ("every_eval_ever/pick",), ("pick/*/*/*",), metrics=["acc"]),
        _exported("pyirt", "table.jsonlines"),
        _exported("irw", "table.csv"),
        _exported("torch-measure", "out"),
        _adele(False),
        _batch(),
        _frame_input("tidy long", answers(), lambda path: study_values(read_format(FORMATS, "tidy", [path], {})[0])),
        _frame_input(
            "tidy wide", _wide(), lambda path: study_values(read_format(FORMATS, "tidy", [path], {"wide": True})[0])
        ),
        _frame_input(
            "texts with levels", _levelled(), lambda path: study_values(read_items(path, ("QLl", "AS"))), ".jsonl", 4
        ),
        _frame_input("answers of a battery", answers(), lambda path: study_values(load_answers(path))),
        _frame_input("labels", labels, lambda path: study_values(Study(responses=read_labels(path, models, items)))),
        replace(
            _frame_input(
                "out-of-fold predictions",
                _residuals(),
                lambda path: _values_of_effect(read_past_effects(path)),
                ".csv",
                4,
            ),
            rows=False,
        ),
        _frame_input("level counts", _counts(), _read_counts, ".csv", 4),
        _frame_input("costs", costs, lambda path: {(key,): (value,) for key, value in load_costs(path).items()}),
        _frame_input(
            "families", families, lambda path: {(key,): (value,) for key, value in read_families(path).items()}
        ),
        _frame_input("battery", _battery_frame(held), _read_battery, ".csv", 4),
        _frame_input("judged pairs", _judged(), _read_judged, ".csv", 2),
        *(
            _folder(f"fit {name}", lambda name=name: fitted(name), lambda path: _fit_values(load(path)))
            for name in ("2pl", "mirt", "curves", "demand")
        ),
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


def _wide() -> pd.DataFrame:
    return answers().pivot(index="model", columns="item_id", values="score").reset_index()


def _levelled() -> pd.DataFrame:
    levels = demands().pivot(index="item_id", columns="rubric", values="level")
    return texts().assign(demands=[dict(levels.loc[item]) for item in texts()["item_id"]])
