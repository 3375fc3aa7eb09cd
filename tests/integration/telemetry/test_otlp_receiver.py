"""The receiver that other tests rely on when they speak of traces."""

from __future__ import annotations

import asyncio

from wedsync.runtime.settings import ServerSettings
from wedsync.runtime.telemetry import start_telemetry
from wedsync.runtime.traceparent import TraceParent
from wedsync.testing.otlp import OtlpReceiver


def _settings(receiver: OtlpReceiver) -> ServerSettings:
    return ServerSettings.model_validate(
        {"database_url": "postgresql://x", "trace_ratio": 1.0, "otlp_endpoint": receiver.endpoint}
    )


async def test_a_span_is_kept_with_its_service_parent_links_and_error() -> None:
    """What the telemetry of a service exports is found again, whole, under its trace id."""
    with OtlpReceiver() as receiver:
        telemetry = start_telemetry("gateway", _settings(receiver))
        other = telemetry.record("other", None, 1, 2)
        with telemetry.span("edit", vendor="tave") as edit:
            telemetry.record("late", edit.traceparent, 3, 4, links=[other], error="VendorGarbage")
        assert await asyncio.to_thread(telemetry.shutdown)
    edit_place, other_place = TraceParent.parse(edit.traceparent), TraceParent.parse(other)
    assert edit_place is not None
    assert other_place is not None
    late, lived = receiver.trace(f"{edit_place.trace_id:032x}")
    assert (lived.name, lived.service, lived.parent_id) == ("edit", "wedsync-gateway", "")
    assert lived.attributes == {"vendor": "tave"}
    assert (late.name, late.parent_id, late.error) == ("late", lived.span_id, "VendorGarbage")
    assert late.links == (f"{other_place.span_id:016x}",)
    assert (late.start_ns, late.end_ns) == (3, 4)


async def test_waiting_ends_with_the_condition_or_with_its_limit() -> None:
    """A condition that holds is seen as soon as the span arrives; one that never holds ends at the limit."""
    with OtlpReceiver() as receiver:
        telemetry = start_telemetry("sync", _settings(receiver))
        assert not receiver.wait_for(bool, 0.05)
        telemetry.record("seen", None, 1, 2)
        flushed = asyncio.to_thread(telemetry.flush)
        arrived = asyncio.to_thread(
            receiver.wait_for, lambda spans: any(span.name == "seen" for span in spans), 10
        )
        assert all(await asyncio.gather(flushed, arrived))
        assert await asyncio.to_thread(telemetry.shutdown)


async def test_the_oldest_spans_are_let_go_when_too_many_come() -> None:
    """The receiver keeps as many spans as it is told to, the newest ones."""
    with OtlpReceiver(max_spans=3) as receiver:
        telemetry = start_telemetry("sync", _settings(receiver))
        for number in range(5):
            telemetry.record(f"span {number}", None, number, number)
        assert await asyncio.to_thread(telemetry.shutdown)
        assert [span.name for span in receiver.spans] == ["span 2", "span 3", "span 4"]
