"""`python -m services.launcher.migrate`: roles, schemas and partitions of a database of yours, per release.

Safe to repeat, and by two at once. Services of the release before run on the schema it leaves behind.
"""

from __future__ import annotations

import sys
from pathlib import Path

import psycopg
from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from services.launcher.prepare import migrate, role_urls
from wedsync.errors import WedSyncError
from wedsync.runtime.settings import PREFIX, SettingsError, read_secret


class MigrateSettings(BaseSettings):
    """What a migration needs to know, read from the environment with the prefix WEDSYNC_."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore")

    admin_database_url: SecretStr = Field(description="The database as a role that may create roles.")
    role_passwords_dir: Path = Field(description="Directory of one file per role, named after it.")


def main() -> int:
    """Migrate; return the exit status: 2 for a setting that is wrong, 1 if the database refuses."""
    try:
        settings = MigrateSettings()  # type: ignore[call-arg]  # read from the environment
        url = settings.admin_database_url.get_secret_value()
        roles = role_urls(url, lambda role: read_secret(settings.role_passwords_dir / role))
    except ValidationError as error:
        names = ", ".join(f"{PREFIX}{str(problem['loc'][0]).upper()}" for problem in error.errors())
        sys.stderr.write(f"bad settings: {names}: set each; see deploy/README.md\n")
        return 2
    except SettingsError as error:
        sys.stderr.write(f"bad settings: {error}\n")
        return 2
    try:
        migrate(url, roles)
    except (WedSyncError, psycopg.Error) as error:
        # A Kubernetes Job tries again by itself, later and later.
        sys.stderr.write(f"not migrated: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
