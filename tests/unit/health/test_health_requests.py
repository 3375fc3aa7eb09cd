"""Requests to the health service: what is wrong is named by its field."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from google.protobuf import timestamp_pb2

from services.health import rpc_requests as requests
from wedsync.api.health.v1 import service_pb2
from wedsync.convert.changes import timestamp
from wedsync.errors import InvalidRequest
from wedsync.model.ids import new_id

NOW = datetime(2027, 6, 1, tzinfo=UTC)


def an_observation(**but: Any) -> service_pb2.Observation:
    """Return an observation of which only what is said differs."""
    fields: dict[str, Any] = {
        "observation_id": new_id(),
        "integration_id": new_id(),
        "organization_id": "studio",
        "vendor": "tave",
        "operation": service_pb2.OPERATION_WRITE,
        "failures": 1,
        "last_error": "VendorUnavailable",
        "observe_time": timestamp(NOW),
    }
    return service_pb2.Observation(**{**fields, **but})


def refused(question: Callable[[], object]) -> list[str]:
    """Return the fields a request was refused for."""
    with pytest.raises(InvalidRequest) as error:
        question()
    return [violation.field for violation in error.value.violations]


def violations(*observations: service_pb2.Observation) -> list[str]:
    """Return the fields a batch was refused for."""
    request = service_pb2.RecordObservationsRequest(observations=observations)
    return refused(lambda: requests.observations_from(request, NOW))


@pytest.mark.parametrize(
    ("but", "field"),
    [
        ({"observation_id": "o"}, "observation_id"),
        ({"integration_id": ""}, "integration_id"),
        ({"organization_id": "a,b"}, "organization_id"),
        ({"organization_id": ""}, "organization_id"),
        ({"vendor": "ta\x00ve"}, "vendor"),
        ({"vendor": "v" * 201}, "vendor"),
        ({"operation": 0}, "operation"),
        ({"operation": 42}, "operation"),
        ({"failures": 0}, "successes"),
        ({"failures": -1}, "successes"),
        ({"successes": -1}, "successes"),
        ({"observe_time": None}, "observe_time"),
        ({"observe_time": timestamp_pb2.Timestamp(seconds=1 << 50)}, "observe_time"),
    ],
)
def test_what_is_wrong_with_an_observation_is_named(but: dict[str, Any], field: str) -> None:
    """Each malformed field of an observation is named with its place in the batch."""
    assert violations(an_observation(), an_observation(**but)) == [f"observations[1].{field}"]


def test_a_batch_has_one_to_five_hundred_observations() -> None:
    """An empty and an oversize batch are refused as a whole."""
    assert violations() == ["observations"]
    assert violations(*[an_observation()] * 501) == ["observations"]


@pytest.mark.parametrize(
    ("operation", "name"),
    [
        (service_pb2.OPERATION_WEBHOOK, "webhook"),
        (service_pb2.OPERATION_READ, "read"),
        (service_pb2.OPERATION_WRITE, "write"),
        (service_pb2.OPERATION_CONNECT, "connect"),
        (service_pb2.OPERATION_MISSED_WEBHOOK, "missed_webhook"),
    ],
)
def test_a_good_observation_is_read_whole(operation: service_pb2.Operation.ValueType, name: str) -> None:
    """Counts, operation and time arrive as they were sent; a time to come becomes now."""
    ahead = an_observation(operation=operation, observe_time=timestamp(NOW + timedelta(days=1)))
    request = service_pb2.RecordObservationsRequest(observations=[ahead])
    [observation] = requests.observations_from(request, NOW)
    assert (observation.successes, observation.failures, observation.operation) == (0, 1, name)
    assert (observation.last_error, observation.observed_at) == ("VendorUnavailable", NOW)


def test_page_tokens_are_ids() -> None:
    """A token that is no integration id is refused; none means the first page."""
    assert refused(lambda: requests.page_start("x")) == ["page_token"]
    assert requests.page_start("") is None
