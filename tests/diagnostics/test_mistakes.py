"""Every page of every mistake: its example gets exactly its code, its repair gets silence."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch
from _projects import project_codes

import losslang
from losslang.diagnostics import mistakes
from losslang.diagnostics.errors import LossError
from losslang.diagnostics.mistakes import Page, pages
from losslang.diagnostics.source import Source
from losslang.meaning.checker import check
from losslang.plan.operations.notices import ALREADY_GIVEN
from losslang.tools.configfile import read


def codes(text: str, page: Page) -> list[str]:
    """The codes that an example gets."""
    if "[tool.losslang]" in text:
        return project_codes(text)
    match page.form:
        case "program":
            return [d.code for d in check(text)]
        case "python":
            try:
                value, warned = run(text)
            except LossError as error:
                return [d.code for d in error.diagnostics]
            # What a program is warned of is an example of its own page.
            found = [d.code for d in getattr(value, "diagnostics", ())]
            return found + warned if page.code.startswith("W") else found
        case form:
            reading = read(f"example.{form}", text)
            found = [d.code for d in reading.diagnostics]
            return found + [d.code for source in reading.sources for d in check(source)]


def run(text: str) -> tuple[object, list[str]]:
    """The value of the last line of a Python example, and the codes of what a call warned of."""
    *above, last = ast.parse(text).body
    assert isinstance(last, ast.Expr)
    names = {"losslang": losslang, "torch": torch, "read": read, "Path": Path}
    ALREADY_GIVEN.clear()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", losslang.LossWarning)
        exec(compile(ast.Module(above, []), "example", "exec"), names)
        value = eval(compile(ast.Expression(last.value), "example", "eval"), names)
    said = "\n".join(str(warning.message) for warning in caught)
    return value, re.findall(r"^warning\[(W\d+)\]", said, re.MULTILINE)


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Examples may write files."""
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.code)
def test_the_example_gets_its_code_and_no_other(page: Page) -> None:
    assert codes(page.example, page) == [page.code]


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.code)
def test_the_repair_is_silent(page: Page) -> None:
    assert codes(page.repair, page) == []


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.code)
def test_the_page_teaches(page: Page) -> None:
    assert re.fullmatch(r"[EW]\d{3}", page.code)
    assert page.title
    assert page.example != page.repair


@pytest.mark.parametrize("page", [p for p in pages() if p.form == "program"], ids=lambda page: page.code)
def test_every_mistake_has_a_place_and_a_repair(page: Page) -> None:
    for diagnostic in check(page.example):
        assert diagnostic.fix
        assert diagnostic.message[0].islower() or diagnostic.message[0] in "`_"
        assert 0 <= diagnostic.span.start <= diagnostic.span.end <= len(page.example)


def test_every_code_has_its_page_in_a_fresh_process() -> None:
    """A family of mistakes that nothing has loaded yet is found all the same."""
    folder = Path(mistakes.__file__).parent
    written = {
        code for file in folder.glob("*.py") for code in re.findall(r'@mistake\(\s*"(\w+)"', file.read_text())
    }
    code = "from losslang.diagnostics.mistakes import pages; print(*(page.code for page in pages()))"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert set(told.split()) == written


def test_every_mistake_of_every_term_in_one_run() -> None:
    text = "bce(softmx) + dise(smooth=1) + dice(smoth=1, smooth=-1) + 2*nope@seg/0"
    assert [d.code for d in check(text)] == ["E101", "E101", "E201", "E202", "E101"]


def test_mistakes_come_in_the_order_of_the_text() -> None:
    found = check("dice(a=1) + dice(b=2) + dice(c=3)")
    assert [d.span.start for d in found] == sorted(d.span.start for d in found)
    assert len(found) == 3


def test_check_never_raises_and_keeps_the_source() -> None:
    (found,) = check("dice(", source="conf/train.yaml")
    assert found.source.filename == "conf/train.yaml"
    assert check(Source("ce")) == ()


def test_a_loss_error_prints_the_caret() -> None:
    with pytest.raises(LossError) as caught:
        losslang.compile("dise(sigmoid)")
    assert "^^^^" in str(caught.value)
    assert "did you mean `dice`?" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "spelling"),
    [
        ("BCEWithLogitsLoss", "bce(sigmoid)"),
        ("DiceLoss", "dice(sigmoid)"),
        ("CrossEntropyLoss", "ce"),
        ("MSELoss", "mse"),
        ("dice_ce", "ce + dice"),
    ],
)
def test_names_of_other_libraries_suggest_ours(name: str, spelling: str) -> None:
    (found,) = check(name)
    assert found.code == "E101"
    assert f"`{spelling}`" in found.fix
    assert all(not d.is_error for d in check(spelling))


@pytest.mark.parametrize(
    ("alias", "meant"),
    [
        ("cross_entropy", "ce"),
        ("mae", "l1"),
        ("kl_div", "kl"),
        ("binary_cross_entropy_with_logits", "bce(sigmoid)"),
        ("bce_with_logits", "bce(sigmoid)"),
        ("sigmoid_focal", "focal(sigmoid)"),
        ("softmax_focal", "focal(softmax)"),
        ("pinball", "quantile"),
    ],
)
def test_aliases_mean_the_same(alias: str, meant: str) -> None:
    ours, theirs = (losslang.meaning.checker.analyze(Source(t)).meaning for t in (meant, alias))
    assert ours is not None
    assert theirs is not None
    assert ours.fingerprint == theirs.fingerprint
    assert ours.terms[0].name == theirs.terms[0].name
