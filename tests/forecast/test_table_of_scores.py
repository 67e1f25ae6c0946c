"""Tables of published scores: long and wide, units, covariates, and what is refused."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from capscope.errors import InputError
from capscope.forecast import LINKS, forecast_structure, published_scores
from capscope.forecast.facts import as_years
from capscope.forecast.features import model_blocks, name_words, size_in_name
from capscope.forecast.links import recognised_unit, table_link

WIDE = "model,MMLU,GSM8K,Arena Elo\na-7b,62.1%,10,1100\nb-7b,70,-,1200\nc-70b,~80,55*,\nd-70b,,60,1250\n"
LONG = "model_id,benchmark_id,score,n,reference_url\na,x,0.2,100,u\nb,x,0.4,100,u\nc,x,0.5,100,u\nc,x,0.6,100,u\n"


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "scores.csv"
    path.write_text(text, "utf-8")
    return path


def test_a_wide_table_with_marks_and_gaps(tmp_path: Path) -> None:
    table = published_scores(written(tmp_path, WIDE))
    assert table.names == ["a-7b", "b-7b", "c-70b", "d-70b"]
    assert table.units == {"MMLU": "percent", "GSM8K": "percent", "Arena Elo": "elo"}
    np.testing.assert_array_equal(table.scores["MMLU"], [62.1, 70, 80, np.nan])
    np.testing.assert_array_equal(table.scores["GSM8K"], [10, np.nan, 55, 60])
    assert "2 benchmarks in percent, 1 benchmarks in elo" in table.notes[0]


def test_a_long_table_averages_repeated_cells_and_says_so(tmp_path: Path) -> None:
    table = published_scores(written(tmp_path, LONG))
    assert table.units == {"x": "share"}
    assert table.scores.loc["c", "x"] == pytest.approx(0.55)
    assert table.counts == {"x": 100}
    assert any("1 cell has several scores" in note and "c on x" in note for note in table.notes)


def test_a_table_may_carry_facts_about_its_models(tmp_path: Path) -> None:
    text = "Model,Model Family,#Params (B),date,Average,t1,t2\n" + "".join(
        f"m{i},fam{i % 2},{2.0**i},2024-0{i + 1}-15,50,{40 + i},{60 - i}\n" for i in range(6)
    )
    table = published_scores(written(tmp_path, text))
    assert set(table.models.columns) == {"family", "size", "date"}
    assert table.benchmarks == ["Average", "t1", "t2"]
    years = table.covariate("date")
    assert years is not None
    assert years[0] == pytest.approx(2024.04, abs=0.01)
    assert {"scale", "family"} <= {block.name for block in model_blocks(table)}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model,x\na,1\nb,oops\nc,3\nd,4\n", "model 'b', x: score 'oops' is no number"),
        ("model,x\na,1\na,2\nc,3\n", "model 'a' has two rows"),
        ("model,benchmark,score\na,x,1\n,x,2\nc,x,3\n", "row 2 has no model"),
        ("model,benchmark,score\na,x,1\nb,x,inf\nc,x,3\n", "is not finite"),
        ("model,x,y\na,1,2\nb,2,3\n", "needs 3 models"),
    ],
)
def test_wrong_tables_are_refused_in_one_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as refusal:
        published_scores(written(tmp_path, text))
    assert "\n" not in str(refusal.value)


def test_stated_units_win_and_must_fit(tmp_path: Path) -> None:
    path = written(tmp_path, "model,x\na,0.2\nb,0.4\nc,0.9\n")
    assert published_scores(path, units={"x": "percent"}).units == {"x": "percent"}
    with pytest.raises(InputError, match="outside 0 to 1"):
        published_scores(written(tmp_path, "model,x\na,20\nb,40\nc,90\n"), units={"x": "share"})
    with pytest.raises(InputError, match="unit 'promille' of x: use one of"):
        published_scores(path, units={"x": "promille"})


@pytest.mark.parametrize(
    ("scores", "name", "typical", "unit"),
    [
        ([0.1, 0.9], "mmlu", 0.95, "share"),
        ([0.0, 0.8], "frontier-math", 90.0, "share"),
        ([0.0, 0.08], "frontier-math", 90.0, "percent"),
        ([3.0, 88.0], "mmlu", 90.0, "percent"),
        ([6.1, 9.2], "MT-Bench", 90.0, "ten"),
        ([1000.0, 1400.0], "arena", 90.0, "elo"),
        ([1.0, 5000.0], "minutes", 90.0, "positive"),
        ([-3.0, 2.0], "reward", 90.0, "unbounded"),
    ],
)
def test_units_are_recognised(scores: list[float], name: str, typical: float, unit: str) -> None:
    assert recognised_unit(np.array(scores), name, typical) == unit


@pytest.mark.parametrize("unit", list(LINKS))
def test_every_link_is_undone_and_rises(unit: str) -> None:
    top = LINKS[unit].top
    scores = np.linspace(0.02, 0.98, 30)[:, None] * (top if np.isfinite(top) else 1000.0)
    link = table_link(scores[20:], [unit])
    linked = link.to_link(scores)
    assert (np.diff(linked[:, 0]) > 0).all()
    np.testing.assert_allclose(link.from_link(linked), scores, rtol=0.01, atol=0.005 * scores.max())
    assert np.isnan(link.to_link(np.full((1, 1), np.nan))).all()


def test_a_floor_is_put_just_below_chance_where_the_lowest_scores_lie_there() -> None:
    rng = np.random.default_rng(0)
    guessing = np.r_[rng.normal(0.25, 0.01, 20), rng.uniform(0.3, 0.8, 20)]
    able = rng.uniform(0.62, 0.9, 40)
    scores = np.column_stack([guessing, able])
    (_, link), *_ = table_link(scores, ["share", "share"]).parts
    np.testing.assert_allclose(link.floor, [0.225, 0.0])


def test_words_and_sizes_of_names() -> None:
    block = name_words(["org/llama-2-7b", "org/llama-2-70b", "org/llama-3-8b", "x/qwen-7b"], 2)
    assert set(block.labels) == {"2", "7b"}
    assert size_in_name("Pythia-160M") == pytest.approx(np.log(0.16))
    assert np.isnan(size_in_name("gpt-4"))


def test_an_added_model_is_checked(tmp_path: Path) -> None:
    table = published_scores(written(tmp_path, WIDE))
    more = table.with_model("e", {"gsm": 61.0}, {"family": "b"})
    assert more.scores.loc["e", "GSM8K"] == 61
    assert more.families()[-1] == "b"
    with pytest.raises(InputError, match=r"did you mean \"MMLU\""):
        table.with_model("e", {"mmlux": 61.0}, {})
    with pytest.raises(InputError, match="outside 0 to 100"):
        table.with_model("e", {"MMLU": 610.0}, {})


def test_a_frame_is_read_as_a_file_is() -> None:
    frame = pd.DataFrame({"model": list("abc"), "x": [0.1, 0.2, 0.3]})
    assert published_scores(frame).units == {"x": "share"}


def test_a_name_is_text_whatever_its_letters_and_only_an_empty_one_is_missing(tmp_path: Path) -> None:
    long = "".join(f"{name},null,{score}\n" for name, score in (("NA", 50), ("null", 60), ("nan", 62), ("007", 70)))
    table = published_scores(written(tmp_path, f"model,benchmark,score\n{long}"))
    assert (table.names, table.benchmarks) == (["NA", "null", "nan", "007"], ["null"])
    wide = written(tmp_path, "model,a,b\nNA,50,60\nnull,,40\nnan,30,20\n,,\n")
    beside = tmp_path / "models.csv"
    beside.write_text("model,family\nNA,x\nnull,y\n")
    table = published_scores(wide, beside)
    assert (table.names, table.families()) == (["NA", "null", "nan"], ["x", "y", "nan"])
    with pytest.raises(InputError, match="row 2 has no model"):
        published_scores(written(tmp_path, "model,a,b\nNA,50,60\n ,1,40\nnan,30,20\n"))


def test_dates_of_all_kinds_are_years_and_ambiguous_ones_are_none() -> None:
    known = {
        "2024": 2024.0,
        "2024.5": 2024.5,
        "2024-03": 2024.16,
        "20240305": 2024.17,
        "2024Q2": 2024.37,
        "Q3 2024": 2024.62,
        "5 March 2024": 2024.17,
        "25/03/2024": 2024.23,
        "2024-03-05T12:00:00Z": 2024.17,
    }
    np.testing.assert_allclose(as_years(pd.Series(list(known))), list(known.values()), atol=0.01)
    for text in ("05/03/2024", "24-03-05", "soon", "2024-13", ""):
        assert np.isnan(as_years(pd.Series([text]))[0]), text
    np.testing.assert_allclose(as_years(pd.Series(pd.to_datetime(["2024-01-01", None]))), [2024.0, np.nan])


def test_a_constant_benchmark_has_no_correlation_after_its_trend_was_taken_off() -> None:
    rng = np.random.default_rng(0)
    ability = rng.normal(size=12)
    table = pd.DataFrame({f"b{k}": 50 + 10 * ability + rng.normal(size=12) for k in range(4)})
    table = table.assign(b1=50.0, model=[f"m{k}" for k in range(12)])
    models = pd.DataFrame({"model": table["model"], "date": [f"2024-{k + 1:02d}" for k in range(12)]})
    pairs = forecast_structure(published_scores(table, models)).pairs
    assert len(pairs) == 3
    assert "b1" not in set(pairs["first"]) | set(pairs["second"])


def test_sizes_in_words_are_read_and_others_are_named(tmp_path: Path) -> None:
    models = pd.DataFrame({"model": list("abc"), "size": ["7B", " 350m", "1.5T"], "tokens": ["2T", 2, 3]})
    table = published_scores(written(tmp_path, LONG), models)
    np.testing.assert_allclose(table.covariate("size"), [7, 0.35, 1500])
    assert any("tokens is no positive number for a, and counts as unknown there" in note for note in table.notes)
    extended = table.with_model("d", {"x": 0.5}, {"size": "70b"})
    np.testing.assert_allclose(extended.covariate("size"), [7, 0.35, 1500, 70])
