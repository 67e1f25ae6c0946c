"""Correlation of repeated answers: several answers of a model to one item say less than as many to different items.

A chance of success that no ability explains is a model's own on each item, and the same in all of its trials. Counted
as independent, ten trials of one item would outweigh nine other items and make fits, with many abilities above all,
far too sure. With a correlation r within a cell (model, item), n trials count as n / (1 + (n - 1) r) (Kish, 1965;
Williams, 1982). The correlation is the one that predicts held-out cells best.
"""

from dataclasses import replace

import numpy as np

from capscope.axes import FloatArray
from capscope.data import Responses
from capscope.fit.cells.answers import Answers, as_rows
from capscope.fit.cells.response_summary import ResponseSummary
from capscope.fit.engines.variational.problem import ItemCovariates, ModelChoice
from capscope.fit.engines.variational.selection import HeldOutComparison, InnerFolds, Trial, quick_settings, thinned
from capscope.fit.irt.settings import IRTSettings
from capscope.fit.links import effective_trials

CORRELATIONS = (0.1, 0.2, 0.4)
"""Correlations that are tried, besides none."""
FEWEST_REPEATED, MOST_CELLS = 300, 50_000
"""Fewest cells with repeated trials from which the correlation is estimated, and most cells that are used."""
DIMS = 4
"""Abilities of the richer of two models that are tried; the better one counts, so that what abilities explain is no
correlation of trials, and neither is what too many abilities make up."""
FOLDS = InnerFolds(0.2, 3)
SURE_SE = 2.0
"""Standard errors by which a correlation must predict held-out cells better than none."""
TYPICAL = 0.2
"""Correlation by which held-out cells are weighed in all comparisons."""
STREAM = 0x52657065


def trial_correlation(answers: Answers, summary: ResponseSummary, settings: IRTSettings, side: ItemCovariates) -> float:
    """Estimate the correlation of the trials within a cell; 0 where too few cells have several, or none shows.

    Args:
        answers: Observed answers.
        summary: Summary of these answers.
        settings: Settings of the fit.
        side: Covariates of the items.
    """
    if summary.one_trial or settings.response != "auto" or not isinstance(answers, Responses):
        return 0.0
    rng = np.random.default_rng([settings.seed, STREAM])
    part = thinned(answers, summary.n_rows, MOST_CELLS, rng)
    rows = as_rows(part)
    dims = min(DIMS, len(rows.models) - 2, len(rows.items) - 2)
    if (rows.n_trials > 1).sum() < FEWEST_REPEATED or dims < 2:
        return 0.0
    draw, covariates = rng.random(len(rows.score)), replace(side.of(part.kept_items), loads_on=None)
    held = [rows.n_trials[FOLDS.held(draw, number)] for number in range(FOLDS.most)]
    weight = effective_trials(np.concatenate(held), TYPICAL)
    choices = ModelChoice("2pl"), ModelChoice("mirt", dims)

    def losses(correlation: float) -> list[FloatArray]:
        counted = replace(rows, n_trials=effective_trials(rows.n_trials, correlation))
        comparison = HeldOutComparison(counted, draw, FOLDS, 1.0, covariates, quick_settings(settings))
        trials = [comparison.extended(Trial(choice, (), (), ()), FOLDS.most) for choice in choices]
        return [np.concatenate(trial.losses) for trial in trials]

    independent = losses(0.0)
    best, best_losses = 0.0, independent
    for correlation in CORRELATIONS:
        other = losses(correlation)
        if min(_means(other, weight)) >= min(_means(best_losses, weight)):
            break
        best, best_losses = correlation, other
    model = int(np.argmin(_means(best_losses, weight)))
    gain = independent[model] - best_losses[model]
    error = np.sqrt((weight**2 * (gain - np.average(gain, weights=weight)) ** 2).sum()) / weight.sum()
    return best if np.average(gain, weights=weight) > SURE_SE * error else 0.0


def _means(losses: list[FloatArray], weight: FloatArray) -> list[float]:
    return [float(np.average(of_cells, weights=weight)) for of_cells in losses]


def repeats_note(answers: Responses, correlation: float) -> str:
    """Return one line on what correlated trials count."""
    trials = np.array([np.median(answers.n_trials[answers.n_trials > 1])])
    count = effective_trials(trials, correlation)[0]
    return (
        f"repeated answers to an item are alike beyond what abilities explain: their correlation is about"
        f" {correlation:g}, so that {trials[0]:g} count as {count:.1f}"
    )
