"""Names and families of scales, in one order on all pages."""

from capscope.annotate import RubricSet
from capscope.report.plain import Record


def scale_names(dims: tuple[str, ...], rubrics: RubricSet) -> list[Record]:
    """Name the scales and their families in the rubric set's order; a code that it lacks stands for itself, last."""
    known = [code for code in rubrics.codes if code in dims]
    named = [{"dim": code, "name": rubrics.get(code).name, "family": rubrics.family(code)} for code in known]
    return named + [{"dim": dim, "name": dim, "family": ""} for dim in dims if dim not in known]
