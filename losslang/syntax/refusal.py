"""Why a text has no tree, read from what the parser refused.

From four facts alone: the token, the one before it, the brackets still open and whether the text is
over. Guessing further, as parser recovery does, invents mistakes nobody made.
"""

from __future__ import annotations

from collections.abc import Iterable

from lark import Token

from losslang.diagnostics.diagnostic import Diagnostic
from losslang.diagnostics.mistakes import syntax
from losslang.diagnostics.source import Span

OPENING = {"_LPAR": "(", "_LSQB": "["}
CLOSING = {"_RPAR": "(", "_RSQB": "["}
ENDS_OPERAND = {"NAME", "NUMBER", "STRING", *CLOSING}


def refused_character(text: str, at: int) -> Diagnostic:
    char = text[at]
    if char in "'\"":
        return syntax.unclosed_string(Span(at, at + 1), char)
    return syntax.unexpected_character(Span(at, at + 1), char)


def refused_token(text: str, token: Token, tokens: Iterable[Token]) -> Diagnostic:
    """The mistake behind a `token` that cannot stand where it stands among all `tokens` of a text."""
    at_end = token.type == "$END"
    before: Token | None = None
    opened: list[Token] = []
    accesses: set[int] = set()
    for seen in tokens:
        if not at_end and (seen.start_pos or 0) >= (token.start_pos or 0):
            break
        if seen.type in OPENING:
            opened.append(seen)
            if seen == "[" and before is not None and before.type in ENDS_OPERAND:
                accesses.add(id(seen))
        elif seen.type in CLOSING and opened:
            opened.pop()
        before = seen
    if at_end:
        return _end(text, before, opened)
    span, found = span_of(token), str(token)
    after = str(before) if before is not None else ""
    kind, previous = token.type, before.type if before is not None else ""
    inside = opened[-1] if opened else None
    if kind in CLOSING and (inside is None or OPENING[inside.type] != CLOSING[kind]):
        return syntax.stray_closing(span, found, (span_of(inside), str(inside)) if inside else None)
    if kind == "_SEP" and inside is not None:
        return syntax.unclosed(span_of(inside), str(inside))
    if previous == "_AT" or (kind == "_AT" and previous in ENDS_OPERAND):
        return syntax.bad_route(span, found)
    if "_DOT" in (kind, previous) or (inside is not None and id(inside) in accesses):
        return syntax.bad_access(span, found)
    if kind in ("STRING", "_LSQB") and previous not in ENDS_OPERAND:
        return syntax.value_outside_option(span, "text" if kind == "STRING" else "list")
    if kind == "_LSQB":
        return syntax.bad_access(span, found)
    if kind == "_EQUALS":
        return syntax.bad_assignment(span)
    if kind == "_COLON":
        return syntax.colon(span)
    if before is not None and previous in ENDS_OPERAND and kind in ("NAME", "NUMBER", "_LPAR", "STRING"):
        return syntax.side_by_side(span, after, found, span_of(before))
    if kind == "_COMMA" and previous in ENDS_OPERAND:
        return syntax.stray_comma(span)
    return _missing(token, before)


def _end(text: str, before: Token | None, opened: list[Token]) -> Diagnostic:
    if opened:
        return syntax.unclosed(span_of(opened[-1]), str(opened[-1]))
    if before is None:
        return syntax.nothing_written(Span(0, len(text)))
    return syntax.missing_operand(span_of(before), "", str(before))


def _missing(token: Token, before: Token | None) -> Diagnostic:
    found = "the end of the line" if token.type == "_SEP" and token != ";" else str(token)
    after = str(before) if before is not None and before.type != "_SEP" else ""
    return syntax.missing_operand(span_of(token), found, after)


def span_of(token: Token) -> Span:
    """Where a token stands."""
    return Span(token.start_pos or 0, token.end_pos or 0)
