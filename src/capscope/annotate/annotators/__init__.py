"""The family of annotators. To add one: a module with an `AnnotatorEntry`, and one line in `ANNOTATORS`."""

from capscope.annotate.annotator import AnnotatorEntry
from capscope.annotate.annotators import batch, chat, local
from capscope.errors import InputError, nearest

ANNOTATORS: dict[str, AnnotatorEntry] = {
    entry.name: entry
    for entry in (
        chat.ENTRY,
        batch.ENTRY,
        local.ENTRY,
    )
}
"""All annotators by the word before the colon."""


def usages() -> str:
    """Return how each annotator is named on the command line."""
    return ", ".join(entry.usage for entry in ANNOTATORS.values())


def parse_annotator(text: str) -> tuple[AnnotatorEntry, str]:
    """Split ``openai:MODEL``, ``batch:MODEL`` or ``local`` into its entry and the model, empty where none is named.

    Args:
        text: The text of the option.

    Returns:
        The entry and the name of the model.

    Raises:
        InputError: There is no such annotator, or its model is missing.
    """
    name, _, model = text.partition(":")
    entry = ANNOTATORS.get(name.strip())
    if entry is None:
        raise InputError(f"--annotator {text}: no such annotator{nearest(name, ANNOTATORS)}; use one of {usages()}")
    model = model.strip()
    if bool(model) != ("model" in entry.needs):
        raise InputError(f"--annotator {text}: write {entry.usage}")
    return entry, model
