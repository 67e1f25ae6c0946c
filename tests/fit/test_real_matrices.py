"""Real answers: the default choice beats every published cell, and published item parameters come back."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from capscope.data import Responses
from capscope.fit import IRTSettings, fit_irt
from capscope.fit.links import log_loss_of

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"


def matrix(frame: pd.DataFrame) -> Responses:
    model, item = (frame[column].astype(str).astype("category") for column in ("model", "item_id"))
    return Responses(
        tuple(model.cat.categories),
        tuple(item.cat.categories),
        model.cat.codes.to_numpy().astype(np.int64),
        item.cat.codes.to_numpy().astype(np.int64),
        frame["score"].to_numpy(dtype=float),
        np.ones(len(frame)),
    )


@pytest.mark.skipif(not (DATA / "openllm_v2").is_dir(), reason="openllm_v2 is not at hand")
def test_big_bench_hard_is_predicted_below_the_best_trial():
    items = pd.read_parquet(DATA / "openllm_v2" / "items.parquet")
    frame = pd.read_parquet(DATA / "openllm_v2" / "responses.parquet")
    data = matrix(frame[frame["item_id"].isin(items.loc[items["benchmark"] == "BBH", "item_id"])])
    held = np.random.default_rng(0).random(len(data.score)) < 0.2
    fit = fit_irt(data.rows(~held), IRTSettings())
    test = data.rows(held)
    loss = log_loss_of(fit.posterior.probability(test.model_index, test.item_index), test.score)
    assert loss < 0.30  # the best trial cell is .3594
    assert fit.posterior.dims >= 4
    assert any("held-out log-loss" in line for line in fit.status.advice)


@pytest.mark.slow
@pytest.mark.skipif(not (DATA / "metabench_openllm_v1").is_dir(), reason="metabench_openllm_v1 is not at hand")
@pytest.mark.parametrize("benchmark", ["arc", "gsm8k", "truthfulqa"])
def test_published_two_parameter_difficulties_come_back(benchmark: str):
    folder = DATA / "metabench_openllm_v1"
    published = pd.read_parquet(folder / "published_item_parameters_mirt.parquet")
    published = published[(published["benchmark"] == benchmark) & (published["irt"] == "2PL")]
    published = published[published["form"] == "A"].set_index("item_id")
    frame = pd.read_parquet(folder / "responses.parquet")
    data = matrix(frame[frame["item_id"].isin(published.index)])
    posterior = fit_irt(data, IRTSettings(model="2pl", form="signed")).posterior
    ours = posterior.difficulty().set_index("item")["mean"]
    theirs = (-published["d"] / published["a"]).loc[ours.index]
    assert np.corrcoef(ours, theirs)[0, 1] > 0.97


@pytest.mark.slow
@pytest.mark.skipif(not (DATA / "metabench_openllm_v1").is_dir(), reason="metabench_openllm_v1 is not at hand")
def test_published_three_parameter_difficulties_come_back_for_steep_items():
    folder = DATA / "metabench_openllm_v1"
    published = pd.read_parquet(folder / "published_item_parameters_mirt.parquet")
    published = published[(published["benchmark"] == "mmlu") & (published["form"] == "A")].set_index("item_id")
    frame = pd.read_parquet(folder / "responses.parquet")
    data = matrix(frame[frame["item_id"].isin(published.index)])
    posterior = fit_irt(data, IRTSettings(model="3pl", form="signed")).posterior
    theirs = published.loc[list(posterior.items)]
    ours, other = posterior.difficulty()["mean"].to_numpy(), (-theirs["d"] / theirs["a"]).to_numpy()
    # three published difficulties come from flat or falling curves and lie far outside of the models' abilities
    steep = ((theirs["a"] > 0.5) & (np.abs(other) < 3)).to_numpy()
    assert steep.mean() > 0.9
    assert np.corrcoef(ours[steep], other[steep])[0, 1] > 0.97
    assert np.corrcoef(posterior.floor[steep], theirs["g"].to_numpy()[steep])[0, 1] > 0.7
