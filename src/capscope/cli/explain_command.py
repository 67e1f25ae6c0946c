"""``capscope explain``."""

from typing import Annotated

import typer

from capscope.cli.options import Annotator, AsJson, Level, Seed, StudyFolder
from capscope.cli.output import emit


def explain(
    study: StudyFolder,
    benchmark: Annotated[str | None, typer.Option(help="One benchmark only.")] = None,
    claims: Annotated[str, typer.Option(help="Dimensions it says it measures, comma separated: QLl,KNn.")] = "",
    against: Annotated[str | None, typer.Option(help="Benchmark of the study to compare its demands with.")] = None,
    embedder: Annotated[str, typer.Option(help="Embedding model for what text adds; by default its words.")] = "",
    annotator: Annotator = None,
    level: Level = 0.9,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Print what a benchmark demands, and what makes its items difficult.

    Example: capscope explain STUDY --benchmark BBH --claims QLl,KNn
    """
    from capscope.data import Study
    from capscope.profiles import ExplainSettings, explanation_dict, explanation_text
    from capscope.profiles import explain as explain_study

    names = tuple(name.strip() for name in claims.split(",") if name.strip())
    settings = ExplainSettings(benchmark, against, names, annotator, embedder, level, seed)
    found = explain_study(Study.load(study), settings)
    emit(explanation_dict(found), as_json, explanation_text(found))
