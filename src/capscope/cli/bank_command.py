"""``capscope bank build | add``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from capscope.cli.options import AsJson, Force, IdleSeed, Seed, StudyFolder
from capscope.cli.output import emit
from capscope.errors import counted

if TYPE_CHECKING:
    from capscope.battery import Bank

bank_app = typer.Typer(
    help="Item banks: profile new models without a fit.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@bank_app.command("build")
def build(
    study: StudyFolder,
    out: Annotated[Path, typer.Option("--out", help="Folder for the bank.")],
    dims: Annotated[int, typer.Option(min=0, max=12, help="Number of abilities; 0 chooses by the models.")] = 0,
    compact: Annotated[bool, typer.Option("--compact", help="Leave out past answers; half precision.")] = False,
    harness_tasks: Annotated[
        Path | None, typer.Option(help="JSON: the evaluation harness's names by 'benchmark/task' or 'benchmark'.")
    ] = None,
    seed: Seed = 0,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Fit a study's items and keep what profiles new models. Example: capscope bank build STUDY --out BANK."""
    from capscope.battery import Bank, read_harness_names

    names = read_harness_names(harness_tasks) if harness_tasks else {}
    bank = Bank.build(study, dims=dims, harness_tasks=names, seed=seed)
    (bank.compact() if compact else bank).save(out, force=force)
    _print_sizes(bank, out, as_json)


@bank_app.command("add")
def add(
    bank: Annotated[Path, typer.Argument(metavar="BANK", help="Bank folder.")],
    study: StudyFolder,
    out: Annotated[Path, typer.Option("--out", help="Folder for the larger bank.")],
    harness_tasks: Annotated[Path | None, typer.Option(help="JSON: names of the new tasks in the harness.")] = None,
    seed: IdleSeed = 0,  # noqa: ARG001 - one interface for all commands
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Bring a study's new items into a bank; old ones stay fixed. Example: capscope bank add BANK STUDY --out NEW."""
    from capscope.battery import Bank, read_harness_names

    names = read_harness_names(harness_tasks) if harness_tasks else {}
    grown = Bank.load(bank).add(study, harness_tasks=names)
    grown.save(out, force=force)
    _print_sizes(grown, out, as_json)


def _print_sizes(bank: "Bank", out: Path, as_json: bool) -> None:
    result = {
        "out": str(out),
        "n_items": len(bank.items),
        "n_models": len(bank.models),
        "n_benchmarks": len(bank.benchmarks),
        "dims": bank.posterior.dims,
    }
    items, benchmarks = counted(len(bank.items), "item"), counted(len(bank.benchmarks), "benchmark")
    past, abilities = counted(len(bank.models), "past model"), counted(bank.posterior.dims, "ability")
    emit(result, as_json, f"{items} of {benchmarks}, {past}, {abilities}\n{out}")
