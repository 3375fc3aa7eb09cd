"""The door as an account's adapter gets it in a gateway, without anybody else behind it."""

from __future__ import annotations

from services.gateway.calls.account_http import AccountHttp
from services.gateway.calls.breakers import Breakers
from services.gateway.calls.budget import Budget
from services.gateway.vendor_http import VendorHttp
from services.gateway.vendors.manifest import Manifest
from services.gateway.vendors.port import TokenSource
from wedsync.clock import SystemClock
from wedsync.runtime.limiter import LocalLimiter


def guarded(http: VendorHttp, manifest: Manifest, *, tokens: TokenSource | None = None) -> VendorHttp:
    """Return the door of one account: its breaker, its budget, and its tokens where they end."""
    clock = SystemClock()
    budget = Budget.of("i", manifest, LocalLimiter(clock), clock)
    return AccountHttp(http, account="i", breakers=Breakers(clock), budget=budget, tokens=tokens)
