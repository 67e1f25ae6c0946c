"""Cost per success: laws of the ratio's interval, its coverage, budgets and attempts, and the command."""

import numpy as np
import pandas as pd
import pytest

from capscope.cli.output import table_text
from capscope.data import Study
from capscope.decide import success_costs
from capscope.errors import InputError
from capscope.intervals import ratio_interval, share_interval


def outcomes(rng: np.random.Generator, n: int, rate: float, spread: float) -> tuple[np.ndarray, np.ndarray]:
    """Successes, and lognormal costs that are twice as high for failures."""
    right = (rng.random(n) < rate) * 1.0
    return np.exp(spread * rng.normal(size=n) + np.log(2) * (1 - right)), right


def study_of(n_trials: int = 1, **more: object) -> Study:
    rng, rows = np.random.default_rng(0), []
    for model, rate in (("a", 0.7), ("b", 0.3)):
        chance = rng.beta(4 * rate, 4 * (1 - rate), 40)
        score = rng.binomial(n_trials, chance) / n_trials
        rows.append(pd.DataFrame({"model": model, "item_id": [f"q{k}" for k in range(40)], "score": score}))
    table = pd.concat(rows, ignore_index=True)
    columns = {"n_trials": n_trials, "usd": n_trials * np.where(table["model"] == "a", 4.0, 1.0)}
    return Study.of(responses=table.assign(**columns, **more), name="study")


def test_bounds_scale_with_the_unit_and_hold_the_ratio() -> None:
    cost, right = outcomes(np.random.default_rng(1), 50, 0.4, 0.8)
    ratio = ratio_interval(cost, right, 0.9)
    assert ratio.lower < cost.mean() / right.mean() < ratio.upper
    scaled = ratio_interval(1000 * cost, right, 0.9)
    np.testing.assert_allclose((scaled.lower, scaled.upper), (1000 * ratio.lower, 1000 * ratio.upper))
    wide = ratio_interval(cost, right, 0.99)
    assert wide.lower < ratio.lower < ratio.upper < wide.upper
    # equal costs leave the success rate's own interval
    share, equal = share_interval(right, 0.9), ratio_interval(np.full(50, 2.0), right, 0.9)
    np.testing.assert_allclose((equal.lower, equal.upper), (2 / share.upper, 2 / share.lower), rtol=1e-6)


def test_no_success_has_no_upper_bound() -> None:
    ratio = ratio_interval(np.full(30, 3.0), np.zeros(30), 0.9)
    assert np.isinf(ratio.upper)
    assert ratio.lower == pytest.approx(3 / share_interval(np.zeros(30), 0.9).upper)
    found = success_costs(Study.of(responses=study_of().require("responses").assign(score=0.0), name="none"))
    assert found.as_dict()["models"][0]["upper"] is None
    assert "no upper bound" in found.head


@pytest.mark.slow
@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("n", [30, 200])
def test_ninety_percent_intervals_of_the_ratio_cover(n: int, rate: float) -> None:
    rng, inside = np.random.default_rng(2), 0
    truth = np.exp(0.8**2 / 2) * (rate + 2 * (1 - rate)) / rate
    for _ in range(2000):
        ratio = ratio_interval(*outcomes(rng, n, rate, 0.8), 0.9)
        inside += ratio.lower <= truth <= ratio.upper
    assert 0.87 < inside / 2000 < 0.97


def test_within_budgets_and_attempts() -> None:
    found = success_costs(study_of(4), budgets=[0.5, 1.0, 4.0, 16.0], attempts=[1, 4])
    table = found.table.set_index("model")
    assert table["cost"].tolist() == pytest.approx([1.0, 4.0]) or table["cost"]["a"] == pytest.approx(4)
    curve = found.budgets.pivot_table(index="model", columns="budget", values="chance")
    assert (np.diff(curve.to_numpy()) >= -1e-12).all()
    assert curve[0.5].tolist() == [0, 0]
    assert curve.loc["a", 1.0] == 0  # an attempt costs 4
    tried = found.attempts.set_index(["model", "attempts"])
    assert tried.loc[("b", 4), "chance"] == pytest.approx(curve.loc["b", 4.0])
    assert tried.loc[("b", 1), "chance"] == pytest.approx(table["score"]["b"], abs=0.02)
    assert tried.loc[("a", 4), "cost"] < 4 * 4  # stopping at the first success
    assert (found.budgets["lower"] <= found.budgets["chance"]).all()
    once = success_costs(study_of(), budgets=[1.0, 9.0])
    assert not len(once.attempts)
    last = once.budgets.set_index(["model", "budget"])["chance"]
    assert last[("b", 9.0)] == pytest.approx(once.table.set_index("model")["score"]["b"])
    assert "one attempt" in once.notes[-1]


@pytest.mark.slow
def test_intervals_of_attempts_cover() -> None:
    """Chances of items are Beta(1.2, 1.8), three runs each; the chance within six has a closed form."""
    truth = 1 - np.prod([(1.8 + j) / (3 + j) for j in range(6)])
    rng, inside = np.random.default_rng(3), 0
    for _ in range(150):
        score = rng.binomial(3, rng.beta(1.2, 1.8, 60)) / 3
        table = pd.DataFrame({"model": "a", "item_id": [f"q{k}" for k in range(60)], "score": score})
        row = success_costs(Study.of(responses=table.assign(n_trials=3, usd=1.0)), attempts=[6], budgets=[1.0]).attempts
        inside += row["lower"][0] <= truth <= row["upper"][0]
    assert 0.83 < inside / 150 < 0.96


def test_agents_are_priced_apart_and_missing_costs_are_named() -> None:
    first, second = study_of(), study_of()
    table = pd.concat([first.require("responses").assign(scaffold="s1"), second.require("responses").assign(
        scaffold="s2", usd=lambda rows: rows["usd"].mask(rows.index % 4 == 0))])  # fmt: skip
    both = Study.of(responses=table, name="both")
    found = success_costs(both)
    assert set(found.table["model"]) == {"a + s1", "a + s2", "b + s1", "b + s2"}
    assert found.notes[0] == "20 answers without usd left out"
    with pytest.raises(InputError, match="no tokens"):
        success_costs(both, "tokens")
    with pytest.raises(InputError, match="is no budget"):
        success_costs(both, budgets=[0.0])
    for wrong in (0, -1):
        with pytest.raises(InputError, match=f"--k {wrong} is no number of attempts"):
            success_costs(both, attempts=[1, wrong])


def test_models_run_several_times_and_once_are_named() -> None:
    thrice, once = study_of(3).require("responses"), study_of().require("responses")
    table = pd.concat([thrice[thrice["model"] == "a"], once[once["model"] == "b"]])
    notes = success_costs(Study.of(responses=table, name="uneven")).notes
    assert "repeated runs: a (3 an item); none: b. A model without them counts one attempt" in notes[-1]
    assert not success_costs(study_of(3)).notes


def test_verdicts_of_one_answer_are_one_run_at_its_cost() -> None:
    rows = [
        ("m", f"q{k}", judge, float((k + late) % 4 > 0), 1.0) for k in range(20) for judge, late in (("x", 0), ("y", 1))
    ]
    table = pd.DataFrame(rows, columns=["model", "item_id", "judge", "score", "usd"])
    found = success_costs(Study.of(responses=table, name="judged"))
    assert found.table["cost"].tolist() == [1.0]
    assert found.table["cost_per_success"].tolist() == pytest.approx([1 / 0.75])
    assert found.attempts.empty
    single = success_costs(Study.of(responses=table[table["judge"] == "x"], name="one"))
    np.testing.assert_allclose(found.table["cost"], single.table["cost"])


def test_answers_that_cost_nothing_tie() -> None:
    found = success_costs(Study.of(responses=study_of().require("responses").assign(usd=0.0), name="free"))
    assert found.head == "all 2 models tie: their answers cost 0 dollars"


def test_numbers_keep_three_significant_digits() -> None:
    table = pd.DataFrame({"usd": [0.00012345, 12.345, 12345.6, 0.0, np.inf]})
    assert table_text(table, digits=3).split()[1:] == ["0.000123", "12.3", "12346", "0", "inf"]
