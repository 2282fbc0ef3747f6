"""Make `.venv` from the hash-locked requirements; needs Python 3.11 or newer and nothing else.

    python3 setup_environment.py [--test]

Done once: a stamp with the lock's hash makes later calls return at once. `uv` is used where pip can
install it, plain pip otherwise.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
BIN = VENV / ("Scripts" if os.name == "nt" else "bin")
PYTHON = BIN / ("python.exe" if os.name == "nt" else "python")


def main() -> int:
    if not (3, 11) <= sys.version_info[:2] < (3, 14):
        return fail(
            f"Atlas needs Python 3.11, 3.12 or 3.13; this is {sys.version.split()[0]}. Set PYTHON=python3.12, say."
        )
    lock = ROOT / ("requirements-test.lock" if "--test" in sys.argv[1:] else "requirements.lock")
    if is_done(lock):
        return 0
    say(f"Setting up .venv from {lock.name} (once; about half a minute)")
    if not PYTHON.exists():
        venv.EnvBuilder(with_pip=True, clear=True).create(VENV)
    install(lock)
    stamp(lock).write_text(fingerprint(lock), encoding="utf-8")
    return 0


def install(lock: Path) -> None:
    environment = os.environ | {
        "VIRTUAL_ENV": str(VENV),
        "UV_COMPILE_BYTECODE": "1",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }
    has_uv = install_uv(lock, environment)
    pip = [PYTHON, "-m", "uv", "pip"] if has_uv else [PYTHON, "-m", "pip"]
    run([*pip, "install", "--quiet", "--require-hashes", "-r", lock], environment)
    run([*pip, "install", "--quiet", "--no-deps", "--no-build-isolation", "-e", ROOT], environment)


def install_uv(lock: Path, environment: dict[str, str]) -> bool:
    """uv itself comes from the lock too, by its hashes; where it has no wheel, pip does the work."""
    block = re.search(r"^uv==.*?(?=^\S)", lock.read_text(encoding="utf-8") + "\n.", re.M | re.S)
    with tempfile.TemporaryDirectory() as folder:
        only_uv = Path(folder) / "uv.lock"
        only_uv.write_text(re.sub(r"^\s*#.*\n", "", block.group(0), flags=re.M) if block else "uv\n", encoding="utf-8")
        return run(
            [PYTHON, "-m", "pip", "install", "--quiet", "--require-hashes", "-r", only_uv], environment, check=False
        )


def run(command: list[object], environment: dict[str, str], check: bool = True) -> bool:
    done = subprocess.run([str(part) for part in command], cwd=ROOT, env=environment, check=False)
    if check and done.returncode != 0:
        sys.exit(fail("The environment could not be installed; the lines above say why."))
    return done.returncode == 0


def is_done(lock: Path) -> bool:
    """The test environment holds all that the plain one does."""
    wider = ROOT / "requirements-test.lock"
    return PYTHON.exists() and any(stamp(x).exists() and stamp(x).read_text() == fingerprint(x) for x in {lock, wider})


def stamp(lock: Path) -> Path:
    return VENV / f"{lock.stem}.stamp"


def fingerprint(lock: Path) -> str:
    content = lock.read_bytes() + (ROOT / "pyproject.toml").read_bytes() + f"{sys.version_info[:2]}{ROOT}".encode()
    return hashlib.sha256(content).hexdigest()


def say(text: str) -> None:
    sys.stderr.write(text + "\n")


def fail(text: str) -> int:
    say(text)
    return 1


if __name__ == "__main__":
    sys.exit(main())
