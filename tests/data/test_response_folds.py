"""Folds over answers: what each split promises about who has seen what."""

import numpy as np
import pandas as pd
import pytest

from capscope.data import (
    AGENT_SPLITS,
    SPLITS,
    Responses,
    SplitPlan,
    Study,
    families_of,
    family_by_name,
    response_folds,
)
from capscope.errors import InputError

N_MODELS, N_ITEMS = 10, 60
FAMILIES = {f"m{number}": f"f{number // 3}" for number in range(N_MODELS)}


def world() -> tuple[Responses, pd.DataFrame]:
    rng = np.random.default_rng(0)
    item_id = [f"i{number:02d}" for number in range(N_ITEMS)]
    items = pd.DataFrame(
        {"item_id": item_id, "benchmark": np.repeat(["x", "y", "z"], 20), "task": np.tile(["s", "t"], 30)}
    )
    table = pd.DataFrame([(m, i) for m in FAMILIES for i in item_id], columns=["model", "item_id"])
    strength = table["model"].str[1:].astype(int) / 12 + 0.1
    table["score"] = (rng.random(len(table)) < strength).astype(float)
    study = Study.of(items, table)
    return Responses.of(study), study.items


@pytest.fixture(scope="module")
def answers() -> tuple[Responses, pd.DataFrame]:
    return world()


def folds(answers, split, known=5, seed=0, number=5):
    plan = SplitPlan(split, number, known, FAMILIES)
    return response_folds(*answers, plan, np.random.default_rng(seed))


@pytest.mark.parametrize("split", [split for split in SPLITS if split not in AGENT_SPLITS])
def test_no_answer_is_learnt_from_and_tested(answers, split):
    found = folds(answers, split)
    for fold in found:
        assert fold.test.any()
        assert fold.train.any()
        assert not (fold.train & fold.test).any()
    if split != "frontier":
        told = sum(fold.test.astype(int) for fold in found)
        assert told.max() == 1


@pytest.mark.parametrize("split", ["id", "task", "benchmark"])
def test_by_item_every_answer_is_tested_once_and_no_held_out_item_is_seen(answers, split):
    responses, _ = answers
    found = folds(answers, split)
    assert sum(fold.test.astype(int) for fold in found).tolist() == [1] * len(responses.score)
    for fold in found:
        assert not set(responses.item_index[fold.train]) & set(responses.item_index[fold.test])


@pytest.mark.parametrize("known", [0, 5, 500])
@pytest.mark.parametrize("split", ["new-model", "family"])
def test_of_a_new_model_only_the_known_answers_are_seen(answers, split, known):
    responses, _ = answers
    expected = min(known, N_ITEMS // 2)
    for fold in folds(answers, split, known):
        tested = np.unique(responses.model_index[fold.test])
        for model in tested:
            assert (fold.train & (responses.model_index == model)).sum() == expected
        assert (fold.train | fold.test).all()
        if split == "family":
            others = set(range(N_MODELS)) - set(tested)
            assert not {FAMILIES[f"m{m}"] for m in tested} & {FAMILIES[f"m{m}"] for m in others}


def test_the_frontier_learns_from_the_weaker_half_and_tests_the_strongest(answers):
    responses, _ = answers
    (fold,) = folds(answers, "frontier", known=0)
    mean = [responses.score[responses.model_index == model].mean() for model in range(N_MODELS)]
    order = np.argsort(mean)
    assert set(responses.model_index[fold.train]) == set(order[:5])
    assert set(responses.model_index[fold.test]) == set(order[-3:])
    (told,) = folds(answers, "frontier", known=7)
    assert [(told.train & (responses.model_index == model)).sum() for model in order[-3:]] == [7] * 3


def test_both_sees_no_answer_to_the_new_benchmark_and_little_of_the_new_models(answers):
    responses, items = answers
    benchmark = items["benchmark"].astype(str).to_numpy()[responses.item_index]
    found = folds(answers, "both", known=4, number=2)
    assert len(found) == 2 * 3
    assert sum(fold.test.astype(int) for fold in found).tolist() == [1] * len(responses.score)
    for fold in found:
        assert not set(benchmark[fold.train]) & set(benchmark[fold.test])
        for model in np.unique(responses.model_index[fold.test]):
            assert (fold.train & (responses.model_index == model)).sum() == 4


def test_the_seed_draws_the_folds_and_nothing_else_does(answers):
    first, again, other = (folds(answers, "new-model", seed=seed) for seed in (1, 1, 2))
    assert all((a.test == b.test).all() for a, b in zip(first, again, strict=True))
    assert not all((a.test == b.test).all() for a, b in zip(first, other, strict=True))


def test_families_come_from_a_table_or_from_names_where_stated(tmp_path):
    assert families_of(["a"], None, tmp_path) is None
    (tmp_path / "models.csv").write_text("model,family\na,base\nb,base\n")
    assert families_of(["a", "b"], None, tmp_path) == {"a": "base", "b": "base"}
    other = tmp_path / "f.csv"
    other.write_text("model,family\na,x\n")
    assert families_of(["a"], str(other), tmp_path) == {"a": "x"}
    assert families_of(["org__Meta-Llama-3-8B"], "names", tmp_path) == {"org__Meta-Llama-3-8B": "llama-3"}


@pytest.mark.parametrize(
    ("name", "family"),
    [
        ("migtissera__Llama-3-70B-Synthia", "llama-3"),
        ("NousResearch/Nous-Hermes-2-Mixtral-8x7B-DPO", "mixtral"),
        ("01-ai__Yi-1.5-34B", "yi"),
        ("acme/Wonder-7B", "acme"),
    ],
)
def test_families_by_name(name, family):
    assert family_by_name(name) == family


def test_bad_splits_are_one_line(answers, tmp_path):
    with pytest.raises(InputError, match=r"unknown split 'new-models' \(did you mean \"new-model\"\?\)"):
        SplitPlan("new-models")
    with pytest.raises(InputError, match="1 fold leaves nothing"):
        SplitPlan("id", 1)
    with pytest.raises(InputError, match="--known -1"):
        SplitPlan("new-model", known=-1)
    with pytest.raises(InputError, match="10 models have no family: m0, m1, m2, m3, m4 and 5 more; give --families"):
        response_folds(*answers, SplitPlan("family"), np.random.default_rng(0))
    one = dict.fromkeys(FAMILIES, "f")
    with pytest.raises(InputError, match="one family only"):
        response_folds(*answers, SplitPlan("family", families=one), np.random.default_rng(0))
    (tmp_path / "f.csv").write_text("model,family\na,x\na,y\n")
    with pytest.raises(InputError, match="model 'a' has two families, 'x' and 'y'"):
        families_of(["a"], str(tmp_path / "f.csv"), tmp_path)
    (tmp_path / "g.csv").write_text("model,base\na,x\n")
    with pytest.raises(InputError, match="column 'family' is missing"):
        families_of(["a"], str(tmp_path / "g.csv"), tmp_path)
