"""From an account to the door its adapter calls through."""

from __future__ import annotations

from dataclasses import replace

from services.gateway.calls.account_http import AccountHttp
from services.gateway.calls.breakers import Breakers
from services.gateway.calls.budget import Budget
from services.gateway.calls.tokens import TokenKeeper
from services.gateway.store.tokens import Place, TokenStore
from services.gateway.vendor_http import VendorHttp
from services.gateway.vendors.manifest import Manifest
from services.gateway.vendors.port import Account, VendorResting
from wedsync.clock import Clock
from wedsync.runtime.limiter import Limiter


class Calls:
    """What all calls of this process to vendors have in common."""

    def __init__(self, *, http: VendorHttp, limiter: Limiter, tokens: TokenStore, clock: Clock) -> None:
        self._http, self._limiter, self._clock = http, limiter, clock
        self._breakers = Breakers(clock)
        self._tokens = TokenKeeper(store=tokens, http=http, clock=clock)

    def account(
        self, organization_id: str, account: Account, manifest: Manifest, *, version: int = 1
    ) -> Account:
        """Return the account with its source of tokens, where it has tokens that end."""
        if manifest.auth.type != "oauth2" or "refresh_token" not in account.credentials:
            return account
        place = Place(organization_id=organization_id, integration_id=account.integration_id, version=version)
        return replace(account, token_source=self._tokens.source(place, manifest.auth, account.credentials))

    def door(self, account: Account, manifest: Manifest) -> VendorHttp:
        """Return the door through which the account's adapter calls."""
        return AccountHttp(
            self._http,
            account=account.integration_id,
            breakers=self._breakers,
            budget=Budget.of(account.integration_id, manifest, self._limiter, self._clock),
            tokens=account.token_source,
        )

    def rest(self, integration_id: str) -> VendorResting | None:
        """Return why no call of the account is worth making now, None where one is."""
        return self._breakers.rest(integration_id)
