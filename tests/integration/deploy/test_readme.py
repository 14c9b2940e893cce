"""The commands in `deploy/README.md`: those that need no cluster are run."""

import re
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import pytest
import yaml
from click.testing import CliRunner

from payments_service.cli.root import payments
from support.manifests import ALL, COMPONENTS, DEPLOY, manifests, selects

from .test_pods import PARTS, USES
from .test_scaling import Connections

README: Final = (DEPLOY / "README.md").read_text()


def commands() -> list[list[str]]:
    """Return the words of each command of the page, those of a pipe separately."""
    lines = re.findall(r"(?m)^    (\S(?:\\\n|.)*?)(?<!\\)$", README)
    joined = [re.sub(r"\\\n\s*", " ", line) for line in lines]
    found = [
        shlex.split(part, comments=True)
        for line in joined
        for part in re.split(r" \| (?=kubectl|base64|sed)", line)
    ]
    return [words for words in found if words]


def kubectl(*words: str, cwd: Path | None = None) -> "subprocess.CompletedProcess[str]":
    path = shutil.which("kubectl")
    if path is None:
        pytest.skip("kubectl is not here")
    return subprocess.run(
        [path, *words],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
    )


def of_cluster() -> list[list[str]]:
    return [words[1:] for words in commands() if words[0] == "kubectl"]


def asked(words: Sequence[str]) -> "subprocess.CompletedProcess[str]":
    """Have kubectl parse its own words without effect: an unknown option is refused."""
    own = list(words[: words.index("--")] if "--" in words else words)
    return kubectl(*own, "--help")


def test_every_command_for_the_cluster_is_one_that_kubectl_has() -> None:
    """
    With its options: the page matches this release of kubectl.
    """
    distinct = sorted({tuple(it) for it in of_cluster()})
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(asked, distinct))

    assert len(distinct) > 20
    for words, answer in zip(distinct, answers, strict=True):
        assert answer.returncode == 0, (words, answer.stderr)
        # For an unknown word it lists all commands.
        assert "kubectl controls the Kubernetes cluster" not in answer.stdout, words
    assert asked(["rollout", "status", "deployment/x", "--tail=1"]).returncode == 1


def test_every_command_of_ours_exists() -> None:
    """
    Alone, and within a pod, with each of its options.
    """
    ours = [
        words[words.index("payments") + 1 :]
        for words in commands()
        if "payments" in words and "docker" not in words
    ]

    assert len(ours) > 6
    for words in ours:
        written = words[: words.index(">")] if ">" in words else words
        done = CliRunner().invoke(payments, [*written, "--help"])
        assert done.exit_code == 0, (written, done.output)


def test_what_commands_name_is_there() -> None:
    """
    Deployments and labels of pods, by their actual names.
    """
    rendered = manifests("production", ALL)
    deployments = {it["metadata"]["name"] for it in rendered.all("Deployment")}
    text = "\n".join(" ".join(it) for it in of_cluster())

    assert set(re.findall(r"deployment/(\S+)", text)) == deployments
    scaled = re.findall(r"scale deployment ([a-z -]+?) --replicas", text)
    assert {name for it in scaled for name in it.split()} <= deployments
    parts = re.findall(r"app.kubernetes.io/component=(\w+)", text)
    assert set(parts) == {"migration"}
    assert "app.kubernetes.io/component in (http, worker)" in text
    for part in PARTS:
        labels = rendered.pods()[part]["metadata"]["labels"]
        assert selects({"matchLabels": {"app.kubernetes.io/component": part}}, labels)
    [namespace] = rendered.all("Namespace")
    assert f"--namespace {namespace['metadata']['name']}" in text
    names = {it["name"] for it in rendered.containers()}
    assert set(re.findall(r"--container (\S+)", text)) == {"check"} <= names


def test_the_secrets_are_made_of_the_files_that_pods_read(tmp_path: Path) -> None:
    """
    The page's own commands, without a cluster: the result has each file's content.
    """
    made = dict[str, set[frozenset[str]]]()
    for words in of_cluster():
        if words[:3] != ["create", "secret", "generic"]:
            continue
        own = [it for it in words if it not in {"--dry-run=client", "--output", "yaml"}]
        files = [it.removeprefix("--from-file=") for it in own if "=" in it]
        for name in files:
            (tmp_path / name).write_text(name)
        answer = kubectl(*own, "--dry-run=client", "--output=yaml", cwd=tmp_path)
        assert answer.returncode == 0, answer.stderr
        secret = yaml.safe_load(answer.stdout)
        made.setdefault(secret["metadata"]["name"], set()).add(
            frozenset(secret["data"])
        )

    # For creation and for change: the same.
    assert made["payments-gateway"] == {frozenset(USES["serve"])}
    [delivering] = made["payments-gateway-webhooks-out"]
    assert "webhooks-out.toml" in delivering
    table = re.findall(
        r"(?m)^\| `([a-z-]+)` \| .* \| (all|service(?:, worker)?) \|$", README
    )
    assert dict(table) == {
        file: who
        for who, its in {
            "all": USES["db"],
            "service, worker": USES["worker"] - USES["db"],
            "service": USES["serve"] - USES["worker"],
        }.items()
        for file in its
    }


def test_each_component_is_on_the_page() -> None:
    """
    With everything that the cluster needs for it.
    """
    table = README.partition("| component |")[2].partition("\n\n")[0]
    listed = set(re.findall(r"(?m)^\| `([a-z-]+)` \|", table))

    assert listed == set(COMPONENTS)


def test_what_the_page_counts_is_what_there_is() -> None:
    """
    Connections, pods and seconds: as in the manifests.
    """
    rendered = manifests("production", ALL)
    serving, working = (
        rendered.named("HorizontalPodAutoscaler", f"payments-gateway{it}")["spec"]
        for it in ("", "-worker")
    )
    most = Connections.of(rendered)
    one = most.of_one
    whole = f"({serving['maxReplicas']} serving + 1 while a release is rolled out)"

    assert (
        f"{whole} x {one} + {working['maxReplicas']} workers x {one} = {most.of_pods}"
        in README
    )
    for scaler in (serving, working):
        assert (
            f"{scaler['minReplicas']} to {scaler['maxReplicas']}, by the CPU" in README
        )
    [main] = rendered.pods()["http"]["spec"]["containers"]
    assert f"{rendered.variables(main)['PAYMENTS_DRAIN_S']} s (`PAYMENTS_DRAIN_S`)" in (
        README
    )
    for part in ("http", "worker"):
        grace_s = rendered.pods()[part]["spec"]["terminationGracePeriodSeconds"]
        assert f"within the {grace_s} s that the cluster waits" in README


def test_the_secret_of_a_database_in_the_cluster_is_made_in_time() -> None:
    """
    After the database, which creates the role's password; the migration waits that
    long.
    """
    section = README.partition("### Database\n")[2]
    rendered = manifests("production", "cloudnative-pg")
    [cluster] = rendered.all("Cluster")
    [migration] = rendered.all("Job")
    applied, waited, read = (
        section.index(it) for it in ("kubectl apply", "kubectl wait", "> database-url")
    )
    name = cluster["metadata"]["name"]
    deadline_s = migration["spec"]["activeDeadlineSeconds"]
    [timeout_s] = re.findall(rf"cluster\S+/{name} --timeout=(\d+)s", section)

    assert applied < waited < read
    assert f"the migration for {deadline_s} s since the `apply`" in section
    assert int(timeout_s) < deadline_s


def test_t73_each_secret_can_be_rotated() -> None:
    """
    The page says how, for each file of a pod.
    """
    section = README.partition("## Rotate")[2].partition("\n## ")[0]
    rows = re.findall(r"(?m)^\| `([a-z-]+)` \| (.+) \|$", section)

    assert {name for name, _ in rows} == USES["serve"]
    for name, how in rows:
        read_again = name in {"jwt-keys", "stripe-webhook-secrets"}
        assert ("No restart" in how) is read_again
        assert ("restart" in how) is (name != "erasure-key")


def test_each_threat_names_a_test_that_is_there() -> None:
    """
    And an existing file.
    """
    section = README.partition("## What answers which threat")[2].partition("\n## ")[0]
    tests = "".join(it.read_text() for it in Path(__file__).parent.glob("test_*.py"))

    ids = re.findall(r"(?m)^\| (T[0-9]+) \|", section)
    assert ids == ["T62", "T67", "T73", "T77"]
    for name in re.findall(r"`(test_t\w+)`", section):
        assert f"def {name}(" in tests, name
    for link in re.findall(r"\]\((base/[^)]+)\)", README):
        assert (DEPLOY / link).is_file(), link
