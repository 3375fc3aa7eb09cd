"""WebDAV answers as two servers really give them, and as broken ones do."""

import pytest

from services.gateway.vendors.apple_calendar import davxml
from services.gateway.vendors.apple_calendar.davxml import (
    multiget,
    normal_path,
    parse_multistatus,
    preconditions,
    sync_collection,
)
from services.gateway.vendors.port import VendorGarbage

# A default namespace, as Radicale writes it.
_DEFAULT_NS = b"""<?xml version='1.0' encoding='utf-8'?>
<multistatus xmlns="DAV:" xmlns:C="urn:ietf:params:xml:ns:caldav">
<sync-token>http://radicale.org/ns/sync/abc</sync-token>
<response><href>/couple/wedding/a%20b.ics</href><propstat><prop><getetag>"e1"</getetag></prop>
<status>HTTP/1.1 200 OK</status></propstat>
<propstat><prop><displayname/></prop><status>HTTP/1.1 404 Not Found</status></propstat></response>
<response><href>/couple/wedding/gone.ics</href><status>HTTP/1.1 404 Not Found</status></response>
</multistatus>"""
# Generated prefixes, absolute addresses, a bare token: as another server writes it.
_PREFIXES = b"""<?xml version="1.0"?>
<ns0:multistatus xmlns:ns0="DAV:" xmlns:ns1="urn:ietf:params:xml:ns:caldav">
<ns0:response><ns0:href>https://dav.example:8443/couple/wedding/a b.ics</ns0:href><ns0:propstat>
<ns0:status>HTTP/1.1 200 OK</ns0:status><ns0:prop><ns0:getetag>"e1"</ns0:getetag></ns0:prop></ns0:propstat>
</ns0:response>
<ns0:response><ns0:href>/couple/wedding/gone.ics</ns0:href><ns0:status>HTTP/1.1 404 Not Found</ns0:status>
</ns0:response><ns0:sync-token> 0f3c </ns0:sync-token></ns0:multistatus>"""


@pytest.mark.parametrize(
    ("body", "token"), [(_DEFAULT_NS, "http://radicale.org/ns/sync/abc"), (_PREFIXES, "0f3c")]
)
def test_both_servers_say_the_same(body: bytes, token: str) -> None:
    """Prefixes, order, absolute addresses and encoding make no difference."""
    found = parse_multistatus(body, "/couple/wedding/")
    changed, gone = found.resources
    assert found.sync_token == token
    assert (changed.path, changed.status, changed.text(davxml.ETAG)) == (
        "/couple/wedding/a%20b.ics",
        200,
        '"e1"',
    )
    assert changed.text(davxml.DISPLAY_NAME) is None
    assert (changed.names(davxml.REPORTS), changed.hrefs(davxml.PRINCIPAL)) == (set(), [])
    assert (gone.path, gone.status) == ("/couple/wedding/gone.ics", 404)
    assert not found.truncated


def test_a_set_that_the_server_cut_short_is_known() -> None:
    """Status 507 for the collection itself means that more is to be asked for."""
    body = (
        b'<d:multistatus xmlns:d="DAV:"><d:response><d:href>/c/</d:href>'
        b"<d:status>HTTP/1.1 507 Insufficient Storage</d:status></d:response></d:multistatus>"
    )
    assert parse_multistatus(body, "/c/").truncated
    assert not parse_multistatus(body, "/other/").truncated


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"<html/>",
        b"\xff\xfe",
        b'<d:multistatus xmlns:d="DAV:"><d:response/></d:multistatus>',
        b'<!DOCTYPE a [<!ENTITY b "c">]><d:multistatus xmlns:d="DAV:"/>',
        b'<?xml version="1.0" encoding="nonsense"?><d:multistatus xmlns:d="DAV:"/>',
    ],
)
def test_an_answer_that_is_no_multistatus_is_garbage(body: bytes) -> None:
    """HTML, broken XML, entity definitions and responses without address are garbage."""
    with pytest.raises(VendorGarbage):
        parse_multistatus(body, "/c/")


def test_a_precondition_is_known_by_its_element() -> None:
    """What is wrong is named by an element, whatever the status and the prefix."""
    body = b'<?xml version="1.0"?><error xmlns="DAV:"><valid-sync-token/></error>'
    assert preconditions(body) == {davxml.VALID_SYNC_TOKEN}
    assert preconditions(b"Bad Request") == frozenset()
    assert preconditions(b'<error xmlns="urn:other"/>') == frozenset()


@pytest.mark.parametrize(
    ("href", "path"),
    [
        ("/a/b.ics", "/a/b.ics"),
        ("https://host/a/b%40c.ics", "/a/b@c.ics"),
        (" /a/b@c.ics ", "/a/b@c.ics"),
        ("/a/b c.ics", "/a/b%20c.ics"),
        ("/a/b%2fc.ics", "/a/b%2Fc.ics"),
        ("/a/%c3%bc.ics", "/a/%C3%BC.ics"),
        ("/a/ü.ics", "/a/%C3%BC.ics"),
    ],
)
def test_an_address_has_one_form(href: str, path: str) -> None:
    """Absolute or not, encoded or not: one address is one text, and normal stays normal."""
    assert normal_path(href) == path
    assert normal_path(path) == path


def test_what_is_sent_is_escaped() -> None:
    """Tokens and addresses cannot break out of the request."""
    assert b"<d:sync-token>a&lt;b&amp;</d:sync-token>" in sync_collection("a<b&")
    assert b"<d:href>/a&amp;b</d:href>" in multiget(["/a&b"])
