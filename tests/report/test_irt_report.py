"""The report on an item response fit holds what its posterior says."""

import json

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from capscope.data import Responses, Study
from capscope.errors import JoinError
from capscope.fit import Fit, IRTPosterior, IRTSettings, fit_irt, save_fit
from capscope.report import PageSettings, PageSource, Summary, fit_summary, item_map, render, summarize, view_fit
from capscope.report.sections.answer import ranked_models
from fit.simulated import world_2pl
from report.pages import HOSTILE, assert_closed, parse
from report.worlds import PROVENANCE

WIDTH = stats.norm.ppf(0.95)


@pytest.fixture(scope="module")
def fit() -> Fit[IRTPosterior]:
    return fit_irt(world_2pl(12, 40)[1], IRTSettings(model="2pl"))


@pytest.fixture(scope="module")
def summary(fit) -> Summary:
    items = pd.DataFrame({"item_id": fit.posterior.items, "text": [HOSTILE[0]] * len(fit.posterior.items)})
    return summarize(PageSource(fit=fit, study=Study.of(items.assign(text=HOSTILE[0])), provenance=PROVENANCE))


def test_it_is_plain_json(summary):
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary
    assert list(summary["sections"]) == ["best", "answer", "abilities", "versus", "items", "audit"]


def test_abilities_with_intervals_most_able_first(fit, summary):
    posterior = fit.posterior
    order = np.argsort(-posterior.ability_mean[:, 0])
    models = summary["sections"]["abilities"]["models"]
    assert [entry["model"] for entry in models] == [posterior.models[row] for row in order]
    for entry, row in zip(models, order, strict=True):
        mean, sd = posterior.ability_mean[row, 0], posterior.ability_sd[row, 0]
        bounds = entry["overall"]
        np.testing.assert_allclose([bounds["value"], entry["sd"]], [mean, sd])
        np.testing.assert_allclose([bounds["lower"], bounds["upper"]], [mean - WIDTH * sd, mean + WIDTH * sd])
    answer = summary["sections"]["answer"]
    assert (answer["n_models"], answer["n_items"]) == (12, 40)


@pytest.mark.parametrize(
    ("name", "table", "sign"),
    [
        ("hardest", "difficulty", 1),
        ("easiest", "difficulty", -1),
        ("most_discriminating", "discrimination", 1),
        ("least_discriminating", "discrimination", -1),
    ],
)
def test_extremes_are_ranked_by_the_near_end_of_their_interval(fit, summary, name, table, sign):
    items = getattr(fit.posterior, table)()
    near = sign * items["mean"] - WIDTH * items["sd"]
    rows = summary["sections"]["items"][name]
    assert [row["item_id"] for row in rows] == list(items["item"][np.argsort(-near, kind="stable")[:10]])
    first = items.set_index("item").loc[rows[0]["item_id"]]
    np.testing.assert_allclose([rows[0]["value"], rows[0]["sd"]], [first["mean"], first["sd"]])
    np.testing.assert_allclose(rows[0]["lower"], first["mean"] - WIDTH * first["sd"])


def test_the_page_leads_with_expected_scores_and_a_general_ability(fit, summary):
    posterior, answer = fit.posterior, summary["sections"]["answer"]
    model, item = np.divmod(np.arange(12 * 40), 40)
    expected = posterior.probability(model, item).reshape(12, 40).mean(axis=1)
    scores = {entry["model"]: entry["score"] for entry in answer["models"]}
    values = np.array([scores[name]["value"] for name in posterior.models])
    np.testing.assert_allclose(values, expected, atol=0.01)
    assert [entry["score"]["value"] for entry in answer["models"]] == sorted(values, reverse=True)
    assert all(
        entry["score"]["lower"] < entry["score"]["value"] < entry["score"]["upper"] for entry in answer["models"]
    )
    assert answer["is_reliable"]
    signal, error = posterior.ability_mean[:, 0].var(), (posterior.ability_sd[:, 0] ** 2).mean()
    np.testing.assert_allclose(answer["reliability"]["value"], signal / (signal + error))


def test_the_general_ability_of_several_dimensions_is_what_raises_the_average_item():
    fit = fit_irt(world_2pl(20, 60)[1], IRTSettings(model="mirt", dims=2))
    source = PageSource(fit=fit, provenance=PROVENANCE)
    shown = {entry["model"]: entry for entry in ranked_models(source)}
    mean = np.array([shown[name]["ability"]["value"] for name in fit.posterior.models])
    sd = np.array([shown[name]["sd"] for name in fit.posterior.models])
    log_odds = (fit.posterior.ability_mean @ fit.posterior.item_mean[:, :-1].T).mean(axis=1)
    assert np.corrcoef(mean, log_odds)[0, 1] == pytest.approx(1)
    rng = np.random.default_rng(0)
    slope = fit.posterior.item_mean[:, :-1].mean(axis=0)
    draws = rng.multivariate_normal(fit.posterior.ability_mean[0], fit.posterior.ability_cov[0], 20_000)
    assert (draws @ slope / np.linalg.norm(slope)).std() == pytest.approx(sd[0], rel=0.05)


def test_items_that_do_not_tell_the_models_apart_are_the_first_thing_said():
    rng = np.random.default_rng(0)
    scores = (rng.random((10, 8)) < 0.5).astype(float)
    fit = fit_irt(responses_of(scores), IRTSettings(model="rasch"))
    summary = summarize(PageSource(fit=fit, provenance=PROVENANCE))
    assert not summary["sections"]["answer"]["is_reliable"]
    page = render(summary)
    assert page.index("These items do not distinguish the models.") < page.index("How able is each of")


def responses_of(scores: np.ndarray) -> Responses:
    model, item = np.indices(scores.shape)
    frame = {"model": [f"m{m:02d}" for m in model.ravel()], "item_id": [f"i{i:02d}" for i in item.ravel()]}
    return Responses.of(Study.of(responses=pd.DataFrame(frame | {"score": scores.ravel()})))


def test_the_map_counts_every_item(fit, summary):
    bins, models = (summary["sections"]["abilities"][name] for name in ("map", "models"))
    assert sum(bins["items"]) == 40
    difficulty = fit.posterior.difficulty()["mean"]
    middle = bins["edges"].index(0.0)
    assert sum(bins["items"][:middle]) == (difficulty < 0).sum()
    axes = item_map(bins, models)
    assert [bar.get_height() for bar in axes.patches] == bins["items"]
    assert [line.get_xdata()[0] for line in axes.lines] == [entry["overall"]["value"] for entry in models]


def test_the_page(summary):
    page = render(summary)
    found = [section.get("id") for section in parse(page).iter("section")]
    assert found == ["best", "answer", "abilities", "versus", "items", "audit", "definitions", "made"]
    assert_closed(page)
    assert page == render(summary)


def test_rasch_lists_no_discrimination_and_several_abilities_get_no_map():
    responses = world_2pl(8, 30)[1]
    rasch = summarize(PageSource(fit=fit_irt(responses, IRTSettings(model="rasch")), provenance=PROVENANCE))
    items = rasch["sections"]["items"]
    assert (items["most_discriminating"], items["least_discriminating"]) == ([], [])
    parse(render(rasch))
    mirt = fit_irt(responses, IRTSettings(model="mirt", dims=2))
    several = summarize(PageSource(fit=mirt, provenance=PROVENANCE))
    assert several["sections"]["abilities"]["map"] is None
    names = [entry["name"] for entry in several["sections"]["abilities"]["dimensions"]]
    assert len(names) == 2
    assert all(name.endswith("(unnamed)") for name in names)
    parse(render(several))


def test_with_its_study_a_fit_shows_how_its_kind_predicts_held_out_answers(tmp_path):
    _, responses = world_2pl(30, 60)
    columns = {
        "model": np.array(responses.models)[responses.model_index],
        "item_id": np.array(responses.items)[responses.item_index],
        "score": responses.score,
    }
    items = pd.DataFrame({"item_id": responses.items, "benchmark": "b", "task": "t", "text": "How many?"})
    Study(items=items, responses=pd.DataFrame(columns)).save(tmp_path / "study")
    save_fit(fit_irt(responses, IRTSettings(model="2pl")), tmp_path / "fit")
    summary = fit_summary(tmp_path / "fit", PageSettings(study=tmp_path / "study"))
    found = summary["sections"]["calibration"]
    assert found["kind"] == "held out"
    assert found["answers"] == pytest.approx(0.2 * len(responses.score), rel=0.15)
    assert 0 < found["error"] < 0.15
    page = render(summary)
    assert "How many?" in page
    parse(page)
    Study(responses=pd.DataFrame(columns).replace(responses.items[0], "else")).save(tmp_path / "other")
    with pytest.raises(JoinError, match="has no answers to"):
        fit_summary(tmp_path / "fit", PageSettings(study=tmp_path / "other"))


def test_view_writes_the_page_and_opens_it(fit, tmp_path, monkeypatch):
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    save_fit(fit, tmp_path / "fit")
    page = view_fit(tmp_path / "fit")
    assert opened == [page.as_uri()]
    assert page.read_text("utf-8").startswith("<!DOCTYPE html>")
    view_fit(tmp_path / "fit", browser=False)
    assert len(opened) == 1


def test_dimensions_are_named_by_what_they_load_on_or_folded_away_as_unnamed():
    rng = np.random.default_rng(0)
    task = np.repeat(["algebra", "poetry"], 40)
    ability = rng.normal(0, 1, (60, 2))
    eta = np.where(task == "algebra", ability[:, [0]], ability[:, [1]]) * 1.6 - rng.normal(0, 0.7, 80)
    score = (rng.random(eta.shape) < 1 / (1 + np.exp(-eta))).astype(float)
    model, item = np.indices(score.shape)
    frame = {"model": [f"m{m:02d}" for m in model.ravel()], "item_id": [f"i{i:02d}" for i in item.ravel()]}
    items = pd.DataFrame({"item_id": [f"i{i:02d}" for i in range(80)], "benchmark": "b", "task": task})
    study = Study.of(items, pd.DataFrame(frame | {"score": score.ravel()}))
    fit = fit_irt(Responses.of(study), IRTSettings(model="mirt", dims=2))
    summary = summarize(PageSource(fit=fit, study=study, provenance=PROVENANCE))
    (dimension,) = summary["sections"]["abilities"]["dimensions"]
    assert any(name in dimension["name"] for name in ("algebra", "poetry"))
    page = render(summary)
    assert_closed(page)
    assert f"Beyond the general ability: {dimension['name']}" in page
