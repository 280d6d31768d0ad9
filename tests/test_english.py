"""House style in words: docstrings say what a thing does, functions fit on a screen, words have one meaning."""

from __future__ import annotations

import ast
import inspect
import keyword
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import losslang
from losslang.primitives.primitive import Loss
from losslang.registry import current_registry

PACKAGE = Path(losslang.__file__).parent
FILES = {str(file.relative_to(PACKAGE)): file for file in sorted(PACKAGE.rglob("*.py"))}
BUILTIN = [p for p in current_registry().all(Loss) if p.function.__module__.startswith("losslang.losses.")]

MAX_BODY = 40
MAX_DOCSTRING_WIDTH = 110
RIDDLES = re.compile(r"(What|Whether|That of)\b")

RENAMED = {
    "Draft": "TapeBuilder",
    "hands_over": "has_saved_tensor_hooks",
    "improve": "optimize",
    "prune": "drop_dead_steps",
    "Prepared": "WalkEvaluators",
    "settle": "specialize",
    "shielded": "masked_fill_grad",
    "stands_for_many": "is_batched_grad",
    "unmask": "drop_masks",
    "ALONE": "MIN_ELEMENTS_ONE_SUM",
    "FAR": "MIN_ELEMENTS_GPU",
    "Found": "NamedLoss, Match",
    "Given": "Expressions",
    "Look": "LabelRange",
    "NONE": "NO_IGNORED_LABEL",
    "Num": "NumberValue",
    "Tens": "TensorValue",
    "Sums": "TermsValue",
    "Voice": "ActivationChoice",
    "_leaving_out": "_ce_ignore_index_cpu",
    "agree": "resolve_activations",
    "agree_on_channels": "resolve_channels",
    "agree_on_labels": "resolve_ignored_labels",
    "asking": "ignore_mask_steps",
    "careful": "validate",
    "cool": "scale_by_temperature",
    "flow": "grad_output",
    "grow": "build_tree",
    "hide": "zero_masked",
    "lay": "broadcast_to_pred",
    "lean": "specialized",
    "left_out": "with_kernel_ignore_index",
    "lent": "buffers",
    "readings": "loss_uses",
}
"""Names that are gone, each with the one that took its place."""
HOMONYMS = {"Sums": {"runtime/closed/trace.py"}}
"""Files in which a name that is gone elsewhere means another thing."""


def docstrings(file: Path) -> Iterator[tuple[int, str]]:
    """The line and the text of every docstring: of modules, classes, functions, and below constants."""
    text = file.read_text(encoding="utf-8")
    lines = text.splitlines()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            if isinstance(node.value.value, str):
                yield node.lineno, "\n".join(lines[node.lineno - 1 : node.end_lineno])


def bodies(file: Path) -> Iterator[tuple[str, int]]:
    """Each function with the number of lines of code in its body: no docstrings, comments or blank lines."""
    text = file.read_text(encoding="utf-8")
    tree = ast.parse(text)
    prose: set[int] = {
        line
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)
    }
    lines = text.splitlines()
    code = {
        number
        for number, line in enumerate(lines, 1)
        if number not in prose and line.strip() and not line.lstrip().startswith("#")
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            start = node.body[0].lineno
            yield node.name, len(code & set(range(start, (node.end_lineno or start) + 1)))


def identifiers(file: Path) -> set[str]:
    with tokenize.open(file) as source:
        tokens = tokenize.generate_tokens(source.readline)
        return {t.string for t in tokens if t.type == tokenize.NAME and not keyword.iskeyword(t.string)}


# ------------------------------------------------------------------- every file


def test_a_function_fits_on_a_screen() -> None:
    long = {
        f"{name}:{function}"
        for name, file in FILES.items()
        for function, lines in bodies(file)
        if lines > MAX_BODY
    }
    assert not long


def test_docstrings_are_not_wider_than_a_page() -> None:
    wide = [
        (name, start + offset)
        for name, file in FILES.items()
        for start, text in docstrings(file)
        for offset, line in enumerate(text.replace('"""', "").splitlines())
        if len(line) > MAX_DOCSTRING_WIDTH
    ]
    assert not wide


def test_the_first_line_of_a_file_names_its_idea() -> None:
    """One sentence with a subject: no riddle, and nothing that goes on in the next line."""
    riddling: list[str] = []
    for name, file in FILES.items():
        text = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
        first, _, more = text.partition("\n")
        if RIDDLES.match(first) or not first.endswith((".", ":")) or more[:1].strip():
            riddling.append(name)
    assert not riddling


@pytest.mark.parametrize("old", RENAMED)
def test_one_word_for_one_thing(old: str) -> None:
    left = {name for name, file in FILES.items() if old in identifiers(file)}
    assert left == HOMONYMS.get(old, set()), RENAMED[old]


# ------------------------------------------------------------------- what is public


def parameters(public: Any) -> list[str]:
    """The names that a caller can write: parameters of a function, fields of a record."""
    if inspect.isclass(public) and "__init__" not in vars(public) and not hasattr(public, "_fields"):
        return []
    return [name for name in inspect.signature(public).parameters if name not in ("self", "args", "kwargs")]


def is_documented(public: Any) -> bool:
    """A type alias (LossExpr) has no docstring at run time."""
    return inspect.isroutine(public) or inspect.isclass(public)


PUBLIC = [name for name in losslang.__all__ if is_documented(getattr(losslang, name))]


@pytest.mark.parametrize("name", PUBLIC)
def test_what_is_public_documents_its_arguments_and_errors(name: str) -> None:
    public = getattr(losslang, name)
    text = inspect.getdoc(public) or ""
    assert text, f"losslang.{name} has no docstring"
    unnamed = [p for p in parameters(public) if not re.search(rf"`{p}\b|^ *{p}: ", text, re.MULTILINE)]
    assert not unnamed, f"losslang.{name} does not say what these are: {unnamed}"
    if inspect.isroutine(public):
        assert re.search(r"[Rr]aises", text), f"losslang.{name} does not say what it raises"


EXAMPLES = """
import doctest, sys, losslang
finder, runner = doctest.DocTestFinder(recurse=False), doctest.DocTestRunner()
for name in losslang.__all__:
    for test in finder.find(getattr(losslang, name), name, globs={"losslang": losslang, "__name__": "example"}):
        tried = runner.run(test).attempted
        print(name, tried)
sys.exit(runner.summarize(verbose=False).failed)
"""


def test_examples_in_public_docstrings_run() -> None:
    """In a process of their own: what they register is nobody else's."""
    done = subprocess.run(
        [sys.executable, "-c", EXAMPLES], capture_output=True, text=True, check=False, cwd=PACKAGE.parent
    )
    assert done.returncode == 0, done.stdout + done.stderr
    tried = dict(line.split() for line in done.stdout.splitlines())
    with_examples = {name for name, count in tried.items() if int(count)}
    wanted = {
        "Registry",
        "activation",
        "check",
        "explain",
        "format",
        "function",
        "loss",
        "parse",
        "reduction",
    }
    assert wanted <= with_examples


# ------------------------------------------------------------------- the losses


def test_a_loss_names_its_source() -> None:
    """A paper in its declaration, or a line `Source:` in its docstring."""
    assert not {p.name for p in BUILTIN if not p.paper and "Source:" not in p.doc}


def raising(function: Any, seen: set[Any]) -> bool:
    """True if a function, or one of its own module that it calls, raises ValueError."""
    if function in seen:
        return False
    seen.add(function)
    if "raise ValueError" in inspect.getsource(function):
        return True
    called = (function.__globals__.get(name) for name in function.__code__.co_names)
    return any(
        raising(f, seen) for f in called if inspect.isfunction(f) and f.__module__ == function.__module__
    )


def test_a_loss_says_what_it_refuses() -> None:
    assert any(raising(p.function, set()) for p in BUILTIN)
    silent = {p.name for p in BUILTIN if raising(p.function, set()) and "Raises:" not in p.doc}
    assert not silent


@pytest.mark.parametrize("primitive", BUILTIN, ids=lambda p: p.name)
def test_a_loss_has_its_formula_in_line_one(primitive: Loss) -> None:
    first = primitive.doc.split("\n")
    assert first[0].endswith((".", ";", ",")) or first[0], primitive.name
    assert len(first) == 1 or not first[1].strip(), "the formula is one line"
