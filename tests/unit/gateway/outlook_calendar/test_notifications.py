"""What a batch of Outlook's notifications points at."""

from __future__ import annotations

from typing import Any

import pytest

from services.gateway.vendors.outlook_calendar.notifications import hinted
from services.gateway.vendors.port import VendorGarbage


def moved(event_id: Any, what: str = "updated") -> dict[str, Any]:
    """One notification of a batch."""
    return {"subscriptionId": "s", "changeType": what, "resourceData": {"id": event_id}}


def test_each_event_of_a_batch_is_hinted_at_once() -> None:
    """A create and its update, and turns in the subscription's life, come in one batch."""
    missed = {"subscriptionId": "s", "lifecycleEvent": "missed"}
    batch = {"value": [moved("e1", "created"), moved("e2"), missed, moved("e1")]}
    assert hinted(batch) == ["e1", "e2"]
    assert hinted({"value": [missed]}) == []


@pytest.mark.parametrize(
    "event",
    [{}, {"value": {}}, {"value": ["x"]}, {"value": [{}]}, {"value": [moved("")]}, {"value": [moved(5)]}],
    ids=str,
)
def test_what_makes_no_sense_is_garbage(event: dict[str, Any]) -> None:
    """A notification that does not say which event moved is refused."""
    with pytest.raises(VendorGarbage):
        hinted(event)
