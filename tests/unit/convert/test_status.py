"""Errors over the wire and back."""

from __future__ import annotations

import grpc
import pytest
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from tests.unit.client.channels import as_rpc_error, rpc_error
from wedsync import errors
from wedsync.convert import abort_with, error_from_rpc, to_status
from wedsync.convert.status import DOMAIN, LEFT_OUT, STATUS
from wedsync.errors import ERRORS, FieldViolation, InvalidRequest, WedSyncError


@pytest.mark.parametrize("kind", ERRORS.values())
def test_every_error_survives_the_wire(kind: type[WedSyncError]) -> None:
    """Class, message, metadata, violations and retry time arrive as they were raised."""
    raised = kind(
        "what happened, ünd where",
        metadata={"wedding_id": "w"},
        violations=[FieldViolation("changes[2].kind", "say what to do")],
        retry_after=1.25,
    )
    found = error_from_rpc(as_rpc_error(raised))
    assert type(found) is kind
    assert str(found) == str(raised)
    assert (found.metadata, found.violations) == (raised.metadata, raised.violations)
    assert found.retry_after == 1.25


@pytest.mark.parametrize("kind", ERRORS.values())
def test_every_error_has_a_code_and_a_reason(kind: type[WedSyncError]) -> None:
    """A status carries ErrorInfo with the stable reason always, and nothing else unless it is known."""
    status = to_status(kind())
    assert status.code == STATUS[kind].value[0]
    [packed] = status.details
    info = error_details_pb2.ErrorInfo()
    assert packed.Unpack(info)
    assert (info.reason, info.domain) == (kind.reason, DOMAIN)


def test_a_retry_time_of_zero_is_a_retry_time() -> None:
    """`retry_after=0` arrives as 0, and none as None."""
    assert error_from_rpc(as_rpc_error(errors.Unavailable(retry_after=0.0))).retry_after == 0.0
    assert error_from_rpc(as_rpc_error(errors.Unavailable())).retry_after is None


def test_an_error_of_a_services_own_is_answered_as_the_nearest_known() -> None:
    """A subclass the table does not list travels with its parent's code and its own reason."""

    class LinkGone(errors.NotFound):
        """The link is no more."""

        reason = "LINK_GONE"

    status = to_status(LinkGone())
    assert status.code == grpc.StatusCode.NOT_FOUND.value[0]
    assert type(error_from_rpc(as_rpc_error(LinkGone()))) is errors.NotFound


def test_what_is_wrong_is_cut_to_what_a_trailer_holds() -> None:
    """A thousand long violations become the first few and a count of the rest, within 8 KiB."""
    wrong = [FieldViolation("f" * 900, "d" * 900)] * 1000
    error = InvalidRequest("m" * 9000, violations=wrong, metadata={f"k{i}": "v" * 900 for i in range(50)})
    wire = rpc_status.to_status(to_status(error))
    assert sum(len(value) for _, value in wire.trailing_metadata) + len(wire.details) < 6 * 1024
    found = error_from_rpc(as_rpc_error(error))
    assert len(found.violations) >= 5
    assert int(found.metadata[LEFT_OUT]) == 1000 - len(found.violations)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (grpc.StatusCode.UNAVAILABLE, errors.Unavailable),
        (grpc.StatusCode.CANCELLED, errors.Unavailable),
        (grpc.StatusCode.DEADLINE_EXCEEDED, errors.DeadlineExceeded),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, errors.Overloaded),
        (grpc.StatusCode.NOT_FOUND, errors.NotFound),
        (grpc.StatusCode.ALREADY_EXISTS, errors.AlreadyExists),
        (grpc.StatusCode.UNAUTHENTICATED, errors.Unauthenticated),
        (grpc.StatusCode.INVALID_ARGUMENT, errors.InvalidRequest),
        (grpc.StatusCode.ABORTED, errors.StaleRevision),
        (grpc.StatusCode.UNIMPLEMENTED, WedSyncError),
        (grpc.StatusCode.INTERNAL, WedSyncError),
    ],
)
def test_a_bare_status_becomes_the_nearest_error(code: grpc.StatusCode, kind: type[WedSyncError]) -> None:
    """A status without details, from gRPC or a proxy, is restored by its code and names it."""
    bare = grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata())
    found = error_from_rpc(bare)
    assert type(found) is kind
    assert str(found) == f"{code.name}: no details"


def test_a_status_somebody_rewrote_is_restored_by_its_code() -> None:
    """Details that belong to another message, or are no status at all, are not believed."""
    rewritten = rpc_error(to_status(errors.NotOwner("first")), details="second")
    assert type(error_from_rpc(rewritten)) is errors.Unavailable
    garbage = grpc.aio.AioRpcError(
        grpc.StatusCode.NOT_FOUND,
        grpc.aio.Metadata(),
        grpc.aio.Metadata(("grpc-status-details-bin", b"\xff\xff\xff")),
        details="gone",
    )
    assert type(error_from_rpc(garbage)) is errors.NotFound


def test_a_reason_of_tomorrow_is_restored_by_its_code() -> None:
    """A newer service's reason that this client does not know becomes the nearest class it knows."""
    info = any_pb2.Any()
    info.Pack(error_details_pb2.ErrorInfo(reason="WEDDING_FROZEN", domain=DOMAIN))
    status = status_pb2.Status(code=9, message="frozen", details=[info])
    found = error_from_rpc(rpc_error(status))
    assert type(found) is errors.FailedPrecondition
    assert str(found) == "frozen"


async def test_a_call_is_ended_with_the_errors_status() -> None:
    """`abort_with` hands the whole status to the call's context."""

    class Ended(Exception):
        pass

    class Context:
        status: grpc.Status

        async def abort_with_status(self, status: grpc.Status) -> None:
            self.status = status
            raise Ended

    context = Context()
    with pytest.raises(Ended):
        await abort_with(context, errors.Overloaded("full"))  # type: ignore[arg-type]
    assert (context.status.code, context.status.details) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "full")
