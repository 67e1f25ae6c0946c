"""Parts of agents: laws of the mixed model, what is said of designs that cannot be split, recovery in worlds."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, ndtr

from capscope.data import AgentDesign, Responses, Study, agent_design
from capscope.errors import FitError, InputError
from capscope.fit import Fit, fit, fit_study, load_fit, parts_of_name, split_general, with_agent, with_named_agent
from capscope.fit import StudyFitSettings as Settings
from capscope.fit.facets.evidence import evidence_of
from capscope.fit.facets.mixed import Term, fit_mixed

Pairs = Sequence[tuple[int, int, int]]
EFFORTS = ("low", "medium", "high")


def world(
    pairs: Pairs, model: np.ndarray, scaffold: np.ndarray, effort: Sequence[float], items: int, seed: int
) -> Study:
    """Answers of agents whose log-odds are sums of their parts."""
    rng = np.random.default_rng(seed)
    difficulty = rng.normal(0, 1, items)
    tables: list[pd.DataFrame] = []
    for m, s, e in pairs:
        chance = expit(model[m] + scaffold[s] + effort[e] - difficulty)
        columns = {"model": f"m{m:02d}", "scaffold": f"s{s}", "effort": EFFORTS[e]}
        columns |= {"item_id": [f"q{i:03d}" for i in range(items)], "score": (rng.random(items) < chance) * 1.0}
        tables.append(pd.DataFrame(columns))
    return Study.of(responses=pd.concat(tables))


@pytest.fixture(scope="module")
def crossed() -> tuple[Study, Fit]:
    pairs = [(m, s, e) for m in range(5) for s in range(3) for e in range(3) if (m + s + e) % 3 < 2]
    study = world(pairs, np.linspace(-1, 1, 5), np.array([0.8, 0.0, -0.8]), (0.0, 0.5, 1.0), 80, 1)
    return study, fit(study, "rasch")


def test_exact_estimates_give_the_parts_back() -> None:
    rng = np.random.default_rng(0)
    model, scaffold = rng.normal(size=6), rng.normal(size=4)
    m, s = np.indices((6, 4)).reshape(2, -1)
    terms = [Term("model", np.eye(6)[m]), Term("scaffold", np.eye(4)[s])]
    draws = fit_mixed(model[m] + scaffold[s], np.full(24, 1e-4), terms, rng)
    effect = draws.effects["scaffold"] - draws.effects["scaffold"].mean(axis=0)
    np.testing.assert_allclose(effect.mean(axis=-1), scaffold - scaffold.mean(), atol=0.01)
    assert effect.std(axis=-1).max() < 0.02


def test_effects_move_with_the_estimates_and_not_with_their_mean() -> None:
    m = np.arange(6) % 3
    terms, value = [Term("model", np.eye(3)[m])], np.linspace(-1, 1, 6)
    one = fit_mixed(value, np.full(6, 0.1), terms, np.random.default_rng(0))
    moved = fit_mixed(value + 7, np.full(6, 0.1), terms, np.random.default_rng(0))
    np.testing.assert_allclose(one.effects["model"], moved.effects["model"], atol=2e-3)
    np.testing.assert_allclose(one.mean + 7, moved.mean, atol=2e-3)


def test_ordered_steps_are_never_negative_and_cost_little() -> None:
    level = np.repeat([0, 1, 2], 4)
    steps = (level[:, None] > np.arange(2)) * 1.0
    terms = [Term("effort", steps), Term("rest", np.eye(12), 0.2)]
    value = 0.4 * level + np.random.default_rng(0).normal(0, 0.1, 12)
    draws = fit_mixed(value, np.full(12, 0.01), terms, np.random.default_rng(0), ordered="effort")
    assert draws.effects["effort"].min() >= 0
    observed = np.diff([value[level == number].mean() for number in range(3)])
    np.testing.assert_allclose(draws.effects["effort"].mean(axis=-1), observed, atol=0.05)


def test_parts_of_a_crossed_study_are_told_apart(crossed: tuple[Study, Fit]) -> None:
    parts = split_general(crossed[1].posterior, *_design(crossed[1]))
    scaffold = parts.effects("scaffold").set_index("name")
    assert scaffold["effect"].is_monotonic_decreasing
    assert scaffold["separable"].all()
    inside = scaffold["lower"] * parts.log_odds < np.array([0.8, 0.0, -0.8])
    assert (inside & (np.array([0.8, 0.0, -0.8]) < scaffold["upper"] * parts.log_odds)).all()
    effort = parts.effects("effort")
    assert effort["name"].tolist() == list(EFFORTS)
    assert effort["effect"].is_monotonic_increasing
    ahead = parts.difference("scaffold", "s0", "s2").iloc[0]
    assert ahead["ahead"] > 0.99
    assert ahead["lower"] > 0
    assert parts.scales()["share"].sum() == pytest.approx(1)


def _design(one: Fit) -> tuple[AgentDesign]:
    assert one.design is not None
    return (one.design,)


def test_an_unseen_pair_is_predicted_with_a_wider_interval(crossed: tuple[Study, Fit]) -> None:
    study, fitted = crossed
    name = "m04 + s0 + medium"
    assert name not in fitted.models
    more = with_named_agent(fitted, name)
    abilities = more.abilities().set_index("model")
    assert abilities["sd"][name] > abilities["sd"][list(fitted.models)].median()
    other = with_agent(fitted.posterior, *_design(fitted), {"model": "m04", "effort": "medium"}).abilities()
    assert other["sd"].iloc[-1] > abilities["sd"][name]  # a scaffold never seen is less sure than a known one
    assert abilities["ability"][name] > abilities["ability"]["m00 + s0 + low"]
    predictions = fitted.predict(study, model=name)
    assert set(predictions.table["model"]) == {name}
    assert with_named_agent(fitted, "m04 + unknown") is fitted
    assert parts_of_name(*_design(fitted), "m04 + high") == {"model": "m04", "effort": "high"}
    with pytest.raises(InputError, match=r"'m04' is one part of an agent; the fit has m04 \+ s\d.*; name one of them"):
        with_named_agent(fitted, "m04")
    with pytest.raises(FitError, match="no scaffold 's9'"):
        with_agent(fitted.posterior, *_design(fitted), {"model": "m04", "scaffold": "s9"})


def test_a_fit_keeps_its_design(crossed: tuple[Study, Fit], tmp_path) -> None:  # noqa: ANN001
    crossed[1].save(tmp_path / "fit")
    assert load_fit(tmp_path / "fit").design == crossed[1].design


def test_effort_that_lowers_ability_is_named() -> None:
    pairs = [(m, 0, e) for m in range(4) for e in range(3)]
    study = world(pairs, np.linspace(-1, 1, 4), np.zeros(1), (1.5, 0.0, 1.5), 120, 2)
    fitted = fit(study, "rasch")
    parts = split_general(fitted.posterior, *_design(fitted))
    assert any("falls with effort from low to medium" in note for note in parts.notes)
    assert parts.effects("effort")["effect"].iloc[1] < 0


def test_a_nested_design_is_flagged() -> None:
    pairs = [(m, m % 2, 0) for m in range(6)]
    fitted = fit(world(pairs, np.linspace(-1, 1, 6), np.array([1.0, 0.0]), (0.0, 0, 0), 60, 3), "rasch")
    parts = split_general(fitted.posterior, *_design(fitted))
    assert not parts.effects("scaffold")["separable"].any()
    assert any("differences between scaffolds are confounded with model" in note for note in parts.notes)
    known = split_general(fitted.posterior, *_design(fitted)).difference("scaffold", "s0", "s1").iloc[0]
    assert known["lower"] < 0 < known["upper"]


def test_one_facet_and_ignored_facets_change_no_number(crossed: tuple[Study, Fit]) -> None:
    table = crossed[0].require("responses")
    alone = table[(table["scaffold"] == "s0") & (table["effort"] == "low")].reset_index(drop=True)
    plain = Study.of(responses=alone[["model", "item_id", "score"]])
    one, other = fit(Study.of(responses=alone), "rasch"), fit(plain, "rasch")
    assert one.design is None
    np.testing.assert_array_equal(one.posterior.ability_mean, other.posterior.ability_mean)
    pooled = fit(crossed[0], "rasch", facets="ignore")
    assert pooled.models == tuple(f"m{m:02d}" for m in range(5))
    with pytest.raises(FitError, match="unknown facet 'scafold'"):
        fit(crossed[0], "rasch", facets="scafold")


def test_held_out_answers_are_those_of_agents(crossed: tuple[Study, Fit]) -> None:
    held_out = crossed[1].held_out(crossed[0], 0.2)
    assert held_out.test.models == crossed[1].models


@pytest.mark.parametrize("model", ["demand", pytest.param("curves", marks=pytest.mark.slow)])
def test_demand_and_curve_fits_are_split_too(model: str) -> None:
    pairs = [(m, s, 0) for m in range(4) for s in range(2)]
    study = world(pairs, np.linspace(-1, 1, 4), np.array([1.0, -1.0]), (0.0, 0, 0), 120, 4)
    rng = np.random.default_rng(0)
    rows = [
        {"item_id": f"q{i:03d}", "rubric": rubric, "annotator": "a", "level": float(rng.integers(1, 6))}
        for i in range(120)
        for rubric in ("QLl", "KNn")
    ]
    study = Study.of(responses=study.responses, demands=pd.DataFrame(rows))
    fitted = fit_study(study, Settings(model=model))
    effects = split_general(fitted.posterior, *_design(fitted)).effects("scaffold")
    assert effects["lower"].iloc[0] > 0 > effects["upper"].iloc[1]
    parts = {"model": "m00", "scaffold": "s1"}
    more = with_agent(fitted.posterior, *_design(fitted), parts)
    known, new = more.abilities().iloc[-len(more.dim_names) :], more.abilities()
    again = new[new["model"] == "m00 + s1"].iloc[: len(more.dim_names)]
    assert np.abs(known["ability"].to_numpy() - again["ability"].to_numpy()).max() < 3 * known["sd"].max()


def test_judges_are_severe_or_lenient() -> None:
    study = world(
        [(m, s, 0) for m in range(5) for s in range(2)], np.linspace(-1, 1, 5), np.array([1.0, -1]), (0,), 80, 5
    )
    judged = study.require("responses").rename(columns={"scaffold": "judge"}).drop(columns="effort")
    fitted = fit(Study.of(responses=judged), "rasch", facets="judge")
    effects = split_general(fitted.posterior, *_design(fitted)).effects("judge")
    assert effects["lower"].iloc[0] > 0 > effects["upper"].iloc[1]


def judged_world(seed: int, spread: float, lenient: Sequence[float], rho: float = 0.6) -> tuple[Study, np.ndarray]:
    """Verdicts that follow Rasch for each judge, correlated within each answer (a Gaussian copula)."""
    rng, judges = np.random.default_rng(seed), len(lenient)
    ability, difficulty = rng.normal(0, spread, 8), rng.normal(0, 1, 80)
    shared, own = rng.normal(size=(8, 80, 1)), rng.normal(size=(8, 80, judges))
    chance = expit(ability[:, None, None] - difficulty[:, None] + np.asarray(lenient))
    verdict = ndtr(np.sqrt(rho) * shared + np.sqrt(1 - rho) * own) < chance
    m, i, j = np.indices(verdict.shape).reshape(3, -1)
    names = {"model": [f"m{k}" for k in m], "item_id": [f"q{k:02d}" for k in i], "judge": [f"j{k}" for k in j]}
    return Study.of(responses=pd.DataFrame({**names, "score": verdict.ravel() * 1.0})), ability


def _squares(study: Study, ability: np.ndarray) -> float:
    """Mean squared error of the estimates, but for their common shift, in units of their stated variance."""
    evidence = evidence_of(fit(study, "rasch").posterior)
    value, variance = evidence.general
    error = value - ability / evidence.log_odds
    error = error - np.average(error, weights=1 / variance)
    return float((error**2 / variance).sum() / (len(value) - 1))


def test_judges_of_one_answer_are_no_independent_answers() -> None:
    study, _ = judged_world(0, 0.9, (0.0, 0.0, 0.0))
    one, stored = fit(study, "rasch"), fit(study, "rasch", facets="judge").design
    first = study.require("responses").query("judge == 'j0'").drop(columns="judge")
    narrow, wide = one.abilities()["sd"].mean(), fit(Study.of(responses=first), "rasch").abilities()["sd"].mean()
    assert 0.75 < narrow / wide < 1  # three judges tell more than one, far less than three answers
    assert stored is not None
    assert 0.25 < stored.verdict_correlation < 0.6
    assert AgentDesign.from_dict(stored.as_dict()) == stored


@pytest.mark.slow
def test_intervals_hold_where_judges_share_answers() -> None:
    squares = [_squares(*judged_world(seed, 0.9, (0.0, 0.0, 0.0))) for seed in range(30)]
    assert 0.75 < np.mean(squares) < 1.25  # 2.2 where each verdict counts as an answer; one standard error is 0.09
    inside: list[np.ndarray] = []
    for seed in range(30):
        study, ability = judged_world(seed, 0.9, (0.6, 0.0, -0.6))
        fitted = fit(study, "rasch", facets="judge")
        parts = split_general(fitted.posterior, *_design(fitted), seed)
        effects = parts.effects("model")
        truth = (ability - ability.mean()) / parts.log_odds
        inside.append((effects["lower"].to_numpy() < truth) & (truth < effects["upper"].to_numpy()))
        judge = parts.effects("judge")
        inside.append(np.abs(np.array([0.6, 0, -0.6]) / parts.log_odds - judge["effect"]) < 2.5 * judge["sd"])
    assert 0.84 < np.concatenate(inside[::2]).mean() < 0.95
    assert np.concatenate(inside[1::2]).mean() > 0.93


@pytest.mark.slow
def test_parts_are_recovered_in_sparse_worlds() -> None:
    """12 models x 6 scaffolds, 30 % of the pairs seen: slopes, coverage, and unseen pairs against the oracle."""
    scaffold, model, errors, oracle = [], [], [], []
    for seed in range(60):
        one = _sparse_world(seed)
        scaffold.append(one[0])
        model.append(one[1])
        errors.append(one[2])
        oracle.append(one[3])
    for rows in (np.concatenate(scaffold), np.concatenate(model)):
        truth, estimate, lower, upper = rows.T
        assert 0.95 < truth @ estimate / (estimate @ estimate) < 1.05
        assert 0.87 < np.mean((lower < truth) & (truth < upper)) < 0.93
    assert np.sqrt(np.mean(np.concatenate(errors) ** 2)) < 1.1 * np.sqrt(np.mean(np.concatenate(oracle) ** 2))


def _sparse_world(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    spread, items = np.array([0.9, 0.6, 0.25]), 150
    theta, phi, omega = rng.normal(0, spread[0], 12), rng.normal(0, spread[1], 6), rng.normal(0, spread[2], (12, 6))
    difficulty, seen = rng.normal(0, 1, items), np.zeros((12, 6), bool)
    while seen.sum(0).min() == 0 or seen.sum(1).min() == 0:
        seen = rng.random((12, 6)) < 0.3
    m, s = np.nonzero(seen)
    truth = theta[:, None] + phi + omega
    chance = expit(truth[m, s][:, None] - difficulty)
    rows = pd.DataFrame(
        {
            "model": np.repeat([f"m{i:02d}" for i in m], items),
            "scaffold": np.repeat([f"s{i}" for i in s], items),
            "item_id": np.tile([f"q{i:03d}" for i in range(items)], len(m)),
            "score": (rng.random(chance.shape) < chance).ravel() * 1.0,
        }
    )
    fitted = fit(Study.of(responses=rows), "rasch")
    parts = split_general(fitted.posterior, *_design(fitted))
    tables = [
        np.column_stack(
            [own - own.mean(), table["log_odds"], table["lower"] * parts.log_odds, table["upper"] * parts.log_odds]
        )
        for own, table in ((phi, parts.effects("scaffold")), (theta, parts.effects("model")))
    ]
    mean, cov = _oracle((m, s), truth[m, s], chance, spread, rng)
    item, draw = fitted.posterior.item_mean, np.random.default_rng(1)
    errors, best = [], []
    for i, j in zip(*np.nonzero(~seen), strict=True):
        ability = parts.ability({"model": f"m{i:02d}", "scaffold": f"s{j}"}, draw)
        score = expit(truth[i, j] - difficulty).mean()
        errors.append(expit(ability[::8, None] * item[:, 0] + item[:, 1]).mean() - score)
        known = mean[i, j] + np.sqrt(cov[i, j]) * draw.standard_normal(400)
        best.append(expit(known[:, None] - difficulty).mean() - score)
    return tables[0], tables[1], np.array(errors), np.array(best)


def _oracle(
    at: tuple[np.ndarray, np.ndarray],
    truth: np.ndarray,
    chance: np.ndarray,
    spread: np.ndarray,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Best prediction of all pairs where the scales, the difficulties and the mean of all agents are known."""
    one, other, variance = np.eye(12)[at[0]], np.eye(6)[at[1]], spread**2
    error = 1 / (chance * (1 - chance)).sum(1)
    value = truth + rng.normal(size=len(truth)) * np.sqrt(error)
    cov = variance[0] * one @ one.T + variance[1] * other @ other.T + np.diag(variance[2] + error)
    cross = variance[0] * one.T[:, None] + variance[1] * other.T[None]
    mean = cross @ np.linalg.solve(cov, value)
    own = variance.sum() - np.einsum(
        "msa,msa->ms", cross, np.linalg.solve(cov, cross.reshape(72, -1).T).T.reshape(cross.shape)
    )
    return mean, own


def test_designs_name_subjects_like_fits(crossed: tuple[Study, Fit]) -> None:
    design = agent_design(crossed[0])
    assert design is not None
    assert design.subjects == crossed[1].models
    assert Responses.of(crossed[0]).models != crossed[1].models


def test_efforts_that_cannot_be_compared_are_not_held_in_order() -> None:
    pairs = [(m, m % 2, 2 * (m % 2)) for m in range(6)]
    fitted = fit(world(pairs, np.linspace(-1, 1, 6), np.zeros(2), (0.0, 0, 0), 60, 3), "rasch")
    effort = split_general(fitted.posterior, *_design(fitted)).effects("effort")
    assert (effort["lower"] < 0).all()
    assert (effort["upper"] > 0).all()
    assert not effort["separable"].any()
