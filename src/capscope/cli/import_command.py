"""``capscope import``: files of a format that is recognised, and one sub-command for each format of the family."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer
from typer.core import TyperGroup
from typer.main import get_group

from capscope.cli.options import AsJson, Force, StudyOut
from capscope.cli.output import emit

if TYPE_CHECKING:
    from capscope.data import Study
    from capscope.data.formats import Format, ImportReport
    from capscope.data.formats.format import Argument, Option

KINDS: dict[str, Any] = {"text": str | None, "texts": list[str] | None, "path": Path | None, "switch": bool}
"""Types of options on the command line."""
AUTO = "auto"
"""The sub-command that recognises the format; its name may be left out."""
FormatName = Annotated[str | None, typer.Option("--format", help="Name of the format, where it is not recognised.")]


class FormatGroup(TyperGroup):
    """A group whose commands are the formats; they are loaded when they are first asked for.

    Without the name of a format, the format is recognised.
    """

    @property
    def commands(self) -> dict[str, Any]:
        """Commands by name."""
        from capscope.data.formats import FORMATS

        app = typer.Typer(context_settings=dict(self.context_settings), add_completion=False)
        example = "Example: capscope import logs --out STUDY."
        app.command(AUTO, help=f"Any of these, recognised by the files; 'auto' may be left out. {example}")(
            _command(_auto_parameters(FORMATS.values()), _import_recognised)
        )
        for entry in FORMATS.values():
            app.command(
                entry.name, help=f"{entry.help} Example: capscope import {entry.name} {entry.example} --out STUDY."
            )(_command(_parameters(entry), lambda values, entry=entry: _import(entry, values)))
        return dict(get_group(app).commands)

    @commands.setter
    def commands(self, value: object) -> None:
        """Take no other commands than the formats."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401 - click's type, or Typer's copy of it
        """Put in the sub-command that recognises the format where none is named."""
        if args and args[0] not in ("-h", "--help", *self.commands):
            args = [AUTO, *args]
        return super().parse_args(ctx, args)


def _command(parameters: list[Parameter], run: Callable[[Mapping[str, Any]], None]) -> Callable[..., None]:
    """Return a command; Typer reads its parameters from the signature."""

    def command(**values: Any) -> None:  # noqa: ANN401 - the values of options that are known as data only
        run(values)

    typed = cast(Any, command)
    typed.__signature__ = Signature(parameters)
    typed.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return command


def _parameters(entry: "Format") -> list[Parameter]:
    return [
        *(_argument(argument) for argument in entry.arguments if argument.required),
        _required("out", StudyOut),
        *(_argument(argument) for argument in entry.arguments if not argument.required),
        *(_option(option, signature(entry.read).parameters[option.keyword].default) for option in entry.options),
        *_COMMON,
    ]


def _auto_parameters(formats: Iterable["Format"]) -> list[Parameter]:
    """Return the parameters of the import that recognises the format: the options of all formats."""
    options = {option.keyword: option for entry in formats for option in entry.options}
    paths = Annotated[list[Path], typer.Argument(help="Files, or folders of them.")]
    return [
        _required("paths", paths),
        _required("out", StudyOut),
        _optional("format", FormatName, None),
        *(_option(option, False if option.kind == "switch" else None) for option in options.values()),
        *_COMMON,
    ]


def _required(name: str, annotation: object) -> Parameter:
    return Parameter(name, Parameter.KEYWORD_ONLY, annotation=annotation)


def _optional(name: str, annotation: object, default: object) -> Parameter:
    return Parameter(name, Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


_COMMON = (_optional("force", Force, False), _optional("as_json", AsJson, False))


def _argument(argument: "Argument") -> Parameter:
    kind = list[Path] if argument.many else Path
    if argument.required:
        return _required(argument.name, Annotated[kind, typer.Argument(help=argument.help)])
    return _optional(argument.name, Annotated[kind | None, typer.Argument(help=argument.help)], None)


def _option(option: "Option", default: object) -> Parameter:
    kind = str if option.kind == "text" and default is not None else KINDS[option.kind]
    annotation = Annotated[kind, typer.Option(*option.names, help=option.help)]
    return _optional(option.keyword, annotation, None if option.kind == "texts" else default)


def _supplied() -> dict[str, Callable[..., object]]:
    """Return the functions of later rooms that a format may need, by the keyword of its `read`."""
    from capscope.annotate import parse_reply

    return {"read_level": lambda text, finish: parse_reply(text, finish).level}


def _import(entry: "Format", values: Mapping[str, Any]) -> None:
    """Refuse to overwrite anything before it is read, then read, save the study and print what became of it."""
    from capscope.data import refuse_overwriting
    from capscope.data.formats import FORMATS, read_format

    for option in entry.options:
        if option.excludes and values[option.keyword] and values[option.excludes]:
            other = next(other.name for other in entry.options if other.keyword == option.excludes)
            raise typer.BadParameter(f"{other} and {option.name} exclude each other")
    refuse_overwriting(values["out"], force=values["force"])
    options = {
        option.keyword: values[option.keyword] or () if option.kind == "texts" else values[option.keyword]
        for option in entry.options
    }
    if entry.supplied:
        options |= {keyword: _supplied()[keyword] for keyword in entry.supplied}
    study, report = read_format(FORMATS, entry.name, _paths(entry, values), options)
    _finish(study, report, values)


def _import_recognised(values: Mapping[str, Any]) -> None:
    """Recognise the format, read, save the study, and print what was taken, chosen and left."""
    from capscope.data import refuse_overwriting
    from capscope.data.formats import FORMATS, read_recognised
    from capscope.errors import nearest

    first = values["paths"][0]
    if not first.exists() and nearest(str(first), FORMATS):
        raise typer.BadParameter(f"no such format or file '{first}'{nearest(str(first), FORMATS)}")
    refuse_overwriting(values["out"], force=values["force"])
    names = {option.keyword: option.name for entry in FORMATS.values() for option in entry.options}
    options = {keyword: values[keyword] for keyword in names if values[keyword]}
    supplied = _supplied() if any(entry.supplied for entry in FORMATS.values()) else {}
    imported = read_recognised(FORMATS, values["paths"], options, supplied, values["format"])
    left = {why: [str(path) for path in files] for why, files in imported.recognised.left.items()}
    found = {"format": imported.recognised.format, "left": left, "taken": list(imported.remarks)}
    _finish(imported.study, imported.report, values, imported.remarks, found)


def _finish(
    study: "Study",
    report: "ImportReport",
    values: Mapping[str, Any],
    remarks: Sequence[str] = (),
    extra: Mapping[str, object] | None = None,
) -> None:
    from capscope.errors import first_few

    out = values["out"]
    study.save(out, force=values["force"])
    lines = [
        *remarks,
        f"{out}: {report.responses} responses of {report.models} models on {report.items} items,"
        f" {report.levels} demand levels",
        f"read {report.rows} rows from {first_few(report.sources)}",
        f"not administered: {report.not_administered}; demands without a level: {report.unrated}",
        *report.notes,
    ]
    emit({"study": str(out), **report.as_dict(), **(extra or {})}, values["as_json"], "\n".join(lines))


def _paths(entry: "Format", values: Mapping[str, Any]) -> list[Path]:
    """Return the paths of all arguments in their order."""
    given = [values[argument.name] for argument in entry.arguments]
    return [path for value in given for path in (value if isinstance(value, list) else [value] if value else [])]
