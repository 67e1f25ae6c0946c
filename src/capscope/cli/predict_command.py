"""``capscope predict``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from capscope.cli.options import Annotator, AsJson, Embedder, Force, Level, Seed
from capscope.cli.output import emit, table_text
from capscope.cli.progress import say
from capscope.errors import OutputError

if TYPE_CHECKING:
    import pandas as pd

    from capscope.predict import Predictions

RESIDUALS_HELP = (
    "Out-of-fold predictions of past benchmarks, from 'evaluate --split benchmark --write': intervals then carry how"
    " far a benchmark departs from what was predicted of it."
)
SOURCE_HELP = "Study folder, whose answers an assessor learns from; or a folder written by 'capscope fit'."
ITEMS_HELP = "Study folder, or a file of items with demands or texts; items of STUDY by their ids."
ASSESSOR_HELP = "Assessor that learns from STUDY; by default 'stacked'. See 'capscope evaluate'."
EXPLAIN_HELP = (
    "Write what made each chance to OUT-parts: log-odds of ability, each demand, text, task, benchmark and the item's"
    " residual, with 'adjustment' for what pooling, calibration and a floor of guessing add; they sum to the chance's."
)
LABELS_HELP = "Answers to 5 to 50 of the items (model, item_id, score): they move scores and chances."


def predict(
    source: Annotated[Path, typer.Argument(metavar="STUDY|FIT", help=SOURCE_HELP)],
    items: Annotated[Path, typer.Argument(metavar="ITEMS", help=ITEMS_HELP)],
    out: Annotated[Path, typer.Option("--out", help="File for the chances: .parquet or .csv.")],
    assessor: Annotated[str | None, typer.Option(help=ASSESSOR_HELP)] = None,
    model: Annotated[str | None, typer.Option(help="One model only.")] = None,
    labels: Annotated[Path | None, typer.Option(help=LABELS_HELP)] = None,
    residuals: Annotated[Path | None, typer.Option(help=RESIDUALS_HELP)] = None,
    defer_below: Annotated[float | None, typer.Option(help="Mark items to defer: chance below this.")] = None,
    explain: Annotated[bool, typer.Option("--explain", help=EXPLAIN_HELP)] = False,
    embedder: Embedder = "auto",
    annotator: Annotator = None,
    level: Level = 0.9,
    seed: Seed = 0,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Predict chances of success on items, and the scores on their benchmarks.

    Example: capscope predict STUDY new-benchmark.jsonl --out chances.csv --explain

    Example: capscope predict STUDY NEW --out chances.csv --residuals oof.parquet --labels labels.csv --defer-below 0.8
    """
    from capscope.predict import PredictionSettings, predict_set

    beside = out.with_name(f"{out.stem}-parts{out.suffix}")
    for path in (out, *([beside] if explain else [])):
        if path.exists() and not force:
            raise OutputError(f"{path}: already exists; choose another --out or add --force")
    if out.suffix not in (".parquet", ".csv"):
        raise OutputError(f"{out}: cannot write '{out.suffix}' files; name a .parquet or .csv file")
    settings = PredictionSettings(
        model, annotator, level, seed, residuals, labels, defer_below, explain, assessor, embedder
    )
    found = predict_set(source, items, settings, say)
    out.parent.mkdir(parents=True, exist_ok=True)
    _write(found.table, out)
    if found.parts is not None:
        _write(found.parts, beside)
    emit(_result(found, out, beside), as_json, _text(found, out))


def _write(table: "pd.DataFrame", path: Path) -> None:
    if path.suffix == ".parquet":
        table.to_parquet(path, index=False)
    else:
        table.to_csv(path, index=False)


def _result(found: "Predictions", out: Path, beside: Path) -> dict[str, object]:
    outside = found.support[~found.support["in_support"]]
    result: dict[str, object] = {
        "out": str(out),
        "level": found.level,
        "n_items": len(found.support),
        "n_outside_support": len(outside),
        "outside_support": outside[["item_id", "reason"]].to_dict("records"),
        "scores": found.scores.to_dict("records"),
        "notes": list(found.notes),
    }
    if found.benchmark_scores is not None:
        result["benchmark_scores"] = found.benchmark_scores.to_dict("records")
    if "defer" in found.table:
        result["n_deferred"] = int(found.table["defer"].sum())
    if found.parts is not None:
        result["parts"] = str(beside)
    return result


def _text(found: "Predictions", out: Path) -> str:
    outside = int((~found.support["in_support"]).sum())
    lines = [*found.notes, f"{outside} of {len(found.support)} items lie outside what the answers support"]
    by_benchmark = found.benchmark_scores
    if by_benchmark is None or by_benchmark["benchmark"].nunique() > 1:
        lines.append(f"scores on all items:\n{table_text(found.scores)}")
    if by_benchmark is not None:
        lines.append(f"scores with each benchmark's own effect:\n{table_text(by_benchmark)}")
    if "defer" in found.table:
        lines.append(f"{int(found.table['defer'].sum())} of {len(found.table)} chances are to be deferred")
    return "\n".join([*lines, str(out)])
