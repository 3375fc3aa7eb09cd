"""Secrets at rest: they open for their own record and its master key, and for nothing else."""

from __future__ import annotations

import secrets
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wedsync.runtime.settings import SettingsError
from wedsync.runtime.vault import Vault, VaultError, create_keys_file

OLD, NEW = secrets.token_bytes(32), secrets.token_bytes(32)
VAULT = Vault({"old": OLD}, "old")
ROTATED = Vault({"old": OLD, "new": NEW}, "new")


@given(st.binary(max_size=300), st.text(st.characters(exclude_categories=["Cs"]), max_size=40))
def test_a_secret_opens_for_its_record(plaintext: bytes, identity: str) -> None:
    """What was encrypted for a record is decrypted for it, and never shows in the blob."""
    blob = VAULT.encrypt(plaintext, identity)
    assert VAULT.decrypt(blob, identity) == plaintext
    assert len(plaintext) < 8 or plaintext not in blob


def test_a_secret_moved_to_another_record_does_not_open() -> None:
    """The identity is part of the seal."""
    with pytest.raises(VaultError, match="another record"):
        VAULT.decrypt(VAULT.encrypt(b"token", "integration-1"), "integration-2")


@given(st.data())
def test_no_single_changed_or_missing_byte_goes_unnoticed(data: st.DataObject) -> None:
    """Flip or cut anything: it does not open."""
    blob = bytearray(VAULT.encrypt(b"token", "i"))
    position = data.draw(st.integers(0, len(blob) - 1))
    spoiled = bytes(blob[:position])
    if data.draw(st.booleans()):
        blob[position] ^= data.draw(st.integers(1, 255))
        spoiled = bytes(blob)
    with pytest.raises(VaultError):
        VAULT.decrypt(spoiled, "i")


def test_the_same_secret_never_looks_the_same() -> None:
    """Two encryptions of one secret differ."""
    assert VAULT.encrypt(b"token", "i") != VAULT.encrypt(b"token", "i")


def test_rotation_wraps_anew_and_leaves_the_text() -> None:
    """After rotation old blobs open, are found, and re-wrapped need the old master key no more."""
    blob = VAULT.encrypt(b"token", "i")
    assert ROTATED.decrypt(blob, "i") == b"token"
    assert not ROTATED.is_current(blob)
    rewrapped = ROTATED.rewrap(blob, "i")
    assert ROTATED.is_current(rewrapped)
    assert Vault({"new": NEW}, "new").decrypt(rewrapped, "i") == b"token"
    with pytest.raises(VaultError, match="'old' is not known"):
        Vault({"new": NEW}, "new").decrypt(blob, "i")


@pytest.mark.parametrize(
    ("keys", "current", "why"),
    [
        ({"a": OLD}, "b", "not among"),
        ({"a": b"short"}, "a", "exactly 32"),
        ({"": OLD}, "", "1 to 255"),
    ],
)
def test_wrong_master_keys_are_refused(keys: dict[str, bytes], current: str, why: str) -> None:
    """A vault is not made of keys that could not work."""
    with pytest.raises(ValueError, match=why):
        Vault(keys, current)


def test_a_keys_file_is_created_once_for_its_owner(tmp_path: Path) -> None:
    """The first call writes a key only the owner can read; the second leaves it as it is."""
    path = tmp_path / "secrets" / "vault.json"
    create_keys_file(path)
    first = path.read_text()
    create_keys_file(path)
    assert path.read_text() == first
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    blob = Vault.from_file(path).encrypt(b"token", "i")
    assert Vault.from_file(path).decrypt(blob, "i") == b"token"


@pytest.mark.parametrize(
    "content", ["{", "[]", '{"keys": {}}', '{"current": "a", "keys": {"a": "not base64!"}}', '{"keys": 1}']
)
def test_a_damaged_keys_file_is_refused_without_quoting_it(tmp_path: Path, content: str) -> None:
    """The error names the file and its form, never its content."""
    path = tmp_path / "vault.json"
    path.write_text(content)
    with pytest.raises(SettingsError, match="must read") as raised:
        Vault.from_file(path)
    assert "not base64" not in str(raised.value)
    assert raised.value.__cause__ is None


def test_a_missing_keys_file_is_said_so(tmp_path: Path) -> None:
    """Without the file the error names it."""
    with pytest.raises(SettingsError, match="No such file"):
        Vault.from_file(tmp_path / "vault.json")


def test_another_keys_vault_does_not_open_it() -> None:
    """The same key id with another key does not help."""
    blob = VAULT.encrypt(b"token", "i")
    with pytest.raises(VaultError):
        Vault({"old": NEW}, "old").decrypt(blob, "i")
