"""Faults that were found in use: each value here was wrong once."""

from itertools import product

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit
from simulated import responses

from capscope.data import Study
from capscope.errors import FitError
from capscope.fit import (
    GridAnswers,
    IRTSettings,
    StudyFitSettings,
    fit_irt,
    fit_marginal,
    item_fit,
    local_dependence,
)
from capscope.fit.engines.variational.problem import ItemCovariates, ModelChoice
from capscope.fit.engines.variational.selection import Decision, HeldOutComparison, Trial, _taken
from capscope.fit.irt_study import fit_answers, fit_irt_study

TWO_PL = IRTSettings(model="2pl")

LSAT7 = (
    12,
    19,
    1,
    7,
    3,
    19,
    3,
    17,
    10,
    5,
    3,
    7,
    7,
    23,
    8,
    28,
    7,
    39,
    11,
    34,
    14,
    51,
    15,
    90,
    6,
    25,
    7,
    35,
    18,
    136,
    32,
    308,
)
"""Persons with each pattern of five answers, from all wrong to all right (Bock & Lieberman, 1970)."""


def test_item_fit_of_a_published_table_is_that_of_mirt() -> None:
    patterns = np.array(list(product((0.0, 1.0), repeat=5)))
    data = responses(np.repeat(patterns, LSAT7, axis=0))
    table = item_fit(fit_marginal(data).posterior.as_irt(), data).table
    assert table["s_x2"].to_numpy() == pytest.approx([4.749, 14.453, 1.270, 5.238, 0.941], abs=0.01)
    assert (table["df"] == 2).all()


def test_short_tests_of_many_persons_have_an_item_fit_and_items_with_honest_errors() -> None:
    inside, tested = [], []
    for seed in range(10):
        rng = np.random.default_rng(seed)
        slope, cut = rng.lognormal(0, 0.3, 10), rng.normal(0, 1, 10)
        data = responses((rng.random((600, 10)) < expit(rng.normal(size=(600, 1)) * slope + cut)).astype(float))
        posterior = fit_irt(data, TWO_PL).posterior
        inside += (np.abs(posterior.item_mean[:, 0] - slope) < 1.645 * np.sqrt(posterior.item_cov[:, 0, 0])).tolist()
        tested += np.isfinite(item_fit(posterior, data).table["p"]).tolist()
    assert all(tested)
    assert 0.84 < np.mean(inside) < 0.97


def test_fits_of_few_items_advise_the_engine_with_right_intervals() -> None:
    rng = np.random.default_rng(0)
    few, more = (responses((rng.random((50, count)) < 0.5).astype(float)) for count in (5, 10))
    assert any("--engine mml" in line for line in fit_irt(few, TWO_PL).status.advice)
    assert not any("--engine mml" in line for line in fit_irt(more, TWO_PL).status.advice)


def test_predictions_do_not_change_with_the_errors_of_the_items() -> None:
    data = responses((np.random.default_rng(0).random((200, 8)) < 0.5).astype(float))
    posterior = fit_irt(data, TWO_PL).posterior
    assert posterior.ability_inflation is not None
    assert np.linalg.eigvalsh(posterior.item_cov - posterior.conditional_cov).min() > -1e-9
    assert posterior.answer_cov == pytest.approx(posterior.conditional_cov)


def test_repeats_are_used_or_refused_and_the_order_of_rows_is_no_matter() -> None:
    rng = np.random.default_rng(3)
    chance = expit(rng.normal(size=(60, 1)) + rng.normal(size=12))
    once = [responses((rng.random(chance.shape) < chance).astype(float)) for _ in range(3)]
    joined = {
        name: np.concatenate([getattr(one, name) for one in once]) for name in ("model_index", "item_index", "score")
    }
    data = type(once[0])(once[0].models, once[0].items, **joined, n_trials=np.ones(3 * 720))
    posterior = fit_irt(data, TWO_PL).posterior
    shuffled = data.rows(rng.permutation(len(data.score)))
    one, other = (local_dependence(posterior, rows, np.random.default_rng(0), 5) for rows in (data, shuffled))
    assert one.cut == other.cut
    assert one.pairs == other.pairs
    with pytest.raises(FitError, match="1440 answers repeat a model on an item"):
        item_fit(posterior, data)


@pytest.mark.parametrize("kind", [np.int8, np.uint8, np.int16, np.uint32, np.int64, bool])
def test_a_grid_takes_whole_numbers_of_every_type(kind: type) -> None:
    score = np.random.default_rng(0).random((20, 15)) < 0.6
    names = tuple(f"m{k}" for k in range(20)), tuple(f"i{k}" for k in range(15))
    fits = [
        fit_irt(GridAnswers(*names, score.astype(one)), IRTSettings(model="rasch")).posterior for one in (kind, np.int8)
    ]
    assert fits[0].ability_mean.tobytes() == fits[1].ability_mean.tobytes()


def test_a_grid_refuses_what_it_would_misread() -> None:
    names = ("a", "b"), ("x", "y")
    with pytest.raises(FitError, match="whole numbers, not float64"):
        GridAnswers(*names, np.ones((2, 2)))
    with pytest.raises(FitError, match="1, 0 or -1"):
        GridAnswers(*names, np.full((2, 2), 255, np.uint8))


def test_marginal_maximum_likelihood_fits_the_model_it_is_asked_for() -> None:
    rng = np.random.default_rng(0)
    slope, cut, ability = rng.lognormal(0.2, 0.2, 10), rng.normal(0, 1, 10), rng.normal(size=(1200, 1))
    right = (rng.random((1200, 10)) < 0.25 + 0.75 * expit(ability * slope + cut)).astype(float)
    data, floor = responses(right), np.full(10, 0.25)
    settings = {model: StudyFitSettings(model=model, engine="mml") for model in ("2pl", "rasch")}
    posterior = fit_answers(data, settings["2pl"], floor).posterior
    assert posterior.item_mean[:, 0].mean() == pytest.approx(slope.mean(), rel=0.15)
    assert fit_answers(data, settings["2pl"]).posterior.item_mean[:, 0].mean() < 0.8 * slope.mean()
    assert posterior.floor == pytest.approx(0.25)
    few = responses(right[:200])
    for one in (fit_answers(few, settings["rasch"], floor).posterior, fit_answers(few, settings["rasch"]).posterior):
        assert one.model_name == "rasch"
        assert np.ptp(one.item_mean[:, 0]) == pytest.approx(0)
    halves = responses((right[:200] + (rng.random((200, 10)) < 0.5)) / 2)
    graded = StudyFitSettings(model="rasch", engine="mml", response="graded")
    assert np.ptp(fit_answers(halves, graded).posterior.item_mean[:, 0]) == pytest.approx(0)


def test_answers_near_each_models_level_are_told_and_answers_missing_at_random_are_not() -> None:
    rng = np.random.default_rng(1)
    ability, difficulty = rng.normal(size=(60, 1)), rng.normal(0, 1.2, 150)
    right = (rng.random((60, 150)) < expit(ability - difficulty)).astype(float)
    near = responses(np.where(np.abs(ability - difficulty) < 1, right, np.nan))
    anywhere = responses(np.where(rng.random(right.shape) < 0.4, right, np.nan))
    told = [" ".join(fit_irt(data, IRTSettings(model="rasch")).status.advice) for data in (near, anywhere)]
    assert "able models were asked hard items" in told[0]
    assert "able models" not in told[1]


def test_items_that_do_not_tell_models_apart_are_the_first_advice() -> None:
    rng = np.random.default_rng(0)
    chance = expit(0.1 * rng.normal(size=(30, 1)) + rng.normal(size=12))
    alike = fit_irt(responses((rng.random(chance.shape) < chance).astype(float)), IRTSettings(model="rasch"))
    assert alike.reliability()["ability"] < 0.5
    assert alike.status.advice[0].startswith("these items hardly distinguish the models: reliability 0.")
    chance = expit(2 * rng.normal(size=(30, 1)) + rng.normal(size=40))
    apart = fit_irt(responses((rng.random(chance.shape) < chance).astype(float)), IRTSettings(model="rasch"))
    assert apart.reliability()["ability"] > 0.8
    assert not any("apart" in line for line in apart.status.advice)


def test_auto_says_which_model_it_took() -> None:
    rng = np.random.default_rng(1)
    data = responses((rng.random((40, 60)) < expit(rng.normal(size=(40, 1)) + rng.normal(size=60))).astype(float))
    fit = fit_irt(data, IRTSettings())
    assert fit.status.advice[0].startswith("auto took Rasch: none of ")
    again = fit_irt(data, IRTSettings(model="rasch"))
    assert fit.posterior.ability_mean.tobytes() == again.posterior.ability_mean.tobytes()


class Planned(HeldOutComparison):
    """Comparisons whose gains are planned: four dimensions leave it open, eight and three do no better."""

    def __init__(self) -> None:
        self.decisions, self.side, self.settings, self.tries = [], ItemCovariates(), IRTSettings(), 0

    def try_out(self, choice: ModelChoice) -> Trial:
        self.tries += 1
        assert self.tries < 20, "the search does not end"
        loss = {"rasch": 0.6, "2pl": 0.5}.get(choice.name, {2: 0.4, 3: 0.41, 4: 0.4005, 8: 0.42}.get(choice.dims, 0.4))
        noise = 0.01 * choice.dims * np.array([1.0, -1.0] * 50)
        return Trial(choice, (), (loss + noise,), (np.ones(100),))

    def compared(self, simpler: Trial, richer: Trial) -> tuple[bool, Trial, Trial]:
        return richer.gain_over(simpler)[0] > 0.001, simpler, richer

    def _most_dims(self) -> int:
        return 8

    def can_show_floors(self) -> bool:
        return False


def test_the_search_of_dimensions_ends_where_doubling_leaves_it_open() -> None:
    best, lines = Planned().climb()
    assert best.choice.dims == 2
    assert [line.split(" not taken")[0] for line in lines if "not taken" in line] == [
        "4 dimensions",
        "8 dimensions",
        "3 dimensions",
    ]


def test_a_gain_within_its_error_is_no_better() -> None:
    trial = Trial(ModelChoice("2pl"), (), (np.ones(4),), (np.ones(4),))
    within = _taken(trial, ["2PL not taken: "], [Decision(False, 0.0004, 0.002)])
    assert within == (
        f"auto took {trial.choice.words}: none of 1 richer models predicts held-out answers clearly better:"
        " within the error the simpler one is taken"
    )
    assert _taken(trial, [""], [Decision(True, 0.004, 0.005)]).endswith(", though by 0.0040 with an error of 0.0050")


@pytest.mark.slow
def test_the_reliability_of_shuffled_answers_is_low_where_there_are_no_abilities() -> None:
    rng = np.random.default_rng(0)  # the seed of the fit, too: the control must not reuse what drew the answers
    alike = responses((rng.random((50, 30)) < expit(rng.normal(size=30))).astype(float))
    items = Study.of(pd.DataFrame({"item_id": alike.items}))
    advice = fit_irt_study(items, alike, StudyFitSettings(model="rasch")).status.advice
    (line,) = [line for line in advice if line.startswith("the same answers assigned to the models at random")]
    assert float(line.split()[-1]) < 0.4


@pytest.mark.slow
def test_slopes_without_a_prior_find_an_ability_in_noise_and_the_first_advice_says_so() -> None:
    def advice(spread: float) -> tuple[str, ...]:
        rng = np.random.default_rng(100)
        chance = expit(spread * rng.normal(size=(50, 1)) + 0.6 * rng.normal(size=30))
        answers = responses((rng.random(chance.shape) < chance).astype(float))
        items = Study.of(pd.DataFrame({"item_id": answers.items}))
        return fit_irt_study(items, answers, StudyFitSettings(model="2pl", engine="mml")).status.advice

    assert advice(0.0)[0].startswith("these items may not distinguish the models at all: reliability is 0.")
    assert not any("may not distinguish" in line for line in advice(1.0))
