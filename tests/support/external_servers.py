"""PostgreSQL and Redis as Debian installs them, started on free ports where they are found."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg

from tests.support.processes import eventually
from wedsync.runtime.embedded.local import free_port
from wedsync.runtime.embedded.process import Account, Child, Launch

POSTGRES_BINS = sorted(
    folder for folder in Path("/usr/lib/postgresql").glob("*/bin") if (folder / "initdb").exists()
)
"""Where a PostgreSQL server is installed, one folder per version."""

REDIS_SERVER = shutil.which("redis-server")
"""Where Redis is installed, None for nowhere."""

_ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "TZ": "UTC"}


@contextlib.contextmanager
def external_postgres(bin_dir: Path) -> Iterator[str]:
    """Run an installed PostgreSQL on fresh data; yield its superuser's URL."""
    # It refuses to run as root; Debian's package brings an account for it.
    entry = pwd.getpwnam("postgres") if os.geteuid() == 0 else None
    account = Account(entry.pw_uid, entry.pw_gid) if entry else None
    with tempfile.TemporaryDirectory(prefix="wedsync-external-") as place:
        if entry:
            os.chown(place, entry.pw_uid, entry.pw_gid)
        data, log, port = Path(place, "data"), Path(place, "server.log"), free_port()
        create = [f"{bin_dir}/initdb", "-D", str(data), "-U", "admin", "--auth=trust", "--encoding=UTF8"]
        subprocess.run(
            [*create, "--no-sync"],
            env=_ENVIRONMENT,
            user=entry.pw_uid if entry else None,
            group=entry.pw_gid if entry else None,
            extra_groups=[] if entry else None,
            check=True,
            capture_output=True,
            timeout=60,
        )
        options = ["-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=", "-c", "fsync=off"]
        argv = [f"{bin_dir}/postgres", "-D", str(data), "-p", str(port), *options]
        url = f"postgresql://admin@127.0.0.1:{port}/postgres"
        with _child("external-postgres", argv, log, account, signal.SIGINT) as child:
            eventually(lambda: _alive(child) and _answers(url), 30, f"{bin_dir} answers")
            yield url


@contextlib.contextmanager
def external_redis() -> Iterator[str]:
    """Run the installed Redis; yield its URL."""
    assert REDIS_SERVER is not None
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="wedsync-external-") as place:
        argv = [REDIS_SERVER, "--port", str(port), "--bind", "127.0.0.1", "--dir", place, "--save", ""]
        log = Path(place, "server.log")
        with _child("external-redis", argv, log, None, signal.SIGTERM) as child:
            eventually(lambda: _alive(child) and "eady to accept" in log.read_text(), 30, "Redis is ready")
            yield f"redis://127.0.0.1:{port}/0"


@contextlib.contextmanager
def _child(
    name: str, argv: list[str], log: Path, account: Account | None, ending: signal.Signals
) -> Iterator[Child]:
    child = Child(
        Launch(name=name, argv=argv, log=log, env=_ENVIRONMENT, account=account, stops=((ending, 10.0),))
    )
    child.start()
    try:
        yield child
    finally:
        child.stop()


def _answers(url: str) -> bool:
    try:
        psycopg.connect(url, connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True


def _alive(child: Child) -> bool:
    child.require_running()
    return True
