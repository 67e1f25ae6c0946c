"""Pages of a fit and of the demo: collect data, summarise, write, open in a browser."""

import tempfile
import time
import webbrowser
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from capscope.data import ArrowTable, Demands, Study, as_frame, read_items, read_level_counts, shipped
from capscope.errors import JoinError, OutputError, counted, first_few
from capscope.files import MANIFEST, TENSORS, refuse_file, write_json, write_table
from capscope.fit import CurvePosterior, Fit, HeldOut, IRTPosterior, NothingHeldOutError, fit_curves, load_fit, save_fit
from capscope.predict import predict
from capscope.profiles import demand_profile
from capscope.report.page import summarize, write_page
from capscope.report.plain_values import Provenance, Summary, count, provenance_of
from capscope.report.section import ItemPart, PageSource

MOST_NAMED = 4
"""Benchmarks that a title names."""
HELD_OUT_SHARE = 0.2
"""Share of a study's answers that are predicted by a fit which has not seen them."""


@dataclass(frozen=True, kw_only=True)
class PageSettings:
    """What the page of a fit shows beside the fit."""

    items: Study | pd.DataFrame | ArrowTable | Path | str | None = None
    """Items to predict and, where they have demand levels, to profile: a study or a table of items, or its path."""
    study: Study | Path | str | None = None
    """The study that the fit was made from, or its folder: item texts, demands of its benchmarks, odd items, held-out
    answers."""
    model: str | None = None
    """Model that is shown in detail; by default the strongest."""
    against: str | None = None
    """Model it is compared with; by default the next one in the ranking."""
    seed: int = 0
    """Seed of all draws."""
    level: float = 0.9
    """Nominal coverage of all intervals, as a share."""


def report(  # noqa: PLR0913 - every setting has a default and is given by keyword
    fit: Fit[Any] | Path | str,
    out: Path | str,
    *,
    study: Study | Path | str | None = None,
    items: Study | pd.DataFrame | ArrowTable | Path | str | None = None,
    model: str | None = None,
    against: str | None = None,
    level: float = 0.9,
    seed: int = 0,
    force: bool = False,
) -> Path:
    """Write one self-contained page about a fit.

    Args:
        fit: A fit of any kind, or its folder.
        out: HTML file to write.
        study: The study that the fit was made from; adds item texts, demands, odd items and held-out answers.
        items: Items to predict on the page.
        model: Model that is shown in detail; by default the strongest.
        against: Model it is compared with; by default the next one in the ranking.
        level: Nominal coverage of all intervals, as a share.
        seed: Seed of all draws.
        force: An existing file may be replaced.

    Returns:
        The page.

    Raises:
        InputError: The fit, the items or the study cannot be read.
        JoinError: The study is not the one that the fit was made from.
        OutputError: The file exists and `force` is not set, or it cannot be written.

    Example:
        >>> report(fit(study, "2pl"), "report.html", study=study)  # doctest: +SKIP
    """
    refuse_file(Path(out), force=force)
    settings = PageSettings(items=items, study=study, model=model, against=against, seed=seed, level=level)
    return write_page(fit_summary(fit, settings), Path(out), force=force)


def report_fit(folder: Path | str, out: Path | str, settings: PageSettings | None = None, force: bool = False) -> Path:
    """Write the page of a stored fit; see `report`.

    Args:
        folder: The fit.
        out: HTML file to write.
        settings: What to show beside the fit.
        force: Replace an existing file.

    Returns:
        The file that was written.

    Raises:
        OutputError: The file exists and `force` is not set.
    """
    refuse_file(Path(out), force=force)
    return write_page(fit_summary(folder, settings), Path(out), force=force)


def view_fit(folder: Path | str, settings: PageSettings | None = None, browser: bool = True) -> Path:
    """Write the page of a stored fit to a temporary folder and open it; see `report`.

    Args:
        folder: The fit.
        settings: What to show beside the fit.
        browser: Whether to open it.

    Returns:
        The page, which stays until the system clears its temporary files.
    """
    page = report_fit(folder, Path(tempfile.mkdtemp(prefix="capscope-")) / "report.html", settings)
    if browser:
        open_page(page)
    return page


def open_page(page: Path) -> None:
    """Open a page in the browser.

    Args:
        page: HTML file.
    """
    webbrowser.open(page.resolve().as_uri())


def fit_summary(fit: Fit[Any] | Path | str, settings: PageSettings | None = None) -> Summary:
    """Summarise a fit.

    Args:
        fit: A fit of any kind, or its folder.
        settings: What to show beside it.

    Returns:
        Plain values of all sections of the page.

    Raises:
        InputError: The fit, the items or the study cannot be read.
        JoinError: The study is not the one that the fit was made from.
    """
    settings = settings or PageSettings()
    return summarize(page_source(fit, settings))


def _provenance(fit: Fit[Any], folder: Path | None, study: Study | None, settings: PageSettings) -> Provenance:
    """Say what was measured on what, by which engine, and when."""
    inputs = () if folder is None else (folder / MANIFEST, folder / TENSORS)
    what = f"Fit {folder.name}" if folder is not None else "A fit of this session"
    on = "" if study is None else f", from the study {Path(study.name).name}"
    measured, name = _measured(fit), "" if study is None else f"{Path(study.name).name}: "
    return provenance_of(
        f"{name}{_models(fit)} {_benchmarks(study, measured)}",
        _subtitle(f"{what} ({fit.model_name}){on}", fit, study, folder),
        seed=settings.seed if fit.settings is None else fit.settings.seed,
        engine=fit.engine,
        inputs=inputs,
        facts=(
            ("Measured", f"{_models(fit)}, {measured}, by model {fit.model_name}"),
            *_study_facts(study),
            *(() if folder is None else (("Fit written", _day(folder / MANIFEST)),)),
        ),
    )


def _models(fit: Fit[Any]) -> str:
    """Number of the models; of agents also of what they are made of."""
    design = fit.design
    if design is not None and len(design.names("model")) < len(fit.models):
        parts = [counted(len(design.names(factor)), factor) for factor in design.parts]
        return f"{count(len(fit.models))} agents ({', '.join(parts)})"
    return f"{count(len(fit.models))} {'model' if len(fit.models) == 1 else 'models'}"


def _benchmarks(study: Study | None, measured: str) -> str:
    """What the models were measured on: the benchmarks of the study where they have names, else what the fit knows."""
    names = [] if study is None or study.items is None else study.items["benchmark"].astype(str).value_counts().index
    if not len(names) or list(names) == ["all"]:
        return f"on {measured}"
    return f"on {first_few(names, MOST_NAMED)}"


def _subtitle(source: str, fit: Fit[Any], study: Study | None, folder: Path | None) -> str:
    """Numbers of models, items and answers, and dates, behind the source of the page."""
    facts = dict(_study_facts(study))
    parts = [f"{_models(fit)}, {_measured(fit)}"]
    parts += [f"{facts[key].split(' by ')[0]} answers" for key in facts if key.startswith("Answers")]
    parts += [f"study of {facts['Study last changed']}"] if "Study last changed" in facts else []
    parts += [] if folder is None else [f"fitted {_day(folder / MANIFEST)}"]
    return f"{source}. {'; '.join(parts)}."


def _measured(fit: Fit[Any]) -> str:
    """On what a fit measured its models."""
    posterior = fit.posterior
    if isinstance(posterior, CurvePosterior):
        return f"{counted(len(posterior.dims), 'scale')} of demand"
    return f"{count(len(posterior.items))} items"


def _study_facts(study: Study | None) -> list[tuple[str, str]]:
    """Name, size and last change of a study."""
    if study is None:
        return []
    facts = [("Study", Path(study.name).name)]
    if study.responses is not None:
        answers = study.responses["n_trials"].sum() if "n_trials" in study.responses else len(study.responses)
        models = study.responses["model"].nunique()
        items = study.responses["item_id"].nunique()
        facts.append(("Answers in the study", f"{count(answers)} by {count(models)} models to {count(items)} items"))
    tables = [path for path in Path(study.name).glob("*") if path.is_file()]
    return [*facts, ("Study last changed", max(map(_day, tables)))] if tables else facts


def _day(path: Path) -> str:
    """Day on which a file was last written, in UTC."""
    return datetime.fromtimestamp(path.stat().st_mtime, UTC).date().isoformat()


def page_source(fit: Fit[Any] | Path | str, settings: PageSettings) -> PageSource:
    """Gather the data of the page of a fit.

    Args:
        fit: A fit or its folder.
        settings: Study, items and models of the page.

    Raises:
        InputError: The fit, the items or the study cannot be read.
        JoinError: The study is not the one that the fit was made from.
    """
    folder = None if isinstance(fit, Fit) else Path(fit)
    fitted = fit if isinstance(fit, Fit) else load_fit(fit)
    study = Study.load(settings.study) if isinstance(settings.study, Path | str) else settings.study
    items = settings.items
    return PageSource(
        fit=fitted,
        provenance=_provenance(fitted, folder, study, settings),
        study=study,
        part=None if items is None else item_part(fitted, items, settings.seed, settings.level),
        held_out=None if study is None else held_out_answers(fitted, study),
        focus_model=settings.model,
        rival=settings.against,
        level=settings.level,
    )


def item_part(
    fit: Fit[Any], items: Study | pd.DataFrame | ArrowTable | Path | str, seed: int = 0, level: float = 0.9
) -> ItemPart:
    """Predict items and profile their demands.

    Args:
        fit: A fit of any kind.
        items: A study or a table of items, or the path of one.
        seed: Seed of the draws.
        level: Nominal coverage of the intervals.

    Raises:
        InputError: The items cannot be read, or lack demand levels that the fit needs.
    """
    posterior = fit.posterior
    dims = () if isinstance(posterior, IRTPosterior) else posterior.dims
    study = _items_study(items, dims)
    predictions = predict(posterior, study, level=level, seed=seed)
    if study.demands is None:
        return ItemPart(predictions=predictions, items=study.items)
    levels = Demands.of(study, rubrics=dims or None)
    return ItemPart(predictions=predictions, demands=demand_profile(levels), items=study.items, levels=levels)


def _items_study(items: Study | pd.DataFrame | ArrowTable | Path | str, dims: tuple[str, ...]) -> Study:
    items = as_frame(items)
    if isinstance(items, Study):
        return items
    return Study.of(items) if isinstance(items, pd.DataFrame) else read_items(items, dims)


def held_out_answers(fit: Fit[Any], study: Study) -> HeldOut[Any] | None:
    """Fit with the same settings without part of the study's answers, and predict these.

    Args:
        fit: The fit.
        study: The study that it was made from.

    Returns:
        The answers and their chances; None without responses or with too few to hold any out, and for curves, whose
        page compares them in sample.

    Raises:
        JoinError: The study lacks items of the fit.
    """
    posterior = fit.posterior
    if study.responses is None or isinstance(posterior, CurvePosterior):
        return None
    known = set(study.responses["item_id"].drop_duplicates().astype(str))
    missing = [item for item in posterior.items if item not in known]
    if missing:
        raise JoinError(
            f"{study.name}: has no answers to {first_few(missing)} of the fit; name the study it was made from"
        )
    try:
        return fit.held_out(study, HELD_OUT_SHARE)
    except NothingHeldOutError:
        return None


DEMO_SOURCE = (
    "Level counts of 15 language models on 18 scales, read off the figures of Zhou et al., General scales unlock AI"
    " evaluation with explanatory and predictive power, Nature 652, 58-67 (2026)"
)
DEMO_NOTES = (
    "The questions were written for capscope and their demand levels were rated by hand by its authors.",
    "The four R1-Qwen models were measured on a slightly different slice of the battery; their MS (mind modelling)"
    " abilities in particular cannot be compared with the other models'.",
)
DEMO_MODEL = "GPT-4o"
DEMO_MARKER = "demo.json"
"""The file by which a folder is known to be a demo's, and may be written over."""


@dataclass(frozen=True)
class DemoResult:
    """What the demo did."""

    report: str
    """Path of the page."""
    seconds: float
    """Time it took."""
    models: int
    """Number of models profiled."""
    dims: int
    """Number of dimensions."""


def run_demo(out: Path, seed: int = 0, progress: Callable[[float], None] | None = None) -> DemoResult:
    """Run the demo into a folder: `report.html`, `abilities.csv`, `chances.csv` and the fit.

    Args:
        out: Folder to write; one that an earlier demo wrote is written over.
        seed: Seed of all random draws.
        progress: Called with the share of the work done.

    Returns:
        Paths and sizes of what was written.

    Raises:
        OutputError: The folder exists and is not a demo's.
    """
    start = time.perf_counter()
    if out.exists() and not (out / DEMO_MARKER).is_file():
        raise OutputError(f"{out}: already exists and is not a demo's folder; choose another --out")
    out.mkdir(parents=True, exist_ok=True)
    counts_file, questions_file = (
        shipped("artifacts/adele-v1") / "level_counts.csv",
        shipped("examples/questions.jsonl"),
    )
    fit = fit_curves(read_level_counts(counts_file), seed=seed, progress=_first_part(progress, 0.8))
    save_fit(fit, out / "fit")
    part = item_part(fit, questions_file, seed)
    provenance = provenance_of(
        "capscope demo: 15 language models on 18 scales",
        DEMO_SOURCE,
        seed=seed,
        engine="Laplace approximation, variances by marginal likelihood",
        inputs=(counts_file, questions_file),
        notes=DEMO_NOTES,
    )
    source = PageSource(fit=fit, provenance=provenance, part=part, focus_model=DEMO_MODEL)
    write_table(out / "abilities.csv", source.profiles.table)
    write_table(out / "chances.csv", part.predictions.table)
    page = write_page(summarize(source), out / "report.html", force=True)
    if progress:
        progress(1.0)
    posterior = fit.posterior
    result = DemoResult(str(page), round(time.perf_counter() - start, 2), len(posterior.models), len(posterior.dims))
    write_json(out / DEMO_MARKER, asdict(result))
    return result


def _first_part(progress: Callable[[float], None] | None, share: float) -> Callable[[float], None] | None:
    return (lambda done: progress(share * done)) if progress else None
