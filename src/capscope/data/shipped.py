"""Find what travels with the package: rubric sets, published artifacts, the example questions."""

from pathlib import Path

from capscope.errors import InputError


def shipped(name: str) -> Path:
    """Return the path of a shipped file or folder, such as ``rubrics/general``.

    A wheel carries these under ``capscope/shipped``; in an editable install they stand at the top of the checkout.

    Raises:
        InputError: Neither place has it.
    """
    package = Path(__file__).resolve().parents[1]
    for place in (package / "shipped" / name, package.parents[1] / name):
        if place.exists():
            return place
    raise InputError(f"'{name}' is not shipped with this capscope; reinstall it")
