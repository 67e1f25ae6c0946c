"""Parse, call, print; one sub-command for each job, no logic."""

import sys

import typer

from capscope.cli.check_command import check
from capscope.cli.import_command import import_adele_command, import_tidy_command
from capscope.errors import CapscopeError

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
import_app = typer.Typer(no_args_is_help=True, help="Make a study of the tables of other tools.")
import_app.command("tidy")(import_tidy_command)
import_app.command("adele")(import_adele_command)
app.add_typer(import_app, name="import")
app.command("check")(check)


@app.callback()
def root() -> None:
    """Item response theory and instance-level capability profiles for AI models."""


def main() -> None:
    """Run the command line; an error on purpose is one line on stderr and its exit code."""
    try:
        app()
    except CapscopeError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(error.exit_code)
