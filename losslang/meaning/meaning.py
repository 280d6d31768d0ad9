"""The meaning (typed intermediate form) of a program: a weighted sum of named terms over tensors.

Frozen values that print themselves. Names are inlined, aliases resolved, every default explicit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, TypeGuard

from losslang.diagnostics.source import Span
from losslang.meaning.automatic import Automatic
from losslang.meaning.likeness import Likeness
from losslang.meaning.parameter import Learned
from losslang.primitives.primitive import Loss
from losslang.registry import Registry
from losslang.syntax import formatter, tree
from losslang.vocabulary import UNIVERSAL

NOWHERE = Span(0, 0)


@dataclass(frozen=True)
class Constant:
    """A number that is known before anything runs. `in_place`: a zero that is written where it stands."""

    value: float
    span: Span = field(default=NOWHERE, compare=False, repr=False)
    in_place: bool = field(default=False, compare=False, repr=False)

    def __str__(self) -> str:
        return formatter.number(self.value)


@dataclass(frozen=True)
class Input:
    """A path into the arguments of a call. `soft`: a target that may also be one tensor, used for every head."""

    root: str
    steps: tuple[tree.Access, ...] = ()
    soft: bool = False
    resize: str = ""  # how a target takes the size of its prediction
    span: Span = field(default=NOWHERE, compare=False, repr=False)

    def __str__(self) -> str:
        return self.root + "".join(map(formatter.access, self.steps))


@dataclass(frozen=True)
class Apply:
    """An operator (`+ - * / ** neg`), a function or a schedule over expressions.

    `options` are all that it has, `written` the names of those that the program writes.
    """

    operator: str
    arguments: tuple[Expression, ...]
    span: Span = field(default=NOWHERE, compare=False, repr=False)
    options: tuple[tuple[str, Any], ...] = ()
    written: tuple[str, ...] = field(default=(), compare=False, repr=False)

    def __str__(self) -> str:
        if self.operator == "neg":
            return f"-{_bracketed(self.arguments[0])}"
        if self.operator in ("+", "-", "*", "/", "**"):
            left, right = map(_bracketed, self.arguments)
            space = " " if self.operator in "+-" else ""
            return f"{left}{space}{self.operator}{space}{right}"
        inside = [*map(str, self.arguments), *(f"{name}={show(value)}" for name, value in self.options)]
        return f"{self.operator}({', '.join(inside)})"


@dataclass(frozen=True)
class Choice:
    """A named activation or reduction with its options."""

    name: str
    options: tuple[tuple[str, Any], ...] = ()

    def __str__(self) -> str:
        inside = ", ".join(f"{name}={show(value)}" for name, value in self.options)
        return f"{self.name}({inside})" if inside else self.name


@dataclass(frozen=True)
class LossUse:
    """One use of a loss: the tensors that it reads, its activation, options and reduction.

    `origin` is the source of the activation: "written", "default", "assumed", or the name of the term that it
    is taken from; `taken` names the same for universal options. `scale*v + shift` is applied to the natural
    values v, and `factor` weights them. `version` is that of the loss, in its texts from the second on.
    """

    loss: str
    operands: tuple[tuple[str, Expression], ...]
    activation: Choice | None
    origin: str
    options: tuple[tuple[str, Any], ...]
    reduction: Choice
    universal: tuple[tuple[str, Any], ...]
    factor: Expression | None = None
    scale: float = 1.0
    shift: float = 0.0
    version: int = 1
    name: str = field(default="", compare=False)
    span: Span = field(default=NOWHERE, compare=False, repr=False)
    spans: tuple[tuple[str, Span], ...] = field(default=(), compare=False, repr=False)
    taken: tuple[tuple[str, str], ...] = field(default=(), compare=False, repr=False)
    like: Likeness | None = field(default=None, compare=False, repr=False)

    @property
    def prediction(self) -> Expression:
        """The expression of its first operand."""
        return self.operands[0][1]

    def get(self, option: str) -> Any:
        """The value of a universal option; None where it is not set."""
        return dict(self.universal).get(option)

    def with_option(self, option: str, value: Any, origin: str) -> LossUse:
        """The same use with a universal option that the term `origin` wrote for a tensor that both read."""
        universal = {**dict(self.universal), option: value}
        ordered = tuple((name, universal[name]) for name in UNIVERSAL if name in universal)
        return replace(self, universal=ordered, taken=(*self.taken, (option, origin)))

    def span_of(self, name: str) -> Span:
        """The span of an operand or an option of this use; else that of the use itself."""
        if name == "like" and self.like is not None:
            return self.like.span
        return dict(self.spans).get(name, self.span)

    def __str__(self) -> str:
        inside = [str(self.activation)] if self.activation is not None else []
        inside += [f"{name}={show(value)}" for name, value in (*self.options, *self.universal)]
        inside.append(f"reduction={self.reduction}")
        inside += [f"version={self.version}"] if self.version != 1 else []
        called = f"{self.loss}({', '.join(inside)})"
        called += f"@({', '.join(str(operand) for _, operand in self.operands)})"
        if self.scale != 1 or self.shift:
            called = f"({formatter.number(self.shift)} + {formatter.number(self.scale)}*{called})"
        return called if self.factor is None else f"{_bracketed(self.factor)}*{called}"


Expression = Constant | Input | Apply | LossUse | Learned
Addend = tuple[float, Expression, bool]
COMPUTED = (Input, Apply, Learned)
"""What an option may be whose value is known when it runs."""


@dataclass(frozen=True)
class Term:
    """One addend of the total: `weight * factor * body`, under its log key.

    `automatic` is one more weight, which a combinator finds. A metric is logged and adds nothing. `named`:
    the key is a name that the program binds, or below one. `dropped`: a zero is written in place (`0*ce`),
    so that it is not computed; other zeros are.
    """

    name: str
    weight: float
    body: Expression
    factor: Expression | None = None
    metric: bool = False
    automatic: Automatic | None = None
    named: bool = field(default=False, compare=False, repr=False)
    dropped: bool = field(default=False, compare=False, repr=False)
    span: Span = field(default=NOWHERE, compare=False, repr=False)

    def __str__(self) -> str:
        factor = "" if self.factor is None else f"{_bracketed(self.factor)}*"
        found = "" if self.automatic is None else f"{self.automatic}*"
        text = f"{formatter.number(self.weight)}*{found}{factor}{_bracketed(self.body)}"
        return f"metric({text})" if self.metric else text


def addends(expression: Expression, weight: float = 1.0, dropped: bool = False) -> list[Addend]:
    """The addends of a tensor expression, each with its weight, and whether a zero in place takes it out."""
    match expression:
        case Apply("+" | "-" as sign, (left, right)):
            turned = weight if sign == "+" else -weight
            return addends(left, weight, dropped) + addends(right, turned, dropped)
        case Apply("neg", (inner,)):
            return addends(inner, -weight, dropped)
        case Apply("*", (Constant(value, in_place=in_place), inner)):
            return addends(inner, weight * value, dropped or in_place)
        case _:
            return [(weight, expression, dropped and not isinstance(expression, Constant))]


def below(expression: Expression) -> Iterator[Expression]:
    """`expression` and every expression in it, with the operands and weights of a use."""
    yield expression
    match expression:
        case Apply(arguments=arguments):
            for argument in arguments:
                yield from below(argument)
        case LossUse():
            choices = (expression.activation, expression.reduction)
            chosen = [option for choice in choices if choice is not None for option in choice.options]
            options = (*expression.options, *expression.universal, *chosen)
            for value in (*(v for _, v in (*expression.operands, *options)), expression.factor):
                if isinstance(value, (Constant, LossUse, *COMPUTED)):
                    yield from below(value)
        case _:
            return


def is_found(expression: Expression) -> TypeGuard[Apply]:
    """True for `gradmatch(a, b)`: a weight that is found in every call, from the losses in it."""
    return isinstance(expression, Apply) and expression.operator == "gradmatch"


def is_static(expression: Expression) -> bool:
    """True if an expression is one number outside of every reduction: it has no tensor of a call.

    It is made of numbers, clocks, what is learned, and what `gradmatch` finds.
    """
    match expression:
        case Apply(arguments=arguments):
            return is_found(expression) or all(map(is_static, arguments))
        case Input(root=root):
            return root in tree.CLOCKS
        case _:
            return not isinstance(expression, LossUse)


def loss_uses(term: Term) -> Iterator[LossUse]:
    """The uses of losses in the body of a term, and those that its factor measures."""
    wholes = (term.body,) if term.factor is None else (term.body, term.factor)
    return (inner for whole in wholes for inner in below(whole) if isinstance(inner, LossUse))


def rewrite(expression: Expression, change: Callable[[LossUse], LossUse]) -> Expression:
    """`expression` with every use replaced by `change(use)`."""
    match expression:
        case LossUse():
            return change(expression)
        case Apply(arguments=arguments):
            return replace(expression, arguments=tuple(rewrite(a, change) for a in arguments))
        case _:
            return expression


def show(value: Any) -> str:
    """The value of an option as the language writes it."""
    match value:
        case bool() | None:
            return {True: "true", False: "false", None: "none"}[value]
        case int() | float():
            return formatter.number(value)
        case list() | tuple():
            return f"[{', '.join(map(show, value))}]"  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
        case _:
            return str(value)


def _bracketed(expression: Expression) -> str:
    text = str(expression)
    compound = isinstance(expression, Apply) and expression.operator in ("+", "-", "*", "/", "**", "neg")
    return f"({text})" if compound else text


def loss_of(use: LossUse, registry: Registry) -> Loss:
    """The loss of a checked use. Raises LookupError if it is not registered here."""
    named = registry.loss(use.loss)
    if named is None:
        raise LookupError(f"the loss `{use.loss}` is not registered here; import what defines it first")
    return named.loss
