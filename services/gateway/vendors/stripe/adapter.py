"""Stripe: the payments of one customer."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from services.gateway.converters import contract
from services.gateway.converters.money import read_digits
from services.gateway.vendors.manifest import Manifest
from services.gateway.vendors.port import (
    Account,
    BadRecord,
    CursorLost,
    Decision,
    OutOfScope,
    RecordGone,
    Scan,
    VendorAuthFailed,
    VendorError,
    VendorGarbage,
    VendorPort,
    VendorRecord,
    VendorRejected,
    VendorUnavailable,
)
from services.gateway.vendors.stripe import events, payments
from services.gateway.vendors.stripe.api import Absent, Http, StripeApi
from services.gateway.vendors.stripe.payments import Context, Json, is_intent_id
from wedsync.model.items import FieldValue, ItemKind
from wedsync.model.values import is_zone

Values = Mapping[str, FieldValue]

_CUSTOMER = re.compile(r"cus_[A-Za-z0-9_]{1,250}")
_NO_CUSTOMER = "Stripe has no such customer: link another one"
# A parked record is shown to people; the start of it is enough to recognise it.
_KEPT_RAW = 4096


def create_adapter(http: Http, manifest: Manifest, account: Account, scope: Mapping[str, str]) -> VendorPort:
    """Return the adapter for one customer: `scope` holds `customer_id` and the wedding's `time_zone`."""
    if not _CUSTOMER.fullmatch(scope.get("customer_id", "")):
        raise VendorRejected(
            "the scope's customer_id is no id of a customer: copy it from the customer's page"
        )
    if not account.credentials.get("secret_key"):
        raise VendorAuthFailed("there is no secret key: reconnect the account")
    return StripeAdapter(http, manifest, account, scope)


class StripeAdapter:
    """Speaks Stripe's API about one customer. It remembers nothing."""

    def __init__(self, http: Http, manifest: Manifest, account: Account, scope: Mapping[str, str]) -> None:
        def setting(name: str) -> str:
            return manifest.setting(account, name)

        self._manifest, self._customer = manifest, scope["customer_id"]
        self._api = StripeApi(
            http=http,
            base_url=account.base_url.rstrip("/"),
            key=account.credentials["secret_key"],
            version=setting("api_version"),
            timeout=manifest.timeout_seconds,
            expand=tuple(setting("expand").split()),
            page_size=int(setting("page_size")),
        )
        self._context = Context(
            customer_id=self._customer,
            fields=manifest.kinds[ItemKind.PAYMENT].fields,
            conversion=_checked(manifest.conversion(account, scope)),
            item_key=setting("item_key"),
            memo_key=setting("memo_key"),
        )

    async def check(self) -> None:
        """Return if the key works and the customer exists."""
        try:
            customer = await self._api.customer(self._customer)
        except Absent as error:
            raise VendorRejected(_NO_CUSTOMER) from error
        if customer.get("deleted") is True:
            raise VendorRejected(_NO_CUSTOMER)

    async def scan(self, cursor: Mapping[str, Any] | None) -> Scan:
        """Return the next page of the customer's payments; behind the last one it begins again.

        Stripe's lists can be filtered by the time of birth only, not of a change.
        """
        after = _after(cursor or {})
        try:
            page = await self._api.intents(self._customer, after)
        except Absent as error:
            raise (CursorLost() if after else VendorRejected(_NO_CUSTOMER)) from error
        found, bad = self._sorted_out(page.intents)
        going_on = {"after": page.last} if page.last else {}
        return Scan(records=found, bad=bad, cursor=going_on, more=page.last is not None)

    async def read(self, record_id: str) -> VendorRecord | None:
        """Read one payment. Raises `OutOfScope` if it is another customer's.

        Stripe forgets no payment of an account: where the customer is unknown too, the key is another
        account's, and nothing is gone.
        """
        if not is_intent_id(record_id):
            raise VendorRejected("this is no id of a payment in Stripe")
        try:
            return payments.record(await self._api.intent(record_id), self._context)
        except Absent:
            await self.check()
            return None

    async def find(self, kind: ItemKind, item_id: str) -> VendorRecord | None:
        """Look up the payment whose metadata names the item."""
        if kind is not ItemKind.PAYMENT:
            return None
        try:
            async for intent in self._api.all_intents(self._customer):
                metadata = intent.get("metadata")
                if isinstance(metadata, dict) and metadata.get(self._context.item_key) == item_id:
                    return payments.record(intent, self._context)
        except Absent as error:
            raise VendorRejected(_NO_CUSTOMER) from error
        return None

    async def create(self, kind: ItemKind, item_id: str, values: Values) -> VendorRecord:  # noqa: ARG002 - the port
        """Refuse: people pay, we do not ask them for money."""
        raise VendorRejected(f"WedSync makes no {kind} in Stripe: do it there")

    async def update(self, record: VendorRecord, values: Values) -> VendorRecord:
        """Write the memo into the payment's metadata; nothing is sent if it stands there already.

        Stripe has neither ETag nor version: it cannot tell us that the payment moved meanwhile.
        """
        held = self._held(values)
        if all(record.fields.get(path) == value for path, value in held.items()):
            return record
        metadata = {self._context.memo_key: str(held["memo"] or "")}
        try:
            return self._written(await self._api.annotate(record.record_id, metadata))
        except Absent as error:
            raise RecordGone from error

    async def delete(self, record: VendorRecord) -> None:  # noqa: ARG002 - the port
        """Refuse: a payment is history."""
        raise VendorRejected("a payment cannot be deleted in Stripe: refund or cancel it there")

    def hints(self, event: Mapping[str, Any]) -> Sequence[str]:
        """Return the payment an event is about."""
        return events.hinted(event, self._customer)

    def decisions(self, _: Mapping[str, Any], /) -> Sequence[Decision]:
        """Nobody decides anything here."""
        return ()

    async def aclose(self) -> None:
        """Hold nothing: the connections belong to the process."""

    def _held(self, values: Values) -> dict[str, FieldValue]:
        rules = {path: self._manifest.rule(ItemKind.PAYMENT, path) for path in values}
        return {path: rule.holds(values[path]) for path, rule in rules.items() if rule and rule.writable}

    def _sorted_out(self, intents: Sequence[Json]) -> tuple[list[VendorRecord], list[BadRecord]]:
        found, bad = [], []
        for intent in intents:
            try:
                found.append(payments.record(intent, self._context))
            except OutOfScope:
                continue
            except VendorGarbage as error:
                raw = json.dumps(intent).encode()[:_KEPT_RAW]
                bad.append(BadRecord(record_id=str(intent.get("id")), reason=str(error), raw=raw))
        return found, bad

    def _written(self, intent: Json) -> VendorRecord:
        """Return what we have just written."""
        try:
            return payments.record(intent, self._context)
        except VendorError as error:
            # It was carried out: the caller must look before it writes again.
            raise VendorUnavailable(f"written, and then: {error}", unknown_outcome=True) from error


def _checked(conversion: contract.Context) -> contract.Context:
    if not is_zone(conversion.zone):
        raise VendorRejected("the wedding's time zone is none: correct it")
    try:
        read_digits(conversion.settings["currency_digits"])
    except ValueError as error:
        raise VendorRejected(f"currency_digits {error}") from error
    return conversion


def _after(cursor: Mapping[str, Any]) -> str | None:
    after = cursor.get("after")
    if after is not None and not is_intent_id(after):
        raise CursorLost("the cursor was not made here")
    return after
