"""`wedsync bench`: a load on the system that runs here, and the proof that it lost and doubled nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from importlib.util import find_spec
from typing import Annotated, Any

import typer

from wedsync.cli.connection import API_KEY, Connection, find_connection
from wedsync.cli.output import AsJson, Columns, complain, console, print_json, print_table
from wedsync.errors import FailedPrecondition, WedSyncError

LOAD = "wedsync.testing.load"
"""A program of its own: the command's own needs are no reason for what it depends on."""
_LOST, _INTERRUPTED = 1, 130


class Scenario(StrEnum):
    """What can be tried."""

    ACCEPT = "accept"
    STEADY = "steady"
    KNEE = "knee"
    BURST = "burst"


def bench(
    scenario: Annotated[
        Scenario,
        typer.Argument(
            help="accept: until a webhook is safe; steady: one rate; knee: the highest rate whose p99 to "
            "the last vendor is below 200 ms; burst: 20,000 in 5 s from some weddings beside the others."
        ),
    ],
    rate: Annotated[float, typer.Option(min=0.1, help="Webhooks a second; for knee, the first.")] = 50.0,
    duration: Annotated[float, typer.Option(min=1.0, help="Seconds; for knee, of each rate.")] = 10.0,
    weddings: Annotated[int, typer.Option(min=1, help="How many are in use.")] = 50,
    fan_out: Annotated[int, typer.Option(min=1, help="How many vendors each edit is brought to.")] = 1,
    as_json: AsJson = False,
) -> None:
    """Load the running system with signed webhooks; fails if anything was lost or done twice."""
    options = {"rate": rate, "duration": duration, "weddings": weddings, "fan-out": fan_out}
    try:
        found = loaded(find_connection(), scenario, options)
    except WedSyncError as error:
        complain(str(error))
        raise typer.Exit(1) from None
    if as_json:
        print_json(found)
    else:
        show(found)
    if found["lost"] or found["doubled"] or found["rejected"]:
        raise typer.Exit(_LOST)


def loaded(
    connection: Connection, scenario: str, options: Mapping[str, object], program: str = LOAD
) -> dict[str, Any]:
    """Have the system loaded and return what was found. Raises `FailedPrecondition` where that cannot be."""
    if not connection.run or connection.stale:
        raise FailedPrecondition(
            f"The benchmark measures a system on this machine, and {connection.run_file} names none that "
            "runs. Start one with `make run`, in another terminal."
        )
    if find_spec("aiohttp") is None or find_spec("psutil") is None:
        raise FailedPrecondition("The benchmark needs what `pip install 'wedsync[embedded]'` installs.")
    named = [text for name, value in options.items() for text in (f"--{name}", str(value))]
    command = [sys.executable, "-m", program, scenario, "--home", str(connection.run["home"]), *named]
    environment = {**os.environ, API_KEY: connection.key()}
    said = _said(command, environment)
    if not said:
        raise FailedPrecondition("The load did not come to its end; what it said is above.")
    found: dict[str, Any] = json.loads(said)
    return found


def _said(command: Sequence[str], environment: Mapping[str, str]) -> bytes:
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as running:  # noqa: S603
        try:
            return running.communicate()[0]
        except KeyboardInterrupt:
            running.communicate()  # it was interrupted too, and takes down what it made
            raise typer.Exit(_INTERRUPTED) from None


def show(found: Mapping[str, Any]) -> None:
    """Print the findings for people."""
    stages = [{"stage": name, **shares} for name, shares in found["latency_ms"].items()]
    columns: Columns[Mapping[str, Any]] = Columns(
        stage=lambda row: row["stage"],
        p50=lambda row: row.get("p50", ""),
        p95=lambda row: row.get("p95", ""),
        p99=lambda row: row.get("p99", ""),
        max=lambda row: row.get("max", ""),
    )
    print_table(columns, stages, empty="Nothing was measured.")
    for line in _lines(found):
        console().print(line)


def _lines(found: Mapping[str, Any]) -> Iterator[str]:
    yield "milliseconds since the moment when each webhook was to be sent"
    if "knee" in found:
        yield f"\nthe highest good rate: {found['knee']}/s"
    yield f"\n{found['accepted']} webhooks, {found['achieved_rate']}/s, {found['cores']} cores"
    yield f"{found['lost']} lost, {found['doubled']} doubled, {found['rejected']} rejected"
    used = (f"{name} {spent}" for name, spent in found["cpu_us_per_webhook"].items() if spent)
    yield f"CPU of a webhook in microseconds: {', '.join(used)}"
    ratios = (f"{share:.1%} of {name.replace('_', ' ')}" for name, share in found["ratios"].items())
    yield f"its rate is {', '.join(ratios)}"
    yield from found["problems"]
