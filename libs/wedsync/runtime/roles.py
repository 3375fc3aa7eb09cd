"""Who exists in the database: one owner, per service an app role, and worker roles for sweepers."""

from __future__ import annotations

SERVICES = ("gateway", "sync", "conflicts", "health")
"""Each has its own schema of the same name."""

OWNER = "wedsync_owner"
"""Owns every schema and table; migrations run as it, services never do."""

_WITH_WORKERS = ("gateway", "sync", "conflicts")


def app_role(service: str) -> str:
    """Return the role a service connects as: under row level security, owning nothing."""
    return f"wedsync_{_known(service, SERVICES)}"


def worker_role(service: str) -> str:
    """Return the role of a service's sweepers: sees routing columns of every tenant, nothing else."""
    return f"wedsync_{_known(service, _WITH_WORKERS)}_worker"


def roles_of(service: str) -> tuple[str, ...]:
    """Return every role that works in a service's schema."""
    return (app_role(service), *([worker_role(service)] if service in _WITH_WORKERS else []))


def _known(service: str, services: tuple[str, ...]) -> str:
    if service not in services:
        raise ValueError(f"{service!r} is none of {', '.join(services)}")
    return service


ROLES = (OWNER, *(role for service in SERVICES for role in roles_of(service)))
"""Every role, the owner first."""
