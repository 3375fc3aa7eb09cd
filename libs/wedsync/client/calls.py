"""How every client makes a call: a deadline always, the trace carried on, errors restored, pages joined."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from typing import TypedDict, TypeVar

import grpc
from grpc.aio import UnaryStreamMultiCallable, UnaryUnaryMultiCallable

from wedsync.client.channel import AUTHORIZATION, bearer
from wedsync.convert import error_from_rpc

_Request = TypeVar("_Request")
_Response = TypeVar("_Response")
_Entry = TypeVar("_Entry")
_Token = TypeVar("_Token")

DEFAULT_TIMEOUT = 10.0
"""Seconds a call may take, its retries included."""


class CallOptions(TypedDict, total=False):
    """What any call may be given besides its request."""

    timeout: float
    """Seconds, the retries included; `DEFAULT_TIMEOUT` if not given."""
    trace_parent: str
    """W3C traceparent of the caller's span."""
    api_key: str
    """A key to use instead of the channel's: a service that speaks for its own caller."""


async def unary(
    method: UnaryUnaryMultiCallable[_Request, _Response], request: _Request, options: CallOptions
) -> _Response:
    """Make one call. Raises the `WedSyncError` that the service raised."""
    try:
        return await method(
            request, timeout=options.get("timeout", DEFAULT_TIMEOUT), metadata=metadata(options)
        )
    except grpc.aio.AioRpcError as error:
        raise error_from_rpc(error) from error


async def stream(
    method: UnaryStreamMultiCallable[_Request, _Response],
    request: _Request,
    options: CallOptions,
    *,
    timeout: float,  # noqa: ASYNC109 - a deadline of gRPC, which the server is told
) -> AsyncGenerator[_Response, None]:
    """Yield a stream's messages; leaving early cancels it. Raises the `WedSyncError` it ended with."""
    call = method(request, timeout=timeout, metadata=metadata(options))
    try:
        async for message in call:
            yield message
    except grpc.aio.AioRpcError as error:
        raise error_from_rpc(error) from error
    finally:
        call.cancel()


async def pages(
    first: _Token, fetch: Callable[[_Token], Awaitable[tuple[Iterable[_Entry], _Token]]]
) -> AsyncGenerator[_Entry, None]:
    """Yield the entries of all pages; a page is fetched when the one before is used up."""
    token = first
    while True:
        entries, token = await fetch(token)
        for entry in entries:
            yield entry
        if not token:
            return


def metadata(options: CallOptions) -> tuple[tuple[str, str], ...]:
    """Return the metadata the options stand for."""
    pairs = []
    if key := options.get("api_key"):
        pairs.append((AUTHORIZATION, bearer(key)))
    if parent := options.get("trace_parent"):
        pairs.append(("traceparent", parent))
    return tuple(pairs)
