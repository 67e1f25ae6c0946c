"""A fit of the demand-ability model as a manifest and tensors."""

from dataclasses import fields
from typing import Any

import numpy as np

from capscope.fit.demand.basis import DemandBasis
from capscope.fit.demand.posterior import DemandPosterior

_NAMES = ("models", "items", "dims")
_NUMBERS = ("residual_sd", "monotone")
_ARRAYS = tuple(field.name for field in fields(DemandPosterior) if field.name not in (*_NAMES, *_NUMBERS, "basis"))
_BASIS_NAMES = ("tasks", "benchmarks")
_BASIS_NUMBERS = ("text_scale", "text_dims")
_BASIS_ARRAYS = tuple(field.name for field in fields(DemandBasis) if field.name not in (*_BASIS_NAMES, *_BASIS_NUMBERS))


def demand_parts(posterior: DemandPosterior) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Take a posterior apart for storing."""
    basis = posterior.basis
    tensors = {name: getattr(posterior, name) for name in _ARRAYS}
    tensors |= {f"basis.{name}": getattr(basis, name) for name in _BASIS_ARRAYS}
    manifest: dict[str, Any] = {"kind": "demand", "model": "demand"}
    manifest |= {name: getattr(posterior, name) for name in (*_NAMES, *_NUMBERS)}
    manifest["basis"] = {name: getattr(basis, name) for name in (*_BASIS_NAMES, *_BASIS_NUMBERS)}
    return manifest, {name: np.ascontiguousarray(value) for name, value in tensors.items()}


def read_demand(manifest: dict[str, Any], tensors: dict[str, np.ndarray]) -> DemandPosterior:
    """Put a stored posterior together again."""
    stored = manifest["basis"]
    of_basis: dict[str, Any] = {name: tuple(stored[name]) for name in _BASIS_NAMES}
    of_basis |= {name: stored[name] for name in _BASIS_NUMBERS}
    of_basis |= {name: tensors[f"basis.{name}"] for name in _BASIS_ARRAYS}
    parts: dict[str, Any] = {name: tuple(manifest[name]) for name in _NAMES}
    parts |= {name: manifest[name] for name in _NUMBERS}
    parts |= {name: tensors[name] for name in _ARRAYS}
    return DemandPosterior(basis=DemandBasis(**of_basis), **parts)
