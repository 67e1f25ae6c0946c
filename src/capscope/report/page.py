"""Summary of a fit as plain values, rendered as one self-contained HTML page or as a figure.

The page loads nothing from elsewhere and every text in it is escaped. It has one script of its own, which sorts and
filters tables; its content security policy forbids any other.
"""

import base64
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from matplotlib.figure import Figure

from capscope.errors import InputError, first_few, nearest
from capscope.files import refuse_file, whole_file, write_text
from capscope.fit import Fit
from capscope.report.figures import overall_intervals
from capscope.report.plain_values import Record, Summary, bounded, count, fixed, percent, plain, provenance_of
from capscope.report.radars import radar_grid
from capscope.report.section import PageSource, Section
from capscope.report.sections import SECTIONS
from capscope.report.sections.answer import ranked_models
from capscope.report.sections.profiles import profile_entries
from capscope.report.style import to_svg


def summarize(source: PageSource) -> Summary:
    """Build every section that applies, as values that `json.dumps` takes.

    Args:
        source: A fit, and what is to be shown beside it.

    Returns:
        `title`, `level`, `sections` (a record by section name, in the order of the page), `definitions` (of the terms
        that these sections use) and `made` (how the numbers were made).

    Raises:
        InputError: The study lacks what the fit needs.
    """
    used = [section for section in SECTIONS.values() if section.applies(source)]
    terms = {term: meaning for section in reversed(used) for term, meaning in section.terms.items()}
    ordered = dict.fromkeys(term for section in used for term in section.terms)
    level = f"{source.level:.0%}"
    summary: Summary = {
        "title": source.provenance.title,
        "level": source.level,
        "sections": {section.name: section.build(source) for section in used},
        "definitions": [{"term": term, "meaning": terms[term].replace("{level}", level)} for term in ordered],
        "made": made(source),
    }
    return plain(summary)


def made(source: PageSource) -> Record:
    """How the numbers were made: data, engine, status, versions.

    Returns:
        The fields of `Provenance`, `converged`, `status` and `advice` of the fit, and `facts` (`name` and `value`).
    """
    provenance, status = source.provenance, source.fit.status
    return {
        "source": provenance.source,
        "capscope_version": provenance.capscope_version,
        "versions": provenance.versions,
        "seed": provenance.seed,
        "engine": provenance.engine,
        "inputs": provenance.inputs,
        "notes": provenance.notes,
        "converged": status.converged,
        "status": status.code,
        "advice": status.advice,
        "facts": [{"name": name, "value": value} for name, value in (*provenance.facts, *_curve_facts(source))],
    }


def _curve_facts(source: PageSource) -> list[tuple[str, str]]:
    """What a curve fit says of its draws, its spread and its gaps."""
    if not source.is_curves:
        return []
    posterior, level = source.curves, source.level
    departure, concentration = bounded(posterior.level_effect_sd, level), bounded(posterior.concentration, level)
    cells = posterior.n[:, :, 1:]
    empty = int((cells == 0).sum())
    spread = (
        f"{posterior.ability.shape[-1]} draws; levels depart from the line by {_with_bounds(departure, 2)} in log-odds;"
        f" beta-binomial concentration {_with_bounds(concentration, 0)}"
    )
    gaps = (
        f"{empty} of {cells.size} cells (model, scale, level 1 to 5) hold no answer ({percent(empty / cells.size, 1)})"
    )
    return [("Posterior", spread), ("Missing", gaps)]


def _with_bounds(entry: Record, digits: int) -> str:
    """A number with its interval; without one where all draws agree, because the engine held it fixed."""
    value = fixed(entry["value"], digits)
    if entry["upper"] - entry["lower"] <= 1e-9:
        return value
    return f"{value} ({fixed(entry['lower'], digits)} to {fixed(entry['upper'], digits)})"


DRAWING_NOTE = "The numbers stand in the table below the drawing."
"""Description of every drawing for screen readers."""
_NOT_TEXT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]")
"""Characters that HTML does not allow."""


def render(summary: Summary) -> str:
    """Return the page as text; the same summary gives the same bytes.

    Args:
        summary: What `summarize` returned.
    """
    clean = _clean(summary)
    environment = _environment()
    level = clean["level"]
    bodies = [_section(environment, SECTIONS[name], record, level) for name, record in clean["sections"].items()]
    script = "\n" + _source(environment, "page.js")
    template = environment.get_template("page.html.j2")
    frame = {name: value for name, value in clean.items() if name != "sections"}
    frame["models"] = [entry["model"] for entry in clean["sections"].get("best", {}).get("models", [])]
    return template.render(sections=bodies, script=Markup(script), script_hash=Markup(_csp_hash(script)), **frame)


def _section(environment: Environment, section: Section, record: Record, level: float) -> Record:
    """Lay one section out: its name, titles and body."""
    drawings = {
        name: Markup(_inline(to_svg(axes, f"{section.name}-{name}", title, DRAWING_NOTE)))
        for name, axes, title in section.draw(record)
    }
    blocks = environment.get_template("blocks.html.j2").module
    template = environment.from_string(section.template)
    body = template.render(section=record, drawing=drawings, level=level, blocks=blocks)
    title = record.get("title", section.title)
    return {"name": section.anchor or section.name, "title": title, "link": section.title, "body": Markup(body.strip())}


def write_page(summary: Summary, path: Path, force: bool = False) -> Path:
    """Write the page, whole or not at all.

    Args:
        summary: What `summarize` returned.
        path: HTML file to write; its folder is made.
        force: An existing file may be replaced.

    Returns:
        The file that was written.

    Raises:
        OutputError: The file exists and `force` is not set, or it cannot be written.
    """
    refuse_file(path, force=force)
    return write_text(path, render(summary), force=force)


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("capscope.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"fixed": fixed, "percent": percent, "count": count}
    return environment


def _source(environment: Environment, name: str) -> str:
    loader = environment.loader
    assert loader is not None
    return loader.get_source(environment, name)[0]


def _csp_hash(script: str) -> str:
    """Name a script by its hash, as content security policies do."""
    return f"sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}"


def _inline(svg: str) -> str:
    """Inside HTML an SVG element needs no namespace."""
    return svg.replace(' xmlns="http://www.w3.org/2000/svg"', "", 1)


def _clean(value: Any) -> Any:  # noqa: ANN401 - JSON values have many types
    """Replace the characters that HTML does not allow, in every text of a summary."""
    if isinstance(value, str):
        return _NOT_TEXT.sub("\ufffd", value)
    if isinstance(value, dict):
        return {_clean(key): _clean(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_clean(entry) for entry in value]
    return value


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

    Returns:
        The picture; notebooks show it.

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
