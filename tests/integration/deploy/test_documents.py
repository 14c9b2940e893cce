"""A cluster accepts each document, and no document has a secret in it."""

import re
from typing import Any, Final, Literal

import kubernetes_validate
import msgspec
import pytest

from support.manifests import ALL, DEPLOY, VARIANTS, Manifests, Yaml, manifests
from support.stripe_bodies import a_secret

KUBERNETES: Final = ("1.30", kubernetes_validate.latest_version())
# The Prometheus operator's: promtool reads its rules (`test_alerts.py`).
ELSEWHERE: Final = frozenset(("PodMonitor", "PrometheusRule"))
LOOKS_LIKE_A_KEY: Final = re.compile(
    r"(?:sk|rk|pk)_(?:test|live)_\w|whsec_\w|BEGIN [A-Z ]*PRIVATE|eyJ[\w-]{8}"
    r"|://[^\s/@]+:[^\s/@]+@|\"k\"\s*:"
)


class Strict(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    """A part of a custom resource: only the fields that we use."""


class Metadata(Strict):
    name: str
    namespace: str
    labels: dict[str, str]


class RemoteRef(Strict):
    key: str


class SecretKey(Strict):
    secret_key: str
    remote_ref: RemoteRef


class StoreRef(Strict):
    kind: Literal["ClusterSecretStore", "SecretStore"]
    name: str


class Target(Strict):
    name: str
    creation_policy: Literal["Owner"]
    deletion_policy: Literal["Retain"]


class ExternalSecretSpec(Strict):
    refresh_interval: str
    secret_store_ref: StoreRef
    target: Target
    data: list[SecretKey]


class ExternalSecret(Strict):
    api_version: Literal["external-secrets.io/v1"]
    kind: Literal["ExternalSecret"]
    metadata: Metadata
    spec: ExternalSecretSpec


class Catalog(Strict):
    api_group: Literal["postgresql.cnpg.io"]
    kind: Literal["ClusterImageCatalog"]
    name: str
    major: Literal[15, 16, 17, 18]


class Synchronous(Strict):
    method: Literal["any", "first"]
    number: int
    data_durability: Literal["preferred", "required"]


class Postgresql(Strict):
    synchronous: Synchronous
    parameters: dict[str, str]


class Initdb(Strict):
    database: str
    owner: str
    encoding: str
    data_checksums: bool


class Bootstrap(Strict):
    initdb: Initdb


class Affinity(Strict):
    enable_pod_anti_affinity: bool
    topology_key: str
    pod_anti_affinity_type: Literal["preferred", "required"]


class Storage(Strict):
    size: str


class Resources(Strict):
    requests: dict[str, str]
    limits: dict[str, str]


class ClusterSpec(Strict):
    instances: int
    image_catalog_ref: Catalog
    postgresql: Postgresql
    bootstrap: Bootstrap
    primary_update_strategy: Literal["supervised", "unsupervised"]
    enable_pdb: bool = msgspec.field(name="enablePDB")
    affinity: Affinity
    storage: Storage
    wal_storage: Storage
    resources: Resources


class Cluster(Strict):
    api_version: Literal["postgresql.cnpg.io/v1"]
    kind: Literal["Cluster"]
    metadata: Metadata
    spec: ClusterSpec


class Named(Strict):
    name: str


class Pgbouncer(Strict):
    pool_mode: Literal["session", "transaction"]
    parameters: dict[str, str]


class PoolerSpec(Strict):
    cluster: Named
    instances: int
    type: Literal["ro", "rw"]
    pgbouncer: Pgbouncer
    # A pod's, which Kubernetes' own schema checks.
    template: dict[str, Any]


class Pooler(Strict):
    api_version: Literal["postgresql.cnpg.io/v1"]
    kind: Literal["Pooler"]
    metadata: Metadata
    spec: PoolerSpec


CUSTOM: Final = {
    "Cluster": Cluster,
    "ExternalSecret": ExternalSecret,
    "Pooler": Pooler,
}


def check(document: Yaml, version: str) -> None:
    if document["kind"] in CUSTOM:
        msgspec.convert(document, CUSTOM[document["kind"]])
    elif document["kind"] not in ELSEWHERE:
        kubernetes_validate.validate(document, version, strict=True)


@pytest.mark.parametrize("version", KUBERNETES)
def test_every_document_is_what_the_cluster_takes(version: str) -> None:
    """
    Each document fits the schema of its kind; unknown fields are refused.
    """
    seen = set[str]()
    for overlay, component in VARIANTS:
        rendered = manifests(overlay, *([component] if component else []))
        # The documents of a component are in the variant that has them all.
        for document in rendered.documents:
            text = str(document)
            if text not in seen:
                seen.add(text)
                check(document, version)


@pytest.mark.parametrize("kind", ["Deployment", "NetworkPolicy", *CUSTOM])
def test_a_misspelt_field_would_be_found(kind: str) -> None:
    """
    The check above refuses what `kubectl apply` would only warn about.
    """
    document = manifests("production", ALL).all(kind)[0]
    misspelt = document | {"spec": document["spec"] | {"replicaz": 3}}

    refused = (kubernetes_validate.ValidationError, msgspec.ValidationError)
    with pytest.raises(refused, match="replicaz"):
        check(misspelt, KUBERNETES[-1])


def test_a_poolers_pods_are_what_kubernetes_takes() -> None:
    """
    Its template is a pod's, except for the containers that the operator adds.
    """
    [pooler] = manifests("production", ALL).all("Pooler")
    template = pooler["spec"]["template"]
    containers = [{"name": "pgbouncer", "image": "pgbouncer"}]
    assert template["spec"]["containers"] == []
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "pooler"},
        "spec": template["spec"] | {"containers": containers},
    }

    kubernetes_validate.validate(pod, KUBERNETES[-1], strict=True)


def test_no_document_has_a_secret_in_it(rendered: Manifests) -> None:
    """
    No Secret object, and nothing that looks like a key.
    """
    assert rendered.all("Secret") == []
    assert LOOKS_LIKE_A_KEY.search(str(rendered.documents)) is None
    assert "secretKeyRef" not in str(rendered.documents)


def test_the_repository_holds_no_secret() -> None:
    """
    Whatever a file of the folder is for.
    """
    files = [path for path in DEPLOY.rglob("*") if path.is_file()]

    assert LOOKS_LIKE_A_KEY.search(a_secret("one")) is not None
    assert len(files) > 20
    for path in files:
        text = path.read_text()
        assert LOOKS_LIKE_A_KEY.search(text) is None, path
        assert re.search(r"(?m)^kind: Secret$|secretGenerator", text) is None, path


def test_two_documents_never_have_one_name(rendered: Manifests) -> None:
    """
    Of two documents with one name, the last would replace the first.
    """
    names = [(it["kind"], it["metadata"]["name"]) for it in rendered.documents]

    assert len(set(names)) == len(names)
