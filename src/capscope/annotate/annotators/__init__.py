"""The family of annotators.

To add one, write a module with an `AnnotatorEntry` and add one line to `FAMILY`.
"""

from capscope.annotate.annotator import AnnotatorEntry
from capscope.errors import InputError, nearest
from capscope.members import family

FAMILY = (
    "chat:ENTRY",
    "batch:ENTRY",
    "local:ENTRY",
)
"""The members, as ``module:entry``, in the order in which they are listed."""

ANNOTATORS: dict[str, AnnotatorEntry] = family(__name__, FAMILY, AnnotatorEntry)
"""Annotators by the word before the colon, as in ``openai:MODEL``."""


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
