"""One peer, running: its door, its workers, the vendor it tells, and the weddings there are."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import importlib
import os
import secrets
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol, cast

from services.launcher.units import Program, listening
from tests.bench.peers import costs
from tests.bench.peers.servers import Servers, a_database
from tests.bench.peers.settings import Settings
from wedsync.runtime.embedded.local import free_port
from wedsync.runtime.embedded.process import Launch
from wedsync.testing.load.plan import Origin, Send
from wedsync.testing.load.programs import Sink, a_sink
from wedsync.testing.load.stage import RECORDS, record

PEERS = ("procrastinate", "celery", "dbos")
DELAY_MS = 20.0
_ACCOUNT, _TOKEN, _HOME = "other", "token-of-other", "home"
_START_SECONDS = 60.0


class NotInstalled(AssertionError):
    """A peer's package is missing: the scenario does not hold."""


class Peer(Protocol):
    """The module of a peer; each also runs as a program with the argument `ingress` or `worker`."""

    __name__: str
    WORKERS: int

    def prepare(self, database_url: str) -> None:
        """Make its tables."""
        ...


def load(name: str) -> Peer:
    """Return a peer's module. Raises `NotInstalled`."""
    try:
        return cast("Peer", importlib.import_module(f"tests.bench.peers.{name}_peer"))
    except ModuleNotFoundError as missing:
        raise NotInstalled(f"no {missing.name}: install the extra `peers`, as `make bench` does") from missing


@dataclass(kw_only=True)
class Stand:
    """A peer that takes webhooks, and how far its records have been edited."""

    name: str
    url: str
    secret: str
    database_url: str
    sink: Sink
    home: Path
    groups: costs.Groups
    weddings: int
    _edits: dict[int, int] = field(default_factory=dict)

    def origins(self) -> list[Origin]:
        """Return the records as they are now."""
        return [self._origin(number) for number in range(self.weddings * RECORDS)]

    def sent(self, origins: Sequence[Origin], sends: Sequence[Send]) -> None:
        """Note what has been edited."""
        self._edits.update({origins[send.origin].number: send.edit for send in sends})

    def _origin(self, number: int) -> Origin:
        wedding, edit = f"wedding-{number // RECORDS}", self._edits.get(number, 0)
        return Origin(
            number=number,
            wedding_id=wedding,
            account=_HOME,
            collection=wedding,
            record={**record(number), "version": edit + 1},
            first_edit=edit + 1,
            path="/",
            secret=self.secret,
            copies=[(_ACCOUNT, wedding)],
        )


@contextlib.asynccontextmanager
async def a_stand(name: str, servers: Servers, *, weddings: int) -> AsyncIterator[Stand]:
    """Start a peer; end it and drop its database."""
    module, port, key = load(name), free_port(), secrets.token_bytes(24)
    async with a_sink(1, delay_ms=DELAY_MS) as sink:
        collections: list[Any] = [(_ACCOUNT, f"wedding-{number}", []) for number in range(weddings)]
        await sink.seed(accounts={_ACCOUNT: _TOKEN}, collections=collections)
        with a_database(servers.admin_url) as url, contextlib.ExitStack() as stack:
            settings = Settings(
                database_url=url,
                redis_url=servers.redis_url,
                vendor_url=sink.base_url(0, _ACCOUNT),
                vendor_token=_TOKEN,
                port=port,
                secret=key,
            )
            await asyncio.to_thread(module.prepare, url)
            programs = _programs(module, settings, servers.home)
            for program in (one for each in programs.values() for one in each):
                stack.callback(program.stop)
                await asyncio.to_thread(program.start)
            pids = {group: [one.pid or 0 for one in each] for group, each in programs.items()}
            yield Stand(
                name=name,
                url=f"http://127.0.0.1:{port}",
                secret=f"whsec_{base64.b64encode(key).decode()}",
                database_url=url,
                sink=sink,
                home=servers.home,
                groups={
                    **pids,
                    costs.POSTGRES: [servers.postgres],
                    costs.VALKEY: [servers.valkey],
                    costs.SINK: [sink.pid],
                },
                weddings=weddings,
            )


def _programs(module: Peer, settings: Settings, home: Path) -> Mapping[str, Sequence[Program]]:
    workers = (replace(settings, port=number) for number in range(module.WORKERS))
    return {
        "ingress": [_program(module, "ingress", settings, home)],
        "workers": [_program(module, "worker", each, home) for each in workers],
    }


def _program(module: Peer, role: str, settings: Settings, home: Path) -> Program:
    name = f"{module.__name__.rpartition('.')[2]}-{role}"
    launch = Launch(
        name=name,
        argv=[sys.executable, "-m", module.__name__, role],
        log=home / f"{name}.log",
        env={**os.environ, **settings.environment()},
    )
    # Who works is ready when the first webhook has been worked: the warm-up waits for that.
    ready = listening(settings.port) if role == "ingress" else (lambda: True)
    return Program(launch, ready, _START_SECONDS)
