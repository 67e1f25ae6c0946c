"""The help of the root command: verbs by job, one screen; and what a verb loads before it starts."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import typer

from capscope.cli import app
from capscope.cli.overview import PANELS, WIDTH
from cli.running import Run
from honest_studies import Shape, write_study


def test_the_help_lists_the_verbs_by_job_on_one_screen(run: Run) -> None:
    code, text, _ = run("-h")
    lines = text.splitlines()
    assert code == 0
    assert [line for line in lines if line in PANELS] == list(PANELS)
    assert 24 <= len(lines) <= 40
    assert max(map(len, lines)) <= WIDTH
    verbs = [line.split()[0] for line in lines if line.startswith("  ") and not line.lstrip().startswith("-")]
    assert {"import", "annotate", "fit", "predict", "battery", "gate", "explain"} <= set(verbs)
    assert "view" not in verbs
    assert "Other" not in lines


def commands(group: typer.core.TyperGroup, name: str = "") -> Iterator[tuple[str, typer.core.TyperCommand]]:
    for key, command in group.commands.items():
        if isinstance(command, typer.core.TyperGroup):
            yield from commands(command, f"{name}{key} ")
        else:
            yield f"{name}{key}", command


def test_every_command_takes_json_and_seed_and_shows_an_example() -> None:
    every = dict(commands(typer.main.get_command(app)))
    assert len(every) >= 50
    for name, command in every.items():
        options = {option for parameter in command.params for option in parameter.opts}
        assert {"--json", "--seed"} <= options, name
        assert command.hidden or "Example: capscope" in command.help, name


def test_view_still_works_under_its_old_name(run: Run) -> None:
    code, text, _ = run("view", "-h")
    assert code == 0
    assert "the earlier name of" in text


def test_a_report_needs_a_file_or_open(run: Run) -> None:
    code, _, error = run("report", "fit")
    assert code == 2
    assert "--out" in error
    assert "--open" in error


def test_verbs_that_fit_nothing_load_neither_torch_nor_scipy() -> None:
    rooms = ", ".join(f"capscope.{room}" for room in ("cli", "data", "data.formats", "annotate"))
    code = f"""
import {rooms}, sys
print([name for name in ("torch", "scipy", "sklearn", "matplotlib", "openai", "jaxtyping") if name in sys.modules])
from capscope.battery import Bank, RunSettings, plan_battery, run_battery
from capscope.decide import GateSettings, gate, gate_text, plan_live_gate, run_gate
print([name for name in ("torch", "sklearn", "matplotlib", "openai") if name in sys.modules])
"""
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout == "[]\n[]\n"


VERBS = """
import contextlib, io, sys
from capscope.cli import main

def loaded(*words):
    sys.argv = ["capscope", *words]
    with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
        main()
    return sorted({"torch", "sklearn", "pyro", "openai", "matplotlib"} & set(sys.modules))

study, fit, guessing, logs, out = sys.argv[1:]
print(loaded("--help"), loaded("predict", "-h"), loaded("check", study), end=" ", file=sys.stderr)
print(loaded("import", logs, "--out", out), file=sys.stderr)
print(loaded("annotate", study, "--annotator", "openai:any", "--plan"), loaded("profile", fit), file=sys.stderr)
print(loaded("profile", guessing, "--study", study, "--json"), file=sys.stderr)
"""


def test_a_verb_that_fits_nothing_runs_without_torch_and_sklearn(tmp_path: Path, run: Run) -> None:
    study, fit, table, guessing = (tmp_path / name for name in ("study", "fit", "scores.csv", "guessing"))
    write_study(Shape(models=6, items=30, answered=1.0), study)
    table.write_text("model,item_id,score\na,x,1\nb,x,0\n")
    assert run("fit", study, "--model", "2pl", "--out", fit)[0] == 0
    assert run("fit", study, "--model", "3pl", "--out", guessing)[0] == 0
    command = [sys.executable, "-c", VERBS, study, fit, guessing, table, tmp_path / "out"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True)
    assert shown.stderr.split("\n")[-4:] == ["[] [] [] []", "[] []", "[]", ""]
    assert (tmp_path / "out" / "responses.parquet").exists()


def test_a_fit_says_first_which_model_was_taken_and_why(tmp_path: Path, run: Run) -> None:
    study = tmp_path / "study"
    write_study(Shape(models=12, items=40, answered=1.0), study)
    for model, begin in (("auto", "auto took "), ("2pl", "2pl, as asked for: a slope for each item.")):
        code, text, _ = run("fit", study, "--model", model, "--out", tmp_path / model)
        assert code == 0
        assert text.startswith(begin)
        assert "predicts held-out answers better" in text.splitlines()[0] or model == "2pl"
        assert not [line for line in text.splitlines() if line.startswith("advice")]
