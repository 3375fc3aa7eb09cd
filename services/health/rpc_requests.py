"""What callers may ask, checked; everything that is wrong with a request is said at once."""

from __future__ import annotations

from datetime import datetime

from services.health.score import Observation, readable
from wedsync.api.health.v1 import service_pb2
from wedsync.convert.changes import moment
from wedsync.model.ids import is_id
from wedsync.runtime.requests import ID_HINT, Checks, foreign_token

MAX_OBSERVATIONS = 500
MAX_NAME = 200


def observations_from(request: service_pb2.RecordObservationsRequest, now: datetime) -> list[Observation]:
    """Return the observations reported. Raises `InvalidRequest`."""
    checks, count = Checks(), len(request.observations)
    checks.require(
        1 <= count <= MAX_OBSERVATIONS,
        "observations",
        f"holds {count} observations; send 1 to {MAX_OBSERVATIONS}",
    )
    checks.finish()
    found = [
        _observation(message, f"observations[{index}]", now, checks)
        for index, message in enumerate(request.observations)
    ]
    checks.finish()
    return [observation for observation in found if observation is not None]


def page_start(token: str) -> str | None:
    """Return the integration id a page starts after, None for the first. Raises `InvalidRequest`."""
    if token and not is_id(token):
        raise foreign_token()
    return token or None


def _observation(
    message: service_pb2.Observation, at: str, now: datetime, checks: Checks
) -> Observation | None:
    before = len(checks.violations)
    for field in ("observation_id", "integration_id"):
        checks.require(is_id(getattr(message, field)), f"{at}.{field}", ID_HINT)
    for field in ("organization_id", "vendor"):
        checks.require(_is_name(getattr(message, field)), f"{at}.{field}", "must be a name without commas")
    checks.require(_counts(message), f"{at}.successes", "with the failures: not negative, and at least one")
    operation = _operation(message, at, checks)
    observed_at = _moment(message, at, checks)
    if operation is None or observed_at is None or len(checks.violations) > before:
        return None
    return Observation(
        observation_id=message.observation_id,
        organization_id=message.organization_id,
        integration_id=message.integration_id,
        vendor=message.vendor,
        operation=operation,
        successes=message.successes,
        failures=message.failures,
        last_error=readable(message.last_error),
        # A reporter whose clock is ahead must not make its vendor look fresh tomorrow.
        observed_at=min(observed_at, now),
    )


def _counts(message: service_pb2.Observation) -> bool:
    counts = (message.successes, message.failures)
    return min(counts) >= 0 and max(counts) > 0


def _operation(message: service_pb2.Observation, at: str, checks: Checks) -> str | None:
    known = {
        service_pb2.OPERATION_WEBHOOK: "webhook",
        service_pb2.OPERATION_READ: "read",
        service_pb2.OPERATION_WRITE: "write",
        service_pb2.OPERATION_CONNECT: "connect",
        service_pb2.OPERATION_MISSED_WEBHOOK: "missed_webhook",
    }
    checks.require(
        message.operation in known, f"{at}.operation", f"must be one of {', '.join(known.values())}"
    )
    return known.get(message.operation)


def _moment(message: service_pb2.Observation, at: str, checks: Checks) -> datetime | None:
    try:
        observed_at = moment(message.observe_time)
    except ValueError:
        checks.refuse(f"{at}.observe_time", "is out of range")
        return None
    checks.require(message.HasField("observe_time"), f"{at}.observe_time", "must say when it happened")
    return observed_at


def _is_name(value: str) -> bool:
    return 0 < len(value) <= MAX_NAME and value.isprintable() and "," not in value
