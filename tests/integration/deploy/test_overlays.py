"""What an overlay sets: its Stripe, image and catalogue; the source of its secrets."""

import re
import shutil
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Final

import attrs
import pytest
import yaml

from payments_service.catalogue_file import read_catalogue
from payments_service.settings import Settings, SettingsError
from support.manifests import DEPLOY, OVERLAYS, Manifests, manifests

from .test_pods import MODES, MOUNTS, USES, secrets_in

STRIPE: Final = "https://api.stripe.com"
# Optional files: a pod does not start if a mounted file is missing.
OPTIONAL: Final = frozenset(("PAYMENTS_WEBHOOKS_OUT", "PAYMENTS_KUBERNETES_KEYS"))
DIGEST: Final = "0123456789abcdef" * 4


def settings_of(rendered: Manifests, folder: Path, *, mode: str) -> Settings:
    secrets_in(folder, mode=mode)
    [service] = rendered.pods()["http"]["spec"]["containers"]
    return Settings.from_env(
        {
            name: value.replace(MOUNTS, str(folder))
            for name, value in rendered.variables(service).items()
        }
    )


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_each_overlay_names_its_stripe(overlay: str, tmp_path: Path) -> None:
    """
    Development and production set Stripe's address and a mode: nothing is implied.
    """
    settings = settings_of(manifests(overlay), tmp_path, mode=MODES[overlay])

    text = (DEPLOY / "overlays" / overlay / "kustomization.yaml").read_text()
    assert f"- PAYMENTS_STRIPE_API_BASE={STRIPE}\n" in text
    assert settings.stripe_api_base == STRIPE
    assert settings.env == overlay
    assert settings.livemode is (overlay == "production")


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_a_key_of_the_other_mode_is_refused(overlay: str, tmp_path: Path) -> None:
    """
    Production refuses a test key, development a live key: the process does not start.
    """
    (other,) = set(MODES.values()) - {MODES[overlay]}

    with pytest.raises(SettingsError) as caught:
        settings_of(manifests(overlay), tmp_path, mode=other)

    assert caught.value.problems.keys() == {"PAYMENTS_STRIPE_API_KEY"}


def test_secrets_come_as_files() -> None:
    """
    No secret setting is the value of a variable: each is a file of the Secret.
    """
    hidden = {it.name.upper() for it in attrs.fields(Settings) if not it.repr}
    rendered = manifests("production")
    [service] = rendered.pods()["http"]["spec"]["containers"]
    variables = rendered.variables(service)
    wanted = {f"PAYMENTS_{it}" for it in hidden} - OPTIONAL

    assert {it for it in variables if it.endswith("_FILE")} == {
        f"{it}_FILE" for it in wanted
    }
    assert not wanted & variables.keys()


def test_t73_a_store_outside_has_what_is_mounted() -> None:
    """
    external-secrets creates the Secret with each file; a rolled key is copied.
    """
    [found] = manifests("production", "external-secrets").all("ExternalSecret")
    spec = found["spec"]

    assert spec["target"]["name"] == "payments-gateway"
    assert {it["secretKey"] for it in spec["data"]} == USES["serve"]
    for it in spec["data"]:
        assert it["remoteRef"]["key"] == f"payments-gateway/{it['secretKey']}"
    assert spec["refreshInterval"] == "1m"


def test_a_store_outside_needs_no_keys_that_are_at_an_address() -> None:
    """
    A key that the store lacks would fail the ExternalSecret, and every pod with it.
    """
    rendered = manifests("production", "external-secrets", "jwt-keys-url")

    [found] = rendered.all("ExternalSecret")
    made = {it["secretKey"] for it in found["spec"]["data"]}
    assert made == USES["serve"] - {"jwt-keys"}
    mounted = {
        item["key"]
        for pod in rendered.pods().values()
        for volume in pod["spec"]["volumes"]
        if volume.get("secret", {}).get("secretName") == "payments-gateway"
        for item in volume["secret"]["items"]
    }
    assert mounted == made


def test_the_store_is_taken_before_the_keys_address() -> None:
    """
    In the opposite order the ExternalSecret would keep the keys: it is not rendered.
    """
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl, which renders the overlays, is not here")

    with pytest.raises(subprocess.CalledProcessError) as caught:
        manifests("production", "jwt-keys-url", "external-secrets")

    assert "PAYMENTS_JWT_KEYS_FILE" in caught.value.stderr


def test_what_is_delivered_with_comes_from_the_store_too() -> None:
    """
    The example creates the Secret that `webhooks-out` mounts, from the same store.
    """
    text = (DEPLOY / "examples/webhooks-out-external-secret.yaml").read_text()
    made = yaml.safe_load(text)["spec"]
    rendered = manifests("production", "external-secrets", "webhooks-out")

    mounted = {
        volume["secret"]["secretName"]
        for volume in rendered.pods()["worker"]["spec"]["volumes"]
        if "secret" in volume
    }
    assert made["target"]["name"] in mounted
    assert "webhooks-out.toml" in {it["secretKey"] for it in made["data"]}
    [other] = rendered.all("ExternalSecret")
    for field in ("refreshInterval", "secretStoreRef"):
        assert made[field] == other["spec"][field]
    for field in ("creationPolicy", "deletionPolicy"):
        assert made["target"][field] == other["spec"]["target"][field]


def test_developments_tag_is_this_release() -> None:
    """
    A pod of an older image would run, and would lack what this release does.
    """
    text = (DEPLOY / "overlays/development/kustomization.yaml").read_text()
    [image] = yaml.safe_load(text)["images"]

    assert image["newTag"] == version("payments-service")


def test_stripe_is_limited_by_no_address_and_others_are() -> None:
    """
    Both ingresses have deadlines and a limit of the body, and lead to the Service.
    """
    rendered = manifests("production", "ingress")
    [service] = rendered.all("Service")
    callers, stripe = (
        rendered.named("Ingress", it)
        for it in ("payments-gateway", "payments-gateway-webhooks")
    )
    prefix = "nginx.ingress.kubernetes.io/"

    for ingress in (callers, stripe):
        [rule] = ingress["spec"]["rules"]
        [path] = rule["http"]["paths"]
        backend = path["backend"]["service"]
        assert backend["name"] == service["metadata"]["name"]
        assert backend["port"]["name"] in {
            it["name"] for it in service["spec"]["ports"]
        }
        assert [it["hosts"] for it in ingress["spec"]["tls"]] == [[rule["host"]]]
        said = ingress["metadata"]["annotations"]
        for deadline in ("connect", "send", "read"):
            assert 0 < int(said[f"{prefix}proxy-{deadline}-timeout"]) <= 40
        assert f"{prefix}proxy-body-size" in said
    limits = {f"{prefix}limit-rps", f"{prefix}limit-connections"}
    assert limits <= callers["metadata"]["annotations"].keys()
    assert not limits & stripe["metadata"]["annotations"].keys()
    [longer] = stripe["spec"]["rules"][0]["http"]["paths"]
    [shorter] = callers["spec"]["rules"][0]["http"]["paths"]
    assert longer["path"].startswith(f"{shorter['path']}/")
    # Otherwise a connection that the controller keeps open is cut now and then.
    [main] = rendered.pods()["http"]["spec"]["containers"]
    assert int(rendered.variables(main)["PAYMENTS_KEEP_ALIVE_S"]) > 60


def set_image(folder: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [folder / "set-image", *words], capture_output=True, text=True, check=False
    )


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    return Path(shutil.copytree(DEPLOY, tmp_path / "deploy"))


def test_a_release_sets_the_image_by_its_digest(copied: Path) -> None:
    """
    The image and the name of its migration, and nothing else.
    """
    file = copied / "overlays" / "production" / "kustomization.yaml"
    before = file.read_text().splitlines()
    name = "registry.example.com:5000/shop/payments-gateway"

    done = set_image(copied, "production", f"{name}@sha256:{DIGEST}")

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    after = file.read_text().splitlines()
    assert [new for old, new in zip(before, after, strict=True) if old != new] == [
        f"    newName: {name}",
        f"    digest: sha256:{DIGEST}",
        f"        value: payments-gateway-migrate-{DIGEST[:12]}",
    ]
    assert [it.name for it in file.parent.iterdir()] == ["kustomization.yaml"]


@pytest.mark.parametrize(
    "image",
    [
        "registry.example.com/payments-gateway:0.2.0",
        "registry.example.com/payments-gateway:latest",
        "payments-gateway",
        f"payments-gateway:0.2.0@sha256:{DIGEST}",
        f"payments-gateway@sha256:{DIGEST[:12]}",
        f"payments-gateway@sha256:{DIGEST.upper()}",
        f"x|y@sha256:{DIGEST}",
    ],
)
def test_a_release_refuses_a_tag(copied: Path, image: str) -> None:
    """
    A tag may be moved; nothing is written.
    """
    file = copied / "overlays" / "production" / "kustomization.yaml"
    before = file.read_text()

    done = set_image(copied, "production", image)

    assert done.returncode == 2
    assert "a tag may be moved" in done.stderr
    assert file.read_text() == before


def test_an_overlay_that_is_not_there_is_named(copied: Path) -> None:
    """
    An image with a tag is not changed to half of a digest either.
    """
    image = f"payments-gateway@sha256:{DIGEST}"

    assert set_image(copied, "staging", image).returncode == 2
    development = set_image(copied, "development", image)
    assert development.returncode == 2
    assert "development takes a tag: set newTag" in development.stderr


def test_a_catalogue_is_a_key_of_the_config_map(copied: Path) -> None:
    """
    As in the README: the pods read it as a variable, without another volume.
    """
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("kubectl, which renders the overlays, is not here")
    overlay = copied / "overlays/production"
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
