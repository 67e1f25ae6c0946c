"""Agents: names, design, which effects are separable, and renames that split names into parts."""

import itertools

import numpy as np
import pandas as pd
import pytest

from capscope.data import (
    AgentDesign,
    Responses,
    Study,
    agent_design,
    check_study,
    effort_ranks,
    one_answer_each,
    verdict_correlation,
    with_agents,
    with_models_of,
)
from capscope.data.formats import merge_studies, read_parts, read_renames


def answers(pairs: list[tuple[str, str]], **more: str) -> Study:
    rows = [
        {
            "model": model,
            "scaffold": scaffold,
            "item_id": f"q{item}",
            "score": float((item + len(scaffold)) % 2),
            **more,
        }
        for (model, scaffold), item in itertools.product(pairs, range(3))
    ]
    return Study.of(responses=pd.DataFrame(rows))


CROSSED = [(model, scaffold) for model in "abc" for scaffold in ("s1", "s2")]


def test_a_model_in_two_scaffolds_is_two_agents() -> None:
    study = answers(CROSSED)
    agents = with_agents(study)
    assert sorted(agents.require("responses")["model"].unique())[:2] == ["a + s1", "a + s2"]
    assert "scaffold" not in agents.require("responses")
    design = agent_design(study)
    assert design is not None
    assert design.subjects == tuple(sorted(f"{m} + {s}" for m, s in CROSSED))
    assert AgentDesign.from_dict(design.as_dict()) == design


def test_a_study_of_one_scaffold_is_left_as_it_is() -> None:
    study = answers([("a", "s1"), ("b", "s1")])
    assert with_agents(study) is study
    assert agent_design(study) is None
    assert not check_study(study).design
    nested = answers([("a", "s1"), ("b", "s2")])
    assert with_agents(nested) is nested


def test_a_study_takes_the_models_of_a_fit() -> None:
    study = answers(CROSSED)
    assert with_models_of(study, ("a", "b")) is study
    assert with_models_of(study, ("a + s1",)).require("responses")["model"].nunique() == len(CROSSED)


@pytest.mark.parametrize(
    ("pairs", "scaffold_sets", "model_sets"),
    [
        (CROSSED, [0, 0], [0, 0, 0]),
        ([("a", "s1"), ("b", "s1"), ("c", "s2")], [0, 1], [0, 0, 1]),
        ([("a", "s1"), ("a", "s2"), ("b", "s2"), ("c", "s3")], [0, 0, 1], [0, 0, 1]),
    ],
)
def test_parts_are_comparable_in_connected_components(
    pairs: list[tuple[str, str]], scaffold_sets: list[int], model_sets: list[int]
) -> None:
    design = agent_design(answers(pairs))
    assert design is not None
    assert design.comparable("scaffold").tolist() == scaffold_sets
    assert design.comparable("model").tolist() == model_sets


def test_check_says_what_cannot_be_told_apart() -> None:
    nested = check_study(answers([("a", "s1"), ("b", "s1"), ("c", "s2")])).design
    assert "model is nested in scaffold: each model comes with one scaffold" in nested
    assert "differences between scaffolds are confounded with model: s1, s2" in nested
    bridge = check_study(answers([("a", "s1"), ("b", "s1"), ("b", "s2"), ("c", "s2")])).design
    assert "comparisons across sets of scaffolds rest on single agents: b + s1, b + s2" in bridge
    crossed = check_study(answers(CROSSED)).design
    assert "model and scaffold are crossed: all 6 pairs are there" in crossed


def test_efforts_are_ordered_by_name_or_number() -> None:
    ranks = effort_ranks(["max", "low", "xhigh"])
    assert ranks is not None
    assert ranks["low"] < ranks["xhigh"] < ranks["max"]
    assert effort_ranks(["8k", "2048", "budget 512"]) == {"8k": 8000.0, "2048": 2048.0, "budget 512": 512.0}
    assert effort_ranks(["careful", "quick"]) is None


def test_renames_split_names_into_parts(tmp_path) -> None:  # noqa: ANN001
    table = tmp_path / "models.csv"
    table.write_text("from,to,scaffold,effort\ngpt+codex,gpt,codex,high\ngpt+own,gpt,own,\nother,other,,\n")
    rows = [{"model": m, "item_id": "q", "score": 1.0} for m in ("gpt+codex", "gpt+own", "other")]
    study = Study.of(responses=pd.DataFrame(rows))
    merged = merge_studies([study], "error", read_renames(table), read_parts(table)).study.require("responses")
    parts = {tuple(row) for row in merged[["model", "scaffold", "effort"]].astype(str).to_numpy().tolist()}
    assert parts == {("gpt", "codex", "high"), ("gpt", "own", "none"), ("other", "none", "none")}


def judged(rho: float, seed: int = 0, models: int = 6, items: int = 80, judges: int = 3) -> Study:
    """Verdicts of judges whose errors on one answer are correlated by about `rho`."""
    rng = np.random.default_rng(seed)
    shared = rng.normal(size=(models, items, 1))
    verdict = np.sqrt(rho) * shared + np.sqrt(1 - rho) * rng.normal(size=(models, items, judges)) > 0
    m, i, j = np.indices(verdict.shape).reshape(3, -1)
    columns = {"model": m.astype(str), "item_id": i.astype(str), "judge": j.astype(str), "score": verdict.ravel() * 1.0}
    return Study.of(responses=pd.DataFrame(columns))


def test_judges_of_one_answer_make_one_answer() -> None:
    alike = judged(1.0)
    assert verdict_correlation(alike) == pytest.approx(1)
    one = one_answer_each(alike).require("responses")
    assert len(one) == 6 * 80
    assert "judge" not in one
    np.testing.assert_allclose(one["n_trials"], 1)
    independent = one_answer_each(judged(0.0)).require("responses")
    assert independent["n_trials"].between(2.4, 3).all()
    assert one_answer_each(alike, ("judge",)) is alike
    lone = Study.of(responses=alike.require("responses").drop_duplicates(["model", "item_id"]))
    assert one_answer_each(lone) is lone


def test_costs_go_with_their_answers() -> None:
    table = answers(CROSSED).require("responses").assign(tokens=np.arange(18.0))
    responses = Responses.of(Study.of(responses=table.sample(frac=1, random_state=0)))
    assert responses.rows(np.array([3])).costs["tokens"].tolist() == [responses.costs["tokens"][3]]
    item, scaffold = responses.item_index, responses.facets["scaffold"].codes
    expected = 6 * responses.model_index + 3 * scaffold + item
    np.testing.assert_array_equal(responses.costs["tokens"], expected)
