"""The four roads of a newcomer, by the commands alone: from logs, questions, a benchmark and a bank to an answer."""

import contextlib
import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from annotate.scripted import is_probe
from endpoint.server import Answer, Call, ScriptedServer, completion
from pins.running import run

MODELS = {f"lab/m{number}": ability for number, ability in enumerate(np.linspace(-1.5, 2, 8))}
DATE = "2026-11-21T00-00-00.000000"


def question(item: int) -> str:
    """An item's text, which says how much it demands."""
    return f"Work out {item} in {item % 6} steps."


def level_in(text: str) -> int:
    steps = re.findall(r"in (\d) steps", text)
    return int(steps[-1]) if steps else 1


def reply(call: Call) -> Answer:
    """Rate an item by the steps that it needs, or answer it as a middling model does."""
    told = "".join(message["content"] for message in call.body["messages"])
    if is_probe(call) and "level" in told:
        return Answer(completion(json.dumps({"reasoning": "r", "level": 1})))
    if "SCALE" in told:
        return Answer(completion(json.dumps({"reasoning": "r", "level": level_in(call.prompt)})))
    item = int(re.findall(r"Work out (\d+)", call.prompt)[-1]) if "Work out" in call.prompt else 0
    return Answer(completion(f"Answer: {item * 10 if level_in(call.prompt) < 3 else 1}"))


def write_logs(folder: Path, items: range, task: str) -> None:
    """Write what `lm_eval --log_samples` writes: one file for each model, two filters, an aggregate beside."""
    for model, ability in MODELS.items():
        rng = np.random.default_rng(int(model[-1]))
        place = folder / model.replace("/", "__")
        place.mkdir(parents=True, exist_ok=True)
        lines = []
        for item in items:
            right = float(rng.random() < 1 / (1 + np.exp(item % 6 - 2.5 - ability)))
            common = {"doc_id": item, "doc": {"question": question(item)}, "target": str(item * 10)}
            common |= {"doc_hash": f"h{item}", "metrics": ["exact_match"]}
            lines += [{**common, "filter": name, "exact_match": right} for name in ("strict-match", "flexible-extract")]
        (place / f"samples_{task}_{DATE}.jsonl").write_text("\n".join(map(json.dumps, lines)))
        (place / f"results_{DATE}.json").write_text(json.dumps({"results": {}, "configs": {}, "model_name": model}))


def capscope(line: str, code: int = 0) -> str:
    """Run a command; return what it prints."""
    ended, out, err = run(line.split())
    assert ended == code, f"{line}: {err}{out}"
    return out


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder to work in, with the logs of two tasks and an endpoint."""
    folder = tmp_path_factory.mktemp("roads")
    write_logs(folder / "logs", range(36), "steps")
    (folder / "new.txt").write_text("\n".join(question(item) for item in range(40, 52)))
    with ScriptedServer(reply) as server, contextlib.chdir(folder), pytest.MonkeyPatch.context() as patch:
        patch.setenv("OPENAI_BASE_URL", server.url)
        patch.setenv("OPENAI_API_KEY", "none")
        capscope("import logs --out study")
        yield folder


def test_from_logs_to_a_profile(place: Path) -> None:
    printed = capscope("import logs --out again")
    assert "recognised as lm-eval: 8 files" in printed
    assert "left: 8 aggregates of lm_eval" in printed
    assert "filter 'strict-match' counts for steps; also there: flexible-extract (choose with --filter)" in printed
    assert "288 responses of 8 models on 36 items" in printed
    capscope("check study")
    capscope("fit study --model rasch --out fit")
    assert "lab/m7" in capscope("profile fit")
    capscope("report fit --study study --out report.html")
    assert (place / "report.html").stat().st_size > 10_000


def test_from_questions_to_a_prediction(place: Path) -> None:
    first = capscope("predict study new.txt --assessor explanatory --embedder tfidf --out blind.csv").splitlines()[0]
    assert first.startswith(
        "the items have no demand levels, so easy and hard ones are distinguished by their texts alone"
    )
    assert "make them with 'capscope annotate ITEMS --annotator openai:MODEL --out STUDY'" in first
    spend = "--only QLl --usd-in 0 --usd-out 0 --yes"
    capscope(f"annotate study --annotator openai:judge {spend}")
    capscope(f"annotate new.txt --annotator openai:judge {spend} --out new")
    capscope("predict study new --assessor explanatory --embedder tfidf --out chances.csv")
    chances = pd.read_csv(place / "chances.csv").assign(number=lambda rows: rows["item_id"].str[4:].astype(int) + 39)
    strong = chances[chances["model"] == "lab/m7"]
    easy, hard = strong[strong["number"] % 6 <= 1], strong[strong["number"] % 6 >= 4]
    column = next(name for name in ("chance", "probability", "p") if name in strong)
    assert easy[column].mean() > hard[column].mean() + 0.2


def test_from_a_benchmark_to_what_it_measures(place: Path) -> None:
    levels = pd.DataFrame({"item_id": [f"steps:{item}" for item in range(36)], "QLl": [item % 6 for item in range(36)]})
    levels.to_csv(place / "levels.csv", index=False)
    capscope("import logs --out measured")
    capscope("import levels levels.csv --annotator me --into measured")
    printed = capscope("explain measured --claims QLl")
    assert "QLl" in printed
    assert "36 items" in printed


def test_from_a_bank_to_a_score(place: Path) -> None:
    capscope("bank build study --dims 1 --out bank")
    capscope("battery select bank -n 12 --method variance --out battery.csv")
    spend = "--usd-in 0 --usd-out 0 --yes"
    capscope(f"battery run bank --items study --model tested --grader number -n 8 {spend} --out run")
    drawn = pd.read_csv(place / "battery.csv")["item_id"]
    answers = pd.DataFrame({"model": "tested", "item_id": drawn})
    answers["score"] = (answers["item_id"].str.split(":").str[1].astype(int) % 6 < 3).astype(float)
    answers.to_csv(place / "answers.csv", index=False)
    result = json.loads(capscope("battery score bank answers.csv --battery battery.csv --json"))
    assert "tested" in json.dumps(result)
