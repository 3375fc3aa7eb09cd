"""Metrics: what is shown, and the port it is shown on."""

from __future__ import annotations

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from wedsync.runtime import metrics


def _sample(name: str, **labels: str) -> float:
    return metrics.REGISTRY.get_sample_value(name, labels) or 0.0


def test_a_stage_is_counted_with_its_exemplar() -> None:
    """A passage appears in the histogram of its system and stage; a sampled trace is its exemplar."""
    labels = {"service": "t", "stage": "accept", "vendor": "tave"}
    metrics.observe_stage("t", "accept", 0.005, vendor="tave", traceparent=f"00-{'a' * 32}-{'b' * 16}-01")
    metrics.observe_stage("t", "accept", -1, vendor="tave", traceparent=f"00-{'c' * 32}-{'b' * 16}-00")
    assert _sample("wedsync_stage_seconds_count", **labels) == 2
    assert _sample("wedsync_stage_seconds_sum", **labels) == pytest.approx(0.005)
    body = metrics.render()[0].decode()
    assert f'trace_id="{"a" * 32}"' in body
    assert "c" * 32 not in body


def test_a_timed_stage_counts_failures_too() -> None:
    """What is timed is counted however it ends."""
    with metrics.timed_stage("t", "commit"):
        pass
    with pytest.raises(RuntimeError), metrics.timed_stage("t", "commit"):
        raise RuntimeError
    assert _sample("wedsync_stage_seconds_count", service="t", stage="commit", vendor="") == 2


def test_the_page_is_openmetrics_and_has_the_process() -> None:
    """The page parses as OpenMetrics and shows the process's own figures beside ours."""
    body, content_type = metrics.render()
    names = {family.name for family in text_string_to_metric_families(body.decode())}  # type: ignore[no-untyped-call]
    assert content_type.startswith("application/openmetrics-text")
    assert {"wedsync_stage_seconds", "wedsync_rpc", "process_resident_memory_bytes", "python_info"} <= names


def test_no_label_can_name_a_wedding_or_a_person() -> None:
    """Labels are from a fixed list of what has few values."""
    mine = (metrics.stage_seconds, metrics.rpc_seconds, metrics.rpc_total, metrics.rpc_in_flight)
    labels = {label for metric in mine for label in metric._labelnames}
    assert labels == {"service", "stage", "vendor", "method", "outcome", "kind"}
