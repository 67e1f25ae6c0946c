"""The same numbers on a GPU as on the CPU."""

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
    ],
    ids=lambda s: f"{s.model}-{s.form}",
)
def test_log_odds_on_the_gpu_are_those_of_the_cpu(settings: IRTSettings):
    _, data = world_2pl(500, 2000)
    rows = (data.model_index, data.item_index)
    logits = []
    for device in ("cpu", "cuda"):
        chosen = IRTSettings(settings.model, form=settings.form, device=device)  # type: ignore[arg-type]
        logits.append(fit_irt(data, chosen).posterior.logit_moments(*rows)[0])
    assert np.abs(logits[0] - logits[1]).max() < 1e-3


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_refused():
    _, data = world_2pl(5, 10)
    with pytest.raises(FitError, match="not available"):
        fit_irt(data, IRTSettings(device="cuda"))
