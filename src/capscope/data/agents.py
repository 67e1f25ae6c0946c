"""Agents (a model in a scaffold at an effort): their crossed or nested design, and the effects that it identifies."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from capscope.axes import AGENT_FACETS, FACETS, FloatArray, RowIndex
from capscope.data.judged_answers import JUDGE, one_answer_each, verdict_correlation
from capscope.data.study import Study
from capscope.data.tables import NOT_STATED
from capscope.errors import InputError, first_few

MODEL = "model"
SEPARATOR = " + "
"""Separator of the parts of an agent's name."""
EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
"""Usual names of efforts, from least to most; other efforts are ordered where they are numbers."""
MOST_LINKS = 400
"""Largest number of agents for which single links between sets of agents are searched."""


@dataclass(frozen=True)
class AgentDesign:
    """Parts (model, scaffold, effort) of each subject of a fit, and the identified differences between parts."""

    subjects: tuple[str, ...]
    """Names on the subject axis."""
    parts: Mapping[str, tuple[str, ...]]
    """Name of each subject's part, by factor: ``model``, and the facets that vary."""
    verdict_correlation: float = 0.0
    """Error correlation of subjects that are the same agent scored by different judges on the same answers."""

    def at(self, index: np.ndarray) -> "AgentDesign":
        """Return the design of the chosen subjects, by index or mask."""
        chosen = np.arange(len(self.subjects))[index]
        parts = {name: tuple(parts[row] for row in chosen) for name, parts in self.parts.items()}
        return AgentDesign(tuple(self.subjects[row] for row in chosen), parts, self.verdict_correlation)

    def of(self, subjects: Sequence[str]) -> "AgentDesign":
        """Return the design of these subjects, in this order."""
        return self.at(pd.Index(self.subjects).get_indexer(pd.Index(subjects)))

    def names(self, factor: str) -> tuple[str, ...]:
        """Return the distinct parts of a factor; efforts from least to most, others sorted."""
        used = sorted(set(self.parts[factor]))
        ranks = effort_ranks(used) if factor == "effort" else None
        return tuple(used if ranks is None else sorted(used, key=lambda name: ranks[name]))

    def codes(self, factor: str) -> RowIndex:
        """Return the position of each subject's part among the factor's names."""
        return pd.Index(self.names(factor)).get_indexer(pd.Index(self.parts[factor])).astype(np.int64)

    @property
    def factors(self) -> tuple[str, ...]:
        """Factors with at least two parts."""
        return tuple(factor for factor in self.parts if len(self.names(factor)) > 1)

    def comparable(self, factor: str) -> RowIndex:
        """Return a number for each part of a factor; parts of the same number can be compared with the others fixed.

        A difference between two parts is estimable in the additive model if it lies in the row space of the design
        (Searle, 1971): for two factors, if both parts lie in one connected component of the graph of the pairs seen.
        """
        columns = [np.ones((len(self.subjects), 1))]
        start, at = 1, slice(0, 0)
        for name in self.parts:
            size = len(self.names(name))
            columns.append(np.eye(size)[self.codes(name)])
            at = slice(start, start + size) if name == factor else at
            start += size
        null = _null_space(np.hstack(columns))[at]
        _, number = np.unique(np.round(null, 6), axis=0, return_inverse=True)
        order = {old: new for new, old in enumerate(dict.fromkeys(number.ravel().tolist()))}
        return np.array([order[old] for old in number.ravel().tolist()], dtype=np.int64)

    def statements(self) -> list[str]:
        """Sentences on crossed and nested factors, and on effects that the design does not identify."""
        if not self.factors or len(self.parts) < 2:
            return []
        lines = [f"{len(self.subjects)} agents: " + " x ".join(f"{len(self.names(f))} {f}s" for f in self.parts)]
        lines += [self._pair(left, right) for left, right in combinations(self.factors, 2)]
        for factor in self.parts:
            lines += self._alone(factor)
        return [*lines, *self._links()]

    def _pair(self, left: str, right: str) -> str:
        seen = set(zip(self.parts[left], self.parts[right], strict=True))
        n_left, n_right = len(self.names(left)), len(self.names(right))
        if len(seen) == n_left * n_right:
            return f"{left} and {right} are crossed: all {len(seen)} pairs are there"
        for inner, outer, count in ((left, right, n_left), (right, left, n_right)):
            if len(seen) == count:
                return f"{inner} is nested in {outer}: each {inner} comes with one {outer}"
        return f"{left} and {right} are partly crossed: {len(seen)} of {n_left * n_right} pairs are there"

    def _alone(self, factor: str) -> list[str]:
        names, number = self.names(factor), self.comparable(factor)
        if len(names) < 2:
            return []
        sets = [[name for name, own in zip(names, number, strict=True) if own == k] for k in range(number.max() + 1)]
        if len(sets) == 1:
            return []
        if len(sets) == len(names):
            others = " and ".join(other for other in self.factors if other != factor) or "the rest"
            return [f"differences between {factor}s are confounded with {others}: {first_few(names)}"]
        shown = "; ".join(first_few(names_of, 3) for names_of in sets)
        return [f"{factor}s can be compared only within {len(sets)} sets: {shown}"]

    def _links(self) -> list[str]:
        """Agents whose removal would split a set of comparable parts."""
        if len(self.subjects) > MOST_LINKS or "scaffold" not in self.factors or MODEL not in self.factors:
            return []
        edges = list(dict.fromkeys(zip(self.parts[MODEL], self.parts["scaffold"], strict=True)))
        whole = _components(edges)
        repeated = [
            edge
            for edge in edges
            if sum(other[0] == edge[0] for other in edges) > 1
            and sum(other[1] == edge[1] for other in edges) > 1
            and _components([other for other in edges if other != edge]) > whole
        ]
        names = [SEPARATOR.join(edge) for edge in repeated]
        return [f"comparisons across sets of scaffolds rest on single agents: {first_few(names)}"] if names else []

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, for storing."""
        stored = {"subjects": list(self.subjects), "parts": {name: list(parts) for name, parts in self.parts.items()}}
        return stored | ({"verdict_correlation": self.verdict_correlation} if self.verdict_correlation else {})

    def error_covariance(self, variance: FloatArray) -> FloatArray:
        """Return the covariance of the subjects' errors, which are correlated for one agent with several judges.

        Args:
            variance: Variance of each subject's error.
        """
        others = [values for name, values in self.parts.items() if name != JUDGE]
        agent = np.unique(np.array(list(map(SEPARATOR.join, zip(*others, strict=True)))), return_inverse=True)[1]
        same = (agent[:, None] == agent) * self.verdict_correlation
        np.fill_diagonal(same, 1.0)
        return same * np.sqrt(np.outer(variance, variance))

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> "AgentDesign":
        """Read a stored design back."""
        parts = {name: tuple(parts) for name, parts in stored["parts"].items()}
        return cls(tuple(stored["subjects"]), parts, float(stored.get("verdict_correlation", 0.0)))


def agent_facets(responses: pd.DataFrame, facets: Sequence[str] = AGENT_FACETS) -> tuple[str, ...]:
    """Return the facets of a table of responses that take more than one value.

    Args:
        responses: A checked table of responses.
        facets: Facets to look at.
    """
    return tuple(facet for facet in facets if facet in responses and responses[facet].nunique() > 1)


def agent_design(study: Study, facets: Sequence[str] = AGENT_FACETS) -> AgentDesign | None:
    """Return the design of a study's agents, whose names are those that `with_agents` gives.

    Args:
        study: A study with responses.
        facets: Facets that make agents differ.

    Returns:
        The design; None where no facet varies.
    """
    responses = study.require("responses")
    varying = agent_facets(responses, facets)
    if not varying:
        return None
    columns = [MODEL, *varying]
    seen = responses[columns].astype(str).drop_duplicates()
    names = _names(seen, split=_splits(responses, varying))
    seen = seen.set_axis(names, axis="index").sort_index()
    return AgentDesign(tuple(map(str, seen.index)), {column: tuple(seen[column]) for column in columns})


def with_agents(study: Study, facets: Sequence[str] = AGENT_FACETS) -> Study:
    """Return the study with agents as its models, and without the facets that their names hold.

    A study in which each model comes in one scaffold and effort is returned as it is.

    Args:
        study: A study with responses.
        facets: Facets that make agents differ.
    """
    responses = study.require("responses")
    varying = agent_facets(responses, facets)
    if not _splits(responses, varying):
        return study
    named = responses[[MODEL, *varying]].astype(str)
    table = responses.assign(model=pd.Categorical(_names(named, split=True))).drop(columns=list(varying))
    return Study(study.items, table, study.demands, study.name, study.sources, study.edited)


def with_named_agents(study: Study, names: Sequence[str]) -> tuple[Study, tuple[str, ...]]:
    """Find the models or agents that a user names, such as ``model`` or ``model+scaffold``.

    Args:
        study: A study with responses.
        names: Names of models, or of agents: model, scaffold and effort joined by ``+``, with or without blanks.

    Returns:
        Where one of them is an agent's, the study with agents as its models, and the agents' names; else the study
        and the names as they are.

    Raises:
        InputError: A model is named that is several agents, beside an agent.
    """
    models = set(study.require("responses")[MODEL].astype(str))
    design = agent_design(study)
    if design is None or models.issuperset(names):
        return study, tuple(names)
    agents = {_joined(subject): subject for subject in design.subjects}
    if not any(_joined(name) in agents for name in names):
        return study, tuple(names)
    return with_agents(study), tuple(_agent_of(study, design, agents.get(_joined(name)), name) for name in names)


def _joined(name: str) -> str:
    return re.sub(r"\s*\+\s*", "+", name.strip())


def _agent_of(study: Study, design: AgentDesign, agent: str | None, name: str) -> str:
    """Return the agent of a name; a model in one scaffold is the agent in it."""
    own = [subject for subject, model in zip(design.subjects, design.parts[MODEL], strict=True) if model == name]
    if agent is not None or not own:
        return agent or name
    if len(own) > 1:
        raise InputError(f"{study.name}: '{name}' is {len(own)} agents: {first_few(own)}; name one of them")
    return own[0]


def pooled_agents(study: Study, names: Sequence[str]) -> tuple[str, ...]:
    """Return a line on each of these models that comes in several scaffolds or efforts, whose answers are pooled.

    Args:
        study: A study with responses.
        names: Names of models.

    Returns:
        A line for each model of several agents, which names them.
    """
    design = agent_design(study)
    if design is None:
        return ()
    lines: list[str] = []
    for name in names:
        own = [subject for subject, model in zip(design.subjects, design.parts[MODEL], strict=True) if model == name]
        if len(own) > 1:
            lines.append(
                f"'{name}' is {len(own)} agents ({first_few(own)}), whose answers to an item are pooled; name one of"
                " them to look at it alone"
            )
    return tuple(lines)


def subjects_of(study: Study, facets: Sequence[str]) -> tuple[Study, AgentDesign | None]:
    """Return the study with its subjects as models, and their design (None where no facet varies).

    Scores of one answer by several judges are pooled, see `one_answer_each`.

    Args:
        study: A study with responses.
        facets: Facets whose values make different subjects of one model; with none, answers are pooled by model.
    """
    study = one_answer_each(study, facets)
    if not facets:
        return study, None
    design = agent_design(study, facets)
    if design is not None and JUDGE in design.parts:
        design = replace(design, verdict_correlation=verdict_correlation(study))
    return with_agents(study, facets), design


def with_models_of(study: Study, models: Sequence[str]) -> Study:
    """Return the study with the models that a fit has: its own, or its agents.

    Args:
        study: A study.
        models: Names of the fit's models.
    """
    if study.responses is None:
        return study
    own = set(map(str, study.responses[MODEL].unique()))
    if own >= set(models):
        return study
    agents = with_agents(study)
    named = set(map(str, agents.require("responses")[MODEL].unique()))
    return agents if len(named & set(models)) > len(own & set(models)) else study


def effort_ranks(names: Sequence[str]) -> dict[str, float] | None:
    """Return the order of efforts by name, or by number (such as ``8k`` or ``budget 2048``); None where unknown.

    Args:
        names: Distinct values of the facet `effort`.
    """
    if all(name.lower() in EFFORTS for name in names):
        return {name: float(EFFORTS.index(name.lower())) for name in names}
    numbers: dict[str, float] = {}
    for name in names:
        match = re.fullmatch(r"[^\d]*?(\d+(?:\.\d+)?)\s*(k|m)?(?:\s*tokens?)?", name.lower())
        if match is None:
            return None
        numbers[name] = float(match[1]) * {"k": 1e3, "m": 1e6}.get(match[2] or "", 1.0)
    return numbers


def design_remarks(study: Study) -> list[str]:
    """Return remarks on the crossing of models, scaffolds, efforts, prompts and judges, and on unidentified effects.

    Args:
        study: A study; one without responses or varying facets gives no remark.
    """
    if study.responses is None:
        return []
    design = agent_design(study)
    lines = [] if design is None else design.statements()
    for facet in agent_facets(study.responses, [name for name in FACETS if name not in (*AGENT_FACETS, "run")]):
        pairs = study.responses[[MODEL, facet]].astype(str).drop_duplicates()
        parts = {column: tuple(pairs[column]) for column in (MODEL, facet)}
        lines += AgentDesign(tuple(map(str, range(len(pairs)))), parts).statements()[1:]
    return lines


def _splits(responses: pd.DataFrame, varying: Sequence[str]) -> bool:
    """Whether a model comes in more than one combination of the facets."""
    if not varying:
        return False
    pairs = responses[[MODEL, *varying]].drop_duplicates()
    return bool(pairs[MODEL].duplicated().any())


def _names(parts: pd.DataFrame, *, split: bool) -> np.ndarray:
    """Names of agents: the model where it is unambiguous, else model, scaffold and effort."""
    name = parts[MODEL].to_numpy(dtype=object)
    if split:
        for column in parts.columns[1:]:
            part = parts[column].to_numpy(dtype=object)
            name = np.where(part == NOT_STATED, name, name + SEPARATOR + part)
    return name


def _null_space(design: np.ndarray) -> np.ndarray:
    """Basis of the vectors that the design maps to 0, as (column, direction)."""
    _, size, rows = np.linalg.svd(design, full_matrices=True)
    rank = int((size > 1e-9 * max(design.shape)).sum())
    return rows[rank:].T


def _components(edges: Sequence[tuple[str, str]]) -> int:
    """Number of connected components of a graph between two kinds of nodes."""
    parent: dict[tuple[int, str], tuple[int, str]] = {}

    def root(node: tuple[int, str]) -> tuple[int, str]:
        while parent.setdefault(node, node) != node:
            node = parent[node]
        return node

    for left, right in edges:
        parent[root((0, left))] = root((1, right))
    return len({root(node) for node in list(parent)})
