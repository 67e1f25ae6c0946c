"""A few labels of a new benchmark: the posterior in simple cases, and calibration over simulated benchmarks."""

import numpy as np
import pytest
from scipy.special import expit, logit

from capscope.predict.scores.benchmark_effect import NOTHING_SEEN, OFFSETS, EffectSd
from capscope.predict.scores.labels import Labels, LogOddsGrid, labelled_scores, offset_posterior

PRIOR = EffectSd(1.0, 0.0, 0.5, 8.0).cautious()


def labels_of(model: list[int], item: list[int], score: list[float]) -> Labels:
    return Labels(np.array(model, int), np.array(item, int), np.array(score, float))


def test_without_labels_the_prior_stands() -> None:
    weight = offset_posterior(LogOddsGrid.known(np.zeros((2, 5))), labels_of([], [], []), PRIOR)
    assert weight.sum(axis=1) == pytest.approx(1)
    assert weight @ OFFSETS == pytest.approx(0, abs=1e-9)
    found = labelled_scores(
        LogOddsGrid.known(np.zeros((2, 50))), labels_of([], [], []), PRIOR, np.random.default_rng(0)
    )
    assert (found["upper"] - found["lower"] > 0.5).all()


def test_many_labels_overrule_a_wrong_prediction() -> None:
    # predicted 95 %, observed 25 %
    line = np.full((1, 1000), logit(0.95))
    answers = labels_of([0] * 200, list(range(200)), [1.0, 0, 0, 0] * 50)
    found = labelled_scores(LogOddsGrid.known(line), answers, PRIOR, np.random.default_rng(0)).iloc[0]
    assert found["score"] == pytest.approx(0.25, abs=0.03)
    assert found["lower"] < 0.25 < found["upper"]
    assert found["labels"] == 200


def test_every_item_labelled_is_the_score_itself() -> None:
    found = labelled_scores(
        LogOddsGrid.known(np.zeros((1, 4))),
        labels_of([0] * 4, [0, 1, 2, 3], [1, 0, 1, 1]),
        PRIOR,
        np.random.default_rng(0),
    )
    assert found[["score", "lower", "upper"]].to_numpy().tolist() == [[0.75] * 3]


def test_other_models_labels_move_a_model_without_any() -> None:
    line = np.zeros((9, 200))
    model, item = np.repeat(np.arange(8), 20), np.arange(160)
    rng = np.random.default_rng(0)
    score = (rng.random(160) < 0.1).astype(float)
    found = labelled_scores(LogOddsGrid.known(line), Labels(model, item, score), NOTHING_SEEN.cautious(), rng)
    assert found["score"].iloc[8] < 0.2
    assert found["labels"].tolist() == [20] * 8 + [0]


def test_answers_to_the_same_items_say_less_than_answers_to_items_of_their_own() -> None:
    line = np.zeros((11, 400))
    model = np.repeat(np.arange(10), 10)
    score = (np.random.default_rng(0).random(100) < 0.3).astype(float)
    widths = []
    for item in (np.arange(100), np.tile(np.arange(10), 10)):
        weight = offset_posterior(LogOddsGrid.known(line), Labels(model, item, score), PRIOR)[10]
        widths.append(np.sqrt(weight @ OFFSETS**2 - (weight @ OFFSETS) ** 2))
    assert widths[1] > widths[0]


def test_order_of_labels_changes_nothing() -> None:
    rng = np.random.default_rng(3)
    answers = Labels(np.repeat([0, 1, 2], 8), rng.permutation(60)[:24], (rng.random(24) < 0.4).astype(float))
    order = rng.permutation(24)
    shuffled = Labels(answers.model[order], answers.item[order], answers.score[order])
    line = rng.normal(0, 1, (3, 60))
    np.testing.assert_allclose(
        offset_posterior(LogOddsGrid.known(line), shuffled, PRIOR),
        offset_posterior(LogOddsGrid.known(line), answers, PRIOR),
    )


@pytest.mark.parametrize(("n_labels", "shared"), [(5, False), (20, False), (10, True)])
def test_intervals_cover_and_errors_lie_under_those_of_the_sample_mean(n_labels: int, shared: bool) -> None:
    rng = np.random.default_rng(5)
    spread = EffectSd(1.0, 0.0, 0.6, 12.0)
    hits, error, plain = [], [], []
    for _ in range(20 if shared else 120):
        n_models = 8 if shared else 1
        line = rng.normal(0, 1, (n_models, 1)) + rng.normal(0, 0.5, 300)
        truth = line + spread.draws(n_models, 1, rng, 1)[:, :, 0] + rng.normal(0, 1, 300)
        score = (rng.random(line.shape) < expit(truth)).astype(float)
        model = np.repeat(np.arange(n_models), n_labels)
        item = np.concatenate([rng.permutation(300)[:n_labels] for _ in range(n_models)])
        answers = Labels(model, item, score[model, item])
        found = labelled_scores(LogOddsGrid.known(line), answers, spread, rng, 0.8)
        mean = score.mean(axis=1)
        hits.append((found["lower"].to_numpy() <= mean) & (mean <= found["upper"].to_numpy()))
        error.append(np.abs(found["score"].to_numpy() - mean))
        plain.append(np.abs(answers.score.reshape(n_models, -1).mean(axis=1) - mean))
    assert np.mean(hits) == pytest.approx(0.8, abs=0.09)
    assert np.mean(error) < np.mean(plain)


def tilted_benchmark(tilt: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, Labels]:
    """A benchmark that parts models as ``1 + tilt`` times their predicted log-odds; ten labels a model."""
    strength = rng.normal(0, 1.2, 30)
    line = np.tile(strength[:, None], (1, 300))
    truth = ((1 + tilt) * strength - 1 + rng.normal(0, PRIOR.own, 30))[:, None] + rng.normal(0, 1, 300)
    score = (rng.random(line.shape) < expit(truth)).astype(float)
    model, item = np.repeat(np.arange(30), 10), np.concatenate([rng.permutation(300)[:10] for _ in range(30)])
    return line, score, Labels(model, item, score[model, item])


@pytest.mark.parametrize("tilt", [-0.8, 0.0, 1.2])
def test_labels_of_many_models_tell_how_far_a_benchmark_parts_them(tilt: float) -> None:
    rng = np.random.default_rng(11)
    hits, slopes = [], []
    for _ in range(12):
        line, score, answers = tilted_benchmark(tilt, rng)
        found, mean = labelled_scores(LogOddsGrid.known(line), answers, PRIOR, rng, 0.8), score.mean(axis=1)
        hits.append((found["lower"].to_numpy() <= mean) & (mean <= found["upper"].to_numpy()))
        slopes.append(np.polyfit(logit(found["score"].clip(0.01, 0.99)), logit(mean.clip(0.01, 0.99)), 1)[0])
    assert np.mean(slopes) == pytest.approx(1.0, abs=0.15)
    assert np.mean(hits) == pytest.approx(0.8, abs=0.09)
