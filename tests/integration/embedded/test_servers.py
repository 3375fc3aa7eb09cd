from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest
import redis

from tests.support.processes import eventually, mentioning
from wedsync.runtime.embedded.local import free_port
from wedsync.runtime.embedded.postgres import EmbeddedPostgres
from wedsync.runtime.embedded.process import ChildFailed
from wedsync.runtime.embedded.ray import EmbeddedRay
from wedsync.runtime.embedded.valkey import EmbeddedValkey

_HASTY = {"fsync": "off"}

# How often, and how long, a driver that is refused tries again.
_IMPATIENT = {"RAY_NUM_REDIS_GET_RETRIES": "1", "RAY_gcs_rpc_server_connect_timeout_s": "1"}

_ACTOR_PROGRAM = """
import sys, ray
ray.init(address=sys.argv[1], namespace="test", log_to_driver=False, logging_level="ERROR")

@ray.remote(num_cpus=0)
class Prober:
    def look(self):
        import wedsync, sys
        return wedsync.__file__, sys.executable

print(*ray.get(Prober.remote().look.remote(), timeout=30))
"""


@pytest.fixture
def closed(tmp_path: Path) -> Path:
    """A directory nobody but its owner may enter, as /root is."""
    directory = tmp_path / "closed"
    directory.mkdir(mode=0o700)
    return directory


@pytest.fixture
def postgres(closed: Path) -> Iterator[EmbeddedPostgres]:
    """A server in a closed directory, not yet started."""
    server = EmbeddedPostgres(closed / "data", closed / "secrets", options=_HASTY)
    yield server
    server.stop()


def test_postgres_keeps_its_data_and_its_port_over_a_restart(
    postgres: EmbeddedPostgres, closed: Path
) -> None:
    """What was committed before the stop is there after the next start, at the same address."""
    url = postgres.start()
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
        row = connection.execute("SELECT current_setting('data_checksums')").fetchone()
    assert row == ("on",)
    postgres.stop()
    again = EmbeddedPostgres(closed / "data", closed / "secrets", options=_HASTY)
    try:
        assert again.start() == url
        with psycopg.connect(url) as connection:
            assert connection.execute("SELECT answer FROM kept").fetchone() == (42,)
    finally:
        again.stop()


def test_postgres_listens_on_loopback_and_wants_the_password(postgres: EmbeddedPostgres) -> None:
    """A login without the password is refused, and nothing but 127.0.0.1 is listened on."""
    url = postgres.start()
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(url.replace(url.split(":")[2].split("@")[0], "wrong"))
    listening = [c.laddr.ip for c in psutil.Process(postgres.pid).net_connections() if c.status == "LISTEN"]
    assert listening == ["127.0.0.1"]


def test_postgres_recovers_after_it_was_killed(postgres: EmbeddedPostgres) -> None:
    """The stale lock file of a killed server does not stop the next start."""
    postgres.start()
    assert postgres.pid
    os.kill(postgres.pid, signal.SIGKILL)
    eventually(lambda: postgres.pid is None, 5, "the server is gone")
    with psycopg.connect(postgres.start()) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_postgres_ends_a_server_an_earlier_run_left(postgres: EmbeddedPostgres, closed: Path) -> None:
    """A second owner of the same data takes over: the server that was left running is ended first."""
    postgres.start()
    left = postgres.pid
    successor = EmbeddedPostgres(closed / "data", closed / "secrets", options=_HASTY)
    try:
        successor.start()
        assert left
        assert successor.pid != left
        assert postgres.pid is None
    finally:
        successor.stop()


def test_postgres_says_why_it_does_not_start(closed: Path) -> None:
    """A port that is taken and was asked for fails the start with the server's own words."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        server = EmbeddedPostgres(closed / "data", closed / "secrets", other.getsockname()[1], options=_HASTY)
        with pytest.raises(ChildFailed, match="Address already in use"):
            server.start()
    assert server.pid is None


def test_valkey_serves_and_keeps_nothing_on_disk(tmp_path: Path) -> None:
    """It answers at its URL, a restart keeps the address and forgets the data, a stop leaves no process."""
    server = EmbeddedValkey(tmp_path / "valkey.log")
    try:
        url = server.start()
        with redis.Redis.from_url(url) as client:
            assert client.set("hint", "1")
        server.stop()
        assert server.start() == url
        with redis.Redis.from_url(url) as client:
            assert client.get("hint") is None
        pid = server.pid
    finally:
        server.stop()
    assert pid
    assert not psutil.pid_exists(pid)
    assert [path.name for path in tmp_path.iterdir()] == ["valkey.log"]


def test_valkey_says_why_it_does_not_start(tmp_path: Path) -> None:
    """A port it cannot have fails the start with the end of its log."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        with pytest.raises(ChildFailed, match=r"valkey\.log"):
            EmbeddedValkey(tmp_path / "valkey.log", other.getsockname()[1]).start()


@pytest.fixture
def ray(tmp_path: Path) -> Iterator[EmbeddedRay]:
    """A local Ray, not yet started."""
    server = EmbeddedRay(tmp_path / "state", tmp_path / "secrets", tmp_path / "ray.log")
    yield server
    server.stop()


def test_ray_runs_actors_with_our_interpreter_and_ends_without_a_trace(
    ray: EmbeddedRay, tmp_path: Path
) -> None:
    """An actor sees the checkout; a driver without the token is refused; a stop leaves nothing at all."""
    address = ray.start()
    scratch = (tmp_path / "state" / "ray_scratch").read_text()
    command = [sys.executable, "-c", _ACTOR_PROGRAM, address]
    answer = subprocess.run(
        command, env={**os.environ, **ray.environment}, capture_output=True, text=True, timeout=60, check=True
    )
    assert answer.stdout.split() == [sys.modules["wedsync"].__file__, sys.executable]
    assert Path(scratch).stat().st_mode & 0o777 == 0o700
    stranger = {**os.environ, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0" * 40, **_IMPATIENT}
    refused = subprocess.run(command, env=stranger, capture_output=True, text=True, timeout=60, check=False)
    assert refused.returncode != 0
    ray.stop()
    assert mentioning(scratch) == []
    assert not Path(scratch).exists()
    assert not (tmp_path / "state" / "ray_scratch").exists()


def test_ray_whose_guard_was_killed_is_cleared_away_and_comes_back(ray: EmbeddedRay, tmp_path: Path) -> None:
    """With the watching process killed, the next start ends the orphans and keeps the address."""
    address = ray.start()
    scratch = (tmp_path / "state" / "ray_scratch").read_text()
    assert ray.pid
    os.kill(ray.pid, signal.SIGKILL)
    eventually(lambda: ray.pid is None, 5, "the guard is gone")
    assert ray.start() == address
    assert mentioning(scratch) == []
    raylet = next(p for p in psutil.Process(ray.pid).children() if p.name() == "raylet")
    raylet.kill()
    eventually(lambda: ray.pid is None, 15, "the guard ends when Ray is broken")
    assert "Ray lost raylet" in (tmp_path / "ray.log").read_text()


def test_ray_says_why_it_does_not_start(tmp_path: Path) -> None:
    """A port that is taken fails the start at once, and nothing is left in the temporary directory."""
    before = set(Path(tempfile.gettempdir()).glob("wsray-*"))
    with socket.socket() as other:
        other.bind(("", free_port()))
        other.listen()
        server = EmbeddedRay(tmp_path, tmp_path / "secrets", tmp_path / "ray.log", other.getsockname()[1])
        with pytest.raises(ChildFailed, match="in use"):
            server.start()
    assert set(Path(tempfile.gettempdir()).glob("wsray-*")) <= before
