"""What text may hold, and text without what it may not. Pure."""

from __future__ import annotations

import re

_LINE_ENDS = re.compile("\r\n|[\r\x0b\x0c\x85]")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
# Embeddings, overrides and isolates of the direction text runs in: they make it look like other text.
_TURNING = re.compile(r"[\u202a-\u202e\u2066-\u2069]")
_HALF_CHARACTER = re.compile(r"[\ud800-\udfff]")

_UNKEPT = (
    (_CONTROL, "holds control characters; remove them"),
    (_TURNING, "holds characters that turn the direction of text (U+202A to U+2069); remove them"),
    (_HALF_CHARACTER, "holds half a character (a lone surrogate); send whole ones"),
)


def objection(text: str) -> str | None:
    """Return what must be mended in a text before it is kept."""
    return next((words for unkept, words in _UNKEPT if unkept.search(text)), None)


def kept(text: str) -> str:
    """Return the text without what is not kept; every way to end a line is one."""
    text = _LINE_ENDS.sub("\n", text)
    for unkept, _ in _UNKEPT:
        text = unkept.sub("", text)
    return text
