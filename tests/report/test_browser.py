"""The page in a real browser: silent console, no request, tables that sort and filter, three widths, hostile texts."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from capscope.data import LevelCounts
from capscope.report import render
from report.pages import HOSTILE
from report.study_worlds import faulty_study
from report.worlds import World, counts_of, small_world

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine (Debian: apt install chromium)")

QUIET = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update")
WIDTHS = (375, 800, 1440)


@pytest.fixture(scope="module")
def browser() -> Iterator:
    with sync_api.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=CHROMIUM, args=list(QUIET))
        yield started
        started.close()


@dataclass
class Watched:
    """A page and all that it did."""

    page: object
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)


@pytest.fixture
def opened(browser, tmp_path: Path) -> Iterator:
    """Open a page's text from a file and watch it."""
    contexts = []

    def open_page(text: str, width: int = 1440, **context) -> Watched:
        path = tmp_path / "report.html"
        path.write_text(text, encoding="utf-8")
        contexts.append(browser.new_context(viewport={"width": width, "height": 900}, **context))
        watched = Watched(contexts[-1].new_page())
        watched.page.on("console", lambda message: watched.complaints.append(message.text))
        watched.page.on("pageerror", lambda error: watched.complaints.append(str(error)))
        watched.page.on("dialog", lambda dialog: (watched.complaints.append(dialog.message), dialog.dismiss()))
        watched.page.on("request", lambda request: watched.requests.append(request.url))
        watched.page.on("requestfailed", lambda request: watched.refused.append(request.failure))
        watched.page.goto(path.as_uri())
        return watched

    yield open_page
    for context in contexts:
        context.close()


@pytest.fixture(scope="module")
def text(world: World) -> str:
    return render(world.summary())


def first_column(page, caption: str) -> list[str]:
    rows = page.locator("table", has=page.locator("caption", has_text=caption)).locator("tbody tr:visible")
    return [row.locator("th").inner_text() for row in rows.all()]


def open_details(page) -> None:
    page.evaluate("document.querySelectorAll('details').forEach((part) => { part.open = true; })")


def test_it_opens_in_silence_and_asks_for_nothing(opened, text):
    watched = opened(text)
    assert watched.complaints == []
    assert [url.startswith("file:") for url in watched.requests] == [True]


@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_spills_over_at_any_width(opened, text, width, tmp_path):
    page = opened(text, width).page
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.screenshot(path=tmp_path / "page.png")
    assert (tmp_path / "page.png").stat().st_size > 10_000


def test_a_table_stands_beside_its_drawing_on_a_wide_screen(opened, text):
    page = opened(text, 1200).page
    tops = page.evaluate(
        "[...document.querySelectorAll('.pair:has(> figure):has(> .scroll)')].map((pair) => "
        "['figure', '.scroll'].map((part) => pair.querySelector(':scope > ' + part).getBoundingClientRect().top))"
    )
    assert tops
    assert all(abs(drawing - table) < 20 for drawing, table in tops)


def test_tables_sort_by_mouse_and_by_keyboard(opened, text, world):
    page = opened(text).page
    open_details(page)
    models = [entry["model"] for entry in world.summary()["sections"]["profiles"]["profiles"]]
    table = page.locator("table", has=page.locator("caption", has_text="Ability by model and scale"))
    overall = table.get_by_role("button", name="Overall")
    overall.click()
    assert first_column(page, "Ability by model and scale") == models
    assert overall.locator("..").get_attribute("aria-sort") == "descending"
    overall.press("Enter")
    assert first_column(page, "Ability by model and scale") == models[::-1]
    table.get_by_role("button", name="Model").click()
    assert first_column(page, "Ability by model and scale") == sorted(models, reverse=True)
    assert overall.locator("..").get_attribute("aria-sort") is None


def test_long_tables_filter(opened, text):
    page = opened(text).page
    open_details(page)
    caption = "Observed rates of"
    before = first_column(page, caption)
    field = page.get_by_label(f"Filter rows of: {caption}")
    field.fill("XX")
    after = first_column(page, caption)
    assert set(after) == {name for name in before if "XX" in name}
    assert 0 < len(after) < len(before)
    field.fill("")
    assert first_column(page, caption) == before


def test_it_is_whole_without_its_script(opened, text):
    page = opened(text, java_script_enabled=False).page
    assert page.locator("table").count() > 3
    assert page.locator("button").count() == 0


def test_no_other_script_may_run(opened, text):
    planted = text.replace(
        "</main>", "<script>document.title = 'taken'</script><img src='https://example.org/x.png'></main>"
    )
    watched = opened(planted)
    assert watched.page.title() != "taken"
    assert watched.refused == ["csp"]
    assert any("Content Security Policy" in complaint for complaint in watched.complaints)


def test_dark_mode_turns_the_page_dark(opened, text):
    page = opened(text, color_scheme="dark").page
    red, green, blue = page.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")
    assert max(red, green, blue) < 60


def test_hostile_names_and_texts_do_nothing(opened):
    drawn = counts_of(5)
    named = LevelCounts(HOSTILE[:5], (*drawn.dims[:3], "<b>$x$</b>"), drawn.n, drawn.correct)
    world = small_world(named, text=" ".join(HOSTILE))
    study = faulty_study((*HOSTILE[:4], *(f"m{number}" for number in range(8))), (HOSTILE[0], HOSTILE[1]))
    watched = opened(render(world.summary(study=study)), 800)
    page = watched.page
    open_details(page)
    for heading in page.locator("button.sort").all()[:8]:
        heading.dispatch_event("click")
    assert watched.complaints == []
    assert [url.startswith("file:") for url in watched.requests] == [True]
    assert page.locator("main img, main script, main b, main i").count() == 0
    assert page.locator("#audit table").count() > 1
    assert page.evaluate("document.documentElement.scrollWidth") <= 800
