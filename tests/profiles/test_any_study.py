"""Any honest study goes through `compare`, `explain` and `audit`: a result, or one line that says what is missing."""

import numpy as np
import pandas as pd
import pytest

from capscope.data import Study
from capscope.errors import CapscopeError
from capscope.profiles import AuditSettings, ExplainSettings, compare, explain_benchmark

SCORES = ("right or wrong", "fractions", "trials", "all right", "all wrong", "constant", "repeats")


def drawn_study(rng: np.random.Generator) -> tuple[Study, str]:
    """A small study of random shape, and what it is like."""
    models, items = int(rng.choice([1, 2, 3, 6, 9, 12])), int(rng.choice([1, 2, 5, 20, 60]))
    kind = str(rng.choice(SCORES))
    level = rng.integers(0, 6, (items, 2)).astype(float)
    chance = 1 / (1 + np.exp(-(np.linspace(-1, 2, models)[:, None] + 1.5 - 0.8 * level[:, 0])))
    score = {
        "right or wrong": (rng.random(chance.shape) < chance).astype(float),
        "fractions": np.round(chance, 3),
        "trials": rng.binomial(4, chance) / 4,
        "all right": np.ones(chance.shape),
        "all wrong": np.zeros(chance.shape),
        "constant": np.full(chance.shape, 0.5),
        "repeats": (rng.random(chance.shape) < chance).astype(float),
    }[kind]
    share = float(rng.choice([0.1, 0.5, 1.0]))
    seen = rng.random(chance.shape) <= share
    seen[0, 0] = True
    m, i = np.nonzero(seen)
    ids = np.array([f"q{number:03d}" for number in range(items)])
    responses = pd.DataFrame({"model": np.char.add("m", m.astype(str)), "item_id": ids[i], "score": score[m, i]})
    if kind == "trials":
        responses["n_trials"] = 4
    if kind == "repeats":
        responses = pd.concat([responses.assign(scaffold=name) for name in "ab"], ignore_index=True)
    texts = {"none": None, "one": "the same text", "own": [f"what is {n} plus {n * 7 % 13} ?" for n in range(items)]}
    text = str(rng.choice(list(texts)))
    tasks = int(rng.choice([1, 3, items]))
    table = pd.DataFrame({"item_id": ids, "benchmark": "b", "task": [f"t{n % tasks}" for n in range(items)]})
    table["text"] = pd.Series([texts[text]] * items if text != "own" else texts[text], dtype="string")
    demands = None
    rated = str(rng.choice(["none", "all", "some", "constant"]))
    if rated != "none":
        kept = (
            np.arange(items)
            if rated != "some"
            else np.flatnonzero((rng.random(items) < 0.95) | (np.arange(items) == 0))
        )
        value = np.ones_like(level) if rated == "constant" else level
        rows = [(ids[n], code, "me", value[n, d]) for n in kept for d, code in enumerate(("QLl", "XX"))]
        demands = pd.DataFrame(rows, columns=["item_id", "rubric", "annotator", "level"])
    without_items = bool(rng.random() < 0.1)
    words = f"{models} models, {items} items, {kind}, {share:.0%} seen, text {text}, {tasks} tasks, rated {rated}"
    return Study.of(None if without_items else table, responses, demands), words


def gone_through(study: Study, words: str) -> int:
    """Run every verb of the room; return how many gave a result."""
    names = sorted(map(str, study.responses["model"].unique()))
    done = 0
    for run in (
        lambda: compare(study).as_text(),
        lambda: compare(study, names[0], names[-1]).as_text(),
        lambda: explain_benchmark(study, ExplainSettings(), AuditSettings()).as_text(),
        lambda: compare(study)._repr_html_(),
    ):
        try:
            assert len(run()) > 10
            done += 1
        except CapscopeError as error:
            if "\n" in str(error):
                raise AssertionError(words) from error
        except Exception as error:
            raise AssertionError(words) from error
    return done


def test_a_study_of_any_shape_has_a_result_or_one_line() -> None:
    rng = np.random.default_rng(0)
    assert sum(gone_through(*drawn_study(rng)) for _ in range(4)) >= 6


@pytest.mark.slow
def test_many_studies_of_any_shape_have_a_result_or_one_line() -> None:
    rng = np.random.default_rng(99)
    for _ in range(80):
        gone_through(*drawn_study(rng))


def test_items_that_all_guess_right_cost_no_part_of_an_explanation_and_tfidf_needs_no_network(monkeypatch):
    rng = np.random.default_rng(0)
    ids = [f"i{n:02d}" for n in range(30)]
    right = rng.random((6, 30)) < np.linspace(0.2, 0.8, 6)[:, None] * (1 - 0.3 * np.eye(30)[0])
    rows = [(f"m{m}", item, int(right[m, n])) for m in range(6) for n, item in enumerate(ids)]
    levels = [(item, code, "me", int(rng.integers(0, 5))) for item in ids for code in ("QLl", "AS")]
    study = Study.of(
        pd.DataFrame({"item_id": ids, "text": [f"sum {n} and {n % 7} pears" for n in range(30)], "chance": 1.0}),
        pd.DataFrame(rows, columns=["model", "item_id", "score"]),
        pd.DataFrame(levels, columns=["item_id", "rubric", "annotator", "level"]),
    )
    monkeypatch.setattr("capscope.embedding.load_encoder", lambda _: pytest.fail("a model was loaded"))
    report = explain_benchmark(study, settings=ExplainSettings(embedder="tfidf"))
    assert report.explanation.responses is not None
    text = report.as_text()
    assert "nan%" not in text
