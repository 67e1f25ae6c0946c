"""The questions of an annotation run: one for each rubric, item and repeat, ordered by rubric."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Literal

import pandas as pd

from capscope.annotate.prompts import (
    PROMPT_VERSION,
    item_messages,
    joint_messages,
    joint_schema,
    level_schema,
    options_messages,
    options_schema,
)
from capscope.annotate.rubrics import Rubric, RubricSet
from capscope.data import Study
from capscope.endpoint import ChatRequest, Messages, Question, Sampling, call_key
from capscope.errors import InputError

Kind = Literal["level", "joint", "options"]

REPLY_TOKENS = 200
"""Tokens reckoned for the reasoning and level of one reply."""
TOKENS_PER_JOINT_LEVEL = 40
"""Tokens reckoned for each further rubric of a joint reply."""


@dataclass(frozen=True)
class RatingJob:
    """What a language model is asked to rate, and how."""

    rubrics: RubricSet
    """The scales; control variables among them are asked for as numbers of options."""
    sampling: Sampling
    """The model and how it answers."""
    samples: int = 1
    """Repeats of each question."""
    joint: bool = False
    """Ask for all rubrics of an item in one call."""
    items: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    """Pairs of item id and text."""
    without_options: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    """Items whose number of options is unknown; they are asked for it where the set has a control variable."""

    @property
    def annotator(self) -> str:
        """Return the name under which labels are stored; joint questions have a name of their own."""
        return self.sampling.model + ("+joint" if self.joint else "")

    def only(self, ids: frozenset[str]) -> "RatingJob":
        """Return the job for these items alone."""
        kept = tuple(pair for pair in self.items if pair[0] in ids)
        return replace(self, items=kept, without_options=tuple(p for p in self.without_options if p[0] in ids))


@dataclass(frozen=True)
class RatingQuestion:
    """One question: an item, a rubric (or all of them jointly), and a repeat."""

    item_id: str
    """The item."""
    rubrics: tuple[Rubric, ...]
    """What it is rated on: one rubric, or all where they are asked jointly."""
    sample: int
    """Number of the repeat, from 0."""
    kind: Kind
    """What is asked for."""
    key: str
    """Key in the ledger."""
    request: ChatRequest
    """What is sent."""

    @property
    def reply_tokens(self) -> int:
        """Return the tokens reckoned for its reply."""
        return REPLY_TOKENS + TOKENS_PER_JOINT_LEVEL * (len(self.rubrics) - 1)

    def question(self) -> Question:
        """Return the request under its key."""
        return Question(self.key, self.request, self.reply_tokens)


def texts(items: pd.DataFrame) -> tuple[tuple[str, str], ...]:
    """Return the ids and texts of the items that have a text."""
    held = items[items["text"].notna()]
    return tuple(zip(held["item_id"].astype(str), held["text"].astype(str), strict=True))


def make_job(
    study: Study,
    rubrics: RubricSet,
    sampling: Sampling,
    *,
    samples: int = 1,
    joint: bool = False,
    limit: int | None = None,
) -> RatingJob:
    """Say what is to be rated.

    Args:
        study: A study whose items have texts.
        rubrics: The scales.
        sampling: The model and how it answers.
        samples: Repeats of each question.
        joint: Ask for all rubrics of an item in one call.
        limit: Rate the first so many items only.

    Raises:
        InputError: No item has a text, or the number of repeats is below 1.
    """
    if samples < 1:
        raise InputError(f"--samples {samples}: ask each question at least once")
    items = study.require("items").iloc[:limit]
    rated = texts(items)
    if not rated:
        raise InputError(f"{study.name}: no item has a text, and texts are what is rated; add a text column")
    stated = items["n_options"].notna() if "n_options" in items else pd.Series(False, index=items.index)
    return RatingJob(rubrics, sampling, samples, joint, rated, texts(items[~stated]))


def rating_questions(job: RatingJob) -> Iterator[RatingQuestion]:
    """Yield the questions of a job one by one, those with the same prefix together."""
    scales = job.rubrics.scales()
    groups = [scales] if job.joint and scales else [(rubric,) for rubric in scales]
    kind: Kind = "joint" if job.joint else "level"
    for group in groups:
        for item in job.items:
            for sample in range(job.samples):
                yield _question(job, group, item, sample, kind)
    for code in job.rubrics.control:
        rubric = job.rubrics.get(code)
        for item in job.without_options:
            yield _question(job, (rubric,), item, 0, "options")


def _question(
    job: RatingJob, group: tuple[Rubric, ...], item: tuple[str, str], sample: int, kind: Kind
) -> RatingQuestion:
    """Write one question and its key: the hash of the rubric, the item, the model, its settings and the prompt."""
    item_id, text = item
    if kind == "joint":
        messages: Messages = joint_messages(group, text)
        schema = joint_schema([rubric.code for rubric in group])
    elif kind == "options":
        messages, schema = options_messages(group[0], text), options_schema()
    else:
        messages, schema = item_messages(group[0], text), level_schema()
    key = call_key(
        {
            "rubrics": [(rubric.code, rubric.sha256) for rubric in group],
            "item": text,
            "model": job.sampling.model,
            "temperature": job.sampling.temperature,
            "max_tokens": job.sampling.max_tokens,
            "top_logprobs": job.sampling.top_logprobs,
            "prompt": [PROMPT_VERSION, kind],
            "sample": sample,
        }
    )
    return RatingQuestion(item_id, group, sample, kind, key, ChatRequest(messages, schema, sample))
