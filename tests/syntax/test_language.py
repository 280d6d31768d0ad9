"""The text: the literate specification, the canonical form, and texts of every kind."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from lark import Lark
from programs import NOISE, PROGRAMS

from losslang.diagnostics.errors import LossError
from losslang.diagnostics.source import Source
from losslang.meaning.checker import check
from losslang.meaning.program import Meaning
from losslang.syntax import tree
from losslang.syntax.formatter import format, render
from losslang.syntax.parser import grammar, parse

HERE = Path(__file__).parent
assert check("ce") == ()  # loads the grammar and the registry, once
CASE = re.compile(r"```loss\n(.*?)```\n+```(\w+)\n(.*?)```", re.DOTALL)
CASES = [
    pytest.param(text.rstrip("\n"), kind, wanted.rstrip("\n"), id=f"{page.stem}-{i}")
    for page in sorted((HERE / "language").glob("*.md"))
    for i, (text, kind, wanted) in enumerate(CASE.findall(page.read_text()))
]


def meaning(text: str) -> Meaning:
    from losslang.meaning.checker import analyze

    checked = analyze(Source(text))
    assert checked.meaning is not None, [d.message for d in checked.diagnostics]
    return checked.meaning


@pytest.mark.parametrize(("text", "kind", "wanted"), CASES)
def test_the_specification(text: str, kind: str, wanted: str) -> None:
    match kind:
        case "canonical":
            assert format(text) == wanted
        case "terms":
            assert str(meaning(text)) == wanted
        case "mistakes":
            found = [f"{d.code} {d.source.place(d.span.start)} {d.message}" for d in check(text)]
            assert "\n".join(found) == wanted
        case _:
            pytest.fail(f"a block of kind {kind} says nothing")


def test_the_specification_is_there() -> None:
    assert len(CASES) > 60


@settings(max_examples=1_000, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(PROGRAMS)
def test_parsing_what_is_formatted_gives_the_same_tree(program: tree.Program) -> None:
    text = render(program)
    if len(text) > 4096:
        return
    again = parse(text)
    assert again == program
    assert render(again, text) == text


@settings(max_examples=3_000, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(NOISE)
def test_any_text_ends_in_a_result_or_in_a_diagnostic_with_a_place(text: str) -> None:
    found = check(text)
    for diagnostic in found:
        assert 0 <= diagnostic.span.start <= diagnostic.span.end <= max(len(text), 4097)
        assert diagnostic.message
    try:
        canonical = format(text)
    except LossError:
        assert any(d.is_error for d in found)
    else:
        assert format(canonical) == canonical
        assert parse(canonical) == parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "(" * 5000, "-" * 4000 + "ce", "[" * 4000, "f(" * 2000, "2**" * 1300 + "2", "ce+" * 1300 + "ce",
        "a@" * 2000, "=" * 4000, "'" * 4001, "9" * 4000, "pred" + ".a" * 2000, "x=1;" * 1000, "#" * 4000,
        "ce(" + "a=[" * 1000, "9**9**9", "exp(1000)*ce", "log(0)*ce", "1/0", "sqrt(-1)*ce", "(-8)**0.5*ce",
        "0**-1*ce", "1e308*1e308*ce", "-" * 60 + "ce", "\n" * 4000, "(\n" * 2000, "ce@" + "a." * 2000,
    ],
)  # fmt: skip
def test_hostile_texts_end_in_diagnostics(text: str) -> None:
    assert check(text) or text == "-" * 60 + "ce"


def test_the_grammar_hides_no_conflict() -> None:
    class _Through:
        always_accept = ("_BREAK", "_SEMICOLON", "COMMENT")

        def process(self, stream: object) -> object:
            return stream

    Lark(grammar(), start="program", parser="lalr", lexer="basic", postlex=_Through(), strict=True)


@pytest.mark.parametrize("name", ["comments", "breaks"])
def test_comments_survive_formatting(name: str) -> None:
    text = {
        "comments": "# top\na = 1 # one\n# two\na*ce + ( # three\n dice) # four\n# end",
        "breaks": "a = ce # x\n\n\n  + dice\n; a",
    }[name]
    kept = format(text)
    assert sorted(re.findall(r"# ?\w+", kept)) == sorted(re.findall(r"# ?\w+", text))
    assert format(kept) == kept


def test_trees_are_frozen_and_strict() -> None:
    node = parse("ce").result
    with pytest.raises(ValueError, match="frozen"):
        node.name = "dice"  # type: ignore[misc]
    with pytest.raises(ValueError, match="extra"):
        tree.Number(value=1, unit="m")  # type: ignore[call-arg]
