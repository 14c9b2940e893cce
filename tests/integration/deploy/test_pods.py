"""For every overlay: its pods are confined, and get the files that they use."""

import base64
import re
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest
from click.testing import CliRunner

from payments_adapters.jwt import add_pass_key, generate_jwks
from payments_core.use_cases import RecordFacts
from payments_service.cli.root import payments
from payments_service.container import build_container
from payments_service.http.protocol import GRACE_S
from payments_service.settings import Settings, SettingsError
from payments_service.worker import FINISH_WITHIN_S
from support.manifests import (
    ALL,
    PART,
    VARIANTS,
    Manifests,
    Yaml,
    containers,
    manifests,
)
from support.stripe_bodies import a_secret

MOUNTS: Final = "/etc/payments"
TOKEN: Final = "/var/run/secrets/cluster"  # a path
MODES: Final = {"development": "test", "production": "live"}
# The pool and the time for cleaning up at the interpreter's exit.
CLOSING_S: Final = 5
# The settings that each command reads: see `payments_service.settings`, `processes`.
USES: Final = {
    "serve": {
        "access-pass-keys",
        "database-url",
        "erasure-key",
        "jwt-keys",
        "stripe-api-key",
        "stripe-webhook-secrets",
    },
    # It verifies no caller's token and no webhook.
    "worker": {"database-url", "erasure-key", "stripe-api-key"},
    "db": {"database-url"},
}
PARTS: Final = {"http": "serve", "worker": "worker", "migration": "db"}

POD_RULES: Final[dict[str, Callable[[Yaml], bool]]] = {
    "runs as no root": lambda pod: (
        pod["securityContext"]["runAsNonRoot"] is True
        and pod["securityContext"]["runAsUser"] > 0
        and pod["securityContext"]["runAsGroup"] > 0
    ),
    "has the runtime's seccomp profile": lambda pod: (
        pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    ),
    "says no more of its security": lambda pod: (
        pod["securityContext"].keys()
        == {"fsGroup", "runAsGroup", "runAsNonRoot", "runAsUser", "seccompProfile"}
    ),
    "shares nothing with its node": lambda pod: (
        not ({"hostNetwork", "hostPID", "hostIPC", "hostAliases"} & pod.keys())
    ),
    "mounts no folder of its node": lambda pod: all(
        volume.keys() - {"name"} <= {"secret", "projected"} for volume in pod["volumes"]
    ),
    "is given no token of the cluster": lambda pod: (
        pod["automountServiceAccountToken"] is False
    ),
    "knows no other Service by its environment": lambda pod: (
        pod["enableServiceLinks"] is False
    ),
    "has an account without rights": lambda pod: (
        pod["serviceAccountName"] == "payments-gateway"
    ),
}

CONTAINER_RULES: Final[dict[str, Callable[[Yaml], bool]]] = {
    "gains no privilege, has no capability, writes to no file": lambda it: (
        it["securityContext"]
        == {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        }
    ),
    "takes no port of its node": lambda it: (
        not any("hostPort" in port for port in it.get("ports", ()))
    ),
    "has requests, and a limit of memory": lambda it: (
        it["resources"]["limits"].keys() == {"memory"}
        and it["resources"]["requests"].keys() == {"cpu", "memory"}
    ),
    "runs a command of ours by the image's entry point": lambda it: (
        "command" not in it and len(it["args"]) > 0
    ),
    "has nothing but secrets' paths and settings in its environment": lambda it: (
        all(source.keys() == {"configMapRef"} for source in it.get("envFrom", ()))
        and all(
            variable.keys() == {"name", "value"}
            and variable["name"].endswith("_FILE")
            and variable["value"].startswith(f"{MOUNTS}/")
            for variable in it["env"]
        )
    ),
}
STARTING_S: Final = 30


@pytest.mark.parametrize("rule", POD_RULES)
def test_t77_every_pod_is_restricted(rendered: Manifests, rule: str) -> None:
    """
    Each rule of the pod security standard `restricted`, and more.
    """
    pods = rendered.pods()

    assert pods.keys() == PARTS.keys()
    for part, pod in pods.items():
        assert POD_RULES[rule](pod["spec"]), part


@pytest.mark.parametrize("rule", CONTAINER_RULES)
def test_t77_every_container_is_confined(rendered: Manifests, rule: str) -> None:
    """
    Init containers included.
    """
    every = list(rendered.containers())

    assert len(every) == 7
    for container in every:
        assert CONTAINER_RULES[rule](container), container["name"]


def test_t77_the_cluster_refuses_pods_that_are_not_restricted(
    rendered: Manifests,
) -> None:
    """
    Each overlay has a namespace of its own, which enforces the standard.
    """
    [namespace] = rendered.all("Namespace")
    outside = {"Namespace", "PriorityClass"}
    inside = [it for it in rendered.documents if it["kind"] not in outside]
    name = f"payments-gateway-{rendered.overlay}"

    assert namespace["metadata"]["name"] == name
    labels = namespace["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
    assert {it["metadata"]["namespace"] for it in inside} == {name}


def test_t77_only_a_component_gives_a_token_and_only_to_the_service(
    rendered: Manifests,
) -> None:
    """
    To read the cluster's keys; the token's account has no rights.
    """
    with_tokens = {
        part
        for part, pod in rendered.pods().items()
        if "serviceAccountToken" in str(pod["spec"]["volumes"])
    }

    taken = "service-tokens" in rendered.components
    assert with_tokens == ({"http"} if taken else set())
    [account] = rendered.all("ServiceAccount")
    assert account["automountServiceAccountToken"] is False
    assert (
        rendered.all("Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding") == []
    )


def used(rendered: Manifests, part: str) -> set[str]:
    """Return the secret files that the pods of a component use."""
    found = set(USES[PARTS[part]])
    if part == "http" and "jwt-keys-url" in rendered.components:
        found.remove("jwt-keys")
    if part == "worker" and "webhooks-out" in rendered.components:
        found.add("webhooks-out.toml")
    return found


def test_t77_each_pod_has_the_secrets_that_it_uses_and_no_others(
    rendered: Manifests,
) -> None:
    """
    A file is mounted if a variable names it, and only if the container's command reads
    it.
    """
    for part, pod in rendered.pods().items():
        named = {
            Path(value).name
            for container in containers(pod)
            for name, value in rendered.variables(container).items()
            if name.endswith("_FILE") and value.startswith(MOUNTS)
        }
        there = set[str]()
        for volume in pod["spec"]["volumes"]:
            if "projected" in volume:
                continue
            secret = volume["secret"]
            assert secret["defaultMode"] == 0o440
            if secret["secretName"] == "payments-gateway":  # a name
                assert all(it["key"] == it["path"] for it in secret["items"])
                there |= {it["path"] for it in secret["items"]}
            else:
                # Files that the document names are beside it, and all are for the
                # worker.
                assert secret["secretName"] == "payments-gateway-webhooks-out"  # a name
                there.add("webhooks-out.toml")
        assert named == there == used(rendered, part)


def test_each_file_is_where_its_variable_says(rendered: Manifests) -> None:
    """
    In a volume that the same container mounts read-only.
    """
    for pod in rendered.pods().values():
        volumes = {it["name"] for it in pod["spec"]["volumes"]}
        for container in containers(pod):
            mounts = container["volumeMounts"]
            assert all(it["readOnly"] is True for it in mounts)
            assert {it["name"] for it in mounts} <= volumes
            folders = {Path(it["mountPath"]) for it in mounts}
            files = {
                Path(value).parent
                for name, value in rendered.variables(container).items()
                if name.endswith("_FILE") and not value.startswith(TOKEN)
            }
            assert files <= folders


def test_what_a_component_reads_is_mounted_in_the_service() -> None:
    """
    The paths in the shared settings are those of the serving process.
    """
    rendered = manifests("production", ALL)
    [service] = rendered.pods()["http"]["spec"]["containers"]
    folders = {Path(it["mountPath"]) for it in service["volumeMounts"]}

    assert Path(TOKEN) in folders


def secrets_in(folder: Path, *, mode: str) -> None:
    """Write each file of the Secrets, generated for the test."""
    secret = a_secret("delivery").removeprefix("whsec_").encode()
    files = {
        "secrets/database-url": "postgresql://payments@postgres/payments",
        "secrets/stripe-api-key": f"sk_{mode}_" + "k" * 24,
        "secrets/stripe-webhook-secrets": a_secret("new"),
        "secrets/jwt-keys": generate_jwks("key"),
        "secrets/access-pass-keys": add_pass_key("key"),
        "secrets/erasure-key": base64.b64encode(bytes(range(32))).decode(),
        "webhooks-out/one": f"whsec_{base64.b64encode(secret).decode()}",
        "webhooks-out/webhooks-out.toml": "[endpoints.crm]\n"
        'url = "https://crm.example/"\nsecrets_files = ["one"]\n',
    }
    for name, text in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(f"{text}\n")


@pytest.mark.parametrize("part", ["http", "worker"])
def test_every_process_starts_with_what_its_pod_has(
    rendered: Manifests, part: str, tmp_path: Path
) -> None:
    """
    Its settings are read, unknown ones refused, and the container is wired.

    The container that checks them before has the same settings.
    """
    secrets_in(tmp_path, mode=MODES[rendered.overlay])
    pod = rendered.pods()[part]
    [main] = pod["spec"]["containers"]
    [check] = [it for it in containers(pod) if it["name"] == "check"]

    variables = rendered.variables(main)
    given = {
        name: value.replace(MOUNTS, str(tmp_path)) for name, value in variables.items()
    }
    settings = Settings.from_env(given, serves=main["args"] == ["serve"])

    assert settings.livemode is (rendered.overlay == "production")
    assert settings.erasure_key is not None
    assert isinstance(build_container(settings)[RecordFacts], RecordFacts)
    delivers = "webhooks-out" in rendered.components and part == "worker"
    assert bool(settings.webhooks_out) is delivers
    assert rendered.variables(check) == variables


@pytest.mark.parametrize("file", sorted(USES["serve"] - {"erasure-key"}))
def test_nothing_that_the_service_has_is_needless(
    production: Manifests, file: str, tmp_path: Path
) -> None:
    """
    Without a file it does not start, or runs with fewer functions.
    """
    secrets_in(tmp_path, mode="live")
    [main] = production.pods()["http"]["spec"]["containers"]
    given = {
        name: value.replace(MOUNTS, str(tmp_path))
        for name, value in production.variables(main).items()
        if Path(value).name != file
    }
    if file == "access-pass-keys":
        assert Settings.from_env(given).access_pass_keys is None
        return
    with pytest.raises(SettingsError):
        Settings.from_env(given)


def test_a_migration_and_who_waits_for_it_know_the_database_alone(
    rendered: Manifests,
) -> None:
    """
    And nothing that changes within a release: a Job is immutable.
    """
    pods = rendered.pods()
    waiting = [
        it for pod in pods.values() for it in containers(pod) if it["args"][0] == "db"
    ]

    assert [it["args"][1] for it in waiting] == ["wait", "wait", "upgrade"]
    for container in waiting:
        assert rendered.variables(container).keys() == {"PAYMENTS_DATABASE_URL_FILE"}
    for pod in (pods["http"], pods["worker"]):
        assert [it["name"] for it in pod["spec"]["initContainers"]] == [
            *("wait-for-schema", "check"),
        ]


def test_every_command_exists() -> None:
    """
    With each option that a container passes; a worker is checked as a worker.
    """
    rendered = manifests("production", ALL)
    commands = [it["args"] for it in rendered.containers()]

    for command in commands:
        done = CliRunner().invoke(payments, [*command, "--help"])
        assert done.exit_code == 0, done.output
    checks = {
        part: it["args"]
        for part, pod in rendered.pods().items()
        for it in containers(pod)
        if it["name"] == "check"
    }
    assert checks == {
        "http": ["doctor", "--start"],
        "worker": ["doctor", "--start", "--worker"],
    }


def test_t62_the_log_is_what_the_cluster_reads(rendered: Manifests) -> None:
    """
    On stderr, where each line is one JSON object: no log is written to a file.
    """
    for pod in rendered.pods().values():
        assert "emptyDir" not in str(pod["spec"]["volumes"])
        assert "persistentVolumeClaim" not in str(pod["spec"]["volumes"])
        for container in containers(pod):
            assert container["securityContext"]["readOnlyRootFilesystem"] is True
            assert all(it["readOnly"] is True for it in container["volumeMounts"])


@pytest.mark.parametrize("part", ["http", "worker"])
def test_f08_nobody_is_killed_who_still_works(rendered: Manifests, part: str) -> None:
    """
    A pod's grace is longer than draining, ending requests and closing may take.

    No `preStop` is needed: the service drains first itself, and reports that it drains.
    """
    pod = rendered.pods()[part]["spec"]
    [main] = pod["containers"]
    drain_s = int(rendered.variables(main)["PAYMENTS_DRAIN_S"])
    patience_s = pod["terminationGracePeriodSeconds"]

    assert drain_s > 0
    assert "lifecycle" not in main
    assert patience_s > drain_s + GRACE_S + CLOSING_S
    assert patience_s > FINISH_WITHIN_S + GRACE_S


@pytest.mark.parametrize("part", ["http", "worker"])
def test_probes_ask_the_ops_port(rendered: Manifests, part: str) -> None:
    """
    Only readiness depends on the database; only failures of the other probes restart
    it.
    """
    [main] = rendered.pods()[part]["spec"]["containers"]
    ports = {it["name"]: it["containerPort"] for it in main["ports"]}
    variables = rendered.variables(main)

    assert {
        name: main[f"{name}Probe"]["httpGet"]
        for name in ("startup", "readiness", "liveness")
    } == {
        "startup": {"path": "/livez", "port": "ops"},
        "readiness": {"path": "/readyz", "port": "ops"},
        "liveness": {"path": "/livez", "port": "ops"},
    }
    assert str(ports["ops"]) == variables["PAYMENTS_OPS_PORT"]
    if part == "http":
        assert str(ports["http"]) == variables["PAYMENTS_PORT"]


@pytest.mark.parametrize("part", ["http", "worker"])
def test_a_pod_has_time_to_start(rendered: Manifests, part: str) -> None:
    """
    A slow node takes ten times as long as ours; if the container were killed meanwhile,
    it would start again from the beginning.
    """
    [main] = rendered.pods()[part]["spec"]["containers"]
    probe = main["startupProbe"]

    assert probe["periodSeconds"] * probe["failureThreshold"] >= STARTING_S


def test_a_draining_pod_is_seen_before_its_socket_closes(rendered: Manifests) -> None:
    """
    Readiness fails first, and is probed twice within the drain.
    """
    [main] = rendered.pods()["http"]["spec"]["containers"]
    probe, variables = main["readinessProbe"], rendered.variables(main)

    seen_s = probe["periodSeconds"] * probe["failureThreshold"]
    assert seen_s <= int(variables["PAYMENTS_DRAIN_S"])


def test_every_image_of_production_is_named_by_its_digest() -> None:
    """
    A tag may be moved, and then it is not known what runs. The migration uses the same
    image.
    """
    for overlay, component in VARIANTS:
        if overlay != "production":
            continue
        rendered = manifests(overlay, *([component] if component else []))
        [image] = {it["image"] for it in rendered.containers()}
        [job] = rendered.all("Job")

        matched = re.fullmatch(r"[a-z0-9./:-]+[^:/]@sha256:([0-9a-f]{64})", image)
        assert matched is not None
        assert job["metadata"]["name"] == f"payments-gateway-migrate-{matched[1][:12]}"
        text = str([it for it in rendered.documents if it["kind"] != "ConfigMap"])
        assert "imageName" not in text
        assert re.search(r"'image': '(?![^']*@sha256:)", text) is None


def test_the_migration_of_development_is_named_by_its_tag() -> None:
    """
    Images of a local machine have no digest.
    """
    rendered = manifests("development")
    [image] = {it["image"] for it in rendered.containers()}
    [job] = rendered.all("Job")

    assert job["metadata"]["name"] == f"payments-gateway-migrate-{image.split(':')[1]}"


def test_a_changed_setting_rolls_the_pods(rendered: Manifests) -> None:
    """
    The name of a ConfigMap depends on its content; no Job refers to one.
    """
    config = [
        it["metadata"]["name"]
        for it in rendered.all("ConfigMap")
        if "PAYMENTS_ENV" in it["data"]
    ]

    [name] = config
    assert re.fullmatch(r"payments-gateway-[a-z0-9]{10}", name)
    [job] = rendered.all("Job")
    assert name not in str(job)
    assert rendered.all("CronJob") == []
    assert job["spec"]["template"]["metadata"]["labels"][PART] == "migration"
