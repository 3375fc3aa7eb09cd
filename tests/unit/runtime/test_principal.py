"""API keys: minting, keeping, verifying, and what a principal may do."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from wedsync.errors import PermissionDenied, Unauthenticated
from wedsync.runtime.principal import (
    KeyEntry,
    KeyRing,
    Principal,
    Scope,
    acting_as,
    current_principal,
    mint_key,
    read_keys,
    require,
    write_keys,
)
from wedsync.runtime.settings import SettingsError


def _mint(actor: str = "ann", *scopes: str) -> tuple[str, KeyEntry]:
    return mint_key(organization_id="org", role="planner", actor=actor, scopes=scopes or [Scope.READ])


def test_a_key_names_its_id_and_the_file_never_holds_it(tmp_path: Path) -> None:
    """The key reads wsk_<key_id>_<secret>; the file has its digest only, for its owner's eyes."""
    key, entry = _mint()
    path = tmp_path / "deep" / "keys.json"
    write_keys(path, [entry])
    assert key.startswith(f"wsk_{entry.key_id}_")
    assert key.rpartition("_")[2] not in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert read_keys(path) == [entry]


@pytest.mark.parametrize("form", ["{}", "Bearer {}", "bearer   {} "])
def test_a_key_stands_for_its_principal(form: str) -> None:
    """The key itself and the whole authorization value are both understood."""
    key, entry = _mint("ann", Scope.READ, Scope.WRITE)
    principal = KeyRing([entry]).verify(form.format(key))
    assert principal == Principal(
        organization_id="org",
        role="planner",
        actor="ann",
        scopes=frozenset({"read", "write"}),
        key_id=entry.key_id,
    )


@pytest.mark.parametrize(
    "spoil",
    [
        lambda key: key[:-1] + ("a" if key[-1] != "a" else "b"),
        lambda key: key.replace("wsk_", "xyz_"),
        lambda key: "Basic " + key,
        lambda _: "wsk_unknown_secret",
        lambda _: "",
        lambda _: "ключ",
    ],
)
def test_anything_else_is_unauthenticated(spoil: Callable[[str], str]) -> None:
    """A wrong secret, another scheme, an unknown key, nothing and nonsense all get the same answer."""
    key, entry = _mint()
    with pytest.raises(Unauthenticated) as raised:
        KeyRing([entry]).verify(spoil(key))
    assert raised.value.metadata == {}


def test_a_changed_file_is_noticed(tmp_path: Path) -> None:
    """A key added to the file works at the next call, and a removed one does not any more."""
    (first, first_entry), (second, second_entry) = _mint("one"), _mint("two")
    path = tmp_path / "keys.json"
    write_keys(path, [first_entry])
    ring = KeyRing.from_file(path)
    assert ring.verify(first).actor == "one"
    write_keys(path, [second_entry])
    assert ring.verify(second).actor == "two"
    with pytest.raises(Unauthenticated):
        ring.verify(first)


def test_a_damaged_or_vanished_file_changes_nothing_and_is_complained_about_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The keys read before stay valid, so that a slip of an editor does not lock everybody out."""
    key, entry = _mint()
    path = tmp_path / "keys.json"
    write_keys(path, [entry])
    ring = KeyRing.from_file(path)
    path.write_text("{")
    assert [ring.verify(key).actor for _ in range(3)] == ["ann"] * 3
    assert len(caplog.records) == 1
    path.unlink()
    assert ring.verify(key).actor == "ann"
    assert len(caplog.records) == 2


@pytest.mark.parametrize(
    "change",
    [
        {"scopes": ["everything"]},
        {"scopes": None},
        {"sha256": "short"},
        {"actor": 7},
        {"surprise": "field"},
    ],
)
def test_a_malformed_entry_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    """A file with an entry that makes no sense is refused as a whole, naming the file."""
    _, entry = _mint()
    path = tmp_path / "keys.json"
    write_keys(path, [entry])
    document = json.loads(path.read_text())
    document["keys"][0].update(change)
    path.write_text(json.dumps(document))
    with pytest.raises(SettingsError, match=r"keys\.json"):
        KeyRing.from_file(path)


def test_a_missing_file_and_a_doubled_id_are_refused(tmp_path: Path) -> None:
    """At the start a missing file is an error, and so are two entries of one id."""
    with pytest.raises(SettingsError, match="No such file"):
        KeyRing.from_file(tmp_path / "nowhere.json")
    _, entry = _mint()
    write_keys(tmp_path / "keys.json", [entry, entry])
    with pytest.raises(SettingsError, match="twice"):
        KeyRing.from_file(tmp_path / "keys.json")


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    """When the file cannot be put in place, the temporary one is removed."""
    target = tmp_path / "keys.json"
    target.mkdir()
    with pytest.raises(OSError, match="directory"):
        write_keys(target, [])
    assert list(tmp_path.iterdir()) == [target]


def test_unknown_scopes_cannot_be_minted() -> None:
    """A mistyped scope is refused when the key is made, not when it is used."""
    with pytest.raises(ValueError, match="unknown scopes"):
        _mint("ann", "raed")


def test_a_principal_does_what_its_scopes_say() -> None:
    """Reading needs `read`; `internal` carries every scope and acts for any organization."""
    _, reader = _mint("ann", Scope.READ)
    _, service = _mint("gateway", Scope.INTERNAL)
    with acting_as(reader.principal):
        assert require(Scope.READ).actor == "ann"
        with pytest.raises(PermissionDenied):
            require(Scope.WRITE)
        assert current_principal().acts_for("org")
        assert not current_principal().acts_for("another")
    with acting_as(service.principal):
        assert require(Scope.ADMIN).acts_for("another")
    with pytest.raises(Unauthenticated):
        current_principal()
