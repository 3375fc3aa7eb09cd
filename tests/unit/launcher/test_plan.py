from __future__ import annotations

import io
import json
import socket
from pathlib import Path

import pytest

from services.launcher.logs import bound_logs
from services.launcher.prepare import ensure_keys, role_urls
from services.launcher.programs import (
    Credentials,
    Servers,
    base_environment,
    sandbox_programs,
    service_environment,
    service_programs,
)
from services.launcher.progress import Progress
from services.launcher.settings import SERVICES, StackSettings, with_usable_ports
from services.launcher.stack import run_content
from wedsync.errors import FailedPrecondition
from wedsync.runtime.embedded.local import free_port
from wedsync.runtime.principal import KeyRing, Scope, mint_key, read_keys, write_keys
from wedsync.runtime.roles import ROLES

_SERVERS = Servers("postgresql://admin@h/db", "redis://h", "h:1", {"RAY_AUTH_MODE": "token"})


def _settings(tmp_path: Path, **changes: object) -> StackSettings:
    return StackSettings.model_validate({"home": tmp_path, **changes})


def _credentials(tmp_path: Path) -> Credentials:
    return Credentials(
        database_urls={name: f"postgresql://{name}@h/db" for name in SERVICES},
        worker_urls={"gateway": "postgresql://worker@h/db"},
        api_keys_file=tmp_path / "keys",
        internal_key_files={name: tmp_path / name for name in SERVICES},
        demo_key_file=tmp_path / "demo",
        vault_keys_file=tmp_path / "vault",
        organization_id="o",
    )


def test_only_the_gateway_gets_the_vault_and_only_sync_gets_ray(tmp_path: Path) -> None:
    """Each service is told no more than it needs, and where its peers are."""
    settings = _settings(tmp_path, sync_grpc_port=7002)
    told = {name: service_environment(name, settings, _SERVERS, _credentials(tmp_path)) for name in SERVICES}
    assert {name for name in SERVICES if "WEDSYNC_VAULT_KEYS_FILE" in told[name]} == {"gateway"}
    assert {name for name in SERVICES if "RAY_AUTH_MODE" in told[name]} == {"sync"}
    assert {name for name in SERVICES if "WEDSYNC_WORKER_DATABASE_URL" in told[name]} == {"gateway"}
    assert (
        told["health"]["WEDSYNC_SYNC_TARGET"]
        == "127.0.0.1:7002"
        == f"127.0.0.1:{told['sync']['WEDSYNC_GRPC_PORT']}"
    )
    assert told["sync"]["WEDSYNC_DATABASE_URL"] == "postgresql://sync@h/db"


def test_children_carry_the_marker_and_compile_their_bytecode(tmp_path: Path) -> None:
    """Every child can be found by its home, and a switch that slows each actor's start is not inherited."""
    told = base_environment(_settings(tmp_path), {"PYTHONDONTWRITEBYTECODE": "1", "PATH": "/bin"})
    assert told["WEDSYNC_STACK"] == str(tmp_path)
    assert "PYTHONDONTWRITEBYTECODE" not in told
    assert told["PATH"] == "/bin"


def test_the_system_is_four_services_and_six_vendors(tmp_path: Path) -> None:
    """Nothing else is started, and nothing runs before it is asked to."""
    settings = _settings(tmp_path)
    units = [
        *sandbox_programs(settings),
        *service_programs(settings, _SERVERS, _credentials(tmp_path)),
    ]
    vendors = ["tave", "radicale", "slack", "stripe", "google", "outlook"]
    assert [unit.name for unit in units] == [*vendors, *SERVICES]
    assert [unit.pid for unit in units] == [None] * 10


def test_every_taken_port_is_named_with_its_setting(tmp_path: Path) -> None:
    """The refusal says which setting moves which port, and how to have free ones chosen."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        free = {f"{name}_grpc_port": free_port() for name in SERVICES}
        settings = _settings(tmp_path, **{**free, "http_port": port})
        with pytest.raises(FailedPrecondition, match=f"port {port} .*WEDSYNC_HTTP_PORT") as refusal:
            with_usable_ports(settings)
    assert "WEDSYNC_PORTS=auto" in str(refusal.value)


def test_free_ports_are_chosen_except_where_one_is_set(tmp_path: Path) -> None:
    """`auto` keeps the port somebody set and replaces every default."""
    wanted = free_port()
    chosen = with_usable_ports(_settings(tmp_path, ports="auto", http_port=wanted))
    assert chosen.http_port == wanted
    assert chosen.sync_grpc_port != StackSettings.model_fields["sync_grpc_port"].default


def test_an_empty_variable_means_embedded(monkeypatch: pytest.MonkeyPatch) -> None:
    """`WEDSYNC_DATABASE_URL=` is the same as leaving it out."""
    monkeypatch.setenv("WEDSYNC_DATABASE_URL", "")
    assert StackSettings().database_url is None


def test_the_run_file_names_secrets_by_file_only(tmp_path: Path) -> None:
    """It says where everything is, and holds neither a key nor a database password."""
    content = run_content(_settings(tmp_path), _credentials(tmp_path), {"gateway": 7})
    assert content["pids"] == {"gateway": 7}
    assert content["demo_key_file"] == str(tmp_path / "demo")
    assert "postgresql" not in json.dumps(content)


def test_role_urls_keep_the_place_and_quote_the_password() -> None:
    """Every role logs in to the same database, whatever characters its password has."""
    urls = role_urls("postgresql://admin:secret@h:5/db", lambda _: "p%/x")
    assert set(urls) == set(ROLES)
    assert urls["wedsync_sync"] == "postgresql://wedsync_sync:p%25%2Fx@h:5/db"


def test_keys_are_minted_once_and_foreign_ones_are_kept(tmp_path: Path) -> None:
    """A second start keeps every key; a lost key file is replaced; what an operator added stays."""
    keys = tmp_path / "api_keys.json"
    _, foreign = mint_key(organization_id="o", role="venue", actor="them", scopes={Scope.READ})
    write_keys(keys, [foreign])
    files = ensure_keys(keys)
    before = {name: file.read_text() for name, file in files.items()}
    assert {name: file.read_text() for name, file in ensure_keys(keys).items()} == before
    files["demo"].unlink()
    ensure_keys(keys)
    ring = KeyRing.from_file(keys)
    assert ring.verify(files["demo"].read_text()).scopes == {
        Scope.READ,
        Scope.WRITE,
        Scope.ADMIN,
        Scope.EMERGENCY,
    }
    assert ring.verify(before["sync"]).scopes == {Scope.INTERNAL}
    assert foreign in read_keys(keys)
    assert files["demo"].stat().st_mode & 0o777 == 0o600


def test_a_log_that_outgrew_its_bound_is_moved_aside(tmp_path: Path) -> None:
    """The writer's open file goes on at zero; the content is kept once; small logs are left alone."""
    big, small = tmp_path / "big.log", tmp_path / "small.log"
    small.write_text("x")
    with big.open("a") as writer:
        writer.write("0123456789")
        writer.flush()
        bound_logs(tmp_path, 5)
        writer.write("next")
    assert (tmp_path / "big.log.1").read_text() == "0123456789"
    assert big.read_text() == "next"
    assert small.read_text() == "x"


def test_progress_survives_a_closed_terminal() -> None:
    """A terminal that went away does not stop the system from ending what it runs."""

    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError(5, "Input/output error")

    Progress(Gone()).died("gateway", 0.1)
