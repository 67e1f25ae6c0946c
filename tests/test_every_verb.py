"""Any honest study goes through every verb: a result, or one line that says why not, and never a traceback."""

import contextlib
import re
from dataclasses import replace
from pathlib import Path

import pytest

from honest_studies import Shape, drawn_shape, write_study
from pins.running import run

ASSESSORS = "--assessor mean --assessor item-mean --assessor rasch --assessor explanatory"
SPLITS = ("id", "task", "benchmark", "new-model", "frontier")
FITS = ("auto", "rasch", "2pl", "3pl", "4pl", "curves", "demand")
LINES = {
    "check": "check study",
    **{f"fit-{model}": f"fit study --device cpu --model {model} --out fit-{model}" for model in FITS},
    "fit-mirt": "fit study --device cpu --model mirt --dims 2 --out fit-mirt",
    "holdout": "fit study --device cpu --model 2pl --holdout 0.2",
    **{f"profile-{model}": f"profile fit-{model}" for model in (*FITS, "mirt")},
    "explain": "explain study --audit",
    "compare": "compare study",
    "compare-two": "compare study m00 m01",
    **{
        f"report-{model}": f"report fit-{model} --study study --out {model}.html"
        for model in ("rasch", "mirt", "curves", "demand")
    },
    **{
        f"evaluate-{split}": f"evaluate study --split {split} --folds 2 --known 4 --embedder tfidf {ASSESSORS}"
        for split in SPLITS
    },
    "predict": "predict study study --embedder tfidf --assessor explanatory --out chances.csv",
    **{f"predict-{model}": f"predict fit-{model} study --out p-{model}.csv" for model in ("rasch", "curves", "demand")},
    "bank": "bank build study --out bank",
    "select": "battery select study -n 4 --method profile --out battery.csv",
    "battery-evaluate": "battery evaluate study -n 4 --seeds 1",
}
FAST = ("check", "fit-rasch", "fit-curves", "fit-demand", "profile-rasch", "explain", "compare", "compare-two")
FAST += ("report-rasch", "evaluate-id", "predict", "battery-evaluate")
"""Verbs of the fast tests."""

REASONS = [
    # what the message says, and the studies of which it is true
    (r"needs demands\.parquet|needs demands and", lambda shape: shape.rated == "none"),
    (r"demand level 1 or above", lambda shape: shape.rated == "same"),
    (r"lack some demand levels", lambda shape: shape.rated == "some"),
    (
        r"have one (task|benchmark) only",
        lambda shape: shape.benchmarks == 1 or shape.items <= 2 or not shape.items_table,
    ),
    # of two answers, a share asked for with --holdout may be none
    (r"leaves no answers to fit or to predict", lambda shape: shape.items <= 2),
    (r"have one item only", lambda shape: shape.items <= 2),
    (
        r"models? (are|is) too few|at least 3 models|one model (only|answered)|no responses by model",
        lambda shape: shape.models < 8,
    ),
    (r"answered no item in common", lambda shape: shape.answered < 1 or shape.rated == "more"),
    (
        r"twice the 4 to draw|cannot draw 4",
        lambda shape: shape.items < 8 or shape.answered < 1 or shape.rated == "more",
    ),
    (r"texts hold no word in common", lambda shape: shape.items <= 6),
]
"""Refusals that are right."""


def refusal_is_right(shape: Shape, message: str) -> bool:
    return any(re.search(pattern, message) and true_of(shape) for pattern, true_of in REASONS)


def wrong_ends(shape: Shape, folder: Path, verbs: tuple[str, ...]) -> list[str]:
    """Run verbs on a study of a shape; return those that end in another way than with a result or a right refusal."""
    write_study(shape, folder / "study")
    found = []
    with contextlib.chdir(folder):
        for verb in verbs:
            line = LINES[verb]
            fit = re.search(r"^(?:profile|report|predict) (fit-\S+)", line)
            if fit and not Path(fit[1]).exists():
                continue
            end = _end_of(shape, [*line.split(), "--json"])
            found += [f"{verb}: {end}"] if end else []
    return found


def _end_of(shape: Shape, words: list[str]) -> str | None:
    try:
        code, out, err = run(words)
    except Exception as error:  # noqa: BLE001 - whatever is raised here would be a traceback on a terminal
        return f"traceback {type(error).__name__}: {error}"
    if code == 0:
        return None if out.startswith("{") else f"printed {out[:200]}"
    *progress, last = err.splitlines()
    if code != 1 or not last.startswith("error: ") or any(line.startswith("error") for line in progress):
        return f"exit {code}: {err[:400]}"
    return None if refusal_is_right(shape, last) else f"refused: {last}"


NAMED = {
    "fractions of trials, no text, no demands": Shape(models=6, items=20, scores="trials", texts="none", rated="none"),
    "sparse": Shape(models=9, items=40, answered=0.15, annotators=2, options=True),
    "more rated than answered": Shape(models=4, items=24, scores="grades", texts="some", rated="more", rubrics=5),
    "nothing varies": Shape(models=9, items=12, benchmarks=1, tasks=1, scores="constant", texts="same", rated="same"),
    "responses alone, with a facet": Shape(
        models=3, items=12, scores="fractions", items_table=False, rated="none", facet="prompt"
    ),
    "one model": Shape(models=1, items=12),
}


SLOWEST = ("sparse", "more rated than answered")
"""Shapes whose fits take seconds: they go through the verbs in the slow tests."""


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] if name in SLOWEST else []) for name in NAMED]
)
def test_a_study_goes_through_the_verbs(name: str, tmp_path: Path) -> None:
    assert wrong_ends(NAMED[name], tmp_path, FAST) == []


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(40))
def test_any_study_goes_through_every_verb(seed: int, tmp_path: Path) -> None:
    shape = drawn_shape(seed)
    assert wrong_ends(shape, tmp_path, tuple(LINES)) == [], str(shape)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMED)
def test_a_named_study_goes_through_every_verb(name: str, tmp_path: Path) -> None:
    assert wrong_ends(replace(NAMED[name], seed=1), tmp_path, tuple(LINES)) == []
