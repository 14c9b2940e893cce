"""Which pods may connect to which: network policies, read as Kubernetes reads them."""

from ipaddress import IPv6Network, ip_network
from typing import Final

import pytest

from support.manifests import ALL, APP, PART, Manifests, Peer, Policies, Yaml, manifests

# Addresses of a private network, a cluster, a cloud's metadata, this host.
NOT_OUTSIDE: Final = (
    *("10.0.0.7", "172.20.1.1", "192.168.1.1", "100.64.0.1", "127.0.0.1"),
    *("169.254.169.254", "0.0.0.0", "224.0.0.1", "255.255.255.255"),  # noqa: S104  # an address
    *("168.63.129.16", "192.0.0.192", "198.18.0.1"),
    *("::1", "fd00::1", "fe80::1", "::ffff:10.0.0.7"),
    # Tunnels to 10.0.0.1.
    *("2002:a00:1::1", "2001:0:a00:1::1"),
)
OUTSIDE: Final = ("54.187.174.169", "2600:1f14::1")
DNS: Final = Peer("kube-system", {"k8s-app": "kube-dns"})
DATABASE: Final = Peer(address="10.1.2.3")
CALLS: Final = {"payments-gateway/calls": "true"}


@pytest.fixture
def pods(rendered: Manifests) -> dict[str, Yaml]:
    return rendered.pods()


@pytest.fixture
def policies(rendered: Manifests) -> Policies:
    return Policies.of(rendered)


def test_t67_what_is_not_allowed_is_denied(
    rendered: Manifests, pods: dict[str, Yaml], policies: Policies
) -> None:
    """
    For every pod of the namespace, whatever its name, in both directions.
    """
    [deny] = [
        it["spec"]
        for it in rendered.all("NetworkPolicy")
        if it["spec"]["podSelector"] == {}
    ]

    assert deny == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    stranger = {"metadata": {"labels": {"app": "other"}}, "spec": {"containers": []}}
    assert not policies.lets_out(stranger, Peer(address=OUTSIDE[0]), 443)
    assert not policies.lets_in(stranger, Peer("ingress-nginx"), 8000)
    for pod in pods.values():
        assert not policies.lets_in(pod, Peer("shop"), 8000)
        assert not policies.lets_in(pod, Peer("ingress-nginx"), 8001)
        assert not policies.lets_in(pod, Peer("monitoring"), 8000)


def test_t67_no_pod_reaches_more_outside_than_https(
    rendered: Manifests, pods: dict[str, Yaml], policies: Policies
) -> None:
    """
    Stripe has no fixed addresses, so every public address is allowed, and no private
    one.
    """
    for part, pod in pods.items():
        for address in OUTSIDE:
            reached = policies.lets_out(pod, Peer(address=address), 443)
            assert reached is (part != "migration")
            for port in (22, 80, 5432, 6443, 8443):
                assert not policies.lets_out(pod, Peer(address=address), port)
        for address in NOT_OUTSIDE:
            for port in (80, 443):
                asks = part == "http" and "service-tokens" in rendered.components
                # The API server is in a private network.
                private = asks and port == 443 and address in _private()
                got = policies.lets_out(pod, Peer(address=address), port)
                assert got is private, (part, address, port)


def _private() -> set[str]:
    private = ("10.", "172.", "192.168.", "fd0")
    return {it for it in NOT_OUTSIDE if it.startswith(private)}


def test_t67_no_rule_is_for_every_address(rendered: Manifests) -> None:
    """
    A rule for addresses names its ports; the widest is for 443 only, and excludes each
    private range.
    """
    for policy in rendered.all("NetworkPolicy"):
        for way, end in (("egress", "to"), ("ingress", "from")):
            for rule in policy["spec"].get(way, ()):
                assert rule.keys() == {end, "ports"}
                assert rule[end]
                assert all(it.keys() == {"port", "protocol"} for it in rule["ports"])
                for block in (it["ipBlock"] for it in rule[end] if "ipBlock" in it):
                    _check_block(block, {it["port"] for it in rule["ports"]})


def _check_block(block: Yaml, ports: set[int]) -> None:
    network = ip_network(block["cidr"])
    if network.is_private:
        return
    assert ports == {443}
    if isinstance(network, IPv6Network):
        # What is routed publicly.
        assert network.subnet_of(IPv6Network("2000::/3"))
    else:
        private = {"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16"}
        assert private <= set(block["except"])


def test_every_pod_reaches_the_database_and_names(
    rendered: Manifests, pods: dict[str, Yaml], policies: Policies
) -> None:
    """
    The migration, too; a cluster of CloudNativePG only through its poolers.
    """
    pooler = Peer(
        policies.namespace,
        {
            "cnpg.io/cluster": "payments-gateway-db",
            "cnpg.io/poolerName": "payments-gateway-db-pooler",
        },
    )
    own = "cloudnative-pg" in rendered.components
    for pod in pods.values():
        assert policies.lets_out(pod, DNS, 53, "UDP")
        assert policies.lets_out(pod, DNS, 53)
        assert policies.lets_out(pod, pooler if own else DATABASE, 5432)
        assert not policies.lets_out(pod, DATABASE if own else pooler, 5432)
        assert not policies.lets_out(pod, Peer("kube-system"), 53, "UDP")


def test_only_the_way_in_reaches_the_service(
    rendered: Manifests, pods: dict[str, Yaml], policies: Policies
) -> None:
    """
    Monitoring reaches the ops port of both workloads; nothing reaches a migration.
    """
    shop = Peer("shop", CALLS)
    let_in = {
        part: {
            (name, port)
            for name, peer in {
                "ingress": Peer("ingress-nginx"),
                "monitoring": Peer("monitoring"),
                "shop": shop,
                "ours": Peer(policies.namespace, {APP: "payments-gateway"}),
            }.items()
            for port in (8000, 8001)
            if policies.lets_in(pod, peer, port)
        }
        for part, pod in pods.items()
    }

    callers = {("shop", 8000)} if "service-tokens" in rendered.components else set()
    assert let_in == {
        "http": {("ingress", 8000), ("monitoring", 8001)} | callers,
        "worker": {("monitoring", 8001)},
        "migration": set(),
    }


def test_a_cluster_of_cloudnativepg_talks_with_itself_and_its_operator() -> None:
    """
    The service connects to poolers, and poolers to instances; nothing outside the
    cluster is reachable.
    """
    rendered = manifests("production", ALL)
    policies = Policies.of(rendered)
    cluster = {"cnpg.io/cluster": "payments-gateway-db"}
    pooling = cluster | {"cnpg.io/poolerName": "payments-gateway-db-pooler"}

    def pod(labels: dict[str, str]) -> Yaml:
        return {"metadata": {"labels": labels}, "spec": {"containers": []}}

    def peer(labels: dict[str, str]) -> Peer:
        return Peer(policies.namespace, labels)

    operator = Peer("cnpg-system", {APP: "cloudnative-pg"})
    for part in rendered.pods():
        labels = {APP: "payments-gateway", PART: part}
        assert policies.lets_in(pod(pooling), peer(labels), 5432)
        assert not policies.lets_in(pod(cluster), peer(labels), 5432)
    for port in (5432, 8000):
        assert policies.lets_out(pod(pooling), peer(cluster), port)
        assert policies.lets_in(pod(cluster), peer(pooling), port)
        assert policies.lets_out(pod(cluster), peer(cluster), port)
        assert policies.lets_in(pod(cluster), operator, port)
        assert not policies.lets_in(pod(cluster), Peer("shop"), port)
    assert policies.lets_out(pod(cluster), Peer(address="10.96.0.1"), 443)
    assert not policies.lets_out(pod(cluster), Peer(address=OUTSIDE[0]), 443)
