"""From a study folder to a fit, without loading tables that are larger than the memory allowed."""

from collections.abc import Callable
from pathlib import Path

from capscope.data import ResponseFile, Study, read_table, rows_in
from capscope.fit.engines.variational.fitting import fit_irt
from capscope.fit.study_fit import AnyFit, StudyFitSettings, fit_study, irt_settings, known_floor

BYTES_A_ROW = 150
"""Memory that a loaded response takes at its peak, with its table and its checks."""


def fit_folder(folder: Path, settings: StudyFitSettings, progress: Callable[[float], None] | None = None) -> AnyFit:
    """Fit a model to the study in a folder.

    Responses in Parquet that would take more memory than allowed stay on disk and are read block by block; the fit
    is the same.

    Args:
        folder: Study folder.
        settings: What to fit.
        progress: Told the share done, where the engine knows it.

    Raises:
        InputError: A table that the model needs is missing or wrong.
        FitError: The data cannot support the model.
    """
    table = folder / "responses.parquet"
    if not stays_on_disk(table, settings):
        return fit_study(Study.load(folder), settings, progress)
    file, items = ResponseFile.open(table), folder / "items.parquet"
    floor = None
    if items.is_file():
        floor = known_floor(Study.of(items=read_table(items), name=str(folder)), settings, file.items)
    return fit_irt(file, irt_settings(settings), floor=floor)


def stays_on_disk(table: Path, settings: StudyFitSettings) -> bool:
    """Whether responses are too many to load, and of a kind that can be fitted block by block."""
    streams = settings.engine in ("auto", "variational") and settings.model in ("auto", "rasch", "2pl", "mirt")
    return streams and table.is_file() and rows_in(table) * BYTES_A_ROW > settings.memory_mb * 2**20
