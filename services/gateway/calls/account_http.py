"""The door for outbound HTTP as one account's adapter gets it: guarded by breaker, budget and token."""

from __future__ import annotations

from collections.abc import Mapping

from services.gateway.calls.breakers import Breakers
from services.gateway.calls.budget import Budget
from services.gateway.calls.lessons import too_much
from services.gateway.vendor_http import Response, VendorHttp, raise_for, retry_after
from services.gateway.vendors.port import (
    NotCalled,
    TokenSource,
    VendorGarbage,
    VendorUnavailable,
)

_BEARER = "Bearer "


class AccountHttp(VendorHttp):
    """Calls made in one account's name; the connections are everybody's."""

    def __init__(
        self,
        door: VendorHttp,
        *,
        account: str,
        breakers: Breakers,
        budget: Budget,
        tokens: TokenSource | None,
    ) -> None:
        super().__init__()
        self._door, self._account = door, account
        self._breakers, self._budget, self._tokens = breakers, budget, tokens

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
        """Make one call as `VendorHttp` does. Raises `NotCalled` too, where it is not the time for one.

        A token that the vendor no longer takes is renewed once, and the call made once more.
        """
        sent = dict(headers or {})
        response = await self.exchange(method, url, headers=sent, body=body, timeout=timeout)
        if response.status == 401 and self._tokens is not None:
            renewed = await _renewed(self._tokens, sent)
            if renewed is not None:
                response = await self.exchange(method, url, headers=renewed, body=body, timeout=timeout)
        if response.status != 429 and too_much(self._budget.rule, response):
            asked = retry_after(response.headers, self._budget.clock.now())
            raise VendorUnavailable(
                f"the vendor wants fewer calls (status {response.status})", retry_after=asked
            )
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
        """Make one call if it is the time for one, and learn from what came of it."""
        call = self._breakers.enter(self._account)
        try:
            async with self._budget.turn() as turn:
                response = turn.response = await self._door.exchange(
                    method, url, headers=headers, body=body, timeout=timeout
                )
        except NotCalled:
            call.abandoned()
            raise
        except (VendorUnavailable, VendorGarbage):
            call.failed()
            raise
        except BaseException:
            call.abandoned()
            raise
        if response.status >= 500:
            call.failed()
        else:
            call.succeeded()
        return response


async def _renewed(tokens: TokenSource, headers: Mapping[str, str]) -> dict[str, str] | None:
    """Return the headers with another token, None where they carry none."""
    name = next((name for name in headers if name.lower() == "authorization"), "")
    if not headers.get(name, "").startswith(_BEARER):
        return None
    fresh = await tokens.renewed(headers[name].removeprefix(_BEARER))
    return {**headers, name: _BEARER + fresh}
