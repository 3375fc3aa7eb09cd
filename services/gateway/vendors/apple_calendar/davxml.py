"""WebDAV and CalDAV bodies: requests as text, answers by namespace. Pure.

Prefixes, absolute or relative addresses and percent-encoding differ between servers, so answers are
read by namespace and every address is brought to one form.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from urllib.parse import quote, unquote, urlsplit
from xml.etree.ElementTree import Element, ParseError
from xml.sax.saxutils import escape

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from services.gateway.vendors.port import VendorGarbage

DAV, CALDAV, CALENDARSERVER = "DAV:", "urn:ietf:params:xml:ns:caldav", "http://calendarserver.org/ns/"
ETAG, RESOURCE_TYPE = f"{{{DAV}}}getetag", f"{{{DAV}}}resourcetype"
CALENDAR, CALENDAR_DATA = f"{{{CALDAV}}}calendar", f"{{{CALDAV}}}calendar-data"
DISPLAY_NAME, CTAG = f"{{{DAV}}}displayname", f"{{{CALENDARSERVER}}}getctag"
REPORTS, SYNC_COLLECTION = f"{{{DAV}}}supported-report-set", f"{{{DAV}}}sync-collection"
PRINCIPAL, HOME_SET = f"{{{DAV}}}current-user-principal", f"{{{CALDAV}}}calendar-home-set"
COMPONENTS, HREF = f"{{{CALDAV}}}supported-calendar-component-set", f"{{{DAV}}}href"
VALID_SYNC_TOKEN = f"{{{DAV}}}valid-sync-token"

_SAFE = "~-._!$&'()*+,;=:@"
_PREFIXES = f'xmlns:d="{DAV}" xmlns:c="{CALDAV}" xmlns:s="{CALENDARSERVER}"'
_PREFIX_OF = {DAV: "d", CALDAV: "c", CALENDARSERVER: "s"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """What a multistatus says about one address. `status` is 404 for one that is gone, else 200."""

    path: str
    status: int = 200
    props: Mapping[str, Element] = field(default_factory=dict)

    def text(self, name: str) -> str | None:
        """Return a property's text, None where it is absent or empty."""
        element = self.props.get(name)
        return ((element.text or "").strip() or None) if element is not None else None

    def hrefs(self, name: str) -> list[str]:
        """Return the addresses inside a property."""
        element = self.props.get(name)
        return [e.text.strip() for e in element.iter(HREF) if e.text] if element is not None else []

    def names(self, name: str) -> set[str]:
        """Return the tags of everything inside a property."""
        element = self.props.get(name)
        return {e.tag for e in element.iter()} if element is not None else set()


@dataclass(frozen=True, slots=True, kw_only=True)
class Multistatus:
    """A multistatus answer. `truncated` where the server left some out and wants to be asked again."""

    resources: tuple[Resource, ...]
    sync_token: str | None = None
    truncated: bool = False


def propfind(names: Iterable[str]) -> bytes:
    """Return the body of a PROPFIND for these properties."""
    return _document(f"<d:propfind {_PREFIXES}>{_prop(names)}</d:propfind>")


def sync_collection(token: str) -> bytes:
    """Return the body of a sync-collection REPORT since the token; empty for everything."""
    inner = f"<d:sync-token>{escape(token)}</d:sync-token><d:sync-level>1</d:sync-level>{_prop([ETAG])}"
    return _document(f"<d:sync-collection {_PREFIXES}>{inner}</d:sync-collection>")


def multiget(paths: Iterable[str]) -> bytes:
    """Return the body of a calendar-multiget REPORT for these addresses."""
    hrefs = "".join(f"<d:href>{escape(path)}</d:href>" for path in paths)
    inner = f"{_prop([ETAG, CALENDAR_DATA])}{hrefs}"
    return _document(f"<c:calendar-multiget {_PREFIXES}>{inner}</c:calendar-multiget>")


def parse_multistatus(body: bytes, request_path: str) -> Multistatus:
    """Read a multistatus answer to a request to that path. Raises `VendorGarbage`."""
    root = _parsed(body)
    if root is None or root.tag != f"{{{DAV}}}multistatus":
        raise VendorGarbage("the calendar server's answer is not a multistatus")
    resources, truncated = list[Resource](), False
    for element in root.findall(f"{{{DAV}}}response"):
        found = _resource(element)
        if found.status == 507 and found.path == request_path:
            truncated = True
        else:
            resources.append(found)
    token = (root.findtext(f"{{{DAV}}}sync-token") or "").strip() or None
    return Multistatus(resources=tuple(resources), sync_token=token, truncated=truncated)


def preconditions(body: bytes) -> frozenset[str]:
    """Return the tags of the preconditions that an error answer names; empty for any other body."""
    root = _parsed(body)
    if root is None or root.tag != f"{{{DAV}}}error":
        return frozenset()
    return frozenset(child.tag for child in root)


def normal_path(href: str) -> str:
    """Return an address as its path, percent-encoded in one way."""
    path = urlsplit(href.strip()).path
    # Segment by segment, so that an encoded slash stays part of its name.
    return "/".join(quote(unquote(segment), safe=_SAFE) for segment in path.split("/"))


def resource(path: str, etag: str | None, body: bytes) -> Resource:
    """Return one calendar object that was read by itself in the form a multistatus has it."""
    texts = {ETAG: etag or "", CALENDAR_DATA: body.decode("utf-8", "replace")}
    props = {name: Element(name) for name in texts}
    for name, text in texts.items():
        props[name].text = text
    return Resource(path=path, props=props)


def _resource(element: Element) -> Resource:
    href = element.findtext(HREF)
    if not href:
        raise VendorGarbage("the calendar server's answer lacks an address")
    props = {
        prop.tag: prop
        for propstat in element.findall(f"{{{DAV}}}propstat")
        if _status(propstat, 200) == 200
        for prop in propstat.iterfind(f"{{{DAV}}}prop/*")
    }
    return Resource(path=normal_path(href), status=_status(element, 200), props=props)


def _status(element: Element, default: int) -> int:
    # "HTTP/1.1 404 Not Found"
    parts = (element.findtext(f"{{{DAV}}}status") or "").split()
    return int(parts[1]) if len(parts) > 1 and parts[1].isdigit() else default


def _parsed(body: bytes) -> Element | None:
    try:
        root: Element = fromstring(body, forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError, LookupError):
        return None
    return root


def _prop(names: Iterable[str]) -> str:
    return f"<d:prop>{''.join(map(_empty, names))}</d:prop>"


def _empty(name: str) -> str:
    namespace, _, local = name.removeprefix("{").partition("}")
    return f"<{_PREFIX_OF[namespace]}:{local}/>"


def _document(content: str) -> bytes:
    return f'<?xml version="1.0" encoding="utf-8"?>{content}'.encode()
