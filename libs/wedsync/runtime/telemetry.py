"""Spans. Every hop is batched, so a span may be built late, from stage times, into its change's own trace.

A traceparent is always generated, with or without an exporter, because journeys record the trace id. A
span is built only if its trace is sampled and somebody collects: otherwise all this costs a random number.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence

from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from wedsync.runtime.settings import ServerSettings
from wedsync.runtime.traceparent import TraceParent, current_traceparent, within

__all__ = ["Attribute", "OpenSpan", "SpanKind", "Telemetry", "current_traceparent", "start_telemetry"]

_log = logging.getLogger(__name__)

Attribute = str | bool | int | float

_QUEUE_SPANS = 8192  # about 8 MB at worst; more are dropped and counted by the SDK
_BATCH_SPANS = 512
_DELAY_MILLISECONDS = 500
_EXPORT_SECONDS = 5.0
_SHUTDOWN_SECONDS = 5.0


class OpenSpan:
    """A span being lived through."""

    def __init__(self, traceparent: str, attributes: dict[str, Attribute]) -> None:
        self.traceparent = traceparent
        self.attributes = attributes
        self.error: str | None = None

    def set(self, key: str, value: Attribute) -> None:
        """Add an attribute. Never personal data."""
        self.attributes[key] = value

    def fail(self, reason: str) -> None:
        """Mark the span as failed, with a stable reason rather than a message."""
        self.error = reason


class Telemetry:
    """Builds spans and hands them to a processor; without one it only gives out traceparents."""

    def __init__(
        self, *, processor: SpanProcessor | None = None, resource: Resource | None = None, ratio: float = 0.0
    ) -> None:
        self._processor, self._ratio = processor, ratio
        self._resource = resource or Resource({})
        self._scope = InstrumentationScope("wedsync")

    def new_traceparent(self) -> str:
        """Start a new trace, sampled by the configured ratio."""
        return str(TraceParent.root(self._ratio))

    def child(self, parent: str | None) -> str:
        """Return the traceparent for a span to be recorded later; a new trace if there is no valid parent."""
        above = TraceParent.parse(parent)
        return str(above.child()) if above else self.new_traceparent()

    def keeps(self, traceparent: str | None) -> bool:
        """Say whether spans of this trace are built at all."""
        if self._processor is None:
            return False
        parsed = TraceParent.parse(traceparent)
        return parsed is not None and parsed.sampled

    @contextlib.contextmanager
    def span(
        self,
        name: str,
        parent: str | None = None,
        *,
        new_trace: bool = False,
        kind: SpanKind = SpanKind.INTERNAL,
        links: Sequence[str] = (),
        **attributes: Attribute,
    ) -> Iterator[OpenSpan]:
        """Live through a span; without a parent it is a child of the current one. It is current inside.

        With `new_trace` it has no parent: an edit begins here.

        An exception marks it as failed with the exception's type (its text may be personal) and goes on.
        """
        parent = None if new_trace else parent or current_traceparent()
        span = OpenSpan(self.child(parent), attributes)
        start = time.time_ns()
        try:
            with within(span.traceparent):
                yield span
        except BaseException as error:
            span.fail(span.error or type(error).__name__)
            raise
        finally:
            self.record(
                name,
                parent,
                start,
                time.time_ns(),
                span.attributes,
                traceparent=span.traceparent,
                kind=kind,
                links=links,
                error=span.error,
            )

    def record(
        self,
        name: str,
        parent: str | None,
        start_ns: int,
        end_ns: int,
        attributes: Mapping[str, Attribute] | None = None,
        *,
        traceparent: str | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
        links: Sequence[str] = (),
        error: str | None = None,
    ) -> str:
        """Build a span that is over; return its traceparent.

        Give `traceparent` (from `child` or `new_traceparent`) when it was handed out before the end.
        """
        traceparent = traceparent or self.child(parent)
        own = TraceParent.parse(traceparent) if self.keeps(traceparent) else None
        if self._processor is None or own is None:
            return traceparent
        span = ReadableSpan(
            name,
            context=_context(own),
            parent=_context_of(parent),
            resource=self._resource,
            attributes=dict(attributes or {}),
            links=[Link(context) for link in links if (context := _context_of(link))],
            kind=kind,
            status=Status(StatusCode.ERROR, error) if error else Status(StatusCode.UNSET),
            start_time=start_ns,
            end_time=max(start_ns, end_ns),
            instrumentation_scope=self._scope,
        )
        self._processor.on_end(span)
        return traceparent

    def flush(self, seconds: float = _SHUTDOWN_SECONDS) -> bool:
        """Hand over what is queued; False if that took longer than allowed."""
        processor = self._processor
        return processor is None or _bounded(processor.force_flush, seconds)

    def shutdown(self, seconds: float = _SHUTDOWN_SECONDS) -> bool:
        """Hand over what is queued and stop exporting; False if that took longer than allowed."""
        processor, self._processor = self._processor, None
        return processor is None or _bounded(processor.shutdown, seconds)


def start_telemetry(service: str, settings: ServerSettings) -> Telemetry:
    """Return the service's telemetry; it exports only if `otlp_endpoint` is set."""
    if settings.otlp_endpoint is None:
        return Telemetry(ratio=settings.trace_ratio)
    exporter = OTLPSpanExporter(
        endpoint=settings.otlp_endpoint,
        insecure=settings.otlp_endpoint.startswith("http://"),
        timeout=_EXPORT_SECONDS,
    )
    # The processor alone, without a TracerProvider: that one's exit hook joins the export thread
    # without a limit (shutdown_on_exit).
    processor = BatchSpanProcessor(
        exporter,
        max_queue_size=_QUEUE_SPANS,
        max_export_batch_size=_BATCH_SPANS,
        schedule_delay_millis=_DELAY_MILLISECONDS,
    )
    return Telemetry(processor=processor, resource=_resource(service), ratio=settings.trace_ratio)


def _resource(service: str) -> Resource:
    return Resource.create(
        {
            "service.name": f"wedsync-{service}",
            "service.namespace": "wedsync",
            "service.instance.id": str(uuid.uuid4()),
            "host.name": socket.gethostname(),
        }
    )


def _bounded(work: Callable[[], object], seconds: float) -> bool:
    # A collector that hangs must not hold up the end of the process, hence a thread that may be left behind.
    thread = threading.Thread(target=work, name="telemetry-flush", daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        _log.warning("spans were not handed over within %.1f s; they are lost", seconds)
    return not thread.is_alive()


def _context_of(traceparent: str | None) -> SpanContext | None:
    parsed = TraceParent.parse(traceparent)
    return _context(parsed) if parsed else None


def _context(parsed: TraceParent) -> SpanContext:
    flags = TraceFlags(TraceFlags.SAMPLED if parsed.sampled else TraceFlags.DEFAULT)
    return SpanContext(parsed.trace_id, parsed.span_id, is_remote=False, trace_flags=flags)
