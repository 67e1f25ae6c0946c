"""Families of models: which share a base model, from a table, or guessed from names where that is asked for."""

import re
from collections.abc import Sequence
from pathlib import Path

from capscope.data.columns import as_identifier
from capscope.data.reading import SUFFIXES, read_table
from capscope.errors import InputError

FROM_NAMES = "names"
"""Says that families are to be guessed from the models' names."""
BASES = (
    *("llama-?3", "llama-?2", "llama", "mixtral", "mistral", "qwen", "gemma", "phi", "falcon", "solar", "deepseek"),
    *("gpt", "claude", "gemini", "command", "olmo", "internlm", "stablelm", "mpt", "pythia", "bloom", "granite"),
    *("smollm", "jamba", "dbrx", "yi", "baichuan", "glm", "starcoder", "nemotron", "grok", "kimi"),
)
"""Words in a name that tell the base model, the more special before the more general."""


def read_families(path: Path) -> dict[str, str]:
    """Read a table with columns `model` and `family`.

    Raises:
        InputError: The file cannot be read, lacks a column, or gives a model two families.
    """
    table = read_table(path)
    missing = [column for column in ("model", "family") if column not in table]
    if missing:
        raise InputError(f"{path}: column '{missing[0]}' is missing; families need the columns model and family")
    model = as_identifier(table["model"], "model", str(path)).astype(str)
    family = as_identifier(table["family"], "family", str(path)).astype(str)
    found: dict[str, str] = {}
    for name, group in zip(model, family, strict=True):
        if found.setdefault(name, group) != group:
            raise InputError(f"{path}: model '{name}' has two families, '{found[name]}' and '{group}'; keep one")
    return found


def families_of(models: Sequence[str], source: str | None, study_folder: Path) -> dict[str, str] | None:
    """Find the families of a study's models.

    Args:
        models: Names of the models.
        source: A file, `names` to guess from the names, or None to look for a models table in the study's folder.
        study_folder: Where such a table may stand: `models.csv` or another readable file of that name.

    Returns:
        Family by model; None where nothing says so.

    Raises:
        InputError: The file cannot be read.
    """
    if source == FROM_NAMES:
        return {model: family_by_name(model) for model in models}
    if source is not None:
        return read_families(Path(source))
    for path in (study_folder / f"models{suffix}" for suffix in SUFFIXES):
        if path.is_file() and "family" in read_table(path):
            return read_families(path)
    return None


def family_by_name(model: str) -> str:
    """Guess a family: the base model named, else the organisation before the first slash, else the name itself."""
    for base in BASES:
        if re.search(rf"(?<![a-z]){base}", model.lower()):
            return base.replace("-?", "-")
    return re.split(r"/|__", model, maxsplit=1)[0].lower()
