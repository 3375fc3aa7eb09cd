"""What happens round every call: limit, principal, deadline, trace, metrics, and errors made statuses."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from time import perf_counter
from typing import Any, NoReturn, TypeAlias

import grpc

from wedsync.convert import abort_with
from wedsync.errors import DeadlineExceeded, Overloaded, Unavailable, WedSyncError
from wedsync.runtime import metrics
from wedsync.runtime.principal import KeyRing, acting_as
from wedsync.runtime.telemetry import SpanKind, Telemetry
from wedsync.runtime.traceparent import within

_log = logging.getLogger(__name__)

_OPEN_PREFIXES = ("/grpc.health.", "/grpc.reflection.")
"""Services that answer without a key: load balancers and tools ask them."""

_RETRY_SECONDS = 1.0

# Few, and never removed: to look one up for every call costs more than to count in it.
_seconds = functools.cache(metrics.rpc_seconds.labels)
_in_flight = functools.cache(metrics.rpc_in_flight.labels)
_total = functools.cache(metrics.rpc_total.labels)

# In quotes, because the classes are generic in their stubs only.
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any] | None"
Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
Continuation = Callable[[grpc.HandlerCallDetails], Awaitable[Handler]]


class CallInterceptor(grpc.aio.ServerInterceptor):
    """All concerns in one wrapper: each layer of interceptors would cost every call again."""

    def __init__(
        self,
        *,
        service: str,
        keys: KeyRing,
        telemetry: Telemetry,
        call_seconds: float,
        max_calls: int,
        max_streams: int,
    ) -> None:
        self._service, self._keys, self._telemetry = service, keys, telemetry
        self._call_seconds = call_seconds
        self._free = {"unary": max_calls, "stream": max_streams}
        self._streams: set[asyncio.Task[Any]] = set()
        self._draining = False
        self._wrapped: dict[str, Handler] = {}

    def end_streams(self) -> None:
        """End every open stream: its client is told to come back, and comes to another process."""
        self._draining = True
        for task in self._streams:
            task.cancel()

    async def intercept_service(
        self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails
    ) -> Handler:
        """Return the wrapped handler of one call; a method's is made once."""
        method = handler_call_details.method
        if method in self._wrapped:
            return self._wrapped[method]
        handler = await continuation(handler_call_details)
        if handler is None or method.startswith(_OPEN_PREFIXES):
            return handler
        self._wrapped[method] = self._wrap(handler, method)
        return self._wrapped[method]

    def _wrap(self, handler: grpc.RpcMethodHandler[Any, Any], method: str) -> Handler:
        codec = {
            "request_deserializer": handler.request_deserializer,
            "response_serializer": handler.response_serializer,
        }
        # types-grpcio knows the threaded server's behaviours only.
        behaviour: Any = handler.unary_stream if handler.response_streaming else handler.unary_unary
        if handler.response_streaming:
            return grpc.unary_stream_rpc_method_handler(self._stream(behaviour, method), **codec)
        return grpc.unary_unary_rpc_method_handler(self._unary(behaviour, method), **codec)

    def _unary(self, behaviour: Callable[[Any, Context], Awaitable[Any]], method: str) -> Any:
        short = _short(method)

        async def serve(request: Any, context: Context) -> Any:
            start = perf_counter()
            with self._admitted("unary", short) as refusal:
                try:
                    _raise_if(refusal)
                    return await self._call(behaviour, request, context, short)
                except Exception as error:  # noqa: BLE001  # every error gets a status
                    await self._fail(context, short, error)
                finally:
                    _seconds(self._service, short).observe(perf_counter() - start)

        return serve

    async def _call(
        self, behaviour: Callable[[Any, Context], Awaitable[Any]], request: Any, context: Context, short: str
    ) -> Any:
        metadata = _metadata(context)
        principal = self._keys.verify(metadata.get("authorization", ""))
        with (
            acting_as(principal),
            self._telemetry.span(short, metadata.get("traceparent"), kind=SpanKind.SERVER),
        ):
            # A deadline of the caller's is kept by gRPC, which cancels this task.
            async with _limit(None if context.time_remaining() is not None else self._call_seconds):
                response = await behaviour(request, context)
        self._count(short, "OK")
        return response

    def _stream(self, behaviour: Callable[[Any, Context], Any], method: str) -> Any:
        short = _short(method)

        async def serve(request: Any, context: Context) -> None:
            with self._admitted("stream", short) as refusal:
                try:
                    _raise_if(refusal)
                    await self._pump(behaviour, request, context)
                    self._count(short, "OK")
                except grpc.aio.InternalError:
                    # What was written could not leave: the caller is gone, and nobody needs to be told.
                    self._count(short, "CANCELLED")
                except Exception as error:  # noqa: BLE001  # every error gets a status
                    await self._fail(context, short, error)

        return serve

    async def _pump(self, behaviour: Callable[[Any, Context], Any], request: Any, context: Context) -> None:
        metadata = _metadata(context)
        principal = self._keys.verify(metadata.get("authorization", ""))
        with acting_as(principal), within(metadata.get("traceparent")), self._endable():
            # With the first answer they would go out again when a status follows one that is still on its
            # way, which gRPC refuses: the caller would never learn how its stream ended.
            await context.send_initial_metadata(())
            answers = behaviour(request, context)
            if inspect.isawaitable(answers):  # a servicer that writes to the context itself
                await answers
                return
            async with contextlib.aclosing(answers):
                async for answer in answers:
                    await context.write(answer)

    @contextlib.contextmanager
    def _endable(self) -> Iterator[None]:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  # a coroutine always runs in a task
        self._streams.add(task)
        try:
            yield
        except asyncio.CancelledError:
            if not self._draining:
                raise
            task.uncancel()
            raise Unavailable("This server is shutting down; connect again.", retry_after=0.0) from None
        finally:
            self._streams.discard(task)

    @contextlib.contextmanager
    def _admitted(self, kind: str, short: str) -> Iterator[WedSyncError | None]:
        if self._free[kind] <= 0:
            yield Overloaded("This server has as many calls as it can serve.", retry_after=_RETRY_SECONDS)
            return
        gauge = _in_flight(self._service, kind)
        self._free[kind] -= 1
        gauge.inc()
        try:
            yield None
        except asyncio.CancelledError:
            self._count(short, "CANCELLED")
            raise
        finally:
            self._free[kind] += 1
            gauge.dec()

    async def _fail(self, context: Context, short: str, error: Exception) -> NoReturn:
        if isinstance(error, grpc.aio.AbortError):
            self._count(short, "ABORTED")
            raise error
        if not isinstance(error, WedSyncError):
            # The caller learns nothing of the inside; the log has the traceback.
            _log.error("%s failed", short, exc_info=error)
            error = WedSyncError()
        self._count(short, error.reason)
        await abort_with(context, error)

    def _count(self, short: str, outcome: str) -> None:
        _total(self._service, short, outcome).inc()


@contextlib.asynccontextmanager
async def _limit(seconds: float | None) -> AsyncIterator[None]:
    limit = asyncio.timeout(seconds)
    try:
        async with limit:
            yield
    except TimeoutError:
        if not limit.expired():
            raise
        raise DeadlineExceeded(f"The call took longer than {seconds:g} s.") from None


def _raise_if(error: WedSyncError | None) -> None:
    if error is not None:
        raise error


def _metadata(context: Context) -> dict[str, str]:
    pairs = context.invocation_metadata() or ()
    return {key: value for key, value in pairs if isinstance(value, str)}


def _short(method: str) -> str:
    # "/wedsync.api.sync.v1.SyncService/ApplyChanges" reads "SyncService/ApplyChanges" in spans and labels.
    package, _, name = method.lstrip("/").partition("/")
    return f"{package.rpartition('.')[2]}/{name}"
