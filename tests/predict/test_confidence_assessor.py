"""The assessor that uses the models' own stated confidence, in studies simulated with and without a signal in it."""

import numpy as np
import pytest
from scipy.special import expit

from capscope.data import Study
from capscope.errors import InputError
from capscope.predict import ASSESSORS, evaluate
from capscope.predict.assessors import usable
from capscope.predict.layout import Layout
from predict.simulated_study import simulated_study


def with_confidence(signal: float, share: float = 1.0, seed: int = 0) -> Study:
    """A study whose models, overconfident by 1.5 log-odds, know their answer's score as well as `signal` says."""
    study = simulated_study(seed, n_models=5, n_items=160)
    rng = np.random.default_rng(seed + 1)
    table = study.require("responses")
    own = expit(1.5 + signal * (table["score"].to_numpy() - 0.5) + rng.standard_normal(len(table)))
    own[rng.random(len(own)) > share] = np.nan
    return Study.of(study.require("items"), table.assign(confidence=own), study.require("demands"))


def test_confidence_lowers_the_loss_on_new_items_and_stays_calibrated() -> None:
    metrics = evaluate(with_confidence(2.0), "id", ["explanatory", "confidence"], folds=2).metrics
    assert metrics["confidence"]["log_loss"] < metrics["explanatory"]["log_loss"] - 0.05
    assert metrics["confidence"]["auroc"] > metrics["explanatory"]["auroc"] + 0.05
    assert metrics["confidence"]["ece"] < 0.08


def test_confidence_without_a_signal_and_answers_without_confidence_cost_nothing() -> None:
    metrics = evaluate(with_confidence(0.0, 0.5), "task", ["explanatory", "confidence"], folds=2).metrics
    assert metrics["confidence"]["log_loss"] < metrics["explanatory"]["log_loss"] + 0.004


def test_a_missing_confidence_is_named_and_a_present_one_is_used_by_default() -> None:
    study, plain = with_confidence(1.0), simulated_study(n_models=3, n_items=80)
    with pytest.raises(InputError, match="needs a column 'confidence' or 'agreement'"):
        evaluate(plain, "id", ["confidence"], folds=2)
    layout = Layout.of_study(study)
    assert layout.confidence is not None
    assert "confidence" in usable(layout.features, confidence=True)
    assert "confidence" not in usable(layout.features)
    assert ASSESSORS["confidence"].needs == "confidence"


def test_a_confidence_in_percent_is_refused() -> None:
    study = with_confidence(1.0)
    table = study.require("responses")
    percent = Study(study.items, table.assign(confidence=table["confidence"] * 100), study.demands, "percents")
    with pytest.raises(InputError, match="from 0 to 1"):
        Layout.of_study(percent)


def test_the_confidence_of_an_answer_sits_at_its_model_and_item() -> None:
    study = with_confidence(1.0, 0.7)
    layout = Layout.of_study(study)
    row = study.require("responses").iloc[[5, 300, 700]]
    assert layout.confidence is not None
    at = layout.confidence[
        [layout.responses.models.index(name) for name in row["model"]],
        [layout.responses.items.index(name) for name in row["item_id"]],
    ]
    assert at == pytest.approx(row["confidence"].to_numpy(), nan_ok=True)
