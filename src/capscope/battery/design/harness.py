"""The arguments that lm-evaluation-harness takes to run just the documents of a battery."""

from dataclasses import dataclass

from capscope.battery.banks.bank import Bank
from capscope.errors import InputError, first_few


@dataclass(frozen=True)
class HarnessRun:
    """Documents by task."""

    samples: dict[str, list[int]]
    """Document indices by task, for ``--samples``."""

    @property
    def tasks(self) -> str:
        """Names of the tasks, for ``--tasks``."""
        return ",".join(self.samples)


def harness_run(bank: Bank, items: tuple[str, ...]) -> HarnessRun:
    """The run of lm-evaluation-harness that asks these items and no others.

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
