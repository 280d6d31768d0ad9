"""Format traps: what YAML, TOML or JSON may have done to an expression, or left undone."""

from __future__ import annotations

import re

from losslang.diagnostics.diagnostic import Diagnostic
from losslang.diagnostics.errors import LossError
from losslang.diagnostics.mistakes import files
from losslang.diagnostics.source import Span
from losslang.syntax.parser import parse
from losslang.tools.configfile.nodes import Decoded, Scalar

INTERPOLATION = re.compile(r"\$\{(?:[^{}]|\{[^{}]*\})*\}?")
COMMENT = re.compile(r"'[^'\n]*'|\"[^\"\n]*\"|(#[^\n]*)")
TAIL = re.compile(r"[ \t]+(#[# \t]*([^\r\n]*))")
# A hyphen or a slash inside a word is prose: `cross-entropy`, `and/or`.
OPERATOR = re.compile(r"[+*@]|(?:^|\s)[-/](?:\s|$)")


def interpolated(written: Decoded) -> Diagnostic | None:
    """E411 for the first `${...}`; None if there is none."""
    match = INTERPOLATION.search(written.text)
    if match is None:
        return None
    return files.interpolation(_placed(written, *match.span()), match[0])


def swallows(text: str, written: Decoded, form: str) -> Diagnostic | None:
    """E412 for the first comment that runs on over a line break which the format removed."""
    for comment_match in COMMENT.finditer(written.text):
        if comment_match[1] is None:
            continue
        first, last = _placed(written, *comment_match.span(1))
        row_end = _line_end(text, first)
        at = row_end + 1
        while at < last:
            line_end = min(_line_end(text, at), last)
            line = text[at:line_end]
            # A line that is a comment itself loses nothing by belonging to another.
            if line.strip() and not line.lstrip().startswith("#"):
                start = at + len(line) - len(line.lstrip())
                swallowed = Span(start, at + len(line.rstrip()))
                comment = Span(first, first + len(text[first:row_end].rstrip()))
                return files.swallowed(comment, swallowed, form)
            at = line_end + 1
    return None


def cut(text: str, scalar: Scalar, written: Decoded, key: str) -> Diagnostic | None:
    """W401 for a YAML comment just after a bare value, if it reads like more of the expression."""
    match = TAIL.match(text, scalar.end) if not scalar.style else None
    if match is None:
        return None
    tail = match[2].partition("#")[0].rstrip()
    if not OPERATOR.search(tail) or not is_program(written.text):
        return None
    if not is_program(tail) and not is_program(f"{written.text} {tail}"):
        return None
    start = match.start(1)
    shown = text[start : match.start(2)] + tail
    return files.cut(Span(start, start + len(shown)), key, shown)


def is_program(text: str) -> bool:
    """True if a text parses."""
    try:
        parse(text)
    except LossError:
        return False
    return True


def _placed(written: Decoded, start: int, end: int) -> Span:
    """The span in the file of the characters `start` to `end` of an expression."""
    return Span(written.offsets[start], written.offsets[end - 1] + 1)


def _line_end(text: str, at: int) -> int:
    """The offset of the next line break."""
    end = text.find("\n", at)
    return len(text) if end < 0 else end
