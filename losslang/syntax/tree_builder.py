"""Tree building: Lark's tree to ours, bottom up and without recursion.

The depth of a program is checked before anything can recurse over it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from itertools import pairwise
from typing import Any

from lark import Token, Tree

from losslang.diagnostics.errors import LossError
from losslang.diagnostics.mistakes import syntax
from losslang.diagnostics.source import Span
from losslang.syntax import tree
from losslang.syntax.tokens import span_of

MAX_NODES = 500
MAX_NESTING = 64


def build_tree(parsed: Tree[Token], text: str) -> tree.Program:
    """Builds the program of a parse tree of `text`. Raises LossError where it is too large or too deep."""
    built: dict[int, Any] = {}
    heights: dict[int, int] = {}
    for nodes, subtree in enumerate(parsed.iter_subtrees(), start=1):
        below = [heights[id(child)] for child in subtree.children if isinstance(child, Tree)]
        height = heights[id(subtree)] = 1 + max(below, default=0)
        span = Span(getattr(subtree.meta, "start_pos", 0), getattr(subtree.meta, "end_pos", 0))
        # A program and its statement are one level of the lark tree above the first operand.
        if height > MAX_NESTING + 2:
            raise LossError([syntax.too_big(span, "levels of nesting", MAX_NESTING)])
        if nodes > MAX_NODES:
            raise LossError([syntax.too_big(span, "nodes", MAX_NODES)])
        children = [built[id(c)] if isinstance(c, Tree) else c for c in subtree.children]
        built[id(subtree)] = BUILDERS[subtree.data](children, span)
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
    """The name of a call or a binding. Raises LossError for a reserved word."""
    if str(token) in (*tree.RESERVED, "True", "False", "None"):
        raise LossError([syntax.calls_reserved(span_of(token), str(token))])
    return str(token)


def _name(children: list[Any], span: Span) -> tree.Node:
    """The node of a bare name: a root, a word (`true`), or a call without arguments."""
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
    for before, argument in pairwise(arguments):
        if isinstance(before, tree.Option) and not isinstance(argument, tree.Option):
            raise LossError([syntax.positional_after_option(argument.span)])
    return tree.Call(
        name=_named(name),
        name_span=span_of(name),
        arguments=tuple(positional),
        options=tuple(options),
        span=span,
    )


def _integer(children: list[Any], span: Span) -> int:
    """The integer of an index. Raises LossError for any other number."""
    text = "".join(str(child) for child in children)
    if not text.lstrip("-").isdigit() or len(text) > 18:
        raise LossError([syntax.bad_index(span, text)])
    return int(text)


def _flat(children: list[Any]) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """Operands and operators of a sum or a product, which Lark lists in turns."""
    return tuple(children[::2]), tuple(str(operator) for operator in children[1::2])


def _sum(children: list[Any], span: Span) -> tree.Sum:
    terms, operators = _flat(children)
    return tree.Sum(terms=terms, operators=operators, span=span)


def _product(children: list[Any], span: Span) -> tree.Product:
    factors, operators = _flat(children)
    return tree.Product(factors=factors, operators=operators, span=span)


def _binding(children: list[Any], span: Span) -> tree.Binding:
    name, value = children
    return tree.Binding(name=_named(name), name_span=span_of(name), value=value, span=span)


def _head(children: list[Any], span: Span) -> tree.Route:
    root, *steps = children
    return tree.Route(path=tree.Path(root=str(root), steps=tuple(steps), span=span), span=span)


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
    """The bindings and the result. Raises LossError where not exactly one expression stands last."""
    *above, last = statements
    for i, statement in enumerate(above):
        if not isinstance(statement, tree.Binding):
            raise LossError([syntax.two_results(statements[i + 1].span, statement.span)])
    if isinstance(last, tree.Binding):
        operator = _continued(last, text)
        raise LossError([syntax.no_result(operator or last.name_span, last.name, operator is not None)])
    return tree.Program.model_construct(
        bindings=tuple(above), result=last, comments=_comments(text), span=Span(0, len(text))
    )


def _continued(binding: tree.Binding, text: str) -> Span | None:
    """The operator by which a line of a binding continues the line above; None if there is none."""
    found = re.search(r"\n\s*([-+*/@])", text[binding.span.start : binding.span.end])
    at = binding.span.start + found.start(1) if found else 0
    return Span(at, at + 1) if found else None


def _comments(text: str) -> tuple[tree.Comment, ...]:
    """The comments of a text, which the grammar does not keep."""
    if "#" not in text:
        return ()
    comments: list[tree.Comment] = []
    for match in re.finditer(r"'[^'\n]*'|\"[^\"\n]*\"|(#[^\n]*)", text):
        if match[1] is not None:
            line = text[text.rfind("\n", 0, match.start()) + 1 : match.start()]
            comments.append(tree.Comment(match[1].rstrip(), match.start(), not line.strip()))
    return tuple(comments)
