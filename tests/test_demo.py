"""The main job: from what ships to a page, as a newcomer runs it, and from a wheel in an environment of its own."""

import base64
import csv
import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import html5lib
import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict]:
    """Run the demo once, in a process of its own."""
    out = tmp_path_factory.mktemp("demo") / "out"
    command = [sys.executable, "-m", "capscope", "demo", "--out", str(out), "--json"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True, env=with_source())
    assert shown.stderr == ""
    return out, json.loads(shown.stdout)


def with_source() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(ROOT / "src")}


def test_layout(demo: tuple[Path, dict]) -> None:
    out, result = demo
    assert list(result) == ["report", "seconds", "models", "dims"]
    assert (result["models"], result["dims"]) == (15, 18)
    assert result["report"] == str(out / "report.html")


def test_every_ability_has_an_interval(demo: tuple[Path, dict]) -> None:
    with (demo[0] / "abilities.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 270
    assert all(float(row["lower"]) < float(row["ability"]) < float(row["upper"]) for row in rows)


def test_every_model_has_a_chance_on_every_question(demo: tuple[Path, dict]) -> None:
    with (demo[0] / "chances.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 15 * 54
    assert {row["in_support"] for row in rows} == {"True", "False"}


def test_the_page_is_whole_small_and_closed(demo: tuple[Path, dict]) -> None:
    text = (demo[0] / "report.html").read_text("utf-8")
    assert len(text.encode()) < 1_000_000
    html5lib.HTMLParser(strict=True).parse(text)
    assert_only_its_own_script(text)
    for name in ("GPT-4o", "q01-find-capitals", "Nature 652", "general factor"):
        assert name in text


def assert_only_its_own_script(text: str) -> None:
    """One inline script, named by its hash in the page's policy, and nothing from elsewhere."""
    (script,) = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    assert text.count("<script") == 1
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    (policy,) = re.findall(r'<meta http-equiv="Content-Security-Policy" content="([^"]*)">', text)
    assert "default-src 'none'" in policy
    assert f"script-src 'sha256-{digest}';" in policy
    assert not re.search(r"""\ssrc=|https?://|@import""", text)


@pytest.mark.slow
def test_a_second_run_replaces_the_first_and_says_the_same(demo: tuple[Path, dict]) -> None:
    out, _ = demo
    before = (out / "chances.csv").read_bytes()
    subprocess.run([sys.executable, "-m", "capscope", "demo", "--out", str(out)], check=True, env=with_source())
    assert (out / "chances.csv").read_bytes() == before


@pytest.mark.slow
def test_the_wheel_runs_the_demo_in_a_fresh_environment(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "build", "--wheel", "--outdir", str(tmp_path / "dist"), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "venv")], check=True)
    python = tmp_path / "venv" / "bin" / "python"
    install = [python, "-m", "pip", "install", "--quiet", "-c", str(ROOT / "constraints.txt"), str(wheel)]
    subprocess.run(install, check=True)
    command = [tmp_path / "venv" / "bin" / "capscope", "demo", "--out", "demo", "--json"]
    shown = subprocess.run(command, check=True, cwd=tmp_path, capture_output=True, text=True)
    assert json.loads(shown.stdout)["models"] == 15
    assert (tmp_path / "demo" / "report.html").is_file()
    rubrics = subprocess.run([command[0], "rubrics", "check"], capture_output=True, text=True, check=False)
    assert rubrics.returncode == 2, "check needs a folder"
    listed = subprocess.run([command[0], "rubrics", "list", "--json"], capture_output=True, text=True, check=True)
    assert len(json.loads(listed.stdout)["rubrics"]) == 19
