"""Install `payments_core` alone: it needs only attrs and is quick to import.

A script and not a test, because it makes a virtual environment: once a check.
"""

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
# Relative to the cost of `import attrs`, because milliseconds depend on the machine. As
# strict as 50 ms where attrs takes 27.
IMPORT_RATIO_MAX = 1.85
RUNS = 100
ROUNDS_MAX = 4

PROBE = """
import sys, time
started = time.process_time()
import {module}
print((time.process_time() - started) * 1e3)
"""


def installed_alone(folder: Path) -> Path:
    uv = shutil.which("uv") or str(Path(sys.executable).with_name("uv"))
    python = folder / "bin" / "python"
    quiet = [uv, "--quiet", "--no-config"]
    subprocess.run([*quiet, "venv", "--python", sys.executable, folder], check=True)
    install = [*quiet, "pip", "install", "--compile-bytecode", "--python", str(python)]
    subprocess.run([*install, str(ROOT / "core")], check=True)
    return python


def packages(python: Path) -> set[str]:
    uv = shutil.which("uv") or str(Path(sys.executable).with_name("uv"))
    listed = subprocess.run(
        [uv, "pip", "list", "--format", "json", "--python", python],
        check=True,
        capture_output=True,
    )
    return {package["name"] for package in json.loads(listed.stdout)}


def import_ms(python: Path, module: str) -> float:
    run = subprocess.run(
        [python, "-c", PROBE.format(module=module)],
        check=True,
        capture_output=True,
        cwd=python.parent,
    )
    return float(run.stdout)


def import_ratio(python: Path) -> float:
    """Return the least CPU time of several imports, over that of `import attrs`.

    Noise of the machine only adds time. Both are measured in turn, so it affects both.
    On a busy machine it takes more runs until one of each is free of noise.
    """
    core, attrs = [], []
    for _ in range(ROUNDS_MAX):
        for _ in range(RUNS):
            core.append(import_ms(python, "payments_core"))
            attrs.append(import_ms(python, "attrs"))
        if min(core) / min(attrs) <= IMPORT_RATIO_MAX:
            break
    return min(core) / min(attrs)


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        python = installed_alone(Path(folder))
        found, ratio = packages(python), import_ratio(python)
    print(
        f"core alone: {', '.join(sorted(found))}; import {ratio:.2f} of that of attrs"
    )
    if found != {"attrs", "payments-core"}:
        print("core alone: more than attrs came along", file=sys.stderr)
        return 1
    if ratio > IMPORT_RATIO_MAX:
        print(
            f"core alone: import costs over {IMPORT_RATIO_MAX} of what attrs costs",
            file=sys.stderr,
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
