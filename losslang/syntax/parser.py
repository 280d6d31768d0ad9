"""The parser: text to tree by Lark's LALR parser over grammars/loss.lark.

Where it refuses a text, `refusal`, loaded then, finds the mistake.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from pathlib import Path as FilePath
from typing import Any, Literal

from lark import Lark, Token, Tree, lexer
from lark.exceptions import UnexpectedCharacters, UnexpectedToken

from losslang.diagnostics.errors import LossError
from losslang.diagnostics.mistakes import syntax
from losslang.diagnostics.source import Source, Span
from losslang.syntax import tree
from losslang.syntax.program_text import source_of
from losslang.syntax.tokens import CLOSING, OPENING
from losslang.syntax.tree_builder import build_tree

MAX_CHARACTERS = 4096
OPERATORS = {"PLUS", "MINUS", "STAR", "SLASH", "_POWER", "_AT", "_EQUALS"}


def parse(text: str | Source) -> tree.Program:
    """Parses a program into its tree, without looking up a name.

    Args:
        text: The program, or a Source that knows its place in a config file.

    Raises:
        LossError: The text is not a program; the error holds the one syntax mistake.

    Example:
        >>> tree = losslang.parse("ce + 2*dice")
        >>> [type(term).__name__ for term in tree.result.terms]
        ['Call', 'Product']
    """
    source = source_of(text)
    try:
        return _parse(source.text)
    except LossError as error:
        raise LossError([d.at(source) for d in error.diagnostics]) from None


def _parse(text: str) -> tree.Program:
    """Parses a text; its mistakes have no source yet."""
    if len(text) > MAX_CHARACTERS:
        span = Span(MAX_CHARACTERS, MAX_CHARACTERS + 1)
        raise LossError([syntax.too_big(span, "characters", MAX_CHARACTERS)])
    try:
        parsed: Tree[Token] = PARSER.parse(text)
    except UnexpectedCharacters as error:
        from losslang.syntax.refusal import refused_character

        at: Any = error.pos_in_stream
        raise LossError([refused_character(text, at)]) from None
    except UnexpectedToken as error:
        from losslang.syntax.refusal import refused_token

        refused: Any = error.token
        tokens: Any = _lexer()
        raise LossError([refused_token(text, refused, tokens.lex(text))]) from None
    return build_tree(parsed, text)


class _Statements:
    """Filters the tokens: drops comments and line breaks that end no statement; the others become `_SEP`.

    A break counts only outside of brackets, and neither after an operator nor before one.
    """

    always_accept = ("_BREAK", "_SEMICOLON", "COMMENT")

    def process(self, stream: Iterator[Token]) -> Iterator[Token]:
        depth = 0
        before: Token | None = None
        pending: Token | None = None
        for token in stream:
            if token.type == "COMMENT" or (token.type == "_BREAK" and depth > 0):
                continue
            if token.type in ("_BREAK", "_SEMICOLON"):
                if before is not None and (pending is None or token.type == "_SEMICOLON"):
                    pending = token
                continue
            if pending is not None and before is not None:
                joins = before.type in OPERATORS or token.type in OPERATORS
                if pending.type == "_SEMICOLON" or not joins:
                    yield Token.new_borrow_pos("_SEP", str(pending), pending)
            pending = None
            depth += (token.type in OPENING) - (token.type in CLOSING)
            before = token
            yield token
        if pending is not None and before is not None and before.type in OPERATORS:
            if pending.type == "_SEMICOLON":
                yield Token.new_borrow_pos("_SEP", str(pending), pending)


def grammar() -> str:
    """Reads the grammar: beside the modules in a wheel, beside the package in a checkout."""
    packaged = files("losslang") / "grammars" / "loss.lark"
    if packaged.is_file():
        return packaged.read_text(encoding="utf-8")
    checkout = FilePath(__file__).parent.parent.parent / "grammars" / "loss.lark"
    return checkout.read_text(encoding="utf-8")


def _lark(parser: Literal["lalr"] | None) -> Lark:
    """Builds the parser; with None the lexer alone."""
    # Where `interegular` is installed, lark compares every two terminals for overlaps: most of the
    # time of a check, for what a test has shown once and for all.
    compares = lexer.has_interegular
    lexer.has_interegular = False
    try:
        return Lark(
            grammar(),
            start="program",
            parser=parser,
            lexer="basic",
            propagate_positions=True,
            maybe_placeholders=False,
            postlex=_Statements(),
        )
    finally:
        lexer.has_interegular = compares


# Lark's own types are partly unknown.
PARSER: Any = _lark("lalr")
"""Built by the import, before anything is collected as garbage: it makes ten thousand objects."""


@cache
def _lexer() -> Any:
    """Builds what cuts a refused text into tokens."""
    return _lark(None)
