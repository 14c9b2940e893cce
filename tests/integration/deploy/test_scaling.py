"""Every pod selector matches existing pods; and how many pods may run."""

from typing import Final

import attrs
import pytest

from payments_adapters.postgres.store import RARE_CONNECTIONS_MAX
from support.manifests import ALL, PART, Manifests, Yaml, manifests, selects
from support.metrics_document import WORKER, families

# The connection that polls for revocations.
POLLING: Final = 1
# Postgres with default settings: max_connections minus those reserved for superusers.
CONNECTIONS_MAX: Final = 100 - 3
# Of the rows below, those for a migration and for pods that wait for it.
BESIDE: Final = 6
CALLED_AFTER_S: Final = 900
METRICS: Final = {
    "payments_events_oldest_pending_age_seconds",
    "payments_jobs_oldest_due_age_seconds",
}


def test_whatever_selects_pods_selects_some(rendered: Manifests) -> None:
    """
    Services, budgets, policies, monitors: a renamed label is found here.
    """
    labels = [it["metadata"]["labels"] for it in rendered.pods().values()]
    if "cloudnative-pg" in rendered.components:
        # Labels that the operator adds to its pods.
        cluster = {"cnpg.io/cluster": "payments-gateway-db"}
        pooler = {"cnpg.io/poolerName": "payments-gateway-db-pooler"}
        labels += [cluster, cluster | pooler]
    found = {
        (it["kind"], it["metadata"]["name"]): _selector(it)
        for it in rendered.documents
        if _selector(it) is not None
    }

    kinds = {kind for kind, _ in found}
    assert {"Deployment", "NetworkPolicy", "Service"} <= kinds
    for which, selector in found.items():
        assert any(selects(selector or {}, it) for it in labels), which


def _selector(document: Yaml) -> Yaml | None:
    spec = document.get("spec", {})
    if document["kind"] == "Service":
        return {"matchLabels": spec["selector"]}
    found: Yaml | None = spec.get("podSelector", spec.get("selector"))
    return found


def test_each_workload_selects_its_own_pods(rendered: Manifests) -> None:
    """
    And no others; requests reach serving pods, and never a migration.
    """
    pods = {part: it["metadata"]["labels"] for part, it in rendered.pods().items()}

    def selected(selector: Yaml) -> set[str]:
        return {part for part, labels in pods.items() if selects(selector, labels)}

    for deployment in rendered.all("Deployment"):
        part = deployment["metadata"]["labels"][PART]
        spec = deployment["spec"]
        assert selected(spec["selector"]) == {part}
        spread = spec["template"]["spec"]["topologySpreadConstraints"]
        assert [it["topologyKey"] for it in spread] == [
            "kubernetes.io/hostname",
            "topology.kubernetes.io/zone",
        ]
        assert all(selected(it["labelSelector"]) == {part} for it in spread)
    [service] = rendered.all("Service")
    assert selected({"matchLabels": service["spec"]["selector"]}) == {"http"}
    assert [it["targetPort"] for it in service["spec"]["ports"]] == ["http"]


@pytest.mark.parametrize("part", ["http", "worker"])
def test_each_workload_has_a_budget_and_an_autoscaler(
    rendered: Manifests, part: str
) -> None:
    """
    A node can always be drained; where each has one pod, neither budget exists.
    """
    pod = rendered.pods()[part]["metadata"]["labels"]
    [deployment] = [
        it for it in rendered.all("Deployment") if selects(it["spec"]["selector"], pod)
    ]
    budgets = [
        it["spec"]
        for it in rendered.all("PodDisruptionBudget")
        if selects(it["spec"]["selector"], pod)
    ]
    name = deployment["metadata"]["name"]
    scalers = [
        it["spec"]
        for it in rendered.all("HorizontalPodAutoscaler")
        if it["spec"]["scaleTargetRef"]
        == {"apiVersion": "apps/v1", "kind": "Deployment", "name": name}
    ]

    if rendered.overlay == "development":
        assert (budgets, scalers) == ([], [])
        assert deployment["spec"]["replicas"] == 1
        return
    [budget], [scaler] = budgets, scalers
    assert 0 < budget["minAvailable"] < scaler["minReplicas"] < scaler["maxReplicas"]
    # Each `apply` would reset what the autoscaler set.
    assert "replicas" not in deployment["spec"]
    aged = part == "worker" and "queue-age" in rendered.components
    assert _metrics(scaler) == {"cpu"} | (METRICS if aged else set())


def test_workers_are_added_before_anybody_is_called() -> None:
    """
    An alert fires for events and jobs that are 15 minutes late.
    """
    scalers = manifests("production", "queue-age").all("HorizontalPodAutoscaler")
    targets = {
        it["pods"]["metric"]["name"]: int(it["pods"]["target"]["averageValue"])
        for scaler in scalers
        for it in scaler["spec"]["metrics"]
        if it["type"] == "Pods"
    }

    assert set(targets) == METRICS
    assert max(targets.values()) <= CALLED_AFTER_S / 5


def test_an_autoscaler_asks_for_what_a_worker_shows() -> None:
    """
    A renamed metric scales nothing, and only the autoscaler's status shows it.
    """
    shown = {it.name for it in families() if WORKER in it.shown_by}

    assert shown >= METRICS


def _metrics(scaler: Yaml) -> set[str]:
    found = set()
    for it in scaler["metrics"]:
        if it["type"] == "Resource":
            found.add(it["resource"]["name"])
        else:
            found.add(it["pods"]["metric"]["name"])
    return found


def test_an_upgrade_takes_no_serving_pod_away_first(rendered: Manifests) -> None:
    """
    A new pod serves before an old one ends. One worker may be missing.
    """
    strategies = {
        it["metadata"]["labels"][PART]: it["spec"]["strategy"]["rollingUpdate"]
        for it in rendered.all("Deployment")
    }

    assert strategies == {
        "http": {"maxUnavailable": 0, "maxSurge": 1},
        "worker": {"maxUnavailable": 1, "maxSurge": 0},
    }


def test_payments_stay_where_a_node_is_full(rendered: Manifests) -> None:
    """
    Pods of production have a priority, which is defined; those of development have
    none.
    """
    defined = {it["metadata"]["name"] for it in rendered.all("PriorityClass")}
    named = {it["spec"].get("priorityClassName") for it in rendered.pods().values()}

    assert named == (defined or {None})
    assert bool(defined) is (rendered.overlay == "production")


@attrs.frozen
class Connections:
    """How many connections all pods may have at once, at most, during an upgrade."""

    of_one: int
    of_pods: int

    @property
    def most(self) -> int:
        return self.of_pods + BESIDE

    @classmethod
    def of(cls, rendered: Manifests) -> "Connections":
        one = most = 0
        for deployment in rendered.all("Deployment"):
            [main] = deployment["spec"]["template"]["spec"]["containers"]
            pool = int(rendered.variables(main)["PAYMENTS_DATABASE_POOL_SIZE"])
            name = deployment["metadata"]["name"]
            scaler = rendered.named("HorizontalPodAutoscaler", name)["spec"]
            surge = deployment["spec"]["strategy"]["rollingUpdate"]["maxSurge"]
            one = pool + RARE_CONNECTIONS_MAX + POLLING
            most += (scaler["maxReplicas"] + surge) * one
        return cls(one, most)


def test_all_connections_fit_into_a_postgres_as_it_is_installed() -> None:
    """
    With as many pods as the autoscalers may create, while a release is rolled out.
    """
    assert Connections.of(manifests("production")).most <= CONNECTIONS_MAX


def test_all_connections_fit_into_one_pooler_and_the_poolers_into_the_cluster() -> None:
    """
    In transaction mode, which the service is tested with.
    """
    rendered = manifests("production", ALL)
    [cluster], [pooler] = rendered.all("Cluster"), rendered.all("Pooler")
    bouncer = pooler["spec"]["pgbouncer"]
    given = {name: int(it) for name, it in bouncer["parameters"].items()}

    assert bouncer["poolMode"] == "transaction"
    assert pooler["spec"]["cluster"]["name"] == cluster["metadata"]["name"]
    assert Connections.of(rendered).most <= given["max_client_conn"]
    sessions = given["default_pool_size"] + given["reserve_pool_size"]
    most = int(cluster["spec"]["postgresql"]["parameters"]["max_connections"])
    # The operator and people need some, too.
    assert pooler["spec"]["instances"] * sessions + 20 <= most
