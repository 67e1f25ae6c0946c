"""Seconds of a 2PL fit on a GPU against the time to read its cells once.

    python benchmarks/gpu.py [--models 10000] [--items 100000] [--device auto]

Answers are simulated on the device, one byte a cell (and one more for the transposed copy). Where there is no GPU it
says so, and measures the CPU on a hundredth of the models and a tenth of the items.
"""

import argparse
import time

import torch

from capscope.fit.cells.dense import DenseCells
from capscope.fit.cells.scores import SignedScores
from capscope.fit.engines.variational.item_prior import make_design
from capscope.fit.engines.variational.problem import ModelChoice, Problem, fit_choice, pick_device
from capscope.fit.irt.settings import IRTSettings


def main() -> None:
    """Simulate, fit, and print what it took."""
    parser = argparse.ArgumentParser(description="a large 2PL fit on one GPU")
    parser.add_argument("--models", type=int)
    parser.add_argument("--items", type=int)
    parser.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda"])
    options = parser.parse_args()
    device = pick_device(options.device)
    on_gpu = device.type == "cuda"
    print(f"GPU: {torch.cuda.get_device_name()}" if on_gpu else "no GPU was used: these are times of the CPU")
    n_models, n_items = options.models or (10_000 if on_gpu else 100), options.items or (100_000 if on_gpu else 10_000)
    ability, cells = simulated(n_models, n_items, device)
    problem = Problem(cells, cells.transposed(), make_design(None, n_items).to(device), device)
    settings = IRTSettings(model="2pl", form="signed", device="cuda" if on_gpu else "cpu")
    fit_choice(problem, ModelChoice("2pl"), settings)  # loads the kernels
    wait(device)
    started = time.perf_counter()
    state = fit_choice(problem, ModelChoice("2pl"), settings)
    wait(device)
    seconds = time.perf_counter() - started
    correlation = torch.corrcoef(torch.stack([state.models.mean[:, 0].float(), ability]))[0, 1]
    wait(device)
    started = time.perf_counter()
    cells.scores.mapped(lambda sign: sign.sum(dtype=torch.int64))
    wait(device)
    read = time.perf_counter() - started
    print(f"{n_models} x {n_items}: {seconds:.2f} s in {len(state.history)} sweeps")
    print(f"reading the cells once: {read:.4f} s, {seconds / read:.0f} times less; ability r {correlation:.4f}")


def simulated(n_models: int, n_items: int, device: torch.device) -> tuple[torch.Tensor, DenseCells]:
    """Abilities and answers of a 2PL world, made in chunks of rows."""
    generator = torch.Generator(device).manual_seed(0)
    ability = torch.randn(n_models, device=device, generator=generator)
    slope = torch.exp(0.4 * torch.randn(n_items, device=device, generator=generator))
    intercept = 0.3 + 1.2 * torch.randn(n_items, device=device, generator=generator)
    sign = torch.empty(n_models, n_items, dtype=torch.int8, device=device)
    step = max(1, (1 << 26) // n_items)
    for start in range(0, n_models, step):
        rows = slice(start, start + step)
        chance = torch.sigmoid(ability[rows, None] * slope + intercept)
        drawn = torch.rand(chance.shape, device=device, generator=generator)
        sign[rows] = torch.where(drawn < chance, 1, -1).to(torch.int8)
    return ability, DenseCells(SignedScores(sign))


def wait(device: torch.device) -> None:
    """Wait for the device to finish."""
    if device.type == "cuda":
        torch.cuda.synchronize()


if __name__ == "__main__":
    main()
