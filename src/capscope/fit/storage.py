"""A fit as a folder: `manifest.json` says what it is, `tensors.safetensors` holds the numbers. No pickle."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from capscope.errors import InputError, OutputError
from capscope.fit.curves.posterior import CurvePosterior, curve_parts, read_curves
from capscope.fit.demand.posterior import DemandPosterior, demand_parts, read_demand
from capscope.fit.irt.item_extras import ItemShape
from capscope.fit.irt.population import ItemPopulation
from capscope.fit.irt.posterior import IRTPosterior
from capscope.fit.outcome import Fit, Status

SCHEMA = 1
MANIFEST, TENSORS = "manifest.json", "tensors.safetensors"

Tensors = dict[str, np.ndarray]
AnyFit = Fit[CurvePosterior] | Fit[DemandPosterior] | Fit[IRTPosterior]
"""A fit of any kind."""
_POSTERIOR = ("ability_mean", "ability_cov", "item_mean", "item_cov", "native_mean", "native_cov", "floor")
_SHAPE = ("mean", "cov", "widening", "typical", "typical_variance")
_POPULATION = ("intercept", "weight", "cov", "leverage", "center", "scale")


def save_fit(fit: AnyFit, folder: Path) -> None:
    """Write a fit; a fit already in the folder is replaced.

    Raises:
        OutputError: The folder holds something else, or cannot be written.
    """
    manifest, tensors = _parts(fit.posterior)
    write_folder(folder, {"schema": SCHEMA} | manifest | _status_manifest(fit), tensors)


def is_fit(folder: Path) -> bool:
    """Whether a folder looks like a fit; `load_fit` says whether it is one."""
    return (folder / MANIFEST).is_file() or (folder / TENSORS).is_file()


def load_fit(folder: Path) -> Fit[Any]:
    """Read a fit of any kind.

    Raises:
        InputError: The folder holds no fit, or one of another version.
    """
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        tensors = load_file(folder / TENSORS)
    except (OSError, ValueError, SafetensorError) as error:
        raise InputError(f"{folder}: no fit here ({error}); make one with `capscope fit`") from None
    if not isinstance(manifest, dict) or manifest.get("schema") != SCHEMA or manifest.get("kind") not in READERS:
        raise InputError(f"{folder}: this fit was written by another version of capscope; fit again")
    try:
        posterior = READERS[manifest["kind"]](manifest, tensors)
        status = Status(manifest["converged"], manifest["code"], tuple(manifest["advice"]))
        return Fit(posterior, status, tuple(manifest["history"]))
    except (KeyError, TypeError) as error:
        raise InputError(f"{folder}: the fit lacks {error}; fit again") from None


def write_folder(folder: Path, manifest: dict[str, Any], tensors: Tensors) -> None:
    """Write manifest and tensors.

    Raises:
        OutputError: The folder holds something else, or cannot be written.
    """
    if folder.is_dir() and any(folder.iterdir()) and not (folder / MANIFEST).exists():
        raise OutputError(f"{folder}: holds other files; name a new folder for the fit")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / MANIFEST).write_text(json.dumps(manifest, indent=1, allow_nan=False) + "\n", encoding="utf-8")
        save_file(tensors, folder / TENSORS)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be written ({error.strerror}); name another folder") from None


def _parts(posterior: CurvePosterior | DemandPosterior | IRTPosterior) -> tuple[dict[str, Any], Tensors]:
    if isinstance(posterior, CurvePosterior):
        return curve_parts(posterior)
    return demand_parts(posterior) if isinstance(posterior, DemandPosterior) else _irt_parts(posterior)


def _status_manifest(fit: Fit[Any]) -> dict[str, Any]:
    status = fit.status
    return {
        "converged": status.converged,
        "code": status.code,
        "advice": list(status.advice),
        "history": list(fit.history),
    }


def _irt_parts(posterior: IRTPosterior) -> tuple[dict[str, Any], Tensors]:
    tensors = {name: np.ascontiguousarray(getattr(posterior, name)) for name in _POSTERIOR}
    tensors |= {f"population.{name}": np.ascontiguousarray(getattr(posterior.population, name)) for name in _POPULATION}
    shape = posterior.shape
    if shape is not None:
        tensors |= {f"shape.{name}": np.ascontiguousarray(getattr(shape, name)) for name in _SHAPE}
    manifest = {
        "kind": "irt",
        "head": None if shape is None else shape.head,
        "model": posterior.model_name,
        "trial_weight": posterior.trial_weight,
        "form": posterior.population.form,
        "models": posterior.models,
        "items": posterior.items,
    }
    return manifest, tensors


def _read_irt(manifest: dict[str, Any], tensors: Tensors) -> IRTPosterior:
    population = ItemPopulation(manifest["form"], **{name: tensors[f"population.{name}"] for name in _POPULATION})
    return IRTPosterior(
        models=tuple(manifest["models"]),
        items=tuple(manifest["items"]),
        population=population,
        model_name=manifest["model"],
        trial_weight=manifest.get("trial_weight", 1.0),
        shape=_read_shape(manifest.get("head"), tensors),
        **{name: tensors[name] for name in _POSTERIOR},
    )


def _read_shape(head: str | None, tensors: Tensors) -> ItemShape | None:
    return None if head is None else ItemShape(head, **{name: tensors[f"shape.{name}"] for name in _SHAPE})


READERS: dict[str, Callable[[dict[str, Any], Tensors], Any]] = {
    "irt": _read_irt,
    "curves": read_curves,
    "demand": read_demand,
}
"""How to read each kind of fit."""
