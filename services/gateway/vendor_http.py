"""The one door for outbound HTTP: pools, limits and time-outs, and which addresses may be called.

Nothing of ours travels besides what the adapter asks for: no cookies, no proxies, no trace context.
Redirects are answers like any other: following one may hand credentials to a stranger.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from types import SimpleNamespace
from typing import Self

import aiohttp
from yarl import URL

from services.gateway.vendor_address import AddressRefused, GuardedResolver, refuse_literal
from services.gateway.vendors.port import VendorAuthFailed, VendorGarbage, VendorRejected, VendorUnavailable

READ_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "PROPFIND", "REPORT"})
"""Methods that change nothing at the vendor; every other call counts as a write."""

Observe = Callable[[str, str, int, float], None]
"""Told of each call: method, host, status (0 where no answer came) and seconds."""
Around = Callable[[str, str], AbstractAsyncContextManager[object]]
"""Entered round each call with method and host; where the engine opens a span."""

_USER_AGENT = "WedSync/1"
# No vendor is asked to wait longer than this on its word alone; the engine's cap may be lower.
_MAX_RETRY_AFTER = 86_400.0
# Refused before anything was done: the outcome is known even for a write.
_REFUSED_EARLY = frozenset({429, 503})


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much one process asks of vendors, and how much it takes from them."""

    timeout_seconds: float = 15.0
    connect_seconds: float = 5.0
    max_response_bytes: int = 16 * 1024 * 1024
    connections: int = 128
    connections_per_host: int = 16
    allow_private: bool = False
    """Allow loopback and private addresses and plain http: for the sandbox only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """A vendor's answer. Header names are in lower case."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = field(default=b"", repr=False)


class VendorHttp:
    """Calls vendors over HTTP. One per process; closes its connections on `aclose`."""

    def __init__(
        self, *, limits: Limits | None = None, observe: Observe | None = None, around: Around | None = None
    ) -> None:
        self._limits = limits or Limits()
        self._observe = observe or (lambda *_: None)
        self._around = around or (lambda *_: nullcontext())
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the pool. Calling again opens a new one."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - it bounds pool, connection and body as one
        returns: frozenset[int] = frozenset(),
    ) -> Response:
        """Make one call and return its answer, redirects and refusals (4xx) included.

        Raises `VendorUnavailable` where no answer came and for 429 and 5xx, `VendorAuthFailed` for 401
        and 403, except for the statuses in `returns`. Raises `VendorRejected` for an address that must
        not be called, and `VendorGarbage` for an answer that is too large or not HTTP.
        """
        response = await self.exchange(method, url, headers=headers, body=body, timeout=timeout)
        raise_for(method, response, returns)
        return response

    async def exchange(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - it bounds pool, connection and body as one
    ) -> Response:
        """Make one call and return its answer, whatever its status; raises as `request` where none came."""
        target = self._target(url)
        async with self._around(method, target.host or ""):
            return await self._exchange(method, target, headers or {}, body, timeout)

    def _target(self, url: str) -> URL:
        try:
            target = URL(url, encoded=True)
            host, port = target.host, target.port
        except ValueError as error:
            raise VendorRejected("the address is malformed: correct it") from error
        schemes = ("https", "http") if self._limits.allow_private else ("https",)
        if target.scheme not in schemes or not host or not port:
            raise VendorRejected("the address must be an absolute https URL: correct it")
        if target.user or target.password:
            raise VendorRejected("the address must not contain credentials: enter them as such")
        refuse_literal(host, allow_private=self._limits.allow_private)
        return target

    async def _exchange(
        self, method: str, url: URL, headers: Mapping[str, str], body: bytes | None, limit: float | None
    ) -> Response:
        call, started, status = SimpleNamespace(sent=False), time.perf_counter(), 0
        try:
            async with (
                _translated(method, url, call),
                self._opened().request(
                    method,
                    url,
                    headers=headers,
                    data=body,
                    timeout=self._timeout(limit),
                    allow_redirects=False,
                    trace_request_ctx=call,
                ) as answer,
            ):
                status = answer.status
                return Response(status=status, headers=_lowered(answer), body=await self._read(answer))
        finally:
            self._observe(method, url.host or "", status, time.perf_counter() - started)

    def _timeout(self, limit: float | None) -> aiohttp.ClientTimeout:
        total = limit if limit is not None else self._limits.timeout_seconds
        return aiohttp.ClientTimeout(total=total, sock_connect=min(self._limits.connect_seconds, total))

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    limit=self._limits.connections,
                    limit_per_host=self._limits.connections_per_host,
                    resolver=GuardedResolver(allow_private=self._limits.allow_private),
                ),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"User-Agent": _USER_AGENT},
                trace_configs=[_connection_trace()],
                trust_env=False,
            )
        return self._session

    async def _read(self, answer: aiohttp.ClientResponse) -> bytes:
        content = bytearray()
        async for chunk in answer.content.iter_any():
            content += chunk
            if len(content) > self._limits.max_response_bytes:
                raise VendorGarbage(f"the answer is larger than {self._limits.max_response_bytes} bytes")
        return bytes(content)


@asynccontextmanager
async def _translated(method: str, url: URL, call: SimpleNamespace) -> AsyncIterator[None]:
    """Turn the library's errors into the port's. Messages name the host only: a path may hold a key."""
    try:
        yield
    except aiohttp.ClientResponseError as error:
        raise VendorGarbage(f"{url.host} answered something that is not HTTP") from error
    except (TimeoutError, aiohttp.ClientError) as error:
        if isinstance(getattr(error, "os_error", None), AddressRefused):
            raise VendorRejected(str(AddressRefused(url.host or ""))) from error
        kind = "did not answer in time" if isinstance(error, TimeoutError) else "cannot be reached"
        unknown = call.sent and method not in READ_METHODS
        raise VendorUnavailable(
            f"{url.host} {kind} ({type(error).__name__})", unknown_outcome=unknown
        ) from error


def _connection_trace() -> aiohttp.TraceConfig:
    """Note on each call that it got a connection: from then on it may have been carried out."""

    async def connected(_: object, context: SimpleNamespace, __: object) -> None:
        context.trace_request_ctx.sent = True

    trace = aiohttp.TraceConfig()
    trace.on_connection_create_end.append(connected)
    trace.on_connection_reuseconn.append(connected)
    return trace


def _lowered(answer: aiohttp.ClientResponse) -> dict[str, str]:
    return {name.lower(): ", ".join(answer.headers.getall(name)) for name in answer.headers}


def raise_for(method: str, response: Response, returns: frozenset[int]) -> None:
    """Raise what the status means, as `VendorHttp.request` says, except for the statuses in `returns`."""
    status = response.status
    if status in returns:
        return
    if status in (401, 403):
        raise VendorAuthFailed(f"the vendor refuses our credentials (status {status}): reconnect the account")
    if status == 429 or status >= 500:
        raise VendorUnavailable(
            f"the vendor is busy or broken (status {status})",
            retry_after=retry_after(response.headers, datetime.fromtimestamp(time.time(), UTC)),
            unknown_outcome=method not in READ_METHODS and status not in _REFUSED_EARLY,
        )


def retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """Return the seconds to wait that `Retry-After` asks for (a number or a date), None for none.

    A date is by the vendor's own clock, which may be wrong: the answer's `Date` says what time it is there.
    """
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:10]), _MAX_RETRY_AFTER)
    moment = _moment(text)
    if moment is None:
        return None
    return min(max((moment - stated_at(headers, now)).total_seconds(), 0.0), _MAX_RETRY_AFTER)


def stated_at(headers: Mapping[str, str], now: datetime) -> datetime:
    """Return what time it was by the vendor's clock when it answered; ours where it does not say."""
    return _moment(headers.get("date", "")) or now


def _moment(text: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, IndexError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
