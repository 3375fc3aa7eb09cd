"""`wedsync doctor`: what works, what does not, and how to mend it."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from importlib.metadata import version

import typer

from wedsync.cli.connection import SERVICES, Connection, find_connection, target_variable
from wedsync.cli.http import Answer, Send, send
from wedsync.cli.output import AsJson, Columns, print_json, print_table
from wedsync.cli.session import Clients, connected, explain, run
from wedsync.clock import Clock, SystemClock
from wedsync.errors import Unavailable, WedSyncError

OLDEST_PYTHON = (3, 11)
# An HTTP date has whole seconds, and the answer takes a moment.
_MAX_SKEW_SECONDS = 2.0
_PROBE_SECONDS = 3.0
_PACKAGES = ("wedsync", "grpcio", "protobuf", "typer", "rich")


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing looked at."""

    check: str
    ok: bool
    detail: str
    mend: str = ""


def doctor(as_json: AsJson = False) -> None:
    """Look at this machine and the running system; say what is wrong and how to mend it."""
    findings = run(_examine())
    if as_json:
        print_json([asdict(finding) for finding in findings])
    else:
        columns: Columns[Finding] = Columns(
            _=lambda finding: "ok" if finding.ok else "!!",
            check=lambda finding: finding.check,
            detail=lambda finding: finding.detail,
            mend=lambda finding: finding.mend,
        )
        print_table(columns, findings, empty="")
    if not all(finding.ok for finding in findings):
        raise typer.Exit(1)


async def _examine() -> list[Finding]:
    return [finding async for finding in examine()]


async def examine(
    *, ask: Send = send, clock: Clock | None = None, python: tuple[int, ...] = sys.version_info[:3]
) -> AsyncIterator[Finding]:
    """Yield what is found, from this machine outwards."""
    yield python_found(python)
    yield Finding(
        check="versions", ok=True, detail=", ".join(f"{name} {version(name)}" for name in _PACKAGES)
    )
    try:
        connection = find_connection()
    except WedSyncError as error:
        yield Finding(check="system", ok=False, detail=str(error))
        return
    yield system_found(connection)
    async with connected(connection) as clients:
        for service in SERVICES:
            if service in connection.targets:
                yield await _service(connection, service)
        if "sync" in connection.targets:
            yield await _key(clients)
    if connection.http:
        async for finding in _http(connection.http, ask, clock or SystemClock()):
            yield finding


def python_found(python: tuple[int, ...]) -> Finding:
    """Say whether this Python will do."""
    ok, oldest = python >= OLDEST_PYTHON, ".".join(map(str, OLDEST_PYTHON))
    mend = "" if ok else f"install Python {oldest} or newer and make the virtual environment again"
    return Finding(check="python", ok=ok, detail=".".join(map(str, python)), mend=mend)


def system_found(connection: Connection) -> Finding:
    """Say whether a system runs here, or one elsewhere is named."""
    if connection.stale:
        detail = f"{connection.run_file} is of process {connection.run['pid']}, which is gone"
        return Finding(check="system", ok=False, detail=detail, mend="start it again: make run")
    if connection.run:
        detail = f"process {connection.run['pid']}, {connection.run_file.parent}"
        return Finding(check="system", ok=True, detail=detail)
    if connection.targets:
        return Finding(check="system", ok=True, detail="named by the environment")
    mend = f"start one: make run; or set {target_variable('sync')} and its like"
    return Finding(check="system", ok=False, detail=f"there is no {connection.run_file}", mend=mend)


async def _service(connection: Connection, service: str) -> Finding:
    target, check = connection.target(service), f"{service} service"
    state = await _health(target)
    mend = "" if state == "SERVING" else f"look into {connection.run_file.parent}/logs/{service}.log"
    return Finding(check=check, ok=not mend, detail=f"{target} {state.lower().replace('_', ' ')}", mend=mend)


async def _health(target: str) -> str:
    """Return what grpc.health.v1 says about the server as a whole."""
    import grpc  # noqa: PLC0415 - `wedsync --help` must feel instant
    from grpc_health.v1 import health_pb2, health_pb2_grpc  # noqa: PLC0415 - see above

    async with grpc.aio.insecure_channel(target) as channel:
        try:
            request = health_pb2.HealthCheckRequest()
            answer = await health_pb2_grpc.HealthStub(channel).Check(request, timeout=_PROBE_SECONDS)
        except grpc.aio.AioRpcError as error:
            return f"does not answer ({error.code().name})"
    return str(health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status))


async def _key(clients: Clients) -> Finding:
    try:
        async for _ in (await clients.sync()).list_weddings(page_size=1, timeout=_PROBE_SECONDS):
            break
    except WedSyncError as error:
        return Finding(check="API key", ok=False, detail=str(error), mend=explain(error))
    return Finding(check="API key", ok=True, detail="is accepted")


async def _http(address: str, ask: Send, clock: Clock) -> AsyncIterator[Finding]:
    try:
        answer = await ask("GET", f"{address}/readyz")
    except Unavailable as error:
        mend = "is the gateway running? Look into its log"
        yield Finding(check="HTTP", ok=False, detail=str(error), mend=mend)
        return
    yield readiness_found(address, answer)
    if "date" in answer.headers:
        yield clock_found(clock.now(), answer.headers["date"])


def readiness_found(address: str, answer: Answer) -> Finding:
    """Read /readyz: not ready is wrong, degraded is said."""
    try:
        said = json.loads(answer.body)
        ready, degraded = bool(said["ready"]), dict(said["degraded"])
    except (ValueError, KeyError, TypeError):
        detail = f"{address}/readyz answered {answer.status} and no state"
        return Finding(check="HTTP", ok=False, detail=detail, mend="is it the gateway that listens there?")
    without = "".join(f"; without {name}: {meaning}" for name, meaning in degraded.items())
    mend = "" if ready else "a hard dependency is missing: look at the services above and the gateway's log"
    state = "ready" if ready else "not ready"
    return Finding(check="HTTP", ok=ready, detail=f"{address} {state}{without}", mend=mend)


def clock_found(now: datetime, stated: str) -> Finding:
    """Compare this machine's clock with the date in an answer."""
    skew = abs((now - parsedate_to_datetime(stated).astimezone(UTC)).total_seconds())
    ok = skew <= _MAX_SKEW_SECONDS
    mend = "" if ok else "set the clocks by NTP: journeys are measured with both"
    return Finding(check="clock", ok=ok, detail=f"within {skew:.0f} s of the gateway's", mend=mend)
