"""The renderers: pictures compared as a whole, laws for any text, structure for what tools read."""

from __future__ import annotations

import json
import re
import unicodedata
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from losslang.diagnostics import excerpt, formats, rendering
from losslang.diagnostics.diagnostic import Diagnostic, Label
from losslang.diagnostics.errors import LossError
from losslang.diagnostics.mistakes import Page
from losslang.diagnostics.source import Source, Span


def mistake(text: str, caret: str = "", *labels: str, **more: Any) -> Diagnostic:
    """A diagnostic of `text`, in which « » surround the caret's span and `labels` name the others.

    `caret` and each label read `text of the span: what to say`; the caret's span may be empty.
    """
    start = text.index("«")
    end = text.index("»") - 1
    bare = text.replace("«", "").replace("»", "")
    found: list[Label] = []
    for label in labels:
        spot, _, says = label.partition(": ")
        at = bare.index(spot)
        found.append(Label(Span(at, at + len(spot)), says))
    source = Source(bare, more.pop("filename", "a.loss"))
    facts = {"code": "E002", "message": "no", **more}
    return Diagnostic(span=Span(start, end), caret=caret, labels=tuple(found), source=source, **facts)


def in_yaml(expression: str, before: str, filename: str) -> Source:
    """`expression` as the plain scalar that ends a file."""
    offsets = tuple(len(before) + i for i in range(len(expression) + 1))
    return Source(expression, filename, "loss", before + expression + "\n", offsets)


# The example of the specification.
TWICE = Diagnostic(
    "E301",
    "`bce_with_logits` reads logits, but `sigmoid` hands it probabilities",
    Span(16, 23),
    caret="gives: probs",
    labels=(Label(Span(0, 15), "wants: logits"),),
    why="the sigmoid would be applied twice; training runs, with every gradient shrunk by p(1-p) <= 1/4",
    fix="`bce(sigmoid)`, which compiles to the same stable kernel",
    source=in_yaml("bce_with_logits(sigmoid) + dice(sigmoid)", "loss: ", "conf/train.yaml"),
)

FAR = "dice + " * 20 + "«bce»" + " + l1(x)" * 20
NAMED = "a = ce\nb = l1\nc = dice\nd = mse\n\n\n\n\n\ne = a * «b»"

PICTURES: dict[str, tuple[Diagnostic, str]] = {
    "the specification": (
        TWICE,
        """
error[E301]: `bce_with_logits` reads logits, but `sigmoid` hands it probabilities
 --> conf/train.yaml:1:23
  |
1 | loss: bce_with_logits(sigmoid) + dice(sigmoid)
  |       --------------- ^^^^^^^ gives: probs
  |       |
  |       wants: logits
  |
  = why: the sigmoid would be applied twice; training runs, with every gradient shrunk by p(1-p) <= 1/4
  = fix: `bce(sigmoid)`, which compiles to the same stable kernel
""",
    ),
    "a caret alone": (
        mistake("ce «^» 2", fix="a power is `**`"),
        """
error[E002]: no
 --> a.loss:1:4
  |
1 | ce ^ 2
  |    ^
  |
  = fix: a power is `**`
""",
    ),
    "a warning without notes": (
        mistake("«bce» + ce", "takes softmax", code="W301"),
        """
warning[W301]: no
 --> a.loss:1:1
  |
1 | bce + ce
  | ^^^ takes softmax
""",
    ),
    "several texts on one line": (
        mistake("one two «three»", "third", "one: first", "two: second"),
        """
error[E002]: no
 --> a.loss:1:9
  |
1 | one two three
  | --- --- ^^^^^ third
  | |   |
  | |   second
  | first
""",
    ),
    "the caret before its labels": (
        mistake("«one» two three", "first", "three: third", "two: second"),
        """
error[E002]: no
 --> a.loss:1:1
  |
1 | one two three
  | ^^^ --- ----- third
  | |   |
  | |   second
  | first
""",
    ),
    "a caret inside a label": (
        mistake("dice(«sigmoid»)", "probs", "dice(sigmoid): the call"),
        """
error[E002]: no
 --> a.loss:1:6
  |
1 | dice(sigmoid)
  | -----^^^^^^^- the call
  |      |
  |      probs
""",
    ),
    "two texts at one place": (
        mistake("«dice»(sigmoid)", "reads probs", "dice: defined here", "dice(sigmoid): the call"),
        """
error[E002]: no
 --> a.loss:1:1
  |
1 | dice(sigmoid)
  | ^^^^--------- the call
  | |
  | defined here
  | reads probs
""",
    ),
    "labels on other lines": (
        mistake(NAMED, "used here", "a =: bound here", "b =: and here", "d =: and there"),
        """
error[E002]: no
  --> a.loss:10:9
   |
 1 | a = ce
   | --- bound here
 2 | b = l1
   | --- and here
 3 | c = dice
 4 | d = mse
   | --- and there
...
10 | e = a * b
   |         ^ used here
""",
    ),
    "a span of several lines": (
        mistake("ce + «(  \r\n dice\n)»\n", "never ends"),
        """
error[E002]: no
 --> a.loss:1:6
  |
1 | ce + (
  |      ^ never ends
""",
    ),
    "the end of the text": (
        mistake("ce +«»", "an operand is missing"),
        """
error[E002]: no
 --> a.loss:1:5
  |
1 | ce +
  |     ^ an operand is missing
""",
    ),
    "a line break": (
        mistake("ce +«\n»dice", "here"),
        """
error[E002]: no
 --> a.loss:1:5
  |
1 | ce +
  |     ^ here
""",
    ),
    "nothing at all": (
        mistake("«»", "here", filename="conf/a.yaml", fix="write `ce`"),
        """
error[E002]: no
 --> conf/a.yaml
  |
  = fix: write `ce`
""",
    ),
    "notes of several lines": (
        mistake("«ce»", message="one\n  two", why="first\nsecond\n", fix="write\n    loss: |\n\n      ce"),
        """
error[E002]: one two
 --> a.loss:1:1
  |
1 | ce
  | ^^
  |
  = why: first
         second
  = fix: write
             loss: |

               ce
""",
    ),
    "tabs, wide and combining characters": (
        mistake("\t损失 = ce + e\u0301x + «ﬁ»", "one cell", "损失: four cells", "e\u0301: one, too"),
        """
error[E002]: no
 --> a.loss:1:18
  |
1 |     损失 = ce + éx + ﬁ
  |     ----        -    ^ one cell
  |     |           |
  |     |           one, too
  |     four cells
""".replace("é", "e\u0301"),
    ),
    "a combining character is pointed at in its own cell": (
        mistake("ce\u0301«\u0308» + x", "here"),
        """
error[E002]: no
 --> a.loss:1:4
  |
1 | cë + x
  |  ^ here
""".replace("ë", "e\u0301\u0308"),
    ),
    "what would steer a terminal": (
        mistake(
            "\x1b[31m«\x9b»2J \u202e\ud800\x7f\u200b\xa0",
            "\x1b[0m",
            filename="\x1b]0;.loss",
            fix="\rce",
        ),
        """
error[E002]: no
 --> ␛]0;.loss:1:6
  |
1 | ␛[31m�2J ��␡�
  |      ^ ␛[0m
  |
  = fix: ce
""",
    ),
    "cut on both sides": (
        mistake(FAR, "here", "dice: far on the left", "l1(x): near"),
        """
error[E002]: no
 --> a.loss:1:141
  |
1 | …ice + dice + dice + dice + dice + dice + dice + bce + l1(x) + l1(x) + l1(x) + l1(x) + l1(x) + l1(x) …
  | -                                                ^^^   ----- near
  | |                                                |
  | |                                                here
  | far on the left
""",
    ),
    "cut on the right": (
        mistake(FAR.replace("«", "").replace("»", "").replace("dice", "«dice»", 1), "here"),
        """
error[E002]: no
 --> a.loss:1:1
  |
1 | dice + dice + dice + dice + dice + dice + dice + dice + dice + dice + dice + dice + dice + dice + di…
  | ^^^^ here
""",
    ),
    "cut on the left": (
        mistake("dice + " * 20 + "«»", "an operand is missing"),
        """
error[E002]: no
 --> a.loss:1:141
  |
1 | …+ dice + dice + dice + dice + dice + dice + dice + dice + dice + dice + dice + dice + dice + dice +
  |                                                                                                      ^ an operand is missing
""",
    ),
}


@pytest.mark.parametrize("name", PICTURES)
def test_picture(name: str) -> None:
    diagnostic, picture = PICTURES[name]
    assert "\n" + rendering.full(diagnostic) + "\n" == picture


@pytest.mark.parametrize("name", PICTURES)
def test_color_only_adds_color(name: str) -> None:
    diagnostic, _ = PICTURES[name]
    painted = rendering.full(diagnostic, color=True)
    assert re.sub(r"\x1b\[[0-9;]*m", "", painted) == rendering.full(diagnostic)


def test_colors() -> None:
    painted = rendering.full(TWICE, color=True)
    assert "\x1b[1;31merror[E301]\x1b[0m" in painted
    assert "\x1b[1;31m^^^^^^^\x1b[0m" in painted
    assert "\x1b[1;34m---------------\x1b[0m" in painted
    warning = rendering.full(mistake("«ce»", code="W301"), color=True)
    assert "\x1b[1;33mwarning[W301]\x1b[0m" in warning
    assert "\x1b[1;33m^^\x1b[0m" in warning


def test_an_exception_shows_the_picture() -> None:
    assert str(LossError([TWICE])) == PICTURES["the specification"][1].removesuffix("\n")


# ---------------------------------------------------------------------------- laws, for any text

ANY = st.text(st.characters(), max_size=60)  # surrogates included
SHORT = st.text(st.characters(), max_size=8)
# Few kinds of characters, so that long lines of odd ones are common.
KINDS = "ab \t\r\v\x1b\x9b\u0301\u0e31\u200d\u202e\ud800\udfff\u1161\u3000损한ﬁ👩…é"
ODD = st.text(KINDS).map(lambda text: text * 12)


@st.composite
def diagnostics(draw: st.DrawFn) -> Diagnostic:
    file = draw(ANY | ODD)
    start, end = sorted((draw(st.integers(0, len(file))), draw(st.integers(0, len(file)))))
    text = file[start:end]
    offsets = tuple(range(start, end + 1))
    spans = st.tuples(st.integers(-2, len(text) + 2), st.integers(-2, len(text) + 2)).map(lambda s: Span(*s))
    return Diagnostic(
        draw(st.sampled_from(["E301", "W301", "E999"])),
        draw(ANY),
        draw(spans),
        caret=draw(SHORT),
        labels=tuple(draw(st.lists(st.builds(Label, spans, SHORT), max_size=4))),
        why=draw(SHORT),
        fix=draw(SHORT),
        source=Source(text, draw(SHORT), "", file, offsets),
    )


def width(shown: str) -> int:
    """Cells of a text that holds nothing but visible characters."""
    drawn = [char for char in shown if not unicodedata.combining(char) and char not in "\u0e31\u1161"]
    return len(drawn) + sum(unicodedata.east_asian_width(char) in "WF" for char in drawn)


def pointing(text: str, at: int) -> tuple[str, str]:
    """The line of `text` as shown, and the line below it with the caret of one character."""
    diagnostic = Diagnostic("E1", "", Span(at, at + 1), source=Source(text))
    _, _, _, line, carets = rendering.full(diagnostic).split("\n")
    return line, carets


@given(ODD, ODD)
@example("\t" * 30, "")
@example("损" * 80, "损" * 80)
@example("a" + "\u0301" * 300, "\u0301" * 300)
def test_the_caret_stands_under_its_character(before: str, after: str) -> None:
    line, carets = pointing(f"{before}@{after}", len(before))
    assert carets.count("^") == 1
    assert width(line[: line.index("@")]) == carets.index("^")
    assert width(line) <= len("1 | ") + excerpt.WIDTH + len("……")


@given(ODD, ODD, st.sampled_from("损한👩\uff08"))
def test_wide_characters_have_wide_carets(before: str, after: str, wide: str) -> None:
    before = before.replace(wide, "")
    line, carets = pointing(before + wide + after, len(before))
    assert carets.endswith(" ^^")
    assert width(line[: line.index(wide)]) == carets.index("^")


@given(st.lists(diagnostics(), max_size=3))
def test_every_renderer_takes_any_text(pages: None, found: list[Diagnostic]) -> None:
    for diagnostic in found:
        for shown in (rendering.full(diagnostic), rendering.concise(diagnostic), formats.github(diagnostic)):
            shown.encode("utf-8")
            assert all(char.isprintable() or char == "\n" for char in shown)
        assert not any(line != line.rstrip() for line in rendering.full(diagnostic).split("\n")[2:])
        assert "\n" not in rendering.concise(diagnostic) + formats.github(diagnostic)
        rendering.full(diagnostic, color=True).encode("utf-8")
    check_json(found)
    check_sarif(found)


# ---------------------------------------------------------------------------- one line


def test_concise() -> None:
    assert rendering.concise(TWICE) == (
        "conf/train.yaml:1:23: E301 `bce_with_logits` reads logits, but `sigmoid` hands it probabilities"
        " [fix: `bce(sigmoid)`, which compiles to the same stable kernel]"
    )
    assert rendering.concise(mistake("ce\n«^»", message="one\ntwo")) == "a.loss:2:1: E002 one two"


def test_github() -> None:
    hard = mistake("ce «^»", message="100%:\r\na, b", fix="c", filename="a,b:c%.loss")
    assert formats.github(hard) == (
        "::error file=a%2Cb%3Ac%25.loss,line=1,col=4,endLine=1,endColumn=5,title=losslang E002"
        "::100%25:%0Aa, b%0Afix: c"
    )


def test_github_has_no_columns_over_several_lines() -> None:
    assert formats.github(mistake("«ce\n^»", code="W301")) == (
        "::warning file=a.loss,line=1,endLine=2,title=losslang W301::no"
    )


# ---------------------------------------------------------------------------- JSON


def check_json(found: list[Diagnostic]) -> list[dict[str, Any]]:
    text = formats.json_report(found)
    assert text.isascii()
    records: list[dict[str, Any]] = json.loads(text)
    assert len(records) == len(found)
    for record, diagnostic in zip(records, found, strict=True):
        json.dumps(record, ensure_ascii=False).encode("utf-8")
        assert record["code"] == diagnostic.code
        start, end = diagnostic.source.places(diagnostic.span)
        assert record["location"] == {"row": start.row, "column": start.column}
        assert record["end_location"] == {"row": end.row, "column": end.column}
        assert record["fix"] is None or record["fix"]
    return records


def test_json() -> None:
    first, second = check_json([TWICE, mistake("损\ud800失 «👩»", message="损👩\ud800")])
    assert first == {
        "code": "E301",
        "severity": "error",
        "message": TWICE.message,
        "filename": "conf/train.yaml",
        "location": {"row": 1, "column": 23},
        "end_location": {"row": 1, "column": 30},
        "caret": "gives: probs",
        "labels": [
            {
                "text": "wants: logits",
                "location": {"row": 1, "column": 7},
                "end_location": {"row": 1, "column": 22},
            }
        ],
        "why": TWICE.why,
        "fix": TWICE.fix,
        "url": "docs/mistakes.md#e301",
    }
    assert (second["message"], second["fix"], second["labels"]) == ("损👩\ufffd", None, [])
    assert second["location"] == {"row": 1, "column": 5}
    assert formats.json_report([]) == "[]"


# ---------------------------------------------------------------------------- SARIF


@pytest.fixture(scope="module")
def pages() -> Any:
    """Pages of this test's own, so that it does not depend on the wording of real ones."""
    known = {
        "E301": Page("E301", "Two activations", "The second undoes the first.", "a(b)", "a"),
        "W301": Page("W301", "A neighbour decides", "", "a + b", "a"),
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(formats, "page", known.get)
        yield


URI = re.compile(r"(file:///)?([A-Za-z0-9._~/-]|%[0-9A-F]{2})*")


def check_sarif(found: list[Diagnostic]) -> dict[str, Any]:
    text = formats.sarif(found)
    assert text.isascii()
    log: dict[str, Any] = json.loads(text)
    assert log["version"] == "2.1.0"
    (run,) = log["runs"]
    assert run["columnKind"] == "unicodeCodePoints"
    rules = run["tool"]["driver"]["rules"]
    assert sorted(rule["id"] for rule in rules) == sorted({diagnostic.code for diagnostic in found})
    for rule in rules:
        assert rule["shortDescription"]["text"]
        assert rule["fullDescription"]["text"]
        assert rule["help"]["text"]
    for result, diagnostic in zip(run["results"], found, strict=True):
        assert result["ruleId"] == rules[result["ruleIndex"]]["id"] == diagnostic.code
        assert result["level"] == ("error" if diagnostic.is_error else "warning")
        for location in [*result["locations"], *result.get("relatedLocations", [])]:
            region = location["physicalLocation"]["region"]
            starts = (region["startLine"], region["startColumn"])
            assert (1, 1) <= starts <= (region["endLine"], region["endColumn"])
            assert URI.fullmatch(location["physicalLocation"]["artifactLocation"]["uri"])
    return run


def test_sarif(pages: None) -> None:
    run = check_sarif([TWICE, mistake("«ce»", code="W301"), TWICE, mistake("«ce»", code="E999")])
    assert [rule["id"] for rule in run["tool"]["driver"]["rules"]] == ["E301", "W301", "E999"]
    assert run["tool"]["driver"]["rules"][0] == {
        "id": "E301",
        "shortDescription": {"text": "Two activations"},
        "fullDescription": {"text": "The second undoes the first."},
        "help": {"text": str(Page("E301", "Two activations", "The second undoes the first.", "a(b)", "a"))},
        "defaultConfiguration": {"level": "error"},
    }
    first = run["results"][0]
    assert first["message"]["text"] == f"{TWICE.message}\nwhy: {TWICE.why}\nfix: {TWICE.fix}"
    assert first["locations"][0]["physicalLocation"] == {
        "artifactLocation": {"uri": "conf/train.yaml"},
        "region": {"startLine": 1, "startColumn": 23, "endLine": 1, "endColumn": 30},
    }
    assert first["relatedLocations"][0]["message"] == {"text": "wants: logits"}
    assert [result["ruleIndex"] for result in run["results"]] == [0, 1, 0, 2]


@pytest.mark.parametrize(
    ("filename", "uri"),
    [
        ("conf/train.yaml", "conf/train.yaml"),
        ("./a b/ü#?.yaml", "a%20b/%C3%BC%23%3F.yaml"),
        ("../a:b.yaml", "../a%3Ab.yaml"),
        ("<expression>", "%3Cexpression%3E"),
        ("/etc/a b.yaml", "file:///etc/a%20b.yaml"),
        ("100%.yaml", "100%25.yaml"),
    ],
)
def test_sarif_uri(pages: None, filename: str, uri: str) -> None:
    run = check_sarif([mistake("«ce»", filename=filename)])
    found = run["results"][0]["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
    assert found == uri
    assert unquote(found).removeprefix("file://") == filename.removeprefix("./")
