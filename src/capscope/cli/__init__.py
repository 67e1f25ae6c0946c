"""The command line: commands parse options, call the Python API and print the result; they hold no other logic."""

import gc
import os
import sys
from copy import copy
from typing import Annotated

import typer

from capscope.cli.annotate_command import (
    AnnotatorHelp,
    agree,
    annotate,
    check_rubric_folder,
    fuse_annotators,
    ledger_app,
    list_rubrics,
    show_rubric,
)
from capscope.cli.battery_command import bank_app, battery_app
from capscope.cli.data_command import ExportCommand, FormatGroup, check, export, merge
from capscope.cli.failures_command import failures
from capscope.cli.forecast_command import forecast_app
from capscope.cli.gate_command import gate_app, plan
from capscope.cli.judge_command import judge_app
from capscope.cli.output import discard_output, error_line, flush_output, write_error
from capscope.cli.overview import HELP, Application
from capscope.cli.predict_command import AssessorHelp, EvaluationHelp, evaluate_assessors, predict
from capscope.cli.profile_command import compare, demo, explain, fit, profile, report, view
from capscope.cli.route_command import route_app
from capscope.errors import CapscopeError, OutputError

GARBAGE_THRESHOLD = 20_000
"""Allocations between two garbage collections: Python's default of 700 takes a tenth of the start-up time."""
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

app.command("demo", rich_help_panel="Data")(demo)
app.add_typer(import_app, name="import", rich_help_panel="Data")
app.command("merge", rich_help_panel="Data")(merge)
app.command("export", cls=ExportCommand, rich_help_panel="Data")(export)
app.command("check", rich_help_panel="Data")(check)
app.add_typer(rubrics_app, name="rubrics", rich_help_panel="Annotate")
app.command("annotate", cls=AnnotatorHelp, rich_help_panel="Annotate")(annotate)
app.add_typer(ledger_app, name="ledger", context_settings=HELP, rich_help_panel="Annotate")
app.command("agree", rich_help_panel="Annotate")(agree)
app.command("fuse", rich_help_panel="Annotate")(fuse_annotators)
app.command("failures", rich_help_panel="Annotate")(failures)
app.command("fit", rich_help_panel="Profile")(fit)
app.command("profile", rich_help_panel="Profile")(profile)
app.command("compare", rich_help_panel="Profile")(compare)
app.command("predict", cls=AssessorHelp, rich_help_panel="Predict")(predict)
app.command("evaluate", cls=EvaluationHelp, rich_help_panel="Predict")(evaluate_assessors)
app.add_typer(forecast_app, name="forecast", rich_help_panel="Predict")
app.add_typer(bank_app, name="bank", rich_help_panel="Batteries")
app.add_typer(battery_app, name="battery", rich_help_panel="Batteries")
app.add_typer(gate_app, name="gate", rich_help_panel="Decide")
app.add_typer(judge_app, name="judge", rich_help_panel="Decide")
app.command("plan", rich_help_panel="Decide")(plan)
app.add_typer(route_app, name="route", rich_help_panel="Decide")
app.command("explain", rich_help_panel="Explain")(explain)
app.command("report", rich_help_panel="Explain")(report)
app.command("view", hidden=True, rich_help_panel="Explain")(view)


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
    """Run the command line; an error that a user can cause becomes one line on stderr and an exit code.

    Exit codes: that of a `CapscopeError`; 1 where stdout is closed or full; 130 after Ctrl-C.
    """
    gc.set_threshold(GARBAGE_THRESHOLD)
    try:
        _run()
    except CapscopeError as error:
        if "--debug" in sys.argv[1:]:
            raise
        write_error(f"error: {error_line(error)}")
        sys.exit(error.exit_code)


def _with_one_verb(arguments: list[str]) -> typer.Typer:
    """Return the application reduced to the verb in the arguments: building all verbs takes as long as a small job.

    Args:
        arguments: Arguments of the command line; without a known verb the application is returned unchanged.
    """
    verb = next((word for word in arguments if not word.startswith("-")), "")
    commands = [command for command in app.registered_commands if command.name == verb]
    groups = [group for group in app.registered_groups if group.name == verb]
    if not commands and not groups:
        return app
    one = copy(app)
    one.registered_commands, one.registered_groups = commands, groups
    return one


def _run() -> None:
    """Run the application, then flush stdout, so that a failure to write is still reported.

    Raises:
        OutputError: stdout is closed or full, or the system refused a file.
    """
    try:
        _with_one_verb(sys.argv[1:])()
    except BrokenPipeError:
        discard_output()
        sys.exit(1)
    except OSError as error:
        discard_output()
        raise OutputError(_refusal(error)) from error
    finally:
        flush_output()


def _refusal(error: OSError) -> str:
    """Say what the system refused: a file that it names, the working folder where that is gone, or stdout."""
    reason = error.strerror or str(error) or type(error).__name__
    try:
        os.getcwd()
    except OSError:
        return f"the working folder is gone ({reason}); change to a folder that is there"
    return f"{error.filename or 'stdout'}: cannot be read or written ({reason})"
