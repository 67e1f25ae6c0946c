"""The demo: profile 15 published models, predict a set of questions, and write the page, all from shipped data."""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from capscope.data import read_level_counts, shipped
from capscope.errors import OutputError
from capscope.files import write_json, write_table
from capscope.fit import fit_curves, save_fit
from capscope.report.fit_page import item_part
from capscope.report.page import write_page
from capscope.report.provenance import provenance_of
from capscope.report.section import PageSource
from capscope.report.summary import summarize

SOURCE = (
    "Level counts of 15 language models on 18 scales, read off the figures of Zhou et al., General scales unlock AI"
    " evaluation with explanatory and predictive power, Nature 652, 58-67 (2026)"
)
NOTES = (
    "The questions were written for capscope and their demand levels were rated by hand by its authors.",
    "The four R1-Qwen models were measured on a slightly different slice of the battery; their MS (mind modelling)"
    " abilities in particular cannot be compared with the other models'.",
)
FOCUS_MODEL = "GPT-4o"
MARKER = "demo.json"
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

    Raises:
        OutputError: The folder exists and is not a demo's.
    """
    start = time.perf_counter()
    if out.exists() and not (out / MARKER).is_file():
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
        SOURCE,
        seed=seed,
        engine="Laplace approximation, variances by marginal likelihood",
        inputs=(counts_file, questions_file),
        notes=NOTES,
    )
    source = PageSource(fit=fit, provenance=provenance, part=part, focus_model=FOCUS_MODEL)
    write_table(out / "abilities.csv", source.profiles.table)
    write_table(out / "chances.csv", part.predictions.table)
    page = write_page(summarize(source), out / "report.html", force=True)
    if progress:
        progress(1.0)
    posterior = fit.posterior
    result = DemoResult(str(page), round(time.perf_counter() - start, 2), len(posterior.models), len(posterior.dims))
    write_json(out / MARKER, asdict(result))
    return result


def _first_part(progress: Callable[[float], None] | None, share: float) -> Callable[[float], None] | None:
    return (lambda done: progress(share * done)) if progress else None
