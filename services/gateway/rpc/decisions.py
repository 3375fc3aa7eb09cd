"""What people decide in a vendor's system, taken to the conflicts service."""

from __future__ import annotations

from services.gateway.records import Link
from services.gateway.vendors.port import Decision, VendorUnavailable
from wedsync import errors
from wedsync.api.conflicts.v1 import service_pb2
from wedsync.client import ConflictsClient
from wedsync.convert.items import source_to_message
from wedsync.model.changes import Source
from wedsync.model.ids import act_id, is_id

_CHOICES = {"current": service_pb2.CHOICE_CURRENT, "proposed": service_pb2.CHOICE_PROPOSED}


class ConflictDecisions:
    """Decides conflicts on behalf of the person who clicked."""

    def __init__(self, client: ConflictsClient) -> None:
        self._client = client

    async def decide(self, link: Link, decision: Decision, webhook_id: str) -> str:
        """Return what became of it, in words; the same webhook decides once.

        Raises `VendorUnavailable` if the conflicts service cannot be asked now.
        """
        if not is_id(decision.conflict_id):
            return "the decision names no conflict"
        source = Source(organization_id=link.organization_id, actor=decision.actor, vendor=link.vendor)
        request = service_pb2.ResolveConflictRequest(
            request_id=act_id(decision.conflict_id, f"click:{webhook_id}"),
            conflict_id=decision.conflict_id,
            choice=_CHOICES[decision.choice],
            source=source_to_message(source),
        )
        try:
            await self._client.resolve_conflict(request)
        except (errors.FailedPrecondition, errors.NotFound, errors.InvalidRequest) as error:
            return f"the decision was not taken: {error}"
        except errors.WedSyncError as error:
            raise VendorUnavailable(
                f"the decision could not be handed over: {error}", retry_after=error.retry_after
            ) from error
        return f"a decision of {decision.actor}: keep the {decision.choice} value"
