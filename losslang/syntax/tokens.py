"""Tokens: those that open and close brackets, and where a token stands in the text."""

from __future__ import annotations

from lark import Token

from losslang.diagnostics.source import Span

OPENING = {"_LPAR": "(", "_LSQB": "["}
CLOSING = {"_RPAR": "(", "_RSQB": "["}


def span_of(token: Token) -> Span:
    """The span of a token in the text."""
    return Span(token.start_pos or 0, token.end_pos or 0)
