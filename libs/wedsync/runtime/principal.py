"""Who is calling: API keys, the principal a key stands for, and what a principal may do.

A key reads `wsk_<key_id>_<secret>`. The file holds only its SHA-256, which is enough for a secret of
256 random bits (there is nothing to guess, so nothing to slow down).
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import logging
import os
import secrets
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from wedsync.errors import PermissionDenied, Unauthenticated
from wedsync.runtime.settings import SettingsError

_log = logging.getLogger(__name__)

_NO_KEY_DIGEST = "0" * 64


class Scope:
    """What a key may be used for."""

    READ = "read"
    WRITE = "write"
    ADMIN = "admin"
    EMERGENCY = "emergency"
    """May say what overtakes every other edit."""
    INTERNAL = "internal"
    """Carried by our own services only: acts for any organization."""

    ALL = frozenset({READ, WRITE, ADMIN, EMERGENCY, INTERNAL})


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """The caller: for which organization it acts, in which role, as whom, and what it may do."""

    organization_id: str
    role: str
    actor: str
    scopes: frozenset[str]
    key_id: str

    def may(self, scope: str) -> bool:
        """Say whether the principal carries the scope; `internal` carries every other."""
        return scope in self.scopes or Scope.INTERNAL in self.scopes

    def acts_for(self, organization_id: str) -> bool:
        """Say whether the principal may act for the organization."""
        return Scope.INTERNAL in self.scopes or self.organization_id == organization_id


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyEntry:
    """One line of the keys file: a key's digest and the principal it stands for."""

    key_id: str
    sha256: str
    organization_id: str
    role: str
    actor: str
    scopes: tuple[str, ...]

    @property
    def principal(self) -> Principal:
        """Return whom the key stands for."""
        return Principal(
            organization_id=self.organization_id,
            role=self.role,
            actor=self.actor,
            scopes=frozenset(self.scopes),
            key_id=self.key_id,
        )


def mint_key(*, organization_id: str, role: str, actor: str, scopes: Iterable[str]) -> tuple[str, KeyEntry]:
    """Return a new key, shown only now, and the entry to keep."""
    wanted = tuple(sorted(set(scopes)))
    if unknown := set(wanted) - Scope.ALL:
        raise ValueError(f"unknown scopes {sorted(unknown)}: use {sorted(Scope.ALL)}")
    key_id = secrets.token_hex(8)
    key = f"wsk_{key_id}_{secrets.token_urlsafe(32)}"
    entry = KeyEntry(
        key_id=key_id,
        sha256=_digest(key),
        organization_id=organization_id,
        role=role,
        actor=actor,
        scopes=wanted,
    )
    return key, entry


def write_keys(path: Path, entries: Iterable[KeyEntry]) -> None:
    """Replace the keys file at once, readable by its owner only."""
    body = json.dumps({"keys": [asdict(entry) for entry in entries]}, indent=2).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:  # mkstemp gives mode 0600
            file.write(body)
            file.flush()
            os.fsync(descriptor)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def read_keys(path: Path) -> list[KeyEntry]:
    """Return the entries of a keys file; raise `SettingsError` if it cannot be understood."""
    try:
        document = json.loads(path.read_bytes())
        entries = [_entry(raw) for raw in document["keys"]]
    except OSError as error:
        raise SettingsError(f"cannot read the API keys in {path}: {error.strerror}") from error
    except (ValueError, TypeError, KeyError) as error:
        raise SettingsError(
            f"{path} is no API keys file ({error}): write it again with write_keys"
        ) from error
    if len({entry.key_id for entry in entries}) != len(entries):
        raise SettingsError(f"{path} names a key_id twice: remove one of them")
    return entries


class KeyRing:
    """The keys that are valid now; a changed file is noticed at the next call."""

    def __init__(self, entries: Iterable[KeyEntry], *, path: Path | None = None) -> None:
        self._path, self._stamp = path, _stamp(path)
        self._entries = _by_id(entries)

    @classmethod
    def from_file(cls, path: Path) -> Self:
        """Load the keys; raise `SettingsError` if there is no such file or it is damaged."""
        return cls(read_keys(path), path=path)

    def verify(self, bearer: str) -> Principal:
        """Return whom the key stands for; takes the key or the whole `Bearer <key>`.

        Raises `Unauthenticated` without saying whether the key is unknown or wrong.
        """
        self._reload_if_changed()
        key = _without_scheme(bearer)
        prefix, _, rest = key.partition("_")
        entry = self._entries.get(rest.partition("_")[0]) if prefix == "wsk" else None
        expected = entry.sha256 if entry else _NO_KEY_DIGEST
        if not hmac.compare_digest(_digest(key), expected) or entry is None:
            raise Unauthenticated
        return entry.principal

    def _reload_if_changed(self) -> None:
        stamp = _stamp(self._path)
        if self._path is None or stamp == self._stamp:
            return
        # Remembered before reading: a damaged file is complained about once, not at every call.
        self._stamp = stamp
        try:
            self._entries = _by_id(read_keys(self._path))
        except SettingsError as error:
            _log.error("keeping the API keys read before: %s", error)  # its message is the cure


_current: ContextVar[Principal | None] = ContextVar("wedsync_principal", default=None)


def current_principal() -> Principal:
    """Return who makes the call being served; raise `Unauthenticated` outside of one."""
    principal = _current.get()
    if principal is None:
        raise Unauthenticated
    return principal


@contextlib.contextmanager
def acting_as(principal: Principal) -> Iterator[Principal]:
    """Make the principal the current one; for servers and tests."""
    token = _current.set(principal)
    try:
        yield principal
    finally:
        _current.reset(token)


def require(scope: str) -> Principal:
    """Return the current principal if it carries the scope; raise `PermissionDenied` otherwise."""
    principal = current_principal()
    if not principal.may(scope):
        raise PermissionDenied(metadata={"scope": scope})
    return principal


def _entry(raw: Mapping[str, Any]) -> KeyEntry:
    entry = KeyEntry(**{**raw, "scopes": tuple(raw["scopes"])})
    texts = (entry.key_id, entry.sha256, entry.organization_id, entry.role, entry.actor)
    if not all(isinstance(text, str) for text in texts) or len(entry.sha256) != len(_NO_KEY_DIGEST):
        raise ValueError(f"the entry {raw.get('key_id')} is malformed")
    if unknown := set(entry.scopes) - Scope.ALL:
        raise ValueError(f"the entry {entry.key_id} has unknown scopes {sorted(unknown)}")
    return entry


def _by_id(entries: Iterable[KeyEntry]) -> dict[str, KeyEntry]:
    return {entry.key_id: entry for entry in entries}


def _without_scheme(bearer: str) -> str:
    scheme, _, rest = bearer.strip().partition(" ")
    return rest.strip() if scheme.lower() == "bearer" else scheme


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def _stamp(path: Path | None) -> tuple[int, int, int] | None:
    if path is None:
        return None
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
