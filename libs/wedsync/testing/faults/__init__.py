"""Faults before any server, real or simulated: a reverse proxy that plays a script of them."""

from wedsync.testing.faults.proxy import FaultProxy
from wedsync.testing.faults.script import Answer, Asked, Fault, Script, asks, http_date, rewriting

__all__ = ["Answer", "Asked", "Fault", "FaultProxy", "Script", "asks", "http_date", "rewriting"]
