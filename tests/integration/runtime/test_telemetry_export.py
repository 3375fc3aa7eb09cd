"""Spans over OTLP into a real receiver."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent import futures

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc

from wedsync.runtime.settings import ServerSettings
from wedsync.runtime.telemetry import start_telemetry
from wedsync.runtime.traceparent import TraceParent


class Receiver(trace_service_pb2_grpc.TraceServiceServicer):
    """Keeps what it is sent; holds its answers back while told to."""

    def __init__(self) -> None:
        self.requests: list[trace_service_pb2.ExportTraceServiceRequest] = []
        self.answering = threading.Event()
        self.answering.set()

    def Export(  # noqa: N802
        self, request: trace_service_pb2.ExportTraceServiceRequest, context: grpc.ServicerContext
    ) -> trace_service_pb2.ExportTraceServiceResponse:
        """Take one batch."""
        self.requests.append(request)
        self.answering.wait(10)
        return trace_service_pb2.ExportTraceServiceResponse()


@pytest.fixture
def receiver() -> Iterator[tuple[Receiver, str]]:
    """An OTLP receiver and its address."""
    servicer = Receiver()
    server = grpc.server(futures.ThreadPoolExecutor(2))
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(servicer, server)  # type: ignore[no-untyped-call]
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield servicer, f"http://127.0.0.1:{port}"
    servicer.answering.set()
    server.stop(0).wait(5)


def _settings(**more: object) -> ServerSettings:
    return ServerSettings.model_validate({"database_url": "postgresql://x", "trace_ratio": 1.0, **more})


async def test_spans_arrive_with_their_parents_and_the_services_name(receiver: tuple[Receiver, str]) -> None:
    """A lived span and one built late are received as children of their parents, named after the service."""
    servicer, endpoint = receiver
    telemetry = start_telemetry("sync", _settings(otlp_endpoint=endpoint))
    with telemetry.span("lived") as span:
        late = telemetry.record("late", span.traceparent, 1_000, 2_000, {"stage": "commit"})
    assert await asyncio.to_thread(telemetry.shutdown)
    [resource_spans] = servicer.requests[0].resource_spans
    attributes = {a.key: a.value.string_value for a in resource_spans.resource.attributes}
    assert attributes["service.name"] == "wedsync-sync"
    assert attributes["service.instance.id"]
    spans = {s.name: s for s in resource_spans.scope_spans[0].spans}
    assert spans["late"].parent_span_id == spans["lived"].span_id
    assert spans["late"].trace_id == spans["lived"].trace_id
    assert (spans["late"].start_time_unix_nano, spans["late"].end_time_unix_nano) == (1_000, 2_000)
    parsed = TraceParent.parse(late)
    assert parsed is not None
    assert spans["late"].span_id == parsed.span_id.to_bytes(8, "big")


async def test_a_flush_hands_over_at_once(receiver: tuple[Receiver, str]) -> None:
    """After a flush the spans have been received, before any shutdown."""
    servicer, endpoint = receiver
    telemetry = start_telemetry("gateway", _settings(otlp_endpoint=endpoint))
    telemetry.record("now", None, 1, 2)
    assert await asyncio.to_thread(telemetry.flush)
    assert len(servicer.requests) == 1
    assert await asyncio.to_thread(telemetry.shutdown)


async def test_a_hanging_collector_does_not_hold_up_the_end(receiver: tuple[Receiver, str]) -> None:
    """While the collector does not answer, a flush and the shutdown end at their limit and say so."""
    servicer, endpoint = receiver
    telemetry = start_telemetry("gateway", _settings(otlp_endpoint=endpoint))
    servicer.answering.clear()
    telemetry.record("lost", None, 1, 2)
    started = asyncio.get_running_loop().time()
    assert not await asyncio.to_thread(telemetry.flush, 0.2)
    assert not await asyncio.to_thread(telemetry.shutdown, 0.2)
    assert asyncio.get_running_loop().time() - started < 3
    servicer.answering.set()
