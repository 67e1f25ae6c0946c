"""Bounds on failures among what is not deferred: they hold in finite samples, and for what was held out together."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, logit
from typer.testing import CliRunner

from capscope.cli import app
from capscope.data import Study
from capscope.errors import InputError
from capscope.predict import evaluate, predict
from capscope.predict.scores.deferral import deferral_rules, group_threshold, item_threshold, p_value
from predict.simulated_study import simulated_study


def answers(rng: np.random.Generator, groups: int, size: int, group_sd: float) -> tuple[np.ndarray, ...]:
    """Chances that know nothing of each group's own effect, failures, and groups."""
    group = np.repeat(np.arange(groups), size)
    chance = rng.beta(2, 1, groups * size)
    true = expit(logit(chance) + group_sd * rng.standard_normal(groups)[group])
    return chance, (rng.random(len(chance)) > true).astype(float), group


def kept_failures(chance: np.ndarray, failure: np.ndarray, threshold: float | None) -> float:
    kept = np.zeros(len(chance), bool) if threshold is None else chance >= threshold
    return float(failure[kept].mean()) if kept.any() else 0.0


def mean_rate(chance: np.ndarray, failure: np.ndarray, group: np.ndarray, threshold: float | None) -> float:
    """Mean failure rate over the groups that keep something."""
    if threshold is None:
        return 0.0
    kept = chance >= threshold
    number = np.bincount(group[kept])
    lost = np.bincount(group[kept], weights=failure[kept])
    return float((lost[number > 0] / number[number > 0]).mean())


def test_the_bound_on_new_items_holds_with_its_confidence_and_keeps_many() -> None:
    rng = np.random.default_rng(0)
    broken, plain, share = [], [], []
    for _ in range(200):
        chance, failure, _ = answers(rng, 1, 400, 0.0)
        new, lost, _ = answers(rng, 1, 20_000, 0.0)
        threshold = item_threshold(chance, failure, 0.15, 0.1)
        broken.append(kept_failures(new, lost, threshold) > 0.15)
        share.append(0.0 if threshold is None else (new >= threshold).mean())
        rates = np.array([kept_failures(chance, failure, cut) for cut in np.arange(0, 1, 0.01)])
        plain.append(kept_failures(new, lost, float(np.flatnonzero(rates <= 0.15)[0] / 100)) > 0.15)
    assert np.mean(broken) < 0.1 + 2 * np.sqrt(0.09 / 200)
    assert np.mean(plain) > 0.3, "the threshold that fits the past answers fails often"
    assert np.mean(share) > 0.25, "in hindsight it is .54"


def test_on_new_groups_the_bound_for_groups_holds_where_that_for_items_does_not() -> None:
    rng = np.random.default_rng(1)
    by_group, by_item, share = [], [], []
    for _ in range(60):
        chance, failure, group = answers(rng, 340, 60, 1.5)
        past = group < 40
        new, lost = chance[~past], failure[~past]
        threshold = group_threshold(chance[past], failure[past], group[past], 0.25, 0.1)
        by_group.append(mean_rate(new, lost, group[~past], threshold) > 0.25)
        item = item_threshold(chance[past], failure[past], 0.25, 0.1)
        by_item.append(mean_rate(new, lost, group[~past], item) > 0.25)
        share.append(0.0 if threshold is None else (new >= threshold).mean())
    assert np.mean(by_group) < 0.1 + 2 * np.sqrt(0.09 / 60)
    assert np.mean(by_item) > np.mean(by_group) + 0.1, "items of new groups are not like those of old ones"
    assert np.mean(share) > 0.2, "the bound is not kept by deferring all"


def test_few_answers_and_few_groups_show_nothing() -> None:
    chance = np.full(15, 0.9)
    assert item_threshold(chance, np.zeros(15), 0.1, 0.1) is None
    assert item_threshold(np.full(40, 0.96), np.zeros(40), 0.1, 0.1) is not None
    assert group_threshold(chance, np.zeros(15), np.arange(15) // 2, 0.1, 0.1) is None


@pytest.mark.parametrize("risk", [0.05, 0.2])
def test_p_values_are_valid_for_answers_and_fractions(risk: float) -> None:
    rng = np.random.default_rng(2)
    whole = [p_value((rng.random(60) < risk).astype(float), risk) for _ in range(1000)]
    parts = [p_value(rng.binomial(4, risk, 60) / 4, risk) for _ in range(1000)]
    for values in (whole, parts):
        assert np.mean(np.array(values) <= 0.1) <= 0.1 + 2 * np.sqrt(0.09 / 1000)
    assert p_value(np.zeros(200), risk) < 1e-4
    assert p_value(np.array([]), risk) == 1


@pytest.fixture(scope="module")
def study() -> Study:
    return simulated_study(n_models=5, n_items=240)


@pytest.fixture(scope="module")
def past(study: Study, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("past")
    for split in ("id", "task"):
        evaluate(study, split, ["rasch"], folds=4, write=folder / f"{split}.csv")
    return folder


def test_predict_defers_what_the_rules_say(study: Study, past: Path) -> None:
    rules = deferral_rules(past / "id.csv", 0.6)
    assert set(rules["unit"]) == {"item"}
    assert set(rules["units"]) == {240}
    predicted = predict(study, study, assessor="rasch", defer_risk=0.6, defer_from=past / "id.csv")
    pd.testing.assert_frame_equal(predicted.deferral, rules)
    table = predicted.table.merge(rules, on="model")
    expected = ~(table["p"] >= table["threshold"])
    assert (table["defer"] == expected).all()
    assert table.loc[table["threshold"].isna(), "defer"].all()
    assert 0 < table["defer"].mean() < 1
    kept = rules.dropna(subset="threshold")
    assert (kept["failures"] <= 0.6).all()
    assert (kept["kept"] <= kept["pvr"] + 1e-9).all()
    assert set(deferral_rules(past / "task.csv", 0.3)["unit"]) == {"task"}


def test_the_command_says_what_the_bound_holds_for(study: Study, past: Path, tmp_path: Path) -> None:
    study.save(tmp_path / "study")
    common = ["predict", str(tmp_path / "study"), str(tmp_path / "study"), "--assessor", "rasch", "--defer-risk", "0.3"]
    result = CliRunner().invoke(app, [*common, "--defer-from", str(past / "id.csv"), "--out", str(tmp_path / "o.csv")])
    assert "bounded for each model with 90 % confidence, on new items" in result.stdout
    task = ["--defer-from", str(past / "task.csv"), "--out", str(tmp_path / "t.csv"), "--json"]
    found = json.loads(CliRunner().invoke(app, [*common, *task]).stdout)
    assert [row["unit"] for row in found["deferral"]] == ["task"] * 5


def test_what_has_no_bound_is_refused(study: Study, past: Path) -> None:
    table = pd.read_csv(past / "id.csv")
    with pytest.raises(InputError, match="go together"):
        predict(study, study, defer_risk=0.1)
    with pytest.raises(InputError, match=r"--defer-risk 1.5 is no share"):
        predict(study, study, assessor="rasch", defer_risk=1.5, defer_from=table)
    with pytest.raises(InputError, match="holds rasch, not 'mean'"):
        predict(study, study, assessor="mean", defer_risk=0.1, defer_from=table)
    with pytest.raises(InputError, match="without --defer-below"):
        predict(study, study, assessor="rasch", defer_risk=0.1, defer_from=table, defer_below=0.5)
    with pytest.raises(InputError, match="no predictions of m00"):
        predict(study, study, assessor="rasch", defer_risk=0.1, defer_from=table[table["model"] != "m00"])
