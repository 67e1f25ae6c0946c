"""What an import did, in numbers."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from capscope.data.study import Study, sha256_of


@dataclass(frozen=True)
class ImportReport:
    """What was read, what became of it, and what was left out on request."""

    rows: int
    """Rows of all tables read."""
    responses: int
    """Responses of the study."""
    models: int
    """Models with at least one response."""
    items: int
    """Items of the study: described, or answered at least once."""
    levels: int
    """Demand levels of the study."""
    not_administered: int
    """Cells that were empty or held a value that stands for "not administered"; they are no responses."""
    unrated: int
    """Cells of demand columns without a level."""
    sources: tuple[str, ...]
    """Names of the files read."""
    notes: tuple[str, ...] = ()
    """What a reader of the numbers should know: how many records were not scored and why, logs that are unfinished."""

    def as_dict(self) -> dict[str, object]:
        """Return plain values."""
        return asdict(self)


def report_on(
    study: Study,
    rows: int,
    not_administered: int,
    unrated: int,
    sources: list[Path],
    notes: tuple[str, ...] = (),
) -> ImportReport:
    """Count what a study holds, beside what its import has counted."""
    responses, items = study.responses, study.items
    described = set(items["item_id"]) if items is not None else set[str]()
    answered = set(responses["item_id"].cat.categories) if responses is not None else set[str]()
    return ImportReport(
        rows,
        0 if responses is None else len(responses),
        0 if responses is None else responses["model"].nunique(),
        len(described | answered),
        0 if study.demands is None else len(study.demands),
        not_administered,
        unrated,
        tuple(path.name for path in sources),
        notes,
    )


def provenance(name: str, sources: list[Path]) -> dict[str, Any]:
    """Say for `study.json` which files a study was imported from, with their hashes."""
    return {"format": name, "files": [{"name": path.name, "sha256": sha256_of(path)} for path in sources]}
