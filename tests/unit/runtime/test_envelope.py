"""Envelopes round stored values."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wedsync.runtime.envelope import BadEnvelope, Envelope, seal, unseal

_key_ids = st.none() | st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)


@given(st.binary(max_size=200), _key_ids, st.integers(0, 0xFFFF))
def test_what_is_sealed_is_unsealed(payload: bytes, key_id: str | None, version: int) -> None:
    """Payload, key id and schema version come back as they went in, from bytes and from a memoryview."""
    sealed = seal(payload, key_id=key_id, schema_version=version)
    assert unseal(sealed) == unseal(memoryview(sealed)) == Envelope(version, key_id, payload)


@given(st.binary(max_size=60))
def test_any_bytes_open_or_are_refused(blob: bytes) -> None:
    """Garbage never raises anything but BadEnvelope, and what opens seals to the same bytes."""
    try:
        envelope = unseal(blob)
    except BadEnvelope:
        return
    again = seal(envelope.payload, key_id=envelope.key_id, schema_version=envelope.schema_version)
    assert again == blob


@pytest.mark.parametrize(
    ("blob", "why"),
    [
        (b"", "shorter"),
        (b"\x02\x00\x01\x00", "unknown format 2"),
        (b"\x01\x00\x01\x05abc", "cut off"),
        (b"\x01\x00\x01\x01\xff", "no text"),
    ],
)
def test_a_refusal_says_why(blob: bytes, why: str) -> None:
    """The reason a blob is no envelope is in the error."""
    with pytest.raises(BadEnvelope, match=why):
        unseal(blob)


@pytest.mark.parametrize("key_id", ["", "x" * 256])
def test_a_key_id_has_a_sensible_length(key_id: str) -> None:
    """An empty or overlong key id is a mistake of the caller's."""
    with pytest.raises(ValueError, match="1 to 255"):
        seal(b"", key_id=key_id)
