"""Records a second that each importer reads, and the most memory held, each format in a process of its own.

Run `python benchmarks/import_speed.py [RECORDS]`. Logs are written by this script in the layout of the tools, with
questions of about 300 characters.
"""

import json
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

MODELS = 20
TEXT = "Read the passage and answer. " + "It says that things are as they are. " * 7


def grid(records: int) -> pd.DataFrame:
    """Return scores of 20 models on as many items as make that many records."""
    items = records // MODELS
    rng = np.random.default_rng(1)
    model, item = np.divmod(np.arange(items * MODELS), items)
    score = rng.integers(0, 2, len(model)).astype(float)
    names = np.array([f"model-{place}" for place in range(MODELS)], dtype=object)
    return pd.DataFrame({"model": names[model], "item_id": [f"item-{place}" for place in item], "score": score})


def write_tidy(table: pd.DataFrame, folder: Path) -> None:
    """Write one Parquet file."""
    table.to_parquet(folder / "scores.parquet")


def write_lm_eval(table: pd.DataFrame, folder: Path) -> None:
    """Write a file of samples for each model."""
    for model, rows in table.groupby("model"):
        path = folder / str(model) / "samples_task_2026-11-21T00-00-00.000000.jsonl"
        path.parent.mkdir()
        with path.open("w") as out:
            for place, score in enumerate(rows["score"]):
                question = f"{TEXT}{place}?"
                prompt = {f"gen_args_{k}": {"arg_0": question, "arg_1": f" option {k}"} for k in range(4)}
                hashes = {f"{name}_hash": f"{name}{place:060d}" for name in ("doc", "prompt", "target")}
                record = {"doc_id": place, "doc": {"question": question, "choices": list("abcd")}, "target": "1"}
                record |= {"arguments": prompt, "resps": [[["-1.25", "False"]]] * 4, "filter": "none"}
                out.write(json.dumps(record | hashes | {"metrics": ["acc"], "acc": score}) + "\n")


def write_inspect(table: pd.DataFrame, folder: Path) -> None:
    """Write a log for each model."""
    for model, rows in table.groupby("model"):
        samples = [
            {
                "id": place,
                "epoch": 1,
                "input": f"{TEXT}{place}?",
                "target": "1",
                "messages": [{"role": "user", "content": f"{TEXT}{place}?"}, {"role": "assistant", "content": "1"}],
                "scores": {"match": {"value": "C" if score else "I", "answer": "1", "explanation": "1"}},
                "model_usage": {str(model): {"input_tokens": 90, "output_tokens": 1, "total_tokens": 91}},
            }
            for place, score in enumerate(rows["score"])
        ]
        spec = {"task": "task", "model": str(model)}
        (folder / f"{model}.json").write_text(json.dumps({"status": "success", "eval": spec, "samples": samples}))


def write_every_eval_ever(table: pd.DataFrame, folder: Path) -> None:
    """Write a file of samples for each model."""
    for model, rows in table.groupby("model"):
        with (folder / f"{model}_samples.jsonl").open("w") as out:
            for place, score in enumerate(rows["score"]):
                asked = {"raw": f"{TEXT}{place}?", "reference": ["1"], "choices": None}
                record = {"schema_version": "0.3.0", "evaluation_id": "e", "model_id": model, "evaluation_name": "task"}
                record |= {"sample_id": str(place), "sample_hash": f"{place:064d}", "input": asked}
                scored = {"score": score, "is_correct": bool(score)}
                out.write(json.dumps(record | {"output": {"raw": ["1"]}, "evaluation": scored}) + "\n")


def write_pyirt(table: pd.DataFrame, folder: Path) -> None:
    """Write a line for each model."""
    with (folder / "x.jsonlines").open("w") as out:
        for model, rows in table.groupby("model"):
            answers = dict(zip(rows["item_id"], rows["score"].astype(int).tolist(), strict=True))
            out.write(json.dumps({"subject_id": model, "responses": answers}) + "\n")


WRITERS = {
    "tidy": write_tidy,
    "lm-eval": write_lm_eval,
    "inspect": write_inspect,
    "every-eval-ever": write_every_eval_ever,
    "pyirt": write_pyirt,
}


def most_held() -> float:
    """Return the most memory that this process has held, in MB."""
    status = Path("/proc/self/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) / 1024


def measure(name: str, folder: Path) -> None:
    """Import a folder and print what it took."""
    from capscope.data.formats import FORMATS

    paths = [folder / "scores.parquet"] if name == "tidy" else [folder]
    before = most_held()
    start = time.process_time()
    _, report = FORMATS[name](paths)
    seconds = time.process_time() - start
    held = most_held() - before
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 2**20
    print(f"| {name} | {report.rows:,} | {size:.0f} | {seconds:.1f} | {report.rows / seconds:,.0f} | {held:.0f} |")


def main(records: int) -> None:
    """Write each format and read it in a fresh process."""
    print(f"{platform.machine()}, Python {platform.python_version()}, pandas {pd.__version__}, one thread\n")
    print("| format | records | MB on disk | CPU s | records a CPU second | MB held beyond start |")
    print("|---|---|---|---|---|---|", flush=True)
    for name, write in WRITERS.items():
        with tempfile.TemporaryDirectory() as scratch:
            write(grid(records if name != "tidy" else records * 5), Path(scratch))
            subprocess.run([sys.executable, __file__, "--measure", name, scratch], check=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        measure(sys.argv[2], Path(sys.argv[3]))
    else:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 200_000)
