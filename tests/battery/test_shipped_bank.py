"""The bank that ships: small, without texts, documents that the harness can run, scores near the truth."""

import json

import numpy as np
import pytest

from capscope.battery import Bank, Curves, harness_run, score_battery, select_battery
from capscope.data import Study, shipped


@pytest.fixture(scope="module")
def shipped_bank() -> Bank:
    return Bank.load(shipped("artifacts/openllm-v2"))


def test_it_is_small_and_holds_no_single_answers(shipped_bank: Bank) -> None:
    folder = shipped("artifacts/openllm-v2")
    assert sum(path.stat().st_size for path in folder.iterdir()) < 3_000_000
    assert shipped_bank.history is None
    assert len(shipped_bank.items) == 18653
    assert shipped_bank.benchmarks == ("BBH", "IFEval", "MATH-lvl5", "MMLU-Pro", "MuSR")


def test_every_item_is_a_document_of_a_harness_task(shipped_bank: Bank) -> None:
    names = set(json.loads((shipped("artifacts/openllm-v2") / "harness_tasks.json").read_text()).values())
    run = harness_run(shipped_bank, shipped_bank.items)
    assert set(run.samples) == names
    for documents in run.samples.values():
        assert documents == list(range(len(documents)))


@pytest.mark.parametrize("method", ["random", "variance"])
def test_a_hundred_answers_score_a_simulated_model(shipped_bank: Bank, method: str) -> None:
    import pandas as pd

    rng = np.random.default_rng(0)
    curves = Curves.of(shipped_bank)
    held = []
    for place in (3, 20, 34, 50):
        chance = curves.chances(shipped_bank.posterior.ability_mean[[place]])[0]
        score = (rng.random(len(chance)) < chance).astype(float)
        battery = select_battery(shipped_bank, 100, method=method, seed=place)
        items = tuple(battery.table["item_id"])
        answers = pd.DataFrame({"model": "m", "item_id": items, "score": score[shipped_bank.positions(items)]})
        found = score_battery(shipped_bank, Study.of(responses=answers), battery=battery).scores.iloc[0]
        assert abs(found["score"] - score.mean()) < 0.09
        held.append(found["lower"] <= score.mean() <= found["upper"])
    assert sum(held) >= 3
