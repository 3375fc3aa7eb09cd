"""Small things of this machine the embedded servers need: ports and secrets kept in files."""

from __future__ import annotations

import functools
import itertools
import os
import random
import secrets
import socket
from collections.abc import Iterator
from pathlib import Path

_PORTS = range(20_000, 32_000)
"""Above those that Ray gives to its workers, below those of outgoing connections."""
_PART = 250
"""So many are one process's to give out in turn; others that start at the same time mostly have others."""


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 nobody listens on at this moment, and nobody is likely to take soon.

    It is not returned again before all others were: whoever asked may not listen yet.
    """
    for port in itertools.islice(_ports_of(os.getpid()), _PART):
        if port_is_free(port):
            return port
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@functools.cache
def _ports_of(process: int) -> Iterator[int]:
    first = _PORTS.start + process * _PART % len(_PORTS)
    return itertools.cycle(random.sample(range(first, first + _PART), _PART))


def port_is_free(port: int) -> bool:
    """Say whether a server could listen on this port of 127.0.0.1 now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def remembered_port(file: Path) -> int:
    """Return the port used last time if it is still free, else a free one; remember it in `file`."""
    try:
        port = int(file.read_text())
    except (FileNotFoundError, ValueError):
        port = 0
    if not (port and port_is_free(port)):
        port = free_port()
        file.write_text(f"{port}\n")
    return port


def write_private(path: Path, text: str) -> None:
    """Replace a file at once, readable by its owner only; nobody ever sees half of it."""
    fresh = path.with_name(f"{path.name}.new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    fresh.replace(path)


def read_or_create_secret(path: Path) -> str:
    """Return the secret kept in `path`, made on first use and readable by its owner only."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not path.exists():
        write_private(path, secrets.token_urlsafe(32))
    return path.read_text()
