"""The endpoint that the pages' commands talk to: it rates items by their length and answers questions at random but the same each time."""

import hashlib
import json
import re

from endpoint.server import Answer, Call, completion


def reply(call: Call) -> Answer:
    """Answer a chat request: a rating where rubrics are shown, a line `Answer: ...` elsewhere."""
    if call.method == "GET":
        return Answer({"object": "list", "data": [{"id": "qwen3-32b", "object": "model"}]})
    first = call.body["messages"][0]["content"]
    codes = re.findall(r"^SCALE (\w+):", first, re.M)
    if len(codes) > 1:
        return Answer(completion(json.dumps({"reasoning": "r", "levels": {code: level(code, call) for code in codes}})))
    if codes or "level" in first:
        return Answer(completion(json.dumps({"reasoning": "r", "level": level((codes or [""])[0], call)})))
    digit = hashlib.sha256(call.raw).digest()[0] % 10
    return Answer(completion(f"Answer: {digit}"))


def level(code: str, call: Call) -> int:
    """Rate by length, a little differently for each scale."""
    words = len(call.prompt.split())
    return min(5, (words // 8 + hashlib.sha256(code.encode()).digest()[0]) % 6)
