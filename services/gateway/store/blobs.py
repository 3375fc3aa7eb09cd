"""Field values as stored bytes: JSON in an envelope."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from services.gateway.records import Shown
from wedsync.model.codec import dump_value, load_value
from wedsync.runtime.envelope import seal, unseal


def pack(content: Any) -> bytes:
    """Return JSON content in an envelope."""
    return seal(orjson.dumps(content))


def unpack(blob: bytes) -> Any:
    """Return the JSON content of an envelope."""
    return orjson.loads(unseal(blob).payload)


def pack_fields(fields: Mapping[str, Shown]) -> bytes:
    """Return shown fields in an envelope."""
    return pack(
        {
            path: [dump_value(shown.value), shown.revision, dump_value(shown.sent)]
            for path, shown in fields.items()
        }
    )


def unpack_fields(blob: bytes) -> dict[str, Shown]:
    """Return the fields that `pack_fields` wrote."""
    return {
        path: Shown(value=load_value(value), revision=revision, sent=load_value(sent))
        for path, (value, revision, sent) in unpack(blob).items()
    }
