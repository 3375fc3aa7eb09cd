"""A receiver of OpenTelemetry spans for tests: an OTLP/gRPC collector that only remembers.

with OtlpReceiver() as receiver:
    ...  # run something with WEDSYNC_OTLP_ENDPOINT=receiver.endpoint
    receiver.wait_for(lambda spans: len(spans) > 3, seconds=10)
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Self

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc

MAX_SPANS = 50_000
"""Spans kept, the oldest are let go first: a receiver that is forgotten must not fill the machine."""

_THREADS = 4
_STOP_SECONDS = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """One received span; ids in hexadecimal, as a traceparent writes them."""

    name: str
    service: str
    trace_id: str
    span_id: str
    parent_id: str
    """Empty for the first span of a trace."""
    start_ns: int
    end_ns: int
    attributes: Mapping[str, Any]
    links: tuple[str, ...]
    """The ids of the spans it is linked to."""
    error: str
    """The reason of a failure, empty for a success."""


class OtlpReceiver:
    """Listens on a free port of this machine while it is entered, and remembers what it is sent."""

    def __init__(self, *, max_spans: int = MAX_SPANS) -> None:
        self._spans: deque[Span] = deque(maxlen=max_spans)
        self._arrived = threading.Condition()
        self._server = grpc.server(ThreadPoolExecutor(_THREADS, thread_name_prefix="otlp"))
        servicer = _TraceService(self._keep)
        trace_service_pb2_grpc.add_TraceServiceServicer_to_server(servicer, self._server)  # type: ignore[no-untyped-call]
        self._port = self._server.add_insecure_port("127.0.0.1:0")

    @property
    def endpoint(self) -> str:
        """What `WEDSYNC_OTLP_ENDPOINT` is set to."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def spans(self) -> Sequence[Span]:
        """All spans received so far, oldest first."""
        with self._arrived:
            return tuple(self._spans)

    def trace(self, trace_id: str) -> Sequence[Span]:
        """Return the spans of one trace, by their start."""
        found = (span for span in self.spans if span.trace_id == trace_id)
        return sorted(found, key=lambda span: span.start_ns)

    def wait_for(self, condition: Callable[[Sequence[Span]], bool], seconds: float) -> bool:
        """Return true once the condition holds for the spans received; false if it takes longer."""
        with self._arrived:
            return self._arrived.wait_for(lambda: condition(tuple(self._spans)), seconds)

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop(grace=0).wait(_STOP_SECONDS)

    def _keep(self, spans: Iterable[Span]) -> None:
        with self._arrived:
            self._spans.extend(spans)
            self._arrived.notify_all()


class _TraceService(trace_service_pb2_grpc.TraceServiceServicer):
    def __init__(self, keep: Callable[[Iterable[Span]], None]) -> None:
        self._keep = keep

    def Export(  # noqa: N802 - gRPC's name
        self, request: trace_service_pb2.ExportTraceServiceRequest, _context: grpc.ServicerContext
    ) -> trace_service_pb2.ExportTraceServiceResponse:
        """Keep one batch."""
        self._keep(_spans_of(request))
        return trace_service_pb2.ExportTraceServiceResponse()


def _spans_of(request: trace_service_pb2.ExportTraceServiceRequest) -> Iterator[Span]:
    for group in request.resource_spans:
        service = str(_plain(group.resource.attributes).get("service.name", ""))
        for scope in group.scope_spans:
            yield from (_span(span, service) for span in scope.spans)


def _span(span: Any, service: str) -> Span:
    failed = span.status.code == span.status.STATUS_CODE_ERROR
    return Span(
        name=span.name,
        service=service,
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        start_ns=span.start_time_unix_nano,
        end_ns=span.end_time_unix_nano,
        attributes=_plain(span.attributes),
        links=tuple(link.span_id.hex() for link in span.links),
        error=(span.status.message or "failed") if failed else "",
    )


def _plain(attributes: Iterable[Any]) -> dict[str, Any]:
    return {entry.key: _value(entry.value) for entry in attributes}


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    return getattr(value, kind) if kind else None
