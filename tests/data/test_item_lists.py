"""Questions come as they are: a list of texts, or a table whose columns have other names and that has no ids."""

from pathlib import Path

import pytest

from capscope.data import read_items
from capscope.errors import InputError

CASES = {
    "new.txt": "How many?\n\nWhich one?\n",
    "new.json": '["How many?", "Which one?"]',
    "new.jsonl": '"How many?"\n"Which one?"\n',
    "new.csv": "question\nHow many?\nWhich one?\n",
}


@pytest.mark.parametrize("name", CASES)
def test_texts_alone_are_called_by_their_rows(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(CASES[name])
    items = read_items(tmp_path / name).require("items")
    assert items["item_id"].astype(str).tolist() == ["new:1", "new:2"]
    assert items["text"].tolist() == ["How many?", "Which one?"]


def test_ids_and_levels_under_other_names_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "new.jsonl"
    path.write_text('{"id": "a", "prompt": "How many?", "demands": {"AS": 2}}\n')
    study = read_items(path)
    assert study.require("items")["item_id"].tolist() == ["a"]
    assert study.require("demands")["level"].tolist() == [2]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.csv", "itemid,text\nq,How many?\n", 'did you mean "itemid"'),
        ("a.json", '["How many?", 3]', "expected a list of texts"),
        ("a.txt", "\n\n", "expected a list of texts"),
    ],
)
def test_what_cannot_be_meant_is_one_line(tmp_path: Path, name: str, text: str, message: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=message):
        read_items(tmp_path / name)
