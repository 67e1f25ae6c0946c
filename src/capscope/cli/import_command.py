"""``capscope import``: one sub-command for each format of the family, made from its entry."""

from collections.abc import Callable, Mapping
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer
from typer.core import TyperGroup
from typer.main import get_group

from capscope.cli.options import AsJson, Force, StudyOut
from capscope.cli.output import emit

if TYPE_CHECKING:
    from capscope.data.formats import Format
    from capscope.data.formats.format import Argument, Option

KINDS: dict[str, Any] = {"text": str | None, "texts": list[str] | None, "path": Path | None, "switch": bool}
"""Types of options on the command line."""


class FormatGroup(TyperGroup):
    """A group whose commands are the formats; they are loaded when they are first asked for."""

    @property
    def commands(self) -> dict[str, Any]:
        """Commands by name."""
        from capscope.data.formats import FORMATS

        app = typer.Typer(context_settings=dict(self.context_settings), add_completion=False)
        for entry in FORMATS.values():
            app.command(
                entry.name, help=f"{entry.help} Example: capscope import {entry.name} {entry.example} --out STUDY."
            )(_command(entry))
        return dict(get_group(app).commands)

    @commands.setter
    def commands(self, value: object) -> None:
        """Take no other commands than the formats."""


def _command(entry: "Format") -> Callable[..., None]:
    """Return the command of a format; Typer reads its parameters from the signature."""

    def command(**values: Any) -> None:  # noqa: ANN401 - the values of options that are known as data only
        _import(entry, values)

    parameters = [
        *(_argument(argument) for argument in entry.arguments if argument.required),
        _required("out", StudyOut),
        *(_argument(argument) for argument in entry.arguments if not argument.required),
        *(_option(option, signature(entry.read).parameters[option.keyword].default) for option in entry.options),
        _optional("force", Force, False),
        _optional("as_json", AsJson, False),
    ]
    typed = cast(Any, command)
    typed.__signature__ = Signature(parameters)
    typed.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return command


def _required(name: str, annotation: object) -> Parameter:
    return Parameter(name, Parameter.KEYWORD_ONLY, annotation=annotation)


def _optional(name: str, annotation: object, default: object) -> Parameter:
    return Parameter(name, Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _argument(argument: "Argument") -> Parameter:
    kind = list[Path] if argument.many else Path
    if argument.required:
        return _required(argument.name, Annotated[kind, typer.Argument(help=argument.help)])
    return _optional(argument.name, Annotated[kind | None, typer.Argument(help=argument.help)], None)


def _option(option: "Option", default: object) -> Parameter:
    kind = str if option.kind == "text" and default is not None else KINDS[option.kind]
    annotation = Annotated[kind, typer.Option(option.name, help=option.help)]
    return _optional(option.keyword, annotation, None if option.kind == "texts" else default)


def _supplied() -> dict[str, Callable[..., object]]:
    """Return the functions of later rooms that a format may need, by the keyword of its `read`."""
    from capscope.annotate import parse_reply

    return {"read_level": lambda text, finish: parse_reply(text, finish).level}


def _import(entry: "Format", values: Mapping[str, Any]) -> None:
    """Refuse to overwrite anything before it is read, then read, save the study and print what became of it."""
    from capscope.data import refuse_overwriting
    from capscope.data.formats import FORMATS, read_format
    from capscope.errors import first_few

    for option in entry.options:
        if option.excludes and values[option.keyword] and values[option.excludes]:
            other = next(other.name for other in entry.options if other.keyword == option.excludes)
            raise typer.BadParameter(f"{other} and {option.name} exclude each other")
    out, force = values["out"], values["force"]
    refuse_overwriting(out, force=force)
    options = {
        option.keyword: values[option.keyword] or () if option.kind == "texts" else values[option.keyword]
        for option in entry.options
    }
    if entry.supplied:
        options |= {keyword: _supplied()[keyword] for keyword in entry.supplied}
    study, report = read_format(FORMATS, entry.name, _paths(entry, values), options)
    study.save(out, force=force)
    lines = [
        f"{out}: {report.responses} responses of {report.models} models on {report.items} items,"
        f" {report.levels} demand levels",
        f"read {report.rows} rows from {first_few(report.sources)}",
        f"not administered: {report.not_administered}; demands without a level: {report.unrated}",
        *report.notes,
    ]
    emit({"study": str(out), **report.as_dict()}, values["as_json"], "\n".join(lines))


def _paths(entry: "Format", values: Mapping[str, Any]) -> list[Path]:
    """Return the paths of all arguments in their order."""
    given = [values[argument.name] for argument in entry.arguments]
    return [path for value in given for path in (value if isinstance(value, list) else [value] if value else [])]
