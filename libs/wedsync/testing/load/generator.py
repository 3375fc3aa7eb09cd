"""`python -m wedsync.testing.load.generator PLAN RESULT`: sends what is planned when it is planned.

Arrivals do not wait for answers: a webhook is due at its time whatever became of those before, and its
latency counts from then. A vendor that is told to come back comes back.
"""

from __future__ import annotations

import asyncio
import re
import signal
import sys
import time
from collections import deque
from pathlib import Path
from typing import Any, cast

import orjson
import uvloop

from wedsync.testing.load.plan import Origin, Send, requests

MAX_CONNECTIONS = 512
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_RETRY = re.compile(rb"\r\nretry-after: *([\d.]+)", re.IGNORECASE)
_COME_BACK = frozenset({429, 502, 503, 504})
_UNANSWERED = 0
_LONGEST_WAIT = 5.0
_PATIENCE_SECONDS = 60.0
_SPREAD = 0.25


class Outcomes:
    """What became of each webhook, by its place in the plan."""

    def __init__(self, count: int) -> None:
        self.status = [_UNANSWERED] * count
        self.answered = [0.0] * count
        self.ids = [""] * count
        self.tries = [0] * count
        self.missing = count
        self.over = asyncio.Event()

    def take(self, number: int, status: int, at: float, webhook_id: str) -> None:
        """Note the answer."""
        self.status[number], self.answered[number], self.ids[number] = status, at, webhook_id
        self.missing -= 1
        if not self.missing:
            self.over.set()

    def write(self, result: Path) -> None:
        """Write everything down."""
        columns = {"status": self.status, "answered": self.answered, "ids": self.ids, "tries": self.tries}
        result.write_bytes(orjson.dumps(columns))


class Client:
    """As many connections as are needed at once, up to a limit; beyond it webhooks wait their turn."""

    def __init__(self, host: str, port: int, sends: list[bytes], outcomes: Outcomes, until: float) -> None:
        self._host, self._port, self._sends, self._outcomes = host, port, sends, outcomes
        self._until = until
        self._free: list[_Connection] = []
        self._waiting: deque[int] = deque()
        self._open = 0
        self._opening: set[asyncio.Task[Any]] = set()

    def send(self, number: int) -> None:
        """Send one now, or as soon as there is a connection for it."""
        self._outcomes.tries[number] += 1
        if self._free:
            self._free.pop().send(number, self._sends[number])
            return
        self._waiting.append(number)
        if self._open < MAX_CONNECTIONS:
            self._open += 1
            task = asyncio.create_task(self._connect())
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)

    def free(self, connection: _Connection) -> None:
        """Give a connection something to do, or keep it."""
        if self._waiting:
            number = self._waiting.popleft()
            connection.send(number, self._sends[number])
        else:
            self._free.append(connection)

    def lost(self, connection: _Connection, number: int | None) -> None:
        """Forget a connection; what was under way on it is sent again."""
        self._open -= 1
        if connection in self._free:
            self._free.remove(connection)
        if number is not None:
            self.again(number, _SPREAD, _UNANSWERED)

    def answered(self, number: int, status: int, head: bytes, body: bytes) -> None:
        """Note an answer, or come back when asked to."""
        if status in _COME_BACK:
            asked = _RETRY.search(head)
            self.again(number, min(_LONGEST_WAIT, float(asked[1]) if asked else 1.0), status)
            return
        webhook_id = orjson.loads(body).get("webhook_id", "") if status < 300 else ""
        self._outcomes.take(number, status, time.time(), webhook_id)

    def again(self, number: int, wait: float, status: int) -> None:
        """Send it once more after a wait, unless it is too late for that."""
        if time.time() > self._until:
            self._outcomes.take(number, status, time.time(), "")
            return
        spread = wait * (1 + _SPREAD * (number % 100) / 100)
        asyncio.get_running_loop().call_later(spread, self.send, number)

    async def _connect(self) -> None:
        try:
            await asyncio.get_running_loop().create_connection(
                lambda: _Connection(self), self._host, self._port
            )
        except OSError:
            self._open -= 1
            if self._waiting and not self._open:
                self.again(self._waiting.popleft(), _SPREAD, _UNANSWERED)


class _Connection(asyncio.Protocol):
    def __init__(self, client: Client) -> None:
        self._client = client
        self._transport: asyncio.Transport | None = None
        self._number: int | None = None
        self._read = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by name
        self._client.free(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # asyncio's signature
        number, self._number = self._number, None
        self._client.lost(self, number)

    def send(self, number: int, request: bytes) -> None:
        self._number = number
        if self._transport is not None:
            self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._read += data
        end = self._read.find(b"\r\n\r\n")
        if end < 0 or self._number is None:
            return
        head = self._read[:end]
        length = _LENGTH.search(head)
        whole = end + 4 + (int(length[1]) if length else 0)
        if len(self._read) < whole:
            return
        body, self._read, number, self._number = self._read[end + 4 : whole], b"", self._number, None
        self._client.answered(number, int(head[9:12]), head, body)
        self._client.free(self)


async def run(plan: dict[str, Any], result: Path) -> None:
    """Prepare, say so, wait for the word, send, and write down what became of each."""
    origins = [Origin(**origin) for origin in plan["origins"]]
    sends = [Send(**send) for send in plan["sends"]]
    host, port = plan["host"], plan["port"]
    prepared = list(
        requests(origins, sends, host=f"{host}:{port}", started=int(time.time()) + 1, run=plan["run"])
    )
    _say("ready")
    start = float(await asyncio.to_thread(sys.stdin.readline))
    outcomes = Outcomes(len(sends))
    last = sends[-1].after if sends else 0.0
    client = Client(host, port, prepared, outcomes, until=start + last + _PATIENCE_SECONDS)
    await _send_all(client, [send.after for send in sends], start)
    if sends:
        await outcomes.over.wait()
    outcomes.write(result)
    _say("done")
    await asyncio.to_thread(sys.stdin.read)  # what it used is read off the process while it is there


async def _send_all(client: Client, times: list[float], start: float) -> None:
    began = time.perf_counter() + (start - time.time())
    for number, after in enumerate(times):
        if (pause := began + after - time.perf_counter()) > 0:
            await asyncio.sleep(pause)
        elif not number % 64:
            await asyncio.sleep(0)  # however late we are, answers are read
        client.send(number)


def _say(word: str) -> None:
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


def main() -> None:
    """Run the plan named on the command line."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for whoever started us
    plan, result = map(Path, sys.argv[1:])
    uvloop.run(run(orjson.loads(plan.read_bytes()), result))


if __name__ == "__main__":
    main()
