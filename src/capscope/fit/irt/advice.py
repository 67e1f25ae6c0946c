"""Advice on a fit: oddities of the data, and what the model could not estimate."""

from dataclasses import replace

import numpy as np

from capscope.errors import counted, first_few
from capscope.fit.cells.answers import Answers
from capscope.fit.cells.response_summary import ResponseSummary, block_labels
from capscope.fit.irt.posterior import IRTPosterior
from capscope.fit.outcome import ALONE, UNLINKED, Status

NULL_SLOPE = 0.15
"""Typical slope below which abilities explain next to nothing of the log-odds."""

LEAST_MODELS = 20
"""Fewest models from which the shape of a distribution is judged."""

CLUSTERED, MOST_FULL = 0.6, 0.9
"""Least correlation of ability and mean difficulty over models that leads to advice; fuller matrices are skipped."""

BIMODAL = 0.7
"""Sarle's coefficient of bimodality above which the models form two groups; a uniform distribution has 0.56."""

NEGATIVE_SLOPE, MANY_NEGATIVE = 0.3, 0.1
"""Slopes below minus the first count as negative; more than the second share of them is odd."""


def advise(status: Status, posterior: IRTPosterior, answers: Answers, summary: ResponseSummary) -> Status:
    """Add advice to a status; pure noise changes its code to ``nothing-to-measure``.

    Args:
        status: Status of the engine.
        posterior: The fitted posterior.
        answers: The fitted answers.
        summary: Totals of these answers.

    Returns:
        The status with more advice.
    """
    advice = [*status.advice, *flat_rows(answers, summary), *_small(posterior), *_blocks(answers, summary)]
    advice += _clustered(posterior, answers, summary)
    if not status.converged:
        advice.append("still moving at the last sweep; raise max_sweeps, or use fewer dimensions")
    code = status.code
    if len(posterior.models) > 1 and typical_slope(posterior) < NULL_SLOPE:
        code = "nothing-to-measure"
        advice.append(
            "answers do not depend on an ability (slopes are near 0): the models do not differ by what they know"
        )
    else:
        advice += _bimodal_dimensions(posterior)
    return replace(status, code=code, advice=tuple(advice))


def typical_slope(posterior: IRTPosterior) -> float:
    """Root-mean-square length of the items' slopes, in log-odds per standard deviation of ability."""
    return float(np.sqrt((posterior.item_mean[:, :-1] ** 2).sum(1).mean()))


def flat_rows(
    answers: Answers, summary: ResponseSummary, models: np.ndarray | None = None, items: np.ndarray | None = None
) -> list[str]:
    """Models and items without an answer, or all right or all wrong.

    Args:
        answers: Observed answers.
        summary: Summary of these answers.
        models: Positions of the models to look at; None for all.
        items: Positions of the items to look at; None for all.
    """
    lines: list[str] = []
    for what, names, total, index in (
        ("model", answers.models, summary.models, models),
        ("item", answers.items, summary.items, items),
    ):
        if index is not None:
            names, total = [names[i] for i in index], total.of(index)
        answered = total.trials > 0
        for label, flat in (
            ("have no answer", ~answered),
            ("are all right", answered & (total.right >= total.trials)),
            ("are all wrong", answered & (total.right <= 0)),
        ):
            rows = np.flatnonzero(flat)
            if len(rows):
                listed = first_few((names[i] for i in rows), 3)
                one = label.replace("are", "is").replace("have", "has")
                lines.append(
                    f"1 {what} {one} ({listed}): its estimate depends on the prior"
                    if len(rows) == 1
                    else f"{len(rows)} {what}s {label} ({listed}): their estimates depend on the prior"
                )
    return lines


def _blocks(answers: Answers, summary: ResponseSummary) -> list[str]:
    """Groups of models that share no item with the others, so that only the priors link their scales."""
    if summary.n_rows > 0.5 * len(answers.models) * len(answers.items):
        return []  # two models that each answered more than half of the items share one
    label, _ = block_labels(answers)
    answered = np.flatnonzero(summary.models.count)
    size = np.bincount(label[answered])
    block = np.flatnonzero(size)
    if len(block) < 2:
        return []
    smallest = answered[label[answered] == block[np.argmin(size[block])]]
    listed = first_few((answers.models[i] for i in smallest), 3)
    return [
        f"{len(block)} {UNLINKED} (one of them: {listed}): "
        "abilities cannot be compared across them; add common items or fit each alone"
    ]


def _clustered(posterior: IRTPosterior, answers: Answers, summary: ResponseSummary) -> list[str]:
    """Items chosen near each model's level, as adaptive tests do.

    In such a design every model has about the same share of right answers, and every item too; abilities and
    difficulties then have little information, and the scale shrinks. Its sign is a correlation of the models' abilities
    with the difficulty of the items they answered.
    """
    if len(posterior.models) < LEAST_MODELS or summary.n_rows > MOST_FULL * len(answers.models) * len(answers.items):
        return []
    level = posterior.ability_mean @ posterior.item_mean[:, :-1].mean(0)
    difficulty, total = -posterior.item_mean[:, -1], np.zeros(len(level))
    for rows in answers.blocks():
        total += np.bincount(rows.model_index, difficulty[rows.item_index], len(level))
    answered = np.flatnonzero(summary.models.count)
    asked = total[answered] / summary.models.count[answered]
    spread = float(level[answered].std() * asked.std())
    together = float(np.cov(level[answered], asked, ddof=0)[0, 1]) / spread if spread > 1e-12 else 0.0
    if together < CLUSTERED:
        return []
    return [
        f"able models were asked hard items (correlation {together:.2f} over the models): with items chosen near each "
        "model's level abilities are drawn together; have some items answered by all models, or fix the scale by a fit "
        "(anchors)"
    ]


def _bimodal_dimensions(posterior: IRTPosterior) -> list[str]:
    """Dimensions along which models fall into two groups rather than along a line (Sarle's coefficient)."""
    n_models = len(posterior.models)
    if n_models < LEAST_MODELS:
        return []
    standard = posterior.ability_mean - posterior.ability_mean.mean(0)
    standard = standard / np.maximum(standard.std(0), 1e-9)
    skew, kurtosis = (standard**3).mean(0), (standard**4).mean(0)
    bimodal = np.flatnonzero((skew**2 + 1) / np.maximum(kurtosis, 1e-9) > BIMODAL)
    negative = (posterior.item_mean[:, :-1] < -NEGATIVE_SLOPE).mean(0)
    lines = [
        f"dimension {dim + 1} separates the models into two groups: read it as a difference between groups "
        "(answer key, format, family), not as a skill"
        for dim in bimodal
    ]
    if posterior.dims == 1 and negative[0] > MANY_NEGATIVE:
        lines.append(
            f"{negative[0]:.0%} of items fall with ability: look for wrong or option-biased answer keys, "
            "or let model='auto' add dimensions"
        )
    return lines


def _small(posterior: IRTPosterior) -> list[str]:
    n_models = len(posterior.models)
    if n_models == 1:
        return [
            f"{ALONE}: its ability is not separated from the items' difficulties, so that the fit can say what score to"
            " expect on these items and not how able the model is; add answers of other models, or score it with a bank"
            " ('capscope battery score')"
        ]
    if posterior.dims >= n_models:
        return [f"{posterior.dims} dimensions for {counted(n_models, 'model')}: use fewer dimensions than models"]
    return []
