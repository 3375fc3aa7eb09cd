from __future__ import annotations

import socket
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from services.launcher.lock import home_lock
from services.launcher.units import Program, grpc_serving, listening
from wedsync.errors import FailedPrecondition
from wedsync.runtime.embedded.local import free_port
from wedsync.runtime.embedded.process import ChildFailed, Launch, end_marked


def _launch(tmp_path: Path, source: str) -> Launch:
    argv = [sys.executable, "-c", source]
    return Launch(name="program", argv=argv, log=tmp_path / "p.log", env={"MARK": str(tmp_path)})


def test_a_service_is_ready_when_its_health_says_so() -> None:
    """Neither a closed port nor a server that is not serving yet counts as ready."""
    assert not grpc_serving(free_port())()
    server, servicer = grpc.server(ThreadPoolExecutor(2)), health.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        servicer.set("", health_pb2.HealthCheckResponse.NOT_SERVING)
        assert not grpc_serving(port)()
        servicer.set("", health_pb2.HealthCheckResponse.SERVING)
        assert grpc_serving(port)()
    finally:
        server.stop(0).wait(5)


def test_a_vendor_is_ready_when_it_accepts_connections() -> None:
    """The sandbox' systems need no health protocol: an open port is enough."""
    assert not listening(free_port())()
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert listening(server.getsockname()[1])()


def test_a_program_that_never_gets_ready_is_ended_and_its_words_are_shown(tmp_path: Path) -> None:
    """The wait has a limit; after it the process is gone and the end of its log is in the error."""
    source = "print('waiting for a miracle', flush=True); import signal; signal.pause()"
    program = Program(_launch(tmp_path, source), lambda: False, start_seconds=1.0)
    with pytest.raises(ChildFailed, match="waiting for a miracle"):
        program.start()
    assert program.pid is None
    program.stop()


def test_marked_processes_are_found_and_ended(tmp_path: Path) -> None:
    """What an earlier run left is known by its environment, and only that is ended."""
    left = Program(_launch(tmp_path, "import signal; signal.pause()"), lambda: True, start_seconds=5)
    left.start()
    assert end_marked("MARK", "another") == 0
    assert end_marked("MARK", str(tmp_path)) == 1
    assert left.pid is None
    left.stop()


def test_a_stale_lock_is_harmless_and_a_held_one_refuses(tmp_path: Path) -> None:
    """A lock file without a holder is taken over; with one it is refused, and it is gone at the end."""
    (tmp_path / "lock").write_text("12345")
    with home_lock(tmp_path), pytest.raises(FailedPrecondition, match="already runs"), home_lock(tmp_path):
        pass
    assert not (tmp_path / "lock").exists()
