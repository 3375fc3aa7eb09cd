"""What the supervisor runs: anything that can be started until ready, has a pid, and can be stopped."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable
from typing import Protocol

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from wedsync.runtime.embedded.process import Child, Launch

_PROBE_SECONDS = 1.0


class Unit(Protocol):
    """One supervised part of the system; the embedded servers are units too."""

    @property
    def name(self) -> str:
        """What people and log files call it."""
        ...

    @property
    def pid(self) -> int | None:
        """Its main process; None while it does not run."""
        ...

    def start(self) -> object:
        """Start it and block until it is ready; raise `ChildFailed` if it does not come up in time."""
        ...

    def stop(self) -> None:
        """End it within a bound; safe to repeat, and safe while another thread is in `start`."""
        ...


class Program:
    """A program that runs as one child process and is ready when its probe says so."""

    def __init__(self, launch: Launch, ready: Callable[[], bool], start_seconds: float) -> None:
        self._launch, self._ready, self._start_seconds = launch, ready, start_seconds
        self._child: Child | None = None

    @property
    def name(self) -> str:
        """Return the name given at launch."""
        return self._launch.name

    @property
    def pid(self) -> int | None:
        """Return its pid while it runs."""
        return self._child.pid if self._child else None

    def start(self) -> None:
        """Start the process and wait until its probe succeeds."""
        child = self._child = Child(self._launch)
        child.start()
        deadline = time.monotonic() + self._start_seconds
        while not self._ready():
            child.require_running()
            if time.monotonic() > deadline:
                child.stop()
                raise child.failure(f"is not ready within {self._start_seconds:.0f} s")

    def stop(self) -> None:
        """End the process and its group."""
        if self._child:
            self._child.stop()


def grpc_serving(port: int) -> Callable[[], bool]:
    """Return a probe that asks grpc.health.v1 whether the whole server is serving."""

    def probe() -> bool:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            stub = health_pb2_grpc.HealthStub(channel)
            try:
                answer = stub.Check(health_pb2.HealthCheckRequest(), timeout=_PROBE_SECONDS)
            except grpc.RpcError:
                return False
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)

    return probe


def listening(port: int) -> Callable[[], bool]:
    """Return a probe that succeeds once somebody accepts connections on the port."""

    def probe() -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), _PROBE_SECONDS):
            return True
        return False

    return probe
