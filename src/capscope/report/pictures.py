"""Pictures of fits for notebooks and papers."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from capscope.errors import InputError, first_few, nearest
from capscope.files import whole_file, write_text
from capscope.fit import Fit
from capscope.report.figures import overall_intervals
from capscope.report.plain import plain
from capscope.report.provenance import provenance_of
from capscope.report.radars import radar_grid
from capscope.report.section import PageSource
from capscope.report.sections.answer import ranked_models
from capscope.report.sections.profiles import profile_entries
from capscope.report.style import to_svg


@dataclass(frozen=True)
class Picture:
    """A figure that notebooks show and that can be saved."""

    figure: Figure
    """The matplotlib figure, to be changed at will."""

    def svg(self) -> str:
        """Return the picture as one SVG element."""
        return to_svg(self.figure)

    def save(self, path: Path | str, *, force: bool = True) -> Path:
        """Write the picture in the format of the file's ending: ``.svg``, ``.png``, ``.pdf``.

        Args:
            path: File to write.
            force: An existing file may be replaced.

        Raises:
            OutputError: The file cannot be written.
            InputError: No such format.
        """
        path = Path(path)
        if path.suffix.lower() == ".svg":
            return write_text(path, self.svg(), force=force)
        kinds = self.figure.canvas.get_supported_filetypes()
        kind = path.suffix.lower().removeprefix(".")
        if kind not in kinds:
            raise InputError(f"{path}: no picture format '{path.suffix}'; use one of {', '.join(sorted(kinds))}")
        with whole_file(path, force=force) as scratch, scratch.open("wb") as file:
            self.figure.savefig(file, format=kind, dpi=200)
        return path

    def _repr_svg_(self) -> str:
        return self.svg()


def plot_fit(fit: Fit[Any], models: Sequence[str] | None = None, level: float = 0.9) -> Picture:
    """Draw the abilities of a fit: profiles as radars for curves, else general abilities with intervals.

    Args:
        fit: A fit of any kind.
        models: Models to draw; by default all.
        level: Nominal coverage of the intervals.

    Raises:
        InputError: The fit has no such model.
    """
    for name in models or ():
        if name not in fit.models:
            known = f"{nearest(name, fit.models)}; it has {first_few(fit.models)}"
            raise InputError(f"the fit has no model '{name}'{known}")
    seed = 0 if fit.settings is None else fit.settings.seed
    source = PageSource(fit=fit, provenance=provenance_of("", "", seed=seed, engine=fit.engine), level=level)
    if source.is_curves:
        return Picture(radar_grid(plain(profile_entries(source)), models))
    entries = plain(ranked_models(source))
    chosen = [entry for entry in entries if models is None or entry["model"] in models]
    rows = [{"model": entry["model"], "overall": entry["ability"]} for entry in chosen]
    figure = overall_intervals(rows, axis_label="General ability").get_figure(root=True)
    assert isinstance(figure, Figure)
    return Picture(figure)
