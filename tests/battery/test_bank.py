"""Banks keep what was fitted, hold no texts, and say what is wrong with a folder in one line."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from capscope.battery import Bank, read_harness_names, score_battery
from capscope.cli import app
from capscope.data import Study
from capscope.errors import InputError, OutputError


def test_a_bank_comes_back_as_it_was_saved(bank: Bank, tmp_path) -> None:
    held = replace(bank, cost=np.linspace(1, 9, len(bank.items)))
    held.save(tmp_path / "b")
    again = Bank.load(tmp_path / "b")
    assert (again.items, again.models, again.benchmark, again.task) == (
        held.items,
        held.models,
        held.benchmark,
        held.task,
    )
    np.testing.assert_array_equal(again.document, held.document)
    np.testing.assert_array_equal(again.history, held.history)
    np.testing.assert_allclose(again.posterior.item_mean, held.posterior.item_mean, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(again.posterior.item_cov, held.posterior.item_cov, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(again.posterior.ability_cov, held.posterior.ability_cov, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(again.cost, held.cost, rtol=1e-6)
    assert again.provenance == json.loads(json.dumps(held.provenance))


def test_a_compact_bank_is_small_and_predicts_alike(bank: Bank, tmp_path) -> None:
    bank.compact().save(tmp_path / "c")
    again = Bank.load(tmp_path / "c")
    assert again.history is None
    n = len(bank.items)
    model, item = np.repeat([0, 5], n), np.tile(np.arange(n), 2)
    gap = again.posterior.probability(model, item) - bank.posterior.probability(model, item)
    assert np.abs(gap).max() < 2e-3
    assert sum(path.stat().st_size for path in (tmp_path / "c").iterdir()) < 40 * n + 12_000


def test_no_text_reaches_a_bank(past: Study, tmp_path) -> None:
    items = past.items.drop(columns="text").assign(text="the secret question", target="the secret answer")
    bank = Bank.build(Study.of(items.astype({"item_id": str}), past.responses), dims=1, max_sweeps=3)
    bank.save(tmp_path / "b")
    for path in (tmp_path / "b").iterdir():
        assert b"secret" not in path.read_bytes()


def test_documents_come_from_a_column_or_the_id_and_are_dropped_when_they_repeat(past: Study) -> None:
    names = {"alpha/alpha_0": "lb_alpha", "beta": "lb_beta"}
    bank = Bank.build(past, dims=1, max_sweeps=2, harness_tasks=names)
    assert {"lb_alpha", "alpha_1", "lb_beta"} <= set(bank.task)
    # all tasks of beta under one name repeat their numbers, so they are not document numbers of that task
    assert set(bank.document[np.array(bank.task) == "lb_beta"]) == {-1}
    place = bank.items.index("alpha_0/17")
    assert bank.document[place] == 17
    plain = Bank.build(Study.of(responses=past.responses), dims=1, max_sweeps=2)
    assert plain.benchmarks == ("all",)
    assert set(plain.document) == {-1}


def test_repeats_of_a_cell_are_averaged_and_missing_cells_stay_missing() -> None:
    rows = [("m", "a", "x", 1.0), ("m", "a", "y", 0.0), ("m", "b", "x", 1.0), ("k", "a", "x", 0.0)]
    rows += [("k", "c", "x", 0.25), ("m", "c", "x", 1.0)]
    table = pd.DataFrame(rows, columns=["model", "item_id", "prompt", "score"])
    bank = Bank.build(Study.of(responses=table), dims=1)
    np.testing.assert_array_equal(bank.history, [[0.0, np.nan, 0.25], [0.5, 1.0, 1.0]])


def test_positions_and_benchmarks_say_what_is_missing(bank: Bank) -> None:
    assert list(bank.positions((bank.items[3], bank.items[1]))) == [3, 1]
    with pytest.raises(InputError, match="no item alpha_0/9999"):
        bank.positions(("alpha_0/9999",))
    assert {bank.benchmark[i] for i in bank.of_benchmarks(("beta",))} == {"beta"}
    with pytest.raises(InputError, match="no benchmark 'betta' .did you mean \"beta\""):
        bank.of_benchmarks(("betta",))


def test_folders_that_are_no_banks_are_refused(bank: Bank, tmp_path) -> None:
    with pytest.raises(InputError, match="no bank here"):
        Bank.load(tmp_path)
    bank.save(tmp_path / "b")
    with pytest.raises(OutputError, match="already exists"):
        bank.save(tmp_path / "b")
    bank.save(tmp_path / "b", force=True)
    (tmp_path / "b" / "manifest.json").write_text('{"kind": "irt", "schema": 1}')
    with pytest.raises(InputError, match="not a bank"):
        Bank.load(tmp_path / "b")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").write_text("mine")
    with pytest.raises(OutputError, match="holds more than a bank"):
        bank.save(tmp_path / "other", force=True)
    (tmp_path / "names.json").write_text("[1]")
    with pytest.raises(InputError, match="not a JSON object of names"):
        read_harness_names(tmp_path / "names.json")


def test_the_command_builds_a_bank(past: Study, tmp_path) -> None:
    past.save(tmp_path / "study")
    names = tmp_path / "names.json"
    names.write_text('{"alpha/alpha_0": "leaderboard_alpha"}')
    command = ["bank", "build", str(tmp_path / "study"), "--out", str(tmp_path / "bank"), "--dims", "2", "--compact"]
    shown = CliRunner().invoke(app, [*command, "--harness-tasks", str(names), "--json"])
    assert shown.exit_code == 0, shown.output
    assert json.loads(shown.stdout)["n_items"] == 600
    bank = Bank.load(tmp_path / "bank")
    assert "leaderboard_alpha" in bank.task
    assert bank.provenance["fit"]["dims"] == 2


def test_a_model_in_one_scaffold_is_predicted_in_the_others() -> None:
    rng = np.random.default_rng(0)
    skill, scaffold, difficulty = rng.normal(0, 0.8, 7), {"s0": 0.9, "s1": -0.9}, rng.normal(0, 1, 60)
    ids, rows = [f"q{k:02d}" for k in range(60)], []
    for number, name in ((n, s) for n in range(7) for s in scaffold):
        chance = 1 / (1 + np.exp(difficulty - skill[number] - scaffold[name]))
        columns = {"model": f"m{number}", "scaffold": name, "item_id": ids, "score": (rng.random(60) < chance) * 1.0}
        rows.append(pd.DataFrame(columns))
    table = pd.concat(rows, ignore_index=True)
    new = (table["model"] == "m0") & (table["scaffold"] == "s0")
    bank = Bank.build(Study.of(responses=table[table["model"] != "m0"].reset_index(drop=True)), dims=1)
    assert "m1 + s0" in bank.models
    answers = Study.of(responses=table[new].head(30).reset_index(drop=True))
    scores = score_battery(bank, answers)
    assert scores.elsewhere is not None
    row = scores.elsewhere.iloc[0]
    assert row["model"] == "m0 + s1"
    truth = table[(table["model"] == "m0") & (table["scaffold"] == "s1")]["score"].mean()
    assert row["lower"] < truth < row["upper"]
    assert row["score"] < scores.scores["score"].iloc[0] - 0.1
    assert scores.as_dict()["elsewhere"]
    assert score_battery(bank, Study.of(responses=table[new].drop(columns="scaffold"))).elsewhere is None
