"""The documents say what is: their examples run, their tables are those of the code."""

from __future__ import annotations

import inspect
import math
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import losslang
from losslang.tools import cli
from losslang.vocabulary import GIVEN, IN_WORDS, LAYERS, TARGETS, VIEWS

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
CONSOLE = re.findall(r"```console\n\$ losslang (\S+) (?:-e )?\"(.*?)\"\n(.*?)```", README, re.DOTALL)


def test_the_tour_runs() -> None:
    """All Python of the README, in order, as one program."""
    blocks = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert len(blocks) >= 7
    scope: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, "README.md", "exec"), scope)
    assert scope["losslang"] is losslang


API = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")


def test_the_page_of_the_interface_runs() -> None:
    scope: dict[str, object] = {}
    for block in re.findall(r"```python\n(.*?)```", API, re.DOTALL):
        exec(compile(block, "docs/api.md", "exec"), scope)
    assert {"out", "found"} <= scope.keys()


def test_the_page_of_the_interface_has_every_public_name() -> None:
    """The arguments of `compile`, the fields of `Detail`, what a Loss adds to a module, and what the package exports."""
    rows = set(re.findall(r"^\| `(?:loss\.|losslang\.)?(\w+)", API, re.MULTILINE))
    module = {"forward", "train", "extra_repr", "dump_patches"}
    own = {name for name in vars(losslang.Loss) if not name.startswith("_")} - module
    assert set(inspect.signature(losslang.compile).parameters) <= rows
    assert set(losslang.Detail._fields) <= rows
    assert own <= rows
    assert not [
        name for name in losslang.__all__ if f"`{name}`" not in API and f"`losslang.{name}" not in API
    ]


@pytest.mark.parametrize(("command", "text", "wanted"), CONSOLE, ids=[c[0] + c[1][:12] for c in CONSOLE])
def test_the_console_shows_what_is_shown(
    command: str, text: str, wanted: str, capsys: pytest.CaptureFixture[str]
) -> None:
    cli.main([command, *(["-e"] if command == "check" else []), text])
    assert capsys.readouterr().out.startswith(wanted)


def test_there_is_something_on_the_console() -> None:
    assert len(CONSOLE) == 3
    assert all(wanted.strip() for _, _, wanted in CONSOLE)


def test_tables_and_pages_are_those_of_the_code() -> None:
    done = subprocess.run(
        [sys.executable, "docs/tables.py", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


COVERAGE = [
    expression
    for row in re.findall(r"^\| [^`|]+ \| (`.+) \|$", README, re.MULTILINE)
    for expression in re.findall(r"`([^`]+)`", row)
]


def test_there_is_a_table_of_what_people_look_for() -> None:
    assert len(COVERAGE) > 100


@pytest.mark.parametrize("text", COVERAGE)
def test_what_people_look_for_is_there(text: str) -> None:
    """Every expression of the table means something, and the loss in it has a page."""
    found = losslang.check(text)
    assert not [d for d in found if d.is_error], found
    for name in re.findall(r"(?<![\w.=\[\"])[a-z]\w*(?=\(|@|$| )", text):
        assert cli.main(["show", name]) == 0, name


def test_the_names_of_parameters_are_those_of_the_vocabulary() -> None:
    """docs/writing-a-loss.md has each of them, in order, with the words of the code."""
    page = (ROOT / "docs" / "writing-a-loss.md").read_text("utf-8")
    rows = dict(re.findall(r"^\| `(\w+)` \| (.+) \|$", page, re.MULTILINE))
    views = {name: IN_WORDS.get(view, view) for name, view in VIEWS.items()}
    wanted = {
        **views,
        **TARGETS,
        **LAYERS,
        **dict.fromkeys(GIVEN, "from the compiler: "),
    }
    assert list(rows) == list(wanted)
    assert all(words in rows[name] for name, words in wanted.items())


def test_the_loss_that_contributing_adds_is_one() -> None:
    (block,) = re.findall(r"```python\n(.*?)```", (ROOT / "CONTRIBUTING.md").read_text("utf-8"), re.DOTALL)
    scope: dict[str, object] = {}
    exec(compile(block, "CONTRIBUTING.md", "exec"), scope)
    value = losslang.compile("correntropy(sigma=2)")(torch.tensor([1.0, 4.0]), torch.tensor([1.0, 0.0]))
    assert value.item() == pytest.approx((1 - math.exp(-2)) / 2)


def test_links_lead_somewhere() -> None:
    for document in [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]:
        for link in re.findall(r"\]\((?!https?:)([^)#]+)", document.read_text(encoding="utf-8")):
            assert (document.parent / link).exists(), f"{document.name}: {link}"
