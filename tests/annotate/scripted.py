"""A scripted annotator and small studies for tests."""

import hashlib
import json
import re
from pathlib import Path

import pandas as pd

from annotate.helpers import write_rubrics
from capscope.annotate import (
    LEDGER_NAME,
    Annotation,
    AnnotationPlan,
    AnnotatorSettings,
    ChatAnnotator,
    Selection,
    load_rubrics,
)
from capscope.data import Study
from capscope.endpoint import EndpointSettings, Prices
from endpoint.server import Answer, Call, completion

KEY = "sk-test-0123456789abcdef"
PRICES = Prices(1.0, 1.0, "given")


def level_of(code: str, text: str) -> int:
    """Return the level that the script gives."""
    return hashlib.sha256(f"{code}|{text}".encode()).digest()[0] % 6


def codes_of(call: Call) -> list[str]:
    return re.findall(r"^SCALE (\w+):", call.body["messages"][0]["content"], re.MULTILINE)


def item_of(call: Call) -> str:
    return "\n".join(call.prompt.split("\n")[1:-1])


def is_probe(call: Call) -> bool:
    return len(call.body["messages"]) == 1


def judge(call: Call) -> Answer:
    """Answer as a good annotator does, whatever form is asked for."""
    if is_probe(call):
        return Answer(completion('{"reasoning": "r", "level": 1}'))
    codes, item = codes_of(call), item_of(call)
    if "guesser" in call.body["messages"][0]["content"]:
        return Answer(completion(json.dumps({"reasoning": "r", "options": 4 if "A or B" in item else "open"})))
    if len(codes) > 1:
        return Answer(completion(json.dumps({"reasoning": "r", "levels": {c: level_of(c, item) for c in codes}})))
    return Answer(completion(json.dumps({"reasoning": "r", "level": level_of(codes[0], item)})))


def small_study(folder: Path, items: int = 6) -> Path:
    """Write a study whose items have texts."""
    ids = [f"i__{number}" for number in range(items)]
    frame = pd.DataFrame({"item_id": ids, "text": [f"Task {number}: pick A or B." for number in range(items)]})
    Study.of(items=frame).save(folder)
    return folder


class Run:
    """A run over a study folder on a small rubric set, set up as the command line does."""

    def __init__(self, folder: Path, kind=ChatAnnotator, rubrics: Path | None = None, limit=None, **options) -> None:
        self.folder, self.kind = folder, kind
        held = load_rubrics(rubrics or write_rubrics(folder.parent / "rubrics"))
        self.selection = Selection(rubrics=held, limit=limit)
        self.options = {"model": "m", "ledger": folder / LEDGER_NAME, **options}

    def plan(self) -> AnnotationPlan:
        return self.annotator().plan(Study.load(self.folder), self.selection)

    def annotator(self, **more):
        return self.kind(AnnotatorSettings(**self.options, **more))

    def ask(self, url: str, concurrency: int = 4, progress=None, **more) -> Annotation:
        endpoint = settings(url, concurrency)
        return self.annotator(endpoint=endpoint, **more).run(Study.load(self.folder), self.selection, progress)

    def write(self, url: str, concurrency: int = 4, **more):
        return self.ask(url, concurrency, **more).write(self.folder).report


def settings(url: str, concurrency: int = 4) -> EndpointSettings:
    return EndpointSettings(base_url=url, api_key=KEY, concurrency=concurrency, first_pause=0.01, timeout=10.0)
