"""Agents in evaluation: splits by pair, scaffold and model, and the assessor that adds up parts."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

from capscope.data import Responses, SplitPlan, Study, agent_design, response_folds, with_agents
from capscope.errors import InputError
from capscope.predict import evaluate
from capscope.predict.assessors import ASSESSORS, usable
from capscope.predict.layout import Layout


@pytest.fixture(scope="module")
def study() -> Study:
    rng = np.random.default_rng(3)
    model, scaffold, difficulty = rng.normal(0, 0.9, 7), np.array([0.9, 0.0, -0.9]), rng.normal(0, 1, 40)
    tables = []
    for m, s in ((m, s) for m in range(7) for s in range(3) if (m + s) % 3):
        score = (rng.random(40) < expit(model[m] + scaffold[s] - difficulty)) * 1.0
        columns = {"model": f"m{m}", "scaffold": f"s{s}", "item_id": [f"q{i:02d}" for i in range(40)], "score": score}
        tables.append(pd.DataFrame(columns))
    return Study.of(responses=pd.concat(tables))


def folds_of(study: Study, split: str) -> tuple[Responses, list[tuple[np.ndarray, np.ndarray]]]:
    responses, agents = Responses.of(with_agents(study)), agent_design(study)
    items = pd.DataFrame({"item_id": responses.items, "benchmark": "all", "task": "all"})
    plan = SplitPlan(split, 3, 5, None, agents)
    folds = response_folds(responses, items, plan, np.random.default_rng(0))
    return responses, [(fold.train, fold.test) for fold in folds]


def test_pairs_are_held_out_whole_and_both_parts_are_seen(study: Study) -> None:
    responses, folds = folds_of(study, "new-pair")
    for train, test in folds:
        names = [{responses.models[row] for row in np.unique(responses.model_index[mask])} for mask in (train, test)]
        assert not names[0] & names[1]
        for place in (0, 1):
            seen, asked = ({name.split(" + ")[place] for name in group} for group in names)
            assert asked <= seen


@pytest.mark.parametrize(("split", "place"), [("new-scaffold", 1), ("new-model", 0)])
def test_a_new_part_is_held_out_in_all_its_agents(study: Study, split: str, place: int) -> None:
    responses, folds = folds_of(study, split)
    for train, test in folds:
        held = {responses.models[row].split(" + ")[place] for row in np.unique(responses.model_index[test])}
        rest = np.bincount(responses.model_index[train], minlength=len(responses.models))
        for name, answers in zip(responses.models, rest, strict=True):
            assert answers == (5 if name.split(" + ")[place] in held else 40)


def test_parts_predict_pairs_that_whole_agents_cannot(study: Study) -> None:
    scores = evaluate(study, "new-pair", ["rasch", "agents", "stacked"], folds=5).as_dict()["assessors"]
    assert scores["agents"]["log_loss"] < scores["rasch"]["log_loss"] - 0.05
    assert scores["stacked"]["log_loss"] < scores["rasch"]["log_loss"] - 0.05


def test_without_scaffolds_there_is_no_such_split_or_assessor(study: Study) -> None:
    table = study.require("responses")
    alone = Study.of(responses=table[table["scaffold"] == "s0"].reset_index(drop=True))
    with pytest.raises(InputError, match="new-pair needs responses"):
        evaluate(alone, "new-pair", ["rasch"])
    assert "agents" not in usable(Layout.of_study(alone).features)
    assert not ASSESSORS["agents"].works_with(Layout.of_study(alone).features)
    assert Layout.of_study(study).agents is not None
