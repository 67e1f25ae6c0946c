"""Bradley-Terry strengths: values of R's BradleyTerry2, coverage at few judgements, and refusals that name the row."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.special import expit

from capscope.errors import FitError, InputError
from capscope.profiles import bradley_terry
from capscope.profiles.comparison.rankings import fit_strengths, strengths


def table_of(rows: list[tuple[str, str, str]]) -> pd.DataFrame:
    return bradley_terry(pd.DataFrame(rows, columns=["model_a", "model_b", "winner"])).table.set_index("model")


@pytest.mark.parametrize(("wins", "contrast", "error"), [(1, 1.0986, 2.3094), (300, 6.3986, 1.4177)])
def test_a_model_that_won_every_judgement_has_the_values_of_bradleyterry2(
    wins: int, contrast: float, error: float
) -> None:
    # BTm(..., br = TRUE): 1.0986 (SE 2.31) after 1-0 and 6.3986 (SE 1.42) after 300-0
    fitted = strengths(np.array([[0.0, wins], [0, 0]]))
    assert fitted.value[0] - fitted.value[1] == pytest.approx(contrast, abs=1e-4)
    assert 2 * np.sqrt(fitted.variance[0]) == pytest.approx(error, abs=1e-4)
    # the penalised likelihood at the bound, with half a win and half a loss added, is down by half of chi-squared
    for bound in (fitted.lower[0] * 2, fitted.upper[0] * 2):
        drop = [(wins + 0.5) * np.log(expit(x)) + 0.5 * np.log(expit(-x)) for x in (contrast, bound)]
        assert drop[0] - drop[1] == pytest.approx(stats.chi2.ppf(0.9, 1) / 2, abs=1e-3)


def test_judgements_of_others_carry_no_weight_in_a_contrast() -> None:
    strength, wins = np.linspace(-1, 1, 10), np.zeros((11, 11))
    for i in range(10):
        for j in range(i + 1, 10):
            won = round(2000 * expit(strength[i] - strength[j]))
            wins[i, j], wins[j, i] = won, 2000 - won
    wins[10, 0] = 30
    value = fit_strengths(wins)
    assert value[10] - value[0] == pytest.approx(4.11, abs=0.005)
    assert value[9] - value[0] == pytest.approx(2, abs=0.05)


@pytest.mark.parametrize("rows", [[("A", "B", "a")], [("A", "B", "a")] * 300, [("A", "B", "tie")] * 5])
def test_bounds_always_have_a_width(rows: list[tuple[str, str, str]]) -> None:
    table = table_of(rows)
    assert (table["upper"] - table["lower"] > 0.5).all()
    assert (table["lower"] < table["strength"]).all()


def test_the_frames_index_and_order_do_not_matter() -> None:
    frame = pd.DataFrame([("A", "B", "a")] * 30 + [("A", "B", "b")] * 20, columns=["model_a", "model_b", "winner"])
    fresh = bradley_terry(frame).table
    assert fresh["upper"].iloc[0] - fresh["lower"].iloc[0] == pytest.approx(0.475, abs=0.01)
    shuffled = frame.sample(frac=1, random_state=0).set_axis([0] * 50)
    pd.testing.assert_frame_equal(fresh, bradley_terry(shuffled).table)


@pytest.mark.parametrize("size", [8, 40])
def test_intervals_cover_at_few_judgements(size: int) -> None:
    rng, strength = np.random.default_rng(size), np.array([-0.8, -0.2, 0.1, 0.9])
    hits, z = [], []
    while len(hits) < 150:
        wins = np.zeros((4, 4))
        for _ in range(size):
            one, other = rng.choice(4, 2, replace=False)
            won = rng.random() < expit(strength[one] - strength[other])
            wins[(one, other) if won else (other, one)] += 1
        try:
            fitted = strengths(wins)
        except FitError:
            continue  # some model was judged against none of the others
        hits.append((fitted.lower <= strength) & (fitted.upper >= strength))
        z.append((fitted.value - strength) / np.sqrt(fitted.variance))
    assert 0.86 <= np.mean(hits) <= 0.98
    assert 0.6 <= np.std(z) <= 1.1


def test_prompts_whose_judgements_go_together_widen_the_bounds_until_they_cover() -> None:
    rng, hits, naive = np.random.default_rng(0), [], []
    for _ in range(40):
        favour = np.repeat(rng.normal(0, 2, 30), 10)
        won = rng.random(300) < expit(favour)
        frame = pd.DataFrame({"model_a": "x", "model_b": "y", "winner": np.where(won, "a", "b")})
        for held, one in ((naive, frame), (hits, frame.assign(prompt=np.repeat(np.arange(30), 10)))):
            row = bradley_terry(one).table.set_index("model").loc["x"]
            held.append(row["lower"] <= 0 <= row["upper"])
    assert 0.8 <= np.mean(hits) <= 1
    assert np.mean(naive) < 0.75


def test_models_without_a_pair_are_refused() -> None:
    with pytest.raises(FitError, match="met none of the others"):
        fit_strengths(np.array([[0.0, 3, 0], [2, 0, 0], [0, 0, 0]]))


def test_a_pair_of_judged_models_is_the_log_odds() -> None:
    judgements = pd.DataFrame(
        {"model_a": ["x"] * 100, "model_b": ["y"] * 100, "winner": ["a"] * 60 + ["b"] * 30 + ["tie"] * 10}
    )
    table = bradley_terry(judgements).table.set_index("model")
    assert table.loc["x", "strength"] - table.loc["y", "strength"] == pytest.approx(np.log(65 / 35), abs=0.01)
    assert stats.rankdata(-table["strength"]).tolist() == [1, 2]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model_a": ["p", " "]}, "row 2: model_a is blank; name the model"),
        ({"model_b": [None, "s"]}, "row 1: model_b is blank"),
        ({"winner": ["x", "b"]}, "row 1: winner is 'x'; use one of a, b, tie"),
        ({"model_b": ["p", "s"]}, "row 1 compares a model with itself"),
        ({}, "r, s never met p"),
    ],
)
def test_bad_judgements_are_one_line(change: dict, message: str) -> None:
    table = pd.DataFrame({"model_a": ["p", "r"], "model_b": ["q", "s"], "winner": ["a", "b"]}).assign(**change)
    with pytest.raises(InputError, match=message):
        bradley_terry(table)


def test_few_judgements_are_said_not_to_tell_models_apart() -> None:
    few = bradley_terry(pd.DataFrame([("A", "B", "a")], columns=["model_a", "model_b", "winner"]))
    assert few.as_text().startswith("note: reliability 0.00: most of the difference")
    many = bradley_terry(pd.DataFrame([("A", "B", "a")] * 30, columns=["model_a", "model_b", "winner"]))
    assert many.notes == ()
    assert many.as_dict()["reliability"] > 0.5
