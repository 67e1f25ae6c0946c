"""Keep secrets out of every text that leaves the room."""

import re

SECRET_SHAPES = re.compile(r"(?:\bsk-[\w*-]{4,}|\bBearer\s+\S+|(?<=://)[^/\s@]+:[^/\s@]+(?=@))", re.IGNORECASE)
LONGEST = 300
SHORTEST_SECRET = 6
"""Placeholders such as ``none`` are no secrets, and cutting them out would garble words."""


def redact(text: str, secret: str = "") -> str:
    """Return one short line without the secret, or anything shaped like a key or a password in an address.

    Args:
        text: An endpoint's message.
        secret: The key in use; endpoints quote it, some of them with its middle starred out.
    """
    if len(secret) >= SHORTEST_SECRET:
        text = text.replace(secret, "[key]")
    line = " ".join(SECRET_SHAPES.sub("[key]", text).split())
    return line if len(line) <= LONGEST else line[: LONGEST - 3] + "..."
