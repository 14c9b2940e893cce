"""What `deploy/` would put into a cluster: rendered and read, without a cluster."""

import base64
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from importlib.metadata import entry_points
from json import loads
from pathlib import Path
from typing import Any, Final

import attrs
import kubernetes_validate
import pytest
import yaml
from click.testing import CliRunner
from typing_extensions import override

from payments_adapters.jwt import add_pass_key, generate_jwks
from payments_core.use_cases import RecordFacts
from payments_service.catalogue_file import read_catalogue
from payments_service.cli.root import payments
from payments_service.container import build_container
from payments_service.http.protocol import GRACE_S
from payments_service.settings import Settings, SettingsError
from support.stripe_bodies import a_secret

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
STRIPE = "https://api.stripe.com"
MODES = {"development": "test", "production": "live"}
SECRETS = "/etc/payments/secrets"
# The pool and what the interpreter has to clear away.
CLOSING_S = 5
KUBERNETES = ("1.30", kubernetes_validate.latest_version())

Yaml = dict[str, Any]


@cache
def rendered(overlay: str) -> tuple[Yaml, ...]:
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("kubectl, which renders the overlays, is not here")
    done = subprocess.run(
        [kubectl, "kustomize", DEPLOY / "overlays" / overlay],
        capture_output=True,
        text=True,
        check=True,
    )
    return tuple(yaml.safe_load_all(done.stdout))


WORKER: Final = "payments-gateway-worker"


@attrs.frozen
class Overlay:
    name: str
    documents: tuple[Yaml, ...]

    def all(self, kind: str) -> list[Yaml]:
        return [found for found in self.documents if found["kind"] == kind]

    def one(self, kind: str) -> Yaml:
        """Return the one document of a kind; of Deployments the one that serves."""
        (found,) = (it for it in self.all(kind) if it["metadata"]["name"] != WORKER)
        return found

    def worker(self) -> Yaml:
        (found,) = (it for it in self.documents if it["metadata"]["name"] == WORKER)
        return found

    def pod(self, kind: str) -> Yaml:
        pod: Yaml = self.one(kind)["spec"]["template"]
        return pod

    def pods(self) -> list[Yaml]:
        working: Yaml = self.worker()["spec"]["template"]["spec"]
        return [self.pod("Deployment")["spec"], working, self.pod("Job")["spec"]]

    def service(self) -> Yaml:
        (container,) = self.pod("Deployment")["spec"]["containers"]
        return dict(container)

    def environment(self) -> dict[str, str]:
        """Return what the service finds in its environment."""
        service = self.service()
        (source,) = service["envFrom"]
        config = self.one("ConfigMap")
        assert source == {"configMapRef": {"name": config["metadata"]["name"]}}
        return {**image_environment(), **config["data"], **plain_variables(service)}


@pytest.fixture(params=MODES)
def overlay(request: pytest.FixtureRequest) -> Overlay:
    return Overlay(request.param, rendered(request.param))


def containers(pod: Yaml) -> list[Yaml]:
    return [*pod.get("initContainers", []), *pod["containers"]]


def plain_variables(container: Yaml) -> dict[str, str]:
    return {variable["name"]: variable["value"] for variable in container["env"]}


def selects(selector: Mapping[str, str], pod: Yaml) -> bool:
    labels: dict[str, str] = pod["metadata"]["labels"]
    return selector.items() <= labels.items()


@cache
def final_stage() -> tuple[tuple[str, str], ...]:
    """Return the instructions of the image that is shipped."""
    text = (DEPLOY / "Dockerfile").read_text().replace("\\\n", " ")
    stage = re.split(r"(?m)^FROM ", text)[-1].splitlines()[1:]
    return tuple(
        (word, rest)
        for word, _, rest in (line.partition(" ") for line in stage)
        if word.isalpha()
    )


def instruction(name: str) -> str:
    (found,) = (rest for word, rest in final_stage() if word == name)
    return found


def image_environment() -> dict[str, str]:
    pairs = (pair.partition("=") for pair in shlex.split(instruction("ENV")))
    return {name: value for name, _, value in pairs if name.startswith("PAYMENTS_")}


class Asked(Mapping[str, str]):
    """An empty environment that remembers what it was asked for."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    @override
    def __getitem__(self, key: str) -> str:
        self.names.add(key)
        raise KeyError(key)

    @override
    def __iter__(self) -> Iterator[str]:
        return iter(())

    @override
    def __len__(self) -> int:
        return 0


@cache
def variables_of_settings() -> frozenset[str]:
    asked = Asked()
    with pytest.raises(SettingsError):
        Settings.from_env(asked)
    return frozenset(asked.names)


# What a deployment may do without: a pod does not start where a file is missing.
OPTIONAL: Final = frozenset({"PAYMENTS_WEBHOOKS_OUT", "PAYMENTS_KUBERNETES_KEYS"})


def secret_settings() -> set[str]:
    """Return the variables whose values do not print, and that every pod has."""
    hidden = (field.name for field in attrs.fields(Settings) if not field.repr)
    return {f"PAYMENTS_{name.upper()}" for name in hidden} - OPTIONAL


def settings_with_secrets(overlay: Overlay, folder: Path, *, mode: str) -> Settings:
    """Read the settings as the service would, with secrets made on the spot."""
    secrets = {
        "database-url": "postgresql://payments@postgres/payments",
        "stripe-api-key": f"sk_{mode}_" + "k" * 24,
        "stripe-webhook-secrets": a_secret("new"),
        "jwt-keys": generate_jwks("key"),
        "access-pass-keys": add_pass_key("key"),
        "erasure-key": base64.b64encode(bytes(range(32))).decode(),
    }
    for name, text in secrets.items():
        (folder / name).write_text(f"{text}\n")
    return Settings.from_env(
        {
            name: value.replace(SECRETS, str(folder))
            for name, value in overlay.environment().items()
        }
    )


@pytest.mark.parametrize("version", KUBERNETES)
def test_every_document_is_what_kubernetes_takes(
    overlay: Overlay, version: str
) -> None:
    """
    Each document fits the schema of its kind, unknown fields refused.
    """
    for document in overlay.documents:
        kubernetes_validate.validate(document, version, strict=True)


def test_a_misspelt_field_would_be_found(overlay: Overlay) -> None:
    """
    The check above sees what `kubectl apply` would only warn of.
    """
    deployment = overlay.one("Deployment")
    misspelt = deployment | {"spec": deployment["spec"] | {"replicaz": 3}}

    with pytest.raises(kubernetes_validate.ValidationError, match="replicaz"):
        kubernetes_validate.validate(misspelt, KUBERNETES[-1], strict=True)


POD_RULES: dict[str, Callable[[Yaml], bool]] = {
    "runs as no root": lambda pod: pod["securityContext"]["runAsNonRoot"],
    "runs as the image's user": lambda pod: (
        "{runAsUser}:{runAsGroup}".format(**pod["securityContext"])
        == instruction("USER")
        == "10001:10001"
    ),
    "has the runtime's seccomp profile": lambda pod: (
        pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    ),
    "shares nothing with its node": lambda pod: (
        not ({"hostNetwork", "hostPID", "hostIPC", "hostUsers"} & pod.keys())
    ),
    "mounts secrets only": lambda pod: all(
        volume.keys() == {"name", "secret"} for volume in pod["volumes"]
    ),
    "has no token of the cluster": lambda pod: (
        pod["automountServiceAccountToken"] is False
    ),
    "knows no other Service by its environment": lambda pod: (
        pod["enableServiceLinks"] is False
    ),
}

CONTAINER_RULES: dict[str, Callable[[Yaml], bool]] = {
    "gains no privilege": lambda container: (
        container["securityContext"]["allowPrivilegeEscalation"] is False
    ),
    "has no capability": lambda container: (
        container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    ),
    "writes to no file": lambda container: (
        container["securityContext"]["readOnlyRootFilesystem"] is True
    ),
    "is as its pod in everything else": lambda container: (
        container["securityContext"].keys()
        == {"allowPrivilegeEscalation", "capabilities", "readOnlyRootFilesystem"}
    ),
    "takes no port of its node": lambda container: (
        not any("hostPort" in port for port in container.get("ports", ()))
    ),
    "has a limit of memory": lambda container: (
        container["resources"]["limits"].keys() == {"memory"}
        and container["resources"]["requests"].keys() == {"cpu", "memory"}
    ),
}


@pytest.mark.parametrize("rule", POD_RULES)
def test_t77_every_pod_is_restricted(overlay: Overlay, rule: str) -> None:
    """
    Service and migration keep each rule of the pod security standard `restricted`.
    """
    assert all(POD_RULES[rule](pod) for pod in overlay.pods())


@pytest.mark.parametrize("rule", CONTAINER_RULES)
def test_t77_every_container_is_restricted(overlay: Overlay, rule: str) -> None:
    """
    So does each of their containers, those that run first included.
    """
    every = [container for pod in overlay.pods() for container in containers(pod)]

    assert len(every) == 5
    assert all(CONTAINER_RULES[rule](container) for container in every)


def test_t77_the_cluster_refuses_pods_that_are_not_restricted(overlay: Overlay) -> None:
    """
    Each overlay has a namespace of its own, which enforces the standard.
    """
    namespace = overlay.one("Namespace")["metadata"]
    inside = [found for found in overlay.documents if found["kind"] != "Namespace"]

    assert namespace["name"] == f"payments-gateway-{overlay.name}"
    assert namespace["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    assert {found["metadata"]["namespace"] for found in inside} == {namespace["name"]}


def test_probes_ask_the_ops_port(overlay: Overlay) -> None:
    """
    Only readiness asks for the database: a restart would not mend it.
    """
    service = overlay.service()

    assert {
        name: service[f"{name}Probe"]["httpGet"]
        for name in ("startup", "readiness", "liveness")
    } == {
        "startup": {"path": "/readyz", "port": "ops"},
        "readiness": {"path": "/readyz", "port": "ops"},
        "liveness": {"path": "/livez", "port": "ops"},
    }


def test_ports_are_those_that_the_service_binds(overlay: Overlay) -> None:
    """
    Settings, containers and the image name the same two, on every interface.
    """
    ports = {
        port["name"]: str(port["containerPort"]) for port in overlay.service()["ports"]
    }
    environment = overlay.environment()

    assert environment["PAYMENTS_HOST"] == "0.0.0.0"  # noqa: S104  # a pod's own
    assert ports["http"] == environment["PAYMENTS_PORT"]
    assert ports["ops"] == environment["PAYMENTS_OPS_PORT"]
    assert sorted(ports.values()) == instruction("EXPOSE").split()


def test_the_ops_port_is_not_offered_to_others(overlay: Overlay) -> None:
    """
    The Service has the public port only.
    """
    ports = overlay.one("Service")["spec"]["ports"]

    assert [port["targetPort"] for port in ports] == ["http"]


def test_requests_never_reach_a_migration(overlay: Overlay) -> None:
    """
    Whatever selects pods selects those that serve, and no others.
    """
    serving, migrating = overlay.pod("Deployment"), overlay.pod("Job")
    working = overlay.worker()["spec"]["template"]
    selectors = [
        overlay.one("Service")["spec"]["selector"],
        *(
            found["matchLabels"]
            for found in (
                overlay.one("Deployment")["spec"]["selector"],
                *(p["spec"]["selector"] for p in overlay.all("PodDisruptionBudget")),
                *(
                    constraint["labelSelector"]
                    for constraint in serving["spec"]["topologySpreadConstraints"]
                ),
            )
        ),
    ]

    assert all(selects(selector, serving) for selector in selectors)
    assert not any(selects(selector, migrating) for selector in selectors)
    assert not any(selects(selector, working) for selector in selectors)


def test_a_worker_is_the_same_image_with_another_command(overlay: Overlay) -> None:
    """
    It reads the same settings and secrets, is probed at the ops port, and waits for
    the migration; nobody sends it requests.
    """
    working = overlay.worker()["spec"]["template"]["spec"]
    (container,), service = working["containers"], overlay.service()

    assert container["args"] == ["worker"]
    for same in ("image", "env", "envFrom", "livenessProbe", "volumeMounts"):
        assert container[same] == service[same]
    assert [port["name"] for port in container["ports"]] == ["ops"]
    assert (
        working["initContainers"] == overlay.pod("Deployment")["spec"]["initContainers"]
    )


def test_an_upgrade_takes_no_pod_away_first(overlay: Overlay) -> None:
    """
    A new pod serves before an old one goes, and a node can always be drained.
    """
    spec = overlay.one("Deployment")["spec"]

    assert spec["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
    for budget in overlay.all("PodDisruptionBudget"):
        assert 0 < budget["spec"]["minAvailable"] < spec["replicas"]
    assert bool(overlay.all("PodDisruptionBudget")) == (spec["replicas"] > 1)


def test_f08_nobody_is_killed_who_still_answers(overlay: Overlay) -> None:
    """
    The cluster waits longer than draining, ending requests and closing may take.
    """
    drain_s = int(overlay.environment()["PAYMENTS_DRAIN_S"])
    patience_s = overlay.pod("Deployment")["spec"]["terminationGracePeriodSeconds"]

    assert drain_s > 0
    assert patience_s >= drain_s + GRACE_S + CLOSING_S


def test_each_release_has_a_migration_of_its_own(overlay: Overlay) -> None:
    """
    A Job cannot be changed, so the image's tag is in its name, and nothing in it
    changes within a release: no name of a ConfigMap.
    """
    (image,) = {c["image"] for pod in overlay.pods() for c in containers(pod)}
    job = overlay.one("Job")
    _, _, tag = image.partition(":")

    assert job["metadata"]["name"] == f"payments-gateway-migrate-{tag}"
    assert re.fullmatch(r"[a-z0-9][a-z0-9.-]{0,62}", job["metadata"]["name"])
    assert job["spec"]["ttlSecondsAfterFinished"] > 0
    assert overlay.one("ConfigMap")["metadata"]["name"] not in str(job)


def test_pods_wait_for_the_migration(overlay: Overlay) -> None:
    """
    The migration and those who wait for it know the database and nothing else.
    """
    (waiting,) = overlay.pod("Deployment")["spec"]["initContainers"]
    (migrating,) = overlay.pod("Job")["spec"]["containers"]

    assert waiting["args"][:2] == ["db", "wait"]
    assert migrating["args"] == ["db", "upgrade"]
    for container in (waiting, migrating):
        assert plain_variables(container).keys() == {"PAYMENTS_DATABASE_URL_FILE"}
        assert "envFrom" not in container


def test_secrets_come_as_files(overlay: Overlay) -> None:
    """
    What does not print is no value of a variable: each is a file of the Secret.
    """
    environment = overlay.environment()
    files = {name for name in environment if name.endswith("_FILE")}

    assert files == {f"{name}_FILE" for name in secret_settings()}
    assert not secret_settings() & environment.keys()
    assert "secretKeyRef" not in str(overlay.documents)


def test_every_secret_file_is_mounted_for_the_user_only(overlay: Overlay) -> None:
    """
    It lies in a mounted Secret that others than the pod's group cannot read.
    """
    for pod in overlay.pods():
        (volume,) = pod["volumes"]
        secret = volume["secret"]
        assert (secret["secretName"], secret["defaultMode"]) == (
            "payments-gateway",
            0o440,
        )
        assert pod["securityContext"]["fsGroup"] == 10001
        for container in containers(pod):
            (mount,) = container["volumeMounts"]
            assert mount["name"] == volume["name"]
            assert mount["readOnly"] is True
            for value in plain_variables(container).values():
                assert Path(value).parent == Path(mount["mountPath"]) == Path(SECRETS)
                items = secret.get("items", [{"path": Path(value).name}])
                assert Path(value).name in {item["path"] for item in items}


def test_the_readme_creates_every_secret_file(overlay: Overlay) -> None:
    """
    The command that makes the Secret names the files that pods read, and no other.
    """
    environment = overlay.environment()
    read = {Path(environment[f"{name}_FILE"]).name for name in secret_settings()}
    made = re.findall(r"--from-file=(\S+)", (DEPLOY / "README.md").read_text())

    assert sorted(made) == sorted(read)


def test_the_repository_holds_no_secret(overlay: Overlay) -> None:
    """
    No Secret object, and nothing in the folder that looks like a key.
    """
    looks_like_a_key = re.compile(
        r"(?:sk|rk|pk)_(?:test|live)_\w|whsec_\w|BEGIN [A-Z ]*PRIVATE|eyJ[\w-]{8}"
        r"|://[^\s/@]+:[^\s/@]+@|\"k\"\s*:"
    )
    files = [path for path in DEPLOY.rglob("*") if path.is_file()]

    assert overlay.all("Secret") == []
    assert len(files) > 5
    for path in files:
        text = path.read_text()
        assert looks_like_a_key.search(text) is None, path
        assert re.search(r"(?m)^kind: Secret$|secretGenerator", text) is None, path


def test_each_overlay_names_its_stripe(overlay: Overlay, tmp_path: Path) -> None:
    """
    Development and production are Stripe's address and a mode: nothing is implied.
    """
    given = overlay.one("ConfigMap")["data"]
    settings = settings_with_secrets(overlay, tmp_path, mode=MODES[overlay.name])

    assert given["PAYMENTS_STRIPE_API_BASE"] == STRIPE
    assert given["PAYMENTS_ENV"] == overlay.name
    assert settings.stripe_api_base == STRIPE
    assert settings.livemode is (overlay.name == "production")


def test_every_variable_is_one_that_the_service_reads(overlay: Overlay) -> None:
    """
    A setting that was renamed in the code is not lost here without a word.
    """
    given = overlay.environment()

    assert "PAYMENTS_ENV" in variables_of_settings()
    assert given.keys() <= variables_of_settings()
    for pod in overlay.pods():
        for container in containers(pod):
            assert plain_variables(container).keys() <= variables_of_settings()


def test_the_service_starts_with_these_settings(
    overlay: Overlay, tmp_path: Path
) -> None:
    """
    Every setting is read and the service wired, its keys and secrets included.
    """
    settings = settings_with_secrets(overlay, tmp_path, mode=MODES[overlay.name])

    assert isinstance(build_container(settings)[RecordFacts], RecordFacts)


def test_a_catalogue_is_a_key_of_the_config_map(tmp_path: Path) -> None:
    """
    As the README has it: the pods read it as a variable, without another volume.
    """
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("kubectl, which renders the overlays, is not here")
    shutil.copytree(DEPLOY, tmp_path / "deploy")
    overlay = tmp_path / "deploy/overlays/production"
    [said] = re.findall(
        r"(?m)^    files:\n      - \S+$", (DEPLOY / "README.md").read_text()
    )
    made = overlay / "kustomization.yaml"
    made.write_text(made.read_text().replace("    literals:", f"{said}\n    literals:"))
    text = '[products.prod_a]\nfeatures = ["a", "b"]\n'
    (overlay / "catalogue.toml").write_text(text)

    done = subprocess.run(
        [kubectl, "kustomize", overlay], capture_output=True, text=True, check=True
    )

    [config] = [
        it for it in yaml.safe_load_all(done.stdout) if it["kind"] == "ConfigMap"
    ]
    assert config["data"]["PAYMENTS_CATALOGUE"] == text
    assert read_catalogue(text).features == ("a", "b")


def test_a_key_of_the_other_mode_is_refused(overlay: Overlay, tmp_path: Path) -> None:
    """
    Production takes no test key, development no live one: the start fails.
    """
    (other,) = set(MODES.values()) - {MODES[overlay.name]}

    with pytest.raises(SettingsError) as caught:
        settings_with_secrets(overlay, tmp_path, mode=other)

    assert caught.value.problems.keys() == {"PAYMENTS_STRIPE_API_KEY"}


def arguments() -> list[list[str]]:
    """Return what the image and every container run, after `payments`."""
    of_pods = [
        container["args"]
        for name in MODES
        for pod in Overlay(name, rendered(name)).pods()
        for container in containers(pod)
    ]
    return [loads(instruction("CMD")), *of_pods]


def test_the_image_runs_the_installed_command() -> None:
    """
    The entry point is a script that installing the service makes.
    """
    (script,) = entry_points(group="console_scripts", name="payments")

    assert loads(instruction("ENTRYPOINT")) == ["payments"]
    assert script.dist is not None
    assert script.dist.name == "payments-service"


def test_every_command_exists() -> None:
    """
    The command line knows each command and option that a container is started with.
    """
    for command in arguments():
        done = CliRunner().invoke(payments, [*command, "--help"])
        assert done.exit_code == 0, done.output
        assert f"payments {command[0]}" in done.output


def test_no_container_replaces_the_entry_point(overlay: Overlay) -> None:
    """
    `command` would: containers give arguments to `payments` only.
    """
    for pod in overlay.pods():
        assert not any("command" in container for container in containers(pod))


def test_the_builder_is_given_what_it_copies() -> None:
    """
    `.dockerignore` lets through what the Dockerfile copies, and nothing else.
    """
    copied = re.findall(
        r"(?m)^COPY (?!--from)(.+) \S+$", (DEPLOY / "Dockerfile").read_text()
    )
    sources = {path.split("/")[0] for line in copied for path in line.split()}
    rules = (ROOT / ".dockerignore").read_text().splitlines()

    assert "*" in rules
    assert sources == {rule[1:] for rule in rules if rule.startswith("!")}


def test_the_image_is_built_by_the_uv_of_the_project() -> None:
    """
    The version that resolved `uv.lock` installs from it.
    """
    pinned = re.compile(r"\buv==([\d.]+\d)")
    (here,) = pinned.findall((ROOT / "pyproject.toml").read_text())

    assert pinned.findall((DEPLOY / "Dockerfile").read_text()) == [here]
