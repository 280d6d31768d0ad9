"""The house: who may import whom, and what may never be loaded."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest
import torch

from losslang.primitives.primitive import Loss
from losslang.registry import current_registry

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "losslang"

# The folders of the package, a floor each, in the order in which a program passes through them; those on one floor
# know nothing of each other. A folder imports from the floors below, at any time and for types too.
FLOORS = [
    ["vocabulary"],
    ["diagnostics"],
    ["syntax", "tensors"],
    ["primitives"],
    ["losses"],
    ["registry"],
    ["meaning"],
    ["plan"],
    ["runtime"],
    ["tools"],
]
FLOOR = {name: floor for floor, names in enumerate(FLOORS) for name in names}
TORCH = {
    "runtime.beside_dynamo",
    "runtime.blocks.walk",
    "runtime.constants",
    "runtime.executor",
    "runtime.learned",
    "runtime.module",
    "runtime.ranks",
    "runtime.saved",
    "runtime.training",
    "tensors.bounded",
    "tensors.custom_gradient",
    "tensors.eager",
    "tensors.gradient_mask",
    "tensors.linear_chunks",
    "tensors.linear_cross_entropy",
    "tensors.torch_private",
}
"""The files that may import torch directly; all others take it from `lazy`."""

FILES = sorted(PACKAGE.rglob("*.py"))


def dotted(file: Path) -> str:
    parts = file.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(file: Path, *, everywhere: bool = False) -> set[str]:
    """What a file imports when it is loaded; `everywhere`: inside functions and for types too."""
    found: set[str] = set()
    body = ast.parse(file.read_text())
    for node in ast.walk(body) if everywhere else body.body:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def module_behind(name: str) -> str:
    """`losslang.diagnostics.mistakes.syntax.colon` -> `diagnostics.mistakes.syntax`: the module behind an import."""
    parts = name.split(".")[1:]
    while parts and ".".join(parts) not in MODULES:
        parts.pop()
    return ".".join(parts)


MODULES = {dotted(file) for file in FILES}


def test_the_walk_is_seen_in_the_listing() -> None:
    """At most fourteen entries: nine folders, the doors, the vocabulary and the registry."""
    entries = {path.name for path in PACKAGE.iterdir()} - {"__pycache__", "grammars"}
    assert entries == {"__init__.py", "__main__.py", "py.typed"} | {
        name if (PACKAGE / name).is_dir() else f"{name}.py" for name in FLOOR
    }
    assert len(entries) <= 14


@pytest.mark.parametrize("file", FILES, ids=dotted)
def test_a_file_imports_only_from_lower_floors(file: Path) -> None:
    """Lazily and for types too. The two doors at the top may open any room."""
    here = dotted(file)
    if here in ("", "__main__"):
        return
    folder = here.partition(".")[0]
    for name in imports(file, everywhere=True):
        if name.startswith("losslang"):
            other = module_behind(name)
            assert other, f"{here} imports the package itself"
            room = other.partition(".")[0]
            assert room == folder or FLOOR[room] < FLOOR[folder], f"{here} imports {other}"


def test_no_two_files_import_each_other() -> None:
    """Inside a folder the files have an order too: what a file loads has never to load that file."""
    graph = {
        dotted(file): {module_behind(name) for name in imports(file) if name.startswith("losslang.")}
        - {dotted(file)}
        for file in FILES
    }
    list(TopologicalSorter(graph).static_order())  # raises CycleError


@pytest.mark.parametrize("folder", [name for name in FLOOR if (PACKAGE / name).is_dir()])
def test_a_folder_says_its_floor(folder: str) -> None:
    first = (PACKAGE / folder / "__init__.py").read_text().splitlines()[0]
    assert first.startswith(f'"""Floor {FLOOR[folder]}: ')


@pytest.mark.parametrize("file", FILES, ids=dotted)
def test_only_the_executors_import_torch(file: Path) -> None:
    loaded = {name.partition(".")[0] for name in imports(file)}
    assert "torch" not in loaded or dotted(file) in TORCH


@pytest.mark.parametrize("file", FILES, ids=dotted)
def test_no_text_becomes_code_but_what_losslang_writes(file: Path) -> None:
    """Annotations of functions that are registered, and a program whose steps are all bound."""
    called = {
        node.func.id
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    assert not called & {"eval", "exec"} or dotted(file) in {"primitives.primitive", "runtime.written"}


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
    nodes = list(ast.walk(ast.parse(file.read_text())))
    defined = {node.name for node in nodes if isinstance(node, ast.FunctionDef)}
    read = {node.attr for node in nodes if isinstance(node, ast.Attribute)}
    assert not read & TORCHS_OWN - defined - OVERRIDDEN
    words = {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    dotted_names = imports(file, everywhere=True) | {word for word in words if " " not in word}
    assert not [name for name in dotted_names if name.startswith("torch.") and "._" in name]


@pytest.mark.parametrize("file", FILES, ids=dotted)
def test_isinstance_is_asked_of_a_tuple(file: Path) -> None:
    """Not of a union of classes, which torch.compile cannot trace until torch 2.9."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("isinstance", "issubclass"):
            assert not isinstance(node.args[1], ast.BinOp), ast.unparse(node)


CHECK = """
import sys, losslang
losslang.check("0.5*bce(sigmoid) + dise"); losslang.format("ce"); losslang.parse("ce")
losslang.explain("ce + dice"); losslang.explain("E301")
from losslang.tools.configfile import read
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
