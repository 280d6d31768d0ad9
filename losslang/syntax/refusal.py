"""Syntax error diagnosis: the mistake behind the character or the token that the parser refused.

It is decided by four facts alone: the token, the one before it, the brackets still open and whether the
text is over. Guessing further, as parser recovery does, invents mistakes nobody made.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from lark import Token

from losslang.diagnostics.diagnostic import Diagnostic
from losslang.diagnostics.elsewhere import what_instead
from losslang.diagnostics.mistakes import python, syntax
from losslang.diagnostics.source import Span
from losslang.syntax.tokens import CLOSING, OPENING, span_of

ENDS_OPERAND = {"NAME", "NUMBER", "STRING", *CLOSING}
DOTTED = re.compile(r"(?<![\w.])(?!(?:pred|target|batch|const)\b)((?:[A-Za-z_]\w*\.)+)([A-Za-z_]\w*)\s*\Z")
"""A name as Python has it, at the end of a text: `torch.nn.` and `MSELoss`."""


def refused_character(text: str, at: int) -> Diagnostic:
    """The mistake behind a character that begins no token: an open quote, or a sign the language lacks."""
    char = text[at]
    if char in "'\"":
        return syntax.unclosed_string(Span(at, at + 1), char)
    compared = (
        COMPARED.match(text, text.rfind("mask", 0, at)) if char in "!<>" and "mask" in text[:at] else None
    )
    if compared is not None and compared.start(2) == at:
        return _comparison(compared)
    if char in "~!" and (inverted := INVERTED.match(text, at)):
        return syntax.unexpected_character(Span(at, at + 1), char, _counting(inverted))
    if char in "<>" and (clock := CLOCK_BEFORE.search(text, 0, at)):
        return syntax.unexpected_character(Span(at, at + 1), char, _from_a_time_on(text, clock[1], at))
    percent = PERCENT.search(text, 0, at) if char == "%" else None
    meant = _with_number(text, percent.span(), f"{float(percent[0]) / 100:g}", at + 1) if percent else ""
    meant = f"write a percentage as a number: `{meant}`" if meant else ""
    return syntax.unexpected_character(Span(at, at + 1), char, meant)


CLOCK_BEFORE = re.compile(r"(?<![\w.])(step|epoch)s?\s*\Z")
"""A clock at the end of a text."""
TIME_AFTER = re.compile(r"[<>]=?\s*([0-9]+)\s*(?:\)\s*\*\s*([A-Za-z_]\w*)(?![\w(]))?")
"""A clock's comparison with a number, and the plain name that it multiplies."""


def _from_a_time_on(text: str, clock: str, at: int) -> str:
    """The schedule that `step > 1000` means, with the name that it multiplies."""
    compared = TIME_AFTER.match(text, at)
    time, loss = (compared[1], compared[2] or "ce") if compared else ("1000", "ce")
    names = ("after", "until") if text[at] == ">" else ("until", "after")
    meant, other = (f"`{name}({clock}s={time})*{loss}`" for name in names)
    return f"there are no comparisons: write {meant}; the other part of the time is {other}"


PERCENT = re.compile(r"(?<![\w.])[0-9]+(?:\.[0-9]*)?\s*\Z")
"""A number at the end of a text."""
TERM_AFTER = re.compile(r"\s*\*\s*[A-Za-z_]\w*(?![\w(])")
"""The plain name that a number multiplies."""


def _with_number(text: str, at: tuple[int, int], number: str, end: int = 0) -> str:
    """A number as it should be, with the plain name that it multiplies."""
    after = TERM_AFTER.match(text, end or at[1])
    return number + (after[0].replace(" ", "") if after else "")


OPTIONS_BEHIND = re.compile(r"\s*\(\s*(\w+\s*=[^()]*)\)")
"""Options in brackets of their own."""
CALL_BEFORE = re.compile(r"([A-Za-z_]\w*)(?:\(([^()]*)\))?(@[\w.]+)?\s*\Z")
"""A call, with its head if it has one, at the end of a text."""
GROUP_BEFORE = re.compile(r"\(([\w\s+*.-]*)\)\s*\Z")
"""Plain terms in brackets at the end of a text."""


def _options_inside(text: str, at: int) -> str:
    """What stands before `at` with the options that follow it in its calls; '' where no options follow."""
    options = OPTIONS_BEHIND.match(text, at)
    if options is None:
        return ""
    if (group := GROUP_BEFORE.search(text, 0, at)) and not re.search(r"\w\Z", text[: group.start()]):
        inside = re.sub(r"\b[A-Za-z_]\w*", lambda name: f"{name[0]}({options[1]})", group[1])
        return f"({inside})"
    if call := CALL_BEFORE.search(text, 0, at):
        before = f"{call[2]}, " if call[2] else ""
        return f"{call[1]}({before}{options[1]}){call[3] or ''}"
    return ""


COMPARED = re.compile(r"mask\s*=\s*(target(?:\.\w+)*)\s*(!=|>=|<=|<|>)\s*(-?[0-9]+)")
"""A mask that is a comparison of the target with a number."""


def _element(text: str, at: int) -> str:
    """What reads an element of a list, where its number alone stands behind `@`; '' for anything else."""
    number = re.compile(r"\[?\s*(-?[0-9]+)\b").match(text, at)
    before = text[:at].rstrip(" @")
    body = before[_opening(before) :] if before.endswith(")") else re.split(r"[^\w]", before)[-1]
    return f"{body}@pred[{number[1]}]" if number else ""


def _opening(text: str) -> int:
    """Where the call or the group begins that ends a text with its closing bracket."""
    at, depth = len(text), 0
    while at > 0 and (depth or at == len(text)):
        at -= 1
        depth += (text[at] == ")") - (text[at] == "(")
    name = re.search(r"\w*\Z", text[:at])
    return name.start() if name else at


def _comparison(found: re.Match[str]) -> Diagnostic:
    """The mistake of `mask=target != 255`: what is left out is a label, if it is one."""
    label = {"!=": found[3], ">=": "-1" if found[3] == "0" else "", ">": found[3] if found[3] == "-1" else ""}
    return python.comparison(Span(*found.span(2)), found[2], label.get(found[2], ""))


INVERTED = re.compile(r"(?:~|!|not\b)\s*\(?\s*((?:pred|target|batch|const)(?:\.[A-Za-z_]\w*)+)")
"""A tensor that is negated, as Python and C do it."""


def _counting(inverted: re.Match[str]) -> str:
    """The mask of what counts, of a tensor that is True where nothing counts."""
    return f"a mask says what counts: `mask=1 - {inverted[1]}`"


class _Before(NamedTuple):
    """The tokens before another: the last one, the open brackets, those of them that index a value."""

    token: Token | None
    opened: list[Token]
    indexing: set[int]

    @property
    def type(self) -> str:
        """The type of the last token; '' at the start of the text."""
        return self.token.type if self.token is not None else ""

    @property
    def inside(self) -> Token | None:
        """The innermost open bracket."""
        return self.opened[-1] if self.opened else None


def _scan(token: Token, tokens: Iterable[Token]) -> _Before:
    """Collects what stands before `token`: all tokens, if that is the end of the text."""
    before: Token | None = None
    opened: list[Token] = []
    indexing: set[int] = set()
    for seen in tokens:
        if token.type != "$END" and (seen.start_pos or 0) >= (token.start_pos or 0):
            break
        if seen.type in OPENING:
            opened.append(seen)
            if seen == "[" and before is not None and before.type in ENDS_OPERAND:
                indexing.add(id(seen))
        elif seen.type in CLOSING and opened:
            opened.pop()
        before = seen
    return _Before(before, opened, indexing)


def refused_token(text: str, token: Token, tokens: Iterable[Token]) -> Diagnostic:
    """The mistake behind a `token` that cannot stand where it stands among all `tokens` of a text."""
    before = _scan(token, tokens)
    if token.type == "$END":
        return _end(text, before)
    span, written, kind, inside = span_of(token), str(token), token.type, before.inside
    if kind == "_LPAR" and (dotted := DOTTED.search(text, 0, span.start)):
        return _dotted_call(dotted)
    if (found := _word(token, before.token)) is not None:
        inverted = INVERTED.match(text, found.start_pos or 0)
        return python.word(span_of(found), str(found), _counting(inverted) if inverted else "")
    if kind in CLOSING and (inside is None or OPENING[inside.type] != CLOSING[kind]):
        return syntax.stray_closing(span, written, (span_of(inside), str(inside)) if inside else None)
    if kind == "_SEP" and inside is not None:
        return syntax.unclosed(span_of(inside), str(inside))
    after_operand = before.type in ENDS_OPERAND
    if before.type == "_AT" or (kind == "_AT" and after_operand):
        return syntax.bad_route(span, written, _element(text, span.start) if before.type == "_AT" else "")
    if "_DOT" in (kind, before.type) or id(inside) in before.indexing:
        return syntax.bad_access(span, written, of_all=kind == "NAME" and id(inside) in before.indexing)
    if kind in ("STRING", "_LSQB") and not after_operand:
        return syntax.value_outside_option(span, "text" if kind == "STRING" else "list")
    if kind == "_LSQB":
        return syntax.bad_access(span, written)
    if kind == "_EQUALS" and "==" in text[span.start - 1 : span.end + 1]:
        return python.comparison(span, "==", "")
    if kind == "_EQUALS":
        return syntax.bad_assignment(span)
    if kind == "_COLON":
        return syntax.colon(span)
    if before.token is not None and after_operand and kind in ("NAME", "NUMBER", "_LPAR", "STRING"):
        meant = _options_inside(text, span.start) if kind == "_LPAR" else ""
        return syntax.side_by_side(span, str(before.token), written, span_of(before.token), meant)
    if kind == "_COMMA" and after_operand:
        decimal = (
            DECIMAL.match(text, before.token.start_pos or 0)
            if before.type == "NUMBER" and before.token
            else None
        )
        meant = _with_number(text, decimal.span(), decimal[0].replace(",", ".")) if decimal else ""
        return syntax.stray_comma(span, meant)
    return _missing(token, before.token)


DECIMAL = re.compile(r"[0-9]+,[0-9]+(?:[eE][+-]?[0-9]+)?")
"""A number with a decimal comma."""


def _dotted_call(found: re.Match[str]) -> Diagnostic:
    """The mistake of a call as Python writes it: its name, and the name's spelling here."""
    prefix, name = found[1], found[2]
    return python.dotted_call(Span(found.start(), found.end(2)), prefix + name, what_instead(name, ()))


def _word(token: Token, before: Token | None) -> Token | None:
    """The one of two operands side by side that is a word of another language; None if neither is."""
    if (
        before is None
        or before.type not in ENDS_OPERAND
        or token.type not in ("NAME", "NUMBER", "_LPAR", "STRING")
    ):
        return None
    return next((found for found in (token, before) if str(found) in python.WORDS), None)


def _end(text: str, before: _Before) -> Diagnostic:
    """The mistake of a text that ends too early."""
    if before.inside is not None:
        return syntax.unclosed(span_of(before.inside), str(before.inside))
    if before.token is None:
        return syntax.nothing_written(Span(0, len(text)))
    return syntax.missing_operand(span_of(before.token), "", str(before.token))


def _missing(token: Token, before: Token | None) -> Diagnostic:
    """The mistake of an operand that is missing before `token`."""
    instead = "the end of the line" if token.type == "_SEP" and token != ";" else str(token)
    after = str(before) if before is not None and before.type != "_SEP" else ""
    return syntax.missing_operand(span_of(token), instead, after)
