"""What the doctor finds, and what it says to do."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from tests.unit.cli.conftest import Wedsync
from tests.unit.cli.fakes import KEY, System, environment, serving
from tests.unit.cli.test_connection import gone_pid, write_run_file
from wedsync.cli.app import app
from wedsync.cli.doctor import clock_found, python_found, readiness_found
from wedsync.cli.http import Answer, send
from wedsync.errors import Unavailable

READY = b'{"ready": true, "degraded": {}}'


@contextmanager
def http_server(body: bytes) -> Iterator[str]:
    """Serve one answer on a free port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join(5)


def doctor(env: Mapping[str, str]) -> tuple[Result, dict[str, dict[str, Any]]]:
    """Run it; return its result and its findings by name."""
    result = CliRunner().invoke(app, ["doctor", "--json"], env=env)
    return result, {finding["check"]: finding for finding in json.loads(result.stdout)}


def test_all_is_well(tmp_path: Path, target: str) -> None:
    """With everything running, every finding is good and the status is 0."""
    services = dict.fromkeys(("gateway", "sync", "conflicts", "health"), target)
    with http_server(READY) as http:
        write_run_file(tmp_path / ".wedsync", grpc=services, http=http)
        (tmp_path / ".wedsync" / "demo_key").write_text(KEY)
        result, findings = doctor({})
        plain = CliRunner().invoke(app, ["doctor"])
    assert (result.exit_code, plain.exit_code) == (0, 0), result.stdout
    assert "API key" in plain.stdout
    assert list(findings) == [
        "python",
        "versions",
        "system",
        "gateway service",
        "sync service",
        "conflicts service",
        "health service",
        "API key",
        "HTTP",
        "clock",
    ]


def test_nothing_runs() -> None:
    """Without a system it says how to start one, and status 1."""
    result, findings = doctor({})
    assert result.exit_code == 1
    assert "make run" in findings["system"]["mend"]
    assert "API key" not in findings


def test_system_is_gone(tmp_path: Path) -> None:
    """A run file left behind by a dead system is told apart from none, and nobody answering is seen."""
    write_run_file(tmp_path / ".wedsync", pid=gone_pid(), http="http://127.0.0.1:1")
    result, findings = doctor({})
    assert result.exit_code == 1
    assert "is gone" in findings["system"]["detail"]
    assert "does not answer" in findings["sync service"]["detail"]
    assert "sync.log" in findings["sync service"]["mend"]
    assert not findings["API key"]["ok"]
    assert "does not answer" in findings["HTTP"]["detail"]


def test_broken_run_file(tmp_path: Path) -> None:
    """A run file that makes no sense is one bad finding."""
    write_run_file(tmp_path / ".wedsync").write_text("{")
    result, findings = doctor({})
    assert result.exit_code == 1
    assert "makes no sense" in findings["system"]["detail"]


def test_wrong_key(wedsync: Wedsync) -> None:
    """A key the services refuse is found."""
    result = wedsync("doctor", "--json", WEDSYNC_API_KEY="other")
    findings = {finding["check"]: finding for finding in json.loads(result.stdout)}
    assert result.exit_code == 1
    assert findings["system"]["detail"] == "named by the environment"
    assert "WEDSYNC_API_KEY" in findings["API key"]["mend"]


def test_empty_account(wedsync: Wedsync, system: System) -> None:
    """A key that sees no wedding yet is as good as any."""
    system.weddings.clear()
    assert wedsync("doctor").exit_code == 0


def test_not_serving() -> None:
    """A service that answers but does not serve is not well, and only those named are asked."""
    with serving(System(), healthy=False) as target:
        env = {**environment(target), "WEDSYNC_SYNC_TARGET": ""}
        result, findings = doctor(env)
    assert result.exit_code == 1
    assert findings["gateway service"]["detail"].endswith("not serving")
    assert "sync service" not in findings
    assert "API key" not in findings


@pytest.mark.parametrize(("python", "ok"), [((3, 10, 9), False), ((3, 11, 0), True), ((3, 14, 1), True)])
def test_python(python: tuple[int, ...], ok: bool) -> None:
    """Python before 3.11 is refused, with the cure."""
    finding = python_found(python)
    assert (finding.ok, bool(finding.mend)) == (ok, not ok)


def test_readiness() -> None:
    """Not ready is wrong, degraded is only said, anything else is not the gateway."""
    degraded = readiness_found(
        "http://x", Answer(status=200, body=b'{"ready":true,"degraded":{"redis":"slow"}}')
    )
    assert degraded.ok
    assert degraded.detail == "http://x ready; without redis: slow"
    unready = readiness_found("http://x", Answer(status=503, body=b'{"ready":false,"degraded":{}}'))
    assert not unready.ok
    assert unready.mend
    for body in (b"<html>", b"[]", b'{"ready": true}'):
        assert not readiness_found("http://x", Answer(status=200, body=body)).ok


def test_clock() -> None:
    """A clock that is minutes off is found."""
    stated = "Tue, 01 Jun 2027 12:00:00 GMT"
    assert clock_found(datetime(2027, 6, 1, 12, 0, 1, tzinfo=UTC), stated).ok
    wrong = clock_found(datetime(2027, 6, 1, 12, 5, tzinfo=UTC), stated)
    assert not wrong.ok
    assert "NTP" in wrong.mend


async def test_http() -> None:
    """A request brings status, headers and body; nobody there is `Unavailable`, over TLS too."""
    with http_server(b"hello") as address:
        answer = await send("GET", address)
    assert (answer.status, answer.body) == (200, b"hello")
    assert "date" in answer.headers
    for scheme in ("http", "https"):
        with pytest.raises(Unavailable, match="does not answer"):
            await send("GET", f"{scheme}://127.0.0.1:1/x")
