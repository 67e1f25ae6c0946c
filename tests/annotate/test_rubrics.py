import json
import re
from pathlib import Path

import pytest

from annotate.helpers import LEVEL_TEXTS, write_rubrics
from capscope.annotate import check_rubrics, general_rubrics, known_rubrics, load_rubrics, parse_rubric, shipped_sets
from capscope.errors import InputError


def test_a_folder_is_read_in_the_order_of_its_index(tmp_path):
    write_rubrics(tmp_path, ("AA", "BB", "CC"))
    index = {"name": "mine", "version": "2", "order": ["CC", "AA"], "families": {"f": ["AA"]}, "control": ["BB"]}
    (tmp_path / "index.json").write_text(json.dumps(index), "utf-8")
    rubrics = load_rubrics(tmp_path)
    assert rubrics.codes == ("CC", "AA", "BB")
    assert (rubrics.name, rubrics.version, rubrics.family("AA"), rubrics.family("CC")) == ("mine", "2", "f", "")
    assert [rubric.code for rubric in rubrics.scales()] == ["CC", "AA"]
    assert rubrics.get("AA").name == "Scale of AA"
    assert [len(level.examples) for level in rubrics.get("AA").levels] == [2] * 6


def test_the_published_shape_is_accepted(tmp_path):
    body = "\ufeff# Some Scale\r\n\r\nText before.\r\n" + "".join(
        f"Level {level}. Label. Words.\r\n\r\nExamples:\r\n * One.\r\n" for level in range(6)
    )
    (tmp_path / "SS.txt").write_text(body + "\nAnd a note after.\n", "utf-8")
    rubric = load_rubrics(tmp_path).get("SS")
    assert rubric.name == "Some Scale"
    assert rubric.missing_levels() == ()
    assert check_rubrics(load_rubrics(tmp_path)) == ()


def test_the_hash_follows_the_words_and_not_the_bytes_around_them():
    text = "# N\n" + LEVEL_TEXTS
    plain = parse_rubric("A", text).sha256
    assert parse_rubric("A", "\ufeff" + text.replace("\n", "\r\n") + "\n\n").sha256 == plain
    assert parse_rubric("A", text.replace("Needs 3", "Wants 3")).sha256 != plain


def test_check_finds_what_is_wrong(tmp_path):
    write_rubrics(tmp_path, ("AA", "BB"))
    (tmp_path / "aa.txt").write_text(
        "# Other\nLevel 0: x\n- e\nLevel 2: y\nLevel 2: z\n- e\nLevel 7: w\n- e\n", "utf-8"
    )
    (tmp_path / "DD.txt").write_text((tmp_path / "AA.txt").read_text("utf-8"), "utf-8")
    problems = {(finding.code, finding.problem) for finding in check_rubrics(load_rubrics(tmp_path), longest=60)}
    assert ("aa", "level 1 is missing") in problems
    assert ("aa", "level 2 stands twice") in problems
    assert ("aa", "level 2 has no example") in problems
    assert ("aa", "level 7 is not one of 0-5") in problems
    assert ("aa", "its code equals that of AA but for case") in problems
    assert ("DD", "its text equals that of AA") in problems
    assert any(code == "BB" and "overlong" in problem for code, problem in problems)


@pytest.mark.parametrize(
    ("index", "message"),
    [('{"order": ["ZZ"]}', "names ZZ"), ("{", "line 1 is not JSON"), ("[]", "expected a JSON object")],
)
def test_a_wrong_index_is_an_error(tmp_path, index, message):
    write_rubrics(tmp_path)
    (tmp_path / "index.json").write_text(index, "utf-8")
    with pytest.raises(InputError, match=message):
        load_rubrics(tmp_path)


def test_a_missing_folder_an_empty_one_and_an_unknown_code(tmp_path):
    with pytest.raises(InputError, match="no such folder"):
        load_rubrics(tmp_path / "none")
    with pytest.raises(InputError, match="no rubric here"):
        load_rubrics(tmp_path)
    with pytest.raises(InputError, match='did you mean "AA"'):
        load_rubrics(write_rubrics(tmp_path)).get("aa")


def test_the_shipped_set_has_nothing_to_correct():
    try:
        rubrics = general_rubrics()
    except InputError:
        pytest.skip("the general set is not in this checkout")
    assert len(rubrics.scales()) == 18
    assert rubrics.control == ("UG",)
    assert check_rubrics(rubrics) == ()


@pytest.mark.parametrize("name", shipped_sets())
def test_every_level_of_a_shipped_scale_has_a_gate_and_three_examples_of_its_own(name):
    rubrics = load_rubrics(Path(name))
    assert check_rubrics(rubrics) == ()
    for rubric in rubrics.scales():
        head = rubric.text.split("Level 0")[0]
        assert all(part in head for part in ("The one driver is", "Counts:", "Does not count:")), rubric.code
        assert [entry.text.count("Gate:") for entry in rubric.levels] == [1] * 5 + [0], rubric.code
        examples = [example for entry in rubric.levels for example in entry.examples]
        assert [len(entry.examples) for entry in rubric.levels] == [3] * 6, rubric.code
        assert len(set(examples)) == 18, rubric.code


def test_the_agentic_set_is_found_by_its_name_unless_a_folder_has_it(tmp_path, monkeypatch):
    rubrics = load_rubrics(Path("agentic"))
    assert len(rubrics.scales()) == 14
    assert set(rubrics.families) == {"planning", "execution", "environment", "social"}
    assert sorted(code for codes in rubrics.families.values() for code in codes) == sorted(rubrics.codes)
    assert not set(rubrics.codes) & set(general_rubrics().codes)
    assert known_rubrics().get("ER").name == "Error recovery"
    write_rubrics(tmp_path / "agentic")
    monkeypatch.chdir(tmp_path)
    assert load_rubrics(Path("agentic")).codes == ("AA", "BB")


def test_scales_of_the_agentic_set_name_only_scales_that_are_there():
    rubrics = load_rubrics(Path("agentic"))
    for rubric in rubrics.rubrics:
        named = re.findall(r"\(([A-Z]{2}[a-z]?)\)", rubric.text)
        assert named, rubric.code
        assert set(named) <= set(rubrics.codes) - {rubric.code}, rubric.code


def test_an_index_that_is_nested_too_deeply_is_refused(tmp_path):
    (tmp_path / "QLl.txt").write_text("Level 0: none\n")
    (tmp_path / "index.json").write_text('{"name": ' + "[" * 100_000 + "]" * 100_000 + "}")
    with pytest.raises(InputError, match="not JSON that can be read"):
        load_rubrics(tmp_path)
