"""A page of many models and items stays small, names what it leaves out, and is written soon."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from capscope.data import Demands, Study
from capscope.fit import CurvePosterior, Fit, IRTPosterior, IRTSettings, fit_irt
from capscope.predict import predict_from_curves
from capscope.profiles import ability_profiles, demand_profile
from capscope.report import PageSource, render, summarize
from capscope.report.sections.chances import MOST_MODELS, MOST_QUESTIONS, questions_section
from fit.simulated import world_2pl
from report.pages import parse
from report.worlds import DIMS, PROVENANCE, World, counts_of, small_world

BYTES = 2_000_000
MODELS = 100
QUESTIONS = 1000


@pytest.fixture(scope="module")
def large() -> World:
    """A hundred models, drawn around those of a small fit, and 1,000 questions with long texts."""
    small = small_world(counts_of())
    posterior = many(small.fit.posterior, MODELS, np.random.default_rng(3))
    world = replace(small, fit=replace(small.fit, posterior=posterior), profiles=ability_profiles(posterior))
    rng = np.random.default_rng(0)
    ids = tuple(f"q{number}" for number in range(QUESTIONS))
    matrix = Demands(ids, DIMS, rng.integers(0, 6, (QUESTIONS, len(DIMS))).astype(float))
    predictions = predict_from_curves(world.fit.posterior, matrix, rng)
    items = pd.DataFrame({"item_id": ids, "text": "long words " * 2000})
    return replace(world, predictions=predictions, demands=demand_profile(matrix), items=items)


def many(posterior: CurvePosterior, n_models: int, rng: np.random.Generator) -> CurvePosterior:
    """Models whose curves are those of the fit, each shifted by some demand levels."""
    rows = np.arange(n_models) % len(posterior.models)
    shift = rng.normal(0, 0.5, n_models)
    return replace(
        posterior,
        models=tuple(f"m{number}" for number in range(n_models)),
        ability=posterior.ability[rows] + shift[:, None, None],
        midpoint=posterior.midpoint[rows] + shift[:, None, None],
        slope=posterior.slope[rows],
        general=posterior.general[rows] + shift[:, None],
        n=posterior.n[rows],
        correct=posterior.correct[rows],
        classical=replace(
            posterior.classical,
            **{name: getattr(posterior.classical, name)[rows] for name in ("ability", "intercept", "slope")},
        ),
    )


@pytest.mark.slow
def test_a_hundred_models_and_thousands_of_questions_fit_on_a_page(large):
    page = render(large.summary())
    assert len(page.encode()) < BYTES
    parse(page)
    assert f"{QUESTIONS - MOST_QUESTIONS} are left out" in page


def test_the_questions_shown_are_those_that_divide_the_models(large):
    section = questions_section(large.predictions, large.items, "m99")
    assert section["left_out"]["questions"] == QUESTIONS - MOST_QUESTIONS
    assert len(section["models"]) - MOST_MODELS in {0, 1}
    assert "m99" in section["models"]
    assert len(section["scores"]) == MODELS
    spread = large.predictions.table.groupby("item_id")["p"].std(ddof=0)
    shown = {entry["item_id"] for entry in section["items"]}
    assert spread[list(shown)].min() >= spread.drop(list(shown)).max()
    assert all(len(entry["text"]) < 2100 for entry in section["items"])
    unsupported = sum(entry["n"] for entry in section["unsupported"])
    assert unsupported == (~large.predictions.support["in_support"]).sum()


@pytest.mark.slow
def test_a_fit_of_twenty_thousand_items_fits_on_a_page():
    fit: Fit[IRTPosterior] = fit_irt(world_2pl(MODELS, 20_000)[1], IRTSettings(model="2pl"))
    items = pd.DataFrame({"item_id": fit.posterior.items, "text": "long words " * 500})
    source = PageSource(fit=fit, study=Study.of(items), provenance=PROVENANCE)
    sections = summarize(source)
    del sections["sections"]["audit"]
    assert len(render(sections).encode()) < BYTES
