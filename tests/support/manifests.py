"""The manifests of `deploy/`, rendered by kubectl, without a cluster."""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any, Final

import attrs
import pytest
import yaml

from support.profiles import PROVES

DEPLOY: Final = Path(__file__).parents[2] / "deploy"
OVERLAYS: Final = ("development", "production")
COMPONENTS: Final = tuple(
    sorted(it.parent.name for it in DEPLOY.glob("components/*/kustomization.yaml"))
)
ALL: Final = "all components"
# The additional lines of an overlay with a component, as in the README.
LITERALS: Final = {
    "jwt-keys-url": "PAYMENTS_JWT_KEYS_URL=https://users.example.com/jwks.json",
    "service-tokens": "PAYMENTS_KUBERNETES_SCOPES=shop/shop=payments:feed",
}
# Each overlay as it is and with all components; `make prove`, which CI runs for these,
# takes each component by itself, too.
VARIANTS: Final = (
    *((overlay, with_) for overlay in OVERLAYS for with_ in ("", ALL)),
    *(("production", component) for component in COMPONENTS if PROVES),
)
APP: Final = "app.kubernetes.io/name"
PART: Final = "app.kubernetes.io/component"
WORKLOADS: Final = frozenset(
    ("CronJob", "DaemonSet", "Deployment", "Job", "Pod", "StatefulSet")
)
_ISSUER: Final = "      - PAYMENTS_JWT_ISSUER="

Yaml = dict[str, Any]


@attrs.frozen
class Manifests:
    """Return all documents of an overlay, with its components."""

    overlay: str
    components: tuple[str, ...]
    documents: tuple[Yaml, ...]

    def all(self, *kinds: str) -> list[Yaml]:
        return [it for it in self.documents if it["kind"] in kinds]

    def named(self, kind: str, name: str) -> Yaml:
        [found] = [it for it in self.all(kind) if it["metadata"]["name"] == name]
        return found

    def pods(self) -> dict[str, Yaml]:
        """Return the template of each workload, by its component: http, worker, …."""
        found = [it["spec"]["template"] for it in self.all(*WORKLOADS)]
        by_part = {it["metadata"]["labels"][PART]: it for it in found}
        assert len(by_part) == len(found)
        return by_part

    def containers(self) -> Iterator[Yaml]:
        for pod in self.pods().values():
            yield from containers(pod)

    def variables(self, container: Yaml) -> dict[str, str]:
        """Return a container's environment, without the image's."""
        found = dict[str, str]()
        for source in container.get("envFrom", ()):
            assert source.keys() == {"configMapRef"}
            found |= self.named("ConfigMap", source["configMapRef"]["name"])["data"]
        return found | {it["name"]: it["value"] for it in container.get("env", ())}


def containers(pod: Yaml) -> list[Yaml]:
    spec = pod["spec"]
    return [*spec.get("initContainers", []), *spec["containers"]]


def manifests(overlay: str, *components: str) -> Manifests:
    """Return an overlay with components as the README says; `ALL` is all of them.

    The test is skipped if nothing can render it.
    """
    taken = COMPONENTS if components == (ALL,) else components
    return Manifests(overlay, taken, _rendered(overlay, taken))


@cache
def _rendered(overlay: str, components: tuple[str, ...]) -> tuple[Yaml, ...]:
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("kubectl, which renders the overlays, is not here")
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made) / "deploy"
        shutil.copytree(DEPLOY, folder)
        take(folder, overlay, components)
        done = subprocess.run(
            [kubectl, "kustomize", folder / "overlays" / overlay],
            capture_output=True,
            text=True,
            check=True,
        )
    return tuple(yaml.load_all(done.stdout, yaml.CSafeLoader))


def take(folder: Path, overlay: str, components: Sequence[str]) -> None:
    """Add components to an overlay of a copy of `deploy/`."""
    file = folder / "overlays" / overlay / "kustomization.yaml"
    text = file.read_text()
    assert _ISSUER in text
    for name in components:
        if name in LITERALS:
            text = text.replace(_ISSUER, f"      - {LITERALS[name]}\n{_ISSUER}")
    if components:
        text += "components:\n"
        text += "".join(f"  - ../../components/{name}\n" for name in components)
    file.write_text(text)


def selects(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Say whether a Kubernetes label selector matches these labels."""
    assert selector.keys() <= {"matchLabels", "matchExpressions"}
    for it in selector.get("matchExpressions", ()):
        assert it["operator"] == "In"
        if labels.get(it["key"]) not in it["values"]:
            return False
    wanted: dict[str, str] = selector.get("matchLabels", {})
    return wanted.items() <= labels.items()


@attrs.frozen
class Peer:
    """The other end of a connection: a pod of some namespace, or an address."""

    namespace: str = ""
    labels: Mapping[str, str] = attrs.field(factory=dict)
    address: str | None = None


@attrs.frozen
class Policies:
    """What the network policies of a namespace allow, by the rules of Kubernetes."""

    namespace: str
    documents: Sequence[Yaml]

    @classmethod
    def of(cls, manifests: Manifests) -> "Policies":
        return cls(
            manifests.all("Namespace")[0]["metadata"]["name"],
            manifests.all("NetworkPolicy"),
        )

    def lets_out(self, pod: Yaml, to: Peer, port: int, protocol: str = "TCP") -> bool:
        return self._lets("egress", "to", pod, to, (port, port, protocol))

    def lets_in(self, pod: Yaml, by: Peer, port: int) -> bool:
        names = {
            it["containerPort"]: it["name"]
            for container in containers(pod)
            for it in container.get("ports", ())
        }
        return self._lets("ingress", "from", pod, by, (port, names.get(port), "TCP"))

    def _lets(
        self,
        way: str,
        end: str,
        pod: Yaml,
        peer: Peer,
        port: tuple[int, int | str | None, str],
    ) -> bool:
        mine = [
            it["spec"]
            for it in self.documents
            if way.capitalize() in it["spec"]["policyTypes"]
            and selects(it["spec"]["podSelector"], pod["metadata"]["labels"])
        ]
        if not mine:
            # No policy for this direction selects it: everything is allowed.
            return True
        number, name, protocol = port
        return any(
            any(
                it["port"] in {number, name} and it["protocol"] == protocol
                for it in rule["ports"]
            )
            and any(self._is(it, peer) for it in rule[end])
            for spec in mine
            for rule in spec.get(way, ())
        )

    def _is(self, said: Yaml, peer: Peer) -> bool:
        if "ipBlock" in said:
            return peer.address is not None and is_in(said["ipBlock"], peer.address)
        if peer.address is not None:
            return False
        if "namespaceSelector" in said:
            names = {"kubernetes.io/metadata.name": peer.namespace}
            if not selects(said["namespaceSelector"], names):
                return False
        elif peer.namespace != self.namespace:
            return False
        return selects(said.get("podSelector", {}), peer.labels)


def is_in(block: Yaml, address: str) -> bool:
    """Say whether an ipBlock contains an address."""
    found = ip_address(address)

    def has(network: str) -> bool:
        return found in ip_network(network)

    return has(block["cidr"]) and not any(map(has, block.get("except", ())))
