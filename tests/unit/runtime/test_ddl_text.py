"""What the DDL helpers refuse; what they make is tried on a real database."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from wedsync.runtime import ddl
from wedsync.runtime.database import Database, libpq_url, sqlalchemy_url
from wedsync.runtime.roles import ROLES, app_role, roles_of, worker_role


@pytest.mark.parametrize(
    "make",
    [
        lambda: ddl.tenant_policy("links", "organization_id", ddl.ORGANIZATIONS),
        lambda: ddl.tenant_policy("gateway.links", "organization_id", "app.everything"),
        lambda: ddl.tenant_policy("gateway.links", "id; DROP TABLE x", ddl.ORGANIZATIONS),
        lambda: ddl.tenant_policy("gateway.Links", "id", ddl.ORGANIZATIONS),
        lambda: ddl.tenant_policy("florist.links", "id", ddl.ORGANIZATIONS),
        lambda: ddl.worker_access("health.links", ["id"]),
        lambda: ddl.worker_access("gateway.links", ["id, secret"]),
        lambda: ddl.row_policy("gateway.links", "wedsync_owner", command="TRUNCATE"),
    ],
)
def test_names_that_make_no_sense_are_refused(make: Callable[[], str]) -> None:
    """Schemas, tables, columns, scopes, commands and roles are checked before they become SQL."""
    with pytest.raises(ValueError, match=r"."):
        make()


def test_every_service_has_its_roles() -> None:
    """Four app roles, workers where tenants are swept, and one owner."""
    assert roles_of("gateway") == (app_role("gateway"), worker_role("gateway"))
    assert roles_of("health") == ("wedsync_health",)
    assert len(ROLES) == len(set(ROLES)) == 8


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg"])
def test_any_usual_spelling_of_the_url_works(scheme: str) -> None:
    """SQLAlchemy and libpq each get the spelling they want."""
    url = f"{scheme}://app:x@host:1/db"
    assert sqlalchemy_url(url) == "postgresql+psycopg://app:x@host:1/db"
    assert libpq_url(url) == "postgresql://app:x@host:1/db"


@pytest.mark.parametrize("url", ["mysql://x", "host=db password=hush"])
def test_another_url_is_refused_without_being_quoted(url: str) -> None:
    """The error says how a URL reads and does not repeat what may hold a password."""
    with pytest.raises(ValueError, match="must read") as raised:
        libpq_url(url)
    assert "hush" not in str(raised.value)


@pytest.mark.parametrize("ids", [["a,b"], [""]])
async def test_a_scope_id_cannot_widen_the_scope(ids: list[str]) -> None:
    """A comma in an id would name two tenants; an empty one none."""
    database = Database("postgresql://app@127.0.0.1:1/x", 1)
    with pytest.raises(ValueError, match="scope id"):
        async with database.transaction(organizations=ids):
            pass
