"""Errors to gRPC status and back, with `google.rpc` details (AIP-193)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from wedsync import errors
from wedsync.errors import ERRORS, FieldViolation, WedSyncError

DOMAIN = "wedsync"

STATUS: dict[type[WedSyncError], grpc.StatusCode] = {
    WedSyncError: grpc.StatusCode.INTERNAL,
    errors.InvalidRequest: grpc.StatusCode.INVALID_ARGUMENT,
    errors.Unauthenticated: grpc.StatusCode.UNAUTHENTICATED,
    errors.PermissionDenied: grpc.StatusCode.PERMISSION_DENIED,
    errors.NotFound: grpc.StatusCode.NOT_FOUND,
    errors.UnknownWedding: grpc.StatusCode.NOT_FOUND,
    errors.AlreadyExists: grpc.StatusCode.ALREADY_EXISTS,
    errors.ChangeIdReused: grpc.StatusCode.ALREADY_EXISTS,
    errors.FailedPrecondition: grpc.StatusCode.FAILED_PRECONDITION,
    errors.WeddingPaused: grpc.StatusCode.FAILED_PRECONDITION,
    errors.StaleRevision: grpc.StatusCode.ABORTED,
    errors.Overloaded: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.Unavailable: grpc.StatusCode.UNAVAILABLE,
    errors.NotOwner: grpc.StatusCode.UNAVAILABLE,
    errors.DeadlineExceeded: grpc.StatusCode.DEADLINE_EXCEEDED,
}

_NEAREST: dict[grpc.StatusCode, type[WedSyncError]] = {
    grpc.StatusCode.CANCELLED: errors.Unavailable,
    **{code: kind for kind, code in reversed(STATUS.items())},
}
"""What a status without a reason of ours means: it comes from gRPC, a proxy or a newer service."""

# Details and message travel in trailers, and a peer refuses trailers of more than 8 KiB altogether:
# a caller must get the first of what is wrong rather than nothing.
_MAX_MESSAGE, _MAX_TEXT, _MAX_METADATA, _MAX_VIOLATION_BYTES = 300, 200, 8, 2_500

LEFT_OUT = "violations_left_out"
"""Key in ErrorInfo's metadata: how many violations there was no room for."""


def to_status(error: WedSyncError) -> status_pb2.Status:
    """Return the error as `google.rpc.Status`: ErrorInfo always, BadRequest and RetryInfo where known."""
    violations = _fitting(error.violations)
    status = status_pb2.Status(code=_code(type(error)).value[0], message=str(error)[:_MAX_MESSAGE])
    metadata = {k[:_MAX_TEXT]: v[:_MAX_TEXT] for k, v in list(error.metadata.items())[:_MAX_METADATA]}
    if left_out := len(error.violations) - len(violations):
        metadata[LEFT_OUT] = str(left_out)
    _attach(status, error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=metadata))
    if violations:
        _attach(status, error_details_pb2.BadRequest(field_violations=violations))
    if error.retry_after is not None:
        delay = duration_pb2.Duration()
        delay.FromMilliseconds(int(error.retry_after * 1000))
        _attach(status, error_details_pb2.RetryInfo(retry_delay=delay))
    return status


def _code(kind: type[WedSyncError]) -> grpc.StatusCode:
    # A kind of a service's own is answered as the nearest one that callers know.
    return next(STATUS[known] for known in kind.__mro__ if known in STATUS)


def _fitting(violations: Sequence[FieldViolation]) -> list[error_details_pb2.BadRequest.FieldViolation]:
    fitting, room = [], _MAX_VIOLATION_BYTES
    for violation in violations:
        message = error_details_pb2.BadRequest.FieldViolation(
            field=violation.field[:_MAX_TEXT], description=violation.description[:_MAX_TEXT]
        )
        room -= message.ByteSize()
        if room < 0:
            break
        fitting.append(message)
    return fitting


async def abort_with(context: grpc.aio.ServicerContext[Any, Any], error: WedSyncError) -> NoReturn:
    """End the call with the error's status."""
    await context.abort_with_status(rpc_status.to_status(to_status(error)))
    raise AssertionError("abort_with_status returned")  # pragma: no cover - it raises by contract


def error_from_rpc(error: grpc.RpcError) -> WedSyncError:
    """Restore the error a service raised; a bare gRPC status becomes the nearest of our own."""
    status = _details(error)
    if status is None:
        kind = _NEAREST.get(error.code(), WedSyncError)
        return kind(f"{error.code().name}: {error.details() or 'no details'}")
    return _restore(status, error.code())


def _details(error: grpc.RpcError) -> status_pb2.Status | None:
    try:
        return rpc_status.from_call(error)
    except (ValueError, DecodeError):
        # Something on the way rewrote the status: then the details are not about it.
        return None


def _restore(status: status_pb2.Status, code: grpc.StatusCode) -> WedSyncError:
    info, bad, retry = (
        error_details_pb2.ErrorInfo(),
        error_details_pb2.BadRequest(),
        error_details_pb2.RetryInfo(),
    )
    found = {
        detail.DESCRIPTOR.name
        for detail in (info, bad, retry)
        for packed in status.details
        if packed.Unpack(detail)
    }
    kind = ERRORS.get(info.reason) or _NEAREST.get(code, WedSyncError)
    return kind(
        status.message or None,
        metadata=dict(info.metadata),
        violations=[FieldViolation(v.field, v.description) for v in bad.field_violations],
        retry_after=retry.retry_delay.ToMilliseconds() / 1000 if "RetryInfo" in found else None,
    )


def _attach(
    status: status_pb2.Status,
    detail: error_details_pb2.ErrorInfo | error_details_pb2.BadRequest | error_details_pb2.RetryInfo,
) -> None:
    packed = any_pb2.Any()
    packed.Pack(detail)
    status.details.append(packed)
