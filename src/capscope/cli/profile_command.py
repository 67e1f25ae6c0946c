"""``capscope profile``."""

from typing import TYPE_CHECKING, Annotated

import typer

from capscope.cli.options import AsJson, FitFolder, IdleSeed, Level
from capscope.cli.output import emit, table_text

if TYPE_CHECKING:
    import pandas as pd


def profile(
    fit: FitFolder,
    model: Annotated[str | None, typer.Option(help="One model only.")] = None,
    level: Level = 0.9,
    seed: IdleSeed = 0,  # noqa: ARG001 - one interface for all commands
    as_json: AsJson = False,
) -> None:
    """Print ability profiles with intervals. Example: capscope profile FIT --model GPT-4o."""
    from capscope.fit import CurvePosterior, DemandPosterior, load_fit
    from capscope.profiles import ability_profiles, ability_table, demand_effects

    posterior = load_fit(fit).posterior
    result: dict[str, object] = {"level": level}
    if isinstance(posterior, CurvePosterior):
        profiles = ability_profiles(posterior, level)
        share = profiles.general_share
        result["general_factor_share"] = {"point": share.point, "lower": share.lower, "upper": share.upper}
        result["classical_general_factor_share"] = profiles.classical_general_share
        table = profiles.table
    elif isinstance(posterior, DemandPosterior):
        table = demand_effects(posterior, level)
    else:
        table = ability_table(posterior, level)
    table = _one(table, model, posterior.models)
    result["abilities"] = table.to_dict("records")
    emit(result, as_json, table_text(table))


def _one(table: "pd.DataFrame", model: str | None, known: tuple[str, ...]) -> "pd.DataFrame":
    from capscope.errors import InputError, first_few, nearest

    if model is None:
        return table
    if model not in known:
        raise InputError(f"the fit has no model '{model}'{nearest(model, known)}; it has {first_few(known)}")
    return table[table["model"] == model]
