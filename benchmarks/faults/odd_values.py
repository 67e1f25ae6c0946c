"""Values that a reader meets where it expects a number, a name or a JSON value."""

import json
from typing import Any

_PLAIN = """NaN nan Infinity -Infinity -1 1e400 1e-400 1e309 0.5.1 1,5 50% true false null None 1_0 0x1 -0 +1 .5 1. 01
1e0 2 99999999999999999999999 1.0000000001 -0.0000001 0.30000000000000004 1d0 1f 0b1 1/2 [] {} [1] '1' 0,5"""
ODD_NUMBERS = _PLAIN.split()
ODD_NUMBERS += ["", " ", '"0.5"', '"1"', " 1", "1 ", "1 0", "\u0661", "\uff11", "\u00bd", "\u22121", "1\u00a0"]
_WORDS = "null NaN None -inf =1+1 ../../x a,b 0 1e5 C I N True"
ODD_TEXTS = ["", " ", "\u200b", "\u202e abc", "\x1b[31mred", "a\u0301", "\ufeff", "\x7f", "\U0001f600", "x" * 300_000]
ODD_TEXTS += [*_WORDS.split(), "a\tb", "\u2028"]
_JSON = """[null, true, false, 0, 1, -1, 0.5, 2, 1e308, "", "x", "0.5", "1", [], {}, [1], [[1]], {"a": 1}, [null], "C",
"I", "N", "nan", " ", [true], -0.0, 1e-320, {"value": 1}]"""
ODD_VALUES: list[Any] = [*json.loads(_JSON), float("nan"), float("inf"), 10**400]
