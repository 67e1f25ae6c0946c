"""Print results: JSON alone on stdout when asked for, else text."""

import json
import sys


def emit(result: dict[str, object], as_json: bool, text: str) -> None:
    """Print a result.

    Args:
        result: Plain values.
        as_json: Print `result` as one JSON document.
        text: What to print otherwise.
    """
    sys.stdout.write((json.dumps(result, indent=2, ensure_ascii=False) if as_json else text) + "\n")
