"""Errors to gRPC status and back, with `google.rpc` details (AIP-193)."""

from __future__ import annotations

from typing import Any, NoReturn

import grpc
from google.protobuf import any_pb2, duration_pb2
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
    errors.StaleRevision: grpc.StatusCode.ABORTED,
    errors.Overloaded: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.Unavailable: grpc.StatusCode.UNAVAILABLE,
    errors.NotOwner: grpc.StatusCode.UNAVAILABLE,
    errors.DeadlineExceeded: grpc.StatusCode.DEADLINE_EXCEEDED,
}

_BARE: dict[grpc.StatusCode, type[WedSyncError]] = {
    grpc.StatusCode.UNAVAILABLE: errors.Unavailable,
    grpc.StatusCode.DEADLINE_EXCEEDED: errors.DeadlineExceeded,
    grpc.StatusCode.RESOURCE_EXHAUSTED: errors.Overloaded,
    grpc.StatusCode.CANCELLED: errors.Unavailable,
}
"""What a status without our ErrorInfo means: it comes from gRPC itself, not from a service."""


def to_status(error: WedSyncError) -> status_pb2.Status:
    """Return the error as `google.rpc.Status`: ErrorInfo always, BadRequest and RetryInfo where known."""
    status = status_pb2.Status(code=STATUS[type(error)].value[0], message=str(error))
    _attach(status, error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=error.metadata))
    if error.violations:
        violations = [
            error_details_pb2.BadRequest.FieldViolation(field=v.field, description=v.description)
            for v in error.violations
        ]
        _attach(status, error_details_pb2.BadRequest(field_violations=violations))
    if error.retry_after is not None:
        delay = duration_pb2.Duration()
        delay.FromMilliseconds(int(error.retry_after * 1000))
        _attach(status, error_details_pb2.RetryInfo(retry_delay=delay))
    return status


async def abort_with(context: grpc.aio.ServicerContext[Any, Any], error: WedSyncError) -> NoReturn:
    """End the call with the error's status."""
    await context.abort_with_status(rpc_status.to_status(to_status(error)))
    raise AssertionError("abort_with_status returned")  # pragma: no cover - it raises by contract


def error_from_rpc(error: grpc.RpcError) -> WedSyncError:
    """Restore the error a service raised; a bare gRPC status becomes the nearest of our own."""
    status = rpc_status.from_call(error)
    if status is None:
        kind = _BARE.get(error.code(), WedSyncError)
        return kind(f"{error.code().name}: {error.details() or 'no details'}")
    return _restore(status, error.code())


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
    kind = ERRORS.get(info.reason) or _BARE.get(code, WedSyncError)
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
