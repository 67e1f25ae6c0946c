"""Types and shapes checked by beartype, which looks at a function's hints when it is first called.

Most of the package's functions are not called in one test process; reading all their hints takes longer than importing.
"""

from collections.abc import Callable
from typing import Any

from beartype import beartype


def checked(function: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate a function so that its arguments and result are checked.

    Args:
        function: The function.

    Returns:
        A function of the same meaning.
    """
    checks: list[Callable[..., Any]] = []

    def call(*arguments: Any, **named: Any) -> Any:
        if not checks:
            checks.append(beartype(function))
        return checks[0](*arguments, **named)

    return call
