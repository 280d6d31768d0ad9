"""docs/in-your-trainer.md tells the truth: its recipes run as they are written, and print what is shown.

Those with a library that is not installed are left to `make examples`; what they compile is checked here.
"""

from __future__ import annotations

import ast
import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

import losslang
from losslang.tools import cli

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "in-your-trainer.md").read_text("utf-8")
BLOCK = re.compile(r"```(python|yaml|console)\n(.*?)```", re.DOTALL)
PROGRAMS = {"losslang": "-m losslang", "python": "", "torchrun": "-m torch.distributed.run"}


class Recipe(NamedTuple):
    """A section of the page: its files by name, its commands, and the lines that each of these is shown to print."""

    name: str
    files: dict[str, str]
    commands: list[tuple[str, list[str]]]

    @property
    def scripts(self) -> list[ast.Module]:
        return [ast.parse(text, name) for name, text in self.files.items() if name.endswith(".py")]


def _recipe(section: str) -> Recipe:
    files: dict[str, str] = {}
    commands: list[tuple[str, list[str]]] = []
    for kind, text in BLOCK.findall(section):
        if kind == "console":
            for each in text.removeprefix("$ ").split("\n$ "):
                command, *shown = each.splitlines()
                commands.append((command, shown))
        else:
            files[text.partition("\n")[0].removeprefix("# ")] = text
    return Recipe(section.partition("\n")[0], files, commands)


RECIPES = [recipe for recipe in map(_recipe, PAGE.split("\n## ")[1:]) if recipe.files]
each_recipe = pytest.mark.parametrize("recipe", RECIPES, ids=[recipe.name for recipe in RECIPES])


def _imported(script: ast.Module) -> set[str]:
    names = {n.name for node in ast.walk(script) if isinstance(node, ast.Import) for n in node.names}
    names |= {str(node.module) for node in ast.walk(script) if isinstance(node, ast.ImportFrom)}
    return {name.partition(".")[0] for name in names}


@pytest.mark.slow
@each_recipe
def test_a_recipe_runs(recipe: Recipe, tmp_path: Path) -> None:
    for name in sorted(set().union(*map(_imported, recipe.scripts))):
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"{name} is not installed: `make examples`")
    for name, text in recipe.files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, "utf-8")
    path = tmp_path / "bin"
    path.mkdir()
    for name, module in PROGRAMS.items():
        (path / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {module} "$@"\n', "utf-8")
        (path / name).chmod(0o755)
    environment = {
        **os.environ,
        "PATH": f"{path}:{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join([str(ROOT), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]),
        "OMP_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
    }
    for command, shown in recipe.commands:
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        printed = iter(done.stdout.splitlines())
        is_told = all(any(told.startswith(line) for told in printed) for line in shown)
        assert is_told, f"{command}\n{done.stdout}"


@each_recipe
def test_a_recipe_is_complete(recipe: Recipe) -> None:
    """Every file has its name in its first line, and some command runs a script."""
    assert recipe.scripts
    assert all(re.fullmatch(r"[\w/]+\.(py|yaml)", name) for name in recipe.files), list(recipe.files)
    assert any(name in command for command, _ in recipe.commands for name in recipe.files)


@each_recipe
def test_what_a_recipe_compiles_is_clean(recipe: Recipe, tmp_path: Path) -> None:
    """Its configs and the texts that it compiles pass `check` without a warning."""
    configs = {name: text for name, text in recipe.files.items() if name.endswith(".yaml")}
    for name, text in configs.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, "utf-8")
    assert not configs or cli.main(["check", "--strict", "--require", str(tmp_path)]) == 0
    texts = [text for script in recipe.scripts for text in _compiled(script)]
    assert texts or configs
    assert [d for text in texts for d in losslang.check(text)] == []


def _compiled(script: ast.Module) -> Iterator[str]:
    """The texts that a script compiles: literals, and the constant LOSS by whatever name it arrives."""
    constants = {
        target.id: str(node.value.value)
        for node in script.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for node in ast.walk(script):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "losslang.compile":
            text = node.args[0]
            yield str(text.value) if isinstance(text, ast.Constant) else constants["LOSS"]


def test_the_page_has_the_recipes_that_it_lists() -> None:
    anchors = set(re.findall(r"\(#([\w-]+)\)", PAGE))
    headings = {
        re.sub(r"[^\w -]", "", h).lower().replace(" ", "-")
        for h in re.findall(r"^## (.+)$", PAGE, re.MULTILINE)
    }
    assert anchors <= headings, anchors - headings
    assert len(RECIPES) >= 8
