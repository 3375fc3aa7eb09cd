"""`python -m wedsync.testing.load.sink`: the vendors' systems of a load, as one process with a port for each.

It speaks just enough HTTP/1.1 to cost little itself, so that what is measured is not the stand-in.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import signal
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, cast

import orjson
import uvloop

from wedsync.testing.load.vendor import Archive, Collection, Edit, Refused, Vendors

CONTROL = "/_load/"
"""Where whoever runs the load asks and tells the stand-in; everything else is the vendors' API."""

_REASONS = {200: "OK", 201: "Created", 204: "No Content", 401: "Unauthorized", 404: "Not Found"}
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_DEFAULT_PAGE, _MAX_PAGE = 200, 1000

Answer = tuple[int, bytes, str]
"""Status, body, and the version of the record it is about."""


class Connection(asyncio.Protocol):
    """One connection: a request at a time, each answered after the delay."""

    def __init__(self, answer: Callable[[str, str, bytes, bytes], Answer], delay: float) -> None:
        self._answer, self._delay = answer, delay
        self._read = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by name

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # asyncio's signature
        """Drop what would have been answered."""
        self._transport = None

    def data_received(self, data: bytes) -> None:
        """Answer whole requests."""
        self._read += data
        while (end := self._read.find(b"\r\n\r\n")) >= 0:
            head = self._read[:end]
            length = _LENGTH.search(head)
            whole = end + 4 + (int(length[1]) if length else 0)
            if len(self._read) < whole:
                return
            body, self._read = self._read[end + 4 : whole], self._read[whole:]
            self._handle(head, body)

    def _handle(self, head: bytes, body: bytes) -> None:
        method, path, _ = head[: head.index(b"\r\n")].decode().split(" ", 2)
        answer = _packed(*self._answer(method, path, head, body))
        if path.startswith(CONTROL) or not self._delay:
            self._send(answer)
        else:
            asyncio.get_running_loop().call_later(self._delay, self._send, answer)

    def _send(self, answer: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(answer)


class Api:
    """What the vendors answer, and what the one who runs the load may ask."""

    def __init__(self, vendors: Vendors) -> None:
        self._vendors = vendors

    def answer(self, method: str, path: str, head: bytes, body: bytes) -> Answer:
        """Answer one request."""
        if path.startswith(CONTROL):
            return 200, orjson.dumps(self._control(path[len(CONTROL) :], body)), ""
        try:
            return self._called(method, path, head, body)
        except Refused as refused:
            self._vendors.calls[f"refused {refused.status}"] += 1
            return refused.status, b'{"error":"refused"}', ""

    def _called(self, method: str, path: str, head: bytes, body: bytes) -> Answer:
        address, _, query = path.partition("?")
        _, account, *rest = address.split("/")
        if _header(head, b"authorization") != f"Bearer {self._vendors.tokens.get(account, '')}":
            raise Refused(401)
        match rest:
            case ["account"]:
                return 200, orjson.dumps({"id": account, "name": account}), ""
            case ["collections"]:
                return 200, orjson.dumps({"collections": self._collections(account)}), ""
            case ["collections", collection, "records"]:
                return self._list(account, collection, query)
            case ["collections", collection, "records", record_id]:
                return self._record(method, (account, collection), record_id, head, body)
        raise Refused(404)

    def _collections(self, account: str) -> list[dict[str, str]]:
        return [{"id": name, "name": name} for of, name in self._vendors.collections if of == account]

    def _list(self, account: str, collection: str, query: str) -> Answer:
        self._vendors.calls["lists"] += 1
        asked = dict(part.partition("=")[::2] for part in query.split("&") if part)
        cursor, limit = int(asked.get("after") or 0), int(asked.get("limit") or _DEFAULT_PAGE)
        records, after, more = self._vendors.collection(account, collection).after(
            cursor, min(limit, _MAX_PAGE)
        )
        return 200, orjson.dumps({"records": records, "cursor": str(after), "more": more}), ""

    def _record(
        self, method: str, place: tuple[str, str], record_id: str, head: bytes, body: bytes
    ) -> Answer:
        if method == "PUT":
            return self._put(place, record_id, head, body)
        version = _header(head, b"if-match").strip('"')
        if method == "DELETE":
            self._vendors.calls["deletes"] += 1
            self._vendors.delete(place, record_id, version)
            return 204, b"", ""
        self._vendors.calls["reads"] += 1
        record = self._vendors.collection(*place).get(record_id)
        if record is None or record.get("deleted"):
            raise Refused(404)
        return 200, orjson.dumps(record), str(record["version"])

    def _put(self, place: tuple[str, str], record_id: str, head: bytes, body: bytes) -> Answer:
        self._vendors.calls["writes"] += 1
        fresh = _header(head, b"if-none-match") == "*"
        version = None if fresh else _header(head, b"if-match").strip('"')
        record = self._vendors.write(place, record_id, orjson.loads(body), version)
        return 201 if fresh else 200, orjson.dumps(record), str(record["version"])

    def _control(self, command: str, body: bytes) -> Any:
        told: Any = orjson.loads(body) if body else {}
        match command:
            case "seed":
                self._seed(told)
            case "plan":
                self._vendors.plan(Edit(*edit) for edit in told["edits"])
            case "arrivals":
                return self._vendors.arrivals[told["after"] : told["after"] + told["limit"]]
            case "calls":
                return dict(self._vendors.calls)
            case "records":
                return list(self._vendors.collection(*told).records())
            case "state":
                return self._vendors.state()
        return {}

    def _seed(self, told: Mapping[str, Any]) -> None:
        for account, token in told.get("accounts", {}).items():
            self._vendors.open(account, token)
        for account, name, records in told.get("collections", ()):
            self._vendors.collections[account, name] = Collection(records)
        for account, name, template, count in told.get("archives", ()):
            self._vendors.collections[account, name] = Archive(template, count)


def _header(head: bytes, name: bytes) -> str:
    """Return a header's value, empty where it is missing; `name` is in lower case."""
    for line in head.split(b"\r\n")[1:]:
        key, _, value = line.partition(b":")
        if key.lower() == name:
            return value.strip().decode()
    return ""


def _packed(status: int, body: bytes, version: str) -> bytes:
    tag = f'etag: "{version}"\r\n' if version else ""
    kind = "content-type: application/json\r\n" if body else ""
    length = f"content-length: {len(body)}\r\n\r\n"
    return f"HTTP/1.1 {status} {_REASONS.get(status, 'Refused')}\r\n{kind}{tag}{length}".encode() + body


async def serve(ports: int, delay: float) -> None:
    """Serve on so many ports, say which on stdout, and end with SIGTERM or with whoever started us."""
    loop = asyncio.get_running_loop()
    api = Api(Vendors(now=time.time))
    connect = partial(Connection, api.answer, delay)
    servers = [await loop.create_server(connect, "127.0.0.1", 0, backlog=4096) for _ in range(ports)]
    sys.stdout.write(f"{orjson.dumps([s.sockets[0].getsockname()[1] for s in servers]).decode()}\n")
    sys.stdout.flush()
    ended = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, ended.set)
    loop.add_reader(sys.stdin, ended.set)  # its other end is closed when whoever started us is gone
    await ended.wait()


def main() -> None:
    """Serve as the command line says."""
    parser = argparse.ArgumentParser(prog="python -m wedsync.testing.load.sink", description=__doc__)
    parser.add_argument("--ports", type=int, default=2, help="how many vendors")
    parser.add_argument("--delay-ms", type=float, default=20.0, help="how long each answer takes")
    chosen = parser.parse_args()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for whoever started us
    uvloop.run(serve(chosen.ports, chosen.delay_ms / 1000))


if __name__ == "__main__":
    main()
