"""A model that a battery scored in one scaffold: its expected scores in the other scaffolds and efforts of the bank."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np
import pandas as pd

from capscope.axes import FloatArray
from capscope.battery.banks.ability import Curves, ability_posterior
from capscope.battery.banks.bank import Bank, Index
from capscope.data import AgentDesign, Study, with_agents
from capscope.fit import IRTPosterior, with_agent
from capscope.profiles import expected_scores

MODEL = "model"
MOST_PARTS = 12
"""Scaffolds (or efforts) that are predicted, in the order of their names."""


def scores_elsewhere(
    bank: Bank, answers: Study, models: tuple[str, ...], places: Index, matrix: FloatArray, level: float
) -> pd.DataFrame | None:
    """Predict models in scaffolds and at efforts of the bank in which they were not run.

    The model's ability is split into its own part and that of the scaffold it ran in; the latter is estimated from the
    bank's agents.

    Args:
        bank: A bank whose past models are agents.
        answers: Answers of models to items of the bank, with their scaffolds or efforts.
        models: Names of the models (model,), as `with_agents` gives them.
        places: Places of the answered items (item,) in the bank.
        matrix: Scores (model, item), NaN where there is no answer.
        level: Nominal coverage of the bounds.

    Returns:
        Columns model, score, lower, upper: expected scores on the bank's items; None where the bank knows no scaffold
        or effort, or none of the answers'.
    """
    stored = bank.provenance.get("agents")
    if stored is None:
        return None
    design = AgentDesign.from_dict(stored)
    rows: list[pd.DataFrame] = []
    own_parts = _parts_of(answers, design)
    items = Study.of(pd.DataFrame({"item_id": bank.items, "benchmark": list(bank.benchmark)}), name="the bank")
    for name, score in zip(models, matrix, strict=True):
        parts = own_parts.get(name)
        if parts is None or name in bank.models:
            continue
        seen = ~np.isnan(score)
        posterior = _with_model(bank, name, places[seen], score[seen])
        grown = AgentDesign(
            (*design.subjects, name), {factor: (*names, parts[factor]) for factor, names in design.parts.items()}
        )
        for other in _others(design, parts):
            predicted = with_agent(posterior, grown, other)
            if not isinstance(predicted, IRTPosterior):
                continue
            last = replace(
                predicted,
                models=predicted.models[-1:],
                ability_mean=predicted.ability_mean[-1:],
                ability_cov=predicted.ability_cov[-1:],
            )
            table = expected_scores(last, items, level=level)
            chosen = table[table["scope"] == "all"].rename(columns={"expected": "score"})
            rows.append(chosen[["model", "score", "lower", "upper"]])
    return pd.concat(rows, ignore_index=True) if rows else None


def _parts_of(answers: Study, design: AgentDesign) -> dict[str, dict[str, str]]:
    """Parts of each model of the answers by its name, where its scaffold and effort are known in the bank."""
    table = answers.require("responses")
    factors = list(design.parts)
    if any(factor not in table for factor in factors):
        return {}
    names = with_agents(answers).require("responses")[MODEL].astype(str).rename("name")
    pairs = pd.concat([names, table[factors].astype(str)], axis=1).drop_duplicates()
    single = pairs[~pairs["name"].duplicated(keep=False)]
    known = {str(row["name"]): {factor: str(row[factor]) for factor in factors} for row in single.to_dict("records")}
    return {
        name: parts
        for name, parts in known.items()
        if all(parts[factor] in design.names(factor) for factor in factors if factor != MODEL)
    }


def _others(design: AgentDesign, parts: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """Yield the same model with one other scaffold, or at one other effort."""
    for factor in design.factors:
        if factor != MODEL:
            for name in design.names(factor)[:MOST_PARTS]:
                if name != parts[factor]:
                    yield {**parts, factor: name}


def _with_model(bank: Bank, name: str, places: Index, score: FloatArray) -> IRTPosterior:
    """The bank's posterior with one more model, whose ability has the prior of the bank's others (standard normal)."""
    curves = Curves.of(bank).take(places)
    ability = ability_posterior(curves, score[None])
    precision, prior = np.linalg.inv(ability.cov[0]), np.linalg.inv(curves.prior_cov)
    cov = np.linalg.inv(precision - prior + np.eye(len(prior)))
    mean = cov @ (precision @ ability.mean[0] - prior @ curves.prior_mean)
    posterior = bank.posterior
    return replace(
        posterior,
        models=(*posterior.models, name),
        ability_mean=np.vstack([posterior.ability_mean, mean]),
        ability_cov=np.concatenate([posterior.ability_cov, cov[None]]),
    )
