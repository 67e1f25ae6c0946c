"""Card of a fit in JSON by a documented schema: data, settings, results and claims."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from importlib.resources import files as package_files
from pathlib import Path
from typing import Any

import numpy as np

from capscope import __version__
from capscope.atomic import is_scratch
from capscope.data import Study
from capscope.files import MANIFEST, TENSORS, sha256_of, write_json
from capscope.fit import Fit, load_fit
from capscope.intervals import normal_quantile
from capscope.report.plain_values import installed_versions

SCHEMA = "capscope-card/1"
"""Version of the schema, which ships as `card.schema.json`."""
SHARE = 0.2
"""Share of the answers that is held out to test the fit."""


def card_schema() -> dict[str, Any]:
    """Return the JSON schema (2020-12) of a card."""
    text = package_files("capscope.report").joinpath("card.schema.json").read_text("utf-8")
    return json.loads(text)


def measurement_card(
    fit: Fit[Any] | Path | str,
    study: Study | Path | str | None = None,
    *,
    by: str | None = None,
    claims: Sequence[str] = (),
    level: float = 0.9,
) -> dict[str, Any]:
    """Describe a measurement for machines.

    Args:
        fit: A fit of any kind, or its folder, whose files are then named with their hashes.
        study: The study that was fitted, or its folder: benchmarks, number of answers, tests on held-out answers.
        by: Who measured.
        claims: What the measurement is to support, in words of the author; they are stated, not checked.
        level: Nominal coverage of the intervals.

    Returns:
        The card; see `card_schema`.

    Raises:
        InputError: The fit or the study cannot be read.

    Example:
        >>> measurement_card("fit", "study", by="lab", claims=["two versions differ"])  # doctest: +SKIP
    """
    loaded = fit if isinstance(fit, Fit) else load_fit(fit)
    data = study if isinstance(study, Study) or study is None else Study.load(study)
    inputs = {} if isinstance(fit, Fit) else _hashes(Path(fit), (MANIFEST, TENSORS))
    if study is not None and not isinstance(study, Study):
        own = (path.name for path in Path(study).iterdir() if path.is_file() and not is_scratch(Path(path.name)))
        inputs |= _hashes(Path(study), tuple(sorted(own)))
    return {
        "schema": SCHEMA,
        "by": by,
        "software": {"name": "capscope", "version": __version__, "versions": installed_versions()},
        "inputs": inputs,
        "measured": _measured(loaded, data),
        "method": {
            "model": loaded.model_name,
            "engine": loaded.engine,
            "settings": {name: value for name, value in asdict(loaded.refit_settings).items() if _is_plain(value)},
            "converged": loaded.status.converged,
            "advice": list(loaded.status.advice),
        },
        "level": level,
        "abilities": [_plain(row) for row in loaded.abilities(level).to_dict("records")],
        "reliability": {name: _finite(value) for name, value in loaded.reliability().items()},
        "claims": list(claims),
        "coverage_tests": _tests(loaded, data, level),
    }


def write_card(
    fit: Fit[Any] | Path | str,
    out: Path | str,
    study: Study | Path | str | None = None,
    *,
    by: str | None = None,
    claims: Sequence[str] = (),
    force: bool = False,
) -> Path:
    """Write the card of a fit as JSON; see `measurement_card`.

    Args:
        fit: A fit of any kind, or its folder.
        out: JSON file to write.
        study: The study that was fitted, or its folder.
        by: Who measured.
        claims: What the measurement is to support.
        force: Replace an existing file.

    Returns:
        The file that was written.

    Raises:
        OutputError: The file exists and `force` is not set, or it cannot be written.
    """
    return write_json(Path(out), measurement_card(fit, study, by=by, claims=claims), force=force, option="--card")


def _measured(fit: Fit[Any], study: Study | None) -> dict[str, Any]:
    measured: dict[str, Any] = {"models": list(fit.models), "dims": list(fit.posterior.dim_names), "unit": "log-odds"}
    if study is None:
        return measured
    responses = study.responses
    if responses is not None:
        measured |= {"answers": len(responses), "items": int(responses["item_id"].nunique())}
    if study.items is not None and "benchmark" in study.items:
        counts = study.items["benchmark"].astype(str).value_counts().sort_index()
        measured["benchmarks"] = {str(name): int(count) for name, count in counts.items()}
    return measured


def _tests(fit: Fit[Any], study: Study | None, level: float) -> list[dict[str, Any]]:
    """Return how well the same fit to four fifths of the answers predicts the rest."""
    if study is None or study.responses is None or fit.settings is None:
        return []
    held = fit.held_out(study, SHARE)
    inside: list[bool] = []
    for model in np.unique(held.test.model_index):
        rows = held.test.model_index == model
        chance, score = held.chance[rows], held.test.score[rows]
        sd = float(np.sqrt((chance * (1 - chance)).sum()))
        inside.append(abs(float(score.sum() - chance.sum())) <= normal_quantile(level) * sd + 0.5)
    return [
        {
            "what": "share of models whose score on held-out answers lies in its predicted interval",
            "nominal": level,
            "measured": float(np.mean(inside)),
            "n": len(inside),
        },
        {"what": "log-loss of held-out answers", "measured": _finite(held.log_loss), "n": len(held.chance)},
        {"what": "AUROC of held-out answers", "measured": _finite(held.auroc), "n": len(held.chance)},
    ]


def _hashes(folder: Path, names: Sequence[str]) -> dict[str, str]:
    return {f"{folder.name}/{name}": sha256_of(folder / name) for name in names if (folder / name).is_file()}


def _is_plain(value: object) -> bool:
    return value is None or isinstance(value, str | int | float | bool)


def _plain(row: dict[Any, Any]) -> dict[str, Any]:
    return {str(name): str(value) if isinstance(value, str) else _finite(float(value)) for name, value in row.items()}


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
