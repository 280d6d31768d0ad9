"""Appends steps: the one place that names them, and the arithmetic on tensors."""

from __future__ import annotations

from typing import Any

from losslang.meaning import Apply, Constant, Expression, Input, Reading
from losslang.plan import Argument, Names, Ref, Step
from losslang.registry import Registry
from losslang.targets import Site
from losslang.text import Source, Span


class Builder:
    """The steps so far."""

    def __init__(self, registry: Registry, source: Source):
        self.registry = registry
        self.source = source
        self.steps: list[Step] = []
        self.names = Names()
        self.term_name = ""
        self.use_span = Span(0, 0)

    def emit(
        self, operation: str, *inputs: Argument, site: Site | None = None, check: bool = False, **options: Any
    ) -> Ref:
        """Appends a step and returns what it computes."""
        name = self.names.after(operation)
        owners = frozenset([self.term_name])
        self.steps.append(Step(name, operation, inputs, tuple(options.items()), site, check, owners))
        return Ref(name)

    def number(self, expression: Expression) -> Argument:
        """A tensor expression that has to be one number."""
        if isinstance(expression, Constant):
            return expression.value
        site = Site(str(expression), str(expression), expression.span, self.source)
        return self.emit("scalar", self.tensor(expression), site=site)

    def tensor(self, expression: Expression) -> Argument:
        """A tensor expression."""
        match expression:
            case Constant(value=value):
                return value
            case Input():
                # `pred` and `target` that nobody wrote stand where the loss does.
                span = expression.span if expression.span.end else self.use_span
                site = Site(self.term_name, str(expression), span, self.source)
                return self.emit("input", site=site, path=expression)
            case Apply(operator=operator, arguments=arguments):
                return self.emit(f"math:{operator}", *map(self.tensor, arguments))
            case Reading():
                raise AssertionError("the checker lets no loss into a tensor expression")
