"""A channel without a network: what is called on it, and what it answers."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from typing import Any, cast

import grpc
from google.rpc import status_pb2
from grpc_status import rpc_status

from wedsync.convert import to_status
from wedsync.errors import WedSyncError


@dataclass
class Call:
    """One call made."""

    method: str
    request: Any
    timeout: float | None
    metadata: dict[str, str]
    cancelled: bool = False


def as_rpc_error(error: WedSyncError) -> grpc.aio.AioRpcError:
    """Return what a client sees of an error a service raised."""
    return rpc_error(to_status(error))


def rpc_error(status: status_pb2.Status, details: str | None = None) -> grpc.aio.AioRpcError:
    """Return an error as it comes off the wire, its `details` being the status' message unless given."""
    wire = rpc_status.to_status(status)
    return grpc.aio.AioRpcError(
        wire.code,
        grpc.aio.Metadata(),
        grpc.aio.Metadata(*wire.trailing_metadata),
        details=wire.details if details is None else details,
    )


@dataclass
class FakeChannel:
    """Answers in the order given; an exception is raised, a list is streamed."""

    answers: deque[Any] = field(default_factory=deque)
    calls: list[Call] = field(default_factory=list)

    @classmethod
    def answering(cls, *answers: Any) -> FakeChannel:
        """Return a channel with these answers."""
        return cls(deque(answers))

    @property
    def grpc(self) -> grpc.aio.Channel:
        """Return this as what clients take."""
        return cast("grpc.aio.Channel", self)

    def unary_unary(self, method: str, **_: Any) -> Any:
        """Return what makes a call."""

        async def call(request: Any, **options: Any) -> Any:
            self._made(method, request, **options)
            answer = self.answers.popleft()
            if isinstance(answer, Exception):
                raise answer
            return answer

        return call

    def unary_stream(self, method: str, **_: Any) -> Any:
        """Return what opens a stream."""

        def call(request: Any, *, timeout: float | None, metadata: Iterable[tuple[str, str]]) -> Any:
            return FakeStream(self._made(method, request, timeout, metadata), self.answers.popleft())

        return call

    def _made(
        self, method: str, request: Any, timeout: float | None, metadata: Iterable[tuple[str, str]]
    ) -> Call:
        call = Call(method.rpartition("/")[2], request, timeout, dict(metadata))
        self.calls.append(call)
        return call


@dataclass
class FakeStream:
    """Messages, then perhaps an error."""

    made: Call
    messages: list[Any]

    async def __aiter__(self) -> AsyncIterator[Any]:
        """Yield the messages; raise the errors among them."""
        for message in self.messages:
            if isinstance(message, Exception):
                raise message
            yield message

    def cancel(self) -> bool:
        """Note that nobody listens any more."""
        self.made.cancelled = True
        return True
