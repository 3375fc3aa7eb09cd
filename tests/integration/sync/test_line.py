"""The line between a service and an actor, over real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from services.sync import line as lines
from services.sync.line import MAX_FRAME, Address, Line, LineBroken, Switchboard, owner_key

KEY = owner_key("secret", "owner")


def echo(request: bytes) -> bytes:
    """Answer with what was asked, unless asked to fail."""
    if request == b"fail":
        raise ValueError
    return request


@contextlib.contextmanager
def a_switchboard(answer: Callable[[bytes], bytes] = echo) -> Iterator[Address]:
    """Serve from a thread, as an actor does; the thread ends with it."""
    board = Switchboard("127.0.0.1", KEY, answer)
    thread = threading.Thread(target=board.serve)
    thread.start()
    try:
        yield board.address
    finally:
        board.close()
        thread.join(10)
        assert not thread.is_alive()


@contextlib.asynccontextmanager
async def a_line(address: Address, key: bytes = KEY) -> AsyncIterator[Line]:
    """Open a line."""
    line = await Line.open(address, key)
    try:
        yield line
    finally:
        line.close()


@pytest.mark.parametrize("size", [0, 1, 70_000, 5_000_000])
async def test_what_is_asked_is_answered(size: int) -> None:
    """Frames of any size go there and back, one after the other on one line."""
    with a_switchboard() as address:
        async with a_line(Address.parse(str(address))) as line:
            for text in (b"first", b"x" * size):
                assert await line.ask(text) == text


async def test_two_servers_are_answered_one_at_a_time() -> None:
    """While one line's question is being answered, another's waits: an owner does one thing at a time."""
    inside = threading.Semaphore(1)

    def alone(request: bytes) -> bytes:
        assert inside.acquire(blocking=False)
        threading.Event().wait(0.01)
        inside.release()
        return request

    with a_switchboard(alone) as address:
        async with a_line(address) as one, a_line(address) as other:
            for _ in range(5):
                assert [*await asyncio.gather(one.ask(b"1"), other.ask(b"2"))] == [b"1", b"2"]


async def test_who_does_not_know_the_key_gets_nothing() -> None:
    """A caller with another owner's key is cut off before it can ask anything."""
    with a_switchboard() as address:
        with pytest.raises(LineBroken):
            await Line.open(address, owner_key("secret", "another owner"))
        async with a_line(address) as line:
            assert await line.ask(b"still there") == b"still there"


async def test_an_impostor_at_the_port_is_told_nothing() -> None:
    """Where another process took the port over, no question is ever sent to it."""
    heard, done = bytearray(), asyncio.Event()

    async def impostor(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"r" * 32)
        heard.extend(await reader.readexactly(64))
        writer.write(b"p" * 32)
        heard.extend(await reader.read())
        writer.close()
        await writer.wait_closed()
        done.set()

    server = await asyncio.start_server(impostor, "127.0.0.1", 0)
    async with server:
        host, port = server.sockets[0].getsockname()
        with pytest.raises(LineBroken, match="another"):
            await Line.open(Address(host, port), KEY)
        async with asyncio.timeout(10):
            await done.wait()
    assert len(heard) == 64


async def test_nobody_listening_is_said() -> None:
    """An address nobody listens at is a broken line."""
    with a_switchboard() as address:
        pass
    with pytest.raises(LineBroken):
        await Line.open(address, KEY)


async def test_a_question_that_cannot_be_answered_ends_the_line() -> None:
    """Whoever asked learns that there will be no answer; others are served on."""
    with a_switchboard() as address:
        async with a_line(address) as line:
            with pytest.raises(LineBroken):
                await line.ask(b"fail")
        async with a_line(address) as line:
            assert await line.ask(b"more") == b"more"


async def test_a_frame_that_is_too_long_is_refused_unread() -> None:
    """A length beyond the limit ends the line before anything of that size is kept."""
    with a_switchboard() as address:
        async with a_line(address) as line:
            line._writer.write(struct.pack("!I", MAX_FRAME + 1))
            with pytest.raises(LineBroken):
                await line.ask(b"?")


async def test_lines_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the limit a caller is cut off at once; when one hangs up there is room again."""
    monkeypatch.setattr(lines, "_MAX_LINES", 2)
    with a_switchboard() as address:
        async with a_line(address) as first, a_line(address):
            assert await first.ask(b"?") == b"?"
            with pytest.raises(LineBroken):
                await Line.open(address, KEY)
        async with asyncio.timeout(10):
            while True:
                with contextlib.suppress(LineBroken):
                    async with a_line(address) as line:
                        assert await line.ask(b"?") == b"?"
                        break


async def test_who_says_nothing_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """A caller that does not greet within its time loses the connection."""
    monkeypatch.setattr(lines, "_HELLO_SECONDS", 0.05)
    with a_switchboard() as address, socket.create_connection((address.host, address.port), 10) as silent:
        silent.settimeout(10)
        assert len(silent.recv(100)) == 32
        assert silent.recv(100) == b""
