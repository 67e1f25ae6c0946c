"""Agents: names, design, what can be told apart, and renames that split names into parts."""

import itertools

import pandas as pd
import pytest

from capscope.data import AgentDesign, Study, agent_design, check_study, effort_ranks, with_agents, with_models_of
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
    assert "no difference between scaffolds can be told from model: s1, s2" in nested
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
