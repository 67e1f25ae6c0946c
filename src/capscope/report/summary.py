"""Everything that a page shows, as one plain dict; nothing is rounded here."""

from capscope.report.plain import Record, Summary, bounded, fixed, percent, plain
from capscope.report.section import PageSource
from capscope.report.sections import SECTIONS


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
