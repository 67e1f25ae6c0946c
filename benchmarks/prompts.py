"""Accuracy over prompts from few answers, against the plain mean of each prompt's answers.

python benchmarks/prompts.py [--seeds 16]

Prompts are as good as real paraphrases were: a model's accuracies on a task of BIG-bench hard under some 170 of them
(`../shared/data/multi_prompt`). Single answers are not published, so they are simulated: 100 items, whose difficulties
spread by 1.2 log-odds, answered under every prompt; of these answers a few are shown, drawn at random.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from capscope import Study
from capscope.battery import PromptScores, PromptSettings, prompt_scores

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "multi_prompt" / "accuracy.parquet"
N_ITEMS, ITEM_SD = 100, 1.2
SHOWN = (200, 400, 800, 1600)
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


def answers_like(accuracy: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Right and wrong answers (prompt, item) of a model with these accuracies, less their own sampling noise."""
    mean, noise = accuracy.mean(), accuracy.mean() * (1 - accuracy.mean()) / N_ITEMS
    kept = max(1 - noise / max(accuracy.var(), 1e-9), 0) ** 0.5
    chance = np.clip(mean + kept * (accuracy - mean), 0.02, 0.98)
    # log-odds whose mean over items is this chance (probit attenuation)
    middle = np.log(chance / (1 - chance)) * (1 + np.pi / 8 * ITEM_SD**2) ** 0.5
    odds = middle[:, None] + rng.normal(0, ITEM_SD, N_ITEMS)
    return (rng.random(odds.shape) < 1 / (1 + np.exp(-odds))).astype(float)


def shown_study(answers: np.ndarray, count: int, rng: np.random.Generator) -> Study:
    """A study of so many of the answers."""
    prompt, item = np.divmod(rng.choice(answers.size, count, replace=False), answers.shape[1])
    ids = [f"i{number:03d}" for number in range(answers.shape[1])]
    rows = {"model": "m", "prompt": [f"p{number:03d}" for number in prompt], "item_id": np.array(ids)[item]}
    items = pd.DataFrame({"item_id": ids, "benchmark": "b", "task": "t", "text": ids})
    return Study.of(items, pd.DataFrame(rows | {"score": answers[prompt, item]}))


def errors(found: PromptScores, study: Study, truth: np.ndarray) -> dict[str, float]:
    """Errors of quantiles and of the whole distribution, in points."""
    row = found.models.iloc[0]
    names = [f"q{round(100 * quantile):02d}" for quantile in QUANTILES]
    wanted = np.quantile(truth, QUANTILES)
    estimate, lower, upper = (row[[name + end for name in names]].to_numpy(float) for end in ("", "_lower", "_upper"))
    plain = study.require("responses").groupby("prompt", observed=True)["score"].mean().to_numpy()
    ours = np.interp(np.linspace(0, 1, 201), QUANTILES, estimate)
    points = np.quantile(truth, np.clip(np.linspace(0, 1, 201), 0.05, 0.95))
    return {
        "plain": 100 * float(np.abs(np.quantile(plain, QUANTILES) - wanted).mean()),
        "fitted": 100 * float(np.abs(estimate - wanted).mean()),
        "plain_w1": 100 * float(stats.wasserstein_distance(plain, truth)),
        "fitted_w1": 100 * float(np.abs(ours - points).mean()),
        "covered": 100 * float(((lower <= wanted) & (wanted <= upper)).mean()),
        "width": 100 * float((upper - lower).mean()),
    }


def main() -> None:
    """Print a row for each number of answers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=16)
    given = parser.parse_args()
    groups = [part["accuracy"].to_numpy(float) for _, part in pd.read_parquet(DATA).groupby(["model", "task"])]
    chosen = np.random.default_rng(0).choice(len(groups), given.seeds, replace=False)
    for count in SHOWN:
        start, rows = time.process_time(), []
        for number in chosen:
            rng = np.random.default_rng(int(number))
            answers = answers_like(groups[number], rng)
            study = shown_study(answers, count, rng)
            rows.append(errors(prompt_scores(study, PromptSettings(draws=300)), study, answers.mean(1)))
        mean = pd.DataFrame(rows).mean()
        seconds = (time.process_time() - start) / given.seeds
        cells = " | ".join(f"{value:.1f}" for value in mean)
        print(f"| {count} | {cells} | {seconds:.1f} |", flush=True)


if __name__ == "__main__":
    main()
