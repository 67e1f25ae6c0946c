"""A curve posterior as a manifest and tensors."""

from dataclasses import fields
from typing import Any

import numpy as np

from capscope.fit.curves.classical import ClassicalCurves
from capscope.fit.curves.posterior import CurvePosterior

_AXES = ("models", "dims", "classical")
_ARRAYS = tuple(field.name for field in fields(CurvePosterior) if field.name not in _AXES)
_CLASSICAL = ("intercept", "slope", "ability")


def curve_parts(posterior: CurvePosterior) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Take a curve posterior apart for storing."""
    tensors = {name: getattr(posterior, name) for name in _ARRAYS}
    tensors |= {f"classical.{name}": getattr(posterior.classical, name) for name in _CLASSICAL}
    manifest = {"kind": "curves", "model": "curves", "models": posterior.models, "dims": posterior.dims}
    return manifest, {name: np.ascontiguousarray(value) for name, value in tensors.items()}


def read_curves(manifest: dict[str, Any], tensors: dict[str, np.ndarray]) -> CurvePosterior:
    """Put a stored curve posterior together again."""
    models, dims = tuple(manifest["models"]), tuple(manifest["dims"])
    classical = ClassicalCurves(models, dims, **{name: tensors[f"classical.{name}"] for name in _CLASSICAL})
    return CurvePosterior(models=models, dims=dims, classical=classical, **{name: tensors[name] for name in _ARRAYS})
