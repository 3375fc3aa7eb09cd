"""Where something stands in a vendor's JSON: pointers as of RFC 6901. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def steps(pointer: str) -> list[str]:
    """Return the names that a pointer leads through."""
    return [step.replace("~1", "/").replace("~0", "~") for step in pointer.removeprefix("/").split("/")]


def pointed(document: Any, pointer: str) -> Any:
    """Return the value a pointer leads to, None where there is none."""
    for step in steps(pointer):
        document = _within(document, step)
    return document


def _within(document: Any, step: str) -> Any:
    if isinstance(document, list):
        return document[int(step)] if step.isdecimal() and int(step) < len(document) else None
    return document.get(step) if isinstance(document, Mapping) else None


def placed(document: Mapping[str, Any], pointer: str, value: Any) -> dict[str, Any]:
    """Return the document with a value at a pointer, and everything else as it was."""
    step, *rest = steps(pointer)
    if rest:
        inner = document.get(step)
        below = "/" + "/".join(step.replace("~", "~0").replace("/", "~1") for step in rest)
        value = placed(inner if isinstance(inner, Mapping) else {}, below, value)
    return {**document, step: value}
