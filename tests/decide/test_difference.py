"""The difference of two versions: exact laws, unbiasedness, coverage, worth of predictions."""

from dataclasses import replace

import numpy as np
import pytest

from capscope.decide.difference import DrawSequence, PairedDifferences
from capscope.decide.item_predictor import item_features, predict_differences
from capscope.decide.version_answers import VersionAnswers, draw, flip_chances, ordered_by_similarity, past_answers
from capscope.errors import InputError
from decide.worlds import version_answers


def test_leave_one_out_predictions_are_those_of_fits_without_the_item():
    rng = np.random.default_rng(0)
    answers, full = version_answers(rng, 80, 40, 10)
    features = item_features(answers.past_score, answers.baseline_score)
    pair, change = answers.paired, full - answers.baseline_score
    found = predict_differences(features, pair, change[pair], np.ones(len(pair)))
    residuals = [np.inf] * 5
    for number, noise in enumerate((0.05, 0.1, 0.2, 0.4, 0.8)):
        errors = []
        for left_out in range(len(pair)):
            kept = np.delete(pair, left_out)
            gram = features[kept] @ features[kept].T + noise * np.eye(len(kept))
            predicted = features @ features[kept].T @ np.linalg.solve(gram, change[kept])
            errors.append(change[pair[left_out]] - predicted[pair[left_out]])
        residuals[number] = float(np.square(errors).mean())
        if residuals[number] == min(residuals):
            best = errors
            gram = features[pair] @ features[pair].T + noise * np.eye(len(pair))
            fitted = features @ features[pair].T @ np.linalg.solve(gram, change[pair])
    assert np.allclose(found.error, best)
    assert np.allclose(found.fitted, fitted)


def test_swapping_the_versions_flips_the_sign_where_both_answered_everything():
    answers, full = version_answers(np.random.default_rng(1), 200, 200)
    forth = PairedDifferences.of(answers).over()
    back = PairedDifferences.of(replace(answers, baseline_score=full, candidate_score=answers.baseline_score)).over()
    assert forth.estimate == pytest.approx(-back.estimate, abs=1e-12)
    assert forth.estimate == pytest.approx((full - answers.baseline_score).mean(), abs=1e-9)
    assert forth.suite_se == 0
    assert forth.redrawn_se > 0


def test_the_order_of_items_changes_nothing():
    answers, _ = version_answers(np.random.default_rng(2), 150, 60)
    order = np.random.default_rng(3).permutation(150)
    turned = VersionAnswers(
        "old",
        "new",
        tuple(answers.items[row] for row in order),
        answers.baseline_score[order],
        answers.candidate_score[order],
        answers.past_score[:, order],
        answers.labels.iloc[order].reset_index(drop=True),
    )
    one, other = PairedDifferences.of(answers).over(), PairedDifferences.of(turned).over()
    assert one.estimate == pytest.approx(other.estimate, abs=1e-9)
    assert one.redrawn_se == pytest.approx(other.redrawn_se, abs=1e-9)


@pytest.mark.parametrize("design", ["even", "flips"])
def test_intervals_cover_and_predictions_narrow_them(design):
    rng = np.random.default_rng(4)
    hit, z, plain, ours = [], [], [], []
    for _ in range(120):
        answers, full = version_answers(rng, 600, 150, 45, change=0.2)
        truth, chance = float((full - answers.baseline_score).mean()), None
        if design == "flips":
            chance = flip_chances(answers.past_score, answers.baseline_score, 150)
            seen = np.full(600, np.nan)
            rows = draw(chance, rng)
            seen[rows] = full[rows]
            answers = replace(answers, candidate_score=seen)
        found = PairedDifferences.of(answers, chance).over()
        alone = PairedDifferences.of(answers, chance, predicted=False).over()
        low, high = found.interval(1.96)
        hit.append(low <= truth <= high)
        z.append((found.estimate - truth) / found.suite_se)
        ours.append(found.suite_se**2)
        plain.append(alone.suite_se**2)
    assert 0.89 <= np.mean(hit) <= 0.99
    assert 0.85 <= np.std(z) <= 1.15
    assert abs(np.mean(z)) < 3 / np.sqrt(len(z))
    assert np.mean(plain) > 1.25 * np.mean(ours)


def test_draws_that_follow_the_answers_before_them_keep_the_estimate_unbiased_and_its_interval_honest():
    rng, z = np.random.default_rng(5), []
    for _ in range(150):
        answers, new = version_answers(rng, n_items=150, change=0.6)
        past = answers.past_score.mean(0)
        number, chance, spread = np.full((3, 150), np.nan)
        weight = np.ones(150)
        left, seen = np.ones(150, bool), np.full(150, np.nan)
        for place in range(50):
            share = np.where(left, 0.1 / left.sum() + 0.9 * weight / weight[left].sum(), 0)
            row = int(rng.choice(150, p=share))
            number[row], chance[row], spread[row] = place, share[row], 0.4 * np.sqrt((1 / share[left]).sum()) / 150
            seen[row], left[row] = new[row], False
            # a wrong answer draws items that past models find hard: the plain mean of such draws is biased
            weight *= np.where((past < 0.5) == (new[row] < 0.5), 1.02, 1 / 1.02)
        drawn = replace(answers, candidate_score=seen)
        found = PairedDifferences.of(drawn, sequence=DrawSequence(number, chance, spread)).over()
        z.append((found.estimate - (new - answers.baseline_score).mean()) / found.suite_se)
    assert abs(np.mean(z)) < 0.35
    assert 0.9 < np.mean(np.abs(z) < 1.96) < 0.995


def test_drawn_chances_add_up_and_are_kept():
    rng = np.random.default_rng(5)
    answers, _ = version_answers(rng, 300, 60, 45)
    chance = flip_chances(answers.past_score, answers.baseline_score, 60)
    assert chance.sum() == pytest.approx(60)
    assert chance.max() <= 1
    assert chance.max() > 1.5 * chance.min()
    drawn = np.zeros(300)
    for _ in range(3000):
        rows = draw(chance, rng)
        assert len(rows) == 60
        drawn[rows] += 1
    assert np.abs(drawn / 3000 - chance).max() < 5 * np.sqrt(0.25 / 3000)


def test_draws_spread_over_kinds_of_items_keep_the_chances_and_lose_less():
    rng = np.random.default_rng(6)
    answers, full = version_answers(rng, 300, 60, 45, change=0.5)
    chance, change = flip_chances(answers.past_score, answers.baseline_score, 60), full - answers.baseline_score
    ordered = ordered_by_similarity(answers.past_score, answers.baseline_score)
    assert sorted(ordered) == list(range(300))
    drawn, error = np.zeros(300), {True: [], False: []}
    for _ in range(300):
        for spread in (True, False):
            rows = draw(chance, rng, ordered if spread else None)
            error[spread].append((change[rows] / chance[rows]).sum() / 300 - change.mean())
            if spread:
                assert len(rows) == 60
                drawn[rows] += 1
    assert np.abs(drawn / 300 - chance).max() < 5 * np.sqrt(0.25 / 300)
    assert np.var(error[True]) < 0.8 * np.var(error[False])
    assert len(ordered_by_similarity(answers.past_score[:0], answers.baseline_score)) == 300


def test_few_past_models_are_drawn_evenly():
    assert np.ptp(flip_chances(np.zeros((10, 50)), np.ones(50), 5)) == 0


def test_no_flip_among_the_answers_is_no_certainty():
    answers, _ = version_answers(np.random.default_rng(6), 100, 40)
    same = np.where(np.isnan(answers.candidate_score), np.nan, answers.baseline_score)
    found = PairedDifferences.of(replace(answers, candidate_score=same)).over()
    assert found.estimate == pytest.approx(0, abs=1e-6)
    assert found.suite_se > 0.005
    whole = PairedDifferences.of(replace(answers, candidate_score=answers.baseline_score)).over()
    assert whole.redrawn_se > 0.005


def test_missing_answers_are_never_zeros():
    answers, full = version_answers(np.random.default_rng(7), 400, 120, change=1.0)
    found = PairedDifferences.of(answers).over()
    assert found.estimate > 0.05
    assert found.n_answers == 120


def test_one_shared_answer_is_refused():
    answers, full = version_answers(np.random.default_rng(8), 50, 1)
    with pytest.raises(InputError, match="share 1 answered items"):
        PairedDifferences.of(answers)


def test_gaps_of_past_models_are_filled_and_thin_models_left_out():
    score = np.array([[1, 1, 0, np.nan], [1, np.nan, np.nan, np.nan], [0, 1, 0, 1.0]])
    filled = past_answers(score)
    assert filled.shape == (2, 4)
    assert not np.isnan(filled).any()
    assert np.array_equal(filled[1], score[2])


def test_a_candidate_unlike_all_past_models_gets_an_honest_interval():
    rng = np.random.default_rng(9)
    hit = []
    for _ in range(80):
        answers, _ = version_answers(rng, 400, 120)
        odd = (rng.random(400) < 0.5).astype(float)
        seen = np.where(np.isnan(answers.candidate_score), np.nan, odd)
        found = PairedDifferences.of(replace(answers, candidate_score=seen)).over()
        low, high = found.interval(1.96)
        hit.append(low <= (odd - answers.baseline_score).mean() <= high)
    assert np.mean(hit) >= 0.88
