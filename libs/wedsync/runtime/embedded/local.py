"""Small things of this machine the embedded servers need: ports and secrets kept in files."""

from __future__ import annotations

import os
import random
import secrets
import socket
from pathlib import Path

_PORTS = range(20_000, 32_000)
"""Above those that Ray gives to its workers, below those of outgoing connections."""
_TRIES = 50


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 nobody listens on at this moment, and nobody is likely to take soon."""
    for port in random.sample(_PORTS, _TRIES):
        if port_is_free(port):
            return port
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


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
