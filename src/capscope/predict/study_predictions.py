"""Chances on items from a study: an assessor learns from all of its answers and predicts every model."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from capscope.axes import RowIndex
from capscope.data import Study
from capscope.errors import InputError, nearest
from capscope.fit import single_threaded_blas
from capscope.predict.asked import AskedItems
from capscope.predict.assessor import Chances, ExplainingAssessor, FittedAssessor, Training
from capscope.predict.assessors import ASSESSORS, DEFAULT
from capscope.predict.finishing import PredictionSettings, finished, read_evidence
from capscope.predict.folds import regime_of_items
from capscope.predict.joint_scores import joint_departures, joint_scores
from capscope.predict.parts import told_parts
from capscope.predict.predictions import Predictions
from capscope.predict.support import NEAR, nearness, support_table

KINDS = {
    "warm": "{} have answers",
    "item": "{} are new in known tasks",
    "task": "{} are of new tasks",
    "benchmark": "{} are of new benchmarks",
}
"""How new items are, in words."""


def predict_from_study(
    study: Study,
    items: Study,
    settings: PredictionSettings | None = None,
    tell: Callable[[str], None] | None = None,
) -> Predictions:
    """Let an assessor learn from all answers of a study, and predict every model's chance on a set of items.

    Items that have answers are predicted with these; of new ones their demands, texts, tasks and benchmarks tell, as
    far as they are known. The interval of a score carries what its items share: abilities, effects of demands, of new
    tasks and of new benchmarks, and that each item is passed or failed as a whole.

    Args:
        study: A study with items and responses.
        items: The items asked about; those of the study by the same ids.
        settings: What to predict and how.
        tell: Called with a line on what is being done.

    Raises:
        InputError: No such assessor, model or annotator, an id that names two items, a file that cannot be read, or an
            assessor that cannot do without what the items lack, or cannot explain.
        JoinError: Fewer than nine in ten of the answered items have demands or are in the items table.
    """
    settings = settings or PredictionSettings()
    name = settings.assessor or DEFAULT
    if name not in ASSESSORS:
        raise InputError(f"unknown assessor '{name}'{nearest(name, ASSESSORS)}; there are {', '.join(ASSESSORS)}")
    asked = AskedItems.of(study, items, settings.annotator, settings.embedder)
    evidence = read_evidence(settings, asked.responses.models, asked.ids, name)
    if tell is not None:
        n_models, n_answers = len(asked.responses.models), len(asked.responses.score)
        tell(f"fitting '{name}' to {n_answers:,} answers of {n_models} models, to predict {len(asked.ids):,} items")
    training = asked.training(settings.seed)
    with single_threaded_blas():
        asking = _Asking(asked, training, ASSESSORS[name].fit(training))
        found = asking.predictions(name, settings, evidence is not None)
    return finished(found, pd.Series(asked.asked_benchmark, index=list(asked.ids)), evidence, settings)


@dataclass(frozen=True)
class _Asking:
    """A fitted assessor and what it is asked about."""

    asked: AskedItems
    training: Training
    fitted: FittedAssessor

    @property
    def models(self) -> tuple[str, ...]:
        return self.asked.responses.models

    def rows(self) -> tuple[RowIndex, RowIndex]:
        """Every model on every asked item, models first."""
        model, place = np.indices((len(self.models), len(self.asked.ids))).reshape(2, -1)
        return model, self.asked.asked[place]

    def predictions(self, name: str, settings: PredictionSettings, evidence_follows: bool) -> Predictions:
        """Predict; where evidence on the benchmarks follows, it takes the place of their effect in the intervals."""
        chances, support = self.fitted.predict(*self.rows()), self.support()
        parts = self.parts(name) if settings.explain else None
        table = self.table(_without_shared(chances) if evidence_follows else chances, settings.level)
        table = table.merge(support[["item_id", "in_support"]], on="item_id", how="left")
        overall, by_benchmark = self.scores(chances, settings)
        notes = (self.kinds(), *self.asked.notes)
        return Predictions(table, overall, support, settings.level, by_benchmark, parts, notes)

    def table(self, chances: Chances, level: float) -> pd.DataFrame:
        ids, models = np.array(self.asked.ids), np.array(self.models)
        lower, upper = chances.bounds(level)
        columns = {"item_id": np.tile(ids, len(models)), "model": np.repeat(models, len(ids))}
        return pd.DataFrame(columns | {"p": chances.probability, "lower": lower, "upper": upper})

    def kinds(self) -> str:
        """How new the items are, in a line."""
        count = Counter(regime_of_items(self.training)[self.asked.asked].tolist())
        told = [words.format(count[kind]) for kind, words in KINDS.items() if count[kind]]
        return f"of {len(self.asked.ids)} items, {', '.join(told)}"

    def support(self) -> pd.DataFrame:
        place, features = self.asked.asked, self.training.features
        kind = regime_of_items(self.training)[place]
        answers = np.bincount(self.training.responses.item_index, minlength=features.n_items)[place]
        by_text = features.demands is None and features.texts is not None
        no_text = ~features.texts.known[place] if by_text and features.texts else np.zeros(len(place), dtype=bool)
        near = nearness(features, self.training.answered)[place] >= NEAR**2
        reasons = {
            "": kind == "warm",
            "neither demand levels nor text": np.full(len(place), features.demands is None and features.texts is None),
            "no demand levels": self.asked.unrated[place],
            "no text": no_text,
            f"no answered item has {'a text' if by_text else 'demands'} near its own": ~near,
            "a benchmark without answers": kind == "benchmark",
        }
        reason = np.select(list(reasons.values()), list(reasons), default="")
        return support_table(self.asked.ids, reason, np.isin(kind, ("warm", "item")), answers.astype(float))

    def parts(self, name: str) -> pd.DataFrame:
        if not isinstance(self.fitted, ExplainingAssessor):
            raise InputError(f"assessor '{name}' cannot say what made a chance; use stacked, explanatory or rasch")
        return told_parts(self.models, self.asked.ids, self.fitted.parts(*self.rows()))

    def scores(self, chances: Chances, settings: PredictionSettings) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Score of each model on all items, and on each benchmark."""
        rng = np.random.default_rng(settings.seed)
        names, group = np.unique(self.asked.asked_benchmark, return_inverse=True)
        share = (chances.shared_sd / np.maximum(chances.log_odds_sd, 1e-9)).reshape(len(self.models), -1)
        departures = joint_departures(self.fitted, self.asked.asked, share, group, rng)
        sets = np.vstack([np.ones(len(group)), group == np.arange(len(names))[:, None]])
        found = joint_scores(self.models, chances, sets, departures, rng, settings.level)
        overall = found[found["set"] == 0].drop(columns="set").reset_index(drop=True)
        by_benchmark = found[found["set"] > 0].sort_values("set", kind="stable", ignore_index=True)
        by_benchmark = by_benchmark.assign(benchmark=names[by_benchmark["set"] - 1], labels=0)
        columns = ["model", "score", "lower", "upper"]
        return overall[columns], by_benchmark[["model", "benchmark", "score", "lower", "upper", "labels"]]


def _without_shared(chances: Chances) -> Chances:
    """Chances whose spread leaves the benchmark's effect out."""
    own = np.sqrt(np.maximum(chances.log_odds_sd**2 - chances.shared_sd**2, 0))
    return replace(chances, log_odds_sd=own, shared_sd=np.zeros_like(own))
