"""What a page says of the study beside its fit: odd items and models, and what each benchmark demands."""

import json

import pandas as pd
import pytest

from capscope.data import Responses, Study
from capscope.errors import FitError
from capscope.fit import IRTSettings, StudyFitSettings, fit_irt, fit_study, save_fit
from capscope.profiles import AuditSettings, audit_study
from capscope.report import PageSettings, PageSource, Summary, benchmark_heatmap, fit_summary, render, summarize
from capscope.report.fit_page import held_out_answers
from capscope.report.sections.audit import MOST_OF_A_KIND, audit_section
from report.pages import HOSTILE, assert_closed, parse
from report.study_worlds import faulty_study
from report.worlds import PROVENANCE, World


@pytest.fixture(scope="module")
def study() -> Study:
    return faulty_study(tuple(f"m{number:02d}" for number in range(20)), ("First", "Second"))


def summary_of(study: Study) -> Summary:
    fit = fit_irt(Responses.of(study), IRTSettings(model="rasch"))
    return summarize(PageSource(fit=fit, study=study, provenance=PROVENANCE))


@pytest.fixture(scope="module")
def summary(study) -> Summary:
    return summary_of(study)


def test_the_audit_stands_in_the_summary_kind_by_kind(study, summary):
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary
    listed = audit_study(study, AuditSettings()).listed()
    groups = {group["kind"]: group for group in summary["sections"]["audit"]["groups"]}
    wrong = listed.loc[listed["kind"] == "wrong key", "id"].tolist()
    assert [row["id"] for row in groups["wrong key"]["rows"]] == wrong
    copies = {(row["id"], row["other"]) for row in groups["duplicate"]["rows"]}
    assert copies == {(f"<i>q{n + 57}", f"<i>q{n}") for n in range(3)}
    first = groups["duplicate"]["rows"][0]
    assert first["text"] == first["other_text"] != ""
    others = listed[(listed["kind"] == "failed by better models") & ~listed["id"].isin(wrong)]
    assert groups["failed by better models"]["n"] == len(others)
    assert summary["sections"]["audit"]["n"] == sum(group["n"] for group in groups.values())


def test_long_lists_are_cut_and_say_so(study, summary):
    audit = audit_study(study, AuditSettings())
    row = audit.table[audit.table["kind"] == "duplicate"].head(1)
    many = pd.concat([row.assign(id=f"copy {number}") for number in range(50)])
    section = audit_section(type(audit)(many, 0.2, (), ("duplicate",)), study.items)
    assert (section["n"], len(section["groups"][0]["rows"])) == (50, MOST_OF_A_KIND)
    assert "the 20 most probable of 50" in render(summary | {"sections": {"audit": section | {"notes": []}}})


def test_each_benchmark_has_its_demands(study, summary):
    found = summary["sections"]["benchmarks"]
    assert [(entry["benchmark"], entry["n_items"]) for entry in found["benchmarks"]] == [("First", 40), ("Second", 20)]
    assert [scale["dim"] for scale in found["scales"]] == ["AS", "QLl", "XX"]
    first, second = (entry["scales"] for entry in found["benchmarks"])
    assert second[2] is None
    levels = study.demands[study.demands["item_id"].isin(study.items["item_id"][:40])]
    by_dim = levels.groupby("rubric")["level"]
    for scale, column in zip(found["scales"], first, strict=True):
        assert column["mean"] == pytest.approx(by_dim.mean()[scale["dim"]])
        assert column["sd"] == pytest.approx(by_dim.std(ddof=0)[scale["dim"]])
    assert all(entry["example"].startswith("For example ") for entry in found["benchmarks"])
    axes = benchmark_heatmap(found)
    assert "Attention" in axes.get_xticklabels()[0].get_text()  # a name, no code
    shown = [text.get_text() for text in axes.texts]
    assert shown == [f"{one['mean']:.1f}" if one else "\u2013" for one in first + second]


def test_the_page_shows_both_and_loads_nothing(summary):
    page = render(summary)
    assert_closed(page)
    tree = parse(page)
    sections = [section.get("id") for section in tree.iter("section")]
    assert sections == ["best", "answer", "abilities", "versus", "items", "benchmarks", "audit", "definitions", "made"]
    links = {link.get("href") for link in tree.find(".//nav").iter("a") if "#model-" not in link.get("href")}
    assert links == {f"#{name}" for name in sections}
    ids = [element.get("id") for element in tree.iter() if element.get("id")]
    assert len(ids) == len(set(ids))
    assert not [element for element in tree.iter() if element.tag in {"i", "img"}]
    evidence = summary["sections"]["audit"]["groups"][0]["rows"] + summary["sections"]["audit"]["groups"][1]["rows"]
    text = " ".join("".join(tree.itertext()).split())
    assert all(row["evidence"] in text for row in evidence)


def test_hostile_models_benchmarks_and_scales_do_nothing():
    study = faulty_study((*HOSTILE[:4], *(f"m{n}" for n in range(8))), (HOSTILE[0], HOSTILE[1]), ("AS", "<b>$x$</b>"))
    page = render(summary_of(study))
    assert_closed(page)
    assert not [element for element in parse(page).iter() if element.tag in {"b", "i", "img"}]


def test_a_part_without_its_base_is_left_out(study):
    fit = fit_irt(Responses.of(study), IRTSettings(model="rasch"))
    bare = summarize(PageSource(fit=fit, study=Study(responses=study.responses), provenance=PROVENANCE))
    assert list(bare["sections"]) == ["best", "answer", "abilities", "versus", "items", "audit"]
    only_levels = summarize(PageSource(fit=fit, study=Study(demands=study.demands), provenance=PROVENANCE))
    assert list(only_levels["sections"]) == ["best", "answer", "abilities", "versus", "items", "benchmarks"]
    (alone,) = only_levels["sections"]["benchmarks"]["benchmarks"]
    assert alone["benchmark"] == "?"
    assert "audit" not in [section.get("id") for section in parse(render(only_levels)).iter("section")]


def test_a_curve_fit_takes_a_study_too(world: World, study, tmp_path):
    save_fit(world.fit, tmp_path / "fit")
    study.save(tmp_path / "study")
    summary = fit_summary(tmp_path / "fit", PageSettings(study=tmp_path / "study"))
    assert "curve_answer" in summary["sections"]
    sections = [section.get("id") for section in parse(render(summary)).iter("section")]
    assert sections[-4:] == ["benchmarks", "audit", "definitions", "made"]


def test_a_page_of_two_answers_has_no_part_on_held_out_answers() -> None:
    study = Study.of(responses=pd.DataFrame({"model": "m", "item_id": ["a", "b"], "score": [1.0, 0.0]}))
    fitted = fit_study(study, StudyFitSettings(model="rasch", device="cpu"))
    assert held_out_answers(fitted, study) is None
    with pytest.raises(FitError, match="leaves no answers to fit or to predict"):
        fitted.held_out(study, 0.2)
