"""Readers of endpoint responses (completions, errors, usage, batch rows) and of stored replies.

Invalid input raises nothing: it becomes a `ChatReply` with a problem and the text.
"""

import json
import math
import re
from types import UnionType
from typing import Any

from capscope.endpoint.answer_body import (
    clean,
    content_text,
    documents_of,
    first_choice,
    message_of,
    read_body,
    read_json,
)
from capscope.endpoint.messages import ChatReply, TokenChoice, Usage, is_cut, is_too_long
from capscope.endpoint.settings import redact

TAIL_TOKENS = 12
"""Tokens at the end of a reply whose alternatives are kept; before them, only those of digits are."""
KEPT_TEXT = 2000
"""Characters of an unreadable answer that are kept."""
SHOWN = 80
"""Characters of it that a message shows."""
LARGEST_COUNT = 1_000_000_000
NO_COMPLETION = "the answer is no chat completion (cut short?)"
DIGIT = re.compile(r"\W*\d\W*")
NOT_SENT = ("batch_expired", "batch_cancelled")
BUSY_WORDS = re.compile(r"overload|try again|temporar|timed? ?out|busy|unavailable", re.IGNORECASE)
LIMIT_WORDS = re.compile(r"rate.?limit|too many requests", re.IGNORECASE)
CREDIT_WORDS = frozenset({"insufficient_quota", "billing_hard_limit_reached", "insufficient_credits"})

_WORDS: dict[str, type | UnionType] = {"text": str, "finish_reason": str, "problem": str, "final": bool}
REPLY_FIELDS = _WORDS | {"attempts": int, "unmetered": int, "seconds": int | float}
"""Fields of a stored reply, and what they hold."""


def read_completion(body: str) -> ChatReply:
    """Read a chat completion; anything that is none, or has no text, is a problem.

    Args:
        body: The body of an answer with status 200.

    Returns:
        The reply; `final` says that asking again would not help, `unmetered` is 1 where no usable usage is stated.
    """
    answer = read_body(body)
    choice = first_choice(answer)
    message = message_of(choice) if choice is not None else None
    if not isinstance(answer, dict) or not isinstance(choice, dict) or not isinstance(message, dict):
        usage = read_usage(answer.get("usage"), "") if isinstance(answer, dict) else None
        kept = clean(body[:KEPT_TEXT])
        problem = f"{NO_COMPLETION}: {redact(kept)[:SHOWN]}" if kept.strip() else NO_COMPLETION
        # Two whole answers that contradict each other would do so again.
        ended = [one for one in map(first_choice, documents_of(body)[0]) if one is not None and one.get("message")]
        final = answer is None and len(ended) > 1
        return ChatReply(kept, usage=usage or Usage(), problem=problem, unmetered=int(usage is None), final=final)
    text = clean(content_text(message.get("content")))
    finish = clean(_word(choice.get("finish_reason")))
    usage = read_usage(answer.get("usage"), text)
    metered, unmetered = usage or Usage(), int(usage is None)
    refusal = _refusal(message)
    if refusal and not text.strip():
        reason = clean(refusal)
        problem = f"refused: {redact(reason)}"
        return ChatReply(reason, finish, metered, problem=problem, unmetered=unmetered, final=True)
    if not text.strip():
        return _without_text(message, finish, metered, unmetered)
    return ChatReply(text, finish, metered, _tokens(choice.get("logprobs")), unmetered=unmetered)


def _refusal(message: dict[str, Any]) -> str:
    """Return the words of a refusal, which stand in a field of their own or in a part of the content."""
    content = message.get("content")
    parts = [part for part in content if isinstance(part, dict)] if isinstance(content, list) else []
    words = [_refused(message.get("refusal")), *(_refused(part.get("refusal")) for part in parts)]
    return next((word for word in words if word.strip()), "")


def _refused(refusal: object) -> str:
    """Return the words of one refusal: a text, or parts of one."""
    if isinstance(refusal, list):
        return "".join(_refused(part) for part in refusal)
    return _refused(refusal.get("refusal")) or content_text(refusal) if isinstance(refusal, dict) else _word(refusal)


def _without_text(message: dict[str, Any], finish: str, usage: Usage, unmetered: int) -> ChatReply:
    thought = message.get("reasoning_content") or message.get("reasoning")
    kept = clean(thought[:KEPT_TEXT]) if isinstance(thought, str) else ""
    ended = is_cut(finish)
    if kept and ended:
        problem = f"the reply is reasoning without an answer (finish_reason '{finish}'); give it more --max-tokens"
    elif kept:
        problem = f"the reply is reasoning without an answer (finish_reason '{finish}')"
    elif is_too_long(finish):
        problem = f"the reply is empty (finish_reason '{finish}'); give it more --max-tokens"
    else:
        problem = f"the reply is empty (finish_reason '{finish}')"
    return ChatReply(kept, finish, usage, problem=problem, unmetered=unmetered, final=ended)


def error_of(body: str) -> tuple[int, str, str] | None:
    """Read an error that an answer holds in place of choices.

    Returns:
        The status that it stands for (400 where it names none), its code or type, and its message; None without one.
    """
    answer = read_body(body)
    if not isinstance(answer, dict):
        return None
    error = answer.get("error")
    if isinstance(answer.get("choices"), list) and answer["choices"]:
        choice = first_choice(answer) or {}
        error = (
            None
            if message_of(choice) and content_text((message_of(choice) or {}).get("content"))
            else choice.get("error")
        )
    elif error is None:
        error = answer if answer.get("object") == "error" else _unnamed_error(answer)
    if error is None or error == "" or error == {}:
        return None
    if not isinstance(error, dict):
        message, code = str(error), ""
    else:
        message = str(error.get("message") or error.get("detail") or json.dumps(error))
        code = str(error.get("code") if error.get("code") is not None else error.get("type") or "")
        code = f"{code} {error.get('type')}" if error.get("type") and str(error.get("type")) != code else code
    return _status(code, message), clean(code), clean(message)


def _unnamed_error(answer: dict[str, Any]) -> object:
    """Return an error that an answer holds under another name than ``error``; None without one."""
    several, base = answer.get("errors"), answer.get("base_resp")
    if isinstance(several, list) and several:
        return several[0]
    if isinstance(base, dict) and base.get("status_msg"):
        return {"code": base.get("status_code"), "message": base["status_msg"]}
    words = next((answer[name] for name in ("msg", "message") if isinstance(answer.get(name), str)), "")
    return {"code": answer.get("code"), "message": words} if words else None


def error_message(body: str) -> str:
    """Return an error's message, or the whole body where it has another shape."""
    error = error_of(body)
    if error is not None:
        return error[2]
    answer = read_json(body)
    for name in ("message", "detail"):
        if isinstance(answer, dict) and isinstance(answer.get(name), str):
            return clean(answer[name])
    return clean(body[:KEPT_TEXT])


def lacks_credit(code: str) -> bool:
    """Return whether an error's code or type says that the account is empty."""
    return not CREDIT_WORDS.isdisjoint(code.lower().split())


def _status(code: str, message: str) -> int:
    number = re.search(r"\b([45]\d\d)\b", code)
    if number:
        return int(number[1])
    if lacks_credit(code):
        return 402
    if LIMIT_WORDS.search(f"{code} {message}"):
        return 429
    return 503 if BUSY_WORDS.search(f"{code} {message}") else 400


def read_usage(usage: object, text: str) -> Usage | None:
    """Read the tokens of a call; None where they are missing, negative, gigantic, no numbers, or cannot be true.

    Args:
        usage: What the endpoint states; numbers in text are numbers.
        text: The reply; where it is stated to have no token, a quarter of its characters is taken.
    """
    if not isinstance(usage, dict):
        return None
    prompt = _count(usage.get("prompt_tokens", usage.get("input_tokens")))
    written = _count(usage.get("completion_tokens", usage.get("output_tokens")))
    total = _count(usage.get("total_tokens"))
    details = usage.get("prompt_tokens_details")
    cached = _count(details.get("cached_tokens")) if isinstance(details, dict) else 0
    if prompt is not None and "prompt_tokens" not in usage:
        # Endpoints that report `input_tokens` count those of the prefix cache separately.
        names = ("cache_read_input_tokens", "cache_creation_input_tokens")
        prompt += sum(_count(usage.get(name)) or 0 for name in names)
    if prompt is None and written is None:
        return Usage(unsplit_tokens=total) if total else None
    if prompt is None or written is None:
        known = prompt if prompt is not None else written
        if total is None or known is None or total <= known:
            return None
        prompt, written = (prompt, total - prompt) if prompt is not None else (total - known, known)
    # Some endpoints count the tokens of hidden reasoning in the total alone.
    written = max(written, (total or 0) - prompt)
    if prompt == 0:
        return None
    if written == 0 and text.strip():
        written = len(text) // 4 + 1
    return Usage(prompt, written, min(cached or 0, prompt))


def _count(value: object) -> int | None:
    if isinstance(value, str) and re.fullmatch(r"\s*\d{1,12}\s*", value):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if not 0 <= value <= LARGEST_COUNT or value != int(value):
        return None
    return int(value)


def _tokens(logprobs: object) -> tuple[TokenChoice, ...]:
    """Read the written tokens in the present form (a list of entries) or the old one (parallel lists)."""
    if not isinstance(logprobs, dict):
        return ()
    entries = logprobs.get("content")
    if not isinstance(entries, list):
        tokens, tops = logprobs.get("tokens"), logprobs.get("top_logprobs")
        if not isinstance(tokens, list) or not isinstance(tops, list):
            return ()
        paired = zip(tokens, tops, strict=False)
        entries = list[object]({"token": token, "top_logprobs": top} for token, top in paired)
    kept: list[TokenChoice] = []
    for place, entry in enumerate(entries):
        fields: dict[str, Any] = entry if isinstance(entry, dict) else {}
        token = clean(_word(fields.get("token")))
        wanted = len(entries) - place <= TAIL_TOKENS or DIGIT.fullmatch(token)
        kept.append(TokenChoice(token, _alternatives(fields.get("top_logprobs")) if wanted and token else ()))
    return tuple(kept) if any(choice.alternatives for choice in kept) else ()


def _alternatives(top: object) -> tuple[tuple[str, float], ...]:
    """Read alternatives from a list of entries or from an object; one without a token or a number is left out."""
    if isinstance(top, dict):
        pairs = list(top.items())
    elif isinstance(top, list):
        pairs = [(entry.get("token"), entry.get("logprob")) for entry in top if isinstance(entry, dict)]
    else:
        return ()
    return tuple(
        (clean(token), float(max(value, -LARGEST_COUNT)))
        for token, value in pairs
        if isinstance(token, str)
        and isinstance(value, int | float)
        and not isinstance(value, bool)
        and -math.inf <= value <= 0.01
    )


def _word(value: object) -> str:
    return value if isinstance(value, str) else ""


def read_batch_row(line: str) -> tuple[str, ChatReply | None] | None:
    """Read one line of a batch's result file.

    Returns:
        The question's id and its reply, None in place of a reply for a request that was not sent; None alone for a
        line that cannot be read.
    """
    row = read_json(line)
    custom_id = row.get("custom_id") if isinstance(row, dict) else None
    if not isinstance(row, dict) or not isinstance(custom_id, str):
        return None
    error, response = row.get("error"), row.get("response")
    code = error.get("code") if isinstance(error, dict) else error
    if code in NOT_SENT:
        return custom_id, None
    body = response.get("body") if isinstance(response, dict) else response
    text = body if isinstance(body, str) else json.dumps(body)
    status = _count(response.get("status_code")) if isinstance(response, dict) else None
    inner = error_of(text)
    if error or inner is not None or status not in (None, 200) or not isinstance(response, dict):
        message = error_message(json.dumps({"error": error})) if error else error_message(text)
        shown = f"HTTP {status}" if status is not None else "no reply in the batch"
        return custom_id, ChatReply(clean(line[:KEPT_TEXT]), problem=f"{shown}: {redact(message)}")
    return custom_id, read_completion(text)


def read_stored_reply(stored: str) -> ChatReply:
    """Read a reply that a ledger keeps, of any version: unknown fields are ignored, odd ones take their default."""
    if not isinstance(stored_object := read_json(stored), dict):
        return ChatReply(problem="the stored reply cannot be read")
    fields: dict[str, Any] = {
        name: value for name, kind in REPLY_FIELDS.items() if isinstance(value := stored_object.get(name), kind)
    }
    usage = stored_object.get("usage")
    counts = usage if isinstance(usage, dict) else {}
    names = ("prompt_tokens", "completion_tokens", "cached_tokens", "unsplit_tokens")
    numbers = {name: counts[name] for name in names if isinstance(counts.get(name), int)}
    return ChatReply(**fields, usage=Usage(**numbers), tail=_stored_tail(stored_object.get("tail")))


def _stored_tail(found: object) -> tuple[TokenChoice, ...]:
    tail: list[TokenChoice] = []
    for choice in found if isinstance(found, list) else []:
        pairs = choice.get("alternatives") if isinstance(choice, dict) else None
        if not isinstance(choice, dict) or not isinstance(pairs, list):
            continue
        two = [pair for pair in pairs if isinstance(pair, list) and len(pair) == 2]
        kept = [(str(token), float(value)) for token, value in two if isinstance(value, int | float)]
        tail.append(TokenChoice(str(choice.get("token", "")), tuple(kept)))
    return tuple(tail)
