"""Text as people read it, and as Slack writes it: entities, links and mentions. Pure."""

from __future__ import annotations

import re

# What stands between angle brackets: a link, a mention or a command, and perhaps a label for people.
_SPECIAL = re.compile(r"<([^<>|\n]+)(?:\|([^<>\n]*))?>")
_SCHEME = re.compile(r"(?:https?://|mailto:|tel:)")


def written(text: str) -> str:
    """Return the text with the three characters escaped that mean something to Slack."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def read(native: str) -> str:
    """Return Slack's text as people read it; what `written` made comes back as it was."""
    plain = _SPECIAL.sub(lambda found: _plain(found[1], found[2] or ""), native)
    return plain.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


def _plain(target: str, label: str) -> str:
    if target.startswith("@"):
        return f"@{label.removeprefix('@')}" if label else target
    if target.startswith("#"):
        return f"#{label.removeprefix('#')}" if label else target
    if target.startswith("!"):
        return label or f"@{target[1:]}"
    # Slack makes links of what looks like one, and keeps as label what people had typed.
    typed = label in {"", target, _SCHEME.sub("", target, count=1)}
    return label or target if typed else f"{label} ({target})"
