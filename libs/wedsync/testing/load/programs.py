"""The two processes of a load, and how to talk to them."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import aiohttp
import orjson

from wedsync.testing.load.figures import Outcome
from wedsync.testing.load.plan import Origin, Send
from wedsync.testing.load.sink import CONTROL

_READY_SECONDS = 120.0
_PAGE = 20_000
_PACKAGE = "wedsync.testing.load"

Arrival = tuple[float, str, str, str, int, int]


class Sink:
    """The vendors' systems of a load, in a process of their own."""

    def __init__(self, process: Process, ports: Sequence[int], session: aiohttp.ClientSession) -> None:
        self.pid, self.ports = process.pid, ports
        self._session, self._seen = session, list[Arrival]()

    def base_url(self, vendor: int, account: str) -> str:
        """Return where an account of one of the vendors is."""
        return f"http://127.0.0.1:{self.ports[vendor]}/{account}"

    async def seed(self, **content: Any) -> None:
        """Add accounts, collections or archives."""
        await self._ask("seed", content)

    async def plan(self, edits: Sequence[tuple[float, str, str, str, str]]) -> None:
        """Have people edit records at times to come."""
        await self._ask("plan", {"edits": edits})

    async def arrivals(self) -> Sequence[Arrival]:
        """Return every write that has come since the sink began."""
        while page := await self._ask("arrivals", {"after": len(self._seen), "limit": _PAGE}):
            self._seen += [tuple(entry) for entry in page]
        return self._seen

    async def calls(self) -> dict[str, int]:
        """Return how many calls there were, by what they asked for."""
        found: dict[str, int] = await self._ask("calls")
        return found

    async def state(self) -> list[tuple[str, str, str, int, str]]:
        """Return account, collection, id, version and title of every record."""
        return [tuple(entry) for entry in await self._ask("state")]

    async def records(self, account: str, collection: str) -> list[dict[str, Any]]:
        """Return the records of a collection."""
        found: list[dict[str, Any]] = await self._ask("records", [account, collection])
        return found

    async def _ask(self, command: str, content: Any = None) -> Any:
        url = f"http://127.0.0.1:{self.ports[0]}{CONTROL}{command}"
        async with self._session.post(url, data=orjson.dumps(content or {})) as answer:
            answer.raise_for_status()
            return orjson.loads(await answer.read())


@contextlib.asynccontextmanager
async def a_sink(vendors: int, *, delay_ms: float) -> AsyncIterator[Sink]:
    """Start so many vendors' systems; end them."""
    options = ("--ports", str(vendors), "--delay-ms", str(delay_ms))
    async with _program("sink", *options) as process, aiohttp.ClientSession() as session:
        yield Sink(process, orjson.loads(await _line(process)), session)


@dataclass(slots=True)
class Generator:
    """Sends one plan; ready to begin."""

    pid: int
    _process: Process
    _result: Path

    async def go(self, start: float) -> list[Outcome]:
        """Send everything, the first at `start`; return what became of each once all are answered."""
        await _tell(self._process, f"{start}\n")
        await _line(self._process, within=None)
        found = orjson.loads(self._result.read_bytes())
        columns = (found["status"], found["answered"], found["ids"], found["tries"])
        return [
            Outcome(status=status, at=at, webhook_id=webhook_id, tries=tries)
            for status, at, webhook_id, tries in zip(*columns, strict=True)
        ]


@contextlib.asynccontextmanager
async def a_generator(
    folder: Path, origins: Sequence[Origin], sends: Sequence[Send], *, http: str, run: str
) -> AsyncIterator[Generator]:
    """Start a generator and wait until every webhook is prepared."""
    plan, result = folder / f"plan-{run}.json", folder / f"result-{run}.json"
    host, _, port = http.removeprefix("http://").rstrip("/").partition(":")
    content = {"host": host, "port": int(port), "run": run}
    plan.write_bytes(orjson.dumps({**content, "origins": list(map(asdict, origins)), "sends": sends}))
    try:
        async with _program("generator", str(plan), str(result)) as process:
            await _line(process)
            yield Generator(process.pid, process, result)
    finally:
        for file in (plan, result):
            file.unlink(missing_ok=True)


@contextlib.asynccontextmanager
async def _program(module: str, *arguments: str) -> AsyncIterator[Process]:
    command = (sys.executable, "-m", f"{_PACKAGE}.{module}", *arguments)
    process = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE)
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


async def _line(process: Process, within: float | None = _READY_SECONDS) -> bytes:
    async with asyncio.timeout(within):
        line = await process.stdout.readline() if process.stdout else b""
    if not line:
        raise RuntimeError("a process of the load ended; what it said is above")
    return line


async def _tell(process: Process, line: str) -> None:
    if process.stdin is not None:
        process.stdin.write(line.encode())
        await process.stdin.drain()
