"""Every command on a real study, through the real entry point, in a process of its own where imports matter."""

import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from capscope.errors import InputError
from cli.running import Run, RunJson
from predict.simulated_study import simulated_study


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("cli")
    simulated_study(n_items=240).save(path / "study")
    return path


@pytest.mark.parametrize("model", ["rasch", "2pl", "curves"])
def test_fit_profile_predict_report(folder: Path, model: str, run_json: RunJson) -> None:
    study, fit = folder / "study", folder / model
    fitted = run_json("fit", study, "--model", model, "--out", fit)
    assert (fitted["model"], fitted["n_models"]) == (model, 6)
    profile = run_json("profile", fit, "--model", "m03")
    assert {row["model"] for row in profile["abilities"]} == {"m03"}
    assert all(row["lower"] < row["ability"] < row["upper"] for row in profile["abilities"])
    chances = folder / f"{model}.csv"
    predicted = run_json("predict", fit, study, "--out", chances)
    table = pd.read_csv(chances)
    assert len(table) == 6 * 240
    assert table["p"].between(table["lower"], table["upper"]).mean() > 0.99
    assert predicted["n_items"] == 240
    page = folder / f"{model}.html"
    assert run_json("report", fit, "--out", page) == {"report": str(page)}
    assert "m03" in page.read_text()


def test_a_demand_fit_profiles_predicts_and_explains_new_items(folder: Path, run_json: RunJson) -> None:
    study, fit, items, out = (folder / name for name in ("study", "demand", "asked.jsonl", "asked.csv"))
    fitted = run_json("fit", study, "--model", "demand", "--out", fit)
    assert (fitted["model"], fitted["n_models"]) == ("demand", 6)
    profile = run_json("profile", fit)
    assert {row["dim"] for row in profile["abilities"]} == {"general", "A", "B", "C"}
    assert all(row["lower"] < row["ability"] < row["upper"] for row in profile["abilities"])
    rows = [{"item_id": f"n{level}", "text": "?", "demands": {"A": level, "B": 1, "C": 1}} for level in range(6)]
    items.write_text("\n".join(map(json.dumps, rows)))
    found = run_json("predict", fit, items, "--out", out, "--explain")
    table = pd.read_csv(out)
    assert table["p"].between(table["lower"], table["upper"]).all()
    chance = table.pivot(index="model", columns="item_id", values="p")
    assert (chance["n1"] > chance["n5"]).all()
    parts = pd.read_csv(found["parts"])
    assert {"ability", "A", "B", "C", "residual"} <= set(parts["part"])
    summed = parts.groupby(["model", "item_id"])["log_odds"].sum()
    assert (summed.groupby("model").idxmax().str[1] == "n0").all()
    page = folder / "demand.html"
    assert run_json("report", fit, "--out", page) == {"report": str(page)}


def test_fit_scores_held_out_answers_in_the_published_layout(folder: Path, run_json: RunJson) -> None:
    found = run_json("fit", folder / "study", "--model", "rasch", "--holdout", 0.2)
    keys = "model engine device status reliability seconds cpu_seconds peak_memory_mb n_models n_items n_responses"
    assert list(found) == [*keys.split(), "log_loss", "auroc"]
    assert found["n_responses"] == pytest.approx(0.8 * 1440, abs=60)
    assert 0.4 < found["log_loss"] < 0.65
    assert found["auroc"] > 0.7


def test_evaluate_prints_the_published_layout(folder: Path, run_json: RunJson) -> None:
    found = run_json("evaluate", folder / "study", "--split", "task", "--assessor", "mean", "--folds", 3)
    assert (found["split"], found["folds"], found["seeds"], found["n_models"]) == ("task", 3, 1, 6)
    assert set(found["assessors"]) == {"mean"}


def test_evaluate_new_models_writes_resumes_and_compares(folder: Path, run: Run, run_json: RunJson) -> None:
    oof = folder / "oof.csv"
    arguments = ["evaluate", folder / "study", "--split", "new-model", "--known", 30, "--folds", 3, "--seeds", 2]
    arguments += ["--assessor", "mean", "--assessor", "item-mean", "--resume", folder / "folds"]
    found = run_json(*arguments, "--write", oof)
    assert (found["known"], found["differences"]["reference"]) == (30, "mean")
    gap = found["differences"]["assessors"]["item-mean"]["log_loss"]
    assert gap["lower"] < gap["difference"] < gap["upper"]
    assert len(pd.read_csv(oof)) == 2 * 2 * 6 * (240 - 30)
    assert len(list((folder / "folds").glob("*.npz"))) == 2 * 2 * 3
    code, out, _ = run(*arguments)
    assert code == 0
    assert "log-loss less that of mean, 95 % interval over tasks" in out


def test_explain_one_benchmark(folder: Path, run_json: RunJson) -> None:
    found = run_json("explain", folder / "study", "--benchmark", "B1")
    assert sum(found["histogram"]["A"]) == found["n_items"] < 240


def test_battery_select_and_score(folder: Path, run_json: RunJson) -> None:
    battery = folder / "battery.csv"
    drawn = run_json("battery", "select", folder / "study", "-n", 60, "--method", "demand", "--out", battery)
    assert (drawn["n"], drawn["pool"]) == (60, 240)
    scored = run_json("battery", "score", battery, folder / "study")
    assert len(scored["scores"]) == 6
    assert all(row["lower"] < row["score"] < row["upper"] for row in scored["scores"])


def test_predict_new_items_from_demands_and_flag_the_unsupported(folder: Path, run_json: RunJson) -> None:
    fit, items, out = folder / "curves-new", folder / "new.jsonl", folder / "new.csv"
    run_json("fit", folder / "study", "--model", "curves", "--out", fit)
    rows = [{"item_id": f"n{level}", "text": "?", "demands": {"A": level, "B": 0, "C": 0}} for level in range(6)]
    items.write_text("\n".join(map(json.dumps, rows)))
    found = run_json("predict", fit, items, "--out", out)
    assert {row["item_id"] for row in found["outside_support"]} >= {"n0"}
    table = pd.read_csv(out).pivot(index="model", columns="item_id", values="p")
    assert (table["n1"] > table["n5"]).all()


def test_predict_explains_defers_and_learns_from_labels(folder: Path, run: Run, run_json: RunJson) -> None:
    study, fit, out, labels = (folder / name for name in ("study", "explained", "explained.csv", "labels.csv"))
    run_json("fit", study, "--model", "rasch", "--out", fit)
    labels.write_text("model,item_id,score\n" + "".join(f"m00,i{n:04d},1\n" for n in range(10)))
    arguments = ["predict", fit, study, "--out", out, "--labels", labels, "--defer-below", 0.5, "--explain"]
    found = run_json(*arguments)
    scores = {(row["model"], row["benchmark"]): row for row in found["benchmark_scores"]}
    assert len(scores) == 6 * 2
    assert sum(scores["m00", name]["labels"] for name in ("B0", "B1")) == 10
    table, parts = pd.read_csv(out), pd.read_csv(found["parts"])
    assert found["n_deferred"] == table["defer"].sum() == (table["p"] < 0.5).sum() > 0
    # the fit knows the items, so that one model's answers say nothing of the others
    others = table[table["model"] != "m00"]
    assert 0.4 < others["p"].mean() < 0.6
    assert set(parts["part"]) == {"ability", "item", "benchmark effect"}
    code, text, _ = run(*arguments, "--force")
    assert code == 0
    assert "chances are to be deferred" in text
    assert text.endswith(f"{out}\n{found['parts']}\n")


def test_predict_learns_from_a_study_and_says_so_on_stderr(folder: Path, run: Run) -> None:
    study, items, out = folder / "study", folder / "unseen.jsonl", folder / "unseen.csv"
    rows = [{"item_id": f"n{level}", "benchmark": "new", "demands": {"A": level, "B": 1, "C": 1}} for level in range(6)]
    items.write_text("\n".join(map(json.dumps, [*rows, {"item_id": "i0003", "benchmark": "B0"}])))
    arguments = ["predict", study, items, "--out", out, "--explain", "--defer-below", 0.5, "--model", "m03"]
    code, printed, progress = run(*arguments, "--json")
    assert (code, progress) == (0, "fitting 'stacked' to 1,440 answers of 6 models, to predict 7 items\n")
    found = json.loads(printed)
    assert found["notes"] == ["of 7 items, 1 have answers, 6 are of new benchmarks"]
    assert {row["reason"] for row in found["outside_support"]} == {"a benchmark without answers"}
    scores = {row["benchmark"]: row for row in found["benchmark_scores"]}
    assert list(scores) == ["B0", "new"]
    assert all(row["lower"] <= row["score"] <= row["upper"] for row in scores.values())
    table, parts = pd.read_csv(out).set_index("item_id"), pd.read_csv(found["parts"])
    assert (table["model"] == "m03").all()
    assert table["p"]["n0"] > table["p"]["n5"]
    assert found["n_deferred"] == table["defer"].sum() > 0
    assert {"ability", "A", "B", "adjustment"} <= set(parts["part"])
    code, text, _ = run(*arguments, "--assessor", "mean", "--force")
    assert (code, text) == (1, "")
    code, text, _ = run("predict", study, items, "--out", out, "--assessor", "mean", "--force")
    assert code == 0
    assert "of 7 items, 1 have answers, 6 are of new benchmarks\n6 of 7 items lie outside" in text


BAD = {
    "study that does not exist": (["check", "nowhere"], "nowhere: no such study folder; check the path"),
    "fit that does not exist": (["profile", "nowhere"], "nowhere: no fit here"),
    "study for a fit": (["profile", "{study}"], "this is a study, not a fit; make one with 'capscope fit"),
    "fit for a bank": (["battery", "score", "{fit}", "{study}"], "this is a fit, not a bank; make one with"),
    "fit for a study": (["check", "{fit}"], "this is a fit, not a study; give the folder of a study"),
    "study for a bank": (
        ["battery", "run", "{study}", "--items", "x", "--model", "x", "--out", "x"],
        "this is a study, not",
    ),
    "study for a battery": (["battery", "score", "{study}", "x.csv"], "this is a study, not a bank or a battery; make"),
    "file for a study": (["check", "{battery}"], "this is a file, not a study folder; make one with"),
    "file for a fit": (["profile", "{battery}"], "this is a file, not a fit; make one with"),
    "model of a study": (["compare", "{study}", "m01", "x"], "no responses by model 'x'; there are m00, "),
    "model of a fit": (["profile", "{fit}", "--model", "m3"], "no model 'm3' (did you mean \"m03\"?)"),
    "output there": (["fit", "{study}", "--model", "rasch", "--out", "{fit}"], "already exists; choose another --out"),
    "model to fit": (
        ["fit", "{study}", "--model", "rash", "--out", "x"],
        "unknown model 'rash' (did you mean \"rasch\"",
    ),
    "predictions there": (["predict", "{fit}", "{study}", "--out", "{battery}"], "already exists"),
    "labels of no model": (
        ["predict", "{fit}", "{study}", "--out", "x.csv", "--labels", "{study}/responses.parquet", "--residuals", "no"],
        "no: no such file",
    ),
    "assessor of a fit": (
        ["predict", "{fit}", "{study}", "--out", "x.csv", "--assessor", "forest"],
        "is a fit, which predicts by itself",
    ),
    "assessor of a study": (
        ["predict", "{study}", "{study}", "--out", "x.csv", "--assessor", "stack"],
        "unknown assessor 'stack' (did you mean \"stacked\"?)",
    ),
    "source of predictions": (["predict", "nowhere", "{study}", "--out", "x.csv"], "nowhere: no such folder; give a"),
    "chance to defer": (["predict", "{fit}", "{study}", "--out", "x.csv", "--defer-below", "80"], "is not a chance"),
    "kind of output": (["predict", "{fit}", "{study}", "--out", "x.xlsx"], "cannot write '.xlsx' files"),
    "split": (
        ["evaluate", "{study}", "--split", "tasks"],
        "unknown split 'tasks' (did you mean \"task\"?); use one of id, task",
    ),
    "families": (["evaluate", "{study}", "--split", "family"], "6 models have no family: m00"),
    "reference": (["evaluate", "{study}", "--assessor", "mean", "--reference", "me"], "--reference me takes no part"),
    "kind of predictions": (["evaluate", "{study}", "--write", "x.xlsx"], "cannot write '.xlsx' files"),
    "predictions written": (["evaluate", "{study}", "--write", "{battery}"], "already exists; choose another --write"),
    "benchmark": (["explain", "{study}", "--benchmark", "B9"], "no benchmark 'B9'"),
    "battery": (
        ["battery", "score", "{study}/items.parquet", "{study}"],
        "make the file with 'capscope battery select'",
    ),
    "holdout": (["fit", "{study}", "--model", "rasch", "--holdout", "20"], "--holdout 20 is not a share"),
    "demo folder": (["demo", "--out", "{study}"], "is not a demo's folder; choose another --out"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_requests_are_one_line_with_exit_code_one(
    folder: Path, case: str, run: Run, run_json: RunJson, monkeypatch: pytest.MonkeyPatch
) -> None:
    study, fit, battery = folder / "study", folder / "bad-fit", folder / "there.csv"
    battery.write_text("kept")
    if not fit.exists():
        run_json("fit", study, "--model", "rasch", "--out", fit)
    arguments, message = BAD[case]
    monkeypatch.chdir(folder)
    before = sorted(folder.rglob("*"))
    code, out, err = run(*[part.format(study=study, fit=fit, battery=battery) for part in arguments])
    assert (code, out) == (1, "")
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert message in err
    assert sorted(folder.rglob("*")) == before
    assert battery.read_text() == "kept"


def test_debug_lets_the_error_through_to_its_traceback(folder: Path, run: Run) -> None:
    with pytest.raises(InputError):
        run("--debug", "check", folder / "nowhere")


def test_usage_errors_exit_with_two(run: Run) -> None:
    assert run("fit")[0] == 2
    assert run("no-such-verb")[0] == 2


def test_help_loads_no_torch_and_no_pandas() -> None:
    program = "import sys; sys.argv = ['capscope', '--help']\nfrom capscope.cli import main\n"
    program += "try: main()\nexcept SystemExit: pass\n"
    program += "print(sorted({'torch', 'pandas', 'pyro', 'openai', 'sklearn'} & set(sys.modules)), file=sys.stderr)"
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert shown.stderr.strip() == "[]"


@pytest.mark.parametrize("verb", ["demo", "check", "fit", "profile", "explain", "predict", "evaluate", "report"])
def test_every_help_has_an_example(verb: str, run: Run) -> None:
    code, out, _ = run(verb, "-h")
    assert code == 0
    assert f"capscope {verb}" in " ".join(out.split("Example", 1)[1].split())
