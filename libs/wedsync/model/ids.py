"""Identifiers: what they are made of, and why two processes derive the same one."""

from __future__ import annotations

import os
import time
import uuid

# Namespace of every name-based (version 5, RFC 9562) id of WedSync. Never change it: retries of
# a change and re-creations of an item find each other through it.
_NAMESPACE = uuid.UUID("6f1d9a3e-52b7-5c0e-9d42-7a1f4b8c2e60")


def new_id() -> str:
    """Return a fresh time-ordered UUID (version 7, RFC 9562)."""
    milliseconds = time.time_ns() // 1_000_000
    random = int.from_bytes(os.urandom(10), "big")
    value = (milliseconds & (1 << 48) - 1) << 80 | random
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return str(uuid.UUID(int=value))


def change_id(link_id: str, item_id: str, generation: int) -> str:
    """Return the id of the change that a shadow's generation stands for.

    A shadow is kept for each item of a link. Its vendor record would not do: back from the bin it may stand
    for another item than before, whose generations begin anew.
    """
    return _derived("change", link_id, item_id, str(generation))


def item_id(link_id: str, record_id: str) -> str:
    """Return the id of the item that a vendor record gave birth to."""
    return _derived("item", link_id, record_id)


def delivery_id(link_id: str, cause: str) -> str:
    """Return the id of the delivery that a change (or another cause) makes due for a link."""
    return _derived("delivery", link_id, cause)


def conflict_id(wedding_id: str, sequence: int, path: str) -> str:
    """Return the id of the conflict about a field that a logged change opened."""
    return _derived("conflict", wedding_id, str(sequence), path)


def announcement_id(conflict_id: str) -> str:
    """Return the id of the message that asks people about a conflict."""
    return _derived("announcement", conflict_id)


def act_id(conflict_id: str, act: str) -> str:
    """Return the id of the change by which the conflicts service does something about a conflict."""
    return _derived("act", conflict_id, act)


def rewind_change_id(request_id: str, item_id: str, kind: str) -> str:
    """Return the id of the change by which a rewind updates, deletes or restores an item."""
    return _derived("rewind", request_id, item_id, kind)


def is_id(value: str) -> bool:
    """Say whether the value is a UUID in canonical lower-case form."""
    try:
        return str(uuid.UUID(value)) == value
    except ValueError:
        return False


def _derived(*parts: str) -> str:
    # The length before each part keeps ("a", "bc") and ("ab", "c") apart.
    return str(uuid.uuid5(_NAMESPACE, "".join(f"{len(p)}:{p}" for p in parts)))
