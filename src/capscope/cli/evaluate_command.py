"""``capscope evaluate``."""

from typing import Annotated

import typer

from capscope.cli.options import Annotator, AsJson, Seed, StudyFolder
from capscope.cli.output import emit, table_text
from capscope.cli.progress import progress_bar


def evaluate_command(
    study: StudyFolder,
    split: Annotated[str, typer.Option(help="What is held out together: id (items), task or benchmark.")] = "task",
    assessor: Annotated[list[str] | None, typer.Option(help="Assessor to score; repeat for several.")] = None,
    folds: Annotated[int, typer.Option(help="Number of folds.")] = 5,
    seeds: Annotated[int, typer.Option(min=1, help="Number of seeds, each with folds of its own.")] = 1,
    annotator: Annotator = None,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Score assessors side by side on held-out items. Example: capscope evaluate STUDY --split task --json."""
    import pandas as pd

    from capscope.data import Study
    from capscope.predict import EvaluationSettings, evaluate

    settings = EvaluationSettings(split, folds, seeds, seed, annotator)
    with progress_bar(f"evaluating on held-out {split}") as progress:
        found = evaluate(Study.load(study), settings, assessor, progress)
    table = pd.DataFrame(found.rows()).T.rename_axis("assessor").reset_index()
    head = f"{found.n_models} models, {found.n_items} items, {found.folds} folds by {split}, {found.seeds} seeds"
    emit(found.as_dict(), as_json, f"{head}\n{table_text(table)}")
