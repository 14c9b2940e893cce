"""Lines to paste work: those that the command prints, and those of the README."""

import json
import re
import shlex
import subprocess
from pathlib import Path

from support.dev_service import (
    COMMAND,
    DevProcess,
    environment,
)


def test_the_lines_that_it_prints_work_when_they_are_pasted(
    dev: DevProcess, tmp_path: Path
) -> None:
    """
    In a shell of another folder, without our environment: a user, a card and a
    subscription, and a webhook; alice has paid. Then two renewals, and a failure.
    """
    printed = dev.output.read_text()
    lines = [line.strip() for line in printed.splitlines()]
    curls = [line for line in lines if line.startswith("curl ")]
    advances = [line for line in lines if "sandbox advance" in line]
    (fail,) = (line for line in lines if "sandbox trigger" in line)
    (send,) = (line for line in lines if "webhook send" in line)

    def paste(line: str) -> str:
        return subprocess.run(
            ["/bin/bash", "-c", line],
            cwd=tmp_path,
            env={"PATH": "/usr/bin:/bin"},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        ).stdout

    answers = [paste(f"{line} -s -w ' %{{http_code}}'") for line in curls]
    sent = paste(send)
    after = json.loads(paste(f"{curls[1]} -s"))
    for line in advances:
        paste(line)
    renewals = dev.renewals("alice@example.com")
    paste(fail)

    assert [answer[-4:] for answer in answers] == [*[" 200"] * 4, " 201"]
    assert sent == '200 {"outcome": "applied"}\n'
    assert (after["payment_status"], after["entitled"]) == ("paid", True)
    assert renewals == ["paid", "paid"]
    assert str(dev.folder) in printed
    assert dev.facts["base_url"] in printed
    assert dev.facts["ops_url"] in printed


def test_the_readmes_first_ten_minutes_work_when_they_are_pasted(
    dev: DevProcess,
) -> None:
    """
    Every line, in one shell in the folder of the checkout: ada pays, subscribes and
    cancels; no answer is a refusal.
    """
    root = Path(__file__).parents[3]
    [block] = re.findall(
        r"```sh\n(.*?)```", (root / "README.md").read_text(), re.DOTALL
    )
    # Here a refusal ends the shell, and the environment may be another than `.venv`.
    strict = 'set -eu; curl() { command curl -sS --fail-with-body "$@"; echo; }\n'
    pasted = block.replace(".venv/bin/payments", shlex.join(COMMAND))

    done = subprocess.run(
        ["/bin/bash", "-c", strict + pasted],
        cwd=root,
        env=environment(dev.folder, {}),
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    shown = done.stdout.splitlines()
    users = [json.loads(line) for line in shown if line.startswith('{"user_id":')]
    paid, synced = [it for it in users if it.get("payment_status") == "paid"]
    assert (paid["user_id"], paid["entitled"]) == ("ada", True)
    [access] = [it for it in users if "feature" in it]
    assert (access["granted"], access["because"]["kind"]) == (True, "paid_period")
    assert [it["status"] for it in synced["subscriptions"]] == ["active"]
    assert "card: visa ending in 4242, 12/" in done.stdout
    assert re.findall(r"(?m)^entitled: (.*)$", done.stdout) == ["True", "False"]
    assert "prod_basic" in done.stdout.partition("PRODUCTS\n")[2].splitlines()[0]
    [items] = [json.loads(line)["items"] for line in shown if '"next_cursor"' in line]
    assert "event" in {it["kind"] for it in items}
    assert len(items) == 5
    [feed] = [json.loads(line) for line in shown if line.startswith('{"changes":')]
    assert "ada" in {it["user_id"] for it in feed["changes"]}
    assert shown[-1] == '{"invalidated":true}'
    assert dev.renewals("ada@example.com") == []
