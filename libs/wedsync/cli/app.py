"""Which command is where. Nothing here imports gRPC: `wedsync --help` must feel instant."""

from __future__ import annotations

import typer

from wedsync.cli import (
    bench,
    conflicts,
    deliveries,
    demo,
    doctor,
    health,
    history,
    latency,
    links,
    stuck,
    up,
    vendors,
    weddings,
)

app = typer.Typer(
    name="wedsync",
    help="One canonical record per wedding, held in step with every vendor's own system.",
    no_args_is_help=True,
    add_completion=False,
    # A traceback with local values could show a credential.
    pretty_exceptions_enable=False,
)

_deliveries = typer.Typer(help="What is brought to vendors.", no_args_is_help=True)
_deliveries.command("list")(deliveries.deliveries)
_deliveries.command("retry")(stuck.retry)

app.command("up")(up.up)
app.command("doctor")(doctor.doctor)
app.command("demo")(demo.demo)
app.add_typer(vendors.app, name="vendor")
app.add_typer(links.app, name="link")
app.add_typer(weddings.app, name="wedding")
history.add_to(weddings.app)
app.command("tail")(weddings.tail)
app.command("journey")(deliveries.journey)
app.command("webhooks")(deliveries.webhooks)
app.command("replay")(stuck.replay)
app.add_typer(_deliveries, name="deliveries")
app.command("latency")(latency.latency)
app.add_typer(conflicts.app, name="conflicts")
app.command("health")(health.health)
app.command("bench")(bench.bench)
