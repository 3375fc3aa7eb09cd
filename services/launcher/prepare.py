"""Bring roles, schemas and keys into being; every step may be repeated at every start."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

import services
from services.launcher.programs import Credentials, Servers
from services.launcher.settings import SERVICES, StackSettings
from wedsync.runtime.embedded.local import read_or_create_secret, write_private
from wedsync.runtime.migrations import bootstrap_roles, upgrade
from wedsync.runtime.principal import KeyEntry, Scope, mint_key, read_keys, write_keys
from wedsync.runtime.roles import OWNER, ROLES
from wedsync.runtime.vault import create_keys_file

# The demo's organization: fixed, so that its data is found again after a restart.
DEMO_ORGANIZATION = "3b6f7b52-6d0e-4f6a-9a54-0d7c3a1e5b01"


@dataclass(frozen=True)
class _Key:
    """One API key to have, and whom it stands for."""

    name: str
    role: str
    scopes: frozenset[str]


_KEYS = (
    _Key("demo", "planner", frozenset({Scope.READ, Scope.WRITE, Scope.ADMIN, Scope.EMERGENCY})),
    *(_Key(service, service, frozenset({Scope.INTERNAL})) for service in SERVICES),
)


def prepare(settings: StackSettings, servers: Servers) -> Credentials:
    """Make sure that roles, schemas, API keys and the vault's master key exist; return where they are."""
    secrets = settings.home / "secrets"
    roles = role_urls(servers.database_url, lambda role: read_or_create_secret(secrets / f"role_{role}"))
    migrate(servers.database_url, roles)
    keys_file, vault = secrets / "api_keys.json", secrets / "vault_keys.json"
    key_files = ensure_keys(keys_file)
    if not vault.exists():
        create_keys_file(vault)
    return Credentials(
        database_urls={name: roles[f"wedsync_{name}"] for name in SERVICES},
        worker_urls={n: roles[role] for n in SERVICES if (role := f"wedsync_{n}_worker") in roles},
        api_keys_file=keys_file,
        internal_key_files={name: key_files[name] for name in SERVICES},
        demo_key_file=key_files["demo"],
        vault_keys_file=vault,
        organization_id=DEMO_ORGANIZATION,
    )


def role_urls(admin_url: str, password: Callable[[str], str]) -> dict[str, str]:
    """Return the URL every role logs in with to the database of `admin_url`, given each role's password."""
    return {role: _login_url(admin_url, role, password(role)) for role in ROLES}


def _login_url(admin_url: str, role: str, password: str) -> str:
    parts = urlsplit(admin_url)
    place = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=f"{role}:{quote(password, safe='')}@{place}").geturl()


def migrate(admin_url: str, roles: Mapping[str, str]) -> None:
    """Create the roles and the database, and bring every service's schema up to date as the owner."""
    bootstrap_roles(admin_url, {role: unquote(urlsplit(url).password or "") for role, url in roles.items()})
    for name in SERVICES:
        upgrade(name, Path(services.__path__[0]) / name / "migrations", roles[OWNER])


def ensure_keys(keys_file: Path) -> dict[str, Path]:
    """Mint the API keys that are missing; return the file of each, by name. Keys others added are kept."""
    entries = {entry.key_id: entry for entry in (read_keys(keys_file) if keys_file.exists() else [])}
    files = {key.name: keys_file.parent / f"{key.name}_key" for key in _KEYS}
    fresh = [key for key in _KEYS if not _is_known(files[key.name], entries)]
    minted = [
        (key, *mint_key(organization_id=DEMO_ORGANIZATION, role=key.role, actor=key.name, scopes=key.scopes))
        for key in fresh
    ]
    if minted:
        write_keys(keys_file, [*entries.values(), *(entry for _, _, entry in minted)])
    for key, secret, _ in minted:
        write_private(files[key.name], secret)
    return files


def _is_known(file: Path, entries: Mapping[str, KeyEntry]) -> bool:
    # A key reads `wsk_<key_id>_<secret>`.
    return file.exists() and file.read_text().split("_")[1] in entries
