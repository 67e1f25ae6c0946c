"""How the parts of an item response fit are stored: names of arrays, the population of items, the items' extras."""

from typing import Any

from capscope.fit.irt.item_extras import ItemExtras
from capscope.fit.irt.population import ItemPopulation
from capscope.fit.posterior import Tensors

STORED = ("ability_mean", "ability_cov", "item_mean", "item_cov", "native_mean", "native_cov", "floor")
_POPULATION = ("intercept", "weight", "cov", "leverage", "center", "scale")
_EXTRAS = {
    "mean": "mean",
    "cov": "cov",
    "widening": "covariance_inflation",
    "typical": "typical",
    "typical_variance": "typical_variance",
}
"""Attributes of `ItemExtras` by the names under which fits store them."""
INFLATION = "ability_inflation"
LABELLED = (*STORED, INFLATION, "shape.mean", "shape.cov", "shape.widening")


def stored_parts(population: ItemPopulation, extras: ItemExtras | None, tensors: Tensors) -> dict[str, Any]:
    """Put the arrays of population and extras among the tensors.

    Args:
        population: Where new items come from.
        extras: What else is estimated of each item; None for nothing.
        tensors: Arrays by name, added to.

    Returns:
        What the manifest says of them.
    """
    tensors |= {f"population.{name}": getattr(population, name) for name in _POPULATION}
    if extras is not None:
        tensors |= {f"shape.{stored}": getattr(extras, name) for stored, name in _EXTRAS.items()}
    return {
        "head": None if extras is None else extras.code,
        "form": population.form,
        "population_is_prior": population.is_prior,
    }


def read_population(manifest: dict[str, Any], tensors: Tensors) -> ItemPopulation:
    """Put a stored population together again."""
    parts = {name: tensors[f"population.{name}"] for name in _POPULATION}
    return ItemPopulation(manifest["form"], **parts, is_prior=manifest.get("population_is_prior", True))


def read_extras(manifest: dict[str, Any], tensors: Tensors) -> ItemExtras | None:
    """Put stored extras together again; None where the fit has none.

    Raises:
        KeyError: The score model is none that this version knows.
    """
    code = manifest.get("head")
    if code is None:
        return None
    extras = ItemExtras(code, **{name: tensors[f"shape.{stored}"] for stored, name in _EXTRAS.items()})
    extras.score_model()
    return extras
