"""A strict, stateful simulator of Tave (VSCO Workspace), written from its published schema."""

from wedsync.testing.tave.app import BASE, READ_ONLY_KEY, SANDBOX_KEY, Sandbox, create_app
from wedsync.testing.tave.running import running
from wedsync.testing.tave.server import serve
from wedsync.testing.tave.studio import StudioSettings, TaveStudio

__all__ = [
    "BASE",
    "READ_ONLY_KEY",
    "SANDBOX_KEY",
    "Sandbox",
    "StudioSettings",
    "TaveStudio",
    "create_app",
    "running",
    "serve",
]
