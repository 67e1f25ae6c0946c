"""``capscope agree`` and ``fuse``."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from capscope.cli.output import emit
from capscope.errors import counted

if TYPE_CHECKING:
    from capscope.annotate import AnnotatorAgreement


def agree(
    study: Annotated[Path, typer.Argument(help="Study folder with demands by two annotators or more.")],
    reference: Annotated[str, typer.Option(help="Annotator that the others are compared with.")],
    seed: Annotated[int, typer.Option(help="Seed of the shuffles that show what unrelated ids would give.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure how annotators agree, by rubric. Example: capscope agree STUDY --reference gpt-4o."""
    from capscope.annotate import agreement

    result = agreement(study, reference, seed=seed)
    texts = [_table(name, entry) for name, entry in result.annotators.items()]
    emit(result.as_dict(), as_json, "\n\n".join(texts))


def _table(name: str, entry: "AnnotatorAgreement") -> str:
    head = f"{name} ({counted(entry.items, 'item')})"
    lines = [f"{head:<24}    qwk  alpha    rho  rho in benchmark   r_wg  exact"]
    for code, row in [*entry.by_rubric.items(), ("mean", entry)]:
        lines.append(
            f"{code:<24} {row.qwk:6.3f} {row.alpha:6.3f} {row.spearman:6.3f} {row.spearman_within_benchmark:17.3f}"
            f" {row.r_wg:6.3f} {row.exact:6.3f}"
        )
    return "\n".join([*lines, *[f"warning: {warning}" for warning in entry.warnings]])


def fuse_annotators(
    study: Annotated[Path, typer.Argument(help="Study folder with demands by two annotators or more.")],
    annotators: Annotated[str, typer.Option(help="Whose labels enter, comma separated; by default all.")] = "",
    replace: Annotated[bool, typer.Option(help="Drop fused labels of other versions of the rubrics.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Fuse annotators into one level with its uncertainty. Example: capscope fuse STUDY."""
    from capscope.annotate import fuse

    fusion = fuse(study, tuple(name.strip() for name in annotators.split(",") if name.strip()))
    fusion.write(study, replace=replace)
    traits = [asdict(trait) for trait in fusion.traits]
    lines = [
        f"{t.rubric:<8} {t.annotator:<24} severity {t.severity:+.2f} width {t.width:.2f} ({counted(t.items, 'item')})"
        for t in fusion.traits
    ]
    emit({"labels": len(fusion.labels), "annotators": traits}, as_json, "\n".join(lines))
