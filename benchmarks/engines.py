"""Engines side by side on simulated worlds: held-out log-loss, CPU seconds and memory.

    python benchmarks/engines.py WORLDS [--engine NAME ...] [--world NAME ...] [--runs 3] [--out FILE.json]

WORLDS is a folder of ``NAME.MODEL.npz`` files, each with y (model x item, 0 or 1), m (0 not observed, 1 training,
2 held out), theta, a and d, where p = sigmoid(a.theta + d). Every fit runs in a process of its own with one thread;
each peer in a virtual environment of its own, made on first use under ``--environments``.
"""

import argparse
import json
import os
import platform
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from datetime import date
from functools import partial
from importlib.metadata import version
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
MODELS = {"1pl": ("rasch", 1), "2pl": ("2pl", 1), "mirt": ("mirt", 4)}
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS"), "1")


@dataclass(frozen=True)
class Peer:
    """A package to compare with."""

    package: str
    """What to install."""
    script: str
    """Its adapter."""
    arguments: tuple[str, ...] = ()
    """What the adapter is told."""


PEERS = {
    "girth": Peer("girth==0.8.0", "girth_run.py"),
    "py-irt": Peer("py-irt==0.7.1", "py_irt_run.py"),
    "torch-measure-svi": Peer("torch-measure==0.1.0", "torch_measure_run.py", ("svi",)),
    "torch-measure-jml": Peer("torch-measure==0.1.0", "torch_measure_run.py", ("jml",)),
    "mirt": Peer("mirt==1.2.0", "mirt_run.py"),
    "numpyro": Peer("numpyro==0.22.0", "numpyro_run.py"),
}


@dataclass(frozen=True)
class Row:
    """One engine on one world, medians over the runs."""

    world: str
    engine: str
    log_loss: float
    log_loss_true: float
    cpu_seconds: float
    wall_seconds: float
    process_seconds: float
    """Wall time of the whole process: imports, reading the cells, fit, predictions."""
    rss_mb: float
    runs: int
    note: str = ""


def main() -> None:
    """Run what was asked for and print a table."""
    options = _options()
    rows: list[Row] = []
    for path in sorted(Path(options.worlds).glob("*.npz")):
        if options.world and path.stem not in options.world:
            continue
        for engine in options.engine:
            rows.append(_median_row(path, engine, options))
            print(_line(rows[-1]), flush=True)
    machine = {"date": str(date.today()), "machine": _machine(), "capscope": version("capscope")}
    if options.out:
        peers = [peer.package for peer in PEERS.values()]
        found = {**machine, "peers": peers, "rows": [asdict(row) for row in rows]}
        Path(options.out).write_text(json.dumps(found, indent=1) + "\n")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="engines side by side on simulated worlds")
    parser.add_argument("worlds", help="folder of NAME.MODEL.npz files")
    parser.add_argument("--engine", nargs="+", default=["capscope"], choices=["capscope", *PEERS])
    parser.add_argument("--world", nargs="+", help="names such as 200x500.2pl; all by default")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--limit", type=float, default=170, help="CPU seconds for one fit")
    parser.add_argument("--environments", default=str(HERE.parent / "build" / "peers"))
    parser.add_argument("--out", help="also write the rows as JSON")
    return parser.parse_args()


def _median_row(path: Path, engine: str, options: argparse.Namespace) -> Row:
    results = []
    for _ in range(options.runs if engine == "capscope" else 1):
        result = _one_run(path, engine, options)
        if "failed" in result:
            return Row(path.stem, engine, *[float("nan")] * 6, 1, result["failed"])
        results.append(result)

    def middle(name: str) -> float:
        return statistics.median(result[name] for result in results)

    loss, true = _scored(path, np.array(results[0]["probability"]))
    times = (middle("cpu"), middle("wall"), middle("process"), middle("rss_mb"))
    return Row(path.stem, engine, loss, true, *times, len(results))


def _one_run(path: Path, engine: str, options: argparse.Namespace) -> dict:
    """Fit and predict in a process of its own, which writes what it measured."""
    command = _command(engine, Path(options.environments))
    with tempfile.TemporaryDirectory() as folder:
        cells = Path(folder) / "cells.npz"
        world = np.load(path)
        rows, columns = held_out(world["m"])
        model, dims = MODELS[path.stem.rsplit(".", 1)[1]]
        answers = np.where(world["m"] == 1, world["y"], -1).astype(np.int8)
        np.savez(cells, y=answers, rows=rows, columns=columns, model=model, dims=dims)
        out = Path(folder) / "out.npz"
        program, arguments = command
        started = time.perf_counter()
        run = subprocess.run(
            [*program, str(cells), str(out), *arguments],
            env=os.environ | ONE_THREAD,
            preexec_fn=partial(_limit_cpu, int(options.limit)),
            capture_output=True,
            text=True,
            check=False,
        )
        seconds = time.perf_counter() - started
        if run.returncode == -signal.SIGXCPU:
            return {"failed": f"not done in {options.limit:.0f} CPU s"}
        if run.returncode or not out.exists():
            lines = run.stderr.strip().splitlines()
            return {"failed": lines[-1][:80] if lines else f"exit {run.returncode}"}
        found = np.load(out)
        measured = {name: float(found[name]) for name in found.files if name != "probability"}
        return {"process": seconds, "probability": found["probability"]} | measured


def _limit_cpu(seconds: int) -> None:
    """Wall time says little on a shared machine; a fit is stopped by the processor time it took."""
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 5))


def _command(engine: str, environments: Path) -> tuple[list[str], list[str]]:
    """Interpreter with script, and what the script is told after the two files."""
    if engine == "capscope":
        return [sys.executable, str(HERE / "peers" / "capscope_run.py")], []
    peer = PEERS[engine]
    folder = environments / peer.package.split("==")[0]
    python = folder / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        pin = folder / "constraints.txt"  # without a pin torch can bring gigabytes of CUDA
        pin.write_text(f"torch=={version('torch').split('+')[0]}\n")
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", "-c", str(pin), peer.package], check=True)
    return [str(python), str(HERE / "peers" / peer.script)], list(peer.arguments)


def held_out(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of the held-out cells, at most a million, the same for every engine."""
    rows, columns = np.nonzero(mask == 2)
    if len(rows) > 1_000_000:
        keep = np.random.default_rng(0).choice(len(rows), 1_000_000, replace=False)
        rows, columns = rows[keep], columns[keep]
    return rows, columns


def _scored(path: Path, probability: np.ndarray) -> tuple[float, float]:
    """Held-out log-loss of the predictions and of the true probabilities."""
    world = np.load(path)
    rows, columns = held_out(world["m"])
    y = world["y"][rows, columns].astype(float)
    true = 1 / (1 + np.exp(-((world["theta"][rows] * world["a"][columns]).sum(1) + world["d"][columns])))

    def loss(p: np.ndarray) -> float:
        p = np.clip(p, 1e-6, 1 - 1e-6)
        return float(-(y * np.log(p) + (1 - y) * np.log1p(-p)).mean())

    return loss(probability), loss(true)


def _machine() -> str:
    return f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, one thread"


def _line(row: Row) -> str:
    losses = f"{row.log_loss:8.4f} ({row.log_loss_true:.4f})"
    costs = f"{row.cpu_seconds:8.2f} {row.wall_seconds:8.2f} {row.process_seconds:8.2f} {row.rss_mb:6.0f}"
    return f"{row.world:18s} {row.engine:18s} {losses} {costs} {row.note}"


if __name__ == "__main__":
    started = time.perf_counter()
    main()
    print(f"done in {time.perf_counter() - started:.0f} s", file=sys.stderr)
