"""What belongs to a wedding, and what a stopped link waits for, against in-process services."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.unit.cli.conftest import Wedsync
from tests.unit.cli.fakes import CHANGE, WEDDING, System
from wedsync.api.gateway.v1 import link_pb2

Data = Callable[..., Any]

ASKS = "6 of 8 records are suddenly gone at the vendor."


def test_links_are_listed_with_what_stopped_them(wedsync: Wedsync, data: Data, system: System) -> None:
    """State and reason are there, in a table and as JSON; a wedding without links says so."""
    assert "no links" in wedsync("link", "list", WEDDING).stdout
    system.links = [link(link_pb2.LINK_STATE_PAUSED, ASKS)]
    shown = wedsync("link", "list", WEDDING).stdout
    assert all(part in shown for part in (CHANGE, "tave", "paused", ASKS))
    assert data("link", "list", WEDDING)[0]["state"] == "LINK_STATE_PAUSED"


def test_the_question_of_a_link_is_answered(wedsync: Wedsync, system: System) -> None:
    """Deletes are believed only where that was said; a link can be paused, too."""
    system.links = [link(link_pb2.LINK_STATE_ACTIVE)]
    assert "active" in wedsync("link", "resume", CHANGE).stdout
    assert (system.asked[-1].link_id, system.asked[-1].believe_deletes) == (CHANGE, False)
    wedsync("link", "resume", CHANGE, "--believe-deletes")
    assert system.asked[-1].believe_deletes
    wedsync("link", "pause", CHANGE)
    assert isinstance(system.asked[-1], link_pb2.PauseLinkRequest)


def link(state: link_pb2.LinkState.ValueType, reason: str = "") -> link_pb2.Link:
    """Return a link."""
    return link_pb2.Link(link_id=CHANGE, vendor="tave", state=state, reason=reason)
