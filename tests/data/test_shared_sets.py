"""The shared data sets load whole; the one with sentinel scores is refused in one line and imported on request."""

import pytest

from capscope.data import Study, check_study
from capscope.data.formats import ExtraTables, import_tidy
from capscope.errors import InputError


@pytest.mark.parametrize(
    ("name", "sizes"),
    [
        ("joined_bbh_math", {"items": 1617, "responses": 126_768, "models": 81, "rubrics": 18, "annotators": 2}),
        ("openllm_v2", {"items": 18_653, "models": 81, "benchmarks": 5}),
        ("metabench_openllm_v1", {"items": 1075, "models": 6349, "benchmarks": 5}),
        ("two_annotators", {"items": 14_906, "demands": 398_658, "rubrics": 18, "annotators": 2}),
    ],
)
def test_sets_load_and_their_tables_match(shared, name, sizes):
    found = check_study(Study.load(shared(name)))
    assert {key: found.sizes[key] for key in sizes} == sizes
    assert all(join.share == 1 for join in found.joins if join.other == "items")


def test_sentinel_scores_are_refused_and_left_out_on_request(shared):
    folder = shared("livecodebench")
    with pytest.raises(InputError) as caught:
        Study.load(folder)
    assert f"{folder / 'responses.parquet'}: row 13301: score is '-0.01'" in str(caught.value)
    assert "--not-administered" in str(caught.value)
    tables = ExtraTables(items=folder / "items.parquet")
    study, report = import_tidy([folder / "responses.parquet"], not_administered=["-0.01"], extra=tables)
    assert report.not_administered == 2874
    assert report.responses == len(study.responses) == 59_884 - 2874
    assert study.responses["score"].min() == 0
