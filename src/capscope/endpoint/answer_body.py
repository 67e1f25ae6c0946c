"""Read the bodies of answers: JSON behind comments, in several lines or as a stream, and the texts of messages."""

import json
from typing import Any

MOST_DOCUMENTS = 10_000
DECODER = json.JSONDecoder()


def read_json(text: str) -> Any:  # noqa: ANN401 - any JSON value
    """Read a JSON text; None where it is none or is nested too deeply. Numbers of thousands of digits are infinite."""
    try:
        return json.loads(text)
    except (RecursionError, TypeError):
        return None
    except ValueError:
        pass
    try:
        return json.loads(text.lstrip("\ufeff"), parse_int=float)
    except (ValueError, RecursionError):
        return None


def clean(text: str) -> str:
    """Return a text in which halves of surrogate pairs, which no file or database takes, are replaced."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def read_body(body: str) -> Any:  # noqa: ANN401 - any JSON value
    """Read the body of an answer: JSON, also behind comments of a stream, before something else, or in several lines.

    Args:
        body: The text of an answer.

    Returns:
        The value; of several documents the one completion, where they do not contradict each other; None otherwise.
    """
    answer = read_json(body)
    if answer is not None:
        return answer
    events = [line[5:].strip() for line in body.splitlines() if line.startswith("data:")]
    if events:
        objects = [event for event in map(read_json, events) if isinstance(event, dict)]
        whole = "[DONE]" in events or (len(objects) == 1 and "message" in (first_choice(objects[0]) or {}))
        return _joined(objects) if whole else None
    documents, rest = documents_of(body)
    held = [document for document in documents if isinstance(document, dict)]
    if any("delta" in (first_choice(document) or {}) for document in held):
        ended = any((first_choice(document) or {}).get("finish_reason") for document in held)
        return _joined(held) if ended else None
    answers = [document for document in held if first_choice(document) is not None]
    distinct = {json.dumps(first_choice(answer), sort_keys=True) for answer in answers}
    if len(distinct) > 1 or '"choices"' in rest or rest.startswith('{"'):
        return None
    if not answers:
        return held[0] if len(held) == 1 else None
    usage = [document["usage"] for document in held if document.get("usage")]
    return answers[0] | ({"usage": usage[-1]} if usage else {})


def documents_of(body: str) -> tuple[list[Any], str]:
    """Return the JSON documents at the start of a body, comments of a stream before them left out, and the rest."""
    lines = body.lstrip("\ufeff").splitlines(keepends=True)
    first = next((place for place, line in enumerate(lines) if line.strip() and not line.startswith(":")), len(lines))
    text, place, objects = "".join(lines[first:]), 0, list[Any]()
    while place < len(text) and len(objects) < MOST_DOCUMENTS:
        try:
            value, place = DECODER.raw_decode(text, place)
        except (ValueError, RecursionError):
            break
        objects.append(value)
        place += len(text[place:]) - len(text[place:].lstrip())
    return objects, text[place:]


def _joined(objects: list[dict[str, Any]]) -> dict[str, Any] | None:
    """Join the chunks of an answer that came as a stream, which was not asked for; None where there are none."""
    parts = [(choice, message_of(choice)) for choice in map(first_choice, objects) if choice is not None]
    if not parts:
        return next((event for event in objects if event.get("error")), None)
    text = "".join(content_text(message.get("content")) for _, message in parts if message is not None)
    ended = [word for choice, _ in parts if (word := choice.get("finish_reason"))]
    usage = [event["usage"] for event in objects if event.get("usage")]
    choice = {"message": {"content": text}, "finish_reason": ended[-1] if ended else None}
    return {"choices": [choice], "usage": usage[-1] if usage else None}


def first_choice(answer: object) -> dict[str, Any] | None:
    """Return the first choice of a completion; None where there is none."""
    choices = answer.get("choices") if isinstance(answer, dict) else None
    choice = choices[0] if isinstance(choices, list) and choices else None
    return choice if isinstance(choice, dict) else None


def message_of(choice: dict[str, Any]) -> dict[str, Any] | None:
    """Return the message of a choice; a bare text in its place, or the text of an older form, is one too."""
    message = choice.get("message", choice.get("delta"))
    if isinstance(message, dict):
        return message
    text = message if isinstance(message, str) else choice.get("text")
    return {"content": text} if isinstance(text, str) else None


def content_text(content: object) -> str:
    """Return the text of a message's content: a string, or a list of parts of which those of text are joined."""
    if isinstance(content, str):
        return content
    if isinstance(content, dict):
        content = [content]
    if not isinstance(content, list):
        return ""
    return "".join(_part(part) for part in content)


def _part(part: object) -> str:
    if isinstance(part, str):
        return part
    if not isinstance(part, dict) or part.get("type", "text") not in ("text", "output_text"):
        return ""
    text = part.get("text")
    text = text.get("value") if isinstance(text, dict) else text
    return text if isinstance(text, str) else ""
