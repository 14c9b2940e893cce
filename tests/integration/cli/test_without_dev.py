"""Messages of `payments` where `payments-service` was installed without its extra."""

import os
import subprocess
import sys

import pytest

from support.commands import START_S_MAX

# Runs `payments` as if one package did not exist.
WITHOUT = """
import sys

class Missing:
    def find_spec(self, name, *_):
        if name == missing:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

missing = sys.argv.pop(1)
sys.meta_path.insert(0, Missing())
from payments_service.cli import main
main()
"""


@pytest.mark.parametrize("missing", ["payments_sandbox", "payments_service.dev"])
@pytest.mark.parametrize("words", [["dev"], ["sandbox", "serve", "--port", "0"]])
def test_what_is_not_installed_says_how_to_install_it(
    nowhere: dict[str, str], missing: str, words: list[str]
) -> None:
    """
    Production installs no extra, and its image has no `dev`: the message is one
    sentence.
    """
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, missing, *words],
        env={"PATH": os.environ["PATH"], **nowhere},
        capture_output=True,
        text=True,
        timeout=START_S_MAX,
        check=False,
    )

    assert (done.returncode, done.stdout) == (4, "")
    assert done.stderr == (
        f"payments: `payments {words[0]}` needs the extra `dev`: install "
        "`payments-service[dev]`\n"
    )
