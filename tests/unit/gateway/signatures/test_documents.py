"""Published keys are fetched once, kept for a while, and never asked for without bound."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from services.gateway.signatures.checks import SignatureChecks
from services.gateway.signatures.documents import (
    FRESH,
    LIFETIME,
    MAX_BYTES,
    MAX_FETCHES,
    MAX_KEPT,
    RETRY,
    KeyDocuments,
)
from services.gateway.signatures.webhook import SignatureRefused
from services.gateway.vendor_http import Response
from tests.support.signed import NOW, Published, webhook
from tests.support.signers import GOOGLE, KEYS, key_document, published_key, token
from wedsync.clock import FakeClock
from wedsync.errors import Unavailable

HERE = "https://keys.petalworks.test/jwks"


class Site:
    """A vendor that publishes one document."""

    def __init__(self, content: bytes = b"keys") -> None:
        self.clock, self.published = FakeClock(NOW), Published({HERE: content})
        self.documents = KeyDocuments(self.published, self.clock)

    def pass_by(self, time: timedelta) -> None:
        """Let time go by."""
        self.clock.advance(time.total_seconds())


async def test_a_document_is_fetched_once_while_it_is_fresh() -> None:
    """Many webhooks at once cause one fetch, and another one only after hours."""
    site = Site()
    assert set(await asyncio.gather(*(site.documents.get(HERE) for _ in range(20)))) == {b"keys"}
    assert site.published.asked == [HERE]
    site.published.documents[HERE] = b"new keys"
    site.pass_by(FRESH)
    assert await site.documents.get(HERE) == b"new keys"


async def test_a_document_is_believed_for_a_day_while_the_vendor_is_away() -> None:
    """Beyond that it is refused, in a way that makes the vendor come back."""
    site = Site()
    await site.documents.get(HERE)
    site.published.status = 500
    site.pass_by(FRESH)
    assert await site.documents.get(HERE) == b"keys"
    await site.documents.get(HERE)
    assert len(site.published.asked) == 2
    site.pass_by(LIFETIME - FRESH)
    with pytest.raises(Unavailable) as error:
        await site.documents.get(HERE)
    assert error.value.retry_after == RETRY.total_seconds()


@pytest.mark.parametrize("content", [b"x" * (MAX_BYTES + 1), None], ids=["large", "none"])
async def test_what_cannot_be_had_is_unavailable(content: bytes | None) -> None:
    """A document that is too large, and one that is not there, are none."""
    site = Site()
    site.published.documents = {} if content is None else {HERE: content}
    with pytest.raises(Unavailable):
        await site.documents.get(HERE)


async def test_fetches_are_bounded_whoever_causes_them() -> None:
    """Who names ever new addresses causes so many fetches a minute, and drives out nothing that is kept."""
    site = Site()
    await site.documents.get(HERE)
    for number in range(MAX_FETCHES + MAX_KEPT):
        with pytest.raises(Unavailable):
            await site.documents.get(f"{HERE}/{number}")
    assert len(site.published.asked) == MAX_FETCHES
    assert await site.documents.get(HERE) == b"keys"
    site.pass_by(timedelta(minutes=1))
    with pytest.raises(Unavailable):
        await site.documents.get(f"{HERE}/last")
    assert site.published.asked[-1] == f"{HERE}/last"


async def test_so_many_documents_are_kept() -> None:
    """The one unused for longest is forgotten first."""
    site = Site()
    places = [f"{HERE}/{number}" for number in range(MAX_KEPT + 1)]
    for place in places:
        site.published.documents[place] = b"keys"
        await site.documents.get(place)
        site.pass_by(timedelta(seconds=5))
    assert await site.documents.get(places[-1]) == b"keys"
    assert site.published.asked.count(places[-1]) == 1
    await site.documents.get(places[0])
    assert site.published.asked.count(places[0]) == 2


class _Answering(Published):
    async def request(self, method: str, url: str, **_: object) -> Response:
        self.asked.append(url)
        return Response(status=302, headers={"location": "http://127.0.0.1/"}, body=b"elsewhere")


async def test_a_document_that_moved_is_not_followed() -> None:
    """A redirect is an answer like any other: the document is not there."""
    documents = KeyDocuments(_Answering(), FakeClock(NOW))
    with pytest.raises(Unavailable):
        await documents.get(HERE)


async def test_a_new_key_is_looked_for_at_most_once_a_minute() -> None:
    """A token that names a key we do not know has the vendor's keys read again, not for each webhook."""
    site = Site(b'{"keys": [{"kty": "oct", "kid": "old", "k": "c2VjcmV0"}]}')
    checks = SignatureChecks(documents=site.documents, clock=site.clock)
    for _ in range(3):
        with pytest.raises(SignatureRefused, match="has not published"):
            await checks.check([GOOGLE.secret], GOOGLE.inbound, GOOGLE.sent())
    assert site.published.asked == [KEYS]
    site.published.documents[KEYS] = key_document()
    site.pass_by(RETRY)
    await checks.check([GOOGLE.secret], GOOGLE.inbound, GOOGLE.sent())
    assert site.published.asked == [KEYS, KEYS]
    assert published_key().kid == "k1"
    nameless = webhook(token({"exp": 1}, published_key()) | {"authorization": "Bearer x"})
    with pytest.raises(SignatureRefused):
        await checks.check([GOOGLE.secret], GOOGLE.inbound, nameless)
