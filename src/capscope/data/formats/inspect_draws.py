"""Battery draws in an Inspect log: the drawn samples with their inclusion probabilities and scores.

They are read from the metadata of every sample (`capscope_battery`), or from the summary of early stopping
(`capscope_stopping`), so that a log is scored without Inspect. A run that ended early has no summary: its battery is
put together from events of the samples that ran.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from capscope.data.formats.assembly import LogNotes
from capscope.data.formats.eval_archive import EvalArchive, InspectLog, archived_log, document_log, whole_samples
from capscope.data.formats.inspect_logs import LETTERS, last_of_each
from capscope.data.formats.scored_log import as_object, optional_object, required, required_name
from capscope.errors import InputError, first_few

DRAW = "capscope"
"""Key of a sample's metadata that holds its draw, and of the metadata of early stopping that hold a battery."""
DRAWN = ("item_id", "stratum", "draw_chance", "weight")
"""Columns of a battery that was drawn before the run."""
SCORED = ("id", "epoch", "error", "limit", "scores", "metadata")
"""Parts of a sample that its draw and its score are read from."""
WORDS = {**LETTERS, "N": 0.0, "true": 1.0, "false": 0.0}
"""Values that are no numbers; a reply without an answer counts as wrong, as in Inspect's accuracy."""


@dataclass(frozen=True)
class LoggedDraws:
    """The draws of one run."""

    model: str
    """Name of the model."""
    draws: tuple[tuple[Mapping[str, Any], float], ...]
    """Draw (`item`, `number`, `chance`, `spread`) and score from 0 to 1 of every sample that was scored; epochs are one
    answer, their mean."""


@dataclass(frozen=True)
class LoggedBattery:
    """The battery of one run, drawn before the run by an early stopping manager, and its answers."""

    model: str
    """Name of the model."""
    drawn: pd.DataFrame
    """Columns item_id, stratum, draw_chance, weight of every item drawn."""
    pool: tuple[str, ...]
    """Items drawn from."""
    method: str
    """Name of the selector."""
    seed: int
    """Seed of the draw."""
    scores: Mapping[str, float]
    """Score from 0 to 1 by item id of the drawn items whose sample was scored; epochs are one answer, their mean."""
    size: int | None = None
    """Number of items drawn, where the run ended before all of their samples had run; `drawn` lists those that had."""

    @property
    def notes(self) -> tuple[str, ...]:
        """Remark on a run that ended early."""
        if self.size is None or len(self.drawn) >= self.size:
            return ()
        return (
            f"the run ended early: {len(self.drawn)} of {self.size} drawn samples ran, the first of the data"
            " set, and they are taken for a sample of all; finish the run (inspect eval-retry) where the order matters",
        )

    def answers(self, model: str | None = None) -> pd.DataFrame:
        """Return the answers as a table model, item_id, score.

        Args:
            model: Name of the model that answered; by default the log's.
        """
        rows = {"item_id": list(self.scores), "score": list(self.scores.values())}
        return pd.DataFrame(rows).assign(model=model or self.model)


def read_draws(path: Path | str, model: str | None = None) -> LoggedDraws | LoggedBattery | None:
    """Read the draws in a log.

    Args:
        path: An `.eval` or `.json` log.
        model: Name of the model; by default the model that the log names.

    Returns:
        The draws of an adaptive battery, or a battery drawn before the run; None where the file is no log of Inspect,
        or its samples were not drawn by a battery.

    Raises:
        InputError: The log is damaged, a score is no number from 0 to 1, or no drawn sample has a score.
    """
    path = Path(path)
    if path.suffix.lower() == ".json":
        return _draws(document_log(path), model) if _has_draws(path) else None
    if path.suffix.lower() != ".eval":
        return None
    with EvalArchive(path) as archive:
        return _draws(replace(archived_log(archive), samples=whole_samples(archive)), model)


def _has_draws(path: Path) -> bool:
    """Return whether a JSON document may be a log with draws, without parsing it."""
    with path.open("rb") as handle:
        return b'"capscope"' in handle.read()


def _draws(log: InspectLog, model: str | None) -> LoggedDraws | LoggedBattery | None:
    results = optional_object(log.path, log.header, "results", "the log")
    stopping = optional_object(log.path, results, "early_stopping", "results")
    held = optional_object(log.path, stopping, "metadata", "early_stopping").get(DRAW)
    if isinstance(held, dict):
        return _battery(log, held, model)
    samples = [_draw_and_score(sample) for sample in log.samples]
    draws = [sample["drawn"] for sample in samples if sample["drawn"] is not None]
    log = replace(log, samples=iter(samples))
    return _battery(log, battery_of_draws(_sample_ids(log), draws), model) if draws else _sequence(log, model)


def _draw_and_score(sample: dict[str, Any]) -> dict[str, Any]:
    """Return the parts of a sample that tell its draw and score; `drawn` is the draw that an event tells, or None."""
    events = sample.get("events")
    draws = [
        event["data"]
        for event in (events if isinstance(events, list) else [])
        if isinstance(event, dict) and event.get("source") == DRAW and isinstance(event.get("data"), dict)
    ]
    kept = {name: sample[name] for name in SCORED if name in sample}
    return kept | {"drawn": draws[-1] if draws and "drawn" in draws[-1] else None}


def _sample_ids(log: InspectLog) -> list[object]:
    spec = as_object(log.path, required(log.path, log.header, "eval", "the log"), "eval")
    ids = optional_object(log.path, spec, "dataset", "eval").get("sample_ids")
    return ids if isinstance(ids, list) else []


def pool_runs(item_of: Mapping[str, str], sample_ids: Iterable[object]) -> list[list[Any]]:
    """Return the pool of a battery in short, since every sample holds it.

    Args:
        item_of: Item id (`id` or `task:id`) of each sample in the pool, by sample id.
        sample_ids: Ids of all samples of the task.

    Returns:
        Runs of the sorted sample ids whose items have one prefix: the prefix, the first place, the number.
    """
    runs: list[list[Any]] = []
    for place, key in enumerate(sorted(map(str, sample_ids))):
        if key not in item_of:
            continue
        prefix = item_of[key].removesuffix(key)
        if runs and runs[-1][0] == prefix and runs[-1][1] + runs[-1][2] == place:
            runs[-1][2] += 1
        else:
            runs.append([prefix, place, 1])
    return runs


def battery_of_draws(sample_ids: Iterable[object], draws: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Put the battery of a run that ended early together from its samples.

    Args:
        sample_ids: Ids of all samples of the task, as the log names them.
        draws: What `capscope_stopping` noted of each sample that ran, at least one.

    Returns:
        What a run to the end leaves in the summary of early stopping, and `size`, the number of items drawn.
    """
    ids = sorted(map(str, sample_ids))
    drawn = {row["sample_id"]: row for draw in draws for row in draw["drawn"]}
    pool = [f"{prefix}{key}" for prefix, first, count in draws[0]["pool"] for key in ids[first : first + count]]
    return {**draws[0], "drawn": list(drawn.values()), "pool": pool}


def _model(log: InspectLog, model: str | None) -> str:
    spec = as_object(log.path, required(log.path, log.header, "eval", "the log"), "eval")
    return model or required_name(log.path, spec, "model", "eval")


def _battery(log: InspectLog, held: dict[str, Any], model: str | None) -> LoggedBattery:
    """Read the battery that an early stopping manager left in the log, and the scores of its samples."""
    try:
        table = pd.DataFrame(held["drawn"])
        item_of = dict(zip(table["sample_id"].astype(str), table["item_id"].astype(str), strict=True))
        drawn, pool = table[list(DRAWN)].astype({"draw_chance": float}), tuple(str(item) for item in held["pool"])
        method, seed = str(held["method"]), int(held["seed"])
        size = int(held["size"]) if "size" in held else None
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{log.path}: its battery cannot be read ({error}); score it as a table") from error
    scores: dict[str, list[float]] = {}
    for number, sample in last_of_each(log, LogNotes()):
        item = item_of.get(str(sample.get("id")))
        score = None if item is None else _score(log.path, sample, held, f"sample {number}")
        if item is not None and score is not None:
            scores.setdefault(item, []).append(score)
    if not scores:
        raise InputError(f"{log.path}: no drawn sample has a score ({first_few(item_of)}); run it again")
    means = {item: float(np.mean(values)) for item, values in scores.items()}
    return LoggedBattery(_model(log, model), drawn, pool, method, seed, means, size)


def _sequence(log: InspectLog, model: str | None) -> LoggedDraws | None:
    """Read the draws that the samples of an adaptive battery name."""
    draws: dict[str, Mapping[str, Any]] = {}
    scores: dict[str, list[float]] = {}
    for number, sample in last_of_each(log, LogNotes()):
        place = f"sample {number}"
        draw = optional_object(log.path, sample, "metadata", place).get(DRAW)
        if not isinstance(draw, dict) or "chance" not in draw:
            continue
        key = required_name(log.path, sample, "id", place)
        score = _score(log.path, sample, draw, place)
        draws[key] = draw
        if score is not None:
            scores.setdefault(key, []).append(score)
    if not draws:
        return None
    answers = tuple((draws[key], float(np.mean(values))) for key, values in scores.items())
    return LoggedDraws(_model(log, model), answers)


def _score(path: Path, sample: dict[str, Any], draw: dict[str, Any], place: str) -> float | None:
    """Return the score of a sample; None where it failed or has none."""
    limits = draw.get("limits", "scored")
    if sample.get("error"):
        return None
    if sample.get("limit") and limits != "scored":
        return 0.0 if limits == "wrong" else None
    scores = optional_object(path, sample, "scores", place)
    if not scores:
        return None
    name = draw.get("scorer") or next(iter(scores))
    if name not in scores:
        raise InputError(f"{path}: {place} has no scorer '{name}'; it has {first_few(scores)}")
    score = scores[name]
    value = score.get("value") if isinstance(score, dict) else score
    if value is None:
        return None
    number = _number(value)
    if number is not None and not np.isfinite(number):
        return None
    if number is None or not 0 <= number <= 1:
        raise InputError(f"{path}: {place}: the score '{value}' is no number from 0 to 1; give one in the scorer")
    return number


def _number(value: object) -> float | None:
    if isinstance(value, str) and value in WORDS:
        return WORDS[value]
    if isinstance(value, str) and value.lower() in WORDS:
        return WORDS[value.lower()]
    try:
        return float(value) if isinstance(value, str | int | float) else None
    except ValueError:
        return None
