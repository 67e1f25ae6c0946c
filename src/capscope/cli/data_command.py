"""``capscope import``, with one sub-command for each format of the family, ``merge``, ``export`` and ``check``."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer
from typer.core import TyperCommand
from typer.main import get_group

from capscope.cli.options import AsJson, DefaultCommandGroup, Force, IdleSeed, StudyFolder, StudyOut
from capscope.cli.output import emit
from capscope.errors import counted

if TYPE_CHECKING:
    import pandas as pd

    from capscope.data import Study
    from capscope.data.formats import Format, ImportReport
    from capscope.data.formats.format import Argument, Option

KINDS: dict[str, Any] = {"text": str | None, "texts": list[str] | None, "path": Path | None, "switch": bool}
"""Python type of each kind of `Option`."""
AUTO = "auto"
"""The sub-command that recognises the format; its name may be left out."""
FILES_NAMED = 4
"""Most files of an export that are listed by name."""
Into = Annotated[Path | None, typer.Option("--into", help="Study folder to add to: its tables keep their format.")]
Rename = Annotated[
    Path | None, typer.Option("--rename", help="Table of new model names: columns from, to; scaffold, effort.")
]
Repeats = Annotated[
    str,
    typer.Option(
        "--repeats", help="Where several studies have answers of a model to an item: error, latest, mean, all."
    ),
]
FormatName = Annotated[
    str | None, typer.Option("--format", help="The one format to take; by default all that are recognised.")
]


class FormatGroup(DefaultCommandGroup):
    """A group with one command for each format; formats are imported at first use.

    The first command, which is the default, recognises the format.
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
        """Ignore the commands that Typer assigns."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401 - click's type, or Typer's copy of it
        """Take the name of a format for a path where such a file or folder is there and no other path follows."""
        entry = self.commands.get(args[0]) if args else None
        if entry is not None and args[0] != AUTO and Path(args[0]).exists() and _lacks_paths(entry, args[1:]):
            args = [AUTO, *args]
        return super().parse_args(ctx, args)


def _lacks_paths(command: Any, args: list[str]) -> bool:  # noqa: ANN401 - click's type, or Typer's copy of it
    """Return whether a command's arguments hold options alone, and no call for help."""
    parser = command.make_parser(command.context_class(command, resilient_parsing=True))
    parser.ignore_unknown_options = True
    values, others, _ = parser.parse_args(list(args))
    named = [values.get(parameter.name) for parameter in command.params if parameter.param_type_name == "argument"]
    return not others and not any(named) and not values.get("help")


def _command(parameters: list[Parameter], run: Callable[[Mapping[str, Any]], None]) -> Callable[..., None]:
    """Return a function with these parameters in its signature, where Typer reads them."""

    def command(**values: Any) -> None:  # noqa: ANN401 - the values of options that are known as data only
        run(values)

    typed = cast(Any, command)
    typed.__signature__ = Signature(parameters)
    typed.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return command


def _parameters(entry: "Format") -> list[Parameter]:
    return [
        *(_argument(argument) for argument in entry.arguments if argument.required),
        *_TARGETS,
        *(_argument(argument) for argument in entry.arguments if not argument.required),
        *(_option(option, signature(entry.read).parameters[option.keyword].default) for option in entry.options),
        *([] if any(option.keyword == "runs" for option in entry.options) else [_optional("runs", Repeats, "error")]),
        *_COMMON,
    ]


def _auto_parameters(formats: "Iterable[Format]") -> list[Parameter]:
    """Return the parameters of `import auto`: the options of all formats."""
    options = {option.keyword: option for entry in formats for option in entry.options}
    paths = Annotated[list[Path], typer.Argument(help="Files, or folders of them.")]
    return [
        _required("paths", paths),
        *_TARGETS,
        _optional("format", FormatName, None),
        *(_option(option, False if option.kind == "switch" else None) for option in options.values()),
        *_COMMON,
    ]


def _required(name: str, annotation: object) -> Parameter:
    return Parameter(name, Parameter.KEYWORD_ONLY, annotation=annotation)


def _optional(name: str, annotation: object, default: object) -> Parameter:
    return Parameter(name, Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


_COMMON = (
    _optional("rename", Rename, None),
    _optional("force", Force, False),
    _optional("seed", IdleSeed, 0),
    _optional("as_json", AsJson, False),
)
_TARGETS = (_optional("out", StudyOut | None, None), _optional("into", Into, None))


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
    """Return the functions of later rooms that a format's `read` takes by keyword."""
    from capscope.annotate import parse_reply

    return {"read_level": lambda text, finish: parse_reply(text, finish).level}


def _import(entry: "Format", values: Mapping[str, Any]) -> None:
    """Check the output path, read the files, save the study and print the report."""
    from capscope.data.formats import FORMATS, read_format

    for option in entry.options:
        if option.excludes and values[option.keyword] and values[option.excludes]:
            other = next(other.name for other in entry.options if other.keyword == option.excludes)
            raise typer.BadParameter(f"{other} and {option.name} exclude each other")
    _refuse_target(values)
    options = {
        option.keyword: values[option.keyword] or () if option.kind == "texts" else values[option.keyword]
        for option in entry.options
    }
    if entry.supplied:
        options |= {keyword: _supplied()[keyword] for keyword in entry.supplied}
    study, report = read_format(FORMATS, entry.name, _paths(entry, values), options)
    _finish(study, report, values)


def _import_recognised(values: Mapping[str, Any]) -> None:
    """Recognise the formats, read the files, save the study and print the report."""
    from capscope.data.formats import FORMATS, read_recognised
    from capscope.errors import nearest

    first = values["paths"][0]
    if not first.exists() and nearest(str(first), FORMATS):
        raise typer.BadParameter(f"no such format or file '{first}'{nearest(str(first), FORMATS)}")
    _refuse_target(values)
    names = {option.keyword for entry in FORMATS.values() for option in entry.options} - {"runs"}
    options = {keyword: values[keyword] for keyword in sorted(names) if values[keyword]}
    supplied = {**_supplied(), **({"runs": values["runs"]} if values["runs"] else {})}
    imported = read_recognised(FORMATS, values["paths"], options, supplied, values["format"])
    left = {why: [str(path) for path in files] for why, files in imported.recognised.left.items()}
    each = {name: report.as_dict() for name, report in imported.by_format.items()}
    summary = {"format": imported.recognised.format, "left": left, "taken": list(imported.remarks), "formats": each}
    _finish(imported.study, imported.report, values, imported.remarks, summary)


def _refuse_target(values: Mapping[str, Any]) -> None:
    """Refuse an output that exists, or an --into study that does not."""
    from capscope.data import read_study, refuse_overwriting

    if (values["out"] is None) == (values["into"] is None):
        raise typer.BadParameter("give the study folder to write with --out, or the one to add to with --into")
    if values["out"] is not None:
        refuse_overwriting(values["out"], force=values["force"])
    else:
        read_study(values["into"])


def _finish(
    study: "Study",
    report: "ImportReport",
    values: Mapping[str, Any],
    remarks: Sequence[str] = (),
    extra: Mapping[str, object] | None = None,
) -> None:
    """Write the study, or add it to another, and print the report."""
    from capscope.errors import counted_names

    target, notes, added = _written(study, values, "latest" if extra else "error")
    lines = [
        *remarks,
        f"{target}: {'added ' if values['into'] else ''}{_counts(replace(report, **added))}",
        f"read {counted(report.rows, 'row')} from {counted_names(report.sources)}",
        *_left_out(report),
        *report.notes,
        *notes,
    ]
    result = {"study": str(target), **report.as_dict(), **(extra or {})}
    result["notes"] = [*report.notes, *notes]
    emit(result, values["as_json"], "\n".join(lines))


def _written(study: "Study", values: Mapping[str, Any], usual: str) -> tuple[Path, tuple[str, ...], Mapping[str, int]]:
    """Save the study, or add it to the one named by --into; return the folder, remarks, and the rows that it gained."""
    from capscope.data import Study
    from capscope.data.formats import merge_studies, read_parts, read_renames

    names = read_renames(values["rename"]) if values["rename"] else {}
    parts = read_parts(values["rename"]) if values["rename"] else {}
    out, into = values["out"], values["into"]
    repeats: Any = values.get("runs") or usual
    if out is not None:
        merged = merge_studies([study], "error" if repeats == "latest" else repeats, names, parts) if names else None
        (merged.study if merged else study).save(out, force=values["force"])
        return out, merged.notes if merged else (), {}
    notes: list[str] = []
    added: dict[str, int] = {}

    def add(old: "Study") -> "Study":
        merged = merge_studies([old, study], repeats, names, parts)
        notes.extend(merged.notes)
        after = merged.study
        added.update(responses=_gain(old.responses, after.responses), levels=_gain(old.demands, after.demands))
        return merged.study

    Study.update(into, add)
    return into, tuple(notes), added


def _gain(before: "pd.DataFrame | None", after: "pd.DataFrame | None") -> int:
    """Return the number of rows that a table gained."""
    return (0 if after is None else len(after)) - (0 if before is None else len(before))


def merge(
    studies: Annotated[list[Path], typer.Argument(metavar="STUDY...", help="Study folders, the earliest run first.")],
    out: StudyOut,
    repeats: Repeats = "error",
    rename: Rename = None,
    force: Force = False,
    seed: IdleSeed = 0,  # noqa: ARG001 - one interface for all commands
    as_json: AsJson = False,
) -> None:
    """Join studies into one: the same item ids have to be the same items.

    Example: capscope merge openllm mine --out both --rename models.csv --repeats latest
    """
    from capscope.data import read_study, refuse_overwriting
    from capscope.data.formats import merge_studies, read_parts, read_renames

    refuse_overwriting(out, force=force)
    names = read_renames(rename) if rename else {}
    parts = read_parts(rename) if rename else {}
    merged = merge_studies([read_study(folder) for folder in studies], cast(Any, repeats), names, parts)
    merged.study.save(out, force=force)
    sizes = {str(table): len(frame) for table, frame in merged.study.tables().items()}
    if merged.study.responses is not None:
        sizes["models"] = merged.study.responses["model"].nunique()
    lines = [f"{out}: {', '.join(f'{count} {name}' for name, count in sizes.items())}", *merged.notes]
    emit({"study": str(out), **sizes, "notes": list(merged.notes)}, as_json, "\n".join(lines))


def _counts(report: "ImportReport") -> str:
    """Return the numbers of imported rows; empty tables are omitted."""
    answers = (
        f"{counted(report.responses, 'response')} of {counted(report.models, 'model')}"
        f" on {counted(report.items, 'item')}"
    )
    parts = [answers] if report.responses or report.items else []
    parts += [f"{report.levels} demand levels"] if report.levels or not parts else []
    return ", ".join(parts)


def _left_out(report: "ImportReport") -> list[str]:
    """Return lines on rows of the files that are neither answers nor levels."""
    counts = {"not administered": report.not_administered, "demands without a level": report.unrated}
    return ["; ".join(f"{what}: {count}" for what, count in counts.items() if count)] if any(counts.values()) else []


def _paths(entry: "Format", values: Mapping[str, Any]) -> list[Path]:
    """Return the paths of all arguments in their order."""
    given = [values[argument.name] for argument in entry.arguments]
    return [path for value in given for path in (value if isinstance(value, list) else [value] if value else [])]


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


class ExportCommand(TyperCommand):
    """The export command; its help lists the formats that can be written, which are imported when help is shown."""

    def format_help(self, ctx: Any, formatter: Any) -> None:  # noqa: ANN401 - of click, or of the copy of it in Typer
        """Write the help."""
        for parameter in self.params:
            if parameter.name == "format":
                parameter.help = f"{', '.join(_able())}."  # pyright: ignore[reportAttributeAccessIssue]
        super().format_help(ctx, formatter)


def _able() -> list[str]:
    """Return the names of the formats that can be written."""
    from capscope.data.formats import FORMATS

    return [name for name, entry in FORMATS.items() if entry.write]


def _written_files(out: Path, files: Sequence[str]) -> str:
    """Name the files that were written; many files of a folder are counted."""
    return f"{out} ({counted(len(files), 'file')})" if len(files) > FILES_NAMED else ", ".join(files)


def export(
    format: Annotated[str, typer.Argument(metavar="FORMAT", help="Format to write.")],
    study: Annotated[Path, typer.Argument(metavar="STUDY", help="Study folder.")],
    out: Annotated[Path, typer.Option("--out", help="File to write; for torch-measure and every-eval-ever a folder.")],
    force: Force = False,
    seed: IdleSeed = 0,  # noqa: ARG001 - one interface for all commands
    as_json: AsJson = False,
) -> None:
    """Write a study's responses for another tool. Example: capscope export pyirt STUDY --out data.jsonlines."""
    from capscope.data import Study
    from capscope.data.formats import FORMATS, export_study
    from capscope.errors import nearest

    if format not in _able():
        raise typer.BadParameter(f"no format '{format}'{nearest(format, _able())}; one of {', '.join(_able())}")
    report = export_study(FORMATS, format, Study.load(study), out, force=force)
    lines = [
        (
            f"{_written_files(out, report.files)}: {counted(report.responses, 'response')} of"
            f" {counted(report.models, 'model')} on {counted(report.items, 'item')}"
        ),
        f"left behind, for the format has no place for it: {', '.join(report.left_behind) or 'nothing'}",
    ]
    emit(report.as_dict(), as_json, "\n".join(lines))
