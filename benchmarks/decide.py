"""The release gate on pairs of models, version pairs and second runs; scores of judges corrected by labels.

python benchmarks/decide.py pairs [--seeds 10]
python benchmarks/decide.py versions [--seeds 20]
python benchmarks/decide.py null [--runs 2000]
python benchmarks/decide.py repeats [--runs 400]
python benchmarks/decide.py flips [--runs 400]
python benchmarks/decide.py judge [--runs 800]
python benchmarks/decide.py drawn [--runs 800]
python benchmarks/decide.py noise [--runs 400]
python benchmarks/decide.py power [--runs 1000]
python benchmarks/decide.py bound
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.optimize import brentq
from scipy.special import comb, expit, ndtr

from capscope import Study
from capscope.data import Responses
from capscope.decide import JUDGE_ESTIMATORS, GateEvaluation, GateEvaluationSettings, evaluate_gate
from capscope.decide.difference import Difference, PairedDifferences, features_of
from capscope.decide.gate_evaluation import chosen_pairs, pair_answers
from capscope.decide.gate_settings import look_quantiles
from capscope.decide.item_predictor import predict_differences
from capscope.decide.judge_data import JudgedAnswers
from capscope.decide.judge_labels import LabelSheet, labels_to_give
from capscope.decide.run_noise import RepeatedAnswers
from capscope.decide.verdicts import detectable_difference, verdict_of
from capscope.decide.version_answers import VersionAnswers, past_answers
from capscope.profiles.comparison.item_chances import ItemChances
from capscope.profiles.comparison.version_flips import PairedRuns, flips

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
NOTHING = pd.DataFrame({"model": ["m"], "item_id": ["i"], "score": [1.0]})
CELLS = (
    ("BBH", 200, "even", "complete"),
    ("BBH", 200, "flips", "complete"),
    ("BBH", 400, "flips", "complete"),
    ("metabench", 200, "even", "complete"),
    ("metabench", 200, "flips", "complete"),
    ("metabench", 400, "even", "complete"),
    ("metabench", 400, "flips", "complete"),
    ("LiveCodeBench", 200, "even", "complete"),
    ("LiveCodeBench", 200, "flips", "complete"),
    ("BBH", 200, "even", "sampled"),
    ("metabench", 200, "even", "sampled"),
    ("LiveCodeBench", 200, "even", "sampled"),
)


def responses_of(name: str) -> pd.DataFrame:
    """Answers of one set: BBH of openllm_v2, 400 complete models of metabench, the whole part of LiveCodeBench."""
    folder = {"BBH": "openllm_v2", "metabench": "metabench_openllm_v1", "LiveCodeBench": "livecodebench"}[name]
    rows = pd.read_parquet(DATA / folder / "responses.parquet").astype({"model": str, "item_id": str})
    rows = rows[rows["score"] >= 0][["model", "item_id", "score"]]
    if name == "BBH":
        items = pd.read_parquet(DATA / folder / "items.parquet")
        rows = rows[rows["item_id"].isin(items.loc[items["benchmark"].str.lower() == "bbh", "item_id"].astype(str))]
    if name == "metabench":
        answered = rows.groupby("model").size()
        whole = sorted(answered.index[answered >= 0.98 * rows["item_id"].nunique()])
        rows = rows[rows["model"].isin(np.random.default_rng(0).choice(whole, 400, replace=False))]
    if name == "LiveCodeBench":
        answered = rows.groupby("item_id")["model"].nunique()
        rows = rows[rows["item_id"].isin(answered.index[answered >= 28])]
        done = rows.groupby("model").size()
        rows = rows[rows["model"].isin(done.index[done >= 1100])]
    return rows.reset_index(drop=True)


def row_of(found: GateEvaluation, *head: object) -> str:
    """One row of a table."""
    points = f"{100 * found.paired_rmse:.2f} | {100 * found.rmse:.2f} | {found.worth:.2f}"
    return f"| {' | '.join(map(str, head))} | {points} | {100 * found.coverage:.1f} | {100 * found.width:.2f} |"


def pairs(seeds: int) -> None:
    """Pairs of models within five points of each other."""
    print("| set | n | draws | baseline | paired mean's error, pp | ours | worth | 95 % covers | width, pp |")
    print("|---|---|---|---|---|---|---|---|---|")
    studies: dict[str, Study] = {}
    for name, size, design, setting in CELLS:
        study = studies.setdefault(name, Study.of(responses=responses_of(name)))
        settings = GateEvaluationSettings(size=size, pairs=60, seeds=seeds, design=design, setting=setting)  # type: ignore[arg-type]
        print(row_of(evaluate_gate(study, settings), name, size, design, setting), flush=True)


def versions(seeds: int) -> None:
    """The published pairs of old and new versions."""
    listed = pd.read_csv(DATA / "zeroeval_2024" / "version_pairs.csv")
    rows = pd.read_parquet(DATA / "zeroeval_2024" / "responses.parquet").astype({"model": str, "item_id": str})
    print("| set | pairs | n | draws | answers | paired mean's error | ours | worth | covers | width | verdicts |")
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    cells = ((200, "even", False), (200, "flips", False), (400, "even", False), (400, "flips", False))
    for size, design, fixed in (*cells, (400, "even", True), (400, "flips", True)):
        for name, group in listed.groupby("set"):
            benchmark = str(name).split("/")[1]
            part = rows[rows["item_id"].str.contains(benchmark)][["model", "item_id", "score"]].reset_index(drop=True)
            named = tuple(zip(group["old"].astype(str), group["new"].astype(str), strict=True))
            settings = GateEvaluationSettings(size=size, seeds=seeds, design=design, named=named, fixed=fixed)  # type: ignore[arg-type]
            found = evaluate_gate(Study.of(responses=part), settings)
            shares = "; ".join(
                f"{group}: ship {of['ship']:.2f}, hold {of['hold']:.2f}" for group, of in found.verdicts.items()
            )
            answers = "fixed" if fixed else "may vary"
            print(row_of(found, benchmark, found.n_pairs, size, design, answers)[:-1] + f"| {shares} |", flush=True)


def bound(size: int = 400) -> None:
    """Least errors on the published pairs that lost over two points, where the pair's own flips were known beforehand.

    Prediction and draw learn from the answers of both versions to the whole suite, each item's own answer left out: no
    gate that sees a part of the candidate's answers knows as much. With another run, the whole suite is answered.
    """
    listed = pd.read_csv(DATA / "zeroeval_2024" / "version_pairs.csv")
    rows = pd.read_parquet(DATA / "zeroeval_2024" / "responses.parquet").astype({"model": str, "item_id": str})
    print("| pair | loss | flips, % | error, even | drawn | needed for 80 % | power | all, another run | power |")
    print("|---|---|---|---|---|---|---|---|---|")
    for name, group in listed.groupby("set"):
        part = rows[rows["item_id"].str.contains(str(name).split("/")[1])][["model", "item_id", "score"]]
        study = Study.of(responses=part.reset_index(drop=True))
        responses = Responses.of(study)
        score = responses.dense().score
        for old, new in zip(group["old"].astype(str), group["new"].astype(str), strict=True):
            places = responses.models.index(old), responses.models.index(new)
            answers = pair_answers(study, responses, score, places)
            change = answers.candidate_score - answers.baseline_score
            if change.mean() > -0.02:
                continue
            n_items, every = len(change), np.arange(len(change))
            features, even = features_of(answers), np.ones(len(change))
            error = predict_differences(features, every, change, even).error
            flips = np.clip(np.abs(change) - predict_differences(features, every, np.abs(change), even).error, 0, 1)
            wanted = np.sqrt(flips * (1 - flips) + 0.01)
            chance = wanted / wanted.sum() * size
            for _ in range(50):
                chance = np.minimum(chance, 1.0)
                free = chance < 1
                chance[free] *= (size - (~free).sum()) / chance[free].sum()
            of_even = float(np.sqrt((1 / size - 1 / n_items) * error.var(ddof=1)))
            of_drawn = float(np.sqrt(((1 - chance) / chance * (error - error.mean()) ** 2).sum())) / n_items
            loss = -float(change.mean())
            again = PairedDifferences.of(answers).over().redrawn_se
            powers = [float(ndtr(loss / least - 1.96)) for least in (min(of_even, of_drawn), again)]
            points = [loss, np.mean(change != 0), of_even, of_drawn, loss / 2.8]
            print(
                f"| {old}, {new} | " + " | ".join(f"{100 * value:.2f}" for value in points),
                f"| {powers[0]:.2f} | {100 * again:.2f} | {powers[1]:.2f} |",
            )


def null(runs: int) -> None:
    """A second run of the baseline as candidate: how often is it held?"""
    print("| answers vary | n of 1000 | looks | held, % | shipped, % |\n|---|---|---|---|---|")
    for slope, size, looks in ((1.0, 200, 1), (1.0, 400, 1), (1.0, 1000, 1), (3.0, 400, 1), (1.0, 400, 10)):
        rng = np.random.default_rng(0)
        bounds = look_quantiles([number / looks for number in range(1, looks + 1)])
        ends = [_verdicts(rng, slope, size, bounds) for _ in range(runs)]
        held = np.mean(["hold" in end for end in ends])
        shipped = np.mean(["ship" in end for end in ends])
        print(
            f"| {'much' if slope < 2 else 'less'} | {size} | {looks} | {100 * held:.1f} | {100 * shipped:.1f} |",
            flush=True,
        )


def _verdicts(rng: np.random.Generator, slope: float, size: int, bounds: list[float]) -> list[str]:
    """Verdicts at each look, of one simulated pair of runs over 1,000 items with 30 past models."""
    n_items, n_past = 1000, 30
    difficulty = rng.normal(0, 1.5, n_items)
    ability = rng.normal(0.3, 1, (n_past, 1))
    past = (rng.random((n_past, n_items)) < 1 / (1 + np.exp(-slope * (ability - difficulty)))).astype(float)
    old, new = (rng.random((2, n_items)) < 1 / (1 + np.exp(-slope * (0.5 - difficulty)))).astype(float)
    labels = pd.DataFrame({"benchmark": "b", "task": [f"t{item % 25}" for item in range(n_items)]})
    order, items = rng.permutation(n_items), tuple(map(str, range(n_items)))
    ends: list[str] = []
    for look, bound in enumerate(bounds, 1):
        seen = np.full(n_items, np.nan)
        shown = order[: size * look // len(bounds)]
        seen[shown] = new[shown]
        answers = VersionAnswers("old", "new", items, old, seen, past, labels)
        ends.append(verdict_of(PairedDifferences.of(answers).over(), bound, 0.01))
    return ends


def power(runs: int) -> None:
    """Candidates that differ by the stated detectable difference: how often is the difference shown?"""
    print("| answers | n of 1000 | detectable loss, points | gain | shown, %, of losses | of gains |")
    print("|---|---|---|---|---|---|")
    for fixed in (False, True):
        for size in (200, 400, 800):
            stated, shown = [0.05, 0.05], [0.0, 0.0]
            for row, sign in enumerate((-1, 1)):
                for _ in range(3):  # the stated difference depends a little on the true one, and on its sign
                    rng = np.random.default_rng(1)
                    stated[row] = float(np.mean([_shown(rng, size, sign * stated[row], fixed)[0] for _ in range(200)]))
                rng = np.random.default_rng(2 + sign)
                shown[row] = float(np.mean([_shown(rng, size, sign * stated[row], fixed)[1] for _ in range(runs)]))
            answers = "fixed" if fixed else "may vary"
            points = " | ".join(f"{100 * share:.1f}" for share in shown)
            print(f"| {answers} | {size} | {100 * stated[0]:.1f} | {100 * stated[1]:.1f} | {points} |", flush=True)


def _shown(rng: np.random.Generator, size: int, wanted: float, fixed: bool) -> tuple[float, bool]:
    """Stated detectable difference, and whether a candidate that differs by `wanted` is shown to do so."""
    n_items, n_past = 1000, 30
    difficulty, ability = rng.normal(0, 1.5, n_items), rng.normal(0.3, 1, (n_past, 1))
    past = (rng.random((n_past, n_items)) < expit(ability - difficulty)).astype(float)
    luck = rng.random((2, n_items))

    def of_candidate(shift: float) -> np.ndarray:
        chance = expit(0.5 + shift - difficulty)
        return (luck[1] < chance).astype(float) if fixed else chance

    old = (luck[0] < expit(0.5 - difficulty)).astype(float)
    start = (old if fixed else of_candidate(0.0)).mean()
    shift = brentq(lambda moved: of_candidate(moved).mean() - start - wanted, -6, 6)
    new = (luck[1] < expit(0.5 + shift - difficulty)).astype(float)
    labels = pd.DataFrame({"benchmark": "b", "task": [f"t{item % 25}" for item in range(n_items)]})
    seen = np.full(n_items, np.nan)
    drawn = rng.permutation(n_items)[:size]
    seen[drawn] = new[drawn]
    items = tuple(map(str, range(n_items)))
    found = PairedDifferences.of(VersionAnswers("old", "new", items, old, seen, past, labels)).over()
    low, high = found.interval(1.96) if fixed else found.another_run_interval(1.96)
    return detectable_difference(found, 1.96, fixed), (low > 0 if wanted > 0 else high < 0)


def noise(runs: int) -> None:
    """Intervals for another run, with repeats of nobody, past models, the baseline, or both versions.

    Chances of success are the shares of right runs of real models; their runs are drawn anew.
    """
    print("| set | pairs | n | 3 runs of | 95 % covers | width | lost: held | gained: shipped | same model: held |")
    print("|---|---|---|---|---|---|---|---|---|")
    repeated = {"nobody": (1, 1, 1), "past": (1, 1, 3), "baseline": (3, 1, 1), "baseline, past": (3, 1, 3)}
    repeated |= {"both": (3, 3, 1)}
    for name, most in (("livecodebench_n10", 400), ("livecodebench_n10", 2000), ("julia_codegen_repeats", 2000)):
        table = pd.read_parquet(DATA / name / "responses.parquet").astype({"model": str, "item_id": str})
        table = table[table["n_trials"] >= 8].assign(share=lambda rows: rows["n_success"] / rows["n_trials"])
        chance = table.pivot_table(index="model", columns="item_id", values="share").to_numpy(float)
        chance = chance[(~np.isnan(chance)).sum(axis=1) >= 50]
        listed = chosen_pairs(chance, 0.08, 60, runs, 0)
        for label, asked in repeated.items():
            rows: list[tuple[float, bool, float, str, str]] = []
            for number, pair in enumerate(listed):
                rng = np.random.default_rng(number)
                found = [_run_pair(chance, pair, most, asked, rng) for _ in range(2)]
                rows += found
            _noise_row(f"{name} | {len(listed)} | {most if most < 2000 else 'all'} | {label}", rows)


def _run_pair(
    chance: np.ndarray, pair: tuple[int, int], size: int, asked: tuple[int, int, int], rng: np.random.Generator
) -> tuple[float, bool, float, str, str]:
    """True difference, whether covered, width, verdict, and the verdict on a second run of the baseline."""
    both = ~np.isnan(chance[list(pair)]).any(axis=0)
    rows = [*pair, *(row for row in range(len(chance)) if row not in pair)]
    true = np.vstack([chance[rows][:, both], chance[pair[0], both]])
    times = np.array([asked[0], asked[1], *[asked[2]] * (len(rows) - 2), asked[1]])
    score = np.where(np.isnan(true), np.nan, rng.binomial(times[:, None], np.nan_to_num(true)) / times[:, None])
    truth = float((true[1] - true[0]).mean())
    n_items = true.shape[1]
    shown = rng.permutation(n_items)[:size]
    found, verdict = _run_verdict(score, times, shown, 1)
    low, high = found.another_run_interval(1.96)
    return truth, low <= truth <= high, high - low, verdict, _run_verdict(score, times, shown, -1)[1]


def _run_verdict(score: np.ndarray, times: np.ndarray, shown: np.ndarray, new: int) -> tuple[Difference, str]:
    """The gate's difference and verdict, the candidate being a row of the scores."""
    n_items = score.shape[1]
    known = np.full(n_items, np.nan)
    known[shown] = score[new, shown]
    laid = np.vstack([score[:1], known[None], score[2:-1]])
    model, item = np.nonzero(~np.isnan(laid))
    names = tuple(f"m{row}" for row in range(len(laid)))
    items = tuple(map(str, range(n_items)))
    responses = Responses(names, items, model, item, laid[model, item], times[model].astype(float))
    repeats = RepeatedAnswers.of(responses, 0, 1, np.ones(n_items, bool))
    labels = pd.DataFrame({"benchmark": "b", "task": "t"}, index=range(n_items))
    past = past_answers(laid[2:])
    answers = VersionAnswers("m0", "m1", items, laid[0], known, past, labels, repeats=repeats)
    found = PairedDifferences.of(answers).over()
    return found, verdict_of(found, 1.96, 0.01)


def _noise_row(head: str, rows: list[tuple[float, bool, float, str, str]]) -> None:
    truth, covered, width = (np.array([row[column] for row in rows], float) for column in range(3))
    held, shipped = (np.array([row[3] == verdict for row in rows]) for verdict in ("hold", "ship"))
    same = np.mean([row[4] == "hold" for row in rows])
    print(
        f"| {head} | {100 * covered.mean():.1f} | {100 * width.mean():.2f} | {held[truth < -0.02].mean():.2f} |"
        f" {shipped[truth > 0.02].mean():.2f} | {100 * same:.1f} |",
        flush=True,
    )


def judge(runs: int) -> None:
    """Judge-corrected means: simulated judges, and 1,800 graded elements with gold."""
    print("| answers | labels | estimator | mean error | 95 % covers | width |\n|---|---|---|---|---|---|")
    for name, world in (("lenient judge", _lenient), ("two judges, tasks that differ", _two_judges)):
        for n_answers, size in ((480, 48), (480, 96), (1000, 100)):
            rng = np.random.default_rng(0)
            rows = [row for _ in range(runs) for row in _judged(world(rng, n_answers), size, rng)]
            _judge_rows(f"{name}, {n_answers}", size, rows)
    table = pd.read_parquet(DATA / "judge_item_bank_180" / "elements_long.parquet")
    gold, given = table["gold"].to_numpy(float), table["judge"].to_numpy(float)
    task = np.unique(table["question_id"].astype(str), return_inverse=True)[1]
    known = ~np.isnan(gold) & ~np.isnan(given)
    bank = _answers(gold[known], given[known], np.zeros((int(known.sum()), 0)), task[known])
    rng = np.random.default_rng(0)
    _judge_rows(
        f"judge_item_bank_180, {known.sum()}", 180, [row for _ in range(runs) for row in _judged(bank, 180, rng)]
    )
    verdicts, labels = _llmbar()
    rng = np.random.default_rng(0)
    for extra in (0, 2):
        rows = []
        for _ in range(runs):
            judges = rng.permutation(len(verdicts))[: 1 + extra]
            part = rng.permutation(len(labels))[:480]
            given = verdicts[np.ix_(judges, part)]
            rows += _judged(_answers(labels[part], given[0], given[1:].T, np.zeros(480, int)), 48, rng)
        _judge_rows(f"llmbar_judges, {1 + extra} judge{'s' if extra else ''}, 480", 48, rows)


def _llmbar() -> tuple[np.ndarray, np.ndarray]:
    """Share of both orders in which a judge preferred the first reply, and whether people did; shape (judge, item)."""
    rows = pd.read_parquet(DATA / "llmbar_judges" / "judgements.parquet")
    rows = rows[rows["valid"]].astype({"winner": str, "label": str})
    rows["first"] = (rows["winner"] == "1").astype(float)
    verdicts = rows.groupby(["judge", "strategy", "item_id"], observed=True)["first"].mean().unstack("item_id")
    gold = rows[~rows["swapped"]].drop_duplicates("item_id").set_index("item_id")["label"].reindex(verdicts.columns)
    whole = verdicts[verdicts.notna().mean(axis=1) > 0.9].fillna(0.5)
    return whole.to_numpy(), (gold == "1").to_numpy(float)


def drawn(runs: int) -> None:
    """Labels drawn evenly, and a third of them evenly and the rest where the prediction is unsure."""
    print("| answers | labels | drawn | error | 95 % covers | width |\n|---|---|---|---|---|---|")
    worlds = {"lenient judge": _lenient, "two judges, tasks that differ": _two_judges, "sure and unsure judge": _graded}
    for name, world in worlds.items():
        for n_answers, size in ((480, 60), (1000, 100)):
            rng = np.random.default_rng(0)
            rows = np.array([_even_and_drawn(world(rng, n_answers), size, rng) for _ in range(runs)], float)
            for column, key in enumerate(("evenly", "a third evenly, then by doubt")):
                error, covered, width = 100 * rows[:, column].T
                points = f"{np.sqrt((error**2).mean()):.2f} | {covered.mean():.1f} | {width.mean():.1f}"
                print(f"| {name}, {n_answers} | {size} | {key} | {points} |", flush=True)


def _even_and_drawn(world: JudgedAnswers, size: int, rng: np.random.Generator) -> list[tuple[float, bool, float]]:
    """Error, whether covered and width from labels drawn in two ways."""
    n_answers, truth, first = len(world.label), float(world.label.mean()), max(30, size // 3)
    answers = replace(world, items=tuple(map(str, range(n_answers))))
    order = rng.permutation(n_answers)
    table = labels_to_give(Study.of(responses=NOTHING), answers.with_labels_at(order[:first]), size - first, rng)
    table["score"] = answers.label[table["item_id"].astype(int)]
    blank = replace(answers, label=np.full(n_answers, np.nan))
    sheet = LabelSheet(table[["model", "item_id", "draw_chance", "score"]])
    rows: list[tuple[float, bool, float]] = []
    for shown in (answers.with_labels_at(order[:size]), sheet.labelled(blank)[0]):
        found = JUDGE_ESTIMATORS["narrower"].estimate(shown)
        lower, upper = found.interval()
        rows.append((found.value - truth, lower <= truth <= upper, upper - lower))
    return rows


def _graded(rng: np.random.Generator, size: int) -> JudgedAnswers:
    """A judge whose graded scores say how sure it is."""
    chance = rng.beta(0.6, 0.3, size)
    given = np.clip(chance + 0.12 * rng.normal(size=size) + 0.08, 0, 1)
    return _answers((rng.random(size) < chance).astype(float), given, np.zeros((size, 0)), np.zeros(size, int))


def _answers(truth: np.ndarray, given: np.ndarray, others: np.ndarray, task: np.ndarray) -> JudgedAnswers:
    columns = [given, *others.T, *(0.3 * (task == value) for value in np.unique(task))]
    spread = [column - column.mean() for column in columns if np.std(column) > 0]
    return JudgedAnswers("m", given, truth, np.column_stack(spread))


def _lenient(rng: np.random.Generator, size: int) -> JudgedAnswers:
    """A judge that says .84 where people say .75, correlation .39."""
    truth = (rng.random(size) < 0.75).astype(float)
    given = (rng.random(size) < np.where(truth > 0, 0.915, 0.615)).astype(float)
    return _answers(truth, given, np.zeros((size, 0)), np.zeros(size, int))


def _two_judges(rng: np.random.Generator, size: int) -> JudgedAnswers:
    """Two graded judges that see one quality, over eight tasks of different difficulty."""
    task, quality = rng.integers(0, 8, size), rng.normal(size=size)
    truth = (quality + rng.normal(0, 1, 8)[task] + 0.9 > 0).astype(float)
    one, other = (np.clip(mean + 0.2 * quality + 0.2 * rng.normal(size=size), 0, 1) for mean in (0.7, 0.6))
    return _answers(truth, one, other[:, None], task)


def _judged(answers: JudgedAnswers, size: int, rng: np.random.Generator) -> list[tuple[str, float, bool, float]]:
    """Name, absolute error, whether covered, width of each estimator on one draw of labels."""
    shown, truth = answers.with_labels_at(rng.permutation(len(answers.label))[:size]), float(answers.label.mean())
    rows: list[tuple[str, float, bool, float]] = []
    for name, estimator in JUDGE_ESTIMATORS.items():
        found = estimator.estimate(shown)
        lower, upper = found.interval()
        rows.append((name, abs(found.value - truth), lower <= truth <= upper, upper - lower))
    return rows


def _judge_rows(head: str, size: int, rows: list[tuple[str, float, bool, float]]) -> None:
    for name in JUDGE_ESTIMATORS:
        error, covered, width = np.array([row[1:] for row in rows if row[0] == name], float).mean(axis=0)
        print(f"| {head} | {size} | {name} | {100 * error:.2f} | {100 * covered:.1f} | {100 * width:.1f} |", flush=True)


def repeats(runs: int) -> None:
    """Success in all of k runs from 3 and 5 runs: simulated, and with most of the runs of real sets left out."""
    print("| items | runs | k | bias of rate^k | ours | 95 % covers | width |\n|---|---|---|---|---|---|---|")
    rng = np.random.default_rng(0)
    for shape in ((0.5, 0.3), (2.0, 1.0), (8.0, 3.0)):
        for many in (3, 5):
            rows = []
            for _ in range(runs):
                chance = rng.beta(*shape, 200)
                found = ItemChances(rng.binomial(many, chance).astype(float), np.full(200, float(many)))
                rows += [_run_row(found, k, float((chance**k).mean())) for k in (4, 8)]
            _print_runs(f"200, Beta({shape[0]:g}, {shape[1]:g})", many, rows)
    for name in ("livecodebench_n10", "julia_codegen_repeats"):
        table = pd.read_parquet(DATA / name / "responses.parquet").astype({"model": str, "item_id": str})
        table = table[table["n_trials"] >= 8]
        groups = [group for _, group in table.groupby("model") if len(group) >= 50]
        for many in (3, 5):
            rows = []
            for group in groups:
                right, asked = group["n_success"].to_numpy(int), group["n_trials"].to_numpy(int)
                for _ in range(5):
                    shown = rng.hypergeometric(right, asked - right, many).astype(float)
                    found = ItemChances(shown, np.full(len(shown), float(many)))
                    rows += [_run_row(found, k, float((comb(right, k) / comb(asked, k)).mean())) for k in (2, 4, 8)]
            _print_runs(f"{name}, {len(groups)} models", many, rows)


def _run_row(found: ItemChances, k: int, truth: float) -> tuple[int, float, float, bool, float]:
    value, lower, upper = found.all_of(k, 0.95)
    rate = float(((found.right / found.runs) ** k).mean())
    return k, rate - truth, value - truth, lower <= truth <= upper, upper - lower


def _print_runs(name: str, many: int, rows: list[tuple[int, float, float, bool, float]]) -> None:
    for k, part in pd.DataFrame(rows, columns=["k", "rate", "ours", "inside", "width"]).groupby("k"):
        mean = 100 * part.astype(float).mean()
        print(
            f"| {name} | {many} | {k} | {mean['rate']:+.1f} | {mean['ours']:+.1f} | {mean['inside']:.1f} |"
            f" {mean['width']:.1f} |",
            flush=True,
        )


def flipped(runs: int) -> None:
    """Flips beyond chance, with and without a true change."""
    print("| broken and mended | runs of each | raw lost, % | changed less truth, % | covers | lost covers |")
    print("|---|---|---|---|---|---|")
    rng = np.random.default_rng(0)
    for broken in (0.0, 0.06):
        for many in (2, 3, 5):
            rows = []
            for _ in range(runs):
                before = rng.beta(0.5, 0.3, 500)
                after = before.copy()
                moved = rng.permutation(500)[: round(1000 * broken)]
                after[moved] = 1 - after[moved]
                counts = [rng.binomial(many, chance).astype(float) for chance in (before, after)]
                paired = PairedRuns((counts[0], counts[1]), (np.full(500, float(many)),) * 2, np.arange(500))
                found = flips(paired, "all", "", 0.95, rng)
                truth, gain = float(((before - after) ** 2).mean()), float((after - before).mean())
                changed, lost = found.changed, found.lost
                assert changed is not None
                assert lost is not None
                inside = changed.lower <= truth <= changed.upper
                rows.append(
                    (found.lost_raw, changed.value - truth, inside, lost.lower <= (truth - gain) / 2 <= lost.upper)
                )
            raw, error, covers, lost_covers = 100 * np.mean(rows, axis=0)
            print(
                f"| {100 * broken:g} % | {many} | {raw:.1f} | {error:+.2f} | {covers:.1f} | {lost_covers:.1f} |",
                flush=True,
            )


def main() -> None:
    """Run one of the tables."""
    parser = argparse.ArgumentParser(description="the release gate, measured")
    tables = {"pairs": pairs, "versions": versions, "null": null, "repeats": repeats, "flips": flipped, "judge": judge}
    tables |= {"drawn": drawn, "noise": noise, "power": power, "bound": lambda _: bound()}
    parser.add_argument("table", choices=list(tables))
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--runs", type=int, default=2000)
    given = parser.parse_args()
    tables[given.table](given.seeds if given.table in ("pairs", "versions") else given.runs)


if __name__ == "__main__":
    main()
