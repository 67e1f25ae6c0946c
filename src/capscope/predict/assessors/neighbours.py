"""Offsets of new tasks, predicted from the most similar known tasks, on top of the demand-ability model.

The residuals of held-out tasks are kriged over a kernel of tasks (mean demands, text, format). Standard deviation and
length scale of the offsets are chosen by the likelihood of each known task given the others; where offsets do not help
there, they are zero and the predictions are those of the demand-ability model.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logit

from capscope.axes import FloatArray, RowFloats, RowIndex
from capscope.fit import DemandSettings, log_likelihood
from capscope.predict.answer_statistics import group_folds, has_tasks, residual_sd
from capscope.predict.assessor import AssessorEntry, Chances, Training
from capscope.predict.demand_model import FittedDemandModel, fit_demand_model, reduced_text
from capscope.predict.features import ItemFeatures

FOLDS = 3
FEWEST_TASKS, MOST_TASKS = 3, 300
"""With fewer or more known tasks no offsets are learnt."""
TASK_SD = (0.0, 0.15, 0.3, 0.6)
"""Standard deviations in log-odds, of task offsets and of model-by-task offsets, that are compared."""
LENGTH_SCALES = (0.5, 1.0, 2.0)
"""Length scales of the kernel over tasks that are compared, in units of the typical distance between known tasks."""
TEXT_DIMS = 16


@dataclass(frozen=True)
class CoreFolds:
    """The demand-ability model on all training answers, and its predictions of held-out tasks."""

    core: FittedDemandModel
    """Fitted to all training answers."""
    log_odds: RowFloats
    """Out-of-fold log-odds of the expected chance, one for each training answer."""
    fold: RowIndex
    """Fold of each training answer."""

    @classmethod
    def of(cls, training: Training, regime: str = "task") -> "CoreFolds":
        """Fit the model once on everything and once without each fold.

        Args:
            training: The training part.
            regime: What is held out together, see `group_folds`; items, where there are no tasks.
        """
        responses = training.responses
        log_odds, fold = np.zeros(len(responses.score)), np.zeros(len(responses.score), np.int64)
        for number, held_out in enumerate(group_folds(training, regime, FOLDS)):
            rows = responses.rows(held_out)
            fitted = _core(training.without(held_out))
            log_odds[held_out] = logit(fitted.predict(rows.model_index, rows.item_index).probability)
            fold[held_out] = number
        return cls(_core(training), log_odds, fold)


def _core(training: Training) -> FittedDemandModel:
    return fit_demand_model(training, DemandSettings(seed=training.seed), text=training.features.demands is None)


def _loss(training: Training, log_odds: RowFloats) -> float:
    responses = training.responses
    return -float(log_likelihood(log_odds, responses.score, responses.n_trials).sum() / responses.n_trials.sum())


@dataclass(frozen=True)
class FittedNeighbours:
    """The demand-ability model and offsets of models on the tasks to predict."""

    core: FittedDemandModel
    offset: FloatArray
    """Offset in log-odds, as (model, task)."""
    task: np.ndarray
    """Task of each item; offsets of answered tasks are zero, since the core knows them."""

    def predict(self, model_index: RowIndex, item_index: RowIndex) -> Chances:
        """Return chances of success with each task's offset; see `FittedAssessor.predict`."""
        known = self.core.predict(model_index, item_index)
        offset = self.offset[model_index, self.task[item_index]]
        moved = expit(logit(known.probability) + offset)
        return Chances.of(moved, known.log_odds_sd, known.shared_sd)


@dataclass(frozen=True)
class NeighboursAssessor:
    """Kriging of the demand-ability model's residuals over tasks."""

    def fit(self, training: Training) -> FittedNeighbours:
        """Choose standard deviation and length scale of the offsets on held-out tasks; no offsets where none helps."""
        features, responses = training.features, training.responses
        tasks, task = np.unique(features.task, return_inverse=True)
        n_models = len(responses.models)
        nothing = np.zeros((n_models, len(tasks)))
        if not has_tasks(training):
            return FittedNeighbours(_core(training), nothing, task)
        folds = CoreFolds.of(training)
        known = np.unique(task[responses.item_index])
        if not FEWEST_TASKS <= len(known) <= MOST_TASKS:
            return FittedNeighbours(folds.core, nothing, task)
        distance = task_distances(features, task, known)
        residuals = TaskResiduals.of(training, folds.log_odds, task, len(tasks))
        best, chosen = _loss(training, folds.log_odds), None
        for shared in TASK_SD:
            for own in TASK_SD:
                for length_scale in LENGTH_SCALES if shared or own else ():
                    offset = residuals.without_own(known, distance, shared, own, length_scale)
                    line = folds.log_odds + offset[responses.model_index, task[responses.item_index]]
                    loss = _loss(training, line)
                    if loss < best:
                        best, chosen = loss, (shared, own, length_scale)
        offset = nothing if chosen is None else residuals.predicted(known, distance, *chosen)
        offset[:, known] = 0.0
        return FittedNeighbours(folds.core, offset, task)


def task_distances(features: ItemFeatures, task: np.ndarray, known: np.ndarray) -> FloatArray:
    """Return squared distances between tasks: mean demands, text, and format (options, length), each scaled alike.

    Args:
        features: Features of all items.
        task: Task of each item, counted from 0.
        known: Tasks with answers; the mean squared distance between them is one unit of each block.
    """
    count = np.bincount(task)
    blocks = [features.floor[:, None]]
    if features.demands is not None:
        blocks.append(features.demands)
    if features.texts is not None:
        blocks.append(reduced_text(features, TEXT_DIMS))
        blocks.append(np.log1p([[len(text)] for text in features.texts.texts]))
    total, used = np.zeros((len(count), len(count))), 0
    for block in blocks:
        mean = np.column_stack([np.bincount(task, weights=column) / count for column in block.T])
        squared = ((mean[:, None] - mean[None]) ** 2).sum(axis=-1)
        typical = squared[np.ix_(known, known)].sum() / (len(known) * (len(known) - 1))
        if typical > 1e-9:
            total, used = total + squared / typical, used + 1
    return total / max(used, 1)


@dataclass(frozen=True)
class TaskResiduals:
    """Mean residual of each model on each task in log-odds, with its variance."""

    mean: FloatArray
    """As (model, task); 0 where there are no answers."""
    variance: FloatArray
    """As (model, task); infinite where there are no answers."""

    @classmethod
    def of(cls, training: Training, log_odds: RowFloats, task: np.ndarray, n_tasks: int) -> "TaskResiduals":
        """Sum the residuals of each model and task; the variance includes the spread of items.

        Args:
            training: Answers to learn from.
            log_odds: Predicted log-odds of each answer.
            task: Task of each item, counted from 0.
            n_tasks: Number of tasks.
        """
        responses, chance = training.responses, expit(log_odds)
        shape = (len(responses.models), n_tasks)
        size = int(np.prod(shape))
        cell = responses.model_index * n_tasks + task[responses.item_index]
        slope = chance * (1 - chance)
        weights = (responses.n_trials * (responses.score - chance), responses.n_trials * slope)
        total, information = (np.bincount(cell, weights=each, minlength=size).reshape(shape) for each in weights)
        items = np.bincount(cell, minlength=size).reshape(shape)
        between = residual_sd(responses, chance) ** 2
        seen = information > 0
        mean = np.divide(total, information, out=np.zeros(shape), where=seen)
        variance = np.where(seen, 1 / np.maximum(information, 1e-9) + between / np.maximum(items, 1), np.inf)
        return cls(mean, variance)

    def predicted(
        self, known: np.ndarray, distance: FloatArray, shared: float, own: float, length_scale: float
    ) -> FloatArray:
        """Predict offsets of all tasks, as (model, task), from the known ones.

        Args:
            known: Tasks with answers.
            distance: Squared distances between tasks.
            shared: Standard deviation of offsets that all models share.
            own: Standard deviation of each model's offsets around those.
            length_scale: Length scale of the kernel.
        """
        kernel = np.exp(-0.5 * distance / length_scale**2)
        precision = 1 / self.variance[:, known]
        total = precision.sum(axis=0)
        common = (precision * self.mean[:, known]).sum(axis=0) / total
        # items of a task are the same for all models: their variance does not average out over models
        noise = self.variance[:, known].min(axis=0)
        offset = np.tile(_kriged(kernel, known, common, noise, shared), (len(self.mean), 1))
        if own:
            for model in np.flatnonzero(np.isfinite(self.variance[:, known]).any(axis=1)):
                seen = np.isfinite(self.variance[model, known])
                left = self.mean[model, known] - common
                offset[model] += _kriged(kernel, known[seen], left[seen], self.variance[model, known][seen], own)
        return offset

    def without_own(
        self, known: np.ndarray, distance: FloatArray, shared: float, own: float, length_scale: float
    ) -> FloatArray:
        """Predict the offset of each known task from the other known tasks; see `predicted` for the arguments."""
        offset = np.zeros_like(self.mean)
        for task in known:
            others = known[known != task]
            offset[:, task] = self.predicted(others, distance, shared, own, length_scale)[:, task]
        return offset


def _kriged(kernel: FloatArray, known: np.ndarray, value: FloatArray, noise: FloatArray, sd: float) -> FloatArray:
    if not sd:
        return np.zeros(len(kernel))
    inside = sd**2 * kernel[np.ix_(known, known)] + np.diag(noise)
    return sd**2 * kernel[:, known] @ np.linalg.solve(inside, value)


NEIGHBOURS = AssessorEntry(
    name="neighbours",
    help="the explanatory model, and offsets of new tasks predicted from similar tasks, as far as held-out tasks allow",
    needs="demands or texts",
    on_request=True,
    assessor=NeighboursAssessor(),
)
