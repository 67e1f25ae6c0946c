"""Routing: the rules, the tests that allow them, prices, and the command on a small study."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, logit

from capscope.data import Study
from capscope.decide import RouteEvaluation, Routes, evaluate_route, route
from capscope.decide.routing.evidence import GroupEffect, ModelEffects, RouteChances, RouteEvidence, RouteSettings
from capscope.decide.routing.prices import model_prices
from capscope.decide.routing.rules import RouteCurve, RouteRule, best_single, best_value, learn_rule, of_choice
from capscope.errors import InputError

MODELS = ("large", "medium", "small")
USD = {"small": 1.0, "medium": 4.0, "large": 10.0}


EDGE = {"fair": (1.0, 0.0, -1.0), "medium is best": (0.0, 1.0, -1.0)}
"""Ability of the three models beyond the ease of a request, in log-odds."""


def world(
    rng: np.random.Generator, n: int, noise: float, edge: str = "fair", *, misled: bool = False
) -> tuple[np.ndarray, RouteEvidence]:
    """True chances of three models on requests, and evidence of them whose predictions are off by `noise` log-odds.

    Predictions know how noisy they are, unless they are misled: then they take the noise for knowledge.
    """
    easy = rng.normal(0.5, 1.2, n)
    truth = easy + 0.5 * np.array(EDGE[edge])[:, None] + 0.8 * rng.standard_normal((3, n))
    seen = truth + noise * rng.standard_normal((3, n))
    mean = seen.mean(axis=1, keepdims=True)
    seen = seen if misled else mean + (seen - mean) * 2 / (2 + noise**2)
    score = (rng.random((3, n)) < expit(truth)).astype(float)
    cost = np.repeat(np.array([USD[name] for name in MODELS])[:, None], n, axis=1)
    places = pd.DataFrame({"benchmark": "b", "task": np.array(["s", "t"])[np.arange(n) % 2]})
    return expit(truth), RouteEvidence(
        models=MODELS,
        items=tuple(f"i{place}" for place in range(n)),
        places=places,
        fold=np.arange(n) % 3,
        score=score,
        candidates=RouteChances(chance=expit(seen), lower=expit(seen - 0.2), cost=cost),
        effects=ModelEffects.learn(seen, score, places),
        reach=1.28,
        n_answers=3 * n,
    )


def test_the_target_takes_the_cheapest_that_reaches_it_else_the_most_likely_model() -> None:
    lower = np.array([[0.9, 0.7, 0.5], [0.85, 0.82, 0.3], [0.81, 0.2, 0.4]])
    cost = np.repeat([[10.0], [4.0], [1.0]], 3, axis=1)
    candidates = RouteChances(chance=np.minimum(lower + 0.05, 1), lower=lower, cost=cost)
    assert RouteRule(target=0.8).choose(candidates).tolist() == [2, 1, 0]
    assert RouteRule(target=0.8, margin=0.1).choose(candidates).tolist() == [1, 1, 0]
    assert RouteRule(target=0.8).meets(candidates).any(axis=0).tolist() == [True, True, False]
    assert RouteRule(target=0.8, certified=False).choose(candidates).tolist() == [0, 1, 0]


def test_a_rule_of_value_goes_from_the_most_likely_to_the_cheapest_model() -> None:
    _, evidence = world(np.random.default_rng(0), 200, 0.5)
    candidates = evidence.candidates
    assert (best_value(candidates, 0.0) == candidates.chance.argmax(axis=0)).all()
    assert (best_value(candidates, 10.0) == 2).all()
    paid = [of_choice(candidates.cost, best_value(candidates, weight)).mean() for weight in (0.0, 0.01, 0.03, 0.1, 1.0)]
    assert (np.diff(paid) <= 0).all()


def gain_over_single(rng: np.random.Generator, noise: float, target: float | None, *, floor: bool) -> float:
    """What a learnt rule gains, in true chance on new requests, over the best single model at its cost."""
    edge, misled = ("fair", False) if noise < 2 else ("medium is best", True)
    _, evidence = world(rng, 150, noise, edge, misled=misled)
    truth, new = world(rng, 1500, noise, edge, misled=misled)
    choice = learn_rule(evidence, RouteSettings(target=target, floor=floor)).choose(new.candidates)
    paid = float(of_choice(new.candidates.cost, choice).mean())
    return float(of_choice(truth, choice).mean()) - float(truth[best_single(truth, new.candidates.cost, paid)].mean())


@pytest.mark.parametrize("target", [None, 0.8])
def test_routing_is_not_below_the_best_single_model_at_its_cost(target: float | None) -> None:
    rng = np.random.default_rng(1)
    gains = np.array([gain_over_single(rng, noise, target, floor=True) for noise in (0.3, 1.0, 6.0) * 12])
    assert (gains < -0.01).mean() <= 0.08
    assert gains.mean() > 0.005


def underrated(evidence: RouteEvidence) -> RouteEvidence:
    """The same evidence with a conservative chance of the medium model that is next to nothing."""
    lower = evidence.candidates.lower.copy()
    lower[1] = 0.01
    return replace(evidence, candidates=replace(evidence.candidates, lower=lower))


def test_where_the_target_is_a_bad_rule_value_at_its_cost_is_tried_before_one_model_for_all() -> None:
    rng = np.random.default_rng(3)
    gains: list[float] = []
    for _ in range(10):
        _, evidence = world(rng, 300, 0.3)
        truth, new = world(rng, 1500, 0.3)
        rule = learn_rule(underrated(evidence), RouteSettings(target=0.4))
        choice = rule.choose(underrated(new).candidates)
        paid = float(of_choice(new.candidates.cost, choice).mean())
        single = best_single(truth, new.candidates.cost, paid)
        if rule.by_value:
            gains.append(float(of_choice(truth, choice).mean() - truth[single].mean()))
            met = of_choice(rule.meets(underrated(new).candidates), choice)
            assert not met.any() or of_choice(truth, choice)[met].mean() >= 0.38
    assert len(gains) >= 3
    assert min(gains) > -0.01
    assert np.mean(gains) > 0.01


def test_without_the_floor_misleading_predictions_lose() -> None:
    rng = np.random.default_rng(1)
    gains = np.array([gain_over_single(rng, 6.0, 0.8, floor=False) for _ in range(10)])
    assert (gains < -0.01).mean() > 0.5


def test_a_target_that_is_certified_holds_on_new_requests() -> None:
    rng = np.random.default_rng(2)
    short: list[bool] = []
    for noise in (0.5, 1.5) * 20:
        _, evidence = world(rng, 200, noise)
        truth, new = world(rng, 1500, noise)
        rule = learn_rule(boastful(evidence), RouteSettings(target=0.8, floor=False))
        met = rule.meets(boastful(new).candidates).any(axis=0)
        if met.any():
            short.append(bool(of_choice(truth, rule.choose(boastful(new).candidates))[met].mean() < 0.79))
    assert len(short) > 20
    assert np.mean(short) <= 0.15
    believed = RouteRule(target=0.8)
    met = believed.meets(boastful(new).candidates).any(axis=0)
    assert of_choice(truth, believed.choose(boastful(new).candidates))[met].mean() < 0.79


def test_the_floor_claims_no_target_that_its_model_misses() -> None:
    _, evidence = world(np.random.default_rng(5), 200, 1.0)
    first = np.arange(200) < 60
    # small is right on the first requests, as predicted; medium fails there, against what is predicted of it, and is
    # right on the others, where large is wrongly taken for the best
    score = np.array([np.zeros(200), ~first, first], dtype=float)
    chance = np.where(first, [[0.7], [0.95], [0.95]], [[0.4], [0.3], [0.1]])
    candidates = RouteChances(chance=chance, lower=chance - 0.05, cost=evidence.candidates.cost)
    rule = learn_rule(replace(evidence, score=score, candidates=candidates), RouteSettings(target=0.8))
    assert rule.single == 1
    assert not of_choice(rule.meets(candidates), rule.choose(candidates)).any()
    free = learn_rule(replace(evidence, score=score, candidates=candidates), RouteSettings(target=0.8, floor=False))
    assert (free.choose(candidates)[first] == 2).all()
    assert free.meets(candidates).any(axis=0).tolist() == first.tolist()


def boastful(evidence: RouteEvidence) -> RouteEvidence:
    """The same evidence with predictions that promise too much."""
    old = evidence.candidates
    bold = (expit(logit(chance) + 1.2) for chance in (old.chance, old.lower))
    return replace(evidence, candidates=RouteChances(chance=next(bold), lower=next(bold), cost=old.cost))


def test_effects_of_models_on_tasks_are_found_and_shrunk() -> None:
    rng = np.random.default_rng(3)
    group = np.repeat(np.array(["a", "b", "c", "d"]), 150)
    planted = 0.8 * rng.standard_normal((12, 4))
    planted -= planted.mean(axis=0)
    log_odds = rng.normal(0, 1, (12, 600))
    score = (rng.random((12, 600)) < expit(log_odds + planted[:, np.repeat(np.arange(4), 150)])).astype(float)
    effect = GroupEffect.learn(log_odds, score, group)
    assert np.corrcoef(effect.shift.ravel(), planted.ravel())[0, 1] > 0.95
    assert 0.4 < effect.prior < 1.0
    z = (effect.shift - planted) / np.sqrt(effect.variance)
    assert 0.7 < z.std() < 1.4
    none = GroupEffect.learn(log_odds, (rng.random((12, 600)) < expit(log_odds)).astype(float), group)
    assert np.abs(none.shift).max() < 0.25
    shift, variance = effect.at(np.array(["d", "unseen"]))
    assert shift[:, 1].tolist() == [0.0] * 12
    assert variance[0, 1] == effect.prior


def test_a_curve_is_read_within_a_budget() -> None:
    score = np.array([[1.0, 1, 1, 0], [1, 1, 0, 0]])
    cost = np.array([[2.0] * 4, [1.0] * 4])
    curve = RouteCurve.of([np.zeros(4, dtype=int)], score, cost, 0.9)
    assert curve.usd.tolist() == [2.0, 1.0]
    assert float(curve.score_at(1.5)) == pytest.approx(0.625)
    assert curve.usd_at(0.625) == pytest.approx(1.5)
    assert curve.usd_at(0.9) == float("inf")
    assert curve.usd_at(0.1) == 1.0
    assert curve.area(1.0, 2.0) == pytest.approx(0.625)


def answers(n: int = 120, seed: int = 4) -> Study:
    """Six tasks of two benchmarks; `medium` is the best on one of them, `small` is nearly as good on easy items."""
    rng = np.random.default_rng(seed)
    task = np.arange(n) % 6
    ease = rng.normal(1.0, 1.5, n)
    edge = {"large": np.full(n, 1.0), "medium": np.where(task == 0, 2.5, 0.2), "small": np.full(n, -0.8)}
    rows = [
        (model, f"q{item:03d}", float(rng.random() < expit(ease[item] + edge[model][item])))
        for model in MODELS
        for item in range(n)
    ]
    items = pd.DataFrame(
        {
            "item_id": [f"q{item:03d}" for item in range(n)],
            "benchmark": np.where(task < 3, "one", "two"),
            "task": [f"task{number}" for number in task],
            "text": [f"question {item} of kind {task[item]}" for item in range(n)],
        }
    )
    demands = pd.DataFrame({"item_id": items["item_id"], "rubric": "QLl", "annotator": "a", "level": 2.5 - ease / 1.5})
    demands["level"] = demands["level"].clip(0, 5)
    return Study.of(items, pd.DataFrame(rows, columns=["model", "item_id", "score"]), demands, name="answers")


def prices() -> pd.DataFrame:
    return pd.DataFrame({"model": list(USD), "usd": list(USD.values())})


@pytest.fixture(scope="module")
def study() -> Study:
    return answers()


@pytest.fixture(scope="module")
def routes(study: Study) -> Routes:
    known = study.keep_items(pd.Index([f"q{item:03d}" for item in range(100)]))
    asked = study.keep_items(pd.Index([f"q{item:03d}" for item in range(100, 120)]))
    asked = Study(asked.items, None, asked.demands, "asked")
    return route(known, asked, prices(), settings=RouteSettings(target=0.7, assessor="explanatory", floor=False))


def test_routes_say_what_a_router_needs(routes: Routes) -> None:
    found = json.loads(json.dumps(routes.as_dict(), default=float))
    assert {"target", "expected", "best_single", "cheapest", "coverage", "support", "freshness", "curve"} <= set(found)
    assert found["coverage"] == 1.0
    assert found["support"]["answers"] == 300
    request = found["requests"][0]
    assert set(request) == {"item_id", "model", "chance", "lower", "usd", "meets", "state", "reason", "answers"}
    assert all(one["lower"] <= one["chance"] + 1e-12 for one in found["requests"])
    assert all(one["lower"] >= 0.7 for one in found["requests"] if one["meets"])
    assert found["expected"]["usd"] == pytest.approx(sum(one["usd"] for one in found["requests"]))
    assert found["expected"]["usd"] < found["best_single"]["usd"] == 200.0
    assert found["expected"]["lower"] < found["expected"]["score"] < found["expected"]["upper"]
    assert {(row["task"], row["model"]) for row in found["domains"]} >= {("one/task0", "medium")}
    assert "requests" in routes.as_text()
    assert len(repr(routes).splitlines()) <= 4


def test_the_text_names_the_floor_and_the_target_only_where_they_hold(routes: Routes) -> None:
    single = replace(routes.rule, single=1, certified=False)
    free = replace(routes, rule=single)
    assert "no cheaper choice is shown" in free.verdict
    assert "not shown to be as good as that model" not in free.verdict
    assert free.as_dict()["floor"] is None
    assert "The target of 0.7 is not certified" in free.as_text()
    floored = replace(free, rule=replace(single, certified=True), settings=replace(routes.settings, floor=True))
    assert "not shown to be as good as that model" in floored.verdict
    assert "of 20 requests meet the target of 0.7" in floored.as_text()
    assert floored.as_dict()["floor"] == "medium"


def test_requests_of_new_tasks_are_tested_on_tasks_held_out_whole(study: Study) -> None:
    new = pd.DataFrame(
        {"item_id": ["n1", "n2"], "benchmark": "two", "task": "fresh", "text": ["a question", "another"]}
    )
    routed = route(study, new, prices(), settings=RouteSettings(assessor="rasch"))
    assert routed.settings.split == "task"
    assert set(routed.table["state"]) == {"new-task"}
    mixed = pd.concat([new, study.require("items").head(2)])
    routed = route(study, mixed, prices(), settings=RouteSettings(assessor="rasch", floor=False))
    state = routed.table.set_index("item_id")
    assert state.loc[["n1", "n2"], "state"].tolist() == ["unsupported"] * 2
    assert set(state.loc[["n1", "n2"], "model"]) == {"large"}
    assert state.loc[["q000", "q001"], "state"].tolist() == ["calibrated"] * 2


def test_an_evaluation_compares_routers_on_the_same_requests(study: Study) -> None:
    found = evaluate_route(study, prices(), outer=2, settings=RouteSettings(assessor="rasch", folds=2))
    assert isinstance(found, RouteEvaluation)
    assert set(found.routers) == {"route", "knn", "by-task"}
    singles = found.singles.set_index("role")["score"]
    assert singles["oracle"] >= singles["best single"] >= singles["cheapest"]
    for router in found.routers.values():
        assert singles["cheapest"] - 0.1 <= router.area <= singles["oracle"]
    assert found.n_items == 120
    assert found.targets["target"].tolist() == [0.5, 0.6, 0.7, 0.8, 0.9]
    json.dumps(found.as_dict(), default=float)
    again = evaluate_route(study, prices(), outer=2, settings=RouteSettings(assessor="rasch", folds=2))
    assert again.match == found.match


def test_prices_by_token_count_the_text_and_the_answer(study: Study) -> None:
    table = pd.DataFrame(
        {"model": ["large", "small"], "usd_in": [2.0, 0.5], "usd_out": [8, 2], "tokens_out": [100, 50]}
    )
    cost = model_prices(study, table).of_items(["x" * 400])
    # a quarter of the characters, and four tokens of the message's frame
    assert cost[:, 0] == pytest.approx([(104 * 2.0 + 100 * 8) / 1e6, (104 * 0.5 + 50 * 2) / 1e6])
    spoken = model_prices(study, table.drop(columns="tokens_out"))
    assert "500 tokens" in spoken.notes[0]


def test_costs_of_past_answers_stand_in_for_prices(study: Study) -> None:
    responses = study.require("responses").assign(usd=lambda table: table["model"].map(USD))
    priced = model_prices(Study.of(study.items, responses), None)
    assert dict(zip(priced.models, priced.usd.tolist(), strict=True)) == USD
    assert "mean costs" in priced.notes[0]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"model": ["large"], "price": [1]}, "no prices in columns model, price"),
        ({"model": ["large", "small"], "usd": ["1", "-2"]}, r"row 2 \(small\): usd is '-2'"),
        ({"model": ["large", "small"], "usd": ["1", "cheap"]}, "usd is 'cheap'"),
        ({"model": ["large", "small"], "usd": ["1", ""]}, "no price of small"),
        ({"model": ["large", "large"], "usd": [1, 2]}, "two prices of large"),
        ({"model": ["large", "smal"], "usd": [1, 2]}, r"did you mean \"small\""),
    ],
)
def test_wrong_prices_are_refused(table: dict[str, list[object]], message: str, study: Study) -> None:
    with pytest.raises(InputError, match=message):
        model_prices(study, pd.DataFrame(table))


def test_answers_without_costs_need_prices(study: Study) -> None:
    with pytest.raises(InputError, match="its answers have no costs; give a table"):
        model_prices(study, None)


def test_requests_that_not_all_models_answered_are_counted(study: Study) -> None:
    responses = study.require("responses").astype({"item_id": str})
    gaps = responses[(responses["model"] != "small") | (responses["item_id"] > "q009")]
    rasch, asked = RouteSettings(assessor="rasch"), study.require("items").head(3)
    routed = route(Study.of(study.items, gaps), asked, prices(), target=0.6, settings=rasch)
    assert routed.as_dict()["support"]["requests"] == 110
    assert routed.as_dict()["support"]["requests_left"] == 10
    few = responses[(responses["model"] != "small") | (responses["item_id"] > "q110")]
    with pytest.raises(InputError, match=r"only 9 requests have answers of every priced model.*\(small"):
        route(
            Study.of(study.items, few),
            study.require("items").head(3),
            prices(),
            settings=RouteSettings(assessor="rasch"),
        )
