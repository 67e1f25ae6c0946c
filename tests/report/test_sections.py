"""The family of page sections: every entry says what it is, and has a form for when there is nothing to show."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from capscope.data import Demands, LevelCounts, Responses, Study
from capscope.fit import IRTSettings, StudyFitSettings, fit_curves, fit_irt, fit_study, save_fit
from capscope.predict import Predictions
from capscope.profiles import Audit
from capscope.report import SECTIONS, ItemPart, PageSettings, PageSource, fit_summary, render
from capscope.report.plain_values import Record, level_examples, plain
from capscope.report.sections.audit import audit_section
from capscope.report.sections.chances import questions_section
from capscope.report.sections.versus import ahead
from report.pages import assert_closed, parse
from report.study_worlds import faulty_study
from report.worlds import PROVENANCE


@pytest.fixture(scope="module")
def study() -> Study:
    return faulty_study(tuple(f"m{number:02d}" for number in range(16)), ("First", "Second"))


@pytest.fixture(scope="module")
def demand_source(study) -> PageSource:
    return PageSource(fit=fit_study(study, StudyFitSettings(model="demand")), study=study, provenance=PROVENANCE)


def test_each_entry_carries_its_name_and_says_what_it_shows():
    assert all(section.name == name for name, section in SECTIONS.items())
    assert all(section.title and section.help and section.template for section in SECTIONS.values())


def test_a_demand_fit_has_a_page(demand_source, tmp_path):
    save_fit(demand_source.fit, tmp_path / "fit")
    demand_source.study.save(tmp_path / "study")
    alone = fit_summary(tmp_path / "fit")
    assert list(alone["sections"]) == ["best", "answer", "demand_effects", "versus"]
    assert alone["sections"]["versus"]["by"] == "general ability"
    assert_closed(render(alone))
    whole = fit_summary(tmp_path / "fit", PageSettings(study=tmp_path / "study", items=tmp_path / "study"))
    assert list(whole["sections"])[:4] == ["best", "answer", "demand_effects", "versus"]
    assert {"benchmarks", "audit", "chances", "demands"} <= set(whole["sections"])
    page = render(whole)
    assert_closed(page)
    posterior = demand_source.fit.posterior
    best = posterior.models[int(demand_source.ranking[0].mean(axis=1).argmax())]
    assert whole["sections"]["answer"]["models"][0]["model"] == best
    assert "costs the average model most" in page


def test_the_expected_scores_of_a_demand_fit_are_near_the_observed(demand_source):
    answers = Responses.of(demand_source.study)
    observed = np.bincount(answers.model_index, answers.score) / np.bincount(answers.model_index)
    np.testing.assert_allclose(demand_source.score_draws.mean(axis=1), observed, atol=0.08)


NO_AUDIT = Audit(pd.DataFrame(), 0.2, (), ("wrong key", "failed by better models", "duplicate"))
NO_PREDICTION = Predictions(
    table=pd.DataFrame({"item_id": [], "model": [], "p": [], "lower": [], "upper": [], "in_support": []}),
    scores=pd.DataFrame({"model": [], "score": [], "lower": [], "upper": []}),
    support=pd.DataFrame({"item_id": [], "in_support": [], "answers": [], "known": [], "reason": []}),
    level=0.9,
)
ONE_MODEL = {"model": "only", "score": None, "ability": {"value": 0.0, "lower": -1.0, "upper": 1.0}, "sd": 0.6}
EMPTY: dict[str, Callable[[], Record]] = {
    "answer": lambda: {
        **{
            "models": [ONE_MODEL],
            "n_models": 1,
            "subjects": "models",
            "n_items": 0,
            "n_dims": 1,
            "model_name": "rasch",
        },
        **{"reliability": {"value": 0.0, "lower": None, "upper": None}, "is_reliable": False, "surely_negative": 0},
        "no_order": "",
    },
    "abilities": lambda: {
        "models": [{"model": "only", "sd": 0.6, "overall": ONE_MODEL["ability"]}],
        "map": {"edges": [0.0, 1.0], "items": [0]},
        "dimensions": [],
    },
    "demand_effects": lambda: {
        "models": [{"model": "only", "overall": ONE_MODEL["ability"], "effects": []}],
        "scales": [],
        "costs": [],
    },
    "agents": lambda: {"shares": [], "factors": [], "notes": ["two agents are too few"], "unit": ""},
    "versus": lambda: ahead(("only",), np.zeros((1, 3))) | {"by": "b", "focus": None, "rival": None, "differences": []},
    "items": lambda: {
        "hardest": [],
        "easiest": [],
        "most_discriminating": [],
        "least_discriminating": [],
        "surely_negative": 0,
    },
    "demands": lambda: SECTIONS["demands"].build(demandless()),
    "chances": lambda: questions_section(NO_PREDICTION, None, "only"),
    "calibration": lambda: {"kind": "held out", "bins": [], "error": None, "answers": 0},
    "benchmarks": lambda: {"scales": [], "benchmarks": [], "left_out": 0},
    "audit": lambda: audit_section(NO_AUDIT, None),
}
"""What each section shows where there is nothing to show."""
OF_CURVES = {"best", "curve_answer", "profiles", "focus", "curves"}


def demandless() -> PageSource:
    scores = np.tile([0.0, 1.0], 6)
    frame = {"model": [f"m{k}" for k in range(12)], "item_id": ["i"] * 12, "score": scores}
    answers = Responses.of(Study.of(responses=pd.DataFrame(frame)))
    fit = fit_irt(answers, IRTSettings(model="rasch"))
    return PageSource(fit=fit, part=ItemPart(predictions=NO_PREDICTION), provenance=PROVENANCE)


def test_a_scale_shows_an_item_of_its_highest_level_that_has_a_text():
    items = pd.DataFrame({"item_id": ["a", "b", "c", "d"], "text": ["A?", "B?", None, "D?"]})
    levels = Demands(("a", "b", "c", "d"), ("X", "Y"), np.array([[1.0, np.nan], [3, np.nan], [5, 2], [3, np.nan]]))
    assert level_examples(levels, items) == {"X": "Level 3, for example d: D?"}
    assert level_examples(levels, None) == {}


def test_every_section_has_an_empty_form_here():
    assert set(EMPTY) | OF_CURVES == set(SECTIONS)


@pytest.mark.parametrize("name", sorted(EMPTY))
def test_a_section_with_nothing_to_show_says_so(name):
    page = render(page_of({name: plain(EMPTY[name]())}))
    assert_closed(page)
    section = next(element for element in parse(page).iter("section") if element.get("id") == name)
    assert len(" ".join("".join(section.itertext()).split())) > len(SECTIONS[name].title) + 20
    assert not [table for table in section.iter("table") if not list(table.find("tbody"))]


def test_sections_on_curves_hold_with_one_model_and_one_scale():
    n = np.full((1, 1, 6), 40.0)
    source = PageSource(fit=fit_curves(LevelCounts(("only",), ("AS",), n, n * 0.5), draws=50), provenance=PROVENANCE)
    records = {name: plain(SECTIONS[name].build(source)) for name in sorted(OF_CURVES)}
    assert_closed(render(page_of(records)))


def page_of(sections: dict[str, Record]) -> dict:
    frame = small_frame()
    return frame | {"sections": sections}


def small_frame() -> dict:
    made = {
        **{"source": "s", "capscope_version": "1", "versions": {}, "seed": 0, "engine": "e", "inputs": {}},
        **{"notes": [], "converged": True, "status": "converged", "advice": [], "facts": []},
    }
    return {"title": "Nothing", "level": 0.9, "definitions": [], "made": made}
