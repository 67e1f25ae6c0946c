"""A sentence encoder whose head gives each model's log-odds of success on a text, trained together on answers."""

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
    """How an encoder is fine-tuned."""

    epochs: int = 4
    """Most passes over the training texts; the best pass on held-out texts is kept, which may be none."""
    batch: int = 16
    """Texts of a step."""
    encoder_rate: float = 3e-5
    """Largest step size of the encoder's weights (AdamW)."""
    head_rate: float = 3e-3
    """Largest step size of the head's."""
    decay: float = 0.01
    """Weight decay."""
    patience: int = 1
    """Passes without gain after which training ends."""
    seed: int = 0
    """Seed of the order of the texts and of dropout."""


@dataclass(frozen=True)
class TextHead:
    """Log-odds of each model, linear in the vector of a text."""

    intercept: ModelFloats
    weight: WeightByModel

    def log_odds(self, vectors: FloatArray) -> ModelItem:
        """Return log-odds of success of models on texts with these vectors."""
        return self.intercept[:, None] + self.weight @ vectors.T


@dataclass(frozen=True)
class TunedEncoder:
    """Predictions of a fine-tuned encoder, and how training went."""

    log_odds: ModelItem
    """Log-odds of success of every model on every text."""
    losses: tuple[float, ...]
    """Log-loss on the held-out texts before training and after each pass."""


def fine_tune(
    encoder: Any,  # noqa: ANN401 - sentence_transformers' own class, an optional extra
    texts: Sequence[str],
    answers: tuple[ModelItem, ModelItem],
    held_out: ItemMask,
    head: TextHead,
    settings: EncoderSettings = EncoderSettings(),
) -> TunedEncoder:
    """Train an encoder and its head on the answers to texts, from a head that fits the encoder as it is.

    Args:
        encoder: A ``SentenceTransformer``; its weights are changed.
        texts: One text for each item.
        answers: Sums of scores and numbers of trials, as (model, item); 0 trials where nothing is known.
        held_out: Items whose answers choose the pass that is kept.
        head: First head, for the encoder's vectors scaled to unit length (Kumar et al., 2022).
        settings: Passes and step sizes.

    Returns:
        Log-odds on all texts.

    Raises:
        InputError: No text is left to learn from, or to choose by.
    """
    known = answers[1].sum(axis=0) > 0
    learnt = np.flatnonzero(known & ~held_out)
    if not len(learnt) or not (known & held_out).any():
        raise InputError("an encoder needs answered texts to learn from and to choose by; give at least two items")
    right, trials = (torch.as_tensor(part, dtype=torch.float32) for part in answers)
    with torch.random.fork_rng():
        torch.manual_seed(settings.seed)
        tuning = _Tuning(encoder, tuple(texts), right, trials, head, settings)
        best, losses = tuning.run(learnt, np.flatnonzero(known & held_out))
    return TunedEncoder(best, tuple(losses))


class _Tuning:
    """An encoder, its head and their optimiser."""

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

    def run(self, learnt: np.ndarray, chosen_by: np.ndarray) -> tuple[ModelItem, list[float]]:
        """Train pass by pass, and return the log-odds of the best pass with the losses of all."""
        steps = self.settings.epochs * -(-len(learnt) // self.settings.batch)
        schedule = torch.optim.lr_scheduler.LambdaLR(self.optimizer, lambda step: max(1 - step / steps, 0.0))
        rng = np.random.default_rng(self.settings.seed)
        losses, best = [self.held_out_loss(chosen_by)], deepcopy(self._state())
        for _ in range(self.settings.epochs):
            self.encoder.train()
            for batch in np.array_split(rng.permutation(learnt), -(-len(learnt) // self.settings.batch)):
                self.optimizer.zero_grad()
                self._loss(batch).backward()
                self.optimizer.step()
                schedule.step()
            losses.append(self.held_out_loss(chosen_by))
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
        """Return the log-loss a trial on some items."""
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
        # lone surrogates, which some scraped texts hold, are no text to a tokenizer
        texts = [self.texts[item].encode("utf-8", "replace").decode("utf-8") for item in items]
        device = self.weight.device
        tokens = self.encoder.tokenize(texts)
        features = {name: part.to(device) if isinstance(part, Tensor) else part for name, part in tokens.items()}
        vectors = functional.normalize(self.encoder(features)["sentence_embedding"], dim=-1)
        return vectors @ self.weight.T + self.intercept

    @torch.no_grad()
    def _all_log_odds(self, items: np.ndarray) -> Tensor:
        """Encode texts of like length together, without dropout."""
        self.encoder.eval()
        order = np.argsort([len(self.texts[item]) for item in items], kind="stable")
        parts = np.array_split(items[order], -(-len(items) // (4 * self.settings.batch)))
        encoded = torch.cat([self._log_odds(part) for part in parts])
        return encoded[torch.as_tensor(np.argsort(order), device=encoded.device)]
