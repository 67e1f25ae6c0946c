"""Luck of runs, learnt from repeats: narrower intervals for another run that still cover."""

import numpy as np
import pandas as pd
import pytest

from capscope.data import Study
from capscope.decide import gate
from capscope.decide.verdicts import verdict_of

ITEMS = 200


def repeated_study(rng, repeats, change=0.0, chances=None, asked=ITEMS, n_past=10, second_run=False):
    """A study whose baseline, candidate and past models ran so many times; and the true difference.

    A candidate that is a second run of the baseline has the same chance on every item.
    """
    names = ["old", "new", *(f"past{row}" for row in range(n_past))]
    ability = np.concatenate([[0.4, 0.4 + change], rng.normal(0, 1, n_past)])
    if chances is None:
        # items suit models differently, so that not all flips between two models are luck
        suits = rng.normal(0, 2.0, (len(names), ITEMS))
        if second_run:
            suits[1] = suits[0]
        chances = 1 / (1 + np.exp(-1.5 * (ability[:, None] - rng.normal(0, 1.5, ITEMS) + suits)))
    else:
        chances = chances[: len(names)]
    shown = rng.permutation(ITEMS)[:asked]
    rows = []
    for place, name in enumerate(names):
        times = repeats[min(place, 2)]
        items = shown if name == "new" else np.arange(ITEMS)
        for run in range(times):
            right = (rng.random(ITEMS) < chances[place]).astype(float)
            part = {
                "model": name,
                "item_id": [f"i{item:03d}" for item in items],
                "score": right[items],
                "run": str(run),
            }
            rows.append(pd.DataFrame(part))
    return Study.of(responses=pd.concat(rows, ignore_index=True)), float((chances[1] - chances[0]).mean())


@pytest.mark.parametrize("repeats", [(1, 1, 3), (3, 1, 1), (2, 2, 1)])
def test_repeats_narrow_the_interval_for_another_run(repeats):
    study, _ = repeated_study(np.random.default_rng(0), repeats)
    found = gate(study, "old", "new").difference
    single = study.require("responses").drop_duplicates(["model", "item_id"])
    alone = gate(Study.of(responses=single), "old", "new").difference
    assert found.noise is not None
    assert alone.noise is None
    assert alone.redrawn_se == alone.item_se
    assert found.suite_se == 0
    assert 0.3 * alone.redrawn_se < found.redrawn_se < 0.9 * alone.redrawn_se
    assert found.run_quantile(1.96) > 1.96
    assert found.redrawn_se < found.item_se <= found.new_items_se


def test_trials_counted_in_one_row_say_the_same_as_rows_of_runs():
    study, _ = repeated_study(np.random.default_rng(1), (3, 2, 1))
    rows = study.require("responses").astype({"model": str, "item_id": str})
    pooled = rows.groupby(["model", "item_id"], as_index=False).agg(score=("score", "mean"), n_trials=("score", "size"))
    one, other = (gate(found, "old", "new").difference for found in (study, Study.of(responses=pooled)))
    assert one.redrawn_se == pytest.approx(other.redrawn_se)
    assert one.noise is not None
    assert other.noise is not None
    assert one.noise.sources == other.noise.sources == (ITEMS, ITEMS, 0)


def test_repeats_that_all_agree_leave_little_luck_but_never_none():
    rng = np.random.default_rng(2)
    sure = (rng.random((12, ITEMS)) < 0.6).astype(float)
    study, truth = repeated_study(rng, (3, 3, 1), chances=sure)
    found = gate(study, "old", "new")
    assert found.difference.estimate == pytest.approx(truth)
    assert 0 < found.difference.redrawn_se < 0.1 * found.difference.item_se
    assert sum("cache" in warning for warning in found.warnings) == 2
    baseline_only, _ = repeated_study(rng, (3, 1, 1), chances=sure)
    unsure = gate(baseline_only, "old", "new").difference
    assert unsure.redrawn_se > 3 * found.difference.redrawn_se


def test_prompts_are_no_runs_and_judges_are_none():
    study, _ = repeated_study(np.random.default_rng(3), (2, 2, 2))
    rows = study.require("responses").astype(str).assign(score=study.require("responses")["score"])
    for facet in ("prompt", "judge"):
        renamed = Study.of(responses=rows.rename(columns={"run": facet}))
        assert gate(renamed, "old", "new").difference.noise is None


def test_more_answers_count_the_luck_that_no_answer_removes():
    study, _ = repeated_study(np.random.default_rng(4), (2, 1, 2), asked=60)
    found = gate(study, "old", "new")
    assert found.verdict == "undecided"
    assert found.more_answers is None or 0 < found.more_answers <= ITEMS - 60
    assert found.as_dict()["run_noise"].keys() == {"error", "baseline_items", "candidate_items", "other_models"}
    alone = gate(Study.of(responses=study.require("responses").drop_duplicates(["model", "item_id"])), "old", "new")
    assert alone.as_dict()["run_noise"] is None


def test_rows_of_several_trials_are_said_to_count_as_right_or_wrong():
    study, _ = repeated_study(np.random.default_rng(4), (2, 1, 2), asked=60)
    rows = study.require("responses")
    pooled = rows.groupby(["model", "item_id"], observed=True, as_index=False)["score"].agg(["mean", "size"])
    pooled = pooled.rename(columns={"mean": "score", "size": "n_trials"})
    single = gate(study, "old", "new").as_dict()["run_noise"]
    binary = gate(Study.of(responses=pooled), "old", "new").as_dict()["run_noise"]
    assert binary["pooled_rows_as_binary"] == (pooled["n_trials"] > 1).sum()
    assert "pooled_rows_as_binary" not in single


@pytest.mark.slow
@pytest.mark.parametrize(
    ("repeats", "asked"), [((1, 1, 3), 100), ((3, 1, 1), ITEMS), ((3, 3, 1), ITEMS), ((2, 2, 2), 100)]
)
def test_intervals_for_another_run_cover_and_second_runs_are_seldom_held(repeats, asked):
    rng, runs = np.random.default_rng(5), 1000
    inside = held = 0
    for run in range(runs):
        again = run % 2 == 1
        change = 0.0 if again else rng.normal(0, 0.5)
        study, truth = repeated_study(rng, repeats, change=change, asked=asked, second_run=again)
        found = gate(study, "old", "new").difference
        lower, upper = found.another_run_interval(1.96)
        inside += lower <= truth <= upper
        held += again and verdict_of(found, 1.96, 0.01) == "hold"
    assert 0.925 <= inside / runs <= 0.985
    assert held / (runs / 2) <= 0.025 + 3 * np.sqrt(0.025 * 0.975 / (runs / 2))
