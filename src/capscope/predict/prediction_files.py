"""Out-of-fold predictions as a table on disk."""

from pathlib import Path

import numpy as np
import pandas as pd

from capscope.predict.bench import Bench, OutOfFold


def prediction_table(bench: Bench, name: str, seed: int, found: OutOfFold) -> pd.DataFrame:
    """Lay one assessor's out-of-fold predictions out, one row for each answer that was tested."""
    rows, responses = found.tested, bench.responses
    item, model = responses.item_index[rows], responses.model_index[rows]
    chances = found.chances
    return pd.DataFrame(
        {
            "assessor": name,
            "seed": seed,
            "fold": found.fold[rows],
            "model": np.array(responses.models)[model],
            "item_id": np.array(responses.items)[item],
            "benchmark": bench.items["benchmark"].astype(str).to_numpy()[item],
            "task": bench.items["task"].astype(str).to_numpy()[item],
            "score": responses.score[rows],
            "chance": chances.probability[rows],
            "log_odds_mean": chances.log_odds_mean[rows],
            "log_odds_sd": chances.log_odds_sd[rows],
        }
    )


def write_predictions(table: pd.DataFrame, path: Path) -> None:
    """Write out-of-fold predictions as `.parquet` or `.csv`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        table.to_parquet(path, index=False)
    else:
        table.to_csv(path, index=False)
