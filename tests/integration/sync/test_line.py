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
from services.sync.actor import ActorOnLine
from services.sync.line import MAX_FRAME, Address, Line, LineBroken, Switchboard, owner_key
from services.sync.mailbox import ActorLost

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


def test_a_false_proof_is_answered_with_nothing() -> None:
    """Whoever sends random bytes for a proof does not even get the actor's own proof to learn from."""
    with a_switchboard() as address, socket.create_connection((address.host, address.port), 10) as line:
        line.settimeout(10)
        assert len(line.recv(lines._RANDOM)) == lines._RANDOM
        line.sendall(bytes(lines._RANDOM + lines._PROOF))
        assert line.recv(100) == b""


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


async def test_who_greets_too_slowly_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """A byte now and then does not hold a line: the greeting as a whole has its time."""
    monkeypatch.setattr(lines, "_HELLO_SECONDS", 0.1)
    with a_switchboard() as address, socket.create_connection((address.host, address.port), 10) as slow:
        slow.settimeout(0.05)
        with pytest.raises((ConnectionError, EOFError)):
            _drip(slow, lines._RANDOM + lines._PROOF - 1)


def _drip(line: socket.socket, size: int) -> None:
    """Send a byte at a time, until the other side hangs up."""
    for _ in range(size):
        line.sendall(b".")
        with contextlib.suppress(TimeoutError):
            if not line.recv(100):
                raise EOFError


class Flaky:
    """A listener whose `accept` fails as told before it works again."""

    def __init__(self, listener: socket.socket, *errors: OSError) -> None:
        self._listener, self._errors = listener, list(errors)

    def accept(self) -> tuple[socket.socket, object]:
        """Fail, or accept."""
        if self._errors:
            raise self._errors.pop(0)
        return self._listener.accept()

    def __getattr__(self, name: str) -> object:
        return getattr(self._listener, name)


async def test_a_caller_that_hung_up_at_once_ends_nothing() -> None:
    """A connection that is gone before it is taken does not keep the actor from taking the next."""
    board = Switchboard("127.0.0.1", KEY, echo)
    board._listener = Flaky(board._listener, ConnectionAbortedError())  # type: ignore[assignment]
    thread = threading.Thread(target=board.serve)
    thread.start()
    try:
        async with a_line(board.address) as line:
            assert await line.ask(b"?") == b"?"
    finally:
        board.close()
        thread.join(10)


def test_an_actor_that_can_take_no_lines_does_not_pretend_to() -> None:
    """Where the system gives no more sockets, serving ends with that error, and with it the actor."""
    board = Switchboard("127.0.0.1", KEY, echo)
    listener = board._listener
    board._listener = Flaky(listener, OSError(24, "too many open files"))  # type: ignore[assignment]
    with listener, pytest.raises(OSError, match="too many"):
        board.serve()


class Held:
    """Answers the first question only when let; counts what it was asked."""

    def __init__(self) -> None:
        self.go, self.asked = threading.Event(), threading.Semaphore(0)

    def __call__(self, request: bytes) -> bytes:
        """Echo, the first time late."""
        self.asked.release()
        if request == b"aslow":
            assert self.go.wait(10)
        return request


def an_actor(address: Address) -> ActorOnLine:
    """Return an actor whose switchboard is there."""

    async def where() -> Address:
        return address

    return ActorOnLine(where, KEY)


async def test_a_late_answer_is_nobody_elses() -> None:
    """A question that took too long is lost; the next one gets its own answer, by a new line."""
    held = Held()
    with a_switchboard(held) as address:
        actor = an_actor(address)
        with pytest.raises(ActorLost, match="no answer"):
            await actor.apply(b"slow", 0.05)
        held.go.set()
        assert await actor.apply(b"next", 10) == b"anext"
        actor.cut(ActorLost("the end"))


async def test_who_stops_waiting_harms_no_other() -> None:
    """A caller that is cancelled in the midst of its question leaves an actor that can be asked on."""
    held = Held()
    with a_switchboard(held) as address:
        actor = an_actor(address)
        gone = asyncio.create_task(actor.apply(b"slow", 10))
        await asyncio.to_thread(held.asked.acquire, timeout=10)
        gone.cancel()
        await asyncio.wait([gone])
        held.go.set()
        assert await actor.apply(b"next", 10) == b"anext"
        actor.cut(ActorLost("the end"))


async def test_an_actor_that_died_says_so_at_once() -> None:
    """Whoever waits when the actor's end is known learns why, and so does whoever asks later."""
    held = Held()
    with a_switchboard(held) as address:
        actor = an_actor(address)
        waiting = asyncio.create_task(actor.apply(b"slow", 10))
        await asyncio.to_thread(held.asked.acquire, timeout=10)
        actor.cut(ActorLost("its node was lost"))
        for question in (waiting, actor.ping(10)):
            with pytest.raises(ActorLost, match="its node was lost"):
                await question
        held.go.set()
