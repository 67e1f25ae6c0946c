"""A battery in lm-evaluation-harness: document indices for `--samples`, and a group of tasks for `--tasks`."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from capscope.battery.banks.bank import Bank
from capscope.battery.selection import Battery
from capscope.data import Study
from capscope.data.formats import BATTERY_GROUP
from capscope.errors import InputError, counted, first_few
from capscope.files import refuse_file, refuse_folder, whole_folder, write_text

HARNESSES = ("lm-eval",)
"""Tools for which a battery can be written."""
GROUP = "group of tasks"
"""What a folder of `save_task_group` holds, for messages."""
CLASS_FILE, DOCUMENTS_FILE, GROUP_ENDING = "capscope_documents.py", "documents.json", ".yaml"
"""Files of a group of tasks."""
CLASS = '''"""Tasks of lm-evaluation-harness on the documents of a battery; written by 'capscope battery select'."""

import json
from itertools import islice
from pathlib import Path

from lm_eval.api.task import ConfigurableTask

DOCUMENTS = json.loads(Path(__file__).with_name("documents.json").read_text("utf-8"))


class DrawnDocuments(ConfigurableTask):
    """A task on some of its documents, which keep their numbers and hashes in the log of samples."""

    def __init__(self, config=None, **settings):
        config = {name: value for name, value in dict(config or {}).items() if name != "class"}
        if not (config.get("dataset_path") or config.get("custom_dataset")):
            raise ValueError(
                f"task '{config.get('task')}' is a Python class; run it with --samples, which 'capscope battery select'"
                " writes too"
            )
        super().__init__(config=config, **settings)
        self.drawn = DOCUMENTS[config["task"]]

    def doc_iterator(self, *, rank=0, limit=None, world_size=1, samples=None):
        """Yield the documents drawn, each with its number in the whole task."""
        documents = self.eval_docs
        if self.drawn[-1] >= len(documents):
            raise ValueError(
                f"task '{self.config.task}' has {len(documents)} documents and the battery asks for number"
                f" {self.drawn[-1]}; its data set is another version than the bank's"
            )
        numbers = islice(self.drawn, int(rank), int(limit) if limit else None, int(world_size))
        return ((number, documents[number]) for number in numbers)

    def build_all_requests(self, **settings):
        """Build the requests; they are not kept under the name of the whole task (--cache_requests)."""
        return super().build_all_requests(**(settings | {"cache_requests": False, "rewrite_requests_cache": False}))
'''
"""A module beside the group: the harness imports it, so that capscope need not be installed there."""


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
        return f"HarnessRun({counted(count, 'document')} of {len(self.samples)} tasks)"


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

    Returns:
        The tasks and the command that runs them.

    Raises:
        InputError: The source is not a bank, or does not know the documents.
        OutputError: The file exists and `force` is not set, or it cannot be written.
    """
    run = _run_of(source, battery, "--samples")
    write_text(Path(path), json.dumps(run.samples) + "\n", force=force, option="--samples")
    return run


def save_task_group(source: Study | Bank, battery: Battery, folder: str | Path, *, force: bool = False) -> str:
    """Write a battery as a group of tasks of lm-evaluation-harness: documents by number, without their texts.

    ``lm_eval --tasks NAME --include_path FOLDER --log_samples --output_path OUT`` runs it. Every task keeps its
    prompts, metrics and data set; its log names documents as the whole task does, so that it can be scored as it is.

    Args:
        source: The bank that the battery was drawn from.
        battery: The battery.
        folder: Folder to write.
        force: An existing group may be replaced.

    Returns:
        Name of the group, after the folder.

    Raises:
        InputError: The source is not a bank, or does not know the documents.
        OutputError: The folder exists and `force` is not set, holds something else, or cannot be written.
    """
    run, folder = _run_of(source, battery, "a group of tasks"), Path(folder)
    name = BATTERY_GROUP + re.sub(r"\W+", "_", folder.name)
    with whole_folder(folder, force=force, what=GROUP, holds=_is_of_group, option="--for") as scratch:
        write_text(scratch / f"{name}{GROUP_ENDING}", _group(name, run, battery))
        write_text(scratch / DOCUMENTS_FILE, json.dumps(run.samples) + "\n")
        write_text(scratch / CLASS_FILE, CLASS)
    return name


def refuse_harness_outputs(
    source: Study | Bank,
    batteries: Sequence[Battery],
    *,
    samples: Path | None = None,
    folders: Sequence[Path] = (),
    force: bool = False,
) -> None:
    """Refuse what `save_samples` and `save_task_group` would refuse, before anything of the batteries is written.

    Args:
        source: The bank that the batteries were drawn from.
        batteries: The batteries.
        samples: JSON file that is to be written; None for none.
        folders: Folders of groups of tasks that are to be written.
        force: Existing files and groups may be replaced.

    Raises:
        InputError: The source is not a bank, or does not know the documents.
        OutputError: A file or folder exists and `force` is not set, or it cannot be written.
    """
    if samples is not None:
        _run_of(source, batteries[0], "--samples")
        refuse_file(samples, force=force, option="--samples")
    for battery, folder in zip(batteries, folders, strict=False):
        _run_of(source, battery, "a group of tasks")
        refuse_folder(folder, force=force, what=GROUP, holds=_is_of_group, option="--for")


def _group(name: str, run: HarnessRun, battery: Battery) -> str:
    """Return the group in YAML; JSON texts are texts of YAML."""
    lines = [f"group: {name}", "task:"]
    for task, documents in run.samples.items():
        module = CLASS_FILE.removesuffix(".py")
        lines += [
            f"  - task: {json.dumps(task)}",
            f"    task_alias: {json.dumps(f'{task} ({len(documents)} drawn)')}",
            f"    class: !function {module}.DrawnDocuments",
        ]
    about = {"method": battery.method, "seed": battery.seed, "items": len(battery.items), "pool": battery.pool}
    return "\n".join([*lines, f"metadata: {json.dumps({'version': 1.0, 'capscope': about})}", ""])


def _is_of_group(name: str) -> bool:
    return name in (CLASS_FILE, DOCUMENTS_FILE, "__pycache__") or name.startswith(BATTERY_GROUP)


def _run_of(source: Study | Bank, battery: Battery, what: str) -> HarnessRun:
    if not isinstance(source, Bank):
        raise InputError(f"{what} needs the document indices of a bank; make one with 'capscope bank build'")
    return harness_run(source, battery.items)
