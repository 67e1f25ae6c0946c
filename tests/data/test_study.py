import json
import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capscope.data import Study
from capscope.errors import InputError, OutputError
from capscope.files import TABLE_WRITERS, sha256_of, write_table

letters = st.characters(exclude_categories=("Cs",), exclude_characters="\0")
names = st.text(letters, min_size=1, max_size=6).filter(str.strip)
cell = st.one_of(
    st.none(),
    st.integers(),
    st.floats(allow_nan=False),
    st.text("ab", max_size=2),
    st.booleans(),
    st.lists(st.integers()),
)


def small(score=1):
    return Study.of(
        items=pd.DataFrame({"item_id": ["a", "b"], "text": ["x", None], "n_options": [4, 2]}),
        responses=pd.DataFrame({"model": "m", "item_id": ["a", "b"], "score": [score, 0]}),
        demands=pd.DataFrame({"item_id": ["a"], "rubric": "AS", "annotator": "x", "level": [2]}),
        sources={"format": "test"},
    )


def same(left, right):
    assert left.tables().keys() == right.tables().keys()
    for table, frame in left.tables().items():
        pd.testing.assert_frame_equal(frame, right.tables()[table])


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_what_passes_the_checks_survives_saving(tmp_path_factory, data):
    ids = data.draw(st.lists(names, min_size=1, max_size=4, unique_by=str.strip))
    several = {"min_size": len(ids), "max_size": len(ids)}
    items = {
        "item_id": ids,
        "text": data.draw(st.lists(st.one_of(st.none(), names), **several)),
        "target": data.draw(st.lists(cell, **several)),
        "extra": data.draw(st.lists(cell, **several)),
    }
    responses = {"model": data.draw(names), "item_id": ids, "score": data.draw(st.lists(st.floats(0, 1), **several))}
    study = Study.of(pd.DataFrame(items), pd.DataFrame(responses))
    folder = study.save(tmp_path_factory.mktemp("s") / "study")
    same(study, Study.load(folder))


def test_round_trip_with_hashes_and_defaults(tmp_path):
    study = small()
    folder = study.save(tmp_path / "study")
    manifest = json.loads((folder / "study.json").read_text("utf-8"))
    assert manifest["sources"] == {"format": "test"}
    assert manifest["rubrics"] == ["AS"]
    assert manifest["sha256"] == {f"{t}.parquet": sha256_of(folder / f"{t}.parquet") for t in study.tables()}
    back = Study.load(folder)
    same(study, back)
    assert back.sources == {"format": "test"}
    assert back.edited == ()
    assert back.items["chance"].tolist() == [0.25, 0.5]
    assert back.items["benchmark"].tolist() == ["all", "all"]


def test_saving_the_same_study_twice_gives_the_same_bytes(tmp_path):
    first, second = small().save(tmp_path / "one"), small().save(tmp_path / "two")
    assert (first / "study.json").read_bytes() == (second / "study.json").read_bytes()


def test_an_edited_table_is_noticed(tmp_path):
    folder = small().save(tmp_path / "study")
    pd.DataFrame({"model": ["n"], "item_id": ["a"], "score": [1]}).to_parquet(folder / "responses.parquet")
    assert Study.load(folder).edited == ("responses.parquet",)


def test_an_existing_output_is_kept_without_force(tmp_path):
    folder = small().save(tmp_path / "study")
    before = sha256_of(folder / "responses.parquet")
    with pytest.raises(OutputError, match="already exists; choose another --out or add --force"):
        small(score=0).save(folder)
    assert sha256_of(folder / "responses.parquet") == before
    small(score=0).save(folder, force=True)
    assert Study.load(folder).responses["score"].tolist() == [0, 0]
    assert os.listdir(tmp_path) == ["study"]


def test_force_leaves_the_old_study_whole_when_the_new_one_cannot_be_written(tmp_path):
    folder = small().save(tmp_path / "study")
    before = {path.name: sha256_of(path) for path in folder.iterdir()}
    unwritable = Study.of(pd.DataFrame({"item_id": ["a", "b"]}), sources={"by": {1, 2}})
    with pytest.raises(TypeError, match="set"):
        unwritable.save(folder, force=True)
    assert {path.name: sha256_of(path) for path in folder.iterdir()} == before
    assert os.listdir(tmp_path) == ["study"]


def test_a_table_of_the_models_stays_when_its_study_is_replaced(tmp_path):
    small().save(tmp_path / "s")
    (tmp_path / "s" / "models.csv").write_text("model,cutoff\nm,2025-01\n")
    small(0).save(tmp_path / "s", force=True)
    assert Study.load(tmp_path / "s").require("responses")["score"].tolist() == [0.0, 0.0]
    assert (tmp_path / "s" / "models.csv").read_text() == "model,cutoff\nm,2025-01\n"


def test_force_never_replaces_what_is_no_study(tmp_path):
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "precious.txt").write_text("x")
    with pytest.raises(OutputError, match=r"holds more than a study \(precious.txt\)"):
        small().save(tmp_path / "notes", force=True)
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match="this is a file"):
        small().save(tmp_path / "file", force=True)
    with pytest.raises(OutputError, match="is a file, not a folder"):
        small().save(tmp_path / "file" / "below")
    assert (tmp_path / "notes" / "precious.txt").read_text() == "x"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "line 1 is not JSON"),
        ("[]", "not the manifest of a study"),
        ('{"sha256": 3}', "not the manifest of a study"),
        ('{"schema_version": 99}', "schema version 99 is not known"),
    ],
)
def test_a_broken_manifest_is_named(tmp_path, text, said):
    folder = small().save(tmp_path / "study")
    (folder / "study.json").write_text(text)
    with pytest.raises(InputError, match="study.json") as caught:
        Study.load(folder)
    assert said in str(caught.value)


def test_folders_that_are_no_study(tmp_path):
    with pytest.raises(InputError, match="no such study folder"):
        Study.load(tmp_path / "absent")
    with pytest.raises(InputError, match="no study here"):
        Study.load(tmp_path)
    for name in ("responses.csv", "responses.tsv"):
        (tmp_path / name).write_text("model\titem_id\tscore\n")
    with pytest.raises(InputError, match="holds responses.csv and responses.tsv; keep one"):
        Study.load(tmp_path)


def test_a_folder_of_text_tables_is_a_study(tmp_path):
    (tmp_path / "responses.csv").write_text("model,item_id,score\nm,007,1\n")
    (tmp_path / "items.jsonl").write_text('{"item_id": "007", "text": "x"}\n')
    study = Study.load(tmp_path)
    assert study.responses["item_id"].tolist() == study.items["item_id"].tolist() == ["007"]


def test_choosing_models_and_items():
    study = small()
    assert study.keep_items(pd.Index(["b"])).responses["item_id"].tolist() == ["b"]
    assert len(study.keep_models(["m"]).responses) == 2
    with pytest.raises(InputError, match="no responses by model 'mm'.*; there are "):
        study.keep_models(["mm"])
    with pytest.raises(InputError, match="needs demands.parquet"):
        Study(study.items).require("demands")


@pytest.mark.parametrize("suffix", list(TABLE_WRITERS))
def test_a_table_is_extended_in_its_own_format(tmp_path, suffix):
    for table, frame in small().tables().items():
        write_table(tmp_path / f"{table}{suffix}", frame)
    more = pd.DataFrame({"item_id": ["b"], "rubric": "AS", "annotator": "x", "level": [3.5], "sd": [0.25]})
    path = Study.replace_table(tmp_path, "demands", lambda old: pd.concat([old, more], ignore_index=True))
    assert path == tmp_path / f"demands{suffix}"
    assert sorted(os.listdir(tmp_path)) == sorted(f"{t}{suffix}" for t in ("items", "responses", "demands"))
    demands = Study.load(tmp_path).require("demands")
    assert demands["level"].tolist() == [2, 3.5]
    assert demands["sd"].isna().tolist() == [True, False]


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_a_new_table_takes_the_format_of_the_others(tmp_path, suffix):
    write_table(tmp_path / f"items{suffix}", small().require("items"))
    assert Study.replace_table(tmp_path, "demands", lambda _: small().require("demands")).suffix == suffix
    assert len(Study.load(tmp_path).require("demands")) == 1


def test_a_replaced_table_is_recorded_in_the_manifest(tmp_path):
    folder = small().save(tmp_path / "s")
    levels = pd.DataFrame({"item_id": ["a"], "rubric": "CL", "annotator": "y", "level": [1]})
    Study.replace_table(folder, "demands", lambda old: pd.concat([old, levels]))
    assert Study.load(folder).edited == ()
    manifest = json.loads((folder / "study.json").read_text())
    assert manifest["rubrics"] == ["AS", "CL"]
    assert manifest["sources"] == {"format": "test"}


def test_a_wrong_table_leaves_the_old_one(tmp_path):
    folder = small().save(tmp_path / "s")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(InputError, match="level is '9'"):
        Study.replace_table(folder, "demands", lambda old: old.assign(level=9))
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


ADD_LABELS = """
import sys
import pandas as pd
from capscope.data import Study
folder, annotator = sys.argv[1:]
for number in range(8):
    row = pd.DataFrame({"item_id": [str(number)], "rubric": "AS", "annotator": annotator, "level": [1]})
    Study.replace_table(folder, "demands", lambda old: pd.concat([old, row], ignore_index=True))
"""


def test_two_processes_that_extend_a_table_both_keep_their_rows(tmp_path):
    folder = small().save(tmp_path / "s")
    running = [subprocess.Popen([sys.executable, "-c", ADD_LABELS, folder, name]) for name in ("m1", "m2")]
    assert [process.wait() for process in running] == [0, 0]
    demands = Study.load(folder).require("demands")
    assert demands["annotator"].value_counts().to_dict() == {"m1": 8, "m2": 8, "x": 1}
    assert sorted(os.listdir(tmp_path)) == ["s"]


def test_a_study_made_without_of_is_checked_too():
    study = Study(responses=pd.DataFrame({"model": ["m"], "item_id": [7], "score": ["1"]}))
    assert study.require("responses")["item_id"].tolist() == ["7"]
    with pytest.raises(InputError, match="column 'item_id' is missing"):
        Study(pd.DataFrame({"model": ["m"]}))


def test_a_checked_table_is_checked_again_where_it_no_longer_holds():
    study = small()
    items, responses = study.require("items"), study.require("responses")
    with pytest.raises(InputError, match="repeats item_id"):
        Study(pd.concat([items, items]))
    with pytest.raises(InputError, match="score is '7'"):
        Study(responses=responses.assign(score=7))
    both = pd.concat([responses, responses.assign(model="other").astype({"model": "category"})])
    with pytest.raises(InputError, match="repeats item_id"):
        Study(both.astype({"model": "category"}))
    assert Study(responses=both.astype({"model": "category"})).require("responses")["model"].nunique() == 2


def test_a_matrix_of_models_by_items_is_responses():
    frame = pd.DataFrame({"i1": [1, 0], "i2": [np.nan, 0.5]}, index=["a", "b"])
    responses = Study.of(frame).require("responses")
    rows = responses.sort_values(["model", "item_id"])[["model", "item_id", "score"]].astype({"score": float})
    assert rows.to_numpy().tolist() == [["a", "i1", 1.0], ["b", "i1", 0.0], ["b", "i2", 0.5]]
    with_names = Study.of(frame.reset_index(names="model")).require("responses")
    pd.testing.assert_frame_equal(with_names, responses)
    with pytest.raises(InputError, match="names a twice; give each model one row"):
        Study.of(pd.concat([frame, frame]))


def test_a_study_shows_its_sizes():
    assert repr(small()) == "Study('study': 2 items, 2 responses, 1 demand; 1 model on 2 items)"
    assert "<td>responses</td>" in small()._repr_html_()


def test_an_item_with_one_option_is_open_whatever_older_versions_stored():
    items = pd.DataFrame({"item_id": ["a", "b", "c"], "n_options": [4, 1, 1], "chance": [None, None, 1.0]})
    assert Study.of(items=items).items["chance"].tolist() == [0.25, 0.0, 0.0]
    assert Study.of(items=items.drop(columns="chance")).items["chance"].tolist() == [0.25, 0.0, 0.0]


def test_a_study_made_of_its_tables_alone_has_what_a_table_of_items_may_leave_out() -> None:
    items = pd.DataFrame({"item_id": ["q1", "q2"]})
    made = Study(items, pd.DataFrame({"model": ["m"] * 2, "item_id": ["q1", "q2"], "score": [1.0, 0.0]}), None, "s")
    pd.testing.assert_frame_equal(made.require("items"), Study.of(items, made.responses).require("items"))


KILLED = """
import os, sys
from pathlib import Path
import pandas as pd
from capscope.data import Study

folder, last = Path(sys.argv[1]), int(sys.argv[2])
events = 0

def die(event, arguments):
    global events
    if event == "os.rename":
        events += 1
        if events > last:
            os._exit(9)

rows = pd.DataFrame({"model": ["new"], "item_id": ["i0"], "score": [1.0]})
items = pd.DataFrame({"item_id": ["i0", "i1"], "text": ["zero", "one"]})
sys.addaudithook(die)
Study.update(folder, lambda old: Study.of(items, pd.concat([old.responses, rows])))
"""


def test_a_change_of_several_tables_that_is_killed_is_old_or_new_as_a_whole(tmp_path):
    responses = pd.DataFrame({"model": ["old"], "item_id": ["i0"], "score": [0.0]})
    items = pd.DataFrame({"item_id": ["i0"], "text": ["zero"]})
    seen = set()
    for last in range(0, 9, 2):
        folder = Study.of(items, responses).save(tmp_path / f"study{last}")
        killed = subprocess.run([sys.executable, "-c", KILLED, str(folder), str(last)], check=False)
        study = Study.load(folder)
        sizes = (len(study.require("items")), len(study.require("responses")))
        assert sizes in ((1, 1), (2, 2))
        assert study.edited == (), "the manifest belongs to the tables"
        assert not list(folder.glob(".capscope-unfinished*"))
        seen.add((killed.returncode, *sizes))
    assert seen == {(9, 1, 1), (9, 2, 2), (0, 2, 2)}
