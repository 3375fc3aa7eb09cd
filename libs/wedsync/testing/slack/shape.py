"""What an app may post: the limits of texts, blocks and metadata. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from wedsync.testing.slack.refusal import Refused

Message = dict[str, Any]

_MAX_TEXT, _MAX_BLOCKS, _MAX_SECTION, _MAX_VALUE, _MAX_LABEL, _MAX_ELEMENTS = 40_000, 50, 3_000, 2_000, 75, 25
_TS = re.compile(r"\d{1,12}(\.\d{1,6})?")


def text_of(arguments: Mapping[str, Any]) -> str:
    """Return the text of a post, empty for none. Raises `Refused`."""
    text = arguments.get("text") or ""
    if not isinstance(text, str):
        raise Refused("invalid_arguments")
    if len(text) > _MAX_TEXT:
        raise Refused("msg_too_long")
    return text


def blocks_of(arguments: Mapping[str, Any]) -> list[Any] | None:
    """Return the blocks of a post, None where they are not mentioned. Raises `Refused`."""
    blocks = arguments.get("blocks")
    if blocks is None:
        return None
    if not isinstance(blocks, list) or len(blocks) > _MAX_BLOCKS or not all(map(_is_block, blocks)):
        raise Refused("invalid_blocks")
    return blocks


def metadata_of(arguments: Mapping[str, Any]) -> Message | None:
    """Return the metadata of a post. Raises `Refused`."""
    metadata = arguments.get("metadata")
    if metadata is None:
        return None
    if (
        not isinstance(metadata, dict)
        or not isinstance(metadata.get("event_type"), str)
        or not isinstance(metadata.get("event_payload"), dict)
    ):
        raise Refused("invalid_metadata_format")
    return metadata


def moment(value: Any, error: str) -> Decimal | None:
    """Return a point in time as a number, None for none. Raises `Refused` with the error."""
    if value is None or value == "":
        return None
    if not isinstance(value, str | int) or not _TS.fullmatch(str(value)):
        raise Refused(error)
    return Decimal(str(value))


def flag(value: Any) -> bool:
    """Return a flag, however a client writes it."""
    return str(value).lower() in {"1", "true"}


def _is_block(block: Any) -> bool:
    if not isinstance(block, dict):
        return False
    if block.get("type") == "section":
        text = block.get("text")
        return isinstance(text, dict) and _is_text(text.get("text"), _MAX_SECTION)
    if block.get("type") == "actions":
        return _are_buttons(block.get("elements"))
    return block.get("type") in {"context", "divider", "header", "rich_text"}


def _are_buttons(elements: Any) -> bool:
    if not isinstance(elements, list) or not 1 <= len(elements) <= _MAX_ELEMENTS:
        return False
    actions = [element.get("action_id") for element in elements if isinstance(element, dict)]
    return len(set(actions)) == len(elements) and all(map(_is_button, elements))


def _is_button(element: Mapping[str, Any]) -> bool:
    label = element.get("text")
    return (
        element.get("type") == "button"
        and isinstance(label, dict)
        and label.get("type") == "plain_text"
        and _is_text(label.get("text"), _MAX_LABEL)
        and _is_text(element.get("action_id"), 255)
        and _is_text(element.get("value"), _MAX_VALUE)
    )


def _is_text(value: Any, limit: int) -> bool:
    return isinstance(value, str) and 0 < len(value) <= limit


def buttons(message: Mapping[str, Any]) -> Sequence[Message]:
    """Return the buttons of a message, each with the id of its block."""
    return [
        {**element, "block_id": block.get("block_id", "")}
        for block in message.get("blocks") or []
        for element in block.get("elements") or []
        if element.get("type") == "button"
    ]
