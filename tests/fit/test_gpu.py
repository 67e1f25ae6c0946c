"""The same numbers on a GPU as on the CPU."""

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


@pytest.mark.gpu
@pytest.mark.parametrize(
    "settings",
    [
        IRTSettings(model="rasch"),
        IRTSettings(model="2pl", form="signed"),
        IRTSettings(model="2pl", form="positive"),
        IRTSettings(model="mirt", dims=3),
        IRTSettings(model="3pl"),
    ],
    ids=lambda s: f"{s.model}-{s.form}",
)
def test_log_odds_on_the_gpu_are_those_of_the_cpu(settings: IRTSettings):
    _, data = world_2pl(500, 2000)
    rows = (data.model_index, data.item_index)
    logits = []
    for device in ("cpu", "cuda"):
        logits.append(fit_irt(data, replace(settings, device=device)).posterior.logit_moments(*rows)[0])
    assert np.abs(logits[0] - logits[1]).max() < 1e-3


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_refused():
    _, data = world_2pl(5, 10)
    with pytest.raises(FitError, match="not available"):
        fit_irt(data, IRTSettings(device="cuda"))


def test_the_prepared_script_runs_without_a_gpu():
    script = Path(__file__).parents[2] / "benchmarks" / "gpu.py"
    done = subprocess.run(
        [sys.executable, str(script), "--device", "cpu", "--scale", "0.003"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "dense, 30 x 300" in done.stdout
    assert "sparse, 60 x 5 % of 300" in done.stdout
