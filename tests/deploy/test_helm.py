"""The chart renders to what a cluster takes, and to what the code understands."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from sqlalchemy import text

from cxrd.settings import ROLES, Settings, load
from support.database import fresh
from support.rows import arrive

EVERYTHING = (
    "keda.enabled=true,monitoring.podMonitor=true,monitoring.rules=true,payload.s3=s3://films/cxrd,payload.s3Secret=keys,"
    "database.caSecret=ca,models.claim=models,filesSecret=files,timezone=Europe/Berlin,service.tlsPort=2762,"
    r"roles.infer.resources.limits.nvidia\.com/gpu=1"
)
KUBERNETES = "1.30"


def helm(root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run Helm on the chart."""
    if shutil.which("helm") is None:
        pytest.skip("needs Helm 3 or newer on the PATH; .ci/run shows where a package has it")
    command = ["helm", words[0], "hospital", str(root / "deploy/helm/cxrd"), *words[1:]]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def rendered(root: Path, values: str = "") -> list[dict[str, Any]]:
    """Every object of the chart."""
    done = helm(root, "template", *(["--set", values] if values else []))
    assert 0 == done.returncode, done.stderr
    return [document for document in yaml.safe_load_all(done.stdout) if document]


def deployments(root: Path, values: str = "") -> dict[str, dict[str, Any]]:
    """Pod specification of each role."""
    found = {}
    for document in rendered(root, values):
        if document["kind"] == "Deployment":
            role = document["metadata"]["labels"]["app.kubernetes.io/component"]
            found[role] = document["spec"]["template"]["spec"]
    return found


@pytest.mark.parametrize("values", ["", EVERYTHING])
def test_kubernetes_takes_every_object(root: Path, values: str) -> None:
    """By the API's own schemas, unknown fields refused; those of KEDA and of Prometheus are not among them."""
    known = [one for one in rendered(root, values) if one["apiVersion"].split("/")[0] not in OF_OPERATORS]
    assert 11 <= len(known)
    for document in known:
        kubernetes_validate.validate(document, KUBERNETES, strict=True)


OF_OPERATORS = ("keda.sh", "monitoring.coreos.com")


def test_each_role_is_a_deployment_and_each_pod_serves_its_own_metrics(root: Path) -> None:
    """The counters of a role are in its own pod, so its pod has the web role too."""
    found = deployments(root)
    assert set(ROLES) == set(found)
    for role, pod in found.items():
        command = pod["containers"][0]["args"]
        assert ["serve", "--roles", "web" if role == "web" else f"{role},web"] == command


def test_nothing_runs_as_root_or_writes_outside_its_volumes(root: Path) -> None:
    """Every container, those that prepare the database too."""
    for pod in deployments(root).values():
        assert pod["securityContext"]["runAsNonRoot"]
        for container in (*pod["initContainers"], *pod["containers"]):
            confined = container["securityContext"]
            assert confined["readOnlyRootFilesystem"]
            assert not confined["allowPrivilegeEscalation"]
            assert ["ALL"] == confined["capabilities"]["drop"]


def test_a_listener_is_asked_only_for_itself(root: Path) -> None:
    """Another role's absence must not take films away from a listener that would keep them."""
    probe = deployments(root)["listen"]["containers"][0]["readinessProbe"]
    assert {"port": "dicom"} == probe["tcpSocket"]


def test_a_listener_may_speak_tls_alone(root: Path) -> None:
    """Then no other port is opened, offered or asked."""
    only = "service.port=0,service.tlsPort=2762"
    (container,) = deployments(root, only)["listen"]["containers"]
    assert {"port": "dicom-tls"} == container["readinessProbe"]["tcpSocket"]
    assert ["dicom-tls", "http"] == sorted(port["name"] for port in container["ports"])
    assert {"name": "CXRD_DICOM__TLS__ONLY", "value": "true"} in container["env"]
    (service,) = [one for one in rendered(root, only) if one["metadata"]["name"] == "hospital-dicom"]
    assert ["dicom-tls"] == [port["targetPort"] for port in service["spec"]["ports"]]
    assert 0 != helm(root, "template", "--set", "service.port=0").returncode


def test_a_new_pod_waits_for_no_gpu_that_the_old_one_holds(root: Path) -> None:
    """Where there is one GPU, a pod more would never start and the old one would never go."""
    found = {one["metadata"]["name"]: one["spec"] for one in rendered(root, EVERYTHING) if one["kind"] == "Deployment"}
    assert {"maxUnavailable": 1, "maxSurge": 0} == found["hospital-infer"]["strategy"]["rollingUpdate"]
    assert {"maxUnavailable": 0, "maxSurge": 1} == found["hospital-build"]["strategy"]["rollingUpdate"]


def test_what_keda_scales_is_not_drained_all_at_once(root: Path) -> None:
    """Its number stands nowhere in the values, so it has a budget whatever they say."""
    found = [one["metadata"]["name"] for one in rendered(root, EVERYTHING) if one["kind"] == "PodDisruptionBudget"]
    assert ["hospital-infer", "hospital-listen"] == sorted(found)


def test_a_pod_may_finish_what_it_holds(root: Path) -> None:
    """A worker that is told to leave has more time than a lease, a listener takes who is still sent to it."""
    for role, pod in deployments(root).items():
        before = (
            pod["containers"][0].get("lifecycle", {}).get("preStop", {}).get("exec", {}).get("command", ["sleep", "0"])
        )
        assert (role == "listen") == (int(before[1]) > 0)
        assert pod["terminationGracePeriodSeconds"] > Settings().work.lease_s + int(before[1])


def test_the_environment_and_the_file_are_a_configuration(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ConfigMap and the variables of a pod, read by the program itself."""
    found = rendered(root, EVERYTHING)
    file = tmp_path / "cxrd.toml"
    toml = next(one["data"]["cxrd.toml"] for one in found if one["kind"] == "ConfigMap")
    assert tomllib.loads(toml)
    tls = "".join(f'{key} = "/etc/cxrd/files/{key}.pem"\n' for key in ("certificate", "key", "ca"))
    file.write_text(toml.replace("port = 11112\n", f"port = 104\n[dicom.tls]\nport = 104\n{tls}", 1))
    pod = deployments(root, EVERYTHING)["listen"]
    for variable in pod["containers"][0]["env"]:
        monkeypatch.setenv(variable["name"], variable.get("value", "postgresql+psycopg://cxrd@db/cxrd"))
    settings = load(file)
    assert "0.0.0.0" == settings.web.bind  # noqa: S104 - inside a pod
    ports = {port["name"]: port["containerPort"] for port in pod["containers"][0]["ports"]}
    assert settings.dicom.tls is not None
    told = {"dicom": settings.dicom.port, "dicom-tls": settings.dicom.tls.port, "http": settings.web.port}
    assert told == ports
    assert not settings.dicom.tls.only
    assert "Europe/Berlin" == os.environ["TZ"]
    assert settings.dicom.tls.key.parent.as_posix() in {m["mountPath"] for m in pod["containers"][0]["volumeMounts"]}
    assert "s3://films/cxrd" == settings.storage.s3
    assert Path("/srv/models") == settings.models.dir
    assert "postgresql+psycopg://cxrd@db/cxrd" == settings.database.url


def test_the_scaler_counts_what_infer_would_claim_now(root: Path, tmp_path: Path) -> None:
    """The very query of the ScaledObject, on the very schema."""
    scaler = next(one for one in rendered(root, EVERYTHING) if one["kind"] == "ScaledObject")
    query = scaler["spec"]["triggers"][0]["metadata"]["query"]
    with fresh("postgresql", tmp_path) as database:
        for number in (1, 2):
            arrive(database, number, study_uid=f"1.2.{number}")
        arrive(database, 3, study_uid="1.2.3", quiet_period_s=30.0)
        with database.read() as connection:
            assert 2 == connection.execute(text(query)).scalar_one()


def test_a_scaled_role_has_no_fixed_number(root: Path) -> None:
    """Or each upgrade of the release would undo what KEDA did."""
    found = {one["metadata"]["name"]: one["spec"] for one in rendered(root, EVERYTHING) if one["kind"] == "Deployment"}
    assert "replicas" not in found["hospital-infer"]
    assert 2 == found["hospital-listen"]["replicas"]


def test_the_alerts_are_those_of_the_other_installs(root: Path) -> None:
    """One file of rules, not a copy of it."""
    rules = next(one for one in rendered(root, EVERYTHING) if one["kind"] == "PrometheusRule")
    assert yaml.safe_load((root / "deploy/prometheus/alerts.yml").read_text(encoding="utf-8")) == rules["spec"]


@pytest.mark.parametrize("wrong", ["roles.listn.replicas=1", "payload.size=many", "terminationGracePeriodSeconds=5"])
def test_a_wrong_value_is_named_before_anything_is_installed(root: Path, wrong: str) -> None:
    """By the schema of the values."""
    done = helm(root, "template", "--set", wrong)
    assert 0 != done.returncode
    assert re.split(r"[.=]", wrong, maxsplit=1)[0] in done.stderr
