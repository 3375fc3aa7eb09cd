"""Traceparents and spans, without any exporter."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from wedsync.runtime.settings import ServerSettings
from wedsync.runtime.telemetry import Telemetry, current_traceparent, start_telemetry
from wedsync.runtime.traceparent import TraceParent, within

_TRACE, _SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
_SAMPLED, _UNSAMPLED = f"00-{_TRACE}-{_SPAN}-01", f"00-{_TRACE}-{_SPAN}-00"


class Recorded:
    """Telemetry that keeps its spans, and the spans."""

    def __init__(self, ratio: float = 1.0) -> None:
        self._exporter = InMemorySpanExporter()
        self.telemetry = Telemetry(processor=SimpleSpanProcessor(self._exporter), ratio=ratio)

    @property
    def spans(self) -> dict[str, ReadableSpan]:
        """What was recorded, by name."""
        return {span.name: span for span in self._exporter.get_finished_spans()}


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "nonsense",
        f"00-{'0' * 32}-{_SPAN}-01",
        f"00-{_TRACE}-{'0' * 16}-01",
        f"ff-{_TRACE}-{_SPAN}-01",
        f"00-{_TRACE.upper()}-{_SPAN}-01",
        f"00-{_TRACE}-{_SPAN}-01-more",
        f"00-{_TRACE}-{_SPAN}-01\n",
    ],
)
def test_what_is_no_traceparent_is_ignored(text: str | None) -> None:
    """Absent, malformed, all-zero and forbidden values are treated as no parent."""
    assert TraceParent.parse(text) is None


def test_a_future_version_is_read_by_its_known_part() -> None:
    """W3C: a higher version may carry more fields after the flags."""
    parsed = TraceParent.parse(f"01-{_TRACE}-{_SPAN}-03-what-the-future-brings")
    assert parsed == TraceParent(int(_TRACE, 16), int(_SPAN, 16), sampled=True)


@given(st.integers(1, 2**128 - 1), st.integers(1, 2**64 - 1), st.booleans())
def test_a_traceparent_survives_being_written(trace_id: int, span_id: int, sampled: bool) -> None:
    """Writing and reading give the same; a child keeps trace and decision and has its own span."""
    parent = TraceParent(trace_id, span_id, sampled)
    assert TraceParent.parse(str(parent)) == parent
    child = parent.child()
    assert (child.trace_id, child.sampled) == (trace_id, sampled)


@pytest.mark.parametrize(("ratio", "least", "most"), [(0.0, 0, 0), (1.0, 2000, 2000), (0.5, 800, 1200)])
def test_new_traces_are_sampled_by_the_ratio(ratio: float, least: int, most: int) -> None:
    """None, all or about half of the new traces are sampled (half: 9 standard deviations wide)."""
    sampled = sum(TraceParent.root(ratio).sampled for _ in range(2000))
    assert least <= sampled <= most


def test_without_an_exporter_traceparents_are_still_given_out() -> None:
    """With telemetry off every span has a valid traceparent, children stay in their trace."""
    telemetry = start_telemetry("sync", ServerSettings.model_validate({"database_url": "postgresql://x"}))
    with telemetry.span("outer") as outer, telemetry.span("inner") as inner:
        assert current_traceparent() == inner.traceparent
    late = telemetry.record("late", outer.traceparent, 1, 2)
    assert len({text.split("-")[1] for text in (outer.traceparent, inner.traceparent, late)}) == 1
    assert len({text.split("-")[2] for text in (outer.traceparent, inner.traceparent, late)}) == 3
    assert current_traceparent() is None
    assert telemetry.flush()
    assert telemetry.shutdown()


def test_an_edit_begins_a_trace_of_its_own() -> None:
    """A span of a new trace has no parent, even within another span, and is the parent of what follows."""
    it = Recorded()
    with it.telemetry.span("scan") as scan, it.telemetry.span("detected", new_trace=True) as detected:
        it.telemetry.record("translate", current_traceparent(), 1, 2)
    assert it.spans["detected"].parent is None
    assert detected.traceparent.split("-")[1] != scan.traceparent.split("-")[1]
    above = it.spans["translate"].parent
    assert above is not None
    assert f"{above.span_id:016x}" == detected.traceparent.split("-")[2]


def test_a_span_has_its_parent_times_and_attributes() -> None:
    """A lived span is a child of the given parent; attributes may be added while it lives."""
    it = Recorded()
    with it.telemetry.span("accept", _SAMPLED, vendor="tave") as span:
        span.set("count", 3)
    recorded = it.spans["accept"]
    assert recorded.parent is not None
    assert f"{recorded.parent.span_id:016x}" == _SPAN
    assert dict(recorded.attributes or {}) == {"vendor": "tave", "count": 3}
    assert recorded.start_time is not None
    assert recorded.end_time is not None
    assert recorded.start_time <= recorded.end_time


def test_the_parents_decision_stands() -> None:
    """Under an unsampled parent nothing is recorded, whatever the ratio; under a sampled one all is."""
    all_, none = Recorded(ratio=1.0), Recorded(ratio=0.0)
    all_.telemetry.record("unsampled", _UNSAMPLED, 1, 2)
    none.telemetry.record("sampled", _SAMPLED, 1, 2)
    none.telemetry.record("root", None, 1, 2)
    assert set(all_.spans) == set()
    assert set(none.spans) == {"sampled"}


def test_a_span_built_late_may_have_been_a_parent_before() -> None:
    """A traceparent handed out first is given to the span at its end, so its children hang together."""
    it = Recorded()
    own = it.telemetry.new_traceparent()
    it.telemetry.record("child", own, 20, 30)
    assert (
        it.telemetry.record("batch", None, 10, 40, {"size": 2}, traceparent=own, links=[_SAMPLED, "x"]) == own
    )
    batch, child = it.spans["batch"], it.spans["child"]
    assert child.parent is not None
    assert batch.context is not None
    assert child.parent.span_id == batch.context.span_id
    assert batch.parent is None
    assert [f"{link.context.span_id:016x}" for link in batch.links] == [_SPAN]
    assert (batch.start_time, batch.end_time) == (10, 40)


def test_a_clock_that_went_back_gives_no_negative_span() -> None:
    """An end before the start is moved to the start."""
    it = Recorded()
    it.telemetry.record("odd", _SAMPLED, 50, 40)
    assert it.spans["odd"].end_time == 50


def test_a_failure_is_marked_without_its_text() -> None:
    """An exception marks the span with its type only; a reason given by hand wins."""
    it = Recorded()
    with pytest.raises(ValueError, match="personal"), it.telemetry.span("by exception", _SAMPLED):
        raise ValueError("personal")
    with pytest.raises(ValueError, match="personal"), it.telemetry.span("by hand", _SAMPLED) as span:  # noqa: PT012  # the span is what is tried
        span.fail("VENDOR_REFUSED")
        raise ValueError("personal")
    statuses = {name: (s.status.status_code, s.status.description) for name, s in it.spans.items()}
    assert statuses == {
        "by exception": (StatusCode.ERROR, "ValueError"),
        "by hand": (StatusCode.ERROR, "VENDOR_REFUSED"),
    }


def test_without_a_parent_the_current_one_counts() -> None:
    """A span opened inside of a call belongs to the call's trace."""
    it = Recorded()
    with within(_SAMPLED), it.telemetry.span("inside") as span:
        assert span.traceparent.split("-")[1] == _TRACE
    assert it.spans["inside"].parent is not None


def test_after_the_shutdown_nothing_is_recorded() -> None:
    """Recording after the end is harmless."""
    it = Recorded()
    assert it.telemetry.flush()
    assert it.telemetry.shutdown()
    it.telemetry.record("late", _SAMPLED, 1, 2)
    assert it.spans == {}
