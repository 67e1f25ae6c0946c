"""``capscope predict``."""

from pathlib import Path
from typing import Annotated

import typer

from capscope.cli.options import Annotator, AsJson, FitFolder, Force, Level, Seed
from capscope.cli.output import emit, table_text
from capscope.errors import OutputError


def predict(
    fit: FitFolder,
    items: Annotated[Path, typer.Argument(metavar="ITEMS", help="Study folder, or a file of items with demands.")],
    out: Annotated[Path, typer.Option("--out", help="File for the chances: .parquet or .csv.")],
    model: Annotated[str | None, typer.Option(help="One model only.")] = None,
    annotator: Annotator = None,
    level: Level = 0.9,
    seed: Seed = 0,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Predict chances of success on items, and the score on all of them.

    Example: capscope predict FIT questions.jsonl --out chances.csv
    """
    from capscope.predict import predict_items

    if out.exists() and not force:
        raise OutputError(f"{out}: already exists; choose another --out or add --force")
    if out.suffix not in (".parquet", ".csv"):
        raise OutputError(f"{out}: cannot write '{out.suffix}' files; name a .parquet or .csv file")
    found = predict_items(fit, items, model=model, annotator=annotator, level=level, seed=seed)
    out.parent.mkdir(parents=True, exist_ok=True)
    if out.suffix == ".parquet":
        found.table.to_parquet(out, index=False)
    else:
        found.table.to_csv(out, index=False)
    outside = found.support[~found.support["in_support"]]
    result = {
        "out": str(out),
        "level": level,
        "n_items": len(found.support),
        "n_outside_support": len(outside),
        "outside_support": outside[["item_id", "reason"]].to_dict("records"),
        "scores": found.scores.to_dict("records"),
    }
    text = f"{table_text(found.scores)}\n{len(outside)} of {len(found.support)} items lie outside what the fit supports"
    emit(result, as_json, f"{text}\n{out}")
