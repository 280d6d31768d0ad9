"""docs/walk.md tells the truth: its commands print what it shows, its table is the listing of the package.

UPDATE_GOLDEN=1 writes what the commands print now; read the difference before you keep it.
"""

from __future__ import annotations

import doctest
import os
import re
import shlex
from pathlib import Path

import pytest
from test_house import FLOORS, PACKAGE

from losslang.tools import cli

PAGE = Path(__file__).parent.parent / "docs" / "walk.md"
CONSOLE = re.compile(r"```console\n\$ losslang (.*)\n((?s:.*?))```")
COMMANDS = CONSOLE.findall(PAGE.read_text("utf-8"))


def printed(command: str, capsys: pytest.CaptureFixture[str]) -> str:
    cli.main(shlex.split(command))
    # How long it took stands in the last line of `check`.
    return re.sub(r"\n+\d+ expression.*\n", "\n", capsys.readouterr().out)


@pytest.mark.parametrize("command", [command for command, _ in COMMANDS])
def test_a_command_prints_what_is_shown(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    told = printed(command, capsys)
    if os.environ.get("UPDATE_GOLDEN"):
        head = f"```console\n$ losslang {command}\n"
        text = PAGE.read_text("utf-8")
        before, _, after = text.partition(head)
        PAGE.write_text(before + head + told + after[after.index("```") :], "utf-8")
    assert dict(CONSOLE.findall(PAGE.read_text("utf-8")))[command] == told


def test_every_stage_is_shown() -> None:
    stages = [command.rpartition(" ")[2] for command, _ in COMMANDS if "--stage" in command]
    assert list(dict.fromkeys(stages))[:3] == ["tree", "meaning", "plan"]
    assert all(told.strip() for _, told in COMMANDS)


def test_its_python_runs() -> None:
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    example = doctest.DocTestParser().get_doctest("".join(blocks), {}, PAGE.name, str(PAGE), 0)
    done = doctest.DocTestRunner().run(example)
    assert done.failed == 0
    assert done.attempted == 8


def test_its_table_is_the_listing() -> None:
    """A row for every entry of the package that is no door, in the order of the floors; the file to read first is there."""
    rows = re.findall(
        r"^\| (\d) \| `([\w.]+)/?` \|.*\(\.\./(.*)\) \|$", PAGE.read_text("utf-8"), re.MULTILINE
    )
    assert [(int(floor), name.removesuffix(".py")) for floor, name, _ in rows] == [
        (floor, name) for floor, names in enumerate(FLOORS) for name in names
    ]
    for _, name, first in rows:
        assert (PACKAGE.parent / first).is_file()
        assert first.startswith(f"losslang/{name}")


def test_what_it_names_exists() -> None:
    for path in re.findall(r"`(losslang/[\w/]+(?:\.py)?)/?`|\]\(\.\./([^)]+)\)", PAGE.read_text("utf-8")):
        assert (PACKAGE.parent / (path[0] or path[1])).exists(), path
