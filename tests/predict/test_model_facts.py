"""Facts about models: the regression of abilities on them, and predictions of models with few answers or none."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from capscope.data import Study
from capscope.errors import InputError
from capscope.forecast import unreadable_facts
from capscope.predict import evaluate, predict
from capscope.predict.model_facts import ModelFacts, regress_on_facts
from predict.simulated_study import simulated_study

FAMILIES = 5


def world(rng: np.random.Generator, n_models: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Abilities that rise by .7 with a standard deviation of size, differ by .5 between families, and by .4 beyond."""
    size, family = rng.standard_normal(n_models), rng.integers(0, FAMILIES, n_models)
    columns = np.column_stack([size, np.eye(FAMILIES)[family]])
    ability = columns @ np.r_[0.7, 0.5 * rng.standard_normal(FAMILIES)] + 0.4 * rng.standard_normal(n_models)
    return ability, columns, np.r_[0, np.ones(FAMILIES, int)]


@pytest.mark.slow
def test_effects_are_recovered_and_intervals_of_new_models_cover() -> None:
    rng, slopes, scores = np.random.default_rng(0), [], []
    for _ in range(150):
        ability, columns, block = world(rng, 38)
        error = rng.uniform(0.02, 0.3, 38)
        estimate = ability + np.sqrt(error) * rng.standard_normal(38)
        found = regress_on_facts(estimate[:30], error[:30], columns[:30], block)
        mean, variance = found.predict(columns[30:])
        scores += ((ability[30:] - mean) / np.sqrt(variance)).tolist()
        slopes.append(found.weight[0])
    assert 0.95 < np.mean(slopes) / 0.7 < 1.05
    for level in (0.8, 0.9):
        # about two points under with 30 models, of which a family may have one or two
        assert abs(np.mean(np.abs(scores) < norm.ppf((1 + level) / 2)) - level) < 0.035
    assert abs(np.std(scores) - 1) < 0.12


def test_a_regression_knows_new_models_by_their_size() -> None:
    rng = np.random.default_rng(2)
    ability, columns, block = world(rng, 60)
    found = regress_on_facts(ability[:40], np.full(40, 0.01), columns[:40], block)
    mean, variance = found.predict(columns[40:])
    assert 0.5 < found.weight[0] < 0.9
    assert np.corrcoef(mean, ability[40:])[0, 1] > 0.6
    assert 0.7 < np.std((ability[40:] - mean) / np.sqrt(variance)) < 1.4


def test_facts_that_tell_nothing_leave_the_mean() -> None:
    rng = np.random.default_rng(1)
    _, columns, block = world(rng, 40)
    found = regress_on_facts(rng.standard_normal(40), np.full(40, 0.01), columns, block)
    assert np.abs(found.weight).max() < 0.35
    assert 0.7 < np.sqrt(found.share @ found.own_variance) < 1.3


@pytest.fixture(scope="module")
def sized() -> tuple[Study, pd.DataFrame]:
    """Models whose ability follows their size: m00 has six answers, m01 none, the others all."""
    study = simulated_study(3, n_models=12, n_items=80)
    answers = study.require("responses")
    mean = answers.groupby("model", observed=True)["score"].mean()
    facts = pd.DataFrame({"model": mean.index.astype(str), "size": np.exp(4 * mean.to_numpy() + 1)})
    few = (answers["model"] == "m00") & ~answers["item_id"].isin(answers["item_id"].unique()[:6])
    gone = answers["model"] == "m01"
    return Study.of(study.items, answers[~few & ~gone].reset_index(drop=True), study.demands), facts


def test_models_with_few_answers_lean_on_facts_and_those_without_are_added(sized: tuple[Study, pd.DataFrame]) -> None:
    study, facts = sized
    items = Study.of(study.items, None, study.demands)
    with_facts = predict(study, items, models=facts, assessor="explanatory")
    without = predict(study, items, assessor="explanatory")
    scores, plain = (each.scores.set_index("model") for each in (with_facts, without))
    truth = (np.log(facts.set_index("model")["size"]) - 1) / 4
    assert "m01" in scores.index
    assert "m01" not in plain.index
    assert abs(scores.loc["m01", "score"] - truth["m01"]) < 0.08
    width, before = (each.loc["m00", "upper"] - each.loc["m00", "lower"] for each in (scores, plain))
    assert width < 0.8 * before
    assert scores.loc["m00", "lower"] < truth["m00"] < scores.loc["m00", "upper"]
    assert any("are predicted by" in note and "scale" in note for note in with_facts.notes)


def test_without_thin_models_facts_change_nothing() -> None:
    study = simulated_study(4, n_models=8, n_items=60)
    facts = pd.DataFrame({"model": [f"m{number:02d}" for number in range(8)], "size": np.arange(1.0, 9.0)})
    items = Study.of(study.items, None, study.demands)
    one, other = (predict(study, items, models=table, assessor="explanatory").table for table in (None, facts))
    pd.testing.assert_frame_equal(one, other, check_exact=True)


def test_a_models_table_in_the_study_counts_and_one_of_cutoffs_does_not(
    sized: tuple[Study, pd.DataFrame], tmp_path: Path
) -> None:
    study, facts = sized
    folder = study.save(tmp_path / "study")
    items = Study.of(study.items, None, study.demands)
    plain = predict(folder, items, assessor="rasch").notes
    facts[["model"]].assign(cutoff="2025-01").to_csv(folder / "models.csv", index=False)
    assert predict(folder, items, assessor="rasch").notes == plain
    facts.to_csv(folder / "models.csv", index=False)
    told = predict(folder, items, assessor="rasch")
    assert any("are predicted by" in note for note in told.notes)
    assert "m01" not in set(told.scores["model"])
    kept = evaluate(folder, "new-model", ["explanatory"], folds=2, known=0).as_dict()["assessors"]["explanatory"]
    (folder / "models.csv").unlink()
    lost = evaluate(folder, "new-model", ["explanatory"], folds=2, known=0).as_dict()["assessors"]["explanatory"]
    assert kept["log_loss"] < lost["log_loss"] - 0.02


def test_names_tell_sizes_and_wrong_tables_are_refused(sized: tuple[Study, pd.DataFrame], tmp_path: Path) -> None:
    names = tuple(f"org/llama-3-{size}b" for size in (1, 3, 8, 8, 70, 70))
    assert ModelFacts.of(names, pd.DataFrame(index=list(names))).columns.shape[0] == len(names)
    items = Study.of(sized[0].items, None, sized[0].demands)
    with pytest.raises(InputError, match="none of its models has answers; the first is 'other'"):
        predict(sized[0], items, models=pd.DataFrame({"model": ["other"], "size": [1]}), assessor="rasch")
    (tmp_path / "empty.csv").write_text("model,size\n")
    with pytest.raises(InputError, match="empty"):
        predict(sized[0], items, models=tmp_path / "empty.csv", assessor="rasch")


def test_sizes_that_are_no_numbers_are_named() -> None:
    table = pd.DataFrame({"size": ["7", "seven", "-3", "", None]}, index=list("abcde"))
    assert unreadable_facts(table) == ("size is no positive number for b, c, and counts as unknown there",)
    assert unreadable_facts(table[["size"]].head(1)) == ()
