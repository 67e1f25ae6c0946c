"""Models judged in pairs: a table of judgements to Bradley-Terry strengths with intervals."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import expit

from capscope.axes import FloatArray
from capscope.display import ArrowTables, html_table
from capscope.errors import LONGEST_NAME, InputError, counted, first_few, shortened
from capscope.profiles.comparison.rankings import ClusterScores, Wins, fit_strengths, strengths
from capscope.profiles.meanings import reliability_notes, table_lines

COLUMNS = ("model_a", "model_b", "winner")
WINNERS = ("a", "b", "tie")


@dataclass(frozen=True)
class JudgedModels(ArrowTables):
    """Models ranked by judges."""

    table: pd.DataFrame
    """Columns model, strength (log-odds of being preferred, mean 0), lower, upper, judgements; strongest first."""
    judgements: int
    """Number of judgements."""
    level: float
    """Coverage of the bounds."""
    clusters: str = "judgements"
    """What varies independently: `judgements`, or `prompts` where judgements name them."""
    reliability: float = float("nan")
    """Share of the variance of the strengths that is not error."""

    @property
    def notes(self) -> tuple[str, ...]:
        """Limitations of the ranking."""
        return reliability_notes(self.reliability, "judgements")

    @property
    def head(self) -> str:
        """Heading of the table, in one line."""
        count = counted(self.judgements, "judgement")
        return (
            f"{count}: log-odds of being preferred to an average model, {self.level:.0%} intervals over {self.clusters}"
        )

    def as_dict(self) -> dict[str, object]:
        """Return plain values."""
        result: dict[str, object] = {
            "judgements": self.judgements,
            "level": self.level,
            "reliability": self.reliability,
        }
        return result | {"models": self.table.to_dict("records"), "notes": list(self.notes)}

    def as_text(self) -> str:
        """Return notes and the table."""
        return "\n".join([*(f"note: {note}" for note in self.notes), self.head, table_lines(self.table)])

    def __repr__(self) -> str:
        first = self.table["model"].iloc[0]
        return (
            f"JudgedModels({counted(len(self.table), 'model')}, {counted(self.judgements, 'judgement')}, {first} first)"
        )

    def _repr_html_(self) -> str:
        return html_table("Judged models", self.table, " ".join([*self.notes, self.head]))


def bradley_terry(judgements: pd.DataFrame, *, level: float = 0.9) -> JudgedModels:
    """Fit Bradley-Terry strengths to judgements; a tie is half a win for each.

    The prior is Jeffreys', which reaches every pair as half a win and half a loss do, and the bounds are those of the
    penalised likelihood, so that they have a width after a single judgement. Judgements of one prompt may go together;
    the bounds then widen by as much as prompts vary more than independent judgements would.

    Args:
        judgements: Columns model_a, model_b, winner (`a`, `b` or `tie`), and optionally prompt. Neither the order of
            the rows nor the frame's index matters.
        level: Nominal coverage.

    Returns:
        Strength of each model in log-odds, with bounds.

    Raises:
        InputError: A column is missing, a name is blank, a winner is none of these, or models fall into groups without
            a judgement between them.
    """
    _check(judgements)
    models = sorted(set(judgements["model_a"].astype(str)) | set(judgements["model_b"].astype(str)))
    place = {name: number for number, name in enumerate(models)}
    pair = np.array([judgements[column].astype(str).map(place) for column in COLUMNS[:2]])
    won = judgements["winner"].map({"a": 1.0, "b": 0.0, "tie": 0.5}).to_numpy(dtype=float)
    wins = _wins(pair, won, len(models))
    _refuse_islands(wins, models)
    prompts = _prompt_scores(judgements, pair, won, wins) if "prompt" in judgements else None
    fitted = strengths(wins, level, prompts)
    taken = np.bincount(pair.ravel(), minlength=len(models))
    columns = {"model": models, "strength": fitted.value, "lower": fitted.lower, "upper": fitted.upper}
    table = pd.DataFrame(columns | {"judgements": taken})
    table = table.sort_values("strength", ascending=False, kind="stable").reset_index(drop=True)
    variance = float(fitted.value.var(ddof=1))
    reliability = max(0.0, 1 - float(fitted.variance.mean()) / variance) if variance > 0 else float("nan")
    return JudgedModels(table, len(won), level, "judgements" if prompts is None else "prompts", reliability)


def _check(judgements: pd.DataFrame) -> None:
    missing = [column for column in COLUMNS if column not in judgements]
    if missing:
        raise InputError(f"judgements: column '{missing[0]}' is missing; give {', '.join(COLUMNS)}")
    if not len(judgements):
        raise InputError("judgements: the table has no rows; give one row for each judged pair")
    for column in COLUMNS[:2]:
        names = judgements[column]
        blank = np.flatnonzero((names.isna() | (names.astype(str).str.strip() == "")).to_numpy(dtype=bool))
        if len(blank):
            raise InputError(f"judgements: row {blank[0] + 1}: {column} is blank; name the model or drop the row")
    bad = np.flatnonzero(~judgements["winner"].isin(WINNERS).to_numpy())
    if len(bad):
        value = shortened(str(judgements["winner"].iloc[bad[0]]), LONGEST_NAME)
        raise InputError(f"judgements: row {bad[0] + 1}: winner is '{value}'; use one of {', '.join(WINNERS)}")
    same = np.flatnonzero((judgements["model_a"].astype(str) == judgements["model_b"].astype(str)).to_numpy())
    if len(same):
        raise InputError(f"judgements: row {same[0] + 1} compares a model with itself; drop the row")


def _wins(pair: np.ndarray, won: FloatArray, size: int) -> Wins:
    wins = np.zeros((size, size))
    np.add.at(wins, (pair[0], pair[1]), won)
    np.add.at(wins, (pair[1], pair[0]), 1 - won)
    return wins


def _prompt_scores(judgements: pd.DataFrame, pair: np.ndarray, won: FloatArray, wins: Wins) -> ClusterScores:
    """Each prompt's wins less expected wins by model; a judgement without a prompt is a prompt of its own."""
    prompt = judgements["prompt"].astype("string")
    alone = pd.Series([f"\n{row}" for row in range(len(prompt))], index=prompt.index, dtype="string")
    _, place = np.unique(prompt.where(prompt.notna(), alone).to_numpy(dtype=str), return_inverse=True)
    value = fit_strengths(wins)
    surprise = won - expit(value[pair[0]] - value[pair[1]])
    scores = np.zeros((place.max() + 1, len(value)))
    np.add.at(scores, (place, pair[0]), surprise)
    np.add.at(scores, (place, pair[1]), -surprise)
    return scores


def _refuse_islands(wins: Wins, models: list[str]) -> None:
    met = (wins + wins.T) > 0
    reached = np.zeros(len(models), bool)
    reached[0] = True
    for _ in models:
        reached |= met[reached].any(axis=0)
    if not reached.all():
        apart = [name for name, known in zip(models, reached, strict=True) if not known]
        raise InputError(f"judgements: {first_few(apart)} never met {models[0]} or who met it; judge some such pairs")
