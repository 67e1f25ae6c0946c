"""Which answers people should label: drawn with known chances, more often where the prediction is unsure."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float
from scipy.optimize import nnls

from capscope.data import Study, checked_columns, read_table
from capscope.decide.judge_coverage import FEWEST_LABELS, uneven_kinds
from capscope.decide.judge_data import JudgedAnswers
from capscope.decide.judge_estimators import kernel_prediction
from capscope.decide.version_answers import capped_chances, draw
from capscope.errors import InputError

SAME = 1e-9
"""Difference up to which two labels are the same."""

LEAST_SPREAD = 0.1
"""Share of the mean variance of the truth that is added to every answer's, so that none has a chance near 0."""

LEAST_UNLEARNED = 0.5
"""The same where too few labels tell how unsure the judge is: its own doubt is trusted half."""


@dataclass(frozen=True)
class LabelSheet:
    """Labels to give, and those given, each with its chance to have been drawn."""

    table: pd.DataFrame
    """Columns `model, item_id, draw_chance, score`; the score is NaN where the label is still to come."""
    path: str = ""
    """Where it was read from."""

    @property
    def models(self) -> list[str]:
        """Models whose answers are in it."""
        return list(dict.fromkeys(self.table["model"]))

    def labelled(self, answers: JudgedAnswers) -> tuple[JudgedAnswers, str]:
        """Put the sheet's labels and chances on one model's answers.

        Args:
            answers: Judged answers of one model; labels that the study has already stay, and models that are not in the
                sheet keep theirs as an even draw.

        Returns:
            The answers, and a warning where drawn answers have no label; empty where all have one.

        Raises:
            InputError: An answer has a label but no chance, or two labels that differ.
        """
        own = self.table[self.table["model"] == answers.model].set_index("item_id")
        if own.empty:
            return answers, ""
        items = pd.Index(answers.items)
        unknown = own.index.difference(items)
        if len(unknown):
            raise InputError(
                f"{self.path}: item '{unknown[0]}' of '{answers.model}' is no answer that the judge scored"
            )
        chance = own["draw_chance"].reindex(items).to_numpy(float)
        given = own["score"].reindex(items).to_numpy(float)
        both = ~np.isnan(given) & answers.labelled
        differ = both & (np.abs(np.where(both, given - answers.label, 0)) > SAME)
        if differ.any():
            item = answers.items[int(np.flatnonzero(differ)[0])]
            raise InputError(f"{self.path}: item '{item}' of '{answers.model}' has another label in the study")
        label = np.where(np.isnan(given), answers.label, given)
        without = ~np.isnan(label) & np.isnan(chance)
        if without.any():
            item = answers.items[int(np.flatnonzero(without)[0])]
            raise InputError(
                f"{self.path}: names no chance for item '{item}' of '{answers.model}', which is labelled; give the file"
                " that all labels were drawn with"
            )
        drawn, done = ~np.isnan(chance), ~np.isnan(label)
        missing = int((drawn & ~done).sum())
        warning = (
            f"{missing} of {int(drawn.sum())} drawn answers have no label yet; the others stand for them"
            if missing and done.any()
            else ""
        )
        # chances of answers that were not drawn are not used; labels still to come are taken to be missing at random
        response = done.sum() / max(drawn.sum(), 1)
        scaled = np.where(drawn, np.where(chance < 1, chance * response, chance), 1.0)
        return replace(answers, label=label, chance=scaled), warning


def label_sheet(path: Path | str) -> LabelSheet:
    """Read the table of answers to label.

    Args:
        path: The table.

    Returns:
        A row for each answer to label.

    Raises:
        InputError: The file cannot be read, or its columns are not those of a draw.
    """
    table = read_table(Path(path))
    if "score" not in table:
        raise InputError(f"{path}: column 'score' is missing; make the file with 'capscope judge plan --out'")
    checked = checked_columns(
        table,
        str(path),
        names=["model", "item_id"],
        numbers={"draw_chance": (1e-12, 1.0)},
        remedy="make the file with 'capscope judge plan --out'",
    )
    score = pd.to_numeric(table["score"], errors="coerce")
    wrong = table["score"].notna() & (table["score"].astype(str).str.strip() != "") & ~score.between(0, 1)
    if wrong.any():
        row = int(np.flatnonzero(wrong.to_numpy())[0])
        raise InputError(f"{path}: row {row + 1}: score '{table['score'].iloc[row]}' is no label from 0 to 1")
    twice = checked.duplicated(["model", "item_id"])
    if twice.any():
        raise InputError(f"{path}: row {int(np.flatnonzero(twice.to_numpy())[0]) + 1} repeats an answer")
    return LabelSheet(checked[["model", "item_id", "draw_chance"]].assign(score=score.to_numpy(float)), str(path))


def labels_to_give(study: Study, answers: JudgedAnswers, wanted: int, rng: np.random.Generator) -> pd.DataFrame:
    """Draw further answers of one model to label.

    Args:
        study: The study, for the texts of its items.
        answers: Judged answers of one model.
        wanted: Labels wanted beyond those there are.
        rng: Source of randomness.

    Labels of an even draw could have come by this draw too, and get both chances together; others, such as those of an
    earlier plan, count as certain, so that the further draw stands for the rest alone.

    Returns:
        Columns `model, item_id, judge_score, draw_chance, score` and, where the study has it, `text`: answers to label
        first, their score empty, then those labelled already.
    """
    done = answers.labelled
    open_rows = np.flatnonzero(~done)
    size = min(wanted, len(open_rows))
    chance = np.ones(len(done))
    drawn = np.zeros(len(done), bool)
    if size:
        gain = np.sqrt(_variance(answers))
        further = capped_chances(gain[open_rows], size)
        drawn[open_rows[draw(further, rng)]] = True
        chance[open_rows] = further
        if answers.chance is None and done.any() and not uneven_kinds(answers):
            first = done.mean()
            per_gain = float(np.median(further / gain[open_rows]))
            chance = np.where(done, np.minimum(1.0, per_gain * gain), chance)
            chance = first + (1 - first) * chance
    rows = np.concatenate([np.flatnonzero(drawn), np.flatnonzero(done)])
    items = np.array(answers.items, object)[rows]
    table = pd.DataFrame(
        {
            "model": answers.model,
            "item_id": items,
            "judge_score": answers.judge[rows],
            "draw_chance": chance[rows],
            "score": answers.label[rows],
        }
    )
    if study.items is not None:
        text = study.items.set_index(study.items["item_id"].astype(str))["text"]
        table["text"] = text.reindex(items).to_numpy()
    return table


def _variance(answers: JudgedAnswers) -> Float[np.ndarray, " answer"]:
    """Variance of the truth of each answer, as far as judge and labels tell, plus a share of its mean.

    With labels it is a line in h (1 - h), h the predicted label, fitted to squared errors out of sample.
    """
    rows = answers.labelled
    if rows.sum() < FEWEST_LABELS:
        variance, least = answers.judge * (1 - answers.judge), LEAST_UNLEARNED
    else:
        prediction, least = kernel_prediction(answers), LEAST_SPREAD
        mean = np.clip(prediction.fitted, 0.0, 1.0)
        design = np.column_stack([np.ones(len(mean)), mean * (1 - mean)])
        variance = design @ nnls(design[rows], prediction.error**2)[0]
    whole = float(variance.mean())
    return variance + least * whole if whole > 0 else np.ones(len(variance))
