"""The wheel: built, installed without torch in an empty environment, and used from elsewhere."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
# Nothing of this environment or checkout may help the installed package along.
CLEAN = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "VIRTUAL_ENV"))}


def run(*command: str | Path, cwd: Path, code: int = 0) -> str:
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, env=CLEAN, capture_output=True, text=True, check=False
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """From the sdist, as an installer would build it."""
    out = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", out, ROOT, cwd=out)
    (built,) = out.glob("*.whl")
    return built


def test_the_wheel_holds_the_package_the_grammar_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert "losslang/grammars/loss.lark" in names
    assert "losslang/py.typed" in names
    assert {name.partition("/")[0].partition("-")[0] for name in names} == {"losslang"}
    metadata = zipfile.ZipFile(wheel).read(next(n for n in names if n.endswith("METADATA"))).decode()
    assert "Provides-Extra: torch" in metadata
    assert "Requires-Dist: torch>=2.8; extra == 'torch'" in metadata
    assert "Requires-Python: >=3.10" in metadata


@pytest.mark.slow
def test_it_checks_configs_in_an_empty_environment_without_torch(wheel: Path, tmp_path: Path) -> None:
    home = tmp_path / "env"
    venv.create(home)
    python = home / "bin" / "python"
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", python)
    constraints = ROOT / "constraints.txt"
    run(*pip, "install", "-q", "-c", constraints, wheel, cwd=tmp_path)
    elsewhere = tmp_path / "project"
    elsewhere.mkdir()
    (elsewhere / "good.yaml").write_text("loss: 0.5*bce(sigmoid) + dice(smooth=1)\n")
    (elsewhere / "bad.yaml").write_text("loss: 0.5*bce(sigmoid) + dise(smooth=1)\n")
    command = home / "bin" / "losslang"
    assert "no mistakes" in run(command, "check", "good.yaml", cwd=elsewhere)
    assert "bad.yaml:1:26" in run(command, "check", "bad.yaml", cwd=elsewhere, code=1)
    assert "dice" in run(python, "-m", "losslang", "list", cwd=elsewhere)
    told = run(
        python,
        "-c",
        "import losslang\ntry: losslang.compile('ce')\nexcept ImportError as e: print(e)",
        cwd=elsewhere,
    )
    assert told.strip() == "losslang.compile needs torch: pip install 'losslang[torch]'"
    assert "torch" not in run(*pip, "list", cwd=elsewhere)
