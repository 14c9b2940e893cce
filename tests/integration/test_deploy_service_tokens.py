"""How other services call with the tokens of their pods: `deploy/`, rendered."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

import kubernetes_validate
import pytest
import yaml

from payments_adapters.jwt.service_accounts import ServiceAccounts
from payments_core.caller import FEED_SCOPE
from payments_service.settings import Settings
from support.service import World

DEPLOY: Final = Path(__file__).parents[2] / "deploy"
EXAMPLE: Final = DEPLOY / "examples" / "calling-service.yaml"
SCOPES: Final = "shop/shop=payments:feed payments:read"
KUBERNETES: Final = ("1.30", kubernetes_validate.latest_version())

Yaml = dict[str, Any]


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> list[Yaml]:
    """Return production with the component, as the README explains."""
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("kubectl, which renders the overlays, is not here")
    folder = tmp_path_factory.mktemp("rendered") / "deploy"
    shutil.copytree(DEPLOY, folder)
    file = folder / "overlays" / "production" / "kustomization.yaml"
    text = file.read_text()
    issuer = "      - PAYMENTS_JWT_ISSUER="
    assert issuer in text
    scopes = f"      - PAYMENTS_KUBERNETES_SCOPES={SCOPES}\n"
    taken = "components:\n  - ../../components/service-tokens\n"
    file.write_text(text.replace(issuer, scopes + issuer) + taken)
    done = subprocess.run(
        [kubectl, "kustomize", file.parent], capture_output=True, text=True, check=True
    )
    return list(yaml.safe_load_all(done.stdout))


def one(documents: list[Yaml], kind: str, name: str) -> Yaml:
    """Return a document by its kind and the beginning of its name."""
    [found] = [
        it
        for it in documents
        if it["kind"] == kind
        and re.match(rf"{name}(-\w{{10}})?$", it["metadata"]["name"])
    ]
    return found


def selects(selector: Yaml, labels: Yaml) -> bool:
    wanted: Yaml = selector.get("matchLabels", {})
    return wanted.items() <= labels.items()


@pytest.mark.parametrize("version", KUBERNETES)
def test_what_other_services_need_is_what_kubernetes_takes(
    rendered: list[Yaml], version: str
) -> None:
    """
    Ours with the component, and the example of another service.
    """
    example = list(yaml.safe_load_all(EXAMPLE.read_text()))
    for document in [*rendered, *example]:
        kubernetes_validate.validate(document, version, strict=True)


def test_the_service_reads_the_clusters_keys_with_its_own_token(
    rendered: list[Yaml],
) -> None:
    """
    Each file that a setting names is in the volume, and the settings are valid.
    """
    given = one(rendered, "ConfigMap", "payments-gateway")["data"]
    pod = one(rendered, "Deployment", "payments-gateway")["spec"]["template"]["spec"]
    [container] = pod["containers"]
    [mount] = [it for it in container["volumeMounts"] if it["name"] == "cluster"]
    [volume] = [it for it in pod["volumes"] if it["name"] == "cluster"]
    token, ca = volume["projected"]["sources"]

    names = {name: it for name, it in given.items() if "KUBERNETES" in name}
    env = World("postgresql://n@127.0.0.1:1/n").env(0, 0)
    settings = Settings.from_env({**env, **names})

    folder = Path(mount["mountPath"])
    path = token["serviceAccountToken"]["path"]
    assert settings.kubernetes_token_file == folder / path
    assert "audience" not in token["serviceAccountToken"]
    [item] = ca["configMap"]["items"]
    assert settings.kubernetes_ca_file == folder / item["path"]
    assert mount["readOnly"] is True
    assert volume["projected"]["defaultMode"] == 0o440
    # Its secrets are mounted as before.
    assert {it["name"] for it in pod["volumes"]} == {"cluster", "secrets"}
    assert settings.kubernetes_scopes == ServiceAccounts.from_text(SCOPES)


def test_the_example_has_a_token_for_us_and_is_let_in(rendered: list[Yaml]) -> None:
    """
    Its audience is ours, its account is in the map, and both policies allow it.
    """
    account, deployment, policy = yaml.safe_load_all(EXAMPLE.read_text())
    template = deployment["spec"]["template"]
    labels, pod = template["metadata"]["labels"], template["spec"]
    [volume] = pod["volumes"]
    [source] = volume["projected"]["sources"]
    audience = one(rendered, "ConfigMap", "payments-gateway")["data"][
        "PAYMENTS_JWT_AUDIENCE"
    ]
    ours = one(rendered, "Deployment", "payments-gateway")["spec"]["template"]
    callers = one(rendered, "NetworkPolicy", "payments-gateway-callers")["spec"]

    assert source["serviceAccountToken"]["audience"] == audience
    assert SCOPES in EXAMPLE.read_text()
    named = account["metadata"]
    subject = f"system:serviceaccount:{named['namespace']}:{named['name']}"
    assert FEED_SCOPE in ServiceAccounts.from_text(SCOPES).scopes[subject]
    assert pod["serviceAccountName"] == named["name"]
    assert selects(callers["podSelector"], ours["metadata"]["labels"])
    peers = [peer for rule in callers["ingress"] for peer in rule["from"]]
    assert any(
        selects(it["podSelector"], labels) for it in peers if "podSelector" in it
    )
    assert selects(policy["spec"]["podSelector"], labels)
    [to] = policy["spec"]["egress"][0]["to"]
    assert selects(to["podSelector"], ours["metadata"]["labels"])
    [port] = policy["spec"]["egress"][0]["ports"]
    [container] = ours["spec"]["containers"]
    assert port["port"] in {it["containerPort"] for it in container["ports"]}
