"""Settings: read from the environment, and what is said when one is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import pytest

from wedsync.runtime.settings import GRPC_PORTS, GrpcPort, ServerSettings, SettingsError, read_secret


class SyncSettings(ServerSettings):
    """As a service writes it."""

    service: ClassVar[str] = "sync"
    grpc_port: GrpcPort = GRPC_PORTS["sync"]


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Only what a service cannot do without, in an empty directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WEDSYNC_DATABASE_URL", "postgresql://app:hush@127.0.0.1/wedsync")


def test_defaults_are_those_of_one_machine(tmp_path: Path) -> None:
    """With only a database named, everything else has the documented default."""
    settings = SyncSettings.from_env()
    assert (settings.grpc_port, settings.sync_target) == (50052, "127.0.0.1:50052")
    assert settings.bind_host == "127.0.0.1"
    assert settings.home == tmp_path / ".wedsync"
    assert settings.api_keys_file == tmp_path / ".wedsync" / "api_keys.json"
    assert settings.internal_key_file == tmp_path / ".wedsync" / "internal_key"
    assert (settings.redis_url, settings.otlp_endpoint) == (None, None)


def test_every_setting_says_what_it_is() -> None:
    """No setting is without a description."""
    assert [name for name, field in SyncSettings.model_fields.items() if not field.description] == []


def test_the_environment_wins(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A variable with the prefix sets the field of its name; files follow a moved home."""
    monkeypatch.setenv("WEDSYNC_GRPC_PORT", "6000")
    monkeypatch.setenv("WEDSYNC_HOME", str(tmp_path / "elsewhere"))
    settings = SyncSettings.from_env()
    assert settings.grpc_port == 6000
    assert settings.api_keys_file == tmp_path / "elsewhere" / "api_keys.json"


def test_an_empty_optional_variable_is_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    """`WEDSYNC_REDIS_URL=` means the same as not setting it."""
    monkeypatch.setenv("WEDSYNC_REDIS_URL", "")
    assert SyncSettings.from_env().redis_url is None


def test_every_bad_variable_is_named_with_its_mend_and_no_value_is_quoted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """All mistakes are told at once: variable, what is wrong, what belongs there."""
    monkeypatch.delenv("WEDSYNC_DATABASE_URL")
    monkeypatch.setenv("WEDSYNC_DRAIN_SECONDS", "hush")
    monkeypatch.setenv("WEDSYNC_GRPC_PORT", "70000")
    with pytest.raises(SettingsError) as raised:
        SyncSettings.from_env()
    text = str(raised.value)
    assert "WEDSYNC_DATABASE_URL: is not set. Set it to: PostgreSQL 15+" in text
    assert "WEDSYNC_DRAIN_SECONDS: Input should be a valid number" in text
    assert "WEDSYNC_GRPC_PORT: Input should be less than or equal to 65535. Set it to: TCP port" in text
    assert "hush" not in text


def test_secrets_may_be_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """With WEDSYNC_SECRETS_DIR a file named after the variable holds its value."""
    monkeypatch.delenv("WEDSYNC_DATABASE_URL")
    monkeypatch.setenv("WEDSYNC_SECRETS_DIR", str(tmp_path))
    (tmp_path / "wedsync_database_url").write_text("postgresql://from-a-file/x\n")
    assert SyncSettings.from_env().database_url.get_secret_value() == "postgresql://from-a-file/x"


def test_a_secrets_directory_that_is_none_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory that does not exist is not silently ignored."""
    monkeypatch.setenv("WEDSYNC_SECRETS_DIR", "/no/such/place")
    with pytest.raises(SettingsError, match="WEDSYNC_SECRETS_DIR"):
        SyncSettings.from_env()


def test_secrets_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    """Printing the settings shows no password."""
    assert "hush" not in repr(SyncSettings.from_env())


def test_a_secret_file_is_read_or_complained_about(tmp_path: Path) -> None:
    """The internal key is the file's content without white space; a missing or empty file is an error."""
    (tmp_path / "key").write_text("wsk_a_b\n")
    assert SyncSettings.model_validate({"internal_key_file": tmp_path / "key"}).internal_key() == "wsk_a_b"
    (tmp_path / "empty").write_text(" \n")
    with pytest.raises(SettingsError, match="is empty"):
        read_secret(tmp_path / "empty")
    with pytest.raises(SettingsError, match="FileNotFoundError"):
        read_secret(tmp_path / "nowhere")
