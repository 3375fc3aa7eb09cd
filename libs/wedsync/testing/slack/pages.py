"""A channel's history as the API lists it: windows, pages, and what a message shows. Pure."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from wedsync.testing.slack.refusal import Refused
from wedsync.testing.slack.shape import Message, flag, moment

_DEFAULT_LIMIT, _MAX_LIMIT = 100, 999


def page(messages: Iterable[Message], arguments: Mapping[str, Any]) -> Message:
    """Return one page of the history, newest first, and the cursor of the next."""
    size, before = _limit(arguments), _before(arguments)
    window = _window(messages, arguments)
    left = [m for m in reversed(window) if before is None or Decimal(m["ts"]) < before]
    some = left[:size]
    further = len(left) > len(some)
    answer: Message = {"messages": shown(some, arguments), "has_more": further, "pin_count": 0}
    return answer | ({"response_metadata": {"next_cursor": _cursor(some[-1]["ts"])}} if further else {})


def shown(messages: Sequence[Message], arguments: Mapping[str, Any]) -> list[Message]:
    """Return the messages as this caller wants them: metadata only for who asks for it."""
    whole = flag(arguments.get("include_all_metadata", ""))
    return [dict(message) if whole else bare(message) for message in messages]


def bare(message: Message) -> Message:
    """Return a message without its metadata."""
    return {name: value for name, value in message.items() if name != "metadata"}


def _window(messages: Iterable[Message], arguments: Mapping[str, Any]) -> list[Message]:
    oldest = moment(arguments.get("oldest"), "invalid_ts_oldest")
    latest = moment(arguments.get("latest"), "invalid_ts_latest")
    ends = {edge for edge in (oldest, latest) if edge is not None and flag(arguments.get("inclusive", ""))}

    def is_within(ts: Decimal) -> bool:
        return ts in ends or ((oldest is None or oldest < ts) and (latest is None or ts < latest))

    return [m for m in messages if _is_in_channel(m) and is_within(Decimal(m["ts"]))]


def _is_in_channel(message: Message) -> bool:
    """Say whether it stands in the channel: a reply stands in its thread only."""
    return message.get("thread_ts") in {None, message["ts"]} or message.get("subtype") == "thread_broadcast"


def _limit(arguments: Mapping[str, Any]) -> int:
    given = str(arguments.get("limit") or _DEFAULT_LIMIT)
    if not given.isdecimal() or not 1 <= int(given) <= _MAX_LIMIT:
        raise Refused("invalid_limit")
    return int(given)


def _cursor(ts: str) -> str:
    return base64.b64encode(f"next_ts:{ts.replace('.', '')}".encode()).decode()


def _before(arguments: Mapping[str, Any]) -> Decimal | None:
    cursor = arguments.get("cursor")
    if not cursor:
        return None
    try:
        kind, _, micros = base64.b64decode(str(cursor), validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        kind, micros = "", ""
    if kind != "next_ts" or not micros.isdecimal():
        raise Refused("invalid_cursor")
    return Decimal(micros) / 1_000_000
