"""The audit against planted faults, against worlds without any, and against a real study put out of order."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

from capscope.data import Study
from capscope.fit import IRTSettings, IRTTruth, fit_irt, simulate_irt
from capscope.profiles import AuditSettings, audit_study
from capscope.profiles.auditing import row_order
from capscope.profiles.auditing.findings import class_probability, discovered, nested_chances
from capscope.profiles.auditing.row_order import best_lag, natural_order
from capscope.profiles.auditing.study_audit import independent_share
from capscope.profiles.auditing.texts import near_duplicate_chance, nearest_texts, normal_form, same_texts
from capscope.profiles.item_groups import Places
from profiles.worlds import study_of

WORDS = np.array([f"word{number}" for number in range(400)])
OPENLLM = Path(__file__).resolve().parents[3] / "shared" / "data" / "openllm_v2"


def clean(seed: int, n_models: int = 80, n_items: int = 500) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Chances of success (model, item), the task of each item, and texts of forty words."""
    rng = np.random.default_rng(seed)
    slope, difficulty = rng.lognormal(0.2, 0.3, n_items), rng.normal(-0.2, 1.0, n_items)
    chance = expit(slope * (rng.standard_normal((n_models, 1)) - difficulty))
    texts = [" ".join(rng.choice(WORDS, 40)) for _ in range(n_items)]
    return chance, np.arange(n_items) * 8 // n_items, texts


def planted(seed: int, shift: int | None = 1) -> tuple[Study, set[str], str, set[str]]:
    """A study with 2 % wrong keys, one model out of step and 1 % copies; the ids of each are returned."""
    rng = np.random.default_rng(seed + 100)
    chance, task, texts = clean(seed)
    items = chance.shape[1]
    chosen = rng.permutation(items)
    wrong, sources = chosen[: items // 50], chosen[items // 50 : items // 50 + items // 100]
    chance[:, wrong] = 1 - chance[:, wrong]
    chance, task = np.hstack([chance, chance[:, sources]]), np.concatenate([task, task[sources]])
    texts = texts + [texts[i].upper() if n % 2 else texts[i] + " also" for n, i in enumerate(sources)]
    score = (rng.random(chance.shape) < chance).astype(float)
    model = int(rng.integers(len(score)))
    for t in range(8):
        rows = np.flatnonzero(task == t)
        score[model, rows] = np.roll(score[model, rows], shift) if shift else rng.permutation(score[model, rows])
    study = study_of(score, task, texts=texts)
    ids = study.items["item_id"].astype(str).to_numpy()
    return study, set(ids[wrong]), f"m{model:02d}", set(ids[items:])


def recall_and_precision(found: set[str], truth: set[str]) -> tuple[float, float]:
    return len(found & truth) / len(truth), len(found & truth) / max(len(found), 1)


def test_planted_faults_are_found() -> None:
    keys, copies = [], []
    for seed, shift in ((0, 1), (1, None)):
        study, wrong, model, copied = planted(seed, shift)
        listed = audit_study(study, AuditSettings()).listed()
        by_kind = {kind: set(rows["id"]) for kind, rows in listed.groupby("kind")}
        assert by_kind["out of step"] == {model}
        keys.append(recall_and_precision(by_kind["wrong key"], wrong))
        copies.append(recall_and_precision(by_kind["duplicate"] | by_kind["near duplicate"], copied))
        evidence = listed.loc[listed["kind"] == "out of step", "evidence"].iloc[0]
        assert ("shifted by +1 places" in evidence) == (shift == 1)
    for found in (keys, copies):
        recall, precision = np.mean(found, axis=0)
        assert recall >= 0.9
        assert precision >= 0.8


def test_a_world_without_faults_yields_next_to_nothing() -> None:
    chance, task, texts = clean(7)
    score = (np.random.default_rng(7).random(chance.shape) < chance).astype(float)
    counts = audit_study(study_of(score, task, texts=texts), AuditSettings()).counts()
    assert counts["out of step"] == 0
    assert counts["wrong key"] <= 3
    assert sum(counts.get(kind, 0) for kind in ("duplicate", "near duplicate", "same answers")) <= 1


def test_a_weak_model_that_guesses_is_not_out_of_step() -> None:
    chance, task, texts = clean(8, n_models=40)
    # two guessers among forty, as weak as each other, and one good model whose rows are mixed
    chance[:2] = 0.2
    rng = np.random.default_rng(8)
    score = (rng.random(chance.shape) < chance).astype(float)
    good = int(np.argsort(score.mean(axis=1))[-5])
    for t in range(8):
        score[good, task == t] = rng.permutation(score[good, task == t])
    listed = audit_study(study_of(score, task, texts=texts), AuditSettings()).listed()
    assert set(listed.loc[listed["kind"] == "out of step", "id"]) == {f"m{good:02d}"}


@pytest.mark.slow
def test_a_real_study_put_out_of_order_names_the_model() -> None:
    if not OPENLLM.is_dir():
        pytest.skip("the shared data set openllm_v2 is not here")
    study = Study.load(OPENLLM)
    others = study.items["benchmark"] != "MMLU-Pro"
    study = study.keep_items(pd.Index(study.items.loc[others, "item_id"]))
    rng = np.random.default_rng(0)
    answers = study.responses.copy()
    models = sorted(answers["model"].astype(str).unique())
    for name in rng.choice(models, 3, replace=False):
        changed = answers.copy()
        rows = np.flatnonzero((changed["model"] == name) & changed["item_id"].astype(str).str.startswith("BBH"))
        changed.loc[rows, "score"] = rng.permutation(changed.loc[rows, "score"].to_numpy())
        listed = audit_study(Study.of(study.items, changed), AuditSettings()).listed()
        assert set(listed.loc[listed["kind"] == "out of step", "id"]) == {name}


@pytest.mark.slow
def test_chances_of_wrong_keys_are_calibrated() -> None:
    chances, truth = [], []
    for seed in range(3):
        study, wrong, _, _ = planted(seed + 20)
        table = audit_study(study, AuditSettings()).table
        rows = table[table["kind"] == "wrong key"]
        chances += rows["probability"].tolist()
        truth += rows["id"].isin(wrong).tolist()
    chance, hit = np.array(chances), np.array(truth)
    sure, unsure = chance > 0.9, (chance > 0.1) & (chance < 0.9)
    assert hit[sure].mean() > 0.88
    assert hit[unsure].mean() == pytest.approx(chance[unsure].mean(), abs=0.25)


def test_the_rate_of_false_discoveries_is_kept() -> None:
    rng = np.random.default_rng(0)
    probability = rng.beta(0.3, 0.6, 20_000)
    truth = rng.random(20_000) < probability
    for rate in (0.05, 0.2):
        taken = discovered(probability, rate)
        assert 1 - truth[taken].mean() == pytest.approx(rate, abs=0.02)
    assert not discovered(np.array([0.3, 0.2]), 0.2).any()


def test_class_frequencies_are_learnt() -> None:
    rng = np.random.default_rng(0)
    odd = rng.random(3000) < 0.1
    x = rng.normal(np.where(odd, 3.0, 0.0))
    log_likelihood = -0.5 * (x[:, None] - np.array([0.0, 3.0])) ** 2
    chance = class_probability(log_likelihood, np.array([0.5, 0.5]))
    assert chance.sum(axis=1) == pytest.approx(np.ones(3000))
    assert chance[:, 1].mean() == pytest.approx(0.1, abs=0.02)


def test_nested_chances_tell_rows_groups_and_cells_apart() -> None:
    evidence = np.full((30, 12), -2.0)
    group = np.repeat([0, 1, 2], 4)
    evidence[3], evidence[7, :4], evidence[11, 5] = 3.0, 4.0, 12.0
    found = nested_chances(evidence, group, np.full((30, 3), 1e-4))
    assert (found.row > 0.5).nonzero()[0].tolist() == [3]
    assert [tuple(at) for at in np.argwhere(found.group > 0.5) if at[0] != 3] == [(7, 0)]
    assert [tuple(at) for at in np.argwhere(found.cell > 0.5) if at[0] not in (3, 7)] == [(11, 5)]
    # the same evidence is excused where models as weak look so too
    excused = nested_chances(evidence, group, np.full((30, 3), 0.5))
    assert excused.group[7, 0] < 0.2


def test_a_lag_is_found_and_none_is_made_up() -> None:
    rng = np.random.default_rng(0)
    easy = rng.random(200)
    score = (rng.random(200) < easy).astype(float)
    assert best_lag(np.roll(score, 3), easy).places == 3
    assert best_lag(np.roll(score, -2), easy).places == -2
    assert best_lag(score, easy) is None
    assert sum(best_lag(rng.permutation(score), easy) is not None for _ in range(100)) <= 4


def test_ids_are_put_in_natural_order() -> None:
    ids = ["t/10", "t/2", "s/3", "t/1"]
    assert [ids[i] for i in natural_order(ids)] == ["s/3", "t/1", "t/2", "t/10"]


def test_texts_that_differ_by_case_and_space_are_the_same() -> None:
    assert normal_form("  What's\n2+2 ?") == normal_form("what's 2 +2?")
    groups = same_texts(["A b", "a  B", "c", "", "", "C"])
    assert [group.tolist() for group in groups] == [[0, 1], [2, 5]]


def test_templates_are_not_near_duplicates_but_edits_are() -> None:
    rng = np.random.default_rng(0)
    names = rng.choice(WORDS, (150, 6))
    texts = [f"{a} has {b} and gives {c} to {d} who wants {e} ; what does {f} have ?" for a, b, c, d, e, f in names]
    edited = texts + [texts[5].replace("gives", "hands"), texts[9].replace("what does", "what will")]
    task = np.array(["t"] * len(edited))
    chance = near_duplicate_chance(nearest_texts(edited, 0), task)
    assert chance[[150, 151]].min() > 0.7
    assert (chance[:150] > 0.5).sum() <= 4


@pytest.mark.slow
def test_the_audit_does_not_depend_on_the_order_of_rows() -> None:
    study, *_ = planted(3)
    shuffled = study.responses.sample(frac=1, random_state=0).reset_index(drop=True)
    one = audit_study(study, AuditSettings()).table
    other = audit_study(Study.of(study.items, shuffled), AuditSettings()).table
    assert one["id"].tolist() == other["id"].tolist()
    chances = [table["probability"].to_numpy(dtype=float) for table in (one, other)]
    assert chances[0] == pytest.approx(chances[1], abs=1e-6)


def test_neighbours_in_ability_weigh_as_in_all_pairs(monkeypatch):
    rng = np.random.default_rng(0)
    ability, value = np.round(rng.normal(size=60), 1), rng.normal(size=60)
    near = np.exp(-0.5 * ((ability[:, None] - ability) / max(ability.std() * 60**-0.2, 0.1)) ** 2)
    np.fill_diagonal(near, 0)
    monkeypatch.setattr(row_order, "PAIRS_AT_ONCE", 100)
    sums, weights = row_order._neighbour_sums(ability, value)
    np.testing.assert_allclose(sums, near @ value, rtol=0, atol=1e-12)
    np.testing.assert_allclose(weights, near.sum(1), rtol=0, atol=1e-12)
    monkeypatch.undo()


def test_models_many_and_items_few_share_as_much_by_either_product():
    rng = np.random.default_rng(5)
    truth = IRTTruth(rng.normal(size=(90, 1)), rng.lognormal(0, 0.4, (40, 1)), rng.normal(size=40))
    data = simulate_irt(truth, rng)
    posterior = fit_irt(data, IRTSettings(model="2pl", form="signed")).posterior
    tall = independent_share(posterior, data)
    chance = posterior.probability(data.model_index, data.item_index)
    residual = np.zeros((90, 40), np.float32)
    residual[data.model_index, data.item_index] = np.clip(
        (data.score - chance) / np.sqrt(np.maximum(chance * (1 - chance), 1e-4)), -5, 5
    )
    correlation = residual @ residual.T / np.outer(*[np.linalg.norm(residual, axis=1)] * 2)
    squares = ((correlation**2).sum() - 90) / (90 * 89)
    assert tall == pytest.approx(1 / (1 + 89 * max(squares - 1 / 40, 0)), abs=1e-5)


def test_too_few_answers_a_task_leave_no_model_out_of_step():
    rng = np.random.default_rng(5)
    truth = IRTTruth(rng.normal(size=(8, 1)), np.ones((12, 1)), rng.normal(size=12))
    data = simulate_irt(truth, rng)
    places = Places(data.items, np.full(12, "b"), np.full(12, "t"))
    findings = row_order.step_suspects(data, places, 0.1)
    assert not len(findings.cells)
    assert not len(findings.suspects.table)
