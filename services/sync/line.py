"""The line between a service and an actor: TCP, bytes there and bytes back, one exchange at a time.

A Ray call costs most of a millisecond of CPU, and Ray wakes an idle actor a hundred times a second. So Ray
places actors and ends them, and what is said to them goes this way.

    actor    32 random bytes
    service  32 random bytes, and a proof that it knows the actor's key
    actor    a proof that it knows the key too
    then     a frame from the service, a frame from the actor, and so on

A frame is its length (4 bytes, big-endian) and that many bytes. A proof is HMAC-SHA256, by the key, of who
proves and of both random texts (challenge and response, as in ISO/IEC 9798-4). Both sides must prove it:
whoever reaches the port could ask for edits, and a port may have passed on to another process.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import logging
import math
import secrets
import socket
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

_log = logging.getLogger(__name__)

MAX_FRAME = 256 * 1024 * 1024
"""Bytes; much more than any batch may hold."""

_LENGTH = struct.Struct("!I")
_RANDOM = 32
_PROOF = 32
_HELLO_SECONDS = 5.0
_MAX_LINES = 64  # one for each server
# A server whose machine vanished says nothing: its line is given up after this.
_KEEPALIVE = {"TCP_KEEPIDLE": 30, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 3}


class LineBroken(Exception):
    """The other side is gone, or is not who it should be."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where an actor listens."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Address:
        """Return the address that `str` wrote."""
        host, _, port = text.rpartition(":")
        return cls(host, int(port))

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


def owner_key(secret: str, owner_id: str) -> bytes:
    """Return the key of one owner's line; every server that knows the secret finds the same."""
    return hmac.digest(secret.encode(), f"wedsync line {owner_id}".encode(), "sha256")


class Switchboard:
    """The actor's side: it listens, and answers one frame at a time whichever line it came by."""

    def __init__(self, host: str, key: bytes, answer: Callable[[bytes], bytes]) -> None:
        self._key, self._answer = key, answer
        self._listener = socket.create_server((host, 0))
        self._lines = threading.BoundedSemaphore(_MAX_LINES)
        self._turn = threading.Lock()
        self._closed = threading.Event()

    @property
    def address(self) -> Address:
        """Return where it listens."""
        host, port = self._listener.getsockname()[:2]
        return Address(host, port)

    def serve(self) -> None:
        """Take lines until `close`. Raises `OSError` when the system lets us take no more."""
        while True:
            try:
                line, _ = self._listener.accept()
            except ConnectionAbortedError:
                continue  # it hung up before it was taken
            except OSError:
                if self._closed.is_set():
                    return
                raise
            if self._lines.acquire(blocking=False):
                threading.Thread(target=self._hold, args=(line,), name="line", daemon=True).start()
            else:
                line.close()

    def close(self) -> None:
        """Take no more lines; those there are go on."""
        self._closed.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _hold(self, line: socket.socket) -> None:
        try:
            with line:
                self._greet(line)
                while True:
                    request = _read(line)
                    with self._turn:
                        answer = self._answer(request)
                    line.sendall(_LENGTH.pack(len(answer)) + answer)
        except (OSError, LineBroken) as error:
            _log.info("a line ended: %s", type(error).__name__)
        except Exception:  # noqa: BLE001  # nobody else would see it
            # The line ends with it, which is how the other side learns.
            _log.exception("what was asked could not be answered")
        finally:
            self._lines.release()

    def _greet(self, line: socket.socket) -> None:
        line.settimeout(_HELLO_SECONDS)
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        line.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in _KEEPALIVE.items():
            if (option := getattr(socket, name, None)) is not None:  # macOS names them otherwise
                line.setsockopt(socket.IPPROTO_TCP, option, value)
        ours = secrets.token_bytes(_RANDOM)
        line.sendall(ours)
        until = time.monotonic() + _HELLO_SECONDS
        theirs, proof = _exactly(line, _RANDOM, until), _exactly(line, _PROOF, until)
        if not hmac.compare_digest(proof, _proof(self._key, b"service", ours, theirs)):
            raise LineBroken("whoever called does not know the key")
        line.sendall(_proof(self._key, b"actor", ours, theirs))
        line.settimeout(None)


class Line:
    """The service's side. After any error, and when an answer was not waited for, it is of no more use."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def open(cls, address: Address, key: bytes) -> Line:
        """Connect, and see that it is the right actor. Raises `LineBroken`."""
        try:
            async with asyncio.timeout(_HELLO_SECONDS):
                reader, writer = await asyncio.open_connection(address.host, address.port)
                line = cls(reader, writer)
                try:
                    await line._greet(key)
                except BaseException:
                    line.close()
                    raise
                return line
        except (OSError, EOFError, TimeoutError) as error:
            raise LineBroken(f"no line could be opened ({type(error).__name__})") from error

    async def ask(self, request: bytes) -> bytes:
        """Send a frame and return the answer. Raises `LineBroken`."""
        try:
            self._writer.write(_LENGTH.pack(len(request)) + request)
            await self._writer.drain()
            length = _checked(_LENGTH.unpack(await self._reader.readexactly(_LENGTH.size))[0])
            return await self._reader.readexactly(length)
        except (OSError, EOFError) as error:
            raise LineBroken(f"the line broke ({type(error).__name__})") from error

    def close(self) -> None:
        """Cut it; whoever waits for an answer learns of it."""
        self._writer.transport.abort()

    async def _greet(self, key: bytes) -> None:
        theirs, ours = await self._reader.readexactly(_RANDOM), secrets.token_bytes(_RANDOM)
        self._writer.write(ours + _proof(key, b"service", theirs, ours))
        proof = await self._reader.readexactly(_PROOF)
        if not hmac.compare_digest(proof, _proof(key, b"actor", theirs, ours)):
            raise LineBroken("whoever answers there is another one")


def _proof(key: bytes, who: bytes, of_actor: bytes, of_service: bytes) -> bytes:
    return hmac.digest(key, who + of_actor + of_service, "sha256")


def _read(line: socket.socket) -> bytes:
    return _exactly(line, _checked(_LENGTH.unpack(_exactly(line, _LENGTH.size))[0]))


def _exactly(line: socket.socket, size: int, until: float = math.inf) -> bytes:
    data = bytearray(size)
    view, got = memoryview(data), 0
    while got < size:
        more = line.recv_into(view[got:])
        if not more:
            raise LineBroken("the other side hung up")
        if time.monotonic() > until:
            raise LineBroken("the other side takes too long")
        got += more
    return bytes(data)


def _checked(length: int) -> int:
    if length > MAX_FRAME:
        raise LineBroken(f"a frame of {length} bytes is too long")
    return length
