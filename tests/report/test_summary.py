"""The summary holds what the posterior, the profiles and the predictions say, as plain JSON."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.special import expit

from capscope.errors import InputError
from capscope.profiles import ability_profiles
from capscope.report import PageSource, Summary, summarize
from report.worlds import DIMS, PROVENANCE, World, counts_of, small_world

SECTIONS = ["best", "curve_answer", "profiles", "focus", "curves", "versus", "demands", "chances", "calibration"]
TAILS = [0.05, 0.95]


@pytest.fixture(scope="module")
def whole(world: World) -> Summary:
    return world.summary()


@pytest.fixture(scope="module")
def summary(whole: Summary) -> Summary:
    return whole["sections"]


def same(found: object, expected: object) -> None:
    np.testing.assert_allclose(np.array(found, dtype=float), np.array(expected, dtype=float), rtol=1e-9, atol=1e-12)


def test_it_is_plain_json_with_the_sections_in_the_order_of_the_page(whole):
    assert json.loads(json.dumps(whole, allow_nan=False)) == whole
    assert list(whole["sections"]) == SECTIONS
    assert (whole["title"], whole["level"]) == ("A small world", 0.9)


def test_scales_stand_in_the_order_of_the_rubric_set_with_unknown_codes_last(summary):
    assert [scale["dim"] for scale in summary["profiles"]["scales"]] == ["AS", "QLl", "KNf", "XX"]
    assert summary["profiles"]["scales"][1] == {"dim": "QLl", "name": "Logical reasoning", "family": "elemental"}
    assert summary["profiles"]["scales"][3] == {"dim": "XX", "name": "XX", "family": ""}


def test_headline_is_that_of_the_posterior(world, summary):
    headline, posterior = summary["curve_answer"], world.fit.posterior
    overall = posterior.ability.mean(axis=1)
    best, worst = int(overall.mean(axis=1).argmax()), int(overall.mean(axis=1).argmin())
    assert (headline["n_models"], headline["n_dims"]) == (5, 4)
    assert headline["n_answers"] == posterior.n[:, :, 1:].sum()
    share = world.profiles.general_share
    assert headline["general_share"] == {"value": share.point, "lower": share.lower, "upper": share.upper}
    assert headline["classical_general_share"] is None  # one model has no answer on one scale
    assert headline["strongest"]["model"] == posterior.models[best]
    assert headline["weakest"]["model"] == posterior.models[worst]
    same([headline["strongest"]["lower"], headline["strongest"]["upper"]], np.quantile(overall[best], TAILS))
    same(headline["strongest"]["value"], overall[best].mean())
    same(headline["strongest"]["chance"], (overall.argmax(axis=0) == best).mean())
    same(headline["weakest"]["chance"], (overall.argmin(axis=0) == worst).mean())


def test_profiles_hold_every_ability_strongest_model_first(world, summary):
    posterior = world.fit.posterior
    overall = [entry["overall"]["value"] for entry in summary["profiles"]["profiles"]]
    assert overall == sorted(overall, reverse=True)
    assert {entry["model"] for entry in summary["profiles"]["profiles"]} == set(posterior.models)
    for entry in summary["profiles"]["profiles"]:
        row = posterior.models.index(entry["model"])
        same(entry["general"]["value"], posterior.general[row].mean())
        for scale in entry["scales"]:
            draws = posterior.ability[row, DIMS.index(scale["dim"])]
            same([scale["ability"], scale["sd"]], [draws.mean(), draws.std(ddof=1)])
            same([scale["lower"], scale["upper"]], np.quantile(draws, TAILS))
            assert scale["answers"] == posterior.n[row, DIMS.index(scale["dim"]), 1:].sum()
            classical = posterior.classical.ability[row, DIMS.index(scale["dim"])]
            assert scale["classical"] is None if np.isnan(classical) else scale["classical"] == classical


def test_beyond_is_what_a_line_on_general_ability_leaves(world, summary):
    posterior = world.fit.posterior
    log_odds = posterior.slope * (posterior.midpoint - 3)
    left = np.empty_like(log_odds)
    for draw in range(log_odds.shape[-1]):
        design = np.column_stack([np.ones(5), posterior.general[:, draw]])
        left[..., draw] = log_odds[..., draw] - design @ np.linalg.lstsq(design, log_odds[..., draw], rcond=None)[0]
    for entry in summary["profiles"]["profiles"]:
        for scale in entry["scales"]:
            where = posterior.models.index(entry["model"]), DIMS.index(scale["dim"])
            beyond = scale["beyond"]
            same(beyond["value"], left[where].mean())
            same([beyond["lower"], beyond["upper"]], np.quantile(left[where], TAILS))
            same(beyond["chance"], expit(log_odds[where]).mean())
            same(beyond["expected"], expit(log_odds[where] - left[where]).mean())
            assert beyond["clear"] == (beyond["lower"] > 0 or beyond["upper"] < 0)


def test_only_clear_differences_stand_out_the_largest_of_each_family(summary):
    family = {scale["dim"]: scale["family"] for scale in summary["profiles"]["scales"]}
    every = [
        (family[scale["dim"]], scale["beyond"]["value"], entry["model"], scale["dim"])
        for entry in summary["profiles"]["profiles"]
        for scale in entry["scales"]
        if scale["beyond"]["clear"]
    ]
    headline = summary["curve_answer"]
    assert headline["stand_out"]
    assert (headline["beyond_clear"], headline["beyond_compared"]) == (len(every), 20)
    for entry in headline["stand_out"]:
        of_family = [row for row in every if row[0] == entry["family"]]
        extreme = (max if entry["direction"] == "above" else min)(of_family, key=lambda row: row[1])
        assert (entry["model"], entry["dim"]) == extreme[2:]
        assert entry["beyond"] > 0 if entry["direction"] == "above" else entry["beyond"] < 0


def test_curves_of_the_focus_model(world):
    posterior = world.fit.posterior
    sections = world.summary("model-02")["sections"]
    focus, curves = sections["focus"], sections["curves"]["curves"]
    assert focus["model"] == sections["curves"]["model"] == "model-02"
    assert [curve["dim"] for curve in curves] == [scale["dim"] for scale in focus["scales"]]
    abilities = [scale["ability"] for scale in focus["scales"]]
    assert abilities == sorted(abilities, reverse=True)
    for curve in curves:
        column = DIMS.index(curve["dim"])
        slope, midpoint = posterior.slope[2, column], posterior.midpoint[2, column]
        draws = expit(slope * (midpoint - np.array(curve["grid"])[:, None]))
        same(curve["p"], draws.mean(axis=1))
        same([curve["lower"], curve["upper"]], np.quantile(draws, TAILS, axis=1))
        assert (curve["grid"][0], curve["grid"][-1] >= 6) == (0, True)
        levels = [level for level in range(1, 6) if posterior.n[2, column, level] > 0]
        assert [point["level"] for point in curve["levels"]] == levels
        for point in curve["levels"]:
            n, correct = posterior.n[2, column, point["level"]], posterior.correct[2, column, point["level"]]
            assert (point["n"], point["correct"], point["rate"]) == (n, correct, correct / n)
            if 0 < correct < n:
                bounds = stats.beta(correct + 0.5, n - correct + 0.5).ppf(TAILS)
                same([point["lower"], point["upper"]], bounds)


def test_the_focus_is_the_strongest_model_unless_named(summary):
    assert summary["focus"]["model"] == summary["curve_answer"]["strongest"]["model"]


def test_chances_and_scores_are_those_predicted(world, summary):
    questions, table = summary["chances"], world.predictions.table.set_index(["item_id", "model"])
    assert questions["n"] == 6
    for item in questions["items"]:
        assert item["text"] == f"How many? {item['item_id']}"
        for entry in item["chances"]:
            row = table.loc[(item["item_id"], entry["model"])]
            assert [entry[key] for key in ("p", "lower", "upper")] == [row[key] for key in ("p", "lower", "upper")]
            assert entry["in_support"] == item["in_support"] == row["in_support"]
    scores = world.predictions.scores.set_index("model")
    assert [entry["score"] for entry in questions["scores"]] == sorted(scores["score"], reverse=True)
    for entry in questions["scores"]:
        assert [entry[key] for key in ("score", "lower", "upper")] == list(scores.loc[entry["model"]])


def test_unsupported_questions_have_reasons(world, summary):
    unsupported = {
        (item_id, entry["reason"]) for entry in summary["chances"]["unsupported"] for item_id in entry["item_ids"]
    }
    table = world.predictions.support
    assert unsupported == set(table.loc[~table["in_support"], ["item_id", "reason"]].itertuples(index=False, name=None))
    assert {item_id for item_id, _ in unsupported} >= {"q2", "q3"}  # demands nothing; nobody answered AS at level 5


def test_the_demand_profile(world, summary):
    demands = summary["demands"]
    assert (demands["n_items"], demands["levels"]) == (6, [0, 1, 2, 3, 4, 5])
    for scale in demands["scales"]:
        row = world.demands.table.set_index("dim").loc[scale["dim"]]
        assert scale["histogram"] == world.demands.histogram[DIMS.index(scale["dim"])].tolist()
        assert [scale[key] for key in ("mean", "sd", "dominant", "sensitive")] == [
            row[key] for key in ("mean", "sd", "dominant", "sensitive")
        ]


def test_how_it_was_made(world, whole):
    made, posterior = whole["made"], world.fit.posterior
    assert made["source"] == "simulated"
    assert (made["seed"], made["engine"], made["capscope_version"]) == (3, "laplace", "9.9")
    assert made["inputs"] == {"counts.csv": "ab" * 32}
    assert made["notes"] == ["Nothing here is real."]
    assert (made["status"], made["converged"]) == (world.fit.status.code, world.fit.status.converged)
    facts = {entry["name"]: entry["value"] for entry in made["facts"]}
    assert facts["Missing"] == "10 of 100 cells (model, scale, level 1 to 5) hold no answer (10.0%)"
    assert facts["Posterior"].startswith("100 draws; ")
    assert f"concentration {posterior.concentration.mean():.0f}" in facts["Posterior"]
    assert {"Ability", "Chance", "Outside support"} <= {entry["term"] for entry in whole["definitions"]}
    assert any("90%" in entry["meaning"] for entry in whole["definitions"])


def test_it_works_without_questions(world):
    summary = summarize(PageSource(fit=world.fit, provenance=PROVENANCE))
    assert list(summary["sections"]) == [name for name in SECTIONS if name not in {"chances", "demands"}]
    own = {"n_questions": 0, "best": None}
    assert summary["sections"]["curve_answer"] == world.summary()["sections"]["curve_answer"] | own
    assert "Chance" not in {entry["term"] for entry in summary["definitions"]}


def test_items_without_text_and_without_ids(world):
    bare = replace(world, items=world.items[["item_id"]]).summary()["sections"]
    assert {item["text"] for item in bare["chances"]["items"]} == {""}
    with pytest.raises(InputError, match="'item_id' is missing"):
        replace(world, items=pd.DataFrame({"id": ["q0"]})).summary()


def test_a_focus_model_that_is_not_there(world):
    with pytest.raises(InputError, match=r"no model 'model-2'.*model-02"):
        world.summary("model-2")


def test_two_models_have_nothing_beyond_the_general_factor():
    two = small_world(counts_of(2))
    summary = two.summary()["sections"]
    assert ability_profiles(two.fit.posterior).general_share.point == summary["curve_answer"]["general_share"]["value"]
    assert (summary["curve_answer"]["stand_out"], summary["curve_answer"]["beyond_compared"]) == ([], 0)
    assert all(scale["beyond"] is None for entry in summary["profiles"]["profiles"] for scale in entry["scales"])
