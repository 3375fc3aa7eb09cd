"""Accounts at vendors."""
# ruff: noqa: N802, ARG002  # names and parameters are gRPC's

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import grpc

from services.gateway.accounts import DEFAULT_OVERLAP_SECONDS, Accounts, writer
from services.gateway.store.integration_rows import Integration
from services.gateway.store.links import LinkStore
from services.gateway.upkeep import Upkeep
from services.gateway.vendors.field_rules import Equivalence, KindRule
from services.gateway.vendors.manifest import Vendor
from wedsync import errors
from wedsync.api.gateway.v1 import integration_pb2, integration_pb2_grpc
from wedsync.convert import kind_to_message
from wedsync.convert.changes import timestamp
from wedsync.model.items import ItemKind
from wedsync.runtime.principal import Scope, require
from wedsync.runtime.requests import page_size, require_id

Context = grpc.aio.ServicerContext[Any, Any]


class IntegrationRpc(integration_pb2_grpc.IntegrationServiceServicer):
    """The servicer of `IntegrationService`."""

    def __init__(
        self, *, accounts: Accounts, upkeep: Upkeep, links: LinkStore, vendors: Mapping[str, Vendor]
    ) -> None:
        self._accounts, self._upkeep, self._links, self._vendors = accounts, upkeep, links, vendors

    async def ListVendors(
        self, request: integration_pb2.ListVendorsRequest, context: Context
    ) -> integration_pb2.ListVendorsResponse:
        """List the vendors that can be connected."""
        require(Scope.READ)
        return integration_pb2.ListVendorsResponse(vendors=[_vendor(v) for v in self._vendors.values()])

    async def ConnectVendor(
        self, request: integration_pb2.ConnectVendorRequest, context: Context
    ) -> integration_pb2.ConnectVendorResponse:
        """Connect an account."""
        connected = await self._accounts.connect(
            writer(require(Scope.WRITE)),
            request_id=request.request_id,
            vendor=request.vendor,
            credentials=dict(request.credentials),
            base_url=request.base_url,
        )
        return integration_pb2.ConnectVendorResponse(
            integration=_integration(connected.integration), webhook_path=connected.webhook_path
        )

    async def RotateWebhookSecret(
        self, request: integration_pb2.RotateWebhookSecretRequest, context: Context
    ) -> integration_pb2.RotateWebhookSecretResponse:
        """Keep a new webhook secret."""
        given = request.HasField("overlap_seconds")
        valid = await self._accounts.rotate_webhook_secret(
            writer(require(Scope.WRITE)),
            request_id=request.request_id,
            integration_id=require_id("integration_id", request.integration_id),
            secret=request.secret,
            overlap_seconds=request.overlap_seconds if given else DEFAULT_OVERLAP_SECONDS,
        )
        return integration_pb2.RotateWebhookSecretResponse(valid_secrets=valid)

    async def GetIntegration(
        self, request: integration_pb2.GetIntegrationRequest, context: Context
    ) -> integration_pb2.Integration:
        """Return one integration."""
        principal = require(Scope.READ)
        wanted = require_id("integration_id", request.integration_id)
        found = await self._links.integration([principal.organization_id], wanted)
        if found is None:
            raise errors.NotFound("There is no such integration.")
        return _integration(found)

    async def ListIntegrations(
        self, request: integration_pb2.ListIntegrationsRequest, context: Context
    ) -> integration_pb2.ListIntegrationsResponse:
        """List the caller's integrations, in the order they were connected."""
        principal = require(Scope.READ)
        size = page_size(request.page_size)
        after = require_id("page_token", request.page_token) if request.page_token else None
        found = await self._links.integrations(principal.organization_id, after=after, limit=size + 1)
        return integration_pb2.ListIntegrationsResponse(
            integrations=[_integration(integration) for integration in found[:size]],
            next_page_token=found[size - 1].integration_id if len(found) > size else "",
        )

    async def UpdateIntegration(
        self, request: integration_pb2.UpdateIntegrationRequest, context: Context
    ) -> integration_pb2.Integration:
        """Keep new credentials or another address."""
        updated = await self._upkeep.update(
            writer(require(Scope.WRITE)),
            require_id("integration_id", request.integration_id),
            credentials=dict(request.credentials),
            base_url=request.base_url,
        )
        return _integration(updated)

    async def TestIntegration(
        self, request: integration_pb2.TestIntegrationRequest, context: Context
    ) -> integration_pb2.TestIntegrationResponse:
        """Try an account."""
        trials = await self._upkeep.test(
            writer(require(Scope.WRITE)),
            require_id("integration_id", request.integration_id),
            scope=dict(request.scope),
        )
        return integration_pb2.TestIntegrationResponse(
            tests=[
                integration_pb2.IntegrationTest(
                    link_id=trial.link_id, works=not trial.problem, problem=trial.problem
                )
                for trial in trials
            ]
        )

    async def DisconnectVendor(
        self, request: integration_pb2.DisconnectVendorRequest, context: Context
    ) -> integration_pb2.Integration:
        """End all work with an account."""
        integration_id = require_id("integration_id", request.integration_id)
        return _integration(await self._upkeep.disconnect(writer(require(Scope.WRITE)), integration_id))


def _vendor(vendor: Vendor) -> integration_pb2.Vendor:
    manifest = vendor.manifest
    return integration_pb2.Vendor(
        vendor=manifest.vendor,
        display_name=manifest.display_name,
        category=manifest.category,
        bridge_class=manifest.bridge_class,
        capabilities=[_capability(kind, rules) for kind, rules in manifest.kinds.items()],
        credential_names=[credential.name for credential in manifest.auth.credentials],
        scope_names=sorted(manifest.scope),
    )


def _capability(kind: ItemKind, rules: KindRule) -> integration_pb2.Capability:
    loose = [
        f"{path}: {rule.equivalence}"
        for path, rule in rules.fields.items()
        if rule.equivalence is not Equivalence.EXACT
    ]
    return integration_pb2.Capability(
        kind=kind_to_message(kind),
        create=rules.create,
        update=rules.update,
        delete=rules.delete,
        equivalences=loose,
    )


def _integration(integration: Integration) -> integration_pb2.Integration:
    return integration_pb2.Integration(
        integration_id=integration.integration_id,
        organization_id=integration.organization_id,
        vendor=integration.vendor,
        base_url=integration.base_url,
        create_time=timestamp(integration.created_at),
        reconnect_reason=integration.reconnect,
        update_time=timestamp(integration.updated_at) if integration.updated_at else None,
        disconnect_time=timestamp(integration.disconnected_at) if integration.disconnected_at else None,
    )
