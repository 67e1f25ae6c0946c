"""Parse, call, print; one sub-command for each job, no logic."""

import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from capscope.cli.agree_command import agree
from capscope.cli.annotate_command import AnnotatorHelp, annotate
from capscope.cli.bank_command import bank_app
from capscope.cli.battery_command import battery_app
from capscope.cli.check_command import check
from capscope.cli.compare_command import compare
from capscope.cli.evaluate_command import AssessorHelp, EvaluationHelp, evaluate_assessors
from capscope.cli.explain_command import explain
from capscope.cli.export_command import ExportCommand, export
from capscope.cli.fit_command import fit
from capscope.cli.fuse_command import fuse_annotators
from capscope.cli.gate_command import gate_app
from capscope.cli.import_command import FormatGroup
from capscope.cli.judge_command import judge_app
from capscope.cli.output import discard_output, error_line, flush_output, write_error
from capscope.cli.plan_command import plan
from capscope.cli.predict_command import predict
from capscope.cli.profile_command import profile
from capscope.cli.report_command import demo, report, view
from capscope.cli.rubrics_command import check_rubric_folder, list_rubrics, show_rubric
from capscope.errors import CapscopeError, Interrupted, OutputError

HELP = {"help_option_names": ["-h", "--help"]}


class Application(TyperGroup):
    """The root command: turns Ctrl-C into an error with a message."""

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401 - the context class differs between versions of typer
        """Run the sub-command.

        Raises:
            Interrupted: Ctrl-C; what the command says of it, or a general advice.
        """
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as stop:
            raise Interrupted(str(stop) or "stopped by Ctrl-C; run the command again to start over") from None


app = typer.Typer(
    name="capscope",
    cls=Application,
    help="Item response theory and instance-level capability profiles for AI models.",
    no_args_is_help=True,
    add_completion=False,
    context_settings=HELP,
    pretty_exceptions_enable=False,
)
rubrics_app = typer.Typer(help="The rubric sets.", no_args_is_help=True, context_settings=HELP)
rubrics_app.command("list")(list_rubrics)
rubrics_app.command("show")(show_rubric)
rubrics_app.command("check")(check_rubric_folder)

import_app = typer.Typer(
    cls=FormatGroup, help="Make a study of other tools' files.", no_args_is_help=True, context_settings=HELP
)

app.command("demo")(demo)
app.add_typer(import_app, name="import")
app.command("export", cls=ExportCommand)(export)
app.command("check")(check)
app.add_typer(rubrics_app, name="rubrics")
app.command("annotate", cls=AnnotatorHelp)(annotate)
app.command("agree")(agree)
app.command("fuse")(fuse_annotators)
app.command("fit")(fit)
app.command("profile")(profile)
app.command("explain")(explain)
app.command("compare")(compare)
app.command("predict", cls=AssessorHelp)(predict)
app.command("evaluate", cls=EvaluationHelp)(evaluate_assessors)
app.add_typer(bank_app, name="bank")
app.add_typer(battery_app, name="battery")
app.add_typer(gate_app, name="gate")
app.add_typer(judge_app, name="judge")
app.command("plan")(plan)
app.command("report")(report)
app.command("view")(view)


@app.callback(invoke_without_command=True)
def root(
    version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the whole traceback of an error.")] = False,  # noqa: ARG001
) -> None:
    """Print the version if asked; `--debug` is read in `main`."""
    if version:
        from capscope import __version__

        typer.echo(__version__)
        raise typer.Exit


def main() -> None:
    """Run the command line: what a user can cause is one line on stderr, with its exit code.

    Exit codes: that of a `CapscopeError`; 1 where stdout is closed or full; 130 after Ctrl-C.
    """
    try:
        _run()
    except CapscopeError as error:
        if "--debug" in sys.argv[1:]:
            raise
        write_error(f"error: {error_line(error)}")
        sys.exit(error.exit_code)


def _run() -> None:
    """Run the application, and flush what it printed while an error can still be shown.

    Raises:
        OutputError: stdout is closed or full, or the system refused a file.
    """
    try:
        app()
    except OSError as error:
        discard_output()
        raise OutputError(f"{error.filename or 'stdout'}: cannot be read or written ({error.strerror})") from error
    finally:
        flush_output()
