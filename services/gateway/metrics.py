"""Prometheus metrics of the gateway's own."""

from __future__ import annotations

from prometheus_client import Counter, Histogram

from wedsync.runtime.metrics import REGISTRY

webhooks_total = Counter(
    "wedsync_webhooks",
    "Webhooks by what became of them at the door: accepted, duplicate, or the refusal's stable code.",
    ("vendor", "outcome"),
    registry=REGISTRY,
)
vendor_call_seconds = Histogram(
    "wedsync_vendor_call_seconds",
    "Seconds a call to a vendor took, by method and status class (0xx: no answer).",
    ("method", "status"),
    buckets=(0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 15),
    registry=REGISTRY,
)


def observe_vendor_call(method: str, _host: str, status: int, seconds: float) -> None:
    """Count one call to a vendor; the host stays out, an account may be one."""
    vendor_call_seconds.labels(method, f"{status // 100}xx").observe(seconds)
