"""The endpoint of the pages' commands: rates items by what can be counted in them, and answers the same each time."""

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
    if "DEMAND " in first:
        cause = {"step": 2, "demand": "AR", "probability": 0.7, "reason": "It did not ask which order was meant."}
        return Answer(completion(json.dumps({"reasoning": "r", "causes": [cause]})))
    if codes or "level" in first:
        return Answer(completion(json.dumps({"reasoning": "r", "level": level((codes or [""])[0], call)})))
    digit = hashlib.sha256(call.raw).digest()[0] % 10
    return Answer(completion(f"Answer: {digit}"))


def level(code: str, call: Call) -> int:
    """Rate reasoning by the number of facts and calculation by the number of digits; every other scale is level 1."""
    text = "\n".join(call.prompt.split("\n")[1:-1])  # the first and last line mark where the item stands
    return {"QLl": min(5, text.count("taller")), "QLq": min(5, sum(map(str.isdigit, text)) // 2)}.get(code, 1)
