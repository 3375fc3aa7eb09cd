"""Secrets at rest: AES-256-GCM, a data key per record, wrapped by a master key.

Layout: one byte of format, one of the master key id's length, the id, then the wrapped data key
(nonce, 32 bytes, tag) and the text (nonce, bytes, tag). The record's identity is additional data of
both, so that a blob moved to another record does not open. A data key is used once; a master key
wraps fewer than 2^32 of them with random nonces (NIST SP 800-38D, 8.3).
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from wedsync.runtime.settings import SettingsError

_FORMAT = 1
_KEY_BYTES = 32
_NONCE_BYTES = 12
_TAG_BYTES = 16
_WRAPPED_BYTES = _NONCE_BYTES + _KEY_BYTES + _TAG_BYTES


class VaultError(Exception):
    """The secret cannot be opened: damaged, of another record, or its master key is gone."""


class Vault:
    """Encrypts with the current master key and opens what any known master key wrapped."""

    def __init__(self, master_keys: Mapping[str, bytes], current: str) -> None:
        if current not in master_keys:
            raise ValueError(f"the current master key {current!r} is not among the keys")
        if any(len(key) != _KEY_BYTES for key in master_keys.values()):
            raise ValueError(f"a master key has exactly {_KEY_BYTES} bytes")
        if any(not 0 < len(key_id.encode()) <= 0xFF for key_id in master_keys):
            raise ValueError("a master key id has 1 to 255 bytes")
        self._masters = {key_id: AESGCM(key) for key_id, key in master_keys.items()}
        self._current = current

    @classmethod
    def from_file(cls, path: Path) -> Self:
        """Load master keys from JSON `{"current": id, "keys": {id: base64}}`."""
        try:
            document = json.loads(path.read_bytes())
            keys = {str(i): base64.b64decode(k, validate=True) for i, k in document["keys"].items()}
            return cls(keys, document["current"])
        except OSError as error:
            raise SettingsError(f"cannot read the master keys in {path}: {error.strerror}") from error
        except (ValueError, TypeError, KeyError, AttributeError, binascii.Error):
            # Neither the cause nor its text may travel: they could quote a key.
            raise SettingsError(
                f'{path} must read {{"current": id, "keys": {{id: base64 of 32 bytes}}}}'
            ) from None

    def encrypt(self, plaintext: bytes, identity: str) -> bytes:
        """Return the secret sealed for the record of that identity."""
        data_key = secrets.token_bytes(_KEY_BYTES)
        return self._wrapped(data_key, identity) + _seal(AESGCM(data_key), plaintext, identity)

    def decrypt(self, blob: bytes, identity: str) -> bytes:
        """Open the record's secret; raise `VaultError` if that is impossible."""
        _, data_key, body = self._unwrapped(bytes(blob), identity)
        return _open(AESGCM(data_key), body, identity)

    def is_current(self, blob: bytes) -> bool:
        """Say whether the current master key wrapped this, so that rotation may pass it by."""
        return _split(bytes(blob))[0] == self._current

    def rewrap(self, blob: bytes, identity: str) -> bytes:
        """Return the same secret wrapped by the current master key; its text is not touched."""
        _, data_key, body = self._unwrapped(bytes(blob), identity)
        return self._wrapped(data_key, identity) + body

    def _wrapped(self, data_key: bytes, identity: str) -> bytes:
        key_id = self._current.encode()
        wrapped = _seal(self._masters[self._current], data_key, identity)
        return bytes((_FORMAT, len(key_id))) + key_id + wrapped

    def _unwrapped(self, blob: bytes, identity: str) -> tuple[str, bytes, bytes]:
        key_id, wrapped, body = _split(blob)
        master = self._masters.get(key_id)
        if master is None:
            raise VaultError(f"the master key {key_id!r} is not known here: add it to the keys file")
        return key_id, _open(master, wrapped, identity), body


def create_keys_file(path: Path) -> None:
    """Write one new master key, readable by its owner only; an existing file is left alone."""
    key_id = f"mk{secrets.token_hex(4)}"
    key = base64.b64encode(secrets.token_bytes(_KEY_BYTES)).decode()
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return
    with os.fdopen(descriptor, "w") as file:
        json.dump({"current": key_id, "keys": {key_id: key}}, file)
        file.flush()
        os.fsync(descriptor)


def _split(blob: bytes) -> tuple[str, bytes, bytes]:
    start = 2 + (blob[1] if len(blob) > 1 else 0)
    if len(blob) < start + _WRAPPED_BYTES or blob[0] != _FORMAT:
        raise VaultError("these bytes are no sealed secret")
    return (
        blob[2:start].decode(errors="replace"),
        blob[start : start + _WRAPPED_BYTES],
        blob[start + _WRAPPED_BYTES :],
    )


def _seal(cipher: AESGCM, plaintext: bytes, identity: str) -> bytes:
    nonce = secrets.token_bytes(_NONCE_BYTES)
    return nonce + cipher.encrypt(nonce, plaintext, identity.encode())


def _open(cipher: AESGCM, sealed: bytes, identity: str) -> bytes:
    try:
        return cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], identity.encode())
    except (InvalidTag, ValueError):
        raise VaultError("the secret does not open: damaged, or of another record") from None
