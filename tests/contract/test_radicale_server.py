"""The CalDAV server of the sandbox: starts, keeps its data, ends without a trace."""

import os
import socket
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from wedsync.testing.radicale import create_calendar, prepare, running_radicale


def _open(url: str) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", urlsplit(url).port or 0)) == 0


def test_a_second_start_finds_the_first_ones_data(tmp_path: Path) -> None:
    """Account and calendars survive a restart, and nothing listens in between."""
    with running_radicale(tmp_path, calendars=["wedding"]) as first:
        assert _open(first.url)
    assert not _open(first.url)
    with running_radicale(tmp_path) as second:
        assert second.password == first.password
        assert (tmp_path / "storage/collection-root/couple/wedding/.Radicale.props").exists()


def test_the_account_is_readable_by_its_owner_only(tmp_path: Path) -> None:
    """Password files have no permissions for others."""
    prepare(tmp_path, 5232, "couple")
    for name in ("account.json", "htpasswd"):
        assert os.stat(tmp_path / name).st_mode & 0o077 == 0  # noqa: PTH116


def test_an_existing_calendar_stays_as_it_is(tmp_path: Path) -> None:
    """Creating a calendar twice changes nothing."""
    create_calendar(tmp_path, "couple", "wedding")
    props = tmp_path / "storage/collection-root/couple/wedding/.Radicale.props"
    props.write_text("{}")
    create_calendar(tmp_path, "couple", "wedding")
    assert props.read_text() == "{}"


def test_a_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    """A data folder that cannot be used is an error with the server's own words, not a wait."""
    (tmp_path / "storage").write_text("a file where a folder must be")
    with pytest.raises(RuntimeError, match="Radicale ended at once"), running_radicale(tmp_path):
        raise AssertionError
