"""What Slack makes of text on its way in: entities for what would be markup, and links. Pure."""

from __future__ import annotations

import re

_BARE_AND = re.compile(r"&(?!(?:amp|lt|gt);)")
# A link, mention or command, or else a bracket that means nothing.
_BRACKET = re.compile(r"<[@#!][^<>\s][^<>]*>|<(?:https?://|mailto:|tel:)[^<>]+>|[<>]")
_LINK = re.compile(r"(?<![<|\w])https?://[^\s<>|]+")


def typed(text: str) -> str:
    """Return what Slack keeps of what a person typed: it links what looks like an address."""
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _LINK.sub(lambda found: f"<{found[0]}>", escaped)


def posted(text: str, *, parse: str) -> str:
    """Return what Slack keeps of what an app posted: its markup stays, stray characters are escaped."""
    kept = _BRACKET.sub(_bracket, _BARE_AND.sub("&amp;", text))
    return kept if parse == "none" else _LINK.sub(lambda found: f"<{found[0]}>", kept)


def _bracket(found: re.Match[str]) -> str:
    return {"<": "&lt;", ">": "&gt;"}.get(found[0], found[0])
