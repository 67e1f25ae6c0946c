"""The models' own confidence as a predictor: it is used as far as it is right, and never where it is noise."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, logit

from capscope.data import Study
from capscope.errors import InputError
from capscope.predict import ASSESSORS, evaluate, predict
from capscope.predict.assessors.confidence import model_weights
from capscope.predict.layout import Layout

MODELS, ITEMS = 8, 150


def world(knows: float, seed: int = 0, stated: bool = True) -> tuple[Study, np.ndarray]:
    """Answers of which half of the models know better than the items' difficulty tells whether they are right."""
    rng = np.random.default_rng(seed)
    own = rng.normal(0, 1.5, (MODELS, ITEMS))
    line = rng.normal(0, 0.7, (MODELS, 1)) - rng.normal(0, 0.7, ITEMS) + own
    score = (rng.random(line.shape) < expit(line)) * 1.0
    insight = knows * (np.arange(MODELS) % 2)[:, None]
    confidence = expit(1.0 + insight * own + (1 - insight) * rng.normal(0, 1.5, own.shape))
    model, item = np.indices(score.shape).reshape(2, -1)
    rows = pd.DataFrame({"model": [f"m{m}" for m in model], "item_id": [f"i{i:03d}" for i in item]})
    rows["score"] = score.ravel()
    if stated:
        rows["confidence"] = confidence.ravel()
    items = pd.DataFrame({"item_id": [f"i{i:03d}" for i in range(ITEMS)], "benchmark": "b", "task": "t"})
    return Study.of(items, rows), score


@pytest.fixture(scope="module")
def losses() -> dict[float, tuple[float, float]]:
    found = {}
    for knows in (0.0, 1.0):
        metrics = evaluate(world(knows)[0], "id", ["explanatory", "confidence"], folds=3).metrics
        found[knows] = (metrics["explanatory"]["log_loss"], metrics["confidence"]["log_loss"])
    return found


def test_confidence_that_knows_saves_loss_and_noise_costs_nothing(losses):
    assert losses[1.0][1] < losses[1.0][0] - 0.04
    assert losses[0.0][1] < losses[0.0][0] + 0.004


def test_weights_are_recovered_by_model_and_shrunken_to_the_others():
    rng = np.random.default_rng(1)
    truth = np.array([0.0, 1.0, 0.4]) + rng.normal(0, 1, (30, 3)) * [0.5, 0.2, 0.25]
    model = np.repeat(np.arange(30), 400)
    design = np.column_stack([np.ones(len(model)), rng.normal(0, 1.2, len(model)), rng.normal(0, 1.5, len(model))])
    chance = expit((design * truth[model]).sum(axis=1))
    score = (rng.random(len(model)) < chance) * 1.0
    weight = model_weights(design, score, np.ones(len(model)), model, 31).mean
    slope = [np.polyfit(weight[:30, k], truth[:, k], 1)[0] for k in range(3)]
    assert np.abs(np.array(slope) - 1).max() < 0.2
    assert np.abs(weight[30] - truth.mean(axis=0)).max() < 0.12
    few = np.flatnonzero(model < 29)[::20]
    small = model_weights(design[few], score[few], np.ones(len(few)), model[few], 30).mean
    assert (small.std(axis=0) < truth.std(axis=0)).all()


def test_the_error_of_few_answers_is_in_the_intervals_of_log_odds_and_of_means_over_items():
    z, of_mean, models = [], [], 6
    for seed in range(40):
        rng = np.random.default_rng(seed)
        truth = np.array([0.0, 1.0, 0.4]) + rng.normal(0, 1, (models, 3)) * [0.5, 0.2, 0.25]
        model = np.repeat(np.arange(models), 20)
        predictors = [np.column_stack([np.ones(120), rng.normal(0, 1.2, 120), rng.normal(0.5, 1.5, 120)]) for _ in "ab"]
        asked, new = predictors
        # the last model has no answers
        some, score = model < models - 1, (rng.random(120) < expit((asked * truth[model]).sum(axis=1))) * 1.0
        weights = model_weights(asked[some], score[some], np.ones(100), model[some], models)
        line, sd, shared = weights.of_rows(model, new)
        assert (shared <= sd + 1e-12).all()
        away = (new * truth[model]).sum(axis=1) - line
        z.append(away / sd)
        of_mean.append(away.reshape(models, -1).mean(axis=1) / shared.reshape(models, -1).mean(axis=1))
    assert np.std(z) == pytest.approx(1, abs=0.1)
    assert (np.abs(z) < 1.645).mean() == pytest.approx(0.9, abs=0.03)
    assert np.std(of_mean) == pytest.approx(1, abs=0.2)


def test_intervals_of_predictions_hold_the_error_of_the_weights():
    fitted = ASSESSORS["confidence"].assessor.fit(Layout.of_study(world(1.0)[0]).training(0))
    model, item = np.indices((MODELS, ITEMS)).reshape(2, -1)
    chances, core = fitted.predict(model, item), fitted.core.predict(model, item)
    others = np.hypot(fitted.sd, core.shared_sd)
    assert (chances.log_odds_sd > others + 0.005).all()
    assert (chances.shared_sd >= core.shared_sd).all()
    assert (chances.shared_sd <= chances.log_odds_sd + 1e-12).all()


def test_answers_without_a_confidence_have_the_explanatory_chance():
    study, _ = world(1.0)
    training = Layout.of_study(study).training(0)
    hidden = training.confidence.copy()
    hidden[:, ::2] = np.nan
    fitted = ASSESSORS["confidence"].assessor.fit(type(training)(**{**vars(training), "confidence": hidden}))
    model, item = np.indices((MODELS, ITEMS)).reshape(2, -1)
    ours, core = fitted.predict(model, item), fitted.core.predict(model, item)
    silent = np.isnan(hidden[model, item])
    for name in ("probability", "log_odds_mean", "log_odds_sd", "shared_sd"):
        assert np.array_equal(getattr(ours, name)[silent], getattr(core, name)[silent])
    assert not np.allclose(ours.probability[~silent], core.probability[~silent])


def test_models_keep_their_chances_when_all_are_renamed_and_reordered():
    study, _ = world(1.0)
    names = {f"m{m}": f"z{MODELS - m}" for m in range(MODELS)}
    renamed = Study.of(study.items, study.responses.assign(model=study.responses["model"].astype(str).map(names)))
    first, second = (
        evaluate(each, "id", ["confidence"], folds=2).metrics["confidence"]["log_loss"] for each in (study, renamed)
    )
    assert first == pytest.approx(second, abs=2e-3)


def test_studies_without_confidences_or_with_wrong_ones_do_without_them():
    plain, _ = world(0.0, stated=False)
    layout = Layout.of_study(plain)
    assert layout.confidence is None
    assert not ASSESSORS["confidence"].works_with(layout.features)
    with pytest.raises(InputError, match="column 'confidence'"):
        evaluate(plain, "id", ["confidence"], folds=2)
    study, _ = world(0.0)
    wrong = Study.of(study.items, study.responses.assign(confidence=87.0))
    assert any("own confidences are not used" in note for note in Layout.of_study(wrong).notes)


def test_a_confidence_is_clipped_and_partial_scores_count():
    weight = model_weights(
        np.column_stack([np.ones(40), np.zeros(40), np.repeat(logit([0.01, 0.99]), 20)]),
        np.repeat([0.2, 0.8], 20),
        np.full(40, 5.0),
        np.zeros(40, dtype=int),
        1,
    ).mean
    assert np.isfinite(weight).all()
    assert expit(weight[0] @ [1, 0, logit(0.99)]) == pytest.approx(0.8, abs=0.05)


def test_confidences_in_new_answers_move_their_chances():
    study, score = world(1.0)
    known = Study.of(study.items, study.responses[study.responses["item_id"].astype(str) < "i100"])
    new = study.items[study.items["item_id"].astype(str) >= "i100"]
    stated = study.responses[study.responses["item_id"].isin(new["item_id"])].astype({"model": str, "item_id": str})
    table = predict(known, new, confidences=stated[["model", "item_id", "confidence"]]).table
    plain = predict(known, new, assessor="confidence").table
    joined = table.merge(stated[["model", "item_id", "score"]]).merge(plain, on=["model", "item_id"])
    loss = [-np.log(np.where(joined["score"] == 1, p, 1 - p)).mean() for p in (joined["p_x"], joined["p_y"])]
    assert loss[0] < loss[1] - 0.04
    with pytest.raises(InputError, match="2 model values are not predicted: .*did you mean"):
        predict(known, new, confidences=pd.DataFrame({"model": ["mm1", "zz"], "item_id": "i120", "confidence": 0.5}))
    with pytest.raises(InputError, match="confidences: .*confidence"):
        predict(known, new, confidences=pd.DataFrame({"model": ["m1"], "item_id": "i120", "confidence": 50}))
    with pytest.raises(InputError, match="weighed by assessor 'confidence'"):
        predict(known, new, assessor="mean", confidences=stated)
    silent = Study.of(known.items, known.responses.drop(columns="confidence"))
    with pytest.raises(InputError, match="no known answer has a confidence"):
        predict(silent, new, confidences=stated)
