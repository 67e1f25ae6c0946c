"""Severity and drift of judges on the same answers: planted moves, coverage, refusals, the command."""

import json

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from capscope.cli import app
from capscope.data import Study, check_study
from capscope.decide import judge_drift
from capscope.errors import InputError

runner = CliRunner()


def scored(rng, shift=(0.0, 0.0, 0.0), n_items=200, judges=("v1", "v2"), noise=0.05):
    """Graded answers of three models scored by two versions of a judge; answers to one item move together."""
    rows = []
    of_item = rng.normal(0, 0.05, n_items)
    for model, move in enumerate(shift):
        first = rng.uniform(0.25, 0.75, n_items)
        second = first + move + of_item + rng.normal(0, noise, n_items)
        for judge, score in zip(judges, (first, second), strict=True):
            rows += [(f"m{model}", f"i{item:03d}", judge, value) for item, value in enumerate(score.clip(0, 1))]
    return pd.DataFrame(rows, columns=["model", "item_id", "judge", "score"])


def test_a_planted_move_is_shown_and_none_is_not():
    rng = np.random.default_rng(0)
    moved = judge_drift(Study.of(responses=scored(rng, (0.03, 0.03, 0.03))), before="v1").moves[0]
    assert moved.moved
    assert moved.lower < 0.03 < moved.upper
    assert "cannot be compared without correction" in moved.sentence()
    assert moved.p_equal > 0.01
    still = judge_drift(Study.of(responses=scored(rng)), before="v1").moves[0]
    assert not still.moved
    assert "is ruled out" in still.sentence()


def test_intervals_cover_where_answers_to_one_item_move_together():
    rng = np.random.default_rng(1)
    inside = []
    for _ in range(25):
        found = judge_drift(Study.of(responses=scored(rng, (0.02, 0.02, 0.02), n_items=40)), before="v1").moves[0]
        inside.append(found.lower <= 0.02 <= found.upper)
    assert np.mean(inside) >= 0.85


@pytest.mark.slow
@pytest.mark.parametrize("n_items", [25, 60, 200])
@pytest.mark.parametrize("move", [0.0, 0.03])
@pytest.mark.parametrize("noise", [0.02, 0.2])
def test_moves_are_covered_and_seldom_claimed_where_there_are_none(n_items, move, noise):
    rng, runs = np.random.default_rng(11), 400
    inside = claimed = 0
    for _ in range(runs):
        table = scored(rng, (move, move, move), n_items=n_items, noise=noise)
        found = judge_drift(Study.of(responses=table), before="v1").moves[0]
        # scores are held within 0 and 1, which takes a little off the move
        truth = move if noise < 0.1 else clipped_move(move, noise)
        inside += found.lower <= truth <= found.upper
        claimed += found.moved
    error = np.sqrt(0.05 * 0.95 / runs)
    assert 0.95 - 3.5 * error <= inside / runs <= 0.985
    if move == 0:
        assert claimed / runs <= 0.05 + 3 * error


def clipped_move(move, noise):
    """The mean move where the second judge's scores are cut at 0 and 1."""
    rng = np.random.default_rng(0)
    first, added = rng.uniform(0.25, 0.75, 400_000), rng.normal(0, np.hypot(0.05, noise), 400_000)
    return float(((first + move + added).clip(0, 1) - first).mean())


def test_moves_that_differ_by_model_are_named_and_shrunken():
    found = judge_drift(Study.of(responses=scored(np.random.default_rng(2), (-0.03, 0.0, 0.08))), before="v1").moves[0]
    assert found.p_equal < 0.01
    assert "not the same for all models" in found.sentence()
    assert found.between_models == pytest.approx(0.056, abs=0.03)
    centre = np.mean([model.raw for model in found.by_model])
    assert all(abs(model.move - centre) <= abs(model.raw - centre) + 1e-9 for model in found.by_model)


def test_equal_models_have_one_move():
    rng = np.random.default_rng(7)
    alike = [judge_drift(Study.of(responses=scored(rng, noise=0.2)), before="v1").moves[0].by_model for _ in range(8)]
    move, raw = (np.array([[getattr(m, of) for m in found] for found in alike]) for of in ("move", "raw"))
    assert np.ptp(move, axis=1).mean() < 0.6 * np.ptp(raw, axis=1).mean()


def test_swapped_judges_flip_the_sign():
    study = Study.of(responses=scored(np.random.default_rng(3), (0.05, 0.05, 0.05)))
    one = judge_drift(study, before="v1", after="v2").moves[0]
    other = judge_drift(study, before="v2", after="v1").moves[0]
    assert one.move == pytest.approx(-other.move)
    assert one.lower == pytest.approx(-other.upper)


def test_scores_that_agree_leave_some_doubt():
    rows = scored(np.random.default_rng(4))
    same = rows[rows["judge"] == "v1"]
    study = Study.of(responses=pd.concat([same, same.assign(judge="v2")]))
    found = judge_drift(study, before="v1").moves[0]
    assert found.move == 0
    assert found.lower < 0 < found.upper


def test_a_later_date_is_compared_answer_by_answer(tmp_path):
    rng = np.random.default_rng(5)
    rows = scored(rng, (0.04, 0.04, 0.04), n_items=80)
    first = Study.of(responses=rows[rows["judge"] == "v1"].assign(judge="gpt")).save(tmp_path / "may")
    again = rows[(rows["judge"] == "v2") & (rows["item_id"] < "i050")].assign(judge="gpt")
    later = Study.of(responses=again).save(tmp_path / "june")
    result = runner.invoke(app, ["judge", "drift", str(first), "--later", str(later), "--json"])
    found = json.loads(result.stdout)
    assert found["moved"]
    assert found["moves"][0]["n_items"] == 50
    assert found["moves"][0]["after"] == "gpt (later)"
    text = runner.invoke(app, ["judge", "drift", str(first), "--later", str(later)]).stdout
    assert "gpt (later) scores +" in text


def test_too_few_pinned_answers_and_unknown_judges_are_refused():
    rows = scored(np.random.default_rng(6), n_items=10)
    with pytest.raises(InputError, match="no two judges scored the same answers to 20 items"):
        judge_drift(Study.of(responses=rows))
    with pytest.raises(InputError, match=r"no responses by judge 'v3'.*there are v1, v2"):
        judge_drift(Study.of(responses=rows), after="v3")


def test_check_names_judges_that_nobody_checked():
    rows = scored(np.random.default_rng(8), n_items=40)
    unchecked = check_study(Study.of(responses=rows)).odd
    assert any("v1 (0 of 120 scores), v2 (0 of 120 scores)" in remark for remark in unchecked)
    people = rows[(rows["judge"] == "v1") & (rows["model"] == "m0")].assign(judge="human:ann")
    checked = check_study(Study.of(responses=pd.concat([rows[rows["judge"] == "v1"], people]))).odd
    assert not any("judge" in remark for remark in checked)
