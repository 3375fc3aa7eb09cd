"""Weeks are prepared whenever migrations run, and a late preparation loses nothing."""

from __future__ import annotations

from datetime import timedelta

import psycopg
import pytest
from sqlalchemy import create_engine, text

from tests.integration.runtime.conftest import Roles
from wedsync.clock import SystemClock
from wedsync.runtime import ddl
from wedsync.runtime.database import sqlalchemy_url
from wedsync.runtime.roles import OWNER

_LOG = "CREATE TABLE health.t_log (at timestamptz PRIMARY KEY) PARTITION BY RANGE (at);\n"


@pytest.fixture
def log(roles: Roles) -> Roles:
    """A table kept by time, with its default partition only."""
    with psycopg.connect(roles.url(OWNER), autocommit=True) as owner:
        owner.execute("DROP TABLE IF EXISTS health.t_log")
        owner.execute(_LOG + ddl.default_partition("health.t_log"))
    return roles


def _prepare(roles: Roles, days: int) -> set[str]:
    engine = create_engine(sqlalchemy_url(roles.url(OWNER)))
    with engine.connect() as connection:
        ddl.prepare_weeks(connection, "health", days)
        connection.commit()
        query = "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'health.t_log'::regclass"
        found = {name.removeprefix("health.") for name in connection.execute(text(query)).scalars()}
    engine.dispose()
    return found


def test_coming_weeks_get_their_partitions_once(log: Roles) -> None:
    """Every table kept by time gets its partitions from yesterday on; repeating it changes nothing."""
    yesterday = SystemClock().now().date() - timedelta(days=1)
    expected = {f"t_log_{yesterday + timedelta(days=7 * n):%Y%m%d}" for n in range(3)} | {"t_log_default"}
    assert _prepare(log, 14) == expected
    assert _prepare(log, 14) == expected


def test_weeks_begin_where_the_partitions_of_before_end(log: Roles) -> None:
    """Shorter ones that are there already stay."""
    today = SystemClock().now().date()
    there = f"FOR VALUES FROM ('{today} 00:00+00') TO ('{today + timedelta(days=2)} 00:00+00')"
    with psycopg.connect(log.url(OWNER), autocommit=True) as owner:
        owner.execute(f"CREATE TABLE health.t_log_there PARTITION OF health.t_log {there}")
    assert _prepare(log, 3) == {"t_log_default", "t_log_there", f"t_log_{today + timedelta(days=2):%Y%m%d}"}


def test_a_week_that_nobody_prepared_in_time_keeps_its_rows(log: Roles) -> None:
    """A week whose rows are in the default partition is left there; the other weeks are prepared."""
    today = SystemClock().now()
    with psycopg.connect(log.admin_url, autocommit=True) as admin:
        admin.execute("INSERT INTO health.t_log_default VALUES (%s)", [today])
    expected = {"t_log_default", f"t_log_{today.date() + timedelta(days=6):%Y%m%d}"}
    assert _prepare(log, 14) == expected | {f"t_log_{today.date() + timedelta(days=13):%Y%m%d}"}
