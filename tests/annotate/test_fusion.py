import numpy as np
import pandas as pd
import pytest

from annotate.helpers import two_annotators
from capscope.annotate import fuse
from capscope.annotate.fusion import fuse_ratings
from capscope.data import Study
from capscope.errors import InputError


def simulate(rng, items=1500, severity=(0.8, 0.0, -0.8), width=(0.5, 0.7, 0.9)):
    truth = rng.choice(6, items, p=[0.1, 0.2, 0.25, 0.2, 0.15, 0.1])
    said = truth[:, None] + np.array(severity) + rng.normal(size=(items, 3)) * np.array(width)
    return truth, np.clip(np.rint(said), 0, 5)


def test_severities_and_widths_are_recovered(rng):
    truth, said = simulate(rng)
    posterior, traits = fuse_ratings(said)
    assert [severity for severity, _ in traits] == pytest.approx([0.8, 0.0, -0.8], abs=0.2)
    widths = [width for _, width in traits]
    assert widths[0] < widths[1] < widths[2]
    assert widths == pytest.approx([0.5, 0.7, 0.9], abs=0.25)


def test_the_fused_level_is_better_than_any_annotator_and_its_sd_is_honest(rng):
    truth, said = simulate(rng)
    posterior, _ = fuse_ratings(said)
    mean = posterior @ np.arange(6.0)
    error = np.sqrt(np.mean((mean - truth) ** 2))
    alone = np.sqrt(np.mean((said - truth[:, None]) ** 2, axis=0)).min()
    assert error < 0.85 * alone
    sd = np.sqrt(posterior @ np.arange(6.0) ** 2 - mean**2)
    assert np.sqrt(np.mean(((mean - truth) / np.maximum(sd, 0.1)) ** 2)) == pytest.approx(1, abs=0.15)


def test_gaps_are_allowed_and_say_less(rng):
    _, said = simulate(rng, 600)
    said[:300, 1:] = np.nan
    posterior, _ = fuse_ratings(said)
    variance = posterior @ np.arange(6.0) ** 2 - (posterior @ np.arange(6.0)) ** 2
    assert np.isfinite(posterior).all()
    assert variance[:300].mean() > variance[300:].mean()


def test_a_study_is_fused_rubric_by_rubric(rng):
    _, said = simulate(rng, 80)
    rows = [
        (f"i{item}", rubric, f"r{rater}", said[item, rater], "abc")
        for item in range(80)
        for rater in range(3)
        for rubric in ("A", "B")
    ]
    demands = pd.DataFrame(rows, columns=["item_id", "rubric", "annotator", "level", "rubric_sha"])
    fusion = fuse(Study.of(demands=demands))
    assert len(fusion.labels) == 160
    assert set(fusion.labels["annotator"]) == {"fused"}
    assert set(fusion.labels["rubric_sha"]) == {"abc"}
    assert [trait.items for trait in fusion.traits] == [80] * 6
    Study.of(demands=pd.concat([demands, fusion.labels]))
    with pytest.raises(InputError, match="two annotators or more"):
        fuse(Study.of(demands=demands), ("r0",))
    demands.loc[0, "rubric_sha"] = "other"
    with pytest.raises(InputError, match="2 versions"):
        fuse(Study.of(demands=demands))


def test_two_real_annotators_are_fused():
    study = two_annotators()
    demands = study.demands
    few = Study.of(demands=demands[demands["rubric"].isin(["SRaN", "WM"])].drop(columns="id_confidence"))
    fusion = fuse(few)
    assert fusion.labels["level"].between(0, 5).all()
    assert (fusion.labels["sd"] > 0).mean() > 0.9
    assert sum(trait.severity for trait in fusion.traits) == pytest.approx(0, abs=1e-9)
