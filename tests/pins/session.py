"""A folder with the inputs of the pinned commands, in which each command runs once, after those it needs."""

import contextlib
import dataclasses
import json
import os
import re
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pandas as pd

from annotate.helpers import write_rubrics
from annotate.scripted import KEY, judge
from capscope.data.formats.adele import SCALES
from endpoint.batch_server import BatchScript
from endpoint.server import Answer, Call, ScriptedServer, completion
from pins.running import VOLATILE, describe, outline, printed, run, without
from pins.steps import IMPORTS, STUDY, Step
from pins.worlds import WORLDS, World, tables, write_world

FIXTURES = Path(__file__).parents[1] / "data" / "fixtures"
GROUPS = {"parquet": STUDY, "csv": STUDY, "imports": IMPORTS}
COPIES = 5


class Session:
    """Runs the steps of one group, each at most once."""

    def __init__(self, group: str, root: Path) -> None:
        self.root = root
        self.steps = {step.name: step for step in GROUPS[group]}
        self.records: dict[str, Any] = {}
        self.batches = BatchScript(judge)
        if group == "imports":
            write_tables(root)
        else:
            write_inputs(WORLDS[group], root)

    def record(self, name: str) -> Any:
        """Return what a step printed and wrote, running it and those it needs if they have not run."""
        step = self.steps[name]
        for other in step.needs:
            self.record(other)
        if name not in self.records:
            self.records[name] = self._run(step)
        return self.records[name]

    def _run(self, step: Step) -> Any:
        environment = {"OPENAI_API_KEY": KEY, "XDG_CACHE_HOME": str(self.root / "cache"), "COLUMNS": "100"}
        with contextlib.ExitStack() as stack:
            stack.enter_context(patch.dict(os.environ, environment))
            stack.enter_context(contextlib.chdir(self.root))
            url = stack.enter_context(ScriptedServer(self._answer)).url if step.server else ""
            words = [word.format(url=url, fixtures=FIXTURES) for word in step.line.split()]
            code, out, err = run([*words, "--json"] if step.json else words)
        shown = without(printed(out), VOLATILE | frozenset(step.drop))
        record: dict[str, Any] = {"code": code, "out": outline(shown) if step.keys_only else shown}
        if code:
            record["error_lines"] = len(err.splitlines()) if step.json else "usage"
        if step.writes:
            record["wrote"] = {name: describe(self.root / name) for name in step.writes}
        return json.loads(json.dumps(record).replace(str(FIXTURES), "FIXTURES").replace(str(self.root), "ROOT"))

    def _answer(self, call: Call) -> Answer:
        """Answer an item of a battery by its text, everything else as an annotator does."""
        if not call.path.endswith("/chat/completions") or len(call.body["messages"]) > 1:
            return self.batches(call)
        item = re.findall(r"then \w+ \w+ (\d+)", call.prompt)
        if not item:
            return judge(call)
        number = int(item[-1])
        right, wrong = ("B", "C") if number % 3 == 0 else (number + 3, 0)
        return Answer(completion(f"Answer: {right if number % 2 else wrong}"))


def write_inputs(world: World, root: Path) -> None:
    """Write the study, copies to write into, and what commands take beside it."""
    write_world(world, root / "study")
    for number in range(1, COPIES + 1):
        write_world(world, root / f"copy{number}")
    write_world(dataclasses.replace(world, seed=world.seed + 100, items=60), root / "more")
    made = tables(world)
    responses = made["responses"]
    new = tables(dataclasses.replace(world, seed=world.seed + 200, items=12))
    levels = new["demands"][new["demands"]["annotator"] == "ann"].groupby("item_id")
    rows = [
        {"item_id": f"new-{row.item_id}", "benchmark": row.benchmark, "task": row.task, "text": row.text}
        | {"demands": levels.get_group(row.item_id).set_index("rubric")["level"].to_dict()}
        for row in new["items"].itertuples()
    ]
    (root / "new.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    responses.groupby("model").head(6).to_csv(root / "labels.csv", index=False)
    first = responses[responses["model"] == "org1/base1-1b"].assign(model="fresh")
    first.to_csv(root / "answers.csv", index=False)
    rng = np.random.default_rng(world.seed)
    pairs = [rng.choice(4, 2, replace=False) for _ in range(40)]
    judged = [
        {"model_a": f"m{a}", "model_b": f"m{b}", "winner": "tie" if a + b == 3 else "ab"[int(a < b)]} for a, b in pairs
    ]
    pd.DataFrame(judged).to_csv(root / "judged.csv", index=False)
    _write_responses(_under_prompts(responses, rng), world.form, root / "prompts")
    mean = responses.groupby("item_id")["score"].transform("mean")
    _write_responses(responses[mean.between(0.01, 0.99)], world.form, root / "varied")
    fifths = (responses["score"] * 2 + rng.integers(0, 4, len(responses))) / 5
    _write_responses(responses.assign(score=fifths), world.form, root / "grades")


def _under_prompts(responses: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Return answers of two models under five prompts, half of the cells shown."""
    one = responses[responses["model"].isin(sorted(set(responses["model"]))[:2])]
    flipped = [(one["score"] + (rng.random(len(one)) < 0.2)) % 2 for _ in range(5)]
    under = [one.assign(prompt=f"p{number}", score=score) for number, score in enumerate(flipped)]
    shown = pd.concat(under, ignore_index=True)
    return shown[rng.random(len(shown)) < 0.5].reset_index(drop=True)


def _write_responses(responses: pd.DataFrame, form: str, folder: Path) -> None:
    folder.mkdir()
    if form == "parquet":
        responses.to_parquet(folder / "responses.parquet", index=False)
    else:
        responses.to_csv(folder / "responses.csv", index=False)


def write_tables(root: Path) -> None:
    """Write the tables and logs that importers read."""
    folder = root / "tables"
    folder.mkdir()
    write_rubrics(root / "rubrics")
    made = tables(dataclasses.replace(WORLDS["csv"], items=8, models=3))
    items, responses = made["items"].drop(columns="n_options"), made["responses"]
    items.to_csv(folder / "items.csv", index=False)
    responses.rename(columns={"item_id": "question"}).to_csv(folder / "long.csv", index=False)
    levels = made["demands"][made["demands"]["annotator"] == "ann"]
    levels.pivot(index="item_id", columns="rubric", values="level").to_csv(folder / "levels.csv")
    wide = responses.pivot(index="model", columns="item_id", values="score").fillna(-1)
    wide.to_csv(folder / "wide.csv")
    wide.replace(-1, np.nan).T.to_csv(folder / "wide_items.csv")
    battery = {"instance_id": ["001", "002"], "prompt": ["One?", "Two?"], "groundtruth": ["1", "2"]}
    battery |= {"answer_format": ["MC", "Open-ended"], "benchmark": "B1", "source": "s", "task": "t", "UG": [75, 100]}
    battery |= {code: [place % 6, 2] for place, code in enumerate(SCALES)}
    pd.DataFrame(battery).to_csv(folder / "adele.csv", index=False)
    (folder / "GPT-4o.csv").write_text("question,verification_final\nOne?,1\nTwo?,0\n")
    reply = completion('{"reasoning": "r", "level": 3}')
    rows = [
        {"custom_id": f"{item}__QLl", "response": {"status_code": 200, "body": reply}, "error": None}
        for item in items["item_id"]
    ]
    (folder / "batch.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    people = [{"subject_id": "m", "responses": {"q1": 1, "q2": 0}}, {"subject_id": "n", "responses": {"q1": 0}}]
    (folder / "pyirt.jsonlines").write_text("".join(json.dumps(row) + "\n" for row in people))
    (folder / "irw.csv").write_text("id,item,resp\nm,q1,1\nm,q2,NA\nn,q1,0\n")
    long = {"subject_id": ["m", "m", "n"], "item_id": ["q1", "q2", "q1"], "response": [1.0, 0.0, 0.5]}
    pd.DataFrame(long | {"trial": 1, "test_condition": None}).to_parquet(folder / "bench.parquet", index=False)
