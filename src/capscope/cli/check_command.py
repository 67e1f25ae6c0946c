"""``capscope check``."""

from typing import TYPE_CHECKING

from capscope.cli.options import AsJson, IdleSeed, StudyFolder
from capscope.cli.output import emit
from capscope.errors import counted

if TYPE_CHECKING:
    from capscope.data import StudyCheck


def check(
    study: StudyFolder,
    seed: IdleSeed = 0,  # noqa: ARG001 - one interface for all commands
    as_json: AsJson = False,
) -> None:
    """Validate a study, join its tables and say what is odd. Example: capscope check STUDY."""
    from capscope.data import Study, check_study

    checked = check_study(Study.load(study))
    emit(checked.as_dict(), as_json, _text(checked))


def _text(checked: "StudyCheck") -> str:
    sizes = ", ".join(counted(count, name.replace("_", " ").removesuffix("s")) for name, count in checked.sizes.items())
    lines = [f"{checked.study}: {sizes}"]
    lines += [f"{join.share:.1%} of the item ids in {join.table} are in {join.other}" for join in checked.joins]
    lines += [f"design: {remark}" for remark in checked.design]
    lines += [f"odd: {remark}" for remark in checked.odd]
    return "\n".join(lines if checked.odd else [*lines, "nothing is odd"])
