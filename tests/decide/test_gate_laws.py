"""Laws of the gate: signs, equal models, gaps, unlike candidates, clusters, one benchmark, fractions and trials."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from capscope.data import Study
from capscope.decide import gate
from capscope.decide.difference import PairedDifferences
from decide.worlds import version_answers, version_study


def renamed(study: Study, names: dict[str, str]) -> Study:
    rows = study.require("responses").astype({"model": str})
    return Study.of(items=study.items, responses=rows.assign(model=rows["model"].replace(names)))


def test_swapped_labels_flip_the_sign():
    study = version_study(0, size=240, change=0.5)
    there, back = gate(study, "old", "new"), gate(renamed(study, {"old": "new", "new": "old"}), "old", "new")
    assert there.difference.estimate == pytest.approx(-back.difference.estimate)
    assert there.difference.redrawn_se == pytest.approx(back.difference.redrawn_se, rel=0.05)


def test_equal_models_are_never_held():
    study = version_study(1, size=240)
    rows = study.require("responses").astype({"model": str})
    twin = rows[rows["model"] == "old"].assign(model="twin")
    both = Study.of(items=study.items, responses=pd.concat([rows, twin], ignore_index=True))
    found = gate(both, "old", "twin")
    assert found.verdict in ("ship", "undecided")
    assert found.difference.estimate == 0
    assert found.lower <= 0 <= found.upper


def test_missing_answers_are_never_zeros():
    study = version_study(2, size=240, change=0.0)
    rows = study.require("responses").astype({"model": str, "item_id": str})
    gone = (rows["model"] == "new") & (rows["item_id"].str[1:].astype(int) % 3 == 0)
    whole, part = gate(study, "old", "new"), gate(Study.of(items=study.items, responses=rows[~gone]), "old", "new")
    zeros = gate(Study.of(items=study.items, responses=rows.assign(score=rows["score"].mask(gone, 0.0))), "old", "new")
    assert abs(part.difference.estimate - whole.difference.estimate) < 3 * part.difference.suite_se
    assert zeros.difference.estimate < part.difference.estimate - 0.1


@pytest.mark.parametrize("kind", ["random", "all right", "another pattern"])
def test_a_candidate_unlike_all_past_models_gets_honest_width(kind):
    rng, inside, runs = np.random.default_rng(3), 0, 80
    for _ in range(runs):
        answers, _ = version_answers(rng, 300, 300)
        full = {
            "random": (rng.random(300) < 0.5).astype(float),
            "all right": np.ones(300),
            "another pattern": (rng.random(300) < np.where(np.arange(300) % 7 < 3, 0.95, 0.15)).astype(float),
        }[kind]
        seen = np.full(300, np.nan)
        drawn = rng.permutation(300)[:100]
        seen[drawn] = full[drawn]
        found = PairedDifferences.of(replace(answers, candidate_score=seen)).over()
        lower, upper = found.interval(1.96)
        inside += lower <= (full - answers.baseline_score).mean() <= upper
    assert 0.88 <= inside / runs <= 1.0


def test_tasks_that_move_together_make_new_items_less_certain():
    rng = np.random.default_rng(4)
    answers, _ = version_answers(rng, 500, 500)
    moved = rng.normal(0, 0.4, 25)[np.arange(500) % 25]
    full = np.clip(answers.baseline_score + (rng.random(500) < np.abs(moved)) * np.sign(moved), 0, 1)
    found = PairedDifferences.of(replace(answers, candidate_score=full)).over()
    assert found.clusters == 25
    assert found.new_items_se > 1.3 * found.redrawn_se


def test_one_benchmark_alone_fractions_and_trials():
    study = version_study(5, size=240, change=-1.5)
    items = study.require("items").assign(benchmark="only", task="only")
    rows = study.require("responses").astype({"model": str})
    one = gate(Study.of(items=items, responses=rows), "old", "new")
    assert [claim.scope for claim in one.claims] == ["benchmark only"]
    assert one.verdict == "hold"
    part = gate(Study.of(items=items, responses=rows.assign(score=rows["score"] * 0.6 + 0.2)), "old", "new")
    assert part.difference.estimate == pytest.approx(0.6 * one.difference.estimate, abs=1e-9)
    assert part.verdict == "hold"
    trials = gate(Study.of(items=items, responses=rows.assign(n_trials=4)), "old", "new")
    assert trials.difference.estimate == pytest.approx(one.difference.estimate)
    spread = pd.concat([rows.assign(run=run) for run in "12"], ignore_index=True)
    assert gate(Study.of(items=items, responses=spread), "old", "new").difference.estimate == pytest.approx(
        one.difference.estimate
    )
