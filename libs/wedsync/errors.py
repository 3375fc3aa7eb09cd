"""The one error family: what callers must tell apart, whether retrying can help, and the data to act on.

The docstring of a class is its default message. `reason` is stable, UPPER_SNAKE, and travels as
`google.rpc.ErrorInfo.reason`; `wedsync.convert` is the only place that knows gRPC status codes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """One thing wrong with a request: where (`changes[2].update_mask`), and how to mend it."""

    field: str
    description: str


class WedSyncError(Exception):
    """Something went wrong inside WedSync."""

    reason: ClassVar[str] = "INTERNAL"
    retryable: ClassVar[bool] = False

    def __init__(
        self,
        message: str | None = None,
        *,
        metadata: Mapping[str, str] | None = None,
        violations: Sequence[FieldViolation] = (),
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message or (type(self).__doc__ or "").strip().splitlines()[0])
        self.metadata = dict(metadata or {})
        self.violations = tuple(violations)
        self.retry_after = retry_after
        """Seconds to wait before trying again, where known."""


class InvalidRequest(WedSyncError):
    """The request is malformed; see the field violations."""

    reason = "INVALID_REQUEST"


class Unauthenticated(WedSyncError):
    """No valid API key: send the metadata `authorization: Bearer <key>`."""

    reason = "UNAUTHENTICATED"


class PermissionDenied(WedSyncError):
    """The caller's key does not carry the scope this call needs."""

    reason = "PERMISSION_DENIED"


class NotFound(WedSyncError):
    """There is no such resource, or the caller may not see it."""

    reason = "NOT_FOUND"


class UnknownWedding(NotFound):
    """There is no such wedding, or the caller may not see it."""

    reason = "UNKNOWN_WEDDING"


class AlreadyExists(WedSyncError):
    """The resource exists already."""

    reason = "ALREADY_EXISTS"


class ChangeIdReused(WedSyncError):
    """This change_id was already used with different content; choose a new one."""

    reason = "CHANGE_ID_REUSED"


class FailedPrecondition(WedSyncError):
    """The system is not in the state this call needs."""

    reason = "FAILED_PRECONDITION"


class WeddingPaused(WedSyncError):
    """The wedding is paused and takes no changes; repeat this once it is resumed."""

    reason, retryable = "WEDDING_PAUSED", True


class StaleRevision(WedSyncError):
    """The wedding moved on since this was read; read it again and retry."""

    reason, retryable = "STALE_REVISION", True


class Overloaded(WedSyncError):
    """A queue is full; wait for the given time and retry."""

    reason, retryable = "OVERLOADED", True


class Unavailable(WedSyncError):
    """A part this call needs is not reachable right now; retry."""

    reason, retryable = "UNAVAILABLE", True


class NotOwner(Unavailable):
    """Another owner holds this wedding at the moment; retry."""

    reason = "NOT_OWNER"


class DeadlineExceeded(WedSyncError):
    """The time allowed for this call is over; what it asked may or may not have happened."""

    reason, retryable = "DEADLINE_EXCEEDED", True


ERRORS: Mapping[str, type[WedSyncError]] = {
    kind.reason: kind
    for kind in (
        WedSyncError,
        InvalidRequest,
        Unauthenticated,
        PermissionDenied,
        NotFound,
        UnknownWedding,
        AlreadyExists,
        ChangeIdReused,
        FailedPrecondition,
        WeddingPaused,
        StaleRevision,
        Overloaded,
        Unavailable,
        NotOwner,
        DeadlineExceeded,
    )
}
"""Every reason and its class, so that a client can restore what a server raised."""
