"""The figures of `capscope explain`: CPU time and memory, planted faults that the audit finds, a real shift.

python benchmarks/explain.py speed [STUDY] [--items 20000] [--models 80]
python benchmarks/explain.py faults [--seeds 3]
python benchmarks/explain.py shift ../shared/data/openllm_v2
"""

import argparse
import itertools
import resource
import time
from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pandas as pd
from planted_faults import KINDS, Planted, World, planted

from capscope.data import Responses, Study
from capscope.fit import IRTSettings, fit_irt
from capscope.profiles import Audit, AuditSettings, ExplainSettings, audit_study, explain_benchmark, of_benchmark
from capscope.profiles.auditing.findings import Suspects, make_audit
from capscope.profiles.auditing.row_order import natural_order, step_suspects
from capscope.profiles.item_groups import places_of
from capscope.report import PageSource, Provenance, render, summarize

DIMS = [f"D{number:02d}" for number in range(18)]
SIZES = tuple(itertools.product((15, 40, 80), (500, 2000)))
SHAPES = tuple((*size, text, kind) for size in SIZES for text, kind in (*((True, k) for k in KINDS), (False, KINDS[0])))
COPY_KINDS = ("duplicate", "near duplicate", "same answers")


def simulated(n_items: int, n_models: int) -> Study:
    """Items of 40 tasks with 18 demand levels and texts of sixty words, answered by all models."""
    rng = np.random.default_rng(0)
    task = np.arange(n_items) % 40
    level = np.clip(np.round(rng.uniform(0, 4, (40, 18))[task] + rng.standard_normal((n_items, 18))), 0, 5)
    difficulty = (level - 2) @ rng.uniform(0, 0.3, 18) + rng.standard_normal(n_items)
    right = rng.random((n_models, n_items)) < 1 / (1 + np.exp(difficulty - 2 * rng.standard_normal((n_models, 1))))
    ids = np.array([f"t{t:02d}/{number}" for number, t in enumerate(task)])
    words = np.array([f"word{number}" for number in range(5000)])
    texts = [" ".join(rng.choice(words, 60)) for _ in range(n_items)]
    models = np.array([f"m{number:02d}" for number in range(n_models)])
    items = pd.DataFrame({"item_id": ids, "benchmark": [f"b{t % 5}" for t in task], "task": task.astype(str)})
    answers = {"model": np.repeat(models, n_items), "item_id": np.tile(ids, n_models), "score": right.ravel() * 1.0}
    demands = {"item_id": np.repeat(ids, 18), "rubric": np.tile(DIMS, n_items), "annotator": "simulated"}
    return Study.of(items.assign(text=texts), pd.DataFrame(answers), pd.DataFrame(demands | {"level": level.ravel()}))


def speed(given: argparse.Namespace) -> None:
    """Measure one explanation with audit, and one page."""
    study = Study.load(given.study) if given.study else simulated(given.items, given.models)
    start = time.process_time()
    found = explain_benchmark(study, ExplainSettings(), AuditSettings())
    seconds, peak = time.process_time() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"explain --audit: {seconds:.1f} CPU s, peak {peak:.2f} GB; {found.audit.counts() if found.audit else {}}")
    fit = fit_irt(Responses.of(study), IRTSettings(model="2pl"))
    start = time.process_time()
    made = Provenance("Speed", "simulated", "0", {}, 0, "variational", {})
    page = render(summarize(PageSource(fit=fit, study=study, provenance=made)))
    print(f"page: {time.process_time() - start:.1f} CPU s, {len(page.encode()) / 1e6:.2f} MB")


def faults(given: argparse.Namespace) -> None:
    """Recall and precision of the audit on planted faults, pooled over seeds."""
    columns = ("models", "items", "text", "kind", "keys recall", "best", "keys precision", "step named", "step false")
    print("| " + " | ".join([*columns, "copies recall", "copies precision", "CPU s"]) + " |")
    for shape in SHAPES:
        world = World(*shape)
        start = time.process_time()
        rows = pd.DataFrame([_scored(planted(world, seed)) for seed in range(given.seeds)])
        seconds = (time.process_time() - start) / given.seeds
        total = rows.sum()
        cells = [
            _share(total["key hits"], total["keys"]),
            f"{rows['best'].mean():.2f}",
            _share(total["key hits"], total["key listed"]),
            f"{total['named']:.0f}/{given.seeds}",
            f"{total['named falsely']:.0f}",
            _share(total["copy hits"], total["copies"]),
            _share(total["copy hits"], total["copy listed"]),
            f"{seconds:.1f}",
        ]
        print("| " + " | ".join([str(part) for part in shape] + cells) + " |", flush=True)


def _share(part: float, whole: float) -> str:
    return f"{part / whole:.2f}" if whole else "-"


def _scored(found: Planted) -> dict[str, float]:
    audit = audit_study(found.study, AuditSettings())
    keys, copies, step = _ids(audit, ("wrong key",)), _ids(audit, COPY_KINDS), _ids(audit, ("out of step",))
    return {
        "keys": len(found.wrong),
        "key hits": len(keys & found.wrong),
        "key listed": len(keys),
        "best": found.best_recall,
        "named": found.shifted in step,
        "named falsely": len(step - {found.shifted}),
        "copies": len(found.copies),
        "copy hits": len(copies & found.copies),
        "copy listed": len(copies),
    }


def _ids(audit: Audit, kinds: Iterable[str]) -> set[str]:
    listed = audit.listed()
    return set(listed.loc[listed["kind"].isin(list(kinds)), "id"])


def _named(table: pd.DataFrame) -> set[str]:
    """Models that are listed as out of step on a benchmark or more."""
    return _ids(make_audit([Suspects("out of step", table)], 0.2, ()), ("out of step",))


def shift(given: argparse.Namespace) -> None:
    """Put the rows of each model of a real benchmark out of order in turn, and see whom the audit names."""
    study = of_benchmark(Study.load(given.study), given.benchmark)
    responses = Responses.of(study)
    places = places_of(study, responses.items)
    before = _named(step_suspects(responses, places, 0.2).suspects.table)
    print(f"{len(responses.models)} models, {len(responses.items)} items; as it is, the audit names {sorted(before)}")
    rng = np.random.default_rng(0)
    for change in (rng.permutation, lambda score: np.roll(score, 1)):
        named, others, missed = 0, 0, []
        start = time.process_time()
        for model, name in enumerate(responses.models):
            rows = np.flatnonzero(responses.model_index == model)
            rows = rows[natural_order([responses.items[i] for i in responses.item_index[rows]])]
            score = responses.score.copy()
            score[rows] = change(score[rows])
            listed = _named(step_suspects(replace(responses, score=score), places, 0.2).suspects.table)
            named += name in listed
            others += len(listed - before - {name})
            missed += [] if name in listed else [name]
        seconds = (time.process_time() - start) / len(responses.models)
        print(f"named {named}, others named {others}, {seconds:.1f} CPU s each; missed {missed}", flush=True)


def main() -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser()
    verbs = parser.add_subparsers(required=True)
    one = verbs.add_parser("speed")
    one.add_argument("study", nargs="?")
    one.add_argument("--items", type=int, default=20_000)
    one.add_argument("--models", type=int, default=80)
    one.set_defaults(run=speed)
    two = verbs.add_parser("faults")
    two.add_argument("--seeds", type=int, default=3)
    two.set_defaults(run=faults)
    three = verbs.add_parser("shift")
    three.add_argument("study")
    three.add_argument("--benchmark", default="BBH")
    three.set_defaults(run=shift)
    given = parser.parse_args()
    given.run(given)


if __name__ == "__main__":
    main()
