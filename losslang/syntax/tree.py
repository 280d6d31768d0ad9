"""The syntax tree: frozen pydantic nodes, each with its span in the text.

Two trees are equal when they hold the same program: spans and comments do not count. `ce` and `ce()` are
one node. A number is never negative: the minus is a node of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from losslang.diagnostics.source import Span
from losslang.vocabulary import CLOCKS as CLOCKS
from losslang.vocabulary import RESERVED as RESERVED
from losslang.vocabulary import ROOTS as ROOTS
from losslang.vocabulary import WORDS as WORDS

METRIC = "metric"
"""The call that logs its argument: no loss and no function may be called so."""


class Node(BaseModel):
    """The base of all nodes: frozen, compared and hashed without spans and comments."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", defer_build=True)

    span: Span = Field(default=Span(0, 0), repr=False)

    def __eq__(self, other: object) -> bool:
        if type(self) is not type(other):
            return False
        return all(getattr(self, name) == getattr(other, name) for name in self.meaningful())

    def __hash__(self) -> int:
        return hash((type(self), *(getattr(self, name) for name in self.meaningful())))

    @classmethod
    def meaningful(cls) -> Iterator[str]:
        """The names of the fields that decide equality."""
        return (name for name in cls.model_fields if name not in ("span", "comments"))


class Number(Node):
    """A number without a sign: `1`, `.5`, `1e-5`, `100_000`; an int where it has neither point nor exponent."""

    kind: Literal["number"] = "number"
    value: int | float


class Word(Node):
    """`true`, `false` or `none`."""

    kind: Literal["word"] = "word"
    value: bool | None


class Text(Node):
    """A quoted text, only as the value of an option: `'...'` or `"..."`."""

    kind: Literal["text"] = "text"
    value: str


class Key(NamedTuple):
    """`.name` in a path."""

    name: str


class Index(NamedTuple):
    """`[position]` in a path."""

    position: int


class Slice(NamedTuple):
    """`[start:stop]` in a path; an end that is None is open."""

    start: int | None
    stop: int | None


class Element(NamedTuple):
    """The element at hand of the lists that `each` goes through: no program writes it."""

    position: None = None


Access = Key | Index | Slice | Element


class Path(Node):
    """`pred.seg[0:1]`: a root (or the first key of a route) and the steps down from it."""

    kind: Literal["path"] = "path"
    root: str
    steps: tuple[Access, ...] = ()


class Option(Node):
    """An option of a call: `smooth=1`."""

    kind: Literal["option"] = "option"
    name: str
    value: Value


class Call(Node):
    """A call: `ce`, `dice(smooth=1)`, `max(0.1, x)`, or the use of a bound name."""

    kind: Literal["call"] = "call"
    name: str
    name_span: Span = Field(default=Span(0, 0), repr=False)
    arguments: tuple[Expression, ...] = ()
    options: tuple[Option, ...] = ()

    @classmethod
    def meaningful(cls) -> Iterator[str]:
        return (name for name in super().meaningful() if name != "name_span")


class Items(Node):
    """A list, only as the value of an option: `[1, 2]`."""

    kind: Literal["items"] = "items"
    items: tuple[Value, ...] = ()


class Negative(Node):
    """A negated expression: `-x`."""

    kind: Literal["negative"] = "negative"
    operand: Expression


class Power(Node):
    """A power: `x**y`."""

    kind: Literal["power"] = "power"
    base: Expression
    exponent: Expression


class Product(Node):
    """A product, flat: `a*b/c`; `operators[i]` stands before `factors[i + 1]`."""

    kind: Literal["product"] = "product"
    factors: tuple[Expression, ...]
    operators: tuple[Literal["*", "/"], ...]


class Sum(Node):
    """A sum, flat: `a + b - c`; `operators[i]` stands before `terms[i + 1]`."""

    kind: Literal["sum"] = "sum"
    terms: tuple[Expression, ...]
    operators: tuple[Literal["+", "-"], ...]


class Route(Node):
    """A route to one head: the `seg` of `ce@seg` stands for `pred.seg` against `target.seg`."""

    kind: Literal["head"] = "head"
    path: Path


class Operands(Node):
    """A route to operands: the `(pred.mu, batch.noise)` of `mse@(pred.mu, batch.noise)`."""

    kind: Literal["operands"] = "operands"
    items: tuple[Expression, ...]


class Routed(Node):
    """An expression with a route: `body@route`."""

    kind: Literal["routed"] = "routed"
    body: Expression
    route: Annotated[Route | Operands, Field(discriminator="kind")]


class Binding(Node):
    """A name bound to an expression: `name = expression`."""

    kind: Literal["binding"] = "binding"
    name: str
    name_span: Span = Field(default=Span(0, 0), repr=False)
    value: Expression

    @classmethod
    def meaningful(cls) -> Iterator[str]:
        return (name for name in super().meaningful() if name != "name_span")


class Comment(NamedTuple):
    """A comment, `# text`, with its offset; `alone` when nothing else stands on its line."""

    text: str
    start: int
    alone: bool


class Program(Node):
    """A whole program: bindings, then the one expression that is trained on."""

    kind: Literal["program"] = "program"
    bindings: tuple[Binding, ...] = ()
    result: Expression
    comments: tuple[Comment, ...] = Field(default=(), repr=False)


Expression = Annotated[
    Number | Word | Path | Call | Negative | Power | Product | Sum | Routed,
    Field(discriminator="kind"),
]
Value = Annotated[
    Number | Word | Path | Call | Negative | Power | Product | Sum | Routed | Text | Items,
    Field(discriminator="kind"),
]


def children(node: Node) -> Iterator[Node]:
    """The nodes directly below `node`, in the order of the text."""
    match node:
        case Option(value=value) | Binding(value=value):
            yield value
        case Call(arguments=arguments, options=options):
            yield from arguments
            yield from options
        case Items(items=items) | Operands(items=items):
            yield from items
        case Negative(operand=operand):
            yield operand
        case Power(base=base, exponent=exponent):
            yield base
            yield exponent
        case Product(factors=nodes) | Sum(terms=nodes):
            yield from nodes
        case Routed(body=body, route=route):
            yield body
            yield route
        case Route(path=path):
            yield path
        case Program(bindings=bindings, result=result):
            yield from bindings
            yield result
        case _:
            return


def walk(node: Node) -> Iterator[Node]:
    """`node` and everything below it, parents first."""
    yield node
    for child in children(node):
        yield from walk(child)
