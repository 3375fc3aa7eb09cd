from __future__ import annotations

import os
import pwd
import socket
from pathlib import Path

import pytest

from wedsync.runtime.embedded.local import (
    free_port,
    port_is_free,
    read_or_create_secret,
    remembered_port,
    write_private,
)
from wedsync.runtime.embedded.postgres import may_enter, on_database


def _status(*, mode: int, uid: int, gid: int) -> os.stat_result:
    return os.stat_result((mode, 0, 0, 1, uid, gid, 0, 0, 0, 0))


_ACCOUNT = pwd.struct_passwd(("nobody", "x", 65534, 65533, "", "/", "/bin/false"))


def test_a_secret_is_made_once_and_is_private(tmp_path: Path) -> None:
    """The second reader gets the first one's secret, and the file is its owner's only."""
    path = tmp_path / "secrets" / "password"
    first = read_or_create_secret(path)
    assert len(first) > 30
    assert read_or_create_secret(path) == first
    assert path.stat().st_mode & 0o777 == 0o600


def test_writing_a_private_file_survives_an_interrupted_one(tmp_path: Path) -> None:
    """What a killed writer left beside the file neither stops the next one nor is ever read."""
    (tmp_path / "key.new").write_text("half")
    write_private(tmp_path / "key", "whole")
    assert (tmp_path / "key").read_text() == "whole"
    assert not (tmp_path / "key.new").exists()


def test_a_port_is_remembered_while_it_is_free(tmp_path: Path) -> None:
    """The same port comes again, until somebody else listens on it."""
    file = tmp_path / "port"
    first = remembered_port(file)
    assert remembered_port(file) == first
    with socket.socket() as other:
        other.bind(("127.0.0.1", first))
        other.listen()
        assert not port_is_free(first)
        assert remembered_port(file) != first


def test_a_damaged_note_of_the_port_is_replaced(tmp_path: Path) -> None:
    """A file that holds no number gives a fresh port and is written anew."""
    file = tmp_path / "port"
    file.write_text("?")
    assert file.read_text() != str(remembered_port(file))
    assert int(file.read_text()) > 0


@pytest.mark.parametrize(
    ("status", "allowed"),
    [
        (_status(mode=0o40700, uid=65534, gid=0), True),
        (_status(mode=0o40010, uid=0, gid=65533), True),
        (_status(mode=0o40701, uid=0, gid=65533), False),
        (_status(mode=0o40755, uid=0, gid=0), True),
        (_status(mode=0o40700, uid=0, gid=0), False),
    ],
)
def test_the_mode_bits_say_who_may_enter(status: os.stat_result, *, allowed: bool) -> None:
    """Owner, group and others are judged each by their own bit, the first that matches alone."""
    assert may_enter(status, _ACCOUNT) is allowed


def test_only_the_database_of_a_url_changes() -> None:
    """Login, host and port stay."""
    assert on_database("postgresql://a:b@127.0.0.1:5/postgres", "x") == "postgresql://a:b@127.0.0.1:5/x"


def test_no_port_is_given_out_twice_in_a_row() -> None:
    """Whoever asked for one may not listen yet as the next one asks."""
    ports = [free_port() for _ in range(100)]
    assert len(set(ports)) == 100
