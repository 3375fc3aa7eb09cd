"""What is deployed is what was built: the manifests name settings, ports and images that exist."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from services.conflicts.settings import ConflictsSettings
from services.gateway.settings import GatewaySettings
from services.health.settings import HealthSettings
from services.launcher.migrate import MigrateSettings
from services.sync.settings import SyncSettings
from wedsync.runtime.roles import ROLES
from wedsync.runtime.settings import GRPC_PORTS, HTTP_PORT, METRICS_PORTS, PREFIX, SECRETS_DIR, ServerSettings

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
BASE = DEPLOY / "k8s" / "base"
SETTINGS: dict[str, type[ServerSettings]] = {
    "gateway": GatewaySettings,
    "sync": SyncSettings,
    "conflicts": ConflictsSettings,
    "health": HealthSettings,
}
# What a service reads from the files of its secret, as the manual says.
FROM_SECRETS = {"database_url", "worker_database_url", "redis_url"}


def documents() -> list[dict[str, Any]]:
    """Return every manifest of the base."""
    found = (doc for path in sorted(BASE.glob("*.yaml")) for doc in yaml.safe_load_all(path.read_text()))
    return [doc for doc in found if doc["kind"] != "Kustomization"]


def named(kind: str, name: str) -> dict[str, Any]:
    """Return one manifest."""
    [found] = [d for d in documents() if (d["kind"], d["metadata"]["name"]) == (kind, name)]
    return found


def pods() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every pod template's spec, by what it belongs to."""
    for doc in documents():
        spec = doc.get("spec", {})
        if doc["kind"] == "Deployment":
            yield f"Deployment/{doc['metadata']['name']}", spec["template"]["spec"]
        if doc["kind"] == "CronJob":
            yield f"CronJob/{doc['metadata']['name']}", spec["jobTemplate"]["spec"]["template"]["spec"]
        if doc["kind"] == "RayCluster":
            yield "RayCluster/head", spec["headGroupSpec"]["template"]["spec"]
            for group in spec["workerGroupSpecs"]:
                yield f"RayCluster/{group['groupName']}", group["template"]["spec"]


def main_container(service: str) -> dict[str, Any]:
    """Return the service's own container."""
    containers = named("Deployment", service)["spec"]["template"]["spec"]["containers"]
    found: dict[str, Any] = next(c for c in containers if c["name"] == service)
    return found


def variables(service: str) -> dict[str, str]:
    """Return what stands in a service's environment."""
    own = {entry["name"]: entry["value"] for entry in main_container(service)["env"]}
    return {**named("ConfigMap", "wedsync")["data"], **own}


@pytest.mark.parametrize("service", SETTINGS)
def test_every_variable_is_a_setting_the_service_has(service: str) -> None:
    """A variable that nobody reads would be a wish nobody hears."""
    known = {PREFIX + name.upper() for name in SETTINGS[service].model_fields} | {SECRETS_DIR}
    assert set(variables(service)) <= known


@pytest.mark.parametrize("service", SETTINGS)
def test_every_setting_that_is_required_is_given(service: str) -> None:
    """What has no default comes from the environment or from the service's secret."""
    required = {name for name, field in SETTINGS[service].model_fields.items() if field.is_required()}
    given = {name.removeprefix(PREFIX).lower() for name in variables(service)}
    assert required <= given | FROM_SECRETS


@pytest.mark.parametrize("service", SETTINGS)
def test_ports_are_the_ones_the_service_listens_on(service: str) -> None:
    """Container, service and probe agree with the defaults, which nothing overrides."""
    container = main_container(service)
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    expected = {"grpc": GRPC_PORTS[service], "metrics": METRICS_PORTS[service]}
    expected |= {"http": HTTP_PORT} if service == "gateway" else {}
    assert ports == expected
    assert {port["name"]: port["port"] for port in named("Service", service)["spec"]["ports"]} == expected
    for probe in ("startupProbe", "readinessProbe"):
        assert container[probe]["grpc"]["port"] == GRPC_PORTS[service]
    assert variables(service)[f"{PREFIX}{service.upper()}_TARGET"] == f"{service}:{GRPC_PORTS[service]}"


@pytest.mark.parametrize("service", SETTINGS)
def test_a_pod_may_take_as_long_to_end_as_the_service_does(service: str) -> None:
    """The grace period is longer than the drain, and one pod at least stays while nodes are emptied."""
    spec = named("Deployment", service)["spec"]["template"]["spec"]
    assert spec["terminationGracePeriodSeconds"] > float(variables(service)[f"{PREFIX}DRAIN_SECONDS"])
    budget = named("PodDisruptionBudget", service)["spec"]
    assert budget["selector"] == named("Deployment", service)["spec"]["selector"]
    assert budget["minAvailable"] >= 1


@pytest.mark.parametrize(("owner", "spec"), list(pods()), ids=[owner for owner, _ in pods()])
def test_no_pod_has_more_than_it_needs(owner: str, spec: dict[str, Any]) -> None:
    """Nobody is root, writes to its image, has a token or a capability, or is without bounds."""
    assert spec["automountServiceAccountToken"] is False
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"]["type"] == "RuntimeDefault"
    for container in spec["containers"]:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert (
            {"cpu", "memory"}
            == set(container["resources"]["requests"])
            == set(container["resources"]["limits"])
        )
        mounted = {mount["name"] for mount in container["volumeMounts"]}
        assert mounted <= {volume["name"] for volume in spec["volumes"]}


def test_the_ray_cluster_is_of_the_version_that_is_installed() -> None:
    """Ray, Python and code are the sync image's everywhere, and the head hosts no actors."""
    spec = named("RayCluster", "wedsync-ray")["spec"]
    pins = (DEPLOY.parent / "constraints.txt").read_text()
    assert re.search(rf"^ray=={re.escape(spec['rayVersion'])}$", pins, re.MULTILINE)
    groups = [spec["headGroupSpec"], *spec["workerGroupSpecs"]]
    assert {g["template"]["spec"]["containers"][0]["image"] for g in groups} == {"wedsync-sync"}
    assert spec["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    for group in spec["workerGroupSpecs"]:
        assert group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]


def test_everybody_is_within_the_network_policies() -> None:
    """All is denied at first, and each service is named where something is allowed."""
    denied = named("NetworkPolicy", "deny-all")["spec"]
    assert (denied["podSelector"], denied["policyTypes"]) == ({}, ["Ingress", "Egress"])
    [rule] = named("NetworkPolicy", "services")["spec"]["podSelector"]["matchExpressions"]
    assert set(rule["values"]) == set(SETTINGS)
    open_ports = named("NetworkPolicy", "services")["spec"]["ingress"][0]["ports"]
    assert {port["port"] for port in open_ports} == set(GRPC_PORTS.values())


def test_every_file_is_part_of_the_base() -> None:
    """A file that nobody lists is deployed by nobody."""
    listed = yaml.safe_load((BASE / "kustomization.yaml").read_text())["resources"]
    assert sorted(listed) == sorted(p.name for p in BASE.glob("*.yaml") if p.name != "kustomization.yaml")


def test_no_secret_stands_in_a_manifest() -> None:
    """Secrets are named, never given; the manual names what each must hold."""
    assert not [doc for doc in documents() if doc["kind"] == "Secret"]
    manual = (DEPLOY / "README.md").read_text()
    assert all(f"`{role}`" in manual for role in ROLES)
    secrets = {v["secret"]["secretName"] for _, spec in pods() for v in spec["volumes"] if "secret" in v}
    assert all(f"`{name}`" in manual or name.removeprefix("wedsync-") in SETTINGS for name in secrets)


def test_every_image_is_built_by_the_one_dockerfile() -> None:
    """Each image is a service's or the migrations', runs as nobody, and ends when it is told to."""
    images = {c["image"] for _, spec in pods() for c in spec["containers"]}
    assert images == {f"wedsync-{name}" for name in [*SETTINGS, "migrations"]}
    dockerfile = (DEPLOY / "Dockerfile").read_text()
    assert re.search(r"^USER 10001$", dockerfile, re.MULTILINE)
    assert "exec python -m services." in dockerfile


def test_the_migration_gets_what_it_reads() -> None:
    """Its variables are its settings, and it runs more often than its partitions last."""
    [(_, spec)] = [pod for pod in pods() if pod[0] == "CronJob/migrations"]
    [container] = spec["containers"]
    assert named("CronJob", "migrations")["spec"]["schedule"].endswith(" * * 1")
    given = {entry["name"] for entry in container["env"]}
    assert given == {PREFIX + name.upper() for name in MigrateSettings.model_fields}
    assert container["command"] == ["python", "-m", "services.launcher.migrate"]
