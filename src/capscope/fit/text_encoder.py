"""Fine-tuning of a sentence encoder with a linear head that predicts each model's log-odds of success on a text."""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from capscope.axes import FloatArray, ItemMask, ModelFloats, ModelItem
from capscope.errors import InputError

WeightByModel = Float[np.ndarray, "model feature"]


@dataclass(frozen=True, kw_only=True)
class EncoderSettings:
    """Settings of the fine-tuning."""

    epochs: int = 4
    """Largest number of epochs; the weights of the best epoch on held-out texts are kept, or the initial ones."""
    batch: int = 16
    """Texts in a batch."""
    encoder_rate: float = 3e-5
    """Initial learning rate of the encoder's weights (AdamW; Loshchilov & Hutter, 2019); it decays linearly to 0."""
    head_rate: float = 3e-3
    """Initial learning rate of the head's weights."""
    decay: float = 0.01
    """Weight decay."""
    patience: int = 1
    """Number of epochs without improvement after which training stops."""
    seed: int = 0
    """Seed of the order of the texts and of dropout."""


@dataclass(frozen=True)
class TextHead:
    """Linear head: log-odds of success of each model from the vector of a text."""

    intercept: ModelFloats
    """Log-odds of each model (model,) at a vector of 0."""
    weight: WeightByModel
    """Weights (model, feature)."""

    def log_odds(self, vectors: FloatArray) -> ModelItem:
        """Return log-odds of success (model, item) for the vectors of texts (item, feature)."""
        return self.intercept[:, None] + self.weight @ vectors.T


@dataclass(frozen=True)
class TunedEncoder:
    """Predictions of a fine-tuned encoder, with its learning curve."""

    log_odds: ModelItem
    """Log-odds of success (model, item)."""
    losses: tuple[float, ...]
    """Log-loss on the held-out texts before training and after each epoch, in nats per trial."""


def fine_tune(
    encoder: Any,  # noqa: ANN401 - sentence_transformers' own class, an optional extra
    texts: Sequence[str],
    answers: tuple[ModelItem, ModelItem],
    held_out: ItemMask,
    head: TextHead,
    settings: EncoderSettings = EncoderSettings(),
) -> TunedEncoder:
    """Train an encoder and its head on answers, starting from a head that was fitted to the untrained encoder.

    Args:
        encoder: A ``SentenceTransformer``; its weights are changed.
        texts: One text for each item.
        answers: Sums of scores and numbers of trials, each (model, item); 0 trials where an item was not administered.
        held_out: Items (item,) whose answers are used for early stopping only.
        head: Initial head, for vectors of unit length: the head is fitted before the encoder is fine-tuned (Kumar et
            al., 2022).
        settings: Epochs, batch size and learning rates.

    Returns:
        Log-odds on all texts, from the weights of the best epoch.

    Raises:
        InputError: No answered text is left for training, or for early stopping.
    """
    known = answers[1].sum(axis=0) > 0
    training = np.flatnonzero(known & ~held_out)
    if not len(training) or not (known & held_out).any():
        raise InputError("an encoder needs answered texts to learn from and to choose by; give at least two items")
    right, trials = (torch.as_tensor(part, dtype=torch.float32) for part in answers)
    with torch.random.fork_rng():
        torch.manual_seed(settings.seed)
        tuning = _Tuning(encoder, tuple(texts), right, trials, head, settings)
        best, losses = tuning.run(training, np.flatnonzero(known & held_out))
    return TunedEncoder(best, tuple(losses))


class _Tuning:
    """Training state: an encoder, its head and their optimiser."""

    def __init__(  # noqa: PLR0913 - what a training run holds
        self,
        encoder: Any,  # noqa: ANN401
        texts: tuple[str, ...],
        right: Tensor,
        trials: Tensor,
        head: TextHead,
        settings: EncoderSettings,
    ) -> None:
        self.encoder, self.texts, self.settings = encoder, texts, settings
        device = next(encoder.parameters()).device
        self.right, self.trials = right.to(device), trials.to(device)
        first = (torch.as_tensor(part, dtype=torch.float32, device=device) for part in (head.intercept, head.weight))
        self.intercept, self.weight = (torch.nn.Parameter(part.clone()) for part in first)
        groups: list[dict[str, Any]] = [
            {"params": list(encoder.parameters()), "lr": settings.encoder_rate},
            {"params": [self.intercept, self.weight], "lr": settings.head_rate},
        ]
        self.optimizer = torch.optim.AdamW(groups, weight_decay=settings.decay)

    def run(self, training: np.ndarray, held_out: np.ndarray) -> tuple[ModelItem, list[float]]:
        """Train, and return the log-odds (model, item) of the best epoch with the held-out losses of all epochs."""
        steps = self.settings.epochs * -(-len(training) // self.settings.batch)
        schedule = torch.optim.lr_scheduler.LambdaLR(self.optimizer, lambda step: max(1 - step / steps, 0.0))
        rng = np.random.default_rng(self.settings.seed)
        losses, best = [self.held_out_loss(held_out)], deepcopy(self._state())
        for _ in range(self.settings.epochs):
            self.encoder.train()
            for batch in np.array_split(rng.permutation(training), -(-len(training) // self.settings.batch)):
                self.optimizer.zero_grad()
                self._loss(batch).backward()
                self.optimizer.step()
                schedule.step()
            losses.append(self.held_out_loss(held_out))
            if losses[-1] <= min(losses):
                best = deepcopy(self._state())
            if len(losses) - 1 - int(np.argmin(losses)) > self.settings.patience:
                break
        self.encoder.load_state_dict(best[0])
        self.intercept.data, self.weight.data = best[1], best[2]
        return self._all_log_odds(np.arange(len(self.texts))).cpu().numpy().astype(float).T, losses

    def _state(self) -> tuple[dict[str, Tensor], Tensor, Tensor]:
        return self.encoder.state_dict(), self.intercept.data, self.weight.data

    def held_out_loss(self, items: np.ndarray) -> float:
        """Return the mean log-loss per trial on some items, in nats."""
        log_odds = self._all_log_odds(items)
        return float(self._loss_of(log_odds, items))

    def _loss(self, items: np.ndarray) -> Tensor:
        return self._loss_of(self._log_odds(items), items)

    def _loss_of(self, log_odds: Tensor, items: np.ndarray) -> Tensor:
        right, trials = self.right[:, items].T, self.trials[:, items].T
        likelihood = right * functional.logsigmoid(log_odds) + (trials - right) * functional.logsigmoid(-log_odds)
        return -likelihood.sum() / trials.sum().clamp(min=1.0)

    def _log_odds(self, items: np.ndarray) -> Tensor:
        """Log-odds of all models on some texts, as (item, model)."""
        # tokenizers refuse lone surrogates, which some scraped texts contain
        texts = [self.texts[item].encode("utf-8", "replace").decode("utf-8") for item in items]
        device = self.weight.device
        tokens = self.encoder.tokenize(texts)
        features = {name: part.to(device) if isinstance(part, Tensor) else part for name, part in tokens.items()}
        vectors = functional.normalize(self.encoder(features)["sentence_embedding"], dim=-1)
        return vectors @ self.weight.T + self.intercept

    @torch.no_grad()
    def _all_log_odds(self, items: np.ndarray) -> Tensor:
        """Log-odds (item, model) in evaluation mode; texts of similar length share a batch, which saves padding."""
        self.encoder.eval()
        order = np.argsort([len(self.texts[item]) for item in items], kind="stable")
        parts = np.array_split(items[order], -(-len(items) // (4 * self.settings.batch)))
        encoded = torch.cat([self._log_odds(part) for part in parts])
        return encoded[torch.as_tensor(np.argsort(order), device=encoded.device)]
