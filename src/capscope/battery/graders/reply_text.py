"""The part of a reply that is addressed to the reader: without reasoning in tags and without end-of-turn tokens."""

import re

UNFINISHED = "the reply ends inside its reasoning"
ONLY_REASONING = "the reply is reasoning without an answer"

NAMES = "think|thinking|thought|thoughts|reason|reasoning|scratchpad|analysis|reflection"
OPENING = re.compile(rf"<(?:{NAMES})(?:\s[^<>]*)?>|\[(?:{NAMES})\]|◁think▷|<\|(?:begin_of_)?thought\|>", re.IGNORECASE)
CLOSING = re.compile(rf"</(?:{NAMES})\s*>|\[/(?:{NAMES})\]|◁/think▷|<\|end_of_thought\|>", re.IGNORECASE)
CHANNEL = re.compile(r"<\|channel\|>\s*(\w+)\s*(?:<\|constrain\|>\s*\w+\s*)?<\|message\|>")
END_TOKENS = re.compile(
    r"(?:<\|(?:im_end|im_start|eot_id|eom_id|end|endoftext|end_of_text|return|eos|end_of_turn|assistant|user)\|>"
    r"|</s>|<s>|<end_of_turn>|<eos>|<\|end_of_sentence\|>|<｜end▁of▁sentence｜>|\[/?INST\])"
)


def visible_text(reply: str) -> tuple[str, str]:
    """Return the part of a reply after its reasoning, and the problem where there is none.

    Args:
        reply: The text of a reply.

    Returns:
        The visible text, and an empty problem; or an empty text, and why.
    """
    text = reply
    channels = list(CHANNEL.finditer(text))
    if channels:
        last = channels[-1]
        if last[1].lower() != "final":
            return "", UNFINISHED
        text = text[last.end() :]
    closings = list(CLOSING.finditer(text))
    start = closings[-1].end() if closings else 0
    if OPENING.search(text, start):
        return "", UNFINISHED
    visible = END_TOKENS.sub("\n", text[start:]).strip()
    if not visible and (closings or channels):
        return "", ONLY_REASONING
    return visible, ""
