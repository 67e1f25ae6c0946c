"""The same numbers on a GPU as on the CPU."""

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from simulated import world_2pl

from capscope.errors import FitError
from capscope.fit import IRTSettings, fit_irt


def scored(data, response: str, seed: int = 1):
    """The answers as right or wrong, as three grades, or as continuous scores."""
    rng = np.random.default_rng(seed)
    if response == "graded":
        return replace(data, score=(data.score + rng.integers(0, 2, len(data.score))) / 2)
    if response == "continuous":
        return replace(data, score=np.clip(0.2 + 0.5 * data.score + 0.1 * rng.normal(size=len(data.score)), 0.01, 0.99))
    return data


@pytest.mark.gpu
@pytest.mark.parametrize(
    "settings",
    [
        IRTSettings(model="rasch"),
        IRTSettings(model="2pl", form="signed"),
        IRTSettings(model="2pl", form="positive"),
        IRTSettings(model="3pl"),
        IRTSettings(model="4pl"),
        IRTSettings(model="2pl", response="graded"),
        IRTSettings(model="2pl", response="continuous"),
    ],
    ids=lambda s: f"{s.model}-{s.form}-{s.response}",
)
@pytest.mark.parametrize("floor", [None, 0.25])
def test_log_odds_on_the_gpu_are_those_of_the_cpu(settings: IRTSettings, floor: float | None):
    if floor is not None and settings.response != "auto":
        pytest.skip("grades and continuous scores have no floor")
    _, data = world_2pl(300, 600)
    data = scored(data, settings.response)
    if floor is not None:
        guessed = np.random.default_rng(2).random(len(data.score)) < floor
        data = replace(data, score=np.maximum(data.score, guessed))
    known = None if floor is None else np.full(len(data.items), floor)
    rows = (data.model_index, data.item_index)
    logits = [
        fit_irt(data, replace(settings, device=device), floor=known).posterior.logit_moments(*rows)[0]
        for device in ("cpu", "cuda")
    ]
    assert np.abs(logits[0] - logits[1]).max() < 1e-3


@pytest.mark.gpu
def test_several_dimensions_start_alike_and_a_mask_is_kept():
    _, data = world_2pl(300, 600)
    rows = (data.model_index, data.item_index)
    mask = np.zeros((600, 2), bool)
    mask[:400, 0] = mask[200:, 1] = True
    for settings, loads in ((IRTSettings(model="mirt", dims=2), None), (IRTSettings(model="mirt", dims=2), mask)):
        cpu, gpu = (
            fit_irt(data, replace(settings, device=device), loads_on=loads).posterior for device in ("cpu", "cuda")
        )
        gap = cpu.logit_moments(*rows)[0] - gpu.logit_moments(*rows)[0]
        assert np.sqrt((gap**2).mean()) < 1e-2
    assert (gpu.item_mean[~mask[:, 0], 0] == 0).all()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_refused():
    _, data = world_2pl(5, 10)
    with pytest.raises(FitError, match="not available"):
        fit_irt(data, IRTSettings(device="cuda"))


@pytest.mark.slow
def test_the_benchmark_runs_at_small_size_on_a_cpu():
    script = Path(__file__).parents[2] / "benchmarks" / "gpu.py"
    command = [sys.executable, str(script), "--device", "cpu", "--scale", "0.002", "--profile"]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "no GPU was used" in output
    assert output.count("| 0.0e+00 |") == 4, "CPU against itself"
    assert "dense, 20 x 200: " in output
    assert "sparse, 40 x 5 % of 200: " in output
    assert output.count("Self CPU") >= 2, "a profile of each fit"
    assert "demand-ability, 20 x 100 on the processor: " in output
    late = subprocess.run([*command, "--limit", "-1"], capture_output=True, text=True, check=True).stdout
    assert late.count("left out") == 4


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="there is no C++ compiler")
def test_a_fused_pass_has_the_sums_of_the_plain_one():
    script = Path(__file__).parents[2] / "benchmarks" / "gpu.py"
    command = [sys.executable, str(script), "--device", "cpu", "--scale", "0.004", "--fused"]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert float(output.split("largest difference of a mean ")[1].split()[0]) < 1e-5
