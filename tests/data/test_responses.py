"""Responses as arrays: facets stay beside the rows, repeats are pooled by their trials."""

import numpy as np
import pandas as pd
import pytest

from capscope.data import Responses, Study
from capscope.data.responses import ResponseFile
from capscope.errors import InputError


def study(**columns):
    frame = pd.DataFrame(
        {"model": ["b", "a", "a", "a"], "item_id": ["x", "x", "x", "y"], "score": [1.0, 0.5, 1.0, 0.0], **columns}
    )
    return Study.of(responses=frame)


JUDGED = {"judge": ["j1", "j1", "j2", "j1"]}


def test_repeats_are_pooled_by_their_trials():
    dense = Responses.of(study(n_trials=[1, 4, 2, 5], **JUDGED)).dense()
    assert dense.n_trials.tolist() == [[6, 5], [1, 0]]
    assert dense.right.tolist() == [[4, 0], [1, 0]]
    np.testing.assert_allclose(dense.score, [[4 / 6, 0], [1, np.nan]])


def test_means_count_trials():
    responses = Responses.of(study(n_trials=[1, 4, 2, 5], **JUDGED))
    np.testing.assert_allclose(responses.model_means(), [4 / 11, 1])
    np.testing.assert_allclose(responses.item_means(), [5 / 7, 0])
    only_b = responses.rows(responses.model_index == 1)
    np.testing.assert_allclose(only_b.item_means(), [1, np.nan])


@pytest.mark.parametrize("facet", ["prompt", "scaffold", "effort", "judge", "run"])
def test_every_facet_stays_on_the_rows(facet):
    responses = Responses.of(study(**{facet: ["one", "one", "two", "one"]}))
    axis = responses.facets[facet]
    assert axis.names == ("one", "two")
    of_a_on_x = (responses.model_index == 0) & (responses.item_index == 0)
    kept = responses.rows(of_a_on_x)
    assert {
        kept.facets[facet].names[code]: score for code, score in zip(kept.facets[facet].codes, kept.score, strict=True)
    } == {
        "one": 0.5,
        "two": 1.0,
    }


def test_the_order_of_the_table_changes_nothing():
    frame = study(**JUDGED).require("responses")
    one = Responses.of(Study.of(responses=frame))
    other = Responses.of(Study.of(responses=frame.sample(frac=1, random_state=3)))
    assert one.score.tolist() == other.score.tolist()
    assert one.facets["judge"].codes.tolist() == other.facets["judge"].codes.tolist()


def test_a_facet_left_open_is_none_and_a_repeat_under_it_is_refused():
    responses = Responses.of(study(run=["1", None, "2", ""]))
    assert responses.facets["run"].names == ("1", "2", "none")
    with pytest.raises(InputError, match="repeats model 'a', item_id 'x', run 'none'"):
        study(run=["1", None, "", "2"])


def test_costs_are_numbers_that_may_be_missing():
    kept = study(usd=["0.1", "", "0", "2"], **JUDGED).require("responses")
    assert kept["usd"].isna().tolist() == [False, True, False, False]
    with pytest.raises(InputError, match="usd is '-1'"):
        study(usd=[-1, 0, 0, 0], **JUDGED)


def test_a_table_on_disk_keeps_its_facets(tmp_path):
    path = tmp_path / "r.parquet"
    study(**JUDGED).require("responses").to_parquet(path)
    block = next(iter(ResponseFile.open(path).blocks()))
    facet = block.facets["judge"]
    assert [facet.names[code] for code in facet.codes] == ["j1", "j1", "j2", "j1"]
