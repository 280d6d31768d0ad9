"""The house: who may import whom, and what may never be loaded."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from losslang.primitive import Loss
from losslang.registry import current_registry

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "losslang"

# A file imports only from strictly lower floors, so no cycle can be written. Inside one package the
# order is that of its own line.
FLOORS = [
    ["text", "lazy", "torch_private"],
    ["eager"],
    ["diagnostics", "tree", "vocabulary", "screen", "libraries", "presets", "slopes", "shield", "chunked"],
    ["mistakes", "primitive"],
    [
        "mistakes.counts",
        "mistakes.syntax",
        "mistakes.names",
        "mistakes.meaning",
        "mistakes.tensors",
        "mistakes.values",
        "mistakes.files",
        "mistakes.inputs",
        "mistakes.kept",
    ],
    ["mistakes.options", "mistakes.presets", "report", "refusal", "targets", "decorators"],
    ["functions", "planned"],
    ["booleans"],
    ["activations", "reductions", "grow"],
    ["surprise"],
    ["losses", "parser"],
    ["formatter"],
    ["meaning"],
    ["registry", "terms", "plan", "configfile"],
    ["options"],
    ["rules", "agreement", "layout", "overrides", "uses"],
    ["target_agreement"],
    ["checker", "lower"],
    ["field", "operations", "summary"],
    ["explainer", "passes"],
    ["binding", "checkpoint", "constants", "held", "ignored"],
    ["labels"],
    ["blocks"],
    ["closed"],
    ["program", "large"],
    ["ways"],
    ["executor"],
    ["compiled"],
    ["saved"],
    ["module", "cli"],
    ["", "__main__"],
]
FLOOR = {name: i for i, names in enumerate(FLOORS) for name in names}
TORCH = {
    "blocks.walk",
    "chunked",
    "constants",
    "eager",
    "executor",
    "module",
    "saved",
    "shield",
    "slopes",
    "torch_private",
}
"""The files that may import torch directly; all others take it from `lazy`."""

FILES = sorted(PACKAGE.rglob("*.py"))


def dotted(file: Path) -> str:
    parts = file.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def floor(name: str) -> int | None:
    """The floor of a module: its own, or that of the package that holds it."""
    while name not in FLOOR and "." in name:
        name = name.rpartition(".")[0]
    return FLOOR.get(name)


def imports(file: Path, *, everywhere: bool = False) -> set[str]:
    """What a file imports when it is loaded; lazily loaded and type-only imports are apart."""
    found: set[str] = set()
    body = ast.parse(file.read_text())
    for node in ast.walk(body) if everywhere else body.body:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def own(name: str) -> str:
    """`losslang.mistakes.syntax.colon` -> `mistakes.syntax`: the module behind an import."""
    parts = name.split(".")[1:]
    while parts and not (
        (PACKAGE / Path(*parts)).is_dir() or (PACKAGE / Path(*parts)).with_suffix(".py").exists()
    ):
        parts.pop()
    return ".".join(parts)


@pytest.mark.parametrize("file", FILES, ids=dotted)
def test_a_file_imports_only_from_lower_floors(file: Path) -> None:
    here = dotted(file)
    assert floor(here) is not None, f"{here} has no floor"
    package = here.partition(".")[0]
    for name in imports(file):
        if name.startswith("losslang"):
            other = own(name)
            inside = bool(other) and other.partition(".")[0] == package and (PACKAGE / package).is_dir()
            if not inside:
                assert floor(other) < floor(here), f"{here} (floor {floor(here)}) imports {other}"


@pytest.mark.parametrize("file", FILES, ids=dotted)
def test_only_the_executors_import_torch(file: Path) -> None:
    loaded = {name.partition(".")[0] for name in imports(file)}
    assert "torch" not in loaded or dotted(file) in TORCH


@pytest.mark.parametrize("file", FILES, ids=dotted)
def test_a_file_holds_one_idea(file: Path) -> None:
    assert len(file.read_text().splitlines()) <= 320


TORCHS_OWN = {
    name
    for holder in (torch, torch._C, torch.Tensor, torch.UntypedStorage, torch.nn.Module(), torch.autograd)
    for name in [*dir(holder), *dir(torch.autograd.forward_ad)]
    if name.startswith("_") and not name.startswith("__")
}
OVERRIDDEN = {"_apply", "_save_to_state_dict", "_load_from_state_dict"}


@pytest.mark.parametrize("file", FILES, ids=dotted)
def test_private_names_of_torch_stand_in_one_file(file: Path) -> None:
    if file.name == "torch_private.py":
        return
    body = ast.parse(file.read_text())
    nodes = list(ast.walk(body))
    defined = {node.name for node in nodes if isinstance(node, ast.FunctionDef)}
    read = {node.attr for node in nodes if isinstance(node, ast.Attribute)}
    assert not read & TORCHS_OWN - defined - OVERRIDDEN
    words = {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    dotted_names = imports(file, everywhere=True) | {word for word in words if " " not in word}
    assert not [name for name in dotted_names if name.startswith("torch.") and "._" in name]


CHECK = """
import sys, losslang
losslang.check("0.5*bce(sigmoid) + dise"); losslang.format("ce"); losslang.parse("ce")
losslang.explain("ce + dice"); losslang.explain("E301")
from losslang.configfile import read
read("a.yaml", "loss: ce")
{extra}
sys.exit("torch" in sys.modules)
"""


@pytest.mark.parametrize(("extra", "loads"), [("", 0), ("losslang.compile('ce')", 1)])
def test_checking_never_loads_torch(extra: str, loads: int) -> None:
    """The second case shows that the first can fail."""
    done = subprocess.run([sys.executable, "-c", CHECK.format(extra=extra)], check=False)
    assert done.returncode == loads


@pytest.mark.parametrize("loss", current_registry().all(Loss), ids=lambda loss: loss.name)
def test_a_loss_is_written_in_the_house_style(loss: Loss) -> None:
    source = inspect.getsource(loss.function)
    body = ast.parse(inspect.cleandoc(source)).body[0]
    assert isinstance(body, ast.FunctionDef)
    calls = [n for n in ast.walk(body) if isinstance(n, ast.Call) and getattr(n.func, "id", "") == "total"]
    assert len(calls) <= 1, "sums asked for twice cannot be added up block by block"
    assert loss.summary, "the first line is the formula"
    assert len(loss.summary) < 120
    assert not {"reduction", "from_logits", "use_sigmoid", "weight", "mask", "ignore_index"} & set(
        loss.option_types
    )
    assert all(loss.axes[name] or name == "total" for name in loss.parameters)
    assert len(body.body) <= 12


def test_no_page_speaks_of_this_machine() -> None:
    """Nothing that is committed names a path of the place where it was written."""
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    secret = re.compile("/(root|home|wo" + "rk)/")
    for name in tracked.split():
        file = ROOT / name
        if file.suffix in {".py", ".md", ".toml", ".lark", ".yaml", ".json", ""} and file.is_file():
            assert not secret.search(file.read_text(errors="replace")), name
