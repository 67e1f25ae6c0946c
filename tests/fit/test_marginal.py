"""Marginal maximum likelihood against published and reference estimates."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from simulated import responses, world_2pl

from capscope.errors import FitError
from capscope.fit import fit_marginal, score_models

CLASSICAL = Path(__file__).resolve().parents[3] / "shared" / "data" / "classical_irt"
needs_classical = pytest.mark.skipif(not CLASSICAL.is_dir(), reason="classical_irt is not at hand")


def references() -> list[dict]:
    if not CLASSICAL.is_dir():
        return []
    lines = (CLASSICAL / "reference_estimates.jsonl").read_text().splitlines()
    return [record for record in map(json.loads, lines) if "logLik" in record]


@needs_classical
@pytest.mark.parametrize("reference", references(), ids=lambda r: f"{r['dataset']}-{r['model']}")
def test_estimates_and_log_likelihood_equal_the_reference(reference: dict):
    frame = pd.read_parquet(CLASSICAL / "responses.parquet")
    frame = frame[frame["dataset"] == reference["dataset"]]
    table = frame.pivot_table(index="person", columns="item_id", values="score")
    table = table[[f"{reference['dataset']}/{name}" for name in reference["items"]]]
    posterior = fit_marginal(responses(table.to_numpy()), rasch=reference["model"] == "1PL").posterior
    assert posterior.log_likelihood == pytest.approx(reference["logLik"], abs=0.01)
    assert posterior.slope == pytest.approx(np.array(reference["a"]), abs=0.01)
    assert posterior.intercept == pytest.approx(np.array(reference["d"]), abs=0.01)


def test_many_items_do_not_collapse_the_abilities():
    truth, data = world_2pl(60, 600)
    score = data.score.reshape(60, 600)
    keep = (score.mean(0) > 0) & (score.mean(0) < 1)
    posterior = fit_marginal(responses(score[:, keep]), rasch=True).posterior
    # under Rasch the sum score is sufficient: as many abilities as there are sums
    assert len(np.unique(posterior.ability_mean.round(6))) == len(np.unique(score[:, keep].sum(1)))
    assert np.corrcoef(posterior.ability_mean, truth.ability[:, 0])[0, 1] > 0.99
    assert (posterior.ability_sd > 0.02).all()
    assert np.abs(posterior.ability_mean - posterior.ability_mode).max() < 0.03


def test_standard_errors_match_the_spread_over_replications():
    estimates, errors = [], []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        ability = rng.standard_normal((800, 1))
        score = (rng.random((800, 6)) < 1 / (1 + np.exp(-(1.2 * ability + np.linspace(-1, 1, 6))))).astype(float)
        posterior = fit_marginal(responses(score)).posterior
        estimates.append(posterior.intercept)
        errors.append(posterior.intercept_se)
    ratio = np.std(estimates, axis=0).mean() / np.mean(errors)
    assert 0.7 < ratio < 1.35


def test_it_predicts_and_scores_like_any_other_fit():
    _, data = world_2pl(300, 12)
    posterior = fit_marginal(data).posterior
    irt = posterior.as_irt()
    again = score_models(irt, data)
    assert np.corrcoef(again.ability_mean[:, 0], posterior.ability_mean)[0, 1] > 0.999
    p = irt.probability(data.model_index, data.item_index)
    assert abs(p.mean() - data.score.mean()) < 0.01


def test_an_item_without_variation_is_refused_by_name():
    score = np.array([[1, 1, 0], [1, 0, 1.0], [1, 1, 1]])
    with pytest.raises(FitError, match="item i00000 has only right or only wrong answers"):
        fit_marginal(responses(score))
