"""How a message of ours looks in Slack: its text, and two buttons while people are to decide. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from services.gateway.vendors.slack.text import written
from wedsync.model.ids import is_id

CHOICES: Mapping[str, str] = {"wedsync_keep_current": "current", "wedsync_take_proposed": "proposed"}
"""What a click on a button means, by the button's action."""

_LABELS = {"wedsync_keep_current": "Keep current", "wedsync_take_proposed": "Take proposed"}
# Slack's limit of a section's text.
_SECTION = 3_000
# At most five characters each once escaped, and none is cut in two.
_CHARACTERS = re.compile(r"(?:&(?:amp|lt|gt);|[^&]){1,600}", re.DOTALL)


def drawn(text: str, conflict_id: str | None) -> list[dict[str, Any]]:
    """Return the blocks of a message: none where the text says it all, else the text and two buttons."""
    if conflict_id is None:
        return []
    sections = [
        {"type": "section", "text": {"type": "mrkdwn", "text": piece, "verbatim": True}}
        for piece in _pieces(written(text))
    ]
    buttons = [_button(action, conflict_id) for action in CHOICES]
    return [*sections, {"type": "actions", "block_id": "wedsync_decision", "elements": buttons}]


def conflict_of(message: Mapping[str, Any]) -> str | None:
    """Return the conflict that the message's buttons decide, None where it has none of ours."""
    elements = (
        element for block in _dicts(message.get("blocks")) for element in _dicts(block.get("elements"))
    )
    asked = (element.get("value") for element in elements if element.get("action_id") in CHOICES)
    return next((value for value in asked if isinstance(value, str) and is_id(value)), None)


def _button(action: str, conflict_id: str) -> dict[str, Any]:
    label = {"type": "plain_text", "text": _LABELS[action]}
    return {"type": "button", "action_id": action, "text": label, "value": conflict_id}


def _pieces(native: str) -> list[str]:
    """Return the text in pieces that fit a section, whole lines where that is possible."""
    pieces = [""]
    for line in _lines(native):
        if len(pieces[-1]) + len(line) > _SECTION:
            pieces.append("")
        pieces[-1] += line
    # Slack takes no section that says nothing.
    return [piece for piece in pieces if piece.strip()]


def _lines(native: str) -> Iterator[str]:
    for line in native.splitlines(keepends=True):
        yield from [line] if len(line) <= _SECTION else _CHARACTERS.findall(line)


def _dicts(value: Any) -> Sequence[Mapping[str, Any]]:
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []
