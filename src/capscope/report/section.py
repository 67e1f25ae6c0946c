"""Interface of page sections, and the data that they are built from.

A section is one module of `capscope.report.sections`. It checks whether it applies, converts the sources of a page into
a record of plain values, draws figures of that record, and has a Jinja template.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, cast

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from capscope.annotate import RubricSet, known_rubrics
from capscope.axes import FloatArray
from capscope.data import Demands, Study
from capscope.errors import InputError, first_few, nearest
from capscope.fit import (
    CurvePosterior,
    DemandPosterior,
    Fit,
    HeldOut,
    IRTPosterior,
    draw_demand_chances,
)
from capscope.predict import Predictions
from capscope.profiles import AbilityProfiles, DemandProfile, ability_profiles
from capscope.report.plain_values import Provenance, Record, scale_names

RANKING_DRAWS = 400
"""Draws of the general ability where no expected score can be computed."""

Drawing = tuple[str, Axes, str]
"""Name of a drawing (unique within its section), the axes, and a title for screen readers."""


@dataclass(frozen=True, kw_only=True)
class ItemPart:
    """Predictions for a set of items."""

    predictions: Predictions
    """Every model's chance on every item."""
    demands: DemandProfile | None = None
    """Demand profile of the set; None where the items have no demand levels."""
    items: pd.DataFrame | None = None
    """Columns `item_id` and `text` (optional)."""
    levels: Demands | None = None
    """Demand levels of the items, of which examples are shown."""


@dataclass(frozen=True, kw_only=True)
class PageSource:
    """Data of a page; a section whose data are missing does not apply."""

    fit: Fit[Any]
    """A fit of any kind."""
    provenance: Provenance
    """Where the numbers come from; its seed is the seed of all random draws."""
    study: Study | None = None
    """The study that the fit was made from."""
    part: ItemPart | None = None
    """A set of items whose results are predicted."""
    held_out: HeldOut[Any] | None = None
    """Answers that a fit with the same settings has not seen, with its predictions."""
    focus_model: str | None = None
    """Model shown in detail; by default the strongest."""
    rival: str | None = None
    """Model it is compared with; by default the next one in the ranking."""
    rubrics: RubricSet = field(default_factory=known_rubrics)
    """Names and families of the scales."""
    level: float = 0.9
    """Nominal coverage of all intervals, as a share."""

    def __post_init__(self) -> None:
        """Check the names of the models.

        Raises:
            InputError: The fit has no such model.
        """
        models = self.fit.posterior.models
        for name in (self.focus_model, self.rival):
            if name is not None and name not in models:
                raise InputError(f"the fit has no model '{name}'{nearest(name, models)}; it has {first_few(models)}")

    @property
    def is_curves(self) -> bool:
        """Whether this is a fit of characteristic curves."""
        return isinstance(self.fit.posterior, CurvePosterior)

    @property
    def is_irt(self) -> bool:
        """Whether this is an item response fit."""
        return isinstance(self.fit.posterior, IRTPosterior)

    @property
    def is_demand(self) -> bool:
        """Whether this is a fit of the demand-ability model."""
        return isinstance(self.fit.posterior, DemandPosterior)

    @property
    def has_several(self) -> bool:
        """Whether the fit has several models."""
        return len(self.fit.posterior.models) > 1

    @property
    def subjects(self) -> str:
        """What the rows of the fit are called: agents where scaffolds or efforts make several of a model."""
        design = self.fit.design
        return "agents" if design is not None and len(design.names("model")) < len(self.fit.models) else "models"

    @property
    def no_order(self) -> str:
        """Why the models of an item response fit cannot be ranked; empty where they can."""
        return self.fit.status.no_order if self.is_irt else ""

    @property
    def curves(self) -> CurvePosterior:
        """The posterior of a curve fit."""
        return cast(CurvePosterior, self.fit.posterior)

    @property
    def irt(self) -> IRTPosterior:
        """The posterior of an item response fit."""
        return cast(IRTPosterior, self.fit.posterior)

    @property
    def demand(self) -> DemandPosterior:
        """The posterior of a fit of the demand-ability model."""
        return cast(DemandPosterior, self.fit.posterior)

    @cached_property
    def profiles(self) -> AbilityProfiles:
        """Ability profiles of a curve fit."""
        return ability_profiles(self.curves, self.level)

    @cached_property
    def scales(self) -> list[Record]:
        """Code, name and family of each dimension of a curve or demand fit, in the order of the rubric set."""
        return scale_names(self.fit.posterior.dims, self.rubrics)

    @cached_property
    def focus(self) -> str:
        """Model that is shown in detail: the one asked for, else the strongest."""
        return self.focus_model or str(self.fit.posterior.models[int(self.ranking[0].mean(axis=-1).argmax())])

    @cached_property
    def score_draws(self) -> FloatArray | None:
        """Expected score of every model over the fit's items, as (model, draw); None for other fits."""
        if self.is_irt:
            return irt_scores(self.irt, self.rng())
        if self.is_demand and self.study is not None:
            return demand_scores(self.demand, self.study, self.rng())
        return None

    @cached_property
    def ranking(self) -> tuple[FloatArray, str]:
        """What models are ranked by, as (model, draw), and its name."""
        if self.is_curves:
            return self.curves.ability.mean(axis=1), "overall ability"
        if self.score_draws is not None:
            return self.score_draws, "expected score on the fit's items"
        mean, cov = self.demand.ability_mean[:, :1], self.demand.ability_cov[:, :1, :1]
        noise = self.rng().standard_normal((len(mean), RANKING_DRAWS))
        return mean + np.sqrt(cov[:, 0]) * noise, "general ability"

    def rng(self) -> np.random.Generator:
        """Return a fresh source of randomness, the same for every section."""
        return np.random.default_rng(self.provenance.seed)


def draw_nothing(_: Record) -> Iterable[Drawing]:
    """Draw no figure."""
    return ()


@dataclass(frozen=True, kw_only=True)
class Section:
    """One section of a page."""

    name: str
    """Key of its record in a summary, and id of the section in the page; the name of its module."""
    title: str
    """Heading; a record can carry its own as `title`."""
    help: str
    """What it shows, in one line."""
    applies: Callable[[PageSource], bool]
    """Whether the sources hold what the section needs."""
    build: Callable[[PageSource], Record]
    """Turn the sources into the record that is shown; numpy values are allowed, nothing is rounded."""
    template: str
    """Jinja source of the section's body, in HTML. Its variables are `section` (the record), `drawing` (by name),
    `level` and `blocks` (the macros of `templates/blocks.html.j2`, such as ``blocks.interval(entry)``); its filters are
    `fixed`, `percent` and `count` (see `plain_values`). An undefined name is an error."""
    draw: Callable[[Record], Iterable[Drawing]] = draw_nothing
    """Draw the figures of a record."""
    terms: Mapping[str, str] = field(default_factory=dict[str, str])
    """Definitions of the terms that the section uses."""
    anchor: str = ""
    """Id of the section in the page, where it is not its name."""


SCORED_ITEMS = 400
"""Expected scores are taken over at most this many items, spread evenly over the fit's by difficulty."""


def irt_scores(posterior: IRTPosterior, rng: np.random.Generator, draws: int = 400) -> FloatArray:
    """Expected share right of every model over the items of an item response fit, as (model, draw).

    An item's parameters are the same for all models of a draw, so that comparisons are paired.

    Args:
        posterior: An item response fit.
        rng: Source of randomness.
        draws: Number of draws.
    """
    chances = posterior.draw_chances(_spread_evenly(posterior.item_mean[:, -1]), rng, draws)
    return np.stack([chance.mean(axis=0) for chance in chances])


def demand_scores(posterior: DemandPosterior, study: Study, rng: np.random.Generator, draws: int = 400) -> FloatArray:
    """Expected share right of every model over the items of a fit of the demand-ability model, as (model, draw).

    Args:
        posterior: A fit of the demand-ability model.
        study: The study that it was made from, for the tasks and benchmarks of the items.
        rng: Source of randomness.
        draws: Number of draws.

    Raises:
        InputError: The study lacks a dimension of the fit.
    """
    places = _spread_evenly(posterior.residual_mean)
    items = posterior.asked(study, tuple(posterior.items[place] for place in places))
    chances = draw_demand_chances(posterior, items, places, rng, draws)
    return np.stack([chance.mean(axis=0) for chance in chances])


def _spread_evenly(easiness: np.ndarray) -> np.ndarray:
    """Positions of at most `SCORED_ITEMS` items, evenly spaced in the order of their easiness."""
    order = np.argsort(easiness, kind="stable")
    return order[np.linspace(0, len(order) - 1, min(SCORED_ITEMS, len(order))).round().astype(int)]
