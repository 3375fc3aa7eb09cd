"""Stored values as envelopes: which schema, which key, then the bytes. Pure.

Layout: one byte of format, two of schema version, one of the key id's length, the key id, the payload.
A person can be erased by destroying the key their envelopes name, without rewriting history.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

SCHEMA_VERSION = 1
"""Of the payloads written today."""

_FORMAT = 1
_HEADER = struct.Struct(">BHB")


class BadEnvelope(ValueError):
    """These bytes are no envelope this program can read."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """A stored value: how to read it, the key it is encrypted with (None: not encrypted), and its bytes."""

    schema_version: int
    key_id: str | None
    payload: bytes


def seal(payload: bytes, *, key_id: str | None = None, schema_version: int = SCHEMA_VERSION) -> bytes:
    """Return the payload in an envelope."""
    key = (key_id or "").encode()
    if key_id == "" or len(key) > 0xFF:
        raise ValueError("a key id has 1 to 255 bytes")
    return _HEADER.pack(_FORMAT, schema_version, len(key)) + key + payload


def unseal(blob: bytes | memoryview) -> Envelope:
    """Open an envelope; raise `BadEnvelope` if the bytes are none."""
    blob = bytes(blob)  # the driver may hand out a memoryview
    if len(blob) < _HEADER.size:
        raise BadEnvelope("shorter than an envelope's header")
    layout, schema_version, key_length = _HEADER.unpack_from(blob)
    start = _HEADER.size + key_length
    if layout != _FORMAT or len(blob) < start:
        raise BadEnvelope(f"unknown format {layout}" if layout != _FORMAT else "cut off in the key id")
    try:
        key_id = blob[_HEADER.size : start].decode() or None
    except UnicodeDecodeError as error:
        raise BadEnvelope("the key id is no text") from error
    return Envelope(schema_version, key_id, blob[start:])
