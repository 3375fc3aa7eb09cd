"""The migration a cluster runs before each release."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

import psycopg
import pytest

from services.launcher.migrate import main
from tests.support.database import MigratedDatabase
from wedsync.model.ids import new_id
from wedsync.runtime.embedded.local import free_port
from wedsync.runtime.roles import ROLES


@pytest.fixture
def passwords(tmp_path: Path, migrated_database: MigratedDatabase, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file per role, as a secret is mounted; the roles are the whole server's, so they keep theirs."""
    for role in ROLES:
        (tmp_path / role).write_text(unquote(urlsplit(migrated_database.urls[role]).password or ""))
    monkeypatch.setenv("WEDSYNC_ROLE_PASSWORDS_DIR", str(tmp_path))
    return tmp_path


def test_an_empty_database_is_made_ready_and_again(
    postgres_admin_url: str, passwords: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Schemas of all services are there afterwards; a second run changes nothing."""
    name = f"fresh_{new_id().replace('-', '')}"
    with psycopg.connect(postgres_admin_url, autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name}".encode())
    url = postgres_admin_url.rpartition("/")[0] + f"/{name}"
    monkeypatch.setenv("WEDSYNC_ADMIN_DATABASE_URL", url)
    assert [main(), main()] == [0, 0]
    with psycopg.connect(url) as admin:
        found = admin.execute("SELECT schemaname FROM pg_tables WHERE tablename = 'alembic_version'")
        assert {row[0] for row in found} == {"gateway", "sync", "conflicts", "health"}


def test_a_database_that_is_away_is_said(
    passwords: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Status 1, so that the Job tries again."""
    monkeypatch.setenv("WEDSYNC_ADMIN_DATABASE_URL", f"postgresql://a@127.0.0.1:{free_port()}/x")
    assert main() == 1
    assert "not migrated" in capsys.readouterr().err


def test_a_missing_setting_is_named(
    passwords: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Status 2 names the variable, or the file of a role without password."""
    monkeypatch.delenv("WEDSYNC_ADMIN_DATABASE_URL", raising=False)
    assert main() == 2
    assert "WEDSYNC_ADMIN_DATABASE_URL" in capsys.readouterr().err
    monkeypatch.setenv("WEDSYNC_ADMIN_DATABASE_URL", "postgresql://a@127.0.0.1:1/x")
    (passwords / "wedsync_owner").unlink()
    assert main() == 2
    assert "wedsync_owner" in capsys.readouterr().err
