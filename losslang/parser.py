"""Text to tree. Lark does the grammar; this file says what went wrong where it refuses."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from functools import cache
from importlib.resources import files
from pathlib import Path as FilePath
from typing import Any

from lark import Lark, Token, Tree
from lark.exceptions import UnexpectedCharacters, UnexpectedToken

from losslang import tree
from losslang.diagnostics import Diagnostic, LossError
from losslang.mistakes import syntax
from losslang.text import Source, Span

MAX_CHARACTERS = 4096
MAX_NODES = 500
MAX_NESTING = 64

OPENING = {"_LPAR": "(", "_LSQB": "["}
CLOSING = {"_RPAR": "(", "_RSQB": "["}
OPERATORS = {"PLUS", "MINUS", "STAR", "SLASH", "_POWER", "_AT", "_EQUALS"}
ENDS_OPERAND = {"NAME", "NUMBER", "STRING", *CLOSING}


def parse(text: str | Source) -> tree.Program:
    """The tree of `text`. Raises LossError with the one syntax mistake of a text that has no tree."""
    source = text if isinstance(text, Source) else Source(text)
    try:
        return _parse(source.text)
    except LossError as error:
        raise LossError([d.at(source) for d in error.diagnostics]) from None


def _parse(text: str) -> tree.Program:
    if len(text) > MAX_CHARACTERS:
        span = Span(MAX_CHARACTERS, MAX_CHARACTERS + 1)
        raise LossError([syntax.too_big(span, "characters", MAX_CHARACTERS)])
    try:
        parsed = _lark().parse(text)
    except UnexpectedCharacters as error:
        raise LossError([_character(text, error.pos_in_stream)]) from None
    except UnexpectedToken as error:
        raise LossError([_token(text, error)]) from None
    return _build(parsed, text)


class _Statements:
    """Drops comments, and the line breaks that end no statement; the rest become one `_SEP`.

    A break counts only outside brackets, and neither after an operator nor before one.
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
    """The text of the grammar: beside the modules in a wheel, beside the package in a checkout."""
    packaged = files("losslang") / "grammars" / "loss.lark"
    if packaged.is_file():
        return packaged.read_text(encoding="utf-8")
    checkout = FilePath(__file__).parent.parent / "grammars" / "loss.lark"
    return checkout.read_text(encoding="utf-8")


@cache
def _lark() -> Lark:
    return Lark(
        grammar(),
        start="program",
        parser="lalr",
        lexer="basic",
        propagate_positions=True,
        maybe_placeholders=False,
        postlex=_Statements(),
    )


# ---------------------------------------------------------------------------- what went wrong


def _character(text: str, at: int) -> Diagnostic:
    char = text[at]
    if char in "'\"":
        return syntax.unclosed_string(Span(at, at + 1), char)
    return syntax.unexpected_character(Span(at, at + 1), char)


def _token(text: str, error: UnexpectedToken) -> Diagnostic:
    """The mistake behind a token that cannot stand where it stands.

    Read from four facts: the token, the one before it, the brackets still open and whether the
    text is over. Guessing further, as parser recovery does, invents mistakes nobody made.
    """
    token = error.token
    at_end = token.type == "$END"
    before: Token | None = None
    opened: list[Token] = []
    accesses: set[int] = set()
    for seen in _lark().lex(text):
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
    span, found = _span(token), str(token)
    after = str(before) if before is not None else ""
    kind, previous = token.type, before.type if before is not None else ""
    inside = opened[-1] if opened else None
    if kind in CLOSING and (inside is None or OPENING[inside.type] != CLOSING[kind]):
        return syntax.stray_closing(span, found, (_span(inside), str(inside)) if inside else None)
    if kind == "_SEP" and inside is not None:
        return syntax.unclosed(_span(inside), str(inside))
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
        return syntax.side_by_side(span, after, found, _span(before))
    if kind == "_COMMA" and previous in ENDS_OPERAND:
        return syntax.stray_comma(span)
    return _missing(token, before)


def _end(text: str, before: Token | None, opened: list[Token]) -> Diagnostic:
    if opened:
        return syntax.unclosed(_span(opened[-1]), str(opened[-1]))
    if before is None:
        return syntax.nothing_written(Span(0, len(text)))
    return syntax.missing_operand(_span(before), "", str(before))


def _missing(token: Token, before: Token | None) -> Diagnostic:
    found = "the end of the line" if token.type == "_SEP" and token != ";" else str(token)
    after = str(before) if before is not None and before.type != "_SEP" else ""
    return syntax.missing_operand(_span(token), found, after)


def _span(token: Token) -> Span:
    return Span(token.start_pos or 0, token.end_pos or 0)


# ---------------------------------------------------------------------------- the tree


def _build(parsed: Tree[Token], text: str) -> tree.Program:
    """Lark's tree as ours. Bottom up and without recursion: depth is checked before it can hurt."""
    built: dict[int, Any] = {}
    heights: dict[int, int] = {}
    nodes = 0
    for part in parsed.iter_subtrees():
        below = [heights[id(child)] for child in part.children if isinstance(child, Tree)]
        height = heights[id(part)] = 1 + max(below, default=0)
        span = Span(getattr(part.meta, "start_pos", 0), getattr(part.meta, "end_pos", 0))
        nodes += 1
        # A program and its statement are one level of the lark tree above the first operand.
        if height > MAX_NESTING + 2:
            raise LossError([syntax.too_big(span, "levels of nesting", MAX_NESTING)])
        if nodes > MAX_NODES:
            raise LossError([syntax.too_big(span, "nodes", MAX_NODES)])
        children = [built[id(c)] if isinstance(c, Tree) else c for c in part.children]
        built[id(part)] = BUILDERS[part.data](children, span)
    return _program(built[id(parsed)], text)


def _number(children: list[Any], span: Span) -> tree.Number:
    text = str(children[0])
    for i, char in enumerate(text):
        if char == "_" and not (text[i - 1 : i].isdigit() and text[i + 1 : i + 2].isdigit()):
            raise LossError([syntax.bad_number(span, text, "holds a `_` that is not between digits")])
    # A text of digits alone is an int; float() decides whether the language can hold it.
    value = float(text)
    if not math.isfinite(value):
        raise LossError([syntax.bad_number(span, text, "is too large for a float")])
    return tree.Number(value=int(text) if text.replace("_", "").isdigit() else value, span=span)


def _named(token: Token) -> str:
    if str(token) in (*tree.RESERVED, "True", "False", "None"):
        raise LossError([syntax.calls_reserved(_span(token), str(token))])
    return str(token)


def _name(children: list[Any], span: Span) -> tree.Node:
    name = str(children[0])
    if name in tree.ROOTS:
        return tree.Path(root=name, span=span)
    if name.lower() in tree.WORDS and name in (name.lower(), name.capitalize()):
        return tree.Word(value=tree.WORDS[name.lower()], span=span)
    return tree.Call(name=name, name_span=span, span=span)


def _call(children: list[Any], span: Span) -> tree.Call:
    name, *arguments = children
    positional = [a for a in arguments if not isinstance(a, tree.Option)]
    options = [a for a in arguments if isinstance(a, tree.Option)]
    for before, argument in zip(arguments, arguments[1:], strict=False):
        if isinstance(before, tree.Option) and not isinstance(argument, tree.Option):
            raise LossError([syntax.positional_after_option(argument.span)])
    return tree.Call(
        name=_named(name),
        name_span=_span(name),
        arguments=tuple(positional),
        options=tuple(options),
        span=span,
    )


def _integer(children: list[Any], span: Span) -> int:
    text = "".join(str(child) for child in children)
    if not text.lstrip("-").isdigit() or len(text) > 18:
        raise LossError([syntax.bad_index(span, text)])
    return int(text)


def _flat(children: list[Any]) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    return tuple(children[::2]), tuple(str(operator) for operator in children[1::2])


def _sum(children: list[Any], span: Span) -> tree.Sum:
    terms, operators = _flat(children)
    return tree.Sum(terms=terms, operators=operators, span=span)


def _product(children: list[Any], span: Span) -> tree.Product:
    factors, operators = _flat(children)
    return tree.Product(factors=factors, operators=operators, span=span)


def _binding(children: list[Any], span: Span) -> tree.Binding:
    name, value = children
    return tree.Binding(name=_named(name), name_span=_span(name), value=value, span=span)


def _head(children: list[Any], span: Span) -> tree.Head:
    root, *steps = children
    return tree.Head(path=tree.Path(root=str(root), steps=tuple(steps), span=span), span=span)


BUILDERS: dict[str, Callable[[list[Any], Span], Any]] = {
    "program": lambda children, span: children,
    "binding": _binding,
    "sum": _sum,
    "product": _product,
    "negative": lambda c, span: tree.Negative(operand=c[1], span=span),
    "power": lambda c, span: tree.Power(base=c[0], exponent=c[1], span=span),
    "routed": lambda c, span: tree.Routed(body=c[0], route=c[1], span=span),
    "number": _number,
    "name": _name,
    "path": lambda c, span: tree.Path(root=str(c[0]), steps=tuple(c[1:]), span=span),
    "call": _call,
    "option": lambda c, span: tree.Option(name=str(c[0]), value=c[1], span=span),
    "text": lambda c, span: tree.Text(value=str(c[0])[1:-1], span=span),
    "items": lambda c, span: tree.Items(items=tuple(c), span=span),
    "key": lambda c, span: tree.Key(str(c[0])),
    "index": lambda c, span: tree.Index(c[0]),
    "slice": lambda c, span: tree.Slice(c[0], c[1]),
    "bound": lambda c, span: c[0] if c else None,
    "integer": _integer,
    "head": _head,
    "operands": lambda c, span: tree.Operands(items=tuple(c), span=span),
}


def _program(statements: list[tree.Node], text: str) -> tree.Program:
    *above, last = statements
    for i, statement in enumerate(above):
        if not isinstance(statement, tree.Binding):
            raise LossError([syntax.two_results(statements[i + 1].span, statement.span)])
    if isinstance(last, tree.Binding):
        raise LossError([syntax.no_result(last.name_span, last.name)])
    return tree.Program.model_construct(
        bindings=tuple(above), result=last, comments=_comments(text), span=Span(0, len(text))
    )


def _comments(text: str) -> tuple[tree.Comment, ...]:
    if "#" not in text:
        return ()
    found: list[tree.Comment] = []
    for match in re.finditer(r"'[^'\n]*'|\"[^\"\n]*\"|(#[^\n]*)", text):
        if match[1] is not None:
            line = text[text.rfind("\n", 0, match.start()) + 1 : match.start()]
            found.append(tree.Comment(match[1].rstrip(), match.start(), not line.strip()))
    return tuple(found)
