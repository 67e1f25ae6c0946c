"""Every verb on a study of Parquet, CSV and JSON lines tables: the form of the tables is nobody's business."""

import contextlib
import json
import os
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from annotate.scripted import KEY, judge
from endpoint.server import ScriptedServer
from pins.comparing import differences
from pins.running import VOLATILE, describe, printed, run, without
from pins.worlds import World, write_world
from read_only import read_only

FORMS = ("parquet", "csv", "jsonl")
WORLD = World("parquet", models=8, items=24, tasks=2, seed=5, missing=0.1)

READ = {
    "check": "check study",
    "agree": "agree study --reference ann",
    "fit": "fit study --device cpu --model rasch --holdout 0.2 --out fit-made",
    "fit-demand": "fit study --device cpu --model demand --out demand-made",
    "explain": "explain study --benchmark bench0 --audit --out odd.csv",
    "compare": "compare study",
    "compare-two": "compare study org1/base1-1b org2/base2-2b",
    "predict": "predict study study --assessor mean --out chances.csv",
    "predict-fit": "predict fit study --out fit-chances.csv",
    "evaluate": "evaluate study --split id --folds 2 --assessor mean --write oof.csv",
    "report": "report fit --study study --items study --out page.html",
    "bank": "bank build study --dims 1 --out bank",
    "select": "battery select study -n 8 --method demand --out battery.csv",
    "score": "battery score ready.csv study",
    "battery-evaluate": "battery evaluate study -n 6 --seeds 1 --estimator mean",
    "export-tidy": "export tidy study --out tidy.csv",
    "export-pyirt": "export pyirt study --out pyirt.jsonlines",
    "plan": "annotate study --annotator openai:m --only QLl --usd-in 1 --usd-out 1 --plan",
}
"""Verbs that read a study; what they write lies beside it."""
OUTPUTS = {
    "fit": "fit study --model rasch --out fit",
    "predict": "predict fit study --out ready.csv",
    "evaluate": "evaluate study --assessor mean --write ready.csv",
    "explain": "explain study --out ready.csv",
    "report": "report fit --out ready.csv",
    "bank": "bank build study --out fit",
    "select": "battery select study -n 8 --out ready.csv",
    "export": "export tidy study --out ready.csv",
    "import": "import tidy ready.csv --out study",
}
"""Verbs whose output is there already."""


@contextlib.contextmanager
def at(folder: Path) -> Generator[None]:
    """Work in a folder, so that no path of this machine is printed."""
    with contextlib.chdir(folder):
        yield


def made(folder: Path, form: str) -> Path:
    """Write the study in a form, and a fit and a battery beside it."""
    write_world(replace(WORLD, form=form), folder / "study")
    with at(folder):
        for line in ("fit study --device cpu --model rasch --out fit", "battery select study -n 8 --out ready.csv"):
            code, _, err = run(line.split())
            assert code == 0, err
    return folder


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One folder for each form of a study."""
    return {form: made(tmp_path_factory.mktemp(form), form) for form in FORMS}


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def result(place: Path, line: str) -> dict[str, Any]:
    """Run a verb; return what it printed and wrote, without what tells one run from another."""
    words = line.split()
    with at(place):
        code, out, err = run([*words, "--json"])
        assert code == 0, err
        written = {
            words[n + 1]: describe(Path(words[n + 1])) for n, word in enumerate(words) if word in ("--out", "--write")
        }
    return {"out": without(printed(out), VOLATILE), "written": without(written, VOLATILE | {"sources", "sha256"})}


@pytest.mark.parametrize("verb", READ)
def test_a_verb_says_the_same_of_every_form_and_leaves_the_study_as_it_was(places: dict[str, Path], verb: str) -> None:
    results = {}
    for form, place in places.items():
        before = contents(place / "study")
        with read_only(place / "study"):
            results[form] = result(place, READ[verb])
        assert contents(place / "study") == before
    for form in FORMS[1:]:
        assert differences(results["parquet"], results[form]) == []


@pytest.mark.parametrize("verb", OUTPUTS)
def test_an_output_that_is_there_is_refused_before_the_work_and_kept(places: dict[str, Path], verb: str) -> None:
    place = places["csv"]
    before = contents(place)
    with at(place):
        code, out, err = run(OUTPUTS[verb].split())
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert "--force" in err
    assert contents(place) == before


@pytest.fixture
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


def add_labels(study: Path) -> list[tuple[int, str]]:
    """Rate by a scripted model, then fuse; return exit codes and errors."""
    with ScriptedServer(judge) as server:
        words = ["annotate", str(study), "--annotator", "openai:m", "--only", "QLl", "--base-url", server.url]
        ends = [run(words), run(["fuse", str(study)])]
    return [(code, err) for code, _, err in ends]


@pytest.mark.usefixtures("key")
def test_labels_are_added_in_the_study_s_own_form(tmp_path: Path) -> None:
    sizes = []
    for form in FORMS:
        study = tmp_path / form
        write_world(replace(WORLD, form=form), study)
        assert [code for code, _ in add_labels(study)] == [0, 0]
        code, out, err = run(["check", str(study), "--json"])
        assert code == 0, err
        sizes.append(json.loads(out)["sizes"])
        assert {
            path.suffix[1:] for path in study.glob("[!s]*.*") if path.stem in ("items", "responses", "demands")
        } == {form}
    assert sizes[0] == sizes[1] == sizes[2]
    assert sizes[0]["annotators"] == 4


@pytest.mark.usefixtures("key")
@pytest.mark.parametrize("form", FORMS)
def test_a_study_that_cannot_be_written_is_refused_in_one_line_and_kept(tmp_path: Path, form: str) -> None:
    study = tmp_path / form
    write_world(replace(WORLD, form=form), study)
    before = contents(study)
    with read_only(study):
        ends = add_labels(study)
    for code, err in ends:
        assert code == 1
        assert (err.startswith("error: "), err.count("\n")) == (True, 1), err
    assert contents(study) == before


@pytest.mark.parametrize("form", FORMS)
def test_an_import_reads_every_form_and_an_export_comes_back(
    places: dict[str, Path], tmp_path: Path, form: str
) -> None:
    place = places[form]
    words = ["import", "tidy", str(place / "study" / f"responses.{form}"), "--out", str(tmp_path / "again")]
    code, _, err = run([*words, "--items", str(place / "study" / f"items.{form}")])
    assert code == 0, err
    ours = pd.read_parquet(tmp_path / "again" / "responses.parquet")
    theirs = pd.read_parquet(places["parquet"] / "study" / "responses.parquet")
    key = ["model", "item_id"]
    left, right = (table.astype(dict.fromkeys(key, str)).sort_values(key) for table in (ours, theirs))
    assert left["score"].tolist() == right["score"].tolist()
    assert left["item_id"].tolist() == right["item_id"].tolist()
    assert os.listdir(tmp_path) == ["again"]
