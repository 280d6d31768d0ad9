"""docs/checking.md tells the truth: its files and commands are run as they are written."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from losslang.tools.cli import main
from losslang.tools.cli.inputs import SKIPPED
from losslang.tools.configfile.several import CONFIGURES

PAGE = (Path(__file__).parents[2] / "docs" / "checking.md").read_text("utf-8")


def timeless(text: str) -> str:
    return re.sub(r"in \d+ ms", "in 12 ms", text)


def test_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    commands = 0
    for kind, text in re.findall(r"```(yaml|console)\n(.*?)```", PAGE, re.DOTALL):
        first, _, shown = text.partition("\n")
        if kind == "yaml":
            file = tmp_path / first.removeprefix("# ")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        else:
            main(first.removeprefix("$ losslang ").split())
            assert timeless(capsys.readouterr().out).replace("\\", "/") == shown
            commands += 1
    assert commands == 3


def test_the_names_on_the_page_are_those_of_the_code() -> None:
    listed = ", ".join(f"`{name}`" for name in CONFIGURES[:-1]) + f" and `{CONFIGURES[-1]}` says"
    assert f"One of the keys {listed} that the mapping" in " ".join(PAGE.split())
    for name in SKIPPED - {"venv", "__pycache__"}:
        assert f"`{name}`" in PAGE
