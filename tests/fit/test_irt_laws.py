"""What must hold whatever the data: determinism, symmetry, finiteness, refusals."""

from dataclasses import replace

import numpy as np
import pytest
from simulated import responses, world_2pl

from capscope.data import Responses
from capscope.errors import FitError
from capscope.fit import Fit, IRTPosterior, IRTSettings, fit_irt, load_fit, save_fit, score_models

CHOICES = [
    IRTSettings(model="rasch"),
    IRTSettings(model="2pl", form="signed"),
    IRTSettings(model="2pl", form="positive"),
    IRTSettings(model="mirt", dims=3),
]


def permuted(data: Responses, models: np.ndarray, items: np.ndarray) -> Responses:
    """The same answers over permuted axes."""
    return replace(
        data,
        models=tuple(data.models[i] for i in models),
        items=tuple(data.items[i] for i in items),
        model_index=np.argsort(models)[data.model_index],
        item_index=np.argsort(items)[data.item_index],
    )


def assert_finite(posterior: IRTPosterior) -> None:
    for array in (posterior.ability_mean, posterior.ability_cov, posterior.item_mean, posterior.item_cov):
        assert np.isfinite(array).all()
    assert (posterior.ability_sd > 0).all()


@pytest.mark.parametrize("settings", CHOICES, ids=lambda s: f"{s.model}-{s.form}")
def test_same_seed_same_bits(settings: IRTSettings):
    _, data = world_2pl(40, 120)
    first, second = fit_irt(data, settings).posterior, fit_irt(data, settings).posterior
    assert first.ability_mean.tobytes() == second.ability_mean.tobytes()
    assert first.item_cov.tobytes() == second.item_cov.tobytes()


@pytest.mark.parametrize("settings", CHOICES[:3], ids=lambda s: f"{s.model}-{s.form}")
def test_permuting_models_and_items_permutes_the_answer(settings: IRTSettings):
    _, data = world_2pl(40, 120)
    rng = np.random.default_rng(1)
    models, items = rng.permutation(40), rng.permutation(120)
    plain, turned = fit_irt(data, settings).posterior, fit_irt(permuted(data, models, items), settings).posterior
    assert turned.ability_mean == pytest.approx(plain.ability_mean[models], abs=1e-4)
    assert turned.item_mean == pytest.approx(plain.item_mean[items], abs=1e-4)


def test_more_threads_change_nothing():
    _, data = world_2pl(300, 4000)
    one = fit_irt(data, CHOICES[1]).posterior
    two = fit_irt(data, replace(CHOICES[1], threads=2)).posterior
    assert one.item_mean.tobytes() == two.item_mean.tobytes()


def test_trials_count_as_repeats():
    rng = np.random.default_rng(3)
    truth, _ = world_2pl(50, 60, 2)
    trials = rng.integers(1, 5, (50, 60))
    right = rng.binomial(trials, 1 / (1 + np.exp(-truth.logit)))
    pooled = responses(right / trials, trials)
    model, item = np.nonzero(trials)
    repeats = trials[model, item]
    score = np.concatenate([np.arange(n) < r for n, r in zip(repeats, right[model, item], strict=True)]).astype(float)
    single = replace(
        pooled,
        model_index=np.repeat(model, repeats),
        item_index=np.repeat(item, repeats),
        score=score,
        n_trials=np.ones(len(score)),
    )
    first, second = fit_irt(pooled, CHOICES[1]).posterior, fit_irt(single, CHOICES[1]).posterior
    assert first.item_mean == pytest.approx(second.item_mean, abs=1e-4)
    alone = fit_irt(responses(right / trials), CHOICES[1]).posterior
    assert first.ability_sd.mean() < alone.ability_sd.mean()


@pytest.mark.parametrize("settings", CHOICES, ids=lambda s: f"{s.model}-{s.form}")
def test_separable_data_stay_finite_and_are_reported(settings: IRTSettings):
    _, data = world_2pl(20, 80)
    score = data.score.reshape(20, 80).copy()
    score[0], score[1], score[:, 0], score[:, 1] = 1, 0, 1, 0
    score[2, :] = np.nan
    score[:, 5] = np.nan
    fit = fit_irt(responses(score), settings)
    assert_finite(fit.posterior)
    assert np.abs(fit.posterior.ability_mean).max() < 8
    told = " ".join(fit.status.advice)
    for line in ("model", "all right", "all wrong", "no answer"):
        assert line in told


@pytest.mark.parametrize("shape", [(1, 50), (2, 50), (3, 3), (50, 1), (5, 200)])
@pytest.mark.parametrize("settings", CHOICES, ids=lambda s: f"{s.model}-{s.form}")
def test_tiny_data_stay_finite(settings: IRTSettings, shape: tuple[int, int]):
    score = (np.random.default_rng(0).random(shape) < 0.6).astype(float)
    assert_finite(fit_irt(responses(score), settings).posterior)


@pytest.mark.parametrize("settings", CHOICES, ids=lambda s: f"{s.model}-{s.form}")
def test_floors_of_nothing_and_of_nearly_all_stay_finite(settings: IRTSettings):
    _, data = world_2pl(30, 90)
    score = data.score.reshape(30, 90).copy()
    score[0], score[1], score[:, 0], score[:, 1] = 1, 0, 1, 0
    floor = np.tile([0.0, 0.25, 0.9], 30)
    fit = fit_irt(responses(score), settings, floor=floor)
    assert_finite(fit.posterior)
    p = fit.posterior.probability(np.repeat(np.arange(30), 90), np.tile(np.arange(90), 30))
    assert (p >= np.tile(floor, 30)).all()


def test_floors_of_nothing_change_nothing():
    _, data = world_2pl(30, 90)
    plain = fit_irt(data, CHOICES[1]).posterior
    tiny = fit_irt(data, CHOICES[1], floor=np.full(90, 1e-30)).posterior
    assert tiny.item_mean == pytest.approx(plain.item_mean, abs=1e-4)


def test_identical_models_stay_finite():
    score = np.tile((np.random.default_rng(0).random(300) < 0.6).astype(float), (5, 1))
    assert_finite(fit_irt(responses(score), CHOICES[3]).posterior)


def test_coin_flips_are_called_nothing_to_measure():
    score = (np.random.default_rng(0).random((80, 400)) < 0.5).astype(float)
    fit = fit_irt(responses(score), CHOICES[1])
    assert fit.status.code == "nothing-to-measure"
    assert any("do not depend on an ability" in line for line in fit.status.advice)
    _, data = world_2pl(80, 400)
    assert fit_irt(data, CHOICES[1]).status.code == "converged"


def test_noise_does_not_fill_many_dimensions():
    rng = np.random.default_rng(1)
    score = (rng.random((60, 500)) < 0.5).astype(float)
    posterior = fit_irt(responses(score), IRTSettings(model="mirt", dims=8)).posterior
    p = posterior.probability(np.repeat(np.arange(60), 500), np.tile(np.arange(500), 60))
    assert np.sqrt(np.mean((p - 0.5) ** 2)) < 0.1


@pytest.mark.parametrize("n_features", [18, 100])
def test_many_collinear_and_constant_features_do_not_break(n_features: int):
    _, data = world_2pl(20, 150)
    rng = np.random.default_rng(0)
    features = rng.integers(0, 6, (150, n_features)).astype(float)
    features[:, 3] = 2.0
    features[:, 4] = features[:, 5]
    features[:, 6] = 3 * features[:, 7] - features[:, 8]
    posterior = fit_irt(data, CHOICES[1], features).posterior
    assert_finite(posterior)
    plain = fit_irt(data, CHOICES[1]).posterior
    assert np.corrcoef(posterior.item_mean[:, 1], plain.item_mean[:, 1])[0, 1] > 0.97
    # features that carry nothing must not make new items look known
    _, with_features = posterior.new_item_moments(np.arange(20), features[:20])
    _, without = plain.new_item_moments(np.arange(20))
    assert with_features.mean() > 0.75 * without.mean()


def test_bad_input_is_refused_in_one_line():
    _, data = world_2pl(10, 30)
    bad = np.ones((30, 2))
    bad[4, 1] = np.nan
    cases = [
        (lambda: fit_irt(data, CHOICES[1], bad), "row 4, column 1"),
        (lambda: fit_irt(data, CHOICES[1], np.ones((29, 2))), "one row for each of the 30 items"),
        (lambda: fit_irt(data.rows(np.zeros(300, bool)), CHOICES[1]), "no responses"),
        (lambda: fit_irt(replace(data, score=data.score * 3), CHOICES[1]), "outside"),
        (lambda: IRTSettings(model="2pl", dims=3), "mirt"),
        (lambda: fit_irt(data, CHOICES[1]).posterior.item_index(("i00001", "i000001x")), "did you mean"),
    ]
    for call, fragment in cases:
        with pytest.raises(FitError, match=fragment) as caught:
            call()
        assert "\n" not in str(caught.value)


def test_a_fit_survives_the_disk(tmp_path):
    _, data = world_2pl(10, 30)
    features = np.random.default_rng(0).random((30, 3))
    for name, settings in (("a", CHOICES[2]), ("b", CHOICES[3])):
        fit = fit_irt(data, settings, features)
        save_fit(fit, tmp_path / name)
        read: Fit[IRTPosterior] = load_fit(tmp_path / name)
        assert read.status == fit.status
        assert read.history == fit.history
        assert read.posterior.models == fit.posterior.models
        index = np.arange(10)
        assert read.posterior.probability(index, index).tobytes() == fit.posterior.probability(index, index).tobytes()
        new = (index, features[:10])
        assert read.posterior.new_item_probability(*new).tobytes() == fit.posterior.new_item_probability(*new).tobytes()


def test_scoring_a_model_of_the_fit_comes_near_its_ability():
    # not the same: to a new model the items' errors are independent of its answers, to a model of the fit they are not
    _, data = world_2pl(60, 400)
    for settings in CHOICES[:3]:
        posterior = fit_irt(data, replace(settings, tolerance=1e-3)).posterior
        again = score_models(posterior, data)
        assert 0.9 < np.polyfit(again.ability_mean[:, 0], posterior.ability_mean[:, 0], 1)[0] <= 1.01
        assert again.ability_mean == pytest.approx(posterior.ability_mean, rel=0.12, abs=0.03)
        assert again.ability_sd == pytest.approx(posterior.ability_sd, rel=0.1)


def test_scoring_takes_a_few_answers_in_any_order():
    truth, data = world_2pl(200, 400)
    posterior = fit_irt(data, CHOICES[1]).posterior
    some = np.random.default_rng(0).choice(400, 60, replace=False)
    battery = responses(data.score.reshape(200, 400)[:, some])
    battery = replace(battery, items=tuple(data.items[i] for i in some))
    scored = score_models(posterior, battery)
    error = scored.ability_mean[:, 0] - truth.ability[:, 0]
    assert 0.87 < (np.abs(error) < 1.645 * scored.ability_sd[:, 0]).mean() < 0.94
    assert scored.ability_sd.mean() > posterior.ability_sd.mean()
