"""A real CalDAV server on this machine: Radicale, for the sandbox and for tests.

`python -m wedsync.testing.radicale --port 5232 --data DIR --calendar wedding` serves until it is
told to stop. The account is written to `DIR/account.json`, for whoever is to connect to it.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

_START_SECONDS, _STOP_SECONDS, _POLL_SECONDS = 20.0, 10.0, 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class RadicaleServer:
    """A server that runs, and its one account."""

    url: str
    username: str
    password: str = field(repr=False)
    data: Path

    def create_calendar(self, name: str) -> str:
        """Create a calendar of the account, if there is none of that name, and return its address."""
        create_calendar(self.data, self.username, name)
        return f"{self.url}{self.username}/{name}/"

    def forget_sync_tokens(self, name: str) -> None:
        """Make every sync token of a calendar invalid, as a server does that was restored."""
        cache = _collection(self.data, self.username, name) / ".Radicale.cache"
        for entry in sorted(cache.rglob("*"), reverse=True):
            entry.rmdir() if entry.is_dir() else entry.unlink(missing_ok=True)


def create_calendar(data: Path, username: str, name: str) -> None:
    """Create a calendar in a server's data, whether it runs or not; an existing one stays."""
    properties = {
        "tag": "VCALENDAR",
        "D:displayname": name,
        "C:supported-calendar-component-set": "VEVENT",
    }
    folder = _collection(data, username, name)
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / ".Radicale.props").exists():
        (folder / ".Radicale.props").write_text(json.dumps(properties), "utf-8")


@contextmanager
def running_radicale(
    data: Path, *, port: int | None = None, calendars: Sequence[str] = ()
) -> Iterator[RadicaleServer]:
    """Run a server as a child process and stop it at the end. Its data stays."""
    port = port or _free_port()
    command = [sys.executable, "-m", "wedsync.testing.radicale", "--port", str(port), "--data", str(data)]
    for name in calendars:
        command += ["--calendar", name]
    data.mkdir(parents=True, exist_ok=True)
    with (data / "radicale.log").open("ab") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)  # noqa: S603 - our own command
    try:
        _wait_until_open(process, port, data / "radicale.log")
        account = json.loads((data / "account.json").read_text("utf-8"))
        yield RadicaleServer(**account, data=data)
    finally:
        _stop(process)


def main(arguments: Sequence[str] | None = None) -> None:
    """Prepare the data folder, then become the server."""
    parser = argparse.ArgumentParser(prog="python -m wedsync.testing.radicale", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--user", default="couple")
    parser.add_argument("--calendar", action="append", default=[], help="a calendar to create if missing")
    options = parser.parse_args(arguments)
    config = prepare(options.data, options.port, options.user)
    for name in options.calendar:
        create_calendar(options.data, options.user, name)
    os.execv(sys.executable, [sys.executable, "-m", "radicale", "--config", str(config)])  # noqa: S606


def prepare(data: Path, port: int, username: str) -> Path:
    """Write configuration and account, keeping an existing password; return the configuration's path."""
    data.mkdir(parents=True, exist_ok=True)
    data = data.resolve()
    account = data / "account.json"
    known = json.loads(account.read_text("utf-8")) if account.exists() else {}
    password = known.get("password") or secrets.token_urlsafe(18)
    url = f"http://127.0.0.1:{port}/"
    _write_private(account, json.dumps({"url": url, "username": username, "password": password}))
    _write_private(data / "htpasswd", f"{username}:{password}\n")
    config = data / "radicale.conf"
    config.write_text(_configuration(data, port), "utf-8")
    return config


def _configuration(data: Path, port: int) -> str:
    # A wrong password is refused at once: the delay that slows guessing would only slow tests.
    return f"""[server]
hosts = 127.0.0.1:{port}
max_connections = 64
[auth]
type = htpasswd
htpasswd_filename = {data / "htpasswd"}
htpasswd_encryption = plain
delay = 0
[storage]
filesystem_folder = {data / "storage"}
[web]
type = none
[logging]
level = warning
"""


def _collection(data: Path, username: str, name: str) -> Path:
    return data / "storage" / "collection-root" / username / name


def _write_private(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text, "utf-8")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_until_open(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    limit = time.monotonic() + _START_SECONDS
    while time.monotonic() < limit:
        if process.poll() is not None:
            tail = log.read_text("utf-8", "replace")[-2000:]
            raise RuntimeError(f"Radicale ended at once with code {process.returncode}: {tail}")
        with socket.socket() as probe:
            probe.settimeout(1)
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        # Between looks there is nothing to await: this helper also serves synchronous fixtures.
        time.sleep(_POLL_SECONDS)  # noqa: TID251
    raise RuntimeError(f"Radicale did not listen on port {port} within {_START_SECONDS} seconds")


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(_STOP_SECONDS)


if __name__ == "__main__":
    main()
