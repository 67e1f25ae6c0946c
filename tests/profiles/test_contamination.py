import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit
from typer.testing import CliRunner

from capscope.cli import app
from capscope.data import Study
from capscope.errors import InputError
from capscope.profiles import ContaminationSettings, find_contamination
from capscope.profiles.auditing.contamination import verdicts
from capscope.profiles.auditing.exposure import by_date, cutoffs_of, date_notes, unknown_cutoffs

runner = CliRunner()
CONSTAT = Path(__file__).parents[3] / "shared" / "data" / "constat_contamination" / "constat_tables.csv"
DAYS = pd.date_range("2023-01-01", periods=20, freq="MS").strftime("%Y-%m-%d").to_numpy()


def leaky_world(
    seed: int, n_models: int = 16, n_items: int = 240, leaked: dict[int, float] | None = None, spread: float = 0.2
) -> tuple[Study, np.ndarray]:
    """Two-parameter answers; models named in `leaked` answer that share of the first half of the items by heart."""
    rng = np.random.default_rng(seed)
    slope, difficulty = rng.lognormal(0, 0.3, n_items), rng.normal(0, 1.2, n_items)
    old = np.arange(n_items) < n_items // 2
    stray = spread * rng.standard_normal((n_models, 1)) * old
    chance = expit(slope * (rng.standard_normal((n_models, 1)) - difficulty) + stray)
    score = (rng.random(chance.shape) < chance).astype(float)
    ranks = rng.random(n_items)
    for model, share in (leaked or {}).items():
        score[model, old & (ranks < share)] = 1.0
    ids = np.array([f"i{number:03d}" for number in range(n_items)])
    names = np.array([f"m{number:02d}" for number in range(n_models)])
    # old items came out in the first ten months of the list
    date = np.where(old, DAYS[np.arange(n_items) % 10], DAYS[10 + np.arange(n_items) % 10])
    items = pd.DataFrame({"item_id": ids, "benchmark": "B", "date": date, "hits": old * 1})
    model, item = np.nonzero(score >= 0)
    answers = pd.DataFrame({"model": names[model], "item_id": ids[item], "score": score[model, item]})
    return Study.of(items, answers), names


@pytest.fixture(scope="module")
def one_leak():
    return leaky_world(8, leaked={2: 0.6})[0]


def test_a_model_that_leaks_marked_items_is_found_and_its_score_corrected(one_leak):
    result = find_contamination(one_leak, ContaminationSettings(exposure=("hits",)))
    assert set(result.found()["subject"]) == {"m02"}
    row = result.found().query("evidence == 'hits'").iloc[0]
    clean = find_contamination(leaky_world(8)[0], ContaminationSettings(exposure=("hits",)))
    honest = clean.table.query("evidence == 'hits' and subject == 'm02'").iloc[0]
    assert not len(clean.found())
    assert row["lower"] < row["excess"] < row["upper"]
    assert row["excess"] == pytest.approx(row["score"] - honest["score"], abs=0.12)
    assert row["corrected"] == pytest.approx(honest["score"], abs=0.12)
    assert row["leak"] == pytest.approx(0.6, abs=0.25)


def test_dates_single_out_the_model_whose_cut_off_lies_after_them(one_leak):
    # half of the models stopped learning before any item came out: they are left out, having seen none
    cutoffs = {f"m{number:02d}": "2023-10-15" if number < 12 else "2022-06-30" for number in range(16)}
    result = find_contamination(one_leak, ContaminationSettings(cutoffs=cutoffs))
    dated = result.table.query("evidence == 'date'")
    assert len(dated) == 12
    assert dated.iloc[0]["subject"] == "m02"
    assert dated.iloc[0]["verdict"] == "leak"
    assert (dated["items"] == 120).all()


def test_no_evidence_comes_with_the_smallest_leak_that_would_have_been_found():
    result = find_contamination(leaky_world(5)[0], ContaminationSettings(exposure=("hits",)))
    assert not len(result.found())
    assert "80% power" in result.sentence()
    assert "smaller one may be there" in result.sentence()
    assert result.table["smallest_leak"].between(0.05, 1.0).all()
    stricter = find_contamination(leaky_world(5)[0], ContaminationSettings(exposure=("hits",), rate=0.001))
    leaks = [one.reach().set_index("evidence")["smallest_leak"] for one in (stricter, result)]
    assert leaks[0]["hits"] > leaks[1]["hits"]
    assert leaks[0]["pattern"] >= leaks[1]["pattern"]


def test_a_family_is_found_where_its_members_are_not():
    leaked = dict.fromkeys((0, 1, 2), 0.45)
    study, names = leaky_world(4, n_models=18, leaked=leaked, spread=0.0)
    families = pd.DataFrame({"model": names, "family": [f"f{number // 3}" for number in range(18)]})
    result = find_contamination(study, ContaminationSettings(exposure=("hits",), families=_written(families)))
    rows = result.table.query("evidence == 'hits'").set_index("subject")
    assert rows.loc["f0", "verdict"] == "leak"
    assert rows.loc["f0", "p"] < rows.loc[["m00", "m01", "m02"], "p"].min()
    assert set(result.found().query("scope == 'family'")["subject"]) == {"f0"}


def _written(families: pd.DataFrame) -> str:
    import tempfile

    path = Path(tempfile.mkdtemp()) / "families.csv"
    families.to_csv(path, index=False)
    return str(path)


def control_study(gap: float) -> Study:
    """Scores of 12 models on a benchmark and its rewritten version, 400 trials each; the first exceeds by a gap."""
    rng = np.random.default_rng(0)
    ability = np.linspace(-1, 1.5, 12)
    rows = []
    for item, shift in (("gsm", 0.0), ("gsm-new", -0.3)):
        log_odds = ability + shift + np.where(np.arange(12) == 0, gap * (item == "gsm"), 0.0)
        score = rng.binomial(400, expit(log_odds)) / 400
        rows.append(pd.DataFrame({"model": [f"m{k:02d}" for k in range(12)], "item_id": item, "score": score}))
    items = pd.DataFrame({"item_id": ["gsm", "gsm-new"], "benchmark": ["gsm", "gsm-new"]})
    return Study.of(items, pd.concat(rows).assign(n_trials=400))


def test_totals_of_a_benchmark_and_its_control_are_enough():
    settings = ContaminationSettings(benchmark="gsm", against="gsm-new")
    assert not len(find_contamination(control_study(0.0), settings).found())
    found = find_contamination(control_study(1.5), settings).found()
    assert found["subject"].tolist() == ["m00"]
    assert found["evidence"].tolist() == ["control"]


def test_the_command_prints_tests_and_power(tmp_path, one_leak):
    one_leak.save(tmp_path / "study")
    pd.DataFrame({"model": ["m02", "m03"], "cutoff": ["2023-10-15", ""]}).to_csv(tmp_path / "cut.csv", index=False)
    arguments = ["explain", str(tmp_path / "study"), "--contamination", "--exposure", "hits"]
    result = runner.invoke(app, [*arguments, "--cutoffs", str(tmp_path / "cut.csv"), "--json"])
    document = json.loads(result.stdout)["contamination"]
    assert document["found"][0]["subject"] == "m02"
    assert {row["evidence"] for row in document["reach"]} == {"hits", "pattern"}
    assert any("date" in note for note in document["notes"])
    assert "Smallest leak found with 80% power" in runner.invoke(app, arguments).stdout


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"cutoffs": {"m02": "soon"}}, "cut-off 'soon' of model 'm02' is no date"),
        ({"exposure": ("hit",)}, "no column 'hit' .did you mean"),
        ({"exposure": ("date",)}, "date '2023-01-01' of item 'i000' is no number"),
        ({"against": "C"}, "no benchmark 'C'"),
    ],
)
def test_what_cannot_be_used_is_named(one_leak, settings, message):
    with pytest.raises(InputError, match=message):
        find_contamination(one_leak, ContaminationSettings(**settings))


def test_too_few_models_are_not_judged():
    result = find_contamination(leaky_world(1, n_models=5)[0])
    assert not len(result.table)
    assert "cannot tell; B: 5 models answered; 8 are needed" in result.sentence()


@pytest.mark.slow
def test_false_alarms_keep_their_rate_and_stated_leaks_are_found_with_the_stated_power():
    alarms, found = [], []
    for seed in range(60):
        clean = find_contamination(leaky_world(seed)[0], ContaminationSettings(exposure=("hits",)))
        alarms.append(len(clean.found()) > 0)
        row = clean.table.query("evidence == 'hits' and subject == 'm02'").iloc[0]
        study = leaky_world(seed, leaked={2: min(float(row["smallest_leak"]), 0.95)})[0]
        again = find_contamination(study, ContaminationSettings(exposure=("hits",))).found()
        found.append("m02" in set(again["subject"]))
    # 60 studies: a rate of .05 gives at most 7 alarms, a power of .8 at least 40 finds (99.9 % each)
    assert sum(alarms) <= 7
    assert sum(found) >= 40


@pytest.mark.skipif(not CONSTAT.is_file(), reason="needs ../shared/data/constat_contamination")
def test_models_trained_on_the_test_set_are_found_and_clean_ones_are_not():
    table = pd.read_csv(CONSTAT).query("benchmark == 'mmlu' and control == 'synthetic'")
    rows = [
        pd.DataFrame({"model": table["model"], "item_id": item, "score": table[column].clip(0, 1), "n_trials": 1000})
        for item, column in (("mmlu", "score_model"), ("mmlu-new", "score_model_ref"))
    ]
    items = pd.DataFrame({"item_id": ["mmlu", "mmlu-new"], "benchmark": ["mmlu", "mmlu-new"]})
    settings = ContaminationSettings(benchmark="mmlu", against="mmlu-new")
    found = set(find_contamination(Study.of(items, pd.concat(rows)), settings).found()["subject"])
    planted = table["model"].str.startswith("JasperDekoninck/")
    # training raised the score above that on held-back items of the benchmark for these, by more than chance
    effective = set(table.loc[planted & (table["score_model"] - table["no_cont"] > 0.06), "model"])
    assert found == effective
    assert len(effective) == 9


def test_a_cut_off_without_a_day_is_the_last_day():
    cutoffs = cutoffs_of({"a": "2024-02", "b": "2023", "c": "2024-02-10", "d": 2024.0}, None)
    assert [str(day.date()) for day in cutoffs.values()] == ["2024-02-29", "2023-12-31", "2024-02-10", "2024-12-31"]


def test_dates_and_cut_offs_that_cannot_be_used_are_named():
    items = pd.DataFrame({"item_id": ["a", "b", "c"], "date": ["2024-01-01", "soon", "2024-Q1"]})
    cutoffs = cutoffs_of({"m": "2024"}, None)
    (note,) = date_notes(items, ("m",), cutoffs)
    assert note.startswith("2 dates of items cannot be read (first 'soon' of item 'b')")
    assert "no cut-offs of the models that answered" in date_notes(items[:1], ("other",), cutoffs)[0]
    assert "no cut-offs: give" in date_notes(items[:1], ("m",), {})[0]
    assert unknown_cutoffs(cutoffs, ["other"]) == ["cut-offs of 1 model without answers are not used: m"]
    assert by_date(items[1:], ("m",), ("b", "c"), cutoffs) is None


def test_a_constant_column_and_unknown_cut_offs_are_the_causes_that_notes_give():
    study = leaky_world(3, n_models=8, n_items=20)[0]
    study = Study.of(study.require("items").assign(same=1), study.require("responses"))
    result = find_contamination(study, ContaminationSettings(exposure=("same",), cutoffs={"zeta": "2024"}))
    notes = " ".join(result.notes)
    assert "B: same is the same for every item, or empty" in notes
    assert "without answers are not used: zeta" in notes
    assert "fewer than 8 models" not in notes
    assert "no dates" not in notes


def test_a_smallest_leak_that_is_not_known_says_nothing():
    leaks = np.array([np.nan, 0.6, 0.2, np.nan])
    decided = verdicts(np.array([0.5, 0.5, 0.5, 0.01]), leaks, 0.05)
    assert decided.tolist() == ["cannot tell", "cannot tell", "no evidence", "leak"]
