"""Arguments of lm-evaluation-harness that run only the documents of a battery."""

import json
from dataclasses import dataclass
from pathlib import Path

from capscope.battery.banks.bank import Bank
from capscope.battery.selection import Battery
from capscope.data import Study
from capscope.errors import InputError, first_few
from capscope.files import write_text


@dataclass(frozen=True)
class HarnessRun:
    """Documents by task."""

    samples: dict[str, list[int]]
    """Document indices by task, for ``--samples``."""

    @property
    def tasks(self) -> str:
        """Names of the tasks, for ``--tasks``."""
        return ",".join(self.samples)

    def __repr__(self) -> str:
        count = sum(len(documents) for documents in self.samples.values())
        return f"HarnessRun({count} documents of {len(self.samples)} tasks)"


def harness_run(bank: Bank, items: tuple[str, ...]) -> HarnessRun:
    """Return the run of lm-evaluation-harness that asks these items and no others.

    Args:
        bank: The bank, which knows the documents.
        items: Ids of the items.

    Raises:
        InputError: An item is not in the bank, or its document index is unknown.
    """
    places = bank.positions(items)
    unknown = [bank.items[place] for place in places if bank.document[place] < 0]
    if unknown:
        raise InputError(
            f"no document index for {first_few(unknown)}; give doc_index in the items table and build the bank again"
        )
    samples: dict[str, list[int]] = {}
    for place in places:
        samples.setdefault(bank.task[place], []).append(int(bank.document[place]))
    return HarnessRun({task: sorted(samples[task]) for task in sorted(samples)})


def save_samples(source: Study | Bank, battery: Battery, path: str | Path, *, force: bool = False) -> HarnessRun:
    """Write the document indices of a battery for lm-evaluation-harness.

    Args:
        source: The bank that the battery was drawn from.
        battery: The battery.
        path: JSON file to write.
        force: An existing file may be replaced.

    Raises:
        InputError: The source is not a bank, or does not know the documents.
        OutputError: The file exists and `force` is not set, or it cannot be written.
    """
    if not isinstance(source, Bank):
        raise InputError("--samples needs the document indices of a bank; make one with 'capscope bank build'")
    run = harness_run(source, battery.items)
    write_text(Path(path), json.dumps(run.samples) + "\n", force=force, option="--samples")
    return run
