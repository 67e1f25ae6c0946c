"""A dimension that separates answer keys or families is distinguished from one that does not."""

import numpy as np
import pandas as pd
import pytest
from simulated import truth_signed, world_2pl

from capscope.fit import IRTSettings, IRTTruth, Status, dimension_sources, fit_irt, simulate_irt
from capscope.fit.psychometrics.dimension_meaning import answer_letters

PLAIN = Status(True, "converged")


@pytest.fixture(scope="module")
def biased():
    """A second ability that favours option A over the others, held by one family."""
    rng = np.random.default_rng(0)
    family = np.repeat(["x", "y", "z"], 30)
    taste = np.where(family == "x", 1.4, -0.7) + 0.3 * rng.standard_normal(90)
    key = rng.integers(0, 4, 400)
    slope = np.column_stack([rng.lognormal(0, 0.3, 400), np.where(key == 0, 1.5, -0.5)])
    truth = IRTTruth(np.column_stack([rng.standard_normal(90), taste]), slope, rng.normal(0, 1, 400))
    posterior = fit_irt(simulate_irt(truth, rng), IRTSettings(model="mirt", dims=2)).posterior
    return posterior, [f"({'ABCD'[k]})" for k in key], dict(zip(posterior.models, family, strict=True))


def test_a_taste_for_options_is_named_with_the_family_that_has_it(biased):
    posterior, targets, families = biased
    found = dimension_sources(posterior, None, targets, families)
    dim = int(np.nanargmax(found.key))
    assert found.key[dim] > 0.5
    assert found.family.max() > 0.5
    told = " | ".join(found.advice(PLAIN).advice)
    assert f"dimension {dim + 1} goes with the answer key" in told


def test_a_dimension_that_one_family_has_is_named():
    rng = np.random.default_rng(3)
    families = np.repeat(["x", "y", "z"], 30)
    trait = np.where(families == "x", 1.4, -0.7) + 0.2 * rng.standard_normal(90)
    truth = IRTTruth(trait[:, None], rng.normal(0.2, 1, (300, 1)), rng.normal(0, 1, 300))
    posterior = fit_irt(simulate_irt(truth, rng), IRTSettings(model="2pl", form="signed")).posterior
    found = dimension_sources(posterior, families=dict(zip(posterior.models, families, strict=True)))
    assert "dimension 1 goes with the models' families" in " ".join(found.advice(PLAIN).advice)


def test_shuffled_keys_and_families_explain_nothing(biased):
    posterior, targets, families = biased
    p_key, p_family, rng = [], [], np.random.default_rng(1)
    for _ in range(150):
        keys = list(rng.permutation(targets))
        names = dict(zip(posterior.models, rng.permutation(list(families.values())), strict=True))
        found = dimension_sources(posterior, None, keys, names)
        assert not found.advice(PLAIN).advice
        p_key.append(found.key_p)
        p_family.append(found.family_p)
    for p in (np.concatenate(p_key), np.concatenate(p_family)):
        assert 0.015 < (p < 0.05).mean() < 0.1
        assert np.median(p) == pytest.approx(0.5, abs=0.1)


def test_what_the_task_explains_is_not_the_key():
    rng = np.random.default_rng(2)
    task = np.repeat(np.arange(4), 100)
    truth = truth_signed(60, 400)
    truth = IRTTruth(truth.ability, truth.slope + 0.8 * task[:, None], truth.intercept)
    posterior = fit_irt(simulate_irt(truth, rng), IRTSettings(model="2pl", form="signed")).posterior
    # the first task's answer is always A, the last one's always D
    targets = ["ABCD"[min(3, t + (t in (1, 2)) * int(rng.integers(0, 2)))] for t in task]
    found = dimension_sources(posterior, [str(t) for t in task], targets)
    assert found.task[0] > 0.5
    assert found.key[0] < 0.05
    assert np.isnan(found.family).all()


def test_only_lettered_answers_are_keys():
    assert answer_letters(["(A)", "b", "C.", "A"]).tolist() == [0, 1, 2, 0]
    assert answer_letters(["Paris", "Rome", "A", "42"]) is None
    assert answer_letters(["A", "A", "A"]) is None


def test_a_study_fit_looks_at_its_own_keys():
    from capscope.data import Study
    from capscope.fit import StudyFitSettings, fit_study

    _, data = world_2pl(30, 60)
    targets = ["ABCD"[i % 4] for i in range(60)]
    items = pd.DataFrame({"item_id": data.items, "benchmark": "b", "task": "t", "text": "q", "target": targets})
    responses = pd.DataFrame(
        {
            "model": [data.models[i] for i in data.model_index],
            "item_id": [data.items[i] for i in data.item_index],
            "score": data.score,
        }
    )
    plain = Study.of(items=items, responses=responses)
    assert "answer key" not in " ".join(fit_study(plain, StudyFitSettings(model="2pl")).status.advice)
    # half of the models always choose A, the other half never do
    lazy = data.model_index < 15
    is_a = np.array(targets)[data.item_index] == "A"
    responses["score"] = np.where(lazy, is_a, ~is_a & (np.random.default_rng(0).random(len(lazy)) < 0.8)).astype(float)
    biased = Study.of(items=items, responses=responses)
    assert "goes with the answer key" in " ".join(fit_study(biased, StudyFitSettings(model="2pl")).status.advice)
