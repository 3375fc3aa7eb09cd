"""What is done about an account's access token."""

from __future__ import annotations

from typing import Any

import pytest

from services.gateway.calls.oauth2 import GrantRefused, Tokens, understood
from services.gateway.calls.renewal import YOUNG_SECONDS, Kept, Step, early, next_step
from services.gateway.vendor_http import Response
from services.gateway.vendors.port import VendorError, VendorGarbage, VendorUnavailable

TOKENS = Tokens(access_token="at", refresh_token="rt", lifetime=3600)


def step(refused: str = "", **kept: Any) -> Step:
    """Decide about a token that is half through its life, but for what is given."""
    values = {"tokens": TOKENS, "seconds_left": 1800.0, "age": 1800.0, **kept}
    return next_step(Kept(**values), dice=0.5, refused=refused)


@pytest.mark.parametrize(
    ("kept", "wanted"),
    [
        ({}, Step.USE),
        ({"seconds_left": 100.0}, Step.REFRESH),
        ({"seconds_left": 100.0, "refreshing": True}, Step.USE),
        ({"seconds_left": 100.0, "wait": 3.0}, Step.USE),
        ({"seconds_left": -1.0}, Step.REFRESH),
        ({"seconds_left": -1.0, "refreshing": True}, Step.WAIT),
        ({"seconds_left": -1.0, "wait": 3.0}, Step.PUT_OFF),
        ({"reconnect": "invalid_grant"}, Step.RECONNECT),
        ({"reconnect": "invalid_grant", "seconds_left": -1.0}, Step.RECONNECT),
    ],
)
def test_a_token_is_renewed_before_its_end_by_one(kept: dict[str, Any], wanted: Step) -> None:
    """One process renews early while the others use what is still valid, or wait where nothing is."""
    assert step(**kept) is wanted


def test_a_refused_token_is_renewed_once() -> None:
    """A refusal renews; of a token just given it does not, and of an older token it changes nothing."""
    assert step("at") is Step.REFRESH
    assert step("at", refreshing=True) is Step.WAIT
    assert step("at", age=YOUNG_SECONDS / 2) is Step.REFUSED
    assert step("older") is Step.USE


def test_short_lives_are_renewed_in_proportion() -> None:
    """A token of ten seconds is renewed in its last two, one of a day in its last five minutes."""
    assert early(10, 1.0) == 2.0
    assert early(86_400, 1.0) == 300.0
    assert early(86_400, 0.0) == 150.0


def test_a_new_refresh_token_keeps_the_one_before() -> None:
    """The old one is kept beside a new one; where none is given the sent one goes on."""
    rotated = understood(
        _answer(200, '{"access_token": "a", "refresh_token": "r2", "expires_in": "60"}'), "r1"
    )
    assert (rotated.refresh_token, rotated.previous, rotated.lifetime) == ("r2", "r1", 60.0)
    same = understood(_answer(200, '{"access_token": "a"}'), "r1")
    assert (same.refresh_token, same.previous) == ("r1", "")


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, '{"error": "invalid_grant"}', GrantRefused),
        (401, '{"error": "invalid_client"}', GrantRefused),
        (400, '{"error": "temporarily_unavailable"}', VendorUnavailable),
        (400, "<html>", VendorGarbage),
        (403, "[]", VendorGarbage),
        (200, "<html>", VendorGarbage),
        (200, '{"access_token": ""}', VendorGarbage),
        (200, '{"access_token": 7}', VendorGarbage),
    ],
)
def test_only_a_clear_refusal_is_final(status: int, body: str, kind: type[VendorError]) -> None:
    """An error code of the standard ends it; what makes no sense may make some later."""
    with pytest.raises(kind):
        understood(_answer(status, body), "r1")


def _answer(status: int, body: str) -> Response:
    return Response(status=status, body=body.encode())
