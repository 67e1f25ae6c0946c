"""The page: whole, valid, closed to the outside, the same bytes each time, and deaf to hostile texts."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from capscope.data import LevelCounts
from capscope.errors import OutputError
from capscope.report import Summary, render, write_page
from capscope.report.page import fixed, percent
from report.pages import HOSTILE, assert_closed, parse
from report.worlds import World, counts_of, small_world

SECTIONS = (
    *("best", "answer", "profiles", "focus", "curves", "versus", "demands", "chances", "calibration"),
    *("definitions", "made"),
)


@pytest.fixture(scope="module")
def page(world: World) -> str:
    return render(world.summary())


@pytest.fixture(scope="module")
def light(world: World) -> Summary:
    """One model, one curve and no questions: a page that is drawn fast."""
    summary = world.summary()
    sections = {name: record for name, record in summary["sections"].items() if name not in {"chances", "demands"}}
    curves = sections["curves"] | {"curves": sections["curves"]["curves"][:1]}
    profiles = sections["profiles"] | {"profiles": sections["profiles"]["profiles"][:1]}
    return summary | {"sections": sections | {"curves": curves, "profiles": profiles}}


def visible(page: str) -> str:
    return " ".join("".join(parse(page).itertext()).split())


def test_every_section_is_there_with_a_heading_and_a_lead(page):
    tree = parse(page)
    found = {section.get("id"): section for section in tree.iter("section")}
    assert tuple(found) == SECTIONS
    for name, section in found.items():
        assert section.get("aria-labelledby") == f"{name}-heading"
        assert [child.tag for child in section][:2] == ["h2", "p"]
        assert section[1].get("class") == "lead"
    links = {link.get("href") for link in tree.find(".//nav").iter("a") if "#model-" not in link.get("href")}
    assert links == {f"#{name}" for name in SECTIONS}


def test_nothing_is_loaded_and_nothing_runs(page):
    assert_closed(page)


def test_it_is_accessible(page):
    tree = parse(page)
    levels = [int(element.tag[1]) for element in tree.iter() if element.tag in {"h1", "h2", "h3", "h4"}]
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in zip(levels, levels[1:], strict=False))
    assert all(table.find("caption") is not None for table in tree.iter("table"))
    assert all(cell.get("scope") in {"col", "row"} for cell in tree.iter("th"))
    drawings = [element for element in tree.iter() if str(element.tag).endswith("svg")]
    assert len(drawings) == 7 + 5 + 4  # single figures, a radar for each model, a curve for each scale
    ids = [element.get("id") for element in tree.iter() if element.get("id")]
    assert len(ids) == len(set(ids))
    for drawing in drawings:
        assert drawing.get("role") == "img"
        assert set(drawing.get("aria-labelledby").split()) <= set(ids)
    assert {reference[1:] for reference in re.findall(r'(?<= href=")#[^"]+', page)} <= set(ids)
    assert set(re.findall(r"url\(#([^)]+)\)", page)) <= set(ids)


def test_the_numbers_of_the_summary_stand_in_the_page(world, page):
    summary, text = world.summary()["sections"], visible(page)
    headline = summary["curve_answer"]
    assert percent(headline["general_share"]["value"], 1) in text
    for entry in summary["profiles"]["profiles"]:
        assert f"{fixed(entry['overall']['value'])}{fixed(entry['overall']['lower'])}\u2013" in text
        assert entry["model"] in text
    for entry in summary["chances"]["items"]:
        assert entry["text"] in text
        assert entry["reason"] in text
    for scale in summary["demands"]["scales"]:
        assert f"{scale['name']}{fixed(scale['mean'])}{fixed(scale['sd'])}{scale['dominant']}" in text
    assert "ab" * 32 in text
    assert "Nothing here is real." in text


def test_the_same_summary_gives_the_same_bytes(world, page):
    assert render(json.loads(json.dumps(world.summary()))) == page


def test_it_is_whole_without_questions(light):
    found = [section.get("id") for section in parse(render(light)).iter("section")]
    assert found == [name for name in SECTIONS if name not in {"chances", "demands"}]


def test_advice_is_shown(light):
    made = light["made"] | {"converged": False, "status": "still-moving", "advice": ["Look <here> first."]}
    assert "Look <here> first." in visible(render(light | {"made": made}))


@pytest.fixture(scope="module")
def hostile_page() -> str:
    drawn = counts_of(5)
    named = LevelCounts(HOSTILE[:5], (*drawn.dims[:3], "<b>$x$</b>"), drawn.n, drawn.correct)
    world = small_world(named, text=" ".join(HOSTILE))
    ids = world.items["item_id"].replace({"q1": "<i>q1"})
    changed = [frame.assign(item_id=frame["item_id"].replace({"q1": "<i>q1"})) for frame in tables(world)]
    predictions = replace(world.predictions, table=changed[0], support=changed[1])
    return render(replace(world, predictions=predictions, items=world.items.assign(item_id=ids)).summary())


def tables(world: World):
    return world.predictions.table, world.predictions.support


def test_hostile_texts_do_nothing(hostile_page):
    assert_closed(hostile_page)
    tree = parse(hostile_page)
    assert not [element for element in tree.iter() if element.tag in {"b", "i"}]
    hostile_page.encode()


def test_hostile_texts_are_shown_as_they_are(hostile_page):
    text = visible(hostile_page)
    for name in HOSTILE[:5]:
        assert text.count(name) >= 10
    assert "<i>q1" in text
    assert "<b>$x$</b>" in text
    assert "\U0001f600" in text
    assert "\ufffd\ufffd\ufffd" in text  # what HTML does not allow


def test_half_a_character_does_not_stop_the_page(light):
    render(light | {"title": "half \ud800"}).encode()


def test_a_page_of_the_demo_size_stays_small(page):
    per_radar = len(page.split('id="profiles-radar-0-title"')[1].split("</svg>")[0])
    assert per_radar < 16_000
    assert len(page.encode()) < 200_000


def test_writing(light, tmp_path: Path):
    path = write_page(light, tmp_path / "deep" / "report.html")
    assert path.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    assert [file.name for file in path.parent.iterdir()] == ["report.html"]


def test_an_existing_file_is_kept_unless_forced(light, tmp_path: Path):
    path = tmp_path / "report.html"
    path.write_text("mine")
    with pytest.raises(OutputError, match=r"report\.html: already exists; choose another --out or add --force"):
        write_page(light, path)
    assert path.read_text() == "mine"
    write_page(light, path, force=True)
    assert path.read_text().startswith("<!DOCTYPE html>")


def test_a_failed_write_leaves_nothing(light, tmp_path: Path):
    (tmp_path / "report.html").mkdir()
    with pytest.raises(OutputError, match="this is a folder"):
        write_page(light, tmp_path / "report.html", force=True)
    assert [entry.name for entry in tmp_path.iterdir()] == ["report.html"]


def test_a_failed_rendering_leaves_what_was_there(tmp_path: Path):
    broken: Summary = {"title": "half"}
    path = tmp_path / "report.html"
    path.write_text("mine")
    with pytest.raises(KeyError):
        write_page(broken, path, force=True)
    assert path.read_text() == "mine"


@pytest.mark.parametrize(
    ("share", "digits", "text"),
    [(0.0, 0, "0%"), (0.001, 0, "<1%"), (0.5, 0, "50%"), (0.9999, 0, ">99%"), (1.0, 0, "100%"), (0.12345, 1, "12.3%")],
)
def test_percentages_do_not_overstate(share, digits, text):
    assert percent(share, digits) == text


def test_numbers():
    assert (fixed(-1.234), fixed(None), fixed(2.0, 0)) == ("\u22121.23", "\u2013", "2")
