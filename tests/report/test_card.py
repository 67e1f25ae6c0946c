"""The card of a fit: its schema holds, and its numbers are those of the fit and of the study."""

import json
from hashlib import sha256
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from capscope.cli import app
from capscope.data import Study
from capscope.errors import OutputError
from capscope.fit import Fit, fit
from capscope.report import card_schema, measurement_card, write_card

jsonschema = pytest.importorskip("jsonschema", reason="jsonschema is not installed; run scripts/install test")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, rng = tmp_path_factory.mktemp("card"), np.random.default_rng(0)
    skill, difficulty = rng.normal(0, 1, 10), rng.normal(0, 1, 40)
    right = rng.random((10, 40)) < 1 / (1 + np.exp(difficulty - skill[:, None]))
    rows = [(f"m{m}", f"q{i}", float(right[m, i])) for m in range(10) for i in range(40)]
    items = pd.DataFrame({"item_id": [f"q{i}" for i in range(40)], "benchmark": "bench", "task": "t"})
    study = Study.of(items, pd.DataFrame(rows, columns=["model", "item_id", "score"]))
    study.save(folder / "study")
    fit(study, model="rasch").save(folder / "fit")
    return folder


def test_the_command_writes_a_card_that_its_schema_holds(folder: Path) -> None:
    out = folder / "card.json"
    arguments = ["report", str(folder / "fit"), "--study", str(folder / "study"), "--card", str(out), "--by", "lab"]
    done = CliRunner().invoke(app, [*arguments, "--claim", "m0 is above m1"])
    assert done.exit_code == 0, done.output
    card = json.loads(out.read_text())
    jsonschema.validate(card, card_schema(), cls=jsonschema.Draft202012Validator)
    assert card["by"] == "lab"
    assert card["claims"] == ["m0 is above m1"]
    assert card["measured"] | {"models": []} == {
        "models": [], "dims": ["ability"], "unit": "log-odds", "answers": 400, "items": 40, "benchmarks": {"bench": 40},
    }  # fmt: skip
    table = Fit.load(folder / "fit").abilities(0.9)
    assert [row["lower"] for row in card["abilities"]] == pytest.approx(table["lower"].tolist())
    digest = sha256((folder / "study" / "responses.parquet").read_bytes()).hexdigest()
    assert card["inputs"]["study/responses.parquet"] == digest
    assert card["coverage_tests"][0]["measured"] >= 0.6
    with pytest.raises(OutputError, match="--force"):
        write_card(folder / "fit", out)


def test_a_card_that_lacks_a_part_is_refused_by_the_schema(folder: Path) -> None:
    card = measurement_card(Fit.load(folder / "fit"))
    jsonschema.validate(card, card_schema())
    assert card["coverage_tests"] == []
    for name in card:
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({key: value for key, value in card.items() if key != name}, card_schema())
