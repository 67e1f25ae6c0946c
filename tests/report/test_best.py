"""The first section of a page: who is best at what, how sure, and how many answers would settle it."""

import numpy as np
import pandas as pd
import pytest

from capscope.data import Study
from capscope.fit import StudyFitSettings, fit_study
from capscope.profiles import profile
from capscope.report import PageSettings, PageSource, fit_summary, render, summarize
from capscope.report.sections.best import answers_to_settle, contest
from report.pages import parse
from report.worlds import PROVENANCE


@pytest.fixture(scope="module")
def study() -> Study:
    """Two benchmarks on which different models are best."""
    rng = np.random.default_rng(5)
    middle = rng.uniform(0.2, 0.7, (2, 16))
    chance = {"algebra": [0.95, 0.1, *middle[0]], "poems": [0.1, 0.95, *middle[1]]}
    rows = [
        {"model": f"m{number:02d}", "item_id": f"{name}{item:02d}", "score": float(rng.random() < share)}
        for name, shares in chance.items()
        for number, share in enumerate(shares)
        for item in range(40)
    ]
    items = pd.DataFrame({"item_id": sorted({row["item_id"] for row in rows})})
    items["benchmark"] = items["item_id"].str[:-2]
    return Study.of(items.assign(text="How?"), pd.DataFrame(rows))


def test_answers_that_settle_a_difference_follow_the_square_root_law() -> None:
    rng = np.random.default_rng(0)
    one = rng.normal(1.0, 1.0, 100_000)
    # 1 standard deviation above 0: 1.645^2 as many answers make it 1.645
    assert answers_to_settle(one, 100.0) == pytest.approx(100 * 1.645**2, rel=0.02)
    assert answers_to_settle(one, 400.0) == pytest.approx(4 * answers_to_settle(one, 100.0), rel=0.01)
    assert answers_to_settle(one - one.mean(), 100.0) is None
    assert answers_to_settle(one, 0.0) is None


def test_a_contest_names_the_two_best_and_how_sure_that_is() -> None:
    draws = np.stack([np.zeros(100), np.ones(100), np.where(np.arange(100) < 30, 2.0, 0.0)])
    found = contest(("a", "b", "c"), draws, 0.9)
    assert (found["best"]["model"], found["next"]["model"]) == ("b", "c")
    assert found["chance"] == 0.7
    assert not found["is_sure"]


def test_the_page_begins_with_who_is_best_overall_and_on_each_benchmark(study: Study) -> None:
    fit = fit_study(study, StudyFitSettings(model="mirt", dims=2))
    summary = summarize(PageSource(fit=fit, study=study, provenance=PROVENANCE))
    record = next(iter(summary["sections"].values()))
    assert record["of"] == "benchmark"
    assert {part["name"]: part["best"]["model"] for part in record["parts"]} == {"algebra": "m00", "poems": "m01"}
    assert record["overall"]["is_sure"] or record["more"] > 0
    page = parse(render(summary))
    first = next(page.iter("section"))
    assert first.get("id") == "best"
    assert record["overall"]["best"]["model"] in "".join(first.itertext())
    linked = {link.get("href").removeprefix("#") for link in page.iter("a") if "#model-" in link.get("href", "")}
    assert linked == {row.get("id") for row in page.iter("tr") if row.get("id")} == {f"model-{n}" for n in range(1, 19)}
    assert "posterior draws" not in "".join(first.itertext())


def words(section) -> str:
    return " ".join("".join(section.itertext()).split())


def rasch_page(scores: dict[str, dict[str, float]]):
    rows = [{"model": m, "item_id": i, "score": score} for m, of in scores.items() for i, score in of.items()]
    study = Study.of(responses=pd.DataFrame(rows))
    fit = fit_study(study, StudyFitSettings(model="rasch"))
    return profile(fit).as_text(), parse(render(summarize(PageSource(fit=fit, study=study, provenance=PROVENANCE))))


def test_models_of_groups_that_share_no_item_are_not_ranked() -> None:
    scores = {
        f"{group}{number}": {f"{group}-q{item}": float((item + number) % 3 > 0) for item in range(9)}
        for group in "ab"
        for number in range(3)
    }
    text, page = rasch_page(scores)
    assert text.startswith("note: 2 blocks of models share no item")
    assert "is ahead" not in text
    sections = {section.get("id"): words(section) for section in page.iter("section")}
    assert "No order of all models can be given: 2 blocks of models share no item" in sections["best"]
    assert "Best overall" not in sections["best"]
    assert "versus" not in sections


def test_a_page_on_one_model_says_what_to_expect_and_ranks_nothing() -> None:
    text, page = rasch_page({"only": {f"q{item}": float(item % 4 > 0) for item in range(40)}})
    assert text.startswith("note: one model only")
    assert "succeeds on half" not in text
    sections = {section.get("id"): words(section) for section in page.iter("section")}
    assert "only is the only model: its expected score on these items is 7" in sections["best"]
    assert not {"versus", "items", "abilities"} & set(sections)
    assert "do not distinguish the models" not in sections["answer"]


def test_a_page_on_agents_names_them_counts_their_answers_and_says_what_scaffolds_add() -> None:
    rng = np.random.default_rng(2)
    rows = [
        {
            "model": f"lab/m{model}",
            "scaffold": scaffold,
            "item_id": f"q{item:02d}",
            "score": float(rng.random() < chance),
        }
        for model in range(4)
        for scaffold, gain in (("plain", 0.0), ("planner", 0.3))
        for item, chance in enumerate(np.clip(rng.uniform(0.1, 0.9, 40) + gain + 0.05 * model, 0.02, 0.98))
    ]
    study = Study.of(responses=pd.DataFrame(rows))
    fit = fit_study(study, StudyFitSettings(model="rasch"))
    summary = fit_summary(fit, PageSettings(study=study))
    assert "8 agents (4 models, 2 scaffolds)" in summary["title"]
    record = summary["sections"]["best"]
    assert record["counted"], "answers are those of agents, not of models"
    factor = summary["sections"]["agents"]["factors"][0]
    assert (factor["name"], factor["parts"][0]["name"], factor["parts"][0]["agents"]) == ("scaffold", "planner", 4)
    shown = words(next(element for element in parse(render(summary)).iter("section") if element.get("id") == "agents"))
    assert "What each scaffold adds" in shown


def test_two_models_of_even_odds_are_level() -> None:
    rows = {f"q{item}": float(item % 2) for item in range(30)}
    _, page = rasch_page({"a": rows, "b": rows, "c": dict.fromkeys(rows, 0.0)})
    assert "are level at the top" in words(next(page.iter("section")))
