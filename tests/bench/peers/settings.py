"""What a peer's process is told by its environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Where the servers are, and what the door believes."""

    database_url: str
    redis_url: str
    vendor_url: str
    vendor_token: str
    port: int
    secret: bytes

    def environment(self) -> dict[str, str]:
        """Return it as a child process takes it."""
        return {
            "PEER_DATABASE_URL": self.database_url,
            "PEER_REDIS_URL": self.redis_url,
            "PEER_VENDOR_URL": self.vendor_url,
            "PEER_VENDOR_TOKEN": self.vendor_token,
            "PEER_PORT": str(self.port),
            "PEER_SECRET": self.secret.hex(),
        }

    @classmethod
    def from_env(cls, environment: Mapping[str, str] = os.environ) -> Settings:
        """Read what `environment` has put there."""
        return cls(
            database_url=environment["PEER_DATABASE_URL"],
            redis_url=environment["PEER_REDIS_URL"],
            vendor_url=environment["PEER_VENDOR_URL"],
            vendor_token=environment["PEER_VENDOR_TOKEN"],
            port=int(environment["PEER_PORT"]),
            secret=bytes.fromhex(environment["PEER_SECRET"]),
        )
