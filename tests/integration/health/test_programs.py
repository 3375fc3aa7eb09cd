"""The conflicts and health services as programs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.support.database import MigratedDatabase
from tests.support.processes import eventually
from wedsync.runtime.embedded.local import free_port
from wedsync.runtime.principal import write_keys

_SERVICES = ("conflicts", "health")


def serving(port: int) -> bool:
    """Say whether the server answers that it can work."""
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        try:
            answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=1)
        except grpc.RpcError:
            return False
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


@pytest.mark.parametrize("service", _SERVICES)
def test_it_serves_until_told_to_end(
    service: str, migrated_database: MigratedDatabase, tmp_path: Path
) -> None:
    """`python -m services.<name>` becomes SERVING, and ends with status 0 after SIGTERM."""
    port = free_port()
    write_keys(tmp_path / "api_keys.json", [])
    (tmp_path / "internal_key").write_text("nobody asks with it")
    environment = {
        **os.environ,
        "WEDSYNC_HOME": str(tmp_path),
        "WEDSYNC_DATABASE_URL": migrated_database.app_url(service),
        "WEDSYNC_WORKER_DATABASE_URL": migrated_database.worker_url("conflicts"),
        "WEDSYNC_GRPC_PORT": str(port),
        "WEDSYNC_METRICS_PORT": "0",
        "WEDSYNC_DRAIN_SECONDS": "2",
    }
    with (tmp_path / "log").open("wb") as log:
        child = subprocess.Popen([sys.executable, "-m", f"services.{service}"], env=environment, stderr=log)
        try:
            eventually(lambda: serving(port) or child.poll() is not None, 30, f"{service} is serving")
            assert child.poll() is None, (tmp_path / "log").read_text()
            child.send_signal(signal.SIGTERM)
            assert child.wait(15) == 0
        finally:
            child.kill()
            child.wait(5)


@pytest.mark.parametrize("service", _SERVICES)
def test_a_missing_setting_is_named_with_its_cure(service: str, tmp_path: Path) -> None:
    """Without a database URL the program ends with status 2 and says which variable to set."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("WEDSYNC_")}
    ended = subprocess.run(
        [sys.executable, "-m", f"services.{service}"],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert ended.returncode == 2
    assert "WEDSYNC_DATABASE_URL" in ended.stderr
