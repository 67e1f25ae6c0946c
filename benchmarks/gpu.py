"""The default engine on a GPU: the numbers of the CPU, large dense and sparse fits, and where their time goes.

    python benchmarks/gpu.py [--device auto] [--scale 1.0] [--profile] [--fused] [--limit 480]

Answers are simulated on the device, one byte a cell (and one more for the transposed copy): 10,000 models x 100,000
items, and 10^8 answers of 20,000 models to 5 % of 100,000 items. `--scale` shrinks models and items alike; on a CPU the
default is .03 of both. `--fused` fits the dense world again with compiled kernels (Triton on a GPU, which the GPU
builds of torch bring along; a C++ compiler on a CPU) and compares. The demand-ability model has no path on a GPU: its
part says what it takes on the machine's processor. Everything together takes about a minute on one GPU, compilation and
demands less than another; a part that would begin after `--limit` seconds is left out and named.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

import numpy as np
import torch
from torch.profiler import ProfilerActivity, profile

from capscope.data import Responses
from capscope.fit import DemandItems, IRTSettings, fit_demand, fit_irt
from capscope.fit.cells.fused import fused_kernels
from capscope.fit.cells.interface import Cells, SignedScores
from capscope.fit.cells.matrices import DenseCells, MemoryStore, SparseCells
from capscope.fit.engines.variational.item_prior import make_design
from capscope.fit.engines.variational.problem import ModelChoice, Problem, fit_choice, pick_device

Result = TypeVar("Result")
EQUAL = (
    IRTSettings(model="rasch"),
    IRTSettings(model="2pl", form="signed"),
    IRTSettings(model="2pl", form="positive"),
    IRTSettings(model="mirt", dims=4),
)


@dataclass(frozen=True)
class World:
    """A simulated 2PL world on its device."""

    ability: torch.Tensor
    slope: torch.Tensor
    intercept: torch.Tensor
    generator: torch.Generator

    @classmethod
    def of(cls, n_models: int, n_items: int, device: torch.device) -> "World":
        """Draw abilities and items."""
        generator = torch.Generator(device).manual_seed(0)
        ability = torch.randn(n_models, device=device, generator=generator)
        slope = torch.exp(0.4 * torch.randn(n_items, device=device, generator=generator))
        intercept = 0.3 + 1.2 * torch.randn(n_items, device=device, generator=generator)
        return cls(ability, slope, intercept, generator)

    def answers(self, chance: torch.Tensor) -> torch.Tensor:
        """Draw 1 and -1 by chance."""
        drawn = torch.rand(chance.shape, device=chance.device, generator=self.generator)
        return torch.where(drawn < chance, 1, -1).to(torch.int8)

    def dense(self) -> tuple[Cells, Cells]:
        """Every model answers every item; both ways round."""
        n_models, n_items = len(self.ability), len(self.slope)
        sign = torch.empty(n_models, n_items, dtype=torch.int8, device=self.ability.device)
        step = max(1, (1 << 26) // n_items)
        for start in range(0, n_models, step):
            rows = slice(start, start + step)
            sign[rows] = self.answers(torch.sigmoid(self.ability[rows, None] * self.slope + self.intercept))
        cells = DenseCells(SignedScores(sign))
        return cells, cells.transposed()

    def sparse(self, share: float) -> tuple[Cells, Cells]:
        """Every model answers items drawn evenly; both ways round."""
        n_models, n_items, device = len(self.ability), len(self.slope), self.ability.device
        each = max(1, round(share * n_items))
        drawn = [torch.randperm(n_items, device=device, generator=self.generator)[:each] for _ in range(n_models)]
        column = torch.stack(drawn).sort(1).values.reshape(-1)
        row = torch.arange(n_models, device=device).repeat_interleave(each)
        sign = self.answers(torch.sigmoid(self.ability[row] * self.slope[column] + self.intercept[column]))
        start = torch.arange(0, n_models * each + 1, each, device=device)
        order = torch.argsort(column, stable=True)
        counts = torch.bincount(column, minlength=n_items).cumsum(0)
        item_start = torch.cat([torch.zeros_like(counts[:1]), counts])
        by_model = SparseCells(start, n_items, MemoryStore(column.int(), SignedScores(sign)))
        return by_model, SparseCells(item_start, n_models, MemoryStore(row[order].int(), SignedScores(sign[order])))


def timed(run: Callable[[], Result], device: torch.device) -> tuple[float, Result]:
    """Wall seconds of a call, the device's work included, and its result."""
    wait(device)
    started = time.perf_counter()
    result = run()
    wait(device)
    return time.perf_counter() - started, result


def wait(device: torch.device) -> None:
    """Wait for the device to finish."""
    if device.type == "cuda":
        torch.cuda.synchronize()


def compare_devices(device: torch.device) -> None:
    """The same fits on the CPU and on the device."""
    rng = np.random.default_rng(0)
    n_models, n_items = 500, 2000
    logit = rng.normal(size=(n_models, 1)) * np.exp(0.4 * rng.normal(size=n_items)) + rng.normal(size=n_items)
    model, item = (index.reshape(-1) for index in np.indices(logit.shape))
    score = (rng.random(logit.shape) < 1 / (1 + np.exp(-logit))).astype(float).reshape(-1)
    names = tuple(f"m{row:03d}" for row in range(n_models)), tuple(f"i{row:04d}" for row in range(n_items))
    data = Responses(*names, model, item, score, np.ones(len(score)))
    print("| model | largest difference in log-odds, CPU against device |\n|---|---|")
    for settings in EQUAL:
        means = [fit_irt(data, replace(settings, device=name)).posterior for name in ("cpu", device.type)]
        first, second = (posterior.logit_moments(model, item)[0] for posterior in means)
        label = f"{settings.model}, {settings.form}, {settings.dims} dimensions"
        print(f"| {label} | {np.abs(first - second).max():.1e} |", flush=True)


def fit_large(name: str, world: World, sides: tuple[Cells, Cells], device: torch.device, profiled: bool) -> None:
    """Fit a 2PL twice (the first loads the kernels) and print what it took."""
    problem = Problem(*sides, make_design(None, len(world.slope)).to(device), device)
    settings = IRTSettings(model="2pl", form="signed", device=device.type)  # type: ignore[arg-type]
    first, _ = timed(lambda: fit_choice(problem, ModelChoice("2pl"), settings), device)
    seconds, state = timed(lambda: fit_choice(problem, ModelChoice("2pl"), settings), device)
    r = torch.corrcoef(torch.stack([state.models.mean[:, 0].float(), world.ability]))[0, 1]
    memory = torch.cuda.max_memory_allocated() / 2**30 if device.type == "cuda" else float("nan")
    print(
        f"{name}: {seconds:.3f} s in {len(state.history)} sweeps (first call {first:.2f} s), ability r {float(r):.4f}"
    )
    print(f"  most memory on the device {memory:.1f} GiB", flush=True)
    if isinstance(sides[0], DenseCells):
        scores = sides[0].scores
        read, _ = timed(lambda: scores.mapped(lambda sign: sign.sum(dtype=torch.int64)), device)
        print(f"  reading the cells once: {read:.4f} s, {seconds / read:.0f} times less", flush=True)
    if profiled:
        activity = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if device.type == "cuda" else [])]
        with profile(activities=activity) as recorded:
            fit_choice(problem, ModelChoice("2pl"), settings)
            wait(device)
        key = "cuda_time_total" if device.type == "cuda" else "cpu_time_total"
        print(recorded.key_averages().table(sort_by=key, row_limit=15, max_name_column_width=60), flush=True)


def fit_fused(world: World, sides: tuple[Cells, Cells], device: torch.device) -> None:
    """Fit the dense world with compiled kernels and without, and print times and the largest difference."""
    problem = Problem(*sides, make_design(None, len(world.slope)).to(device), device)
    settings = IRTSettings(model="2pl", form="signed", device=device.type)  # type: ignore[arg-type]
    run = partial(fit_choice, problem, ModelChoice("2pl"), settings)
    plain, expected = timed(run, device)
    with fused_kernels():
        first, _ = timed(run, device)
        fused, state = timed(run, device)
    apart = max(
        float((state.models.mean - expected.models.mean).abs().max()),
        float((state.items.mean - expected.items.mean).abs().max()),
    )
    print(f"fused: {fused:.3f} s against {plain:.3f} s (first call {first:.1f} s, compilation included)")
    print(f"  largest difference of a mean {apart:.1e}", flush=True)


def fit_demands(n_models: int, n_items: int) -> None:
    """Fit the demand-ability model to simulated answers, on the processor, and print what it took."""
    rng = np.random.default_rng(0)
    level = rng.integers(0, 6, (n_items, 6)).astype(float)
    difficulty = level @ np.full(6, 0.35) - 5 + 0.7 * rng.normal(size=n_items)
    logit = rng.normal(size=(n_models, 1)) - difficulty
    model, item = (index.reshape(-1) for index in np.indices(logit.shape))
    score = (rng.random(logit.shape) < 1 / (1 + np.exp(-logit))).astype(float).reshape(-1)
    names = tuple(f"m{row:04d}" for row in range(n_models)), tuple(f"i{row:05d}" for row in range(n_items))
    task = tuple(f"task {row % 40}" for row in range(n_items))
    items = DemandItems(level, None, None, task, ("benchmark",) * n_items, np.zeros(n_items))
    started = time.perf_counter()
    fitted = fit_demand(Responses(*names, model, item, score, np.ones(len(score))), items)
    seconds = time.perf_counter() - started
    sweeps = len(fitted.history)
    print(f"demand-ability, {n_models} x {n_items} on the processor: {seconds:.2f} s in {sweeps} sweeps", flush=True)


def main() -> None:
    """Compare the devices, then fit a dense and a sparse world."""
    parser = argparse.ArgumentParser(description="the default engine on a GPU")
    parser.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda"])
    parser.add_argument("--scale", type=float, help="share of the models and of the items; 1 on a GPU")
    parser.add_argument("--limit", type=float, default=480.0, help="seconds after which no further part begins")
    parser.add_argument("--profile", action="store_true", help="print the time by kernel")
    parser.add_argument("--fused", action="store_true", help="fit with compiled kernels too")
    given = parser.parse_args()
    device = pick_device(given.device)
    on_gpu = device.type == "cuda"
    print(f"GPU: {torch.cuda.get_device_name()}" if on_gpu else "no GPU was used: these are times of the CPU")
    print(f"torch {torch.__version__}", flush=True)
    scale = given.scale or (1.0 if on_gpu else 0.03)
    n_items = round(100_000 * scale)

    def dense() -> None:
        world = World.of(max(10, round(10_000 * scale)), n_items, device)
        sides = world.dense()
        fit_large(f"dense, {len(world.ability)} x {n_items}", world, sides, device, given.profile)
        if given.fused:
            fit_fused(world, sides, device)

    def sparse() -> None:
        world = World.of(max(10, round(20_000 * scale)), n_items, device)
        fit_large(f"sparse, {len(world.ability)} x 5 % of {n_items}", world, world.sparse(0.05), device, given.profile)

    started = time.perf_counter()
    demands = partial(fit_demands, max(20, round(500 * scale)), max(100, round(5000 * scale)))
    parts = {"CPU against device": partial(compare_devices, device), "dense": dense, "sparse": sparse}
    parts["demand-ability"] = demands
    for name, run in parts.items():
        if time.perf_counter() - started > given.limit:
            print(f"{name}: left out, {given.limit:.0f} s are over", flush=True)
        else:
            run()


if __name__ == "__main__":
    main()
