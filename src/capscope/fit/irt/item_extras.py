"""The extra parameters of items outside of torch: floors and ceilings, thresholds between grades, precisions."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from scipy.special import betaincinv, expit, logit

from capscope.axes import FloatArray, RowFloats, RowIndex
from capscope.fit.irt.score_models import ASYMPTOTES
from capscope.fit.links import success_probability

if TYPE_CHECKING:
    import torch

    from capscope.fit.irt.score_models.score_model import ScoreModel

NEW_ITEM = -1
"""Position of an item that is not in the fit: it is predicted as a draw from the population of items."""
NODES = 9
"""Nodes of the expectation over uncertain log-odds where it has no closed form."""


@dataclass(frozen=True)
class ItemExtras:
    """Gaussian posteriors of the items' extras in unconstrained coordinates."""

    code: str
    """Name of the distribution of the scores: ``asymptotes``, ``graded:K`` with K grades, or ``beta:E`` with edge E."""
    mean: Float[np.ndarray, "item coordinate"]
    """Posterior means; minus infinity for a floor or slip of 0."""
    cov: Float[np.ndarray, "item coordinate coordinate"]
    """Posterior covariances; 0 where a coordinate is not estimated."""
    covariance_inflation: Float[np.ndarray, "item param param"]
    """Covariance of ``(a, d)`` due to uncertain extras. Chances are predicted without it, at the extras' mean, because
    extras and intercept trade off: their joint posterior is wide although the predicted chances are not."""
    typical: Float[np.ndarray, " coordinate"]
    """Coordinates of a typical new item."""
    typical_variance: Float[np.ndarray, " coordinate"]
    """Their variances."""

    def take(self, index: Int[np.ndarray, " chosen"]) -> "ItemExtras":
        """The extras of some items."""
        return replace(
            self, mean=self.mean[index], cov=self.cov[index], covariance_inflation=self.covariance_inflation[index]
        )

    def typical_items(self, n_items: int) -> "ItemExtras":
        """Items never seen, all at the typical extras."""
        mean = np.tile(self.typical, (n_items, 1))
        cov = np.tile(np.diag(self.typical_variance), (n_items, 1, 1))
        return replace(
            self, mean=mean, cov=cov, covariance_inflation=np.zeros((n_items, *self.covariance_inflation.shape[1:]))
        )

    def placed(self, at: Int[np.ndarray, " chosen"], part: "ItemExtras") -> "ItemExtras":
        """Extras of the same items, where some are replaced.

        Args:
            at: Positions of the items to replace.
            part: Extras of these items, in this order.

        Returns:
            The extras of all items.
        """
        mean, cov, covariance_inflation = self.mean.copy(), self.cov.copy(), self.covariance_inflation.copy()
        mean[at], cov[at], covariance_inflation[at] = part.mean, part.cov, part.covariance_inflation
        return replace(self, mean=mean, cov=cov, covariance_inflation=covariance_inflation)

    def with_floor(self, floor: RowFloats | float) -> "ItemExtras":
        """The same items with known floors, where there are floors."""
        if not self.has_asymptotes:
            return self
        mean, cov = self.mean.copy(), self.cov.copy()
        mean[:, 0], cov[:, 0], cov[:, :, 0] = logit(np.asarray(floor)), 0.0, 0.0
        return replace(self, mean=mean, cov=cov)

    def moved(self, matrix: Float[np.ndarray, "param param"]) -> "ItemExtras":
        """The extras where slopes and intercepts become ``matrix @ (a, d)``."""
        return replace(self, covariance_inflation=matrix @ self.covariance_inflation @ matrix.T)

    @property
    def floor(self) -> Float[np.ndarray, " item"]:
        """Expected chance of a right guess."""
        return expit(self.mean[:, 0]) if self.has_asymptotes else np.zeros(len(self.mean))

    @property
    def ceiling(self) -> Float[np.ndarray, " item"]:
        """Expected chance of a right answer from a model that knows it."""
        return expit(-self.mean[:, 1]) if self.has_asymptotes else np.ones(len(self.mean))

    @property
    def has_asymptotes(self) -> bool:
        """Whether the extras are floors and ceilings."""
        return self.code == ASYMPTOTES

    def score_model(self) -> "ScoreModel":
        """The score model, to take expectations and draws from."""
        from capscope.fit.irt.score_models.score_model import score_model_of

        return score_model_of(self.code)

    def expected(self, mean: RowFloats, variance: RowFloats, item_index: RowIndex) -> RowFloats:
        """Expected scores where log-odds are Gaussian, row by row.

        Args:
            mean: Means of the log-odds, row by row.
            variance: Their variances.
            item_index: Position of each row's item.

        Returns:
            Expected scores, from 0 to 1.
        """
        if self.has_asymptotes:
            return success_probability(mean, variance, self.floor[item_index], self.ceiling[item_index])
        log_odds, extras, weight = self._at_nodes(mean, variance, item_index)
        return self.score_model().expected_score(log_odds, extras).numpy() @ weight

    def score_variance(self, mean: RowFloats, variance: RowFloats, item_index: RowIndex) -> RowFloats:
        """Variance of scores around `expected`, row by row: that at known log-odds, and that of the log-odds.

        Args:
            mean: Means of the log-odds, row by row.
            variance: Their variances.
            item_index: Position of each row's item.

        Returns:
            Variances, of squared scores.
        """
        log_odds, extras, weight = self._at_nodes(mean, variance, item_index)
        model = self.score_model()
        score, own = model.expected_score(log_odds, extras).numpy(), model.score_variance(log_odds, extras).numpy()
        return own @ weight + score**2 @ weight - (score @ weight) ** 2

    def information(self, logit: FloatArray) -> FloatArray:
        """Fisher information about known log-odds, with the items on the last axis."""
        import torch

        extras = [torch.from_numpy(column) for column in self.mean.T]
        return self.score_model().information(torch.from_numpy(logit), extras).numpy()

    def draw(self, logit: RowFloats, item_index: RowIndex, rng: np.random.Generator) -> RowFloats:
        """Scores at known log-odds, row by row.

        Args:
            logit: Log-odds, row by row.
            item_index: Position of each row's item.
            rng: Source of randomness.

        Returns:
            Scores from 0 to 1.
        """
        import torch

        extras = [torch.from_numpy(column[item_index]) for column in self.mean.T]
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        return self.score_model().draw(torch.from_numpy(logit), extras, generator).numpy()

    def _at_nodes(
        self, mean: RowFloats, variance: RowFloats, item_index: RowIndex
    ) -> "tuple[torch.Tensor, list[torch.Tensor], FloatArray]":
        """Log-odds at quadrature nodes (row, node), the extras beside them, and the nodes' weights."""
        import torch

        node, weight = np.polynomial.hermite_e.hermegauss(NODES)
        log_odds = torch.from_numpy(mean[:, None] + np.sqrt(variance)[:, None] * node)
        extras = [torch.from_numpy(column[item_index][:, None]) for column in self.mean.T]
        return log_odds, extras, weight / weight.sum()

    def asymptotes(self, items: tuple[str, ...], level: float = 0.9) -> pd.DataFrame:
        """Floor and ceiling of each item with Beta intervals (see `BetaPrior` for why a Beta).

        Args:
            items: Ids on the item axis.
            level: Nominal coverage.

        Returns:
            Columns ``item, floor, floor_sd, floor_lower, floor_upper`` and the same for ``ceiling``.
        """
        floor = _beta_summary(self.mean[:, 0], self.cov[:, 0, 0], level)
        slip = _beta_summary(self.mean[:, 1], self.cov[:, 1, 1], level)
        columns = {"item": items, "floor": floor[0], "floor_sd": floor[1], "floor_lower": floor[2]}
        columns |= {"floor_upper": floor[3], "ceiling": 1 - slip[0], "ceiling_sd": slip[1]}
        return pd.DataFrame(columns | {"ceiling_lower": 1 - slip[3], "ceiling_upper": 1 - slip[2]})


def asymptotes_at(
    extras: ItemExtras | None, floor: FloatArray, item_index: RowIndex
) -> tuple[Float[np.ndarray, "row 1"], Float[np.ndarray, "row 1"]]:
    """Expected floors and ceilings of items as columns; those of a typical item for `NEW_ITEM`.

    Args:
        extras: Extras of the fit's items; None for none.
        floor: Chance of a right guess on each item of a fit without extras.
        item_index: Positions of the items in the fit, or `NEW_ITEM`.
    """
    known = item_index != NEW_ITEM
    if extras is None:
        return np.where(known, floor[item_index], 0.0)[:, None], np.ones((len(item_index), 1))
    new = extras.typical_items(1)
    floors = np.where(known, extras.floor[item_index], new.floor)
    return floors[:, None], np.where(known, extras.ceiling[item_index], new.ceiling)[:, None]


def _beta_summary(coordinate: RowFloats, variance: RowFloats, level: float) -> tuple[RowFloats, ...]:
    """Mean, standard deviation and interval of chances from their logits' posteriors, each read as a Beta."""
    mean = expit(coordinate)
    room = mean * (1 - mean)
    known = ~(variance * room > 0)
    strength = 1 / np.where(known, 1.0, variance * room)
    tail = (1 - level) / 2
    lower, upper = (
        np.where(known, mean, betaincinv(np.maximum(mean * strength, 1e-9), (1 - mean) * strength, q))
        for q in (tail, 1 - tail)
    )
    return mean, np.where(known, 0.0, np.sqrt(room / (strength + 1))), lower, upper
