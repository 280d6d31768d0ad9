"""Expressions in config files: found, placed exactly, judged, and written back in their own style."""

from __future__ import annotations

import ast
import json
import re
import sys
import time
from pathlib import Path
from typing import Any, cast

import pytest
import yaml
from _projects import project_codes
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from losslang.diagnostics.mistakes import PAGES, Page, files
from losslang.diagnostics.rendering import full
from losslang.diagnostics.source import Source
from losslang.syntax import formatter
from losslang.syntax.parser import parse
from losslang.tools.configfile import read, rewrite
from losslang.tools.expressions import Expressions

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

# A busy machine is no reason to fail.
PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
BLANKS = " \t\r\n\x85\u2028\u2029"


@pytest.fixture(params=["libyaml", "pure Python"])
def each_parser(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything about YAML holds with PyYAML's own parser and with libyaml."""
    if request.param == "pure Python":
        monkeypatch.setattr(yaml, "__with_libyaml__", False)


def only(reading: Expressions) -> Source:
    assert reading.diagnostics == ()
    (source,) = reading.sources
    return source


# ---------------------------------------------------------------------------- places

# A file, the expression in it, a word of that, and the row and column where the word stands.
PLACES = [
    ("yaml", "loss: ce + dice\n", "ce + dice", "dice", "1:12"),
    ("yaml", "\ufeffloss: ce + dice\n", "ce + dice", "dice", "1:12"),
    ("yaml", "é: 1\n𝔘: 2\nloss: ce + dice", "ce + dice", "dice", "3:12"),
    ("yaml", "a: b\r\nloss: ce + dice\r\n", "ce + dice", "dice", "2:12"),
    ("yaml", "loss:\n  ce +\n  dice\n", "ce + dice", "dice", "3:3"),
    ("yaml", "loss: ce\r\n  +   dice\r\n\r\n  - l1\r\n", "ce +   dice\n- l1", "l1", "4:5"),
    ("yaml", "loss:    ce + dice   # both\n", "ce + dice", "dice", "1:15"),
    ("yaml", "loss: &main ce + dice\n", "ce + dice", "dice", "1:18"),
    ("yaml", "loss: !!str &main ce + dice\n", "ce + dice", "dice", "1:24"),
    ("yaml", "loss: &main # why\n  # because\n  ce + dice\n", "ce + dice", "dice", "3:8"),
    ("yaml", "loss: !<tag:yaml.org,2002:str> 'ce + dice'\n", "ce + dice", "dice", "1:38"),
    ("yaml", "m: {a: 1, loss: ce + dice, b: 2}\n", "ce + dice", "dice", "1:22"),
    ("yaml", 'm: {"loss":ce + dice}\n', "ce + dice", "dice", "1:17"),
    ("yaml", "? loss\n: ce + dice\n", "ce + dice", "dice", "2:8"),
    ("yaml", "loss: 'ce + dice'\n", "ce + dice", "dice", "1:13"),
    ("yaml", "loss: 'f(a=''x'') + dice'\n", "f(a='x') + dice", "dice", "1:21"),
    ("yaml", "loss: '''x'' dice'\n", "'x' dice", "dice", "1:14"),
    ("yaml", "loss: 'ce\n\n   + dice\n  '\n", "ce\n+ dice ", "dice", "3:6"),
    ("yaml", 'loss: "ce + dice"\n', "ce + dice", "dice", "1:13"),
    ("yaml", 'loss: "\\x63e\\u0020+\\U00000020dice"\n', "ce + dice", "dice", "1:30"),
    ("yaml", 'loss: "ce \\x2b \\x64ice"\n', "ce + dice", "dice", "1:16"),
    ("yaml", 'loss: "n = ce\\n\\tn +\\_dice"\n', "n = ce\n\tn +\xa0dice", "dice", "1:23"),
    ("yaml", 'loss: "ce \\\n    + di\\\r\n    ce"\n', "ce + dice", "ce", "1:8"),
    ("yaml", 'loss: "ce \\\n    + dice"\n', "ce + dice", "dice", "2:7"),
    ("yaml", 'loss: "a\\"\\\\\\/ dice"\n', 'a"\\/ dice', "dice", "1:16"),
    ("yaml", 'loss: "ce\n\n\n   + dice"\n', "ce\n\n+ dice", "dice", "4:6"),
    ("yaml", "loss: |\n  ce\n  + dice\n", "ce\n+ dice\n", "dice", "3:5"),
    ("yaml", "loss: |  # why\r\n  ce\r\n  + dice\r\n", "ce\n+ dice\n", "dice", "3:5"),
    ("yaml", "- loss: |-2\n        ce\n      + dice\n\n- 1\n", "    ce\n  + dice", "dice", "3:9"),
    ("yaml", "loss: |+\n\n\n     ce\n       + dice\n\n\n", "\n\nce\n  + dice\n\n\n", "dice", "5:10"),
    ("yaml", "loss: &a !!str |1-\n   ce\n  + dice", "  ce\n + dice", "dice", "3:5"),
    ("yaml", "loss: |\n  ce # é𝔘\n     \n  + dice", "ce # é𝔘\n   \n+ dice", "dice", "4:5"),
    ("yaml", "loss: >\n  ce\n  + dice\n", "ce + dice\n", "dice", "3:5"),
    ("yaml", "loss: >-\n  ce  \n  +\n\n  dice\n", "ce   +\ndice", "dice", "5:3"),
    (
        "yaml",
        "loss: >\n  ce\n    + l1\n\n    + l2\n  - dice\n",
        "ce\n  + l1\n\n  + l2\n- dice\n",
        "dice",
        "6:5",
    ),
    ("yaml", "loss: >+1\r\n   ce\r\n + dice\r\n\r\n", "  ce\n+ dice\n\n", "dice", "3:4"),
    ("yaml", "--- {}\n---\nloss: ce + dice\n", "ce + dice", "dice", "3:12"),
    ("toml", 'loss = "ce + dice"\n', "ce + dice", "dice", "1:14"),
    ("toml", "\ufeffa = 1\r\n[m]\r\nloss = 'ce + dice' # x\r\n", "ce + dice", "dice", "3:14"),
    ("toml", 'loss = "\\u0063e\\t+ \\U00000064ice"\n', "ce\t+ dice", "dice", "1:20"),
    ("toml", 'loss = """\nce\n+ dice"""\n', "ce\n+ dice", "dice", "3:3"),
    ("toml", 'loss = """\r\nce \\\r\n\r\n   + dice\r\n"""\r\n', "ce + dice\n", "dice", "4:6"),
    ("toml", 'loss = """f(a="x") + dice\n"""""\n', 'f(a="x") + dice\n""', "dice", "1:22"),
    ("toml", "loss = '''\nce \\\n+ dice'''\n", "ce \\\n+ dice", "dice", "3:3"),
    ("toml", "loss = '''f(a='x') + dice'''''\n", "f(a='x') + dice''", "dice", "1:22"),
    ("toml", "m = {a.b = [1, '}'], 'loss' = 'dice'}\n", "dice", "dice", "1:32"),
    ("json", '{"loss": "ce + dice"}', "ce + dice", "dice", "1:16"),
    ("json", '{"a": "}{",\n "\\u006coss":\t"\\u0063e\\n\\/ dice"}', "ce\n/ dice", "dice", "2:28"),
    ("json", '{"loss": "ce # \\ud835\\udd18𝔘\\n+ dice"}', "ce # 𝔘𝔘\n+ dice", "dice", "1:33"),
    ("loss", "ce\n+ dice\n", "ce\n+ dice\n", "dice", "2:3"),
    ("loss", "\ufeffn = ce\r\n\r\nn + dice\r\n", "n = ce\n\nn + dice\n", "dice", "3:5"),
]


@pytest.mark.usefixtures("each_parser")
@pytest.mark.parametrize(("suffix", "text", "expected", "word", "place"), PLACES)
def test_every_character_has_its_place(suffix: str, text: str, expected: str, word: str, place: str) -> None:
    source = only(read(f"c.{suffix}", text))
    assert source.text == expected
    assert str(source.place(expected.index(word))) == place
    assert_exact(source)


def assert_exact(source: Source) -> None:
    """Each character stands where the source says: as itself, as an escape, or as a folded blank."""
    if source.offsets is None:
        return
    assert source.file_text is not None
    assert len(source.offsets) == len(source.text) + 1
    assert list(source.offsets) == sorted(source.offsets)
    assert source.offsets[-1] <= len(source.file_text)
    for i, char in enumerate(source.text):
        start = source.offsets[i]
        after = next((at for at in source.offsets[i:] if at > start), start + 1)
        written = source.file_text[start]
        assert (
            written == char
            or (written in BLANKS and char in BLANKS)
            or (written == "\\" and char in unescaped(source.file_text[start:after], source.filename))
        ), (i, char, start)


def unescaped(written: str, filename: str) -> str:
    if filename.endswith("json"):
        return json.loads(f'"{written}"')
    if filename.endswith("toml"):
        return tomllib.loads(f'x = """{written}"""')["x"]
    return yaml.safe_load(f'"{written}"')


def test_a_caret_stands_below_the_word() -> None:
    text = 'model: x\nlosses:\n  - loss: "\\x63e + \\\n      dice(smoth=1)"\n'
    (source,) = read("conf/train.yaml", text).sources
    start = source.text.index("smoth")
    places = source.places(files.Span(start, start + 5))
    assert [str(place) for place in places] == ["4:12", "4:17"]
    assert source.lines[3][11:16] == "smoth"
    assert (source.filename, source.key) == ("conf/train.yaml", "losses[0].loss")


# ---------------------------------------------------------------------------- places, by hypothesis

WORDS = ["ce", "dice(smooth=1)", " ", "  ", "+", "#", "'", '"', "\\", "é", "𝔘", "[", "{", ",", "=", "0.5*"]
pieces = st.lists(st.sampled_from(WORDS), max_size=8).map("".join)
breaks = st.sampled_from(["\n", "\r\n", "\r", "\n\n", "\r\n\r\n", "\n \n", "\u2028", "\x85"])
escapes = st.sampled_from(
    ["\\n", "\\x62", "\\u0062", "\\U0001d518", "\\\\", '\\"', "\\t", "\\_", "\\\n  ", "\\N"]
)
indents = st.sampled_from(["  ", "    ", "      ", "   "])


@st.composite
def yaml_files(draw: st.DrawFn) -> str:
    """A file with a scalar in any style: often valid, sometimes not."""
    style = draw(st.sampled_from(["", "'", '"', "|", ">", "|2", ">1-", "|+", ">-", "|  # c"]))
    line = pieces.map(lambda text: text.replace("'", "''")) if style == "'" else pieces
    if style == '"':
        unquoted = pieces.map(lambda text: text.replace("\\", "").replace('"', ""))
        line = st.lists(unquoted | escapes, max_size=4).map("".join)
    written = draw(line)
    for _ in range(draw(st.integers(0, 3))):
        written += draw(breaks) + draw(indents) + draw(line)
    if style[:1] in ("|", ">"):
        written = style + draw(st.sampled_from(["\n", "\r\n"])) + draw(indents) + written
    else:
        written = style + written + style
    before = draw(st.sampled_from(["", "a: 1\n", "m:\r\n  ", "- x\n- ", "m: {a: 1, ", "--- 1\n--- # é\n"]))
    properties = draw(st.sampled_from(["", "", "&a ", "!!str ", "! &b\n   "]))
    return (
        before
        + "loss: "
        + properties
        + written
        + draw(st.sampled_from(["", "\n", "}", "\nz: 1\n", " # t\n"]))
    )


def strings(value: Any, key: str = "") -> list[str]:
    """The texts under the key `loss` in what a parser of the format returns."""
    if isinstance(value, dict):
        entries = cast("dict[Any, Any]", value)
        return [text for name, below in entries.items() for text in strings(below, str(name))]
    if isinstance(value, list):
        return [text for item in cast("list[Any]", value) for text in strings(item)]
    return [value] if isinstance(value, str) and key == "loss" else []


def agrees(reading: Expressions, wanted: list[str]) -> None:
    refused = [diagnostic.code for diagnostic in reading.diagnostics if diagnostic.is_error]
    if not refused or not wanted:
        assert [source.text for source in reading.sources] == wanted
    for source in reading.sources:
        assert_exact(source)


@settings(PATIENT, max_examples=600)
@given(yaml_files())
def test_yaml_agrees_with_pyyaml(text: str) -> None:
    reading = read("c.yaml", text)
    try:
        wanted = strings(list(yaml.safe_load_all(text)))
    except yaml.constructor.ConstructorError:  # `=` and `<<` as values, which have no meaning
        pass
    except yaml.YAMLError:
        assert reading.sources == ()
        assert reading.diagnostics[0].code == "E405"
    else:
        agrees(reading, wanted)


@st.composite
def toml_files(draw: st.DrawFn) -> str:
    style = draw(st.sampled_from(["'", '"', "'''", '"""']))
    line = (
        pieces if "'" in style else st.lists(pieces.map(lambda t: t.replace("\\", "")) | escapes).map("".join)
    )
    written = draw(line)
    if len(style) == 3:
        written = (
            draw(st.sampled_from(["", "\n", "\r\n"])) + written + draw(st.sampled_from(["", "\n  ", "\r\n"]))
        )
        written += draw(line) + draw(st.sampled_from(["", style[0], style[:2]]))
    before = draw(
        st.sampled_from(["", "a.b = ['#', 1]\n", "[m]\r\n", "[[m]]\n[[m]]\n", "m = {a = 1, ", "'a\"b'.c."])
    )
    after = draw(st.sampled_from(["", "\n", " # c\n", "}", "\n[z]\nloss.a = 1979-05-27 07:32:00\n"]))
    return before + "loss = " + style + written + style + after


@settings(PATIENT, max_examples=400)
@given(toml_files())
def test_toml_agrees_with_the_standard_library(text: str) -> None:
    reading = read("c.toml", text)
    try:
        wanted = strings(tomllib.loads(text))
    except tomllib.TOMLDecodeError:
        assert [diagnostic.code for diagnostic in reading.diagnostics] == ["E405"]
    else:
        agrees(reading, wanted)


@settings(PATIENT, max_examples=300)
@given(st.text(), st.booleans(), st.sampled_from([None, 1, "\t"]))
def test_json_agrees_with_the_standard_library(text: str, ascii_only: bool, indent: int | str | None) -> None:
    inside: list[Any] = [{"é": text, "loss": "x" + text}, {}, []]
    written = json.dumps({"a": inside, "}": None}, ensure_ascii=ascii_only, indent=indent)
    agrees(read("c.json", written), ["x" + text])


@settings(PATIENT, max_examples=300)
@given(
    st.text(st.sampled_from("loss:=[]{}'\"|>&*!%@`#-?, \t\r\n\\ax0\u2028\ufeff\0")),
    st.sampled_from(["yaml", "toml", "json"]),
)
def test_anything_is_read_without_an_exception(text: str, suffix: str) -> None:
    reading = read(f"c.{suffix}", text)
    assert reading.sources or reading.diagnostics
    for source in reading.sources:
        assert_exact(source)
    for diagnostic in reading.diagnostics:
        assert diagnostic.code in full(diagnostic)


# ---------------------------------------------------------------------------- keys

MERGED = "base: &b {loss: ce, lr: 1}\nrun: {<<: *b, lr: 2}\nother: {<<: [*b], loss: l1}\n"
DEEP_TOML = (
    "[a.b]\nloss = 'ce'\n[[c]]\n[[c]]\nd.loss = 'l1'\n[[c.e]]\n'loss' = 'mse'\n[c.f]\ncriterion = 'nll'\n"
)

# A file, what `--key` asks for, and the keys found with their texts.
KEYS = [
    (
        "yaml",
        "loss: a\ncriterion: b\nobjective: c\nlosses: d\nLoss: e\n",
        None,
        "loss=a criterion=b objective=c",
    ),
    ("yaml", "t:\n  - 1\n  - [{loss: a}]\n  - x: {loss: b}\n", None, "t[1][0].loss=a t[2].x.loss=b"),
    ("yaml", "- loss: a\n- loss: b\n", None, "[0].loss=a [1].loss=b"),
    ("yaml", "loss: a\n--- 1\n---\n- loss: b\n", None, "loss=a [0].loss=b"),
    ("yaml", "loss: a\nloss: b\n", None, "loss=a loss=b"),
    ("yaml", "loss: {loss: a, w: 1}\n", None, "loss.loss=a"),
    ("yaml", "1: {true: {loss: a}}\n? [x]\n: {loss: b}\n", None, "1.true.loss=a ?.loss=b"),
    ("yaml", "x: &a ce\nloss: *a\ny: {loss: *a}\n", None, "loss=ce"),
    ("yaml", "x: &a {loss: ce}\ny: *a\n", None, "x.loss=ce"),
    ("yaml", MERGED, None, "base.loss=ce other.loss=l1"),
    ("yaml", MERGED, "r*.loss", "run.loss=ce"),
    ("yaml", MERGED, "run.loss", "run.loss=ce"),
    ("yaml", MERGED, "other.loss", "other.loss=l1"),
    ("yaml", "a: {b: x}\nb: y\nab: z\n", "b", "a.b=x b=y"),
    ("yaml", "a: {b: x}\nb: y\n", "a.b", "a.b=x"),
    ("yaml", "a: {b: x, c: y}\n", "a.*", "a.b=x a.c=y"),
    ("yaml", "a: [x, y]\n", "a[1]", "a[1]=y"),
    ("yaml", "a: [x, y]\nb: [z]\n", "a[*]", "a[0]=x a[1]=y"),
    ("yaml", "ax: x\nbx: y\ncx: z\n", "[ab]x", "ax=x bx=y"),
    ("yaml", "loss: {_target_: losslang.compile, text: ce, source: x}\n", None, "loss.text=ce"),
    ("yaml", "c: {_target_: losslang.compile, text: ce}\n", None, "c.text=ce"),
    ("yaml", "a: {loss: ce}\nb: {loss: {_target_: monai.Dice}}\nc: {loss: !D x}\n", None, "a.loss=ce"),
    ("yaml", "loss: {_target_: my.Wrapper, criterion: ce}\n", None, "loss.criterion=ce"),
    ("yaml", "loss: &a {x: *a, loss: ce}\n", None, "loss.loss=ce"),
    ("yaml", "a: &a {<<: *a, loss: ce}\n", None, "a.loss=ce"),
    ("yaml", "loss: 1e-3\n", None, "loss=1e-3"),
    ("yaml", "loss: ! 5\ncriterion: !!str 5\n", "criterion", "criterion=5"),
    ("toml", DEEP_TOML, None, "a.b.loss=ce c[1].d.loss=l1 c[1].e[0].loss=mse c[1].f.criterion=nll"),
    ("toml", "a = [[{loss = 'x'}], [{b.loss = 'y'}]]\n", None, "a[0][0].loss=x a[1][0].b.loss=y"),
    ("toml", "[a]\nx = 1\n[b]\nloss = 'y'\n[a.c]\nloss = 'z'\n", None, "b.loss=y a.c.loss=z"),
    ("json", '{"a": [{"loss": "x"}, {"b": {"loss": "y"}}]}', None, "a[0].loss=x a[1].b.loss=y"),
    ("json", '{"loss": "x", "loss": "y"}', None, "loss=x loss=y"),
]


@pytest.mark.usefixtures("each_parser")
@pytest.mark.parametrize(("suffix", "text", "key", "found"), KEYS)
def test_keys(suffix: str, text: str, key: str | None, found: str) -> None:
    reading = read(f"c.{suffix}", text, key=key)
    assert " ".join(f"{source.key}={source.text}" for source in reading.sources) == found
    assert reading.diagnostics == ()


# ---------------------------------------------------------------------------- mistakes

# A file, what `--key` asks for, and the codes with the places where they stand.
MISTAKES = [
    ("yaml", "a: ce: x\n", None, "E405@1:6"),
    ("yaml", "a: 1\nloss: @x\n", None, "E405@2:7"),
    ("yaml", "a: 1\r\nloss: 'ce\r\n", None, "E405@2:7"),
    ("yaml", "a: 1\nloss: [ce", None, "E405@2:7"),
    ("yaml", "loss: ce\n\tx: y\n", None, "E405@2:1"),
    ("yaml", "loss: *ce\n", None, "E405@1:7"),
    ("yaml", "a: &x 1\nb: &x 2\n", None, "E405@2:4"),
    ("yaml", "a: 1\nloss: c\0e\n", None, "E405@2:8"),
    ("yaml", 'a: 1\nloss: "\\UFFFFFFFF"\n', None, "E405@2:8"),
    ("yaml", "loss: ce # x\n  + dice\n", None, "E405@2:3"),
    ("toml", "a = 1\r\nb = \r\n", None, "E405@2:5"),
    ("toml", "a = 1\nloss = ce\n", None, "E405@2:8"),
    ("toml", "loss = 'ce", None, "E405@1:10"),
    ("toml", "a = " + "1" * 5000, None, "E405@1:5004"),
    ("json", '{"a": 1,\n "loss": ce}', None, "E405@2:10"),
    ("json", "", None, "E405@1:1"),
    ("yaml", "", None, "E406@1:1"),
    ("yaml", "ce + dice\n", None, "E406@1:1"),
    ("toml", "", None, "E406@1:1"),
    ("json", '"loss"', None, "E406@1:1"),
    ("yaml", "loss: ce\n", "los", "E406@1:1"),
    ("yaml", "a: 1\nloss:\n  name: ce\n", None, "E407@3:3"),
    ("yaml", "loss:\n  x: ce\n  cls: DiceLoss\n", None, "E407@3:3"),
    ("toml", "[loss]\nreduction = 'mean'\nname = 'a-b'\n", None, "E407@2:1"),
    ("yaml", "loss: [ce, l1]\n", None, "E407@1:1"),
    ("yaml", "loss: {}\nb: {loss: ce}\n", None, "E407@1:1"),
    ("yaml", "a: [{x: 1}]\n", "a[0]", "E407@1:5"),
    ("toml", "[loss]\nx = 1\n", None, "E407@1:2"),
    ("json", '{"a": {"loss": {"x": ["ce"]}}}', None, "E407@1:8"),
    ("yaml", "loss:\n", None, "E408@1:1"),
    ("yaml", "loss: # ce\n", None, "E408@1:1"),
    ("yaml", "loss: &ce\n", None, "E408@1:7"),
    ("yaml", "loss: ~\ncriterion: null\n", None, "E408@1:7 E408@2:12"),
    ("json", '{"loss": null}', None, "E408@1:10"),
    ("yaml", MERGED, "run.*", "E409@2:19"),
    ("yaml", "loss: 5\nobjective: 0.5\n", None, "E409@1:7 E409@2:12"),
    ("yaml", "a: {loss: no}\n", None, "E409@1:11"),
    ("yaml", "loss: 2026-01-31\n", None, "E409@1:7"),
    ("yaml", "loss: !!float 5\n", None, "E409@1:7"),
    ("toml", "loss = 1_000.5\na.loss = true\nb.loss = 07:32:00\n", None, "E409@1:8 E409@2:10 E409@3:10"),
    ("json", '{"loss": false, "a": {"loss": -1.5e3}}', None, "E409@1:10 E409@1:31"),
    ("yaml", "loss: {_target_: a.B}\n", None, "E410@1:1"),
    ("yaml", "loss: {_target_: losslang.compile, text: w = 1; w*ce, overrides: [w=1]}\n", None, "E426@1:55"),
    ("yaml", "loss: {_target_: losslang.compile, text: w = 1; w*ce, overrides: w=1}\n", None, "E426@1:55"),
    (
        "yaml",
        "loss: {class_path: losslang.compile, init_args: {text: ce, overrides: 3}}\n",
        None,
        "E426@1:60",
    ),
    ("yaml", "loss: {x: {_target_: a.B}, y: 1}\n", None, "E410@1:1"),
    ("yaml", "loss: !Dice {smooth: 1}\n", None, "E410@1:1"),
    ("yaml", "loss: !Dice smooth\n", None, "E410@1:1"),
    ("yaml", "loss: {_target_: a.B}\nx: {loss: ce}\n", "*loss", "E410@1:1"),
    ("json", '{"loss": {"_target_": "a.B"}}', None, "E410@1:2"),
    ("yaml", "loss: 0.5*ce + ${w}*dice\n", None, "W420@1:16"),
    ("yaml", "a: 1\nloss: |\n  ce # ${x}\n", None, "W420@3:8"),
    ("yaml", 'loss: "\\x24{a.${b}}*ce"\n', None, "W420@1:8"),
    ("toml", "loss = '''\nce +\n${w}'''\n", None, "E411@3:1"),
    ("loss", "ce\r\n+ ${w}\r\n", None, "E411@2:3"),
    ("yaml", "loss: >\n  ce # main\n  + dice\n", None, "E412@2:6"),
    ("yaml", "loss: >\r\n  ce # main\r\n  # more\r\n  + dice\r\n", None, "E412@2:6"),
    ("yaml", "loss: ce#main\n  + dice\n", None, "E412@1:9"),
    ("yaml", "loss: 'ce # main\n  + dice'\n", None, "E412@1:11"),
    ("yaml", 'loss: "ce # main \\\n  + dice"\n', None, "E412@1:11"),
    ("toml", 'loss = """\nce # main \\\n+ dice"""\n', None, "E412@2:4"),
    ("yaml", "loss: ce # + dice\n", None, "W401@1:10"),
    ("yaml", "loss: ce # seg + dice\n", None, "W401@1:10"),
    ("yaml", "m: {loss: ce, x: 1}\na:\n  loss: ce\n    + l1  ##  * 2 # why\n", None, "W401@4:11"),
    (
        "yaml",
        "b: {loss: 5}\na: [{loss: x}, {loss: ~}]\nloss: ${y}*ce\n",
        None,
        "E409@1:11 E408@2:23 W420@3:7",
    ),
]


def written(reading: Expressions) -> str:
    return " ".join(f"{d.code}@{d.source.place(d.span.start)}" for d in reading.diagnostics)


@pytest.mark.usefixtures("each_parser")
@pytest.mark.parametrize(("suffix", "text", "key", "codes"), MISTAKES)
def test_mistakes_stand_where_they_are(suffix: str, text: str, key: str | None, codes: str) -> None:
    reading = read(f"c.{suffix}", text, key=key)
    assert written(reading) == codes
    for diagnostic in reading.diagnostics:
        assert diagnostic.source.filename == f"c.{suffix}"
        assert diagnostic.fix
        assert "c." + suffix in full(diagnostic)


# Comments, tags and shapes that are nobody's mistake.
SILENT = [
    ("yaml", "loss: ce  # cross-entropy\n"),
    ("yaml", "loss: ce  # and/or something - else\n"),
    ("yaml", "loss: ce  # see arXiv:1606.04797 + the appendix\n"),
    ("yaml", "loss: ce  # was: ce + dice\n"),
    ("yaml", "loss: ce  # dice\n"),
    ("yaml", "loss: ce  # why # + not\n"),
    ("yaml", "# + dice\nloss: ce\n# + dice\n"),
    ("yaml", "loss: 'ce'  # + dice\n"),
    ("yaml", "loss: |  # + dice\n  ce\n"),
    ("yaml", "loss: |\n  ce # main\n  + dice\n"),
    ("yaml", "loss: >\n  ce\n  + dice # both\n"),
    ("yaml", "loss: >\n  ce + dice # both\n  # of them\n"),
    ("yaml", "loss: >\n  n = ce # main\n\n  n + dice\n"),
    ("yaml", 'loss: "n = ce # main\\nn + dice"\n'),
    ("yaml", "loss: f(a='#'\n  ) + dice\n"),
    ("toml", "loss = '''\nce # main\n+ dice'''\n"),
    ("json", '{"loss": "n = ce # main\\nn"}'),
]


@pytest.mark.usefixtures("each_parser")
@pytest.mark.parametrize(("suffix", "text"), SILENT)
def test_what_is_no_mistake(suffix: str, text: str) -> None:
    parse(only(read(f"c.{suffix}", text)))


def test_a_refused_value_leaves_the_others() -> None:
    reading = read("c.yaml", "a: {loss: ce}\nb: {loss: 5}\nc: {loss: l1 # + ce\n}\nd: {loss: '${x}*ce'}\n")
    assert [source.key for source in reading.sources] == ["a.loss", "c.loss"]
    assert [diagnostic.code for diagnostic in reading.diagnostics] == ["E409", "W401", "W420"]


def test_keys_that_sound_right_are_offered() -> None:
    (diagnostic,) = read("c.yaml", "train: {loss_fn: ce, lr: 1}\n").diagnostics
    assert diagnostic.fix == "`--key train.loss_fn`"
    (diagnostic,) = read("c.yaml", "train: {loss_fn: ce, lr: 1}\n", key="train.los_fn").diagnostics
    assert diagnostic.fix == "`--key train.loss_fn`"


# ---------------------------------------------------------------------------- pages

PAGES_HERE = [
    page
    for page in PAGES.values()
    if re.fullmatch("[EW]4..", page.code) and "losslang.compile('" not in page.example
]
CODES = [f"E4{number:02}" for number in range(1, 13)] + [
    "E420",
    "E421",
    "E422",
    "E424",
    "E425",
    "W401",
    "W420",
]


def test_codes() -> None:
    assert sorted(page.code for page in PAGES_HERE) == CODES


def run(page: Page, text: str) -> list[str]:
    """The codes of one example. One of form `python` ends in the reading."""
    if "[tool.losslang]" in text:
        return project_codes(text)
    if page.form == "python":
        *before, last = ast.parse(text).body
        names: dict[str, Any] = {"read": read, "Path": Path}
        exec(compile(ast.Module(before, []), "example", "exec"), names)
        assert isinstance(last, ast.Expr)
        reading = eval(compile(ast.Expression(last.value), "example", "eval"), names)
    else:
        reading = read(f"example.{page.form}", text)
    for source in reading.sources:
        parse(source)
    return [diagnostic.code for diagnostic in reading.diagnostics]


@pytest.mark.parametrize("page", PAGES_HERE, ids=lambda page: page.code)
def test_examples_and_repairs(page: Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(page, page.example) == [page.code]
    assert run(page, page.repair) == []
    assert page.title
    assert page.text


# ---------------------------------------------------------------------------- files

UNREADABLE = [
    ("no.yaml", None, "E401"),
    ("directory.yaml", None, "E401"),
    ("nul\0.yaml", None, "E401"),
    ("latin.yaml", "loss: ce # é".encode("latin-1"), "E402"),
    ("utf16.toml", "loss = 'ce'".encode("utf-16"), "E402"),
    ("half.json", b'{"loss": "\xe2\x82', "E402"),
    ("train.ini", b"loss = ce", "E403"),
    ("train", b"ce", "E403"),
    ("huge.json", b" " * 2_000_001, "E404"),
    ("large.json", b" " * 500_001, "E404"),
]


@pytest.mark.parametrize(("name", "data", "code"), UNREADABLE)
def test_a_file_that_cannot_be_read(name: str, data: bytes | None, code: str, tmp_path: Path) -> None:
    (tmp_path / "directory.yaml").mkdir()
    if data is not None:
        (tmp_path / name).write_bytes(data)
    reading = read(str(tmp_path / name))
    assert [diagnostic.code for diagnostic in reading.diagnostics] == [code]
    assert name.replace("\0", "␀") in full(reading.diagnostics[0])
    assert reading.sources == ()


def test_a_name_that_is_near_is_offered(tmp_path: Path) -> None:
    (tmp_path / "train.yaml").write_text("loss: ce")
    (diagnostic,) = read(str(tmp_path / "trian.yaml")).diagnostics
    assert diagnostic.fix == f"did you mean `{tmp_path / 'train.yaml'}`?"
    (diagnostic,) = read(str(tmp_path / "nowhere" / "train.yaml")).diagnostics
    assert "check the path" in diagnostic.fix


def test_a_byte_that_is_no_character_has_a_place(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_bytes("é: 1\nloss: ce ".encode() + b"\xff\n")
    (diagnostic,) = read(str(tmp_path / "c.yaml")).diagnostics
    assert str(diagnostic.source.place(diagnostic.span.start)) == "2:10"
    assert "byte 15 is 0xff" in diagnostic.message


@pytest.mark.parametrize("name", ["c.yaml", "c.YML", "c.toml", "c.Json", "c.loss"])
def test_files_are_read_by_suffix(name: str, tmp_path: Path) -> None:
    texts = {
        "yaml": "loss: ce",
        "yml": "loss: ce",
        "toml": "loss = 'ce'",
        "json": '{"loss": "ce"}',
        "loss": "ce",
    }
    (tmp_path / name).write_bytes(("\ufeff" + texts[name[2:].lower()]).encode())
    source = only(read(str(tmp_path / name)))
    assert (source.text, source.filename) == ("ce", str(tmp_path / name))
    assert source.place(0).row == 1
    assert source.lines[0] == texts[name[2:].lower()]


# ---------------------------------------------------------------------------- what is made to hurt

BOMB = "a0: &a0 {loss: ce}\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 12)
)
MERGES = "a0: &a0 {x: 1}\n" + "".join(f"a{i}: &a{i} {{<<: *a{i - 1}, k{i}: 1}}\n" for i in range(1, 9000))
CHAIN = "a0: &a0 {loss: ce}\n" + "".join(f"a{i}: &a{i} {{x: *a{i - 1}}}\n" for i in range(1, 9000))

HOSTILE = [
    ("yaml", "[" * 10_000, "E404"),
    ("yaml", "loss: " + "[" * 10_000 + "]" * 10_000, "E404"),
    ("yaml", "{a: " * 10_000, "E404"),
    ("yaml", "- " * 10_000 + "x", "E404"),
    ("yaml", "? " * 10_000, "E404"),
    ("yaml", "x: '?'\na: " + "[" * 10_000, "E404"),
    ("yaml", "&a [*a]\n", "E406"),
    ("yaml", "loss: &a {x: *a}\n", "E407"),
    ("yaml", "a: {<<: &s [*s]}\n", "E404"),
    ("yaml", BOMB, "E404"),
    ("yaml", MERGES, "E404"),
    ("yaml", CHAIN, "E404"),
    ("yaml", "loss: ce" + " " * 490_000 + "+ dice", ""),
    ("yaml", "loss: ce" + "\n" * 490_000 + "  + dice", ""),
    ("yaml", 'loss: "ce' + "\\n" * 240_000 + '"', ""),
    ("yaml", "loss: '" + "''" * 240_000 + "'", ""),
    ("yaml", "loss: >\n" + "  ce +  \n   \n" * 30_000, ""),
    ("yaml", "loss: '" + "${" * 200_000 + "'", "W420"),
    ("yaml", "loss: >\n  ce\n" + "  # a # b\n" * 40_000, ""),
    ("yaml", "loss: ce" + " #" * 240_000, ""),
    ("toml", "a = " + "[" * 10_000, "E404"),
    ("toml", "a = " + "[" * 10_000 + "]" * 10_000, "E404"),
    ("toml", "[" + ".".join("a" * 5000) + "]\nloss = 'ce'\n", "E404"),
    ("toml", 'loss = "' + '\\"' * 240_000, "E405"),
    ("toml", 'loss = """' + '"a' * 240_000, "E405"),
    ("toml", "loss = '''" + "'a" * 240_000, "E405"),
    ("json", "[" * 100_000, "E404"),
    ("json", "[" * 100_000 + "]" * 100_000, "E404"),
    ("json", '"' + '\\"' * 240_000, "E405"),
    ("json", '{"loss": ' + "1" * 400_000 + "}", "E409"),
    ("loss", "${" * 200_000, "E411"),
]


@pytest.mark.parametrize(("suffix", "text", "code"), HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_files_end_soon(suffix: str, text: str, code: str) -> None:
    start = time.perf_counter()
    reading = read(f"c.{suffix}", text)
    took = time.perf_counter() - start
    assert " ".join(diagnostic.code for diagnostic in reading.diagnostics) == code
    assert len(reading.sources) == (not code)
    # A second is the aim; what this guards against takes minutes.
    assert took < 10


# ---------------------------------------------------------------------------- writing

# A file, what its expression becomes, and the file after that.
REWRITES = [
    (
        "yaml",
        "a: 1 # x\nloss:   ce+dice   # y\nb: 2\n",
        "ce + dice",
        "a: 1 # x\nloss:   ce + dice   # y\nb: 2\n",
    ),
    ("yaml", "\ufeffloss: ce+dice", "ce + dice", "\ufeffloss: ce + dice"),
    ("yaml", "loss: n=ce;\n  n\nb: 1", "n = ce\nn", "loss: n = ce; n\nb: 1"),
    ("yaml", "loss: ce #x\n", "ce  # y", "loss: 'ce  # y' #x\n"),
    ("yaml", "loss: ce\n", "ce  # it's", "loss: 'ce  # it''s'\n"),
    ("yaml", "loss: ce\n", "5", "loss: '5'\n"),
    ("yaml", "loss: ce\n", "true", "loss: 'true'\n"),
    ("yaml", "loss: ce\n", "n = ce  # why\nn", "loss: ce\n"),
    ("yaml", "m: {loss: ce, b: 1}\n", "f(a=1, b=2)", "m: {loss: 'f(a=1, b=2)', b: 1}\n"),
    ("yaml", "m: {loss: ce, b: 1}\n", "ce + dice", "m: {loss: ce + dice, b: 1}\n"),
    ("yaml", "loss: &a !!str ce+l1\nb: *a\n", "ce + l1", "loss: &a !!str ce + l1\nb: *a\n"),
    ("yaml", "loss: ' ce '\n", "f(a='x')", "loss: 'f(a=''x'')'\n"),
    ("yaml", "loss: 'ce\n   + dice'\n", "n = ce\nn + dice", "loss: 'n = ce; n + dice'\n"),
    ("yaml", 'loss: "\\x63e"\n', 'f(a="x")', 'loss: "f(a=\\"x\\")"\n'),
    ("yaml", 'loss: "ce"\n', "n = ce  # \\é\x07\nn", 'loss: "n = ce  # \\\\é\\U00000007\\nn"\n'),
    ("yaml", "loss: |\n  n=ce\n  n\nb: 1\n", "n = ce  # x\nn", "loss: |\n  n = ce  # x\n  n\nb: 1\n"),
    ("yaml", "loss: |-\r\n   n=ce\r\n   n\r\n", "n = ce\nn", "loss: |-\r\n   n = ce\r\n   n\r\n"),
    ("yaml", "- loss: |+2 # h\n      n=ce\n\n\n- 1\n", "ce", "- loss: |+2 # h\n    ce\n\n\n- 1\n"),
    ("yaml", "loss: |\n  ce+l1   ", "ce + l1", "loss: |\n  ce + l1"),
    ("yaml", "loss: >\n  n=ce;\n  n\nb: 1\n", "n = ce\nn", "loss: >\n  n = ce;\n  n\nb: 1\n"),
    ("yaml", "loss: >\n  n=ce;-n\n", "n = ce;\n-n", "loss: >\n  n = ce;\n  -n\n"),
    ("yaml", "loss: 'n=ce;-n'\n", "n = ce;\n-n", "loss: 'n = ce; -n'\n"),
    ("yaml", "loss: |\n  n=ce;-n\n", "n = ce;\n-n", "loss: |\n  n = ce;\n  -n\n"),
    ("yaml", "loss: >-\n  n=ce;\n  n\n", "n = ce  # x\nn", "loss: |-\n  n = ce  # x\n  n\n"),
    ("yaml", "loss: >\n  ce\n  + dice\n", "ce + dice", "loss: >\n  ce\n  + dice\n"),
    ("toml", "loss = 'ce+l1' # x\n", "ce + l1", "loss = 'ce + l1' # x\n"),
    ("toml", "loss = 'ce'\n", "n = f(a='x')\nn", "loss = \"n = f(a='x'); n\"\n"),
    ("toml", "loss = 'ce'\n", "n = ce  # x\nn", 'loss = "n = ce  # x\\nn"\n'),
    ("toml", 'loss = "ce"\n', 'f(a="x")  # \\', 'loss = "f(a=\\"x\\")  # \\\\"\n'),
    ("toml", 'm = {loss = "n=ce;n"}\n', "n = ce\nn", 'm = {loss = "n = ce; n"}\n'),
    ("toml", "loss = '''\n  n=ce\n  n\n'''\n", "n = ce  # x\nn", "loss = '''\n  n = ce  # x\n  n\n'''\n"),
    ("toml", "loss = '''n=ce\r\nn'''\r\n", "n = ce\nn", "loss = '''n = ce\r\nn'''\r\n"),
    ("toml", 'loss = """\\\n  ce \\\n  +l1"""\n', "ce + l1", 'loss = """\\\n  ce + l1"""\n'),
    ("toml", 'loss = """\nn\n"""\n', 'n  # \\ """', 'loss = """\nn  # \\\\ ""\\"\n"""\n'),
    ("json", '{"loss": "ce+l1", "a": 1}\n', "ce + l1", '{"loss": "ce + l1", "a": 1}\n'),
    ("json", '{"loss" : "n=ce\\nn"}', "n = ce\nn", '{"loss" : "n = ce; n"}'),
    ("json", '{"loss": "ce # \\u00e9"}', "ce  # é\nx", '{"loss": "ce  # \\u00e9\\nx"}'),
    ("json", '{"loss": "ce # é"}', "ce  # é", '{"loss": "ce  # é"}'),
    ("loss", "n=ce;n", "n = ce\nn", "n = ce\nn\n"),
    ("loss", "\ufeffn=ce\r\nn", "n = ce\nn", "\ufeffn = ce\r\nn\r\n"),
]


@pytest.mark.usefixtures("each_parser")
@pytest.mark.parametrize(("suffix", "text", "new", "expected"), REWRITES)
def test_rewriting_keeps_the_style(suffix: str, text: str, new: str, expected: str) -> None:
    (source,) = read(f"c.{suffix}", text).sources
    changed = rewrite(text, source, new)
    assert changed == expected
    (again,) = read(f"c.{suffix}", changed).sources
    assert rewrite(changed, again, new) == changed


def test_several_values_are_rewritten_last_one_first() -> None:
    text = "a: {loss: ce+l1}\nb:\n  loss: |\n    l1+ce\nc: {loss: 'ce*2'}\n"
    changed = text
    for source in reversed(read("c.yaml", text).sources):
        changed = rewrite(changed, source, formatter.format(source))
    assert changed == "a: {loss: ce + l1}\nb:\n  loss: |\n    l1 + ce\nc: {loss: 'ce*2'}\n"


names = st.sampled_from(
    ["ce", "dice(smooth=1)", "f(a='x', b=[1, 2])", 'g("#")'.replace("(", "(c="), "2*-ce", "5", "true"]
)
notes = st.sampled_from(["", "", "", "  # note", '  # it\'s "q" \\ é', "  # : - ? x"])


@st.composite
def programs(draw: st.DrawFn) -> str:
    bindings = draw(st.integers(0, 2))
    lines = [f"n{i} = {draw(names)}{draw(notes)}" for i in range(bindings)]
    return "\n".join([*lines, draw(names) + draw(notes)])


@st.composite
def holders(draw: st.DrawFn) -> tuple[str, str, str]:
    """A suffix, and what stands before and after a value `OLD`."""
    return draw(
        st.sampled_from(
            [
                ("yaml", "a: 1\nloss: ", "\nz: 2\n"),
                ("yaml", "a: 1\r\nm: {x: [1], loss: ", ", z: 2} # c\r\n"),
                ("yaml", "- loss: '", "'\n- z\n"),
                ("yaml", 'm:\n  loss: &a "', '" # + dice\n  z: *a\n'),
                ("yaml", "m:\n  loss: |\n    ", "\n  z: 2\n"),
                ("yaml", "m:\n- loss: >-  # why\n\n    ", "\n\n- z: 2\n"),
                ("toml", "[m]\nloss = '", "'\nz = 2\n"),
                ("toml", 'm = {a = 1, loss = "', '", z = 2} # c\n'),
                ("toml", '[[m]]\nloss = """\n  ', '\n"""\n[z]\n'),
                ("toml", "loss = '''", "'''\nz = 2\n"),
                ("json", '{"a": [{"loss" : "', '"}],\n "z": 2}\n'),
            ]
        )
    )


@settings(PATIENT, max_examples=500)
@given(holders(), programs())
def test_a_rewritten_file_says_the_new_text_and_nothing_else_changed(
    holder: tuple[str, str, str], new: str
) -> None:
    suffix, before, after = holder
    text = before + "ce + x" + after
    (source,) = read(f"c.{suffix}", text).sources
    changed = rewrite(text, source, new)
    if changed == text:
        # Only a comment between statements has no place in a value of one line.
        assert "#" in new.rpartition("\n")[0]
        return
    assert changed.startswith(before.rstrip(" >-\n").removesuffix("# why").rstrip(" '\"|>-\n"))
    assert changed.endswith(after.lstrip("'\"\n"))
    (again,) = read(f"c.{suffix}", changed).sources
    assert parse(again) == parse(new)
    assert [c.text for c in parse(again).comments] == [c.text for c in parse(new).comments]
    assert (again.key, rewrite(changed, again, new)) == (source.key, changed)


def test_a_value_that_cannot_say_it_stays_as_it_is() -> None:
    text = "loss: ce\n"
    (source,) = read("c.yaml", text).sources
    assert rewrite(text, source, "not a program\nat all") == text


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("{_target_: monai.losses.DiceLoss, softmax: true, to_onehot_y: true}", "`dice(softmax)`"),
        (
            "{_target_: monai.losses.DiceCELoss, softmax: true, include_background: false}",
            "`ce + dice(softmax, background=false)`",
        ),
        (
            "{class_path: torch.nn.CrossEntropyLoss, init_args: {label_smoothing: 0.1}}",
            "`ce(label_smoothing=0.1)`",
        ),
    ],
)
def test_the_keys_beside_a_target_are_translated(text: str, wanted: str) -> None:
    [mistake] = read("a.yaml", f"loss: {text}").diagnostics
    assert mistake.code == "E410"
    assert wanted in mistake.fix
