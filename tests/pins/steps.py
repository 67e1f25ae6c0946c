"""The commands that are pinned, in the order in which they need each other's outputs.

What is a fault today is not pinned with its number (keys only, or not at all); each such place names the fault.
"""

from dataclasses import dataclass

SUITE = ("pairs", "mean_lower", "mean_upper", "iqm_lower", "iqm_upper", "strength", "strength_lower", "strength_upper")
PAIR = ("detectable", "lower", "upper", "mean", "ahead", "leader", "beyond_lower", "beyond_upper")


@dataclass(frozen=True)
class Step:
    """One command."""

    name: str
    line: str
    """Arguments, split at blanks; `--json` is added."""
    needs: tuple[str, ...] = ()
    """Steps that have to run before."""
    writes: tuple[str, ...] = ()
    """Files and folders whose contents are pinned."""
    drop: tuple[str, ...] = ()
    """Keys that are left out."""
    keys_only: bool = False
    """Pin keys and kinds of what is printed, not its values."""
    server: bool = False
    """Whether it asks the loopback endpoint; its address is given by --base-url."""
    slow: bool = False
    json: bool = True


def _fit(name: str, options: str, study: str = "study", slow: bool = False) -> Step:
    return Step(
        f"fit-{name}",
        f"fit {study} --device cpu --out fit-{name} {options}",
        (),
        (f"fit-{name}",),
        ("advice",),
        slow=slow,
    )


FITS = [
    # `auto` chooses by inner folds, which are to be averaged (issue of kind 9); so its numbers are not pinned. Fast
    # tests that it fits: the README's page, and test_fit_object.py
    Step("fit-auto", "fit study --device cpu --out fit-auto", keys_only=True, slow=True),
    _fit("rasch", "--model rasch"),
    _fit("2pl", "--model 2pl"),
    _fit("3pl", "--model 3pl"),
    _fit("4pl", "--model 4pl"),
    _fit("mirt", "--model mirt --dims 2"),
    _fit("graded", "--model 2pl --response graded", "grades"),
    _fit("continuous", "--model 2pl --response continuous", "grades"),
    _fit("mml", "--model 2pl --engine mml", "varied"),
    _fit("svi", "--model rasch --engine svi", slow=True),
    _fit("nuts", "--model rasch --engine nuts", slow=True),
    _fit("floor", "--model rasch --chance use"),
    _fit("demand", "--model demand --annotator ann"),
    _fit("curves", "--model curves"),
    Step("fit-holdout", "fit study --device cpu --model rasch --holdout 0.2"),
    Step("fit-holdout-demand", "fit study --device cpu --model demand --holdout 0.2"),
    Step("fit-holdout-curves", "fit study --device cpu --model curves --holdout 0.2"),
]
AFTER_FITS = [
    *(
        Step(f"profile-{name}", f"profile fit-{name}", (f"fit-{name}",))
        for name in ("rasch", "2pl", "mirt", "demand", "curves")
    ),
    Step("profile-one", "profile fit-rasch --model org1/base1-1b --level 0.5", ("fit-rasch",)),
    *(
        Step(f"predict-{name}", f"predict fit-{name} study --out p-{name}.csv", (f"fit-{name}",), (f"p-{name}.csv",))
        for name in ("rasch", "mirt", "demand", "curves")
    ),
    Step(
        "predict-explain",
        "predict fit-demand new.jsonl --out p-new.parquet --explain --defer-below 0.6",
        ("fit-demand",),
        ("p-new.parquet", "p-new-parts.parquet"),
    ),
    # --labels rebuilds log-odds from attenuated chances (H5): keys only
    Step(
        "predict-labels",
        "predict fit-rasch study --out p-labels.csv --labels labels.csv",
        ("fit-rasch",),
        keys_only=True,
    ),
    # a demand fit has no page (H4), and the held-out calibration of a page is another model's (H1): sections only
    *(
        Step(
            f"report-{name}",
            f"report fit-{name} --out r-{name}.html",
            (f"fit-{name}",),
            (f"r-{name}.html",),
        )
        for name in ("2pl", "curves")
    ),
    *(
        Step(
            f"report-{name}-study",
            f"report fit-{name} --out s-{name}.html --study study --items new.jsonl",
            (f"fit-{name}",),
            (f"s-{name}.html",),
        )
        for name in ("2pl", "curves")
    ),
    Step("view", "view fit-2pl --no-browser", ("fit-2pl",), keys_only=True),
]
EXPLAIN = [
    Step("explain", "explain study --claims QLl,KNn"),
    Step(
        "explain-audit",
        "explain study --benchmark bench0 --against bench1 --audit --out odd.csv",
        writes=("odd.csv",),
    ),
    # intervals of a suite and of pairs do not cover (C109, C110, C115): points only
    Step("compare-all", "compare study", drop=SUITE),
    Step("compare-two", "compare study org1/base1-1b org2/base2-2b", drop=PAIR),
    # Bradley-Terry has a wrong prior (C102-C104): keys only
    Step("compare-judged", "compare judged.csv", keys_only=True),
]
EVALUATE = [
    Step(
        "evaluate-task",
        "evaluate study --split task --folds 3 --assessor mean --assessor item-mean --assessor rasch --assessor forest"
        " --assessor ridge --assessor base-rate --write oof.csv",
        writes=("oof.csv",),
    ),
    Step("evaluate-id", "evaluate study --split id --folds 2 --assessor mean --assessor rasch"),
    Step(
        "evaluate-benchmark",
        "evaluate study --split benchmark --folds 2 --assessor mean --assessor forest --write oof-benchmark.csv",
    ),
    Step(
        "evaluate-new-model",
        "evaluate study --split new-model --known 10 --folds 2 --seeds 2 --assessor item-mean --assessor mean"
        " --resume folds",
    ),
    Step("evaluate-family", "evaluate study --split family --families names --folds 2 --known 10 --assessor item-mean"),
    Step("evaluate-frontier", "evaluate study --split frontier --known 10 --assessor item-mean"),
    Step("evaluate-both", "evaluate study --split both --folds 2 --known 10 --assessor mean"),
    Step(
        "evaluate-texts",
        "evaluate study --split id --folds 2 --embedder tfidf --assessor text-forest --assessor text-rasch"
        " --assessor pooled-forest --assessor boosted --assessor explanatory --assessor explanatory-text",
    ),
    Step("evaluate-stacked", "evaluate study --split task --folds 2 --embedder tfidf --assessor stacked"),
    Step(
        "predict-study",
        "predict study new.jsonl --out p-study.csv --assessor explanatory --explain",
        writes=("p-study.csv", "p-study-parts.csv"),
    ),
    Step(
        "predict-stacked",
        "predict study new.jsonl --out p-stacked.csv --embedder tfidf",
        writes=("p-stacked.csv",),
    ),
    # --residuals, as --labels, rebuilds log-odds (H5): keys only
    Step(
        "predict-residuals",
        "predict study new.jsonl --out p-residuals.csv --assessor mean --residuals oof-benchmark.csv",
        ("evaluate-benchmark",),
        keys_only=True,
    ),
]
BATTERY = [
    Step("bank-build", "bank build study --out bank --dims 1", writes=("bank",)),
    Step("bank-compact", "bank build study --out bank-compact --dims 1 --compact", writes=("bank-compact",)),
    Step("bank-add", "bank add bank more --out bank-more", ("bank-build",), ("bank-more",)),
    *(
        Step(
            f"select-{name}",
            f"battery select {source} -n 12 --method {name} --out b-{name}.csv",
            ("bank-build",),
            (f"b-{name}.csv",),
        )
        for name, source in (
            ("random", "bank"),
            ("demand", "study"),
            ("anchor", "bank"),
            ("fisher", "bank"),
            ("variance", "bank"),
            ("profile", "study"),
        )
    ),
    Step(
        "select-forms",
        "battery select study -n 6 --forms 2 --benchmark bench0 --out forms.csv",
        writes=("forms-1.csv", "forms-2.csv"),
    ),
    Step("score-battery", "battery score b-random.csv study", ("select-random",)),
    *(
        Step(
            f"score-{name}",
            f"battery score bank answers.csv --battery b-random.csv --estimator {name}",
            ("select-random",),
        )
        for name in ("mean", "pirt", "gpirt", "rsl", "aipw", "blend")
    ),
    Step("battery-evaluate", "battery evaluate study -n 10 --seeds 2"),
    Step("battery-evaluate-adaptive", "battery evaluate study -n 8 --seeds 1 --method adaptive"),
    Step("battery-prompts", "battery prompts prompts --items p-items.csv --draws 50", writes=("p-items.csv",)),
    Step(
        "battery-run",
        "battery run bank --items study --model org9/new --out run -n 8 --usd-in 1 --usd-out 1 --base-url {url}",
        ("bank-build",),
        ("run",),
        server=True,
    ),
]
ANNOTATE = [
    Step("agree", "agree study --reference ann"),
    # a study of CSV tables is not readable after `annotate` and `fuse` (H3): what is printed only, each on a copy
    Step("fuse", "fuse copy1"),
    Step("annotate-plan", "annotate copy2 --annotator openai:m --only QLl,AS --usd-in 1 --usd-out 1 --plan"),
    Step(
        "annotate",
        "annotate copy2 --annotator openai:m --only QLl,AS --limit 9 --usd-in 1 --usd-out 1 --yes --base-url {url}",
        ("annotate-plan",),
        server=True,
    ),
    Step(
        "annotate-joint",
        "annotate copy3 --annotator openai:m --only QLl,AS --joint --limit 9 --base-url {url}",
        server=True,
    ),
    Step(
        "annotate-batch",
        "annotate copy4 --annotator batch:m --only QLl --base-url {url}",
        server=True,
        drop=("batches",),
    ),
    Step(
        "annotate-batch-status",
        "annotate copy4 --annotator batch:m --only QLl --batch status --base-url {url}",
        ("annotate-batch",),
        server=True,
    ),
    # `--annotator local` with few items abstains or refuses; ignoring --plan and others is H2, not pinned
    Step("annotate-local", "annotate copy5 --annotator local --reference ann"),
]
EXPORTS = [
    Step(f"export-{name}", f"export {name} study --out {out}", writes=(out,))
    for name, out in (("tidy", "x.csv"), ("pyirt", "x.jsonlines"), ("irw", "y.csv"), ("torch-measure", "tm"))
]
STUDY = [Step("check", "check study"), *FITS, *AFTER_FITS, *EXPLAIN, *EVALUATE, *BATTERY, *ANNOTATE, *EXPORTS]
"""What is done with each of the two studies."""


def _import(name: str, line: str) -> Step:
    return Step(f"import-{name}", f"import {line} --out in-{name}", writes=(f"in-{name}",))


IMPORTS = [
    _import(
        "tidy",
        "tidy tables/long.csv --id-col question --items tables/items.csv --demands tables/levels.csv --annotator me",
    ),
    _import("tidy-wide", "tidy tables/wide.csv --wide --not-administered -1"),
    _import("tidy-wide-items", "tidy tables/wide_items.csv --wide-items"),
    _import("adele", "adele tables/adele.csv tables/GPT-4o.csv"),
    _import("inspect", "inspect {fixtures}/inspect --scorer match --scorer verdict --scorer choice --no-answer wrong"),
    _import(
        "lm-eval", "lm-eval {fixtures}/lm_eval --metric acc --metric exact_match --filter none --filter strict-match"
    ),
    _import("helm", "helm {fixtures}/helm --metric exact_match"),
    _import(
        "every-eval-ever", "every-eval-ever {fixtures}/every_eval_ever --metric acc --metric exact_match:strict-match"
    ),
    _import("openai-batch", "openai-batch tables/batch.jsonl --items tables/items.csv"),
    _import("pyirt", "pyirt tables/pyirt.jsonlines"),
    _import("irw", "irw tables/irw.csv"),
    _import("torch-measure", "torch-measure tables/bench.parquet"),
    Step("import-open-choice", "import inspect {fixtures}/inspect --out in-open"),
    Step("rubrics-list", "rubrics list"),
    Step("rubrics-show", "rubrics show QLl"),
    Step("rubrics-check", "rubrics check rubrics"),
    Step("demo", "demo --out demo", writes=("demo",), slow=True),
    Step("no-study", "check nowhere"),
    Step("no-verb", "no-such-verb", json=False),
    Step("no-option", "fit study", json=False),
]
"""What needs no study."""
