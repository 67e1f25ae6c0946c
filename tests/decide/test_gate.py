"""Verdicts: their error rates, looks at growing data, claims by scope, and the command."""

import json
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from capscope.cli import app
from capscope.data import Study
from capscope.decide import GateSettings, gate
from capscope.decide.difference import PairedDifferences
from capscope.decide.gate_settings import look_quantiles, spent_alpha
from capscope.decide.verdicts import corrected_p, verdict_of
from capscope.errors import InputError
from decide.worlds import version_answers, version_study

runner = CliRunner()


def test_looks_keep_the_error_rate_of_all_together():
    bounds = look_quantiles([0.25, 0.5, 0.75, 1.0])
    assert bounds == pytest.approx([3.920, 2.774, 2.298, 2.043], abs=2e-3)
    path = np.random.default_rng(0).normal(size=(40_000, 4)).cumsum(1) / np.sqrt([1, 2, 3, 4])
    assert (np.abs(path) > bounds).any(1).mean() == pytest.approx(0.05, abs=0.004)
    assert look_quantiles([1.0]) == pytest.approx([1.959964], abs=1e-5)
    assert spent_alpha(1.0, 0.05) == pytest.approx(0.05)
    with pytest.raises(InputError, match="increase"):
        look_quantiles([0.5, 0.5])


@pytest.mark.parametrize("looks", [1, 10])
def test_a_second_run_of_the_baseline_is_seldom_held(looks):
    rng, held, runs = np.random.default_rng(1), 0, 150 if looks == 1 else 60
    bounds = look_quantiles([number / looks for number in range(1, looks + 1)])
    for _ in range(runs):
        answers, full = version_answers(rng, 600, 400)
        order = rng.permutation(np.flatnonzero(~np.isnan(answers.candidate_score)))
        verdicts = []
        for number, bound in enumerate(bounds, 1):
            seen = np.full(600, np.nan)
            seen[order[: 400 * number // looks]] = full[order[: 400 * number // looks]]
            found = PairedDifferences.of(replace(answers, candidate_score=seen)).over()
            verdicts.append(verdict_of(found, bound, 0.01))
        held += "hold" in verdicts
    assert held / runs <= 0.025 + 3 * np.sqrt(0.025 * 0.975 / runs)


def test_clear_losses_are_held_and_clear_gains_shipped():
    assert gate(version_study(2, change=-1.5), "old", "new").verdict == "hold"
    assert gate(version_study(3, change=1.5), "old", "new").verdict == "ship"
    open_case = gate(version_study(4, size=40), "old", "new")
    assert open_case.verdict == "undecided"
    assert open_case.more_answers is None or open_case.more_answers > 0


def test_three_equal_scores_ship_nothing():
    study = version_study(5, n_items=60, size=60)
    kept = study.keep_items(pd.Index(["i0000", "i0001", "i0002"]))
    rows = kept.require("responses")
    rows = rows[rows["model"] == "old"]
    both = type(study).of(responses=_twice(rows))
    assert gate(both, "old", "new").verdict == "undecided"


def _twice(rows):
    return pd.concat([rows.astype({"model": str}), rows.astype({"model": str}).assign(model="new")], ignore_index=True)


def test_corrected_p_values_are_those_of_the_books():
    p = np.array([0.01, 0.04, 0.03, 0.005])
    assert corrected_p(p, "holm") == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert corrected_p(p, "bh") == pytest.approx([0.02, 0.04, 0.04, 0.02])


def test_a_loss_in_one_benchmark_is_named():
    study = version_study(6, n_items=400, size=300, change=0.3)
    odd = set(study.require("items").loc[lambda t: t["benchmark"] == "odd", "item_id"].astype(str))
    rows = study.require("responses").copy()
    broken = (rows["model"].astype(str) == "new") & rows["item_id"].astype(str).isin(odd)
    rows.loc[broken, "score"] = 0.0
    result = gate(type(study).of(items=study.items, responses=rows), "old", "new")
    claim = {found.scope: found.claim for found in result.claims}
    assert claim["benchmark odd"] == "worse"
    assert claim["benchmark even"] != "worse"


def test_names_and_settings_out_of_range_are_refused():
    study = version_study(7, n_items=40, size=20)
    with pytest.raises(InputError, match=r"no responses by model 'nw' \(did you mean \"new\"\?\)"):
        gate(study, "old", "nw")
    with pytest.raises(InputError, match="name two models"):
        gate(study, "old", "old")
    with pytest.raises(InputError, match="look 3 of 2"):
        GateSettings(look=3, looks=2)
    with pytest.raises(InputError, match="margin"):
        GateSettings(margin=-0.1)


def test_an_agent_is_named_by_model_and_scaffold_and_pooled_agents_are_named():
    study = version_study(2)
    rows = study.require("responses").assign(scaffold="alpha")
    worse = rows[rows["model"] == "old"].assign(scaffold="beta", score=0.0)
    agents = Study.of(study.items, pd.concat([rows, worse]))
    found = gate(agents, "old+alpha", "old + beta", GateSettings(fixed=True))
    assert (found.baseline, found.candidate, found.verdict) == ("old + alpha", "old + beta", "hold")
    pooled = gate(agents, "old", "new")
    assert pooled.warnings[0].startswith("'old' is 2 agents (old + alpha, old + beta), whose answers")
    assert gate(agents, "old+alpha", "new").candidate == "new + alpha"
    with pytest.raises(InputError, match="'old' is 2 agents: old .* name one of them"):
        gate(agents, "new+alpha", "old")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return version_study(8, change=-1.5).save(tmp_path_factory.mktemp("gate") / "study")


def test_the_command_answers_and_exits_by_the_verdict(folder, tmp_path):
    files = ["--markdown", str(tmp_path / "g.md"), "--junit", str(tmp_path / "g.xml")]
    done = runner.invoke(app, ["gate", str(folder), "--baseline", "old", "--candidate", "new", "--json", *files])
    assert done.exit_code == 5
    result = json.loads(done.stdout)
    assert result["verdict"] == "hold"
    assert {"difference", "lower", "upper", "margin", "more_answers", "by"} <= result.keys()
    assert result["lower"] < result["difference"] < result["upper"] < 0
    assert "| benchmark odd |" in (tmp_path / "g.md").read_text()
    suite = ElementTree.parse(tmp_path / "g.xml").getroot()
    assert int(suite.get("failures", "0")) >= 1
    shown = runner.invoke(app, ["gate", str(folder), "--baseline", "old", "--candidate", "new", "--exit-zero"])
    assert shown.exit_code == 0
    assert shown.stdout.startswith("HOLD: new against old")


def test_a_planned_draw_is_read_back(folder, tmp_path):
    out = tmp_path / "draw.csv"
    done = runner.invoke(app, ["gate", "plan", str(folder), "--baseline", "old", "--size", "50", "--out", str(out)])
    assert done.exit_code == 0
    assert len(out.read_text().splitlines()) == 51
    verb = ["gate", str(folder), "--baseline", "old", "--candidate", "new", "--draw", str(out)]
    answered, drawn = (
        set(Study.load(folder).responses.query("model == 'new'")["item_id"].astype(str)),
        set(pd.read_csv(out)["item_id"].astype(str)),
    )
    shown = runner.invoke(app, [*verb, "--exit-zero"])
    assert shown.exit_code == 0
    assert f"{len(answered - drawn)} other answers of 'new' are not used" in shown.stdout
    assert f"{len(answered & drawn)} of " in shown.stdout
    pd.read_csv(out).assign(item_id=lambda rows: "other" + rows["item_id"].astype(str)).to_csv(out, index=False)
    refused = runner.invoke(app, verb)
    assert refused.exit_code == 1
    assert "no chance for item" in str(refused.exception)


def test_the_gate_measures_itself(folder):
    verb = [
        "gate",
        "evaluate",
        str(folder),
        "--size",
        "60",
        "--pairs",
        "6",
        "--seeds",
        "3",
        "--within",
        "20pp",
        "--json",
    ]
    one, two = (json.loads(runner.invoke(app, [*verb, "--workers", n]).stdout) for n in ("1", "2"))
    assert one == two
    assert {"n", "pairs", "setting", "worth", "rmse_pp", "paired_rmse_pp", "coverage95", "width95_pp"} <= one.keys()
    assert one["worth"] > 0


def test_a_gate_that_never_erred_has_a_worth_that_is_unknown(tmp_path):
    rows = pd.DataFrame({"model": np.repeat([*"abc"], 6), "item_id": [*"uvwxyz"] * 3, "score": 1.0})
    Study.of(responses=rows).save(tmp_path / "study")
    verb = ["gate", "evaluate", str(tmp_path / "study"), "--size", "4", "--pairs", "2", "--seeds", "1"]
    assert json.loads(runner.invoke(app, [*verb, "--json"]).stdout)["worth"] is None
    assert "the worth of an answer is unknown" in runner.invoke(app, verb).stdout
