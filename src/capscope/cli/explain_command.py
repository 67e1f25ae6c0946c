"""``capscope explain``."""

from typing import Annotated

import typer

from capscope.cli.options import Annotator, AsJson, IdleSeed, StudyFolder
from capscope.cli.output import emit, table_text


def explain(
    study: StudyFolder,
    benchmark: Annotated[str | None, typer.Option(help="One benchmark only.")] = None,
    annotator: Annotator = None,
    seed: IdleSeed = 0,  # noqa: ARG001 - one interface for all commands
    as_json: AsJson = False,
) -> None:
    """Print what a benchmark demands, by dimension. Example: capscope explain STUDY --benchmark BBH."""
    from capscope.data import Study, demand_matrix
    from capscope.profiles import demand_profile, of_benchmark

    loaded = Study.load(study)
    chosen = of_benchmark(loaded, benchmark) if benchmark else loaded
    found = demand_profile(demand_matrix(chosen, annotator))
    histogram = {dim: found.histogram[row].astype(int).tolist() for row, dim in enumerate(found.dims)}
    result = {"n_items": found.n_items, "dims": found.table.to_dict("records"), "histogram": histogram}
    emit(result, as_json, table_text(found.table))
