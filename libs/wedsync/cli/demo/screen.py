"""How the demo is told: live in the terminal, or as one JSON object at the end."""

from __future__ import annotations

from typing import Any, Protocol

from rich.status import Status

from wedsync.cli.deliveries import print_waterfall
from wedsync.cli.demo.measure import Measured, Path
from wedsync.cli.demo.stage import Stage
from wedsync.cli.output import clean, complain, console, print_json


class Screen(Protocol):
    """Is told what happens."""

    def waiting(self, what: str) -> None:
        """Something begins."""
        ...

    def linked(self, stage: Stage) -> None:
        """The wedding is linked."""
        ...

    def done(self, number: int, measured: Measured) -> None:
        """An act is over."""
        ...

    def failed(self, why: str) -> None:
        """The demo ends here."""
        ...

    def finished(self) -> None:
        """All acts are over."""
        ...

    def close(self) -> None:
        """Nothing more is to come, whatever the reason."""
        ...


class Terminal:
    """Tells it live."""

    def __init__(self) -> None:
        self._console = console()
        self._status: Status | None = None

    def waiting(self, what: str) -> None:
        """Show that something is under way."""
        self.close()
        self._status = self._console.status(clean(what))
        self._status.start()

    def linked(self, stage: Stage) -> None:
        """Name what was linked."""
        self._say(f"wedding   {stage.wedding_id}")
        self._say(f"Tave      job {stage.job_id}")
        self._say(f"calendar  {stage.calendar_url}")

    def done(self, number: int, measured: Measured) -> None:
        """Show an act's times."""
        arrivals = ", ".join(f"{vendor} {spent:.0f} ms" for vendor, spent in measured.arrived_ms.items())
        self._say("")
        self._say(f"{number}. {measured.title}")
        seen = f"seen: {arrivals}, log {measured.logged_ms:.0f} ms"
        self._say(f"   end to end {measured.end_to_end_ms:.0f} ms ({seen})")
        for path in measured.journeys:
            self._say(_said(path))
            print_waterfall(list(path.stages))

    def failed(self, why: str) -> None:
        """Say why it ends."""
        self.close()
        complain(why)

    def finished(self) -> None:
        """Say so."""
        self._say("")
        self._say("Every edit arrived. `wedsync journey CHANGE` shows one again.")

    def close(self) -> None:
        """Take the spinner away."""
        if self._status:
            self._status.stop()
            self._status = None

    def _say(self, line: str) -> None:
        self._console.print(clean(line))


class Data:
    """Collects it, and prints one JSON object."""

    def __init__(self) -> None:
        self._told: dict[str, Any] = {"ok": False, "steps": []}

    def waiting(self, what: str) -> None:
        """Say nothing: only the object is printed."""

    def linked(self, stage: Stage) -> None:
        """Keep what was linked."""
        linked = {"wedding_id": stage.wedding_id, "job_id": stage.job_id, "calendar_url": stage.calendar_url}
        self._told |= linked

    def done(self, number: int, measured: Measured) -> None:
        """Keep an act's times."""
        self._told["steps"].append({"step": number, **measured.as_data()})

    def failed(self, why: str) -> None:
        """Keep why it ended."""
        self._told["error"] = why

    def finished(self) -> None:
        """Keep that all went well."""
        self._told["ok"] = True

    def close(self) -> None:
        """Print the object."""
        print_json(self._told)


def _said(path: Path) -> str:
    return (
        f"   change {path.change_id} by {path.source}: noticed after {path.detected_ms:.0f} ms,"
        f" then {path.processed_ms:.0f} ms; trace {path.trace_id}"
    )
