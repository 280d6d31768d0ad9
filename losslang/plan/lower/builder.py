"""Appends steps to a plan and names them; lowers tensor expressions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from losslang.diagnostics.source import Source, Span
from losslang.meaning.layout import AXIS, BY_RANK, root_of, tensors_of, without_slices
from losslang.meaning.meaning import Apply, Constant, Expression, Input, LossUse, is_found, is_static
from losslang.meaning.parameter import Learned
from losslang.meaning.time import clock_of
from losslang.plan.lower.across import RANKS, OverRanks, gathered
from losslang.plan.lower.kept import kept, named
from losslang.plan.plan import Argument, Names, Ref, Step
from losslang.primitives.primitive import Function
from losslang.primitives.schedules import Schedule
from losslang.registry import Registry
from losslang.syntax import tree
from losslang.tensors.targets import Site

OF_INTEGERS = {"+", "-", "*", "neg", "abs", "min", "max", "clip", "sum", "detach"}
"""Operators that return integers for integers, such as labels; all others compute in floats."""


class Builder:
    """The steps so far.

    `written` is the `channels=` that some term wrote for a tensor, by its path; `program` all uses of losses;
    `prediction` that of the use at hand, to which targets are resized; `over_ranks` how tensors are read now.
    `ranks`: each rank of a process group has a part of the batch.
    """

    def __init__(self, registry: Registry, source: Source):
        self.registry = registry
        self.source = source
        self.steps: list[Step] = []
        self.names = Names()
        self.term_name = ""
        self.use_span = Span(0, 0)
        self.prediction: Argument = None
        self.written: dict[str, str] = {}
        self.program: tuple[LossUse, ...] = ()
        self.over_ranks: OverRanks = ""
        self.ranks = False

    def emit(
        self,
        operation: str,
        *inputs: Argument,
        site: Site | None = None,
        check: bool = False,
        named: tuple[tuple[int, str], ...] = (),
        **options: Any,
    ) -> Ref:
        """Appends a step, and returns a reference to its value."""
        name = self.names.after(operation)
        owners = frozenset([self.term_name])
        self.steps.append(Step(name, operation, inputs, tuple(options.items()), site, check, owners, named))
        return Ref(name)

    def number(self, expression: Expression, option: str = "") -> Argument:
        """Emits a tensor expression that has to be one number, as the value of an option if one is named."""
        if isinstance(expression, Constant):
            return expression.value
        if is_static(expression):
            return self.tensor(expression)
        site = Site(str(expression), str(expression), expression.span, self.source, option=option)
        before = self.over_ranks
        # One number has no rows.
        self.over_ranks = "" if before == "gathered" else before
        value = self.tensor(expression)
        self.over_ranks = before
        return self.emit("scalar", value, site=site)

    def tensor(self, expression: Expression, channel: int = BY_RANK) -> Argument:
        """Emits a tensor expression; slices and vectors in it are along the axis `channel`."""
        if channel == BY_RANK and self.written:
            said = [self.written[path] for path in tensors_of(expression) if path in self.written]
            channel = AXIS[said[0]] if said else channel
        match expression:
            case Constant(value=value):
                return value
            case Input(root=root) if root in tree.CLOCKS:
                return self.clock(root, expression.span)
            case Learned():
                return self.learned(expression)
            case Input():
                return self.read(expression, channel)
            case _ if is_found(expression):
                return self.matched(expression)
            case Apply(operator=operator, arguments=arguments):
                kind = "integer" if operator in OF_INTEGERS else "float"
                values = [self.numbers(argument, channel, kind) for argument in arguments]
                if schedule := self.registry.get(Schedule, operator):
                    name, options = clock_of(expression, schedule)
                    return self.emit(
                        f"schedule:{operator}", self.clock(name, expression.span), *values, **options
                    )
                if len(values) == 1:
                    values = [self.with_axes(expression, values[0])]
                laid, site = self.side_by_side(arguments, values, channel), self.place(expression)
                return self.emit(f"math:{operator}", *laid, site=site, **dict(expression.options))
            case LossUse():
                raise AssertionError("the checker lets no loss into a tensor expression")

    def read(self, expression: Input, channel: int) -> Ref:
        """Emits a tensor of the call; over ranks, its rows on all of them, or the sum of a number."""
        # `pred` and `target` that nobody wrote stand where the loss does.
        span = expression.span if expression.span.end else self.use_span
        site = Site(self.term_name, str(expression), span, self.source)
        path, sliced = replace(expression, resize=""), self.sliced(expression, channel)
        of_call = path.root in ("pred", "target", "batch")
        if of_call and self.over_ranks == "gathered":
            path = gathered(path)
        value = self.emit("input", site=site, path=path, **sliced)
        if of_call and self.over_ranks == "summed":
            return self.whole(value)
        if not expression.resize:
            return value
        how = expression.resize
        return self.emit("resized", value, self.prediction, site=site, channel=channel, mode=how)

    def whole(self, value: Argument) -> Ref:
        """Emits a value summed over the ranks."""
        site = Site(self.term_name, "ranks", self.use_span, self.source)
        ranks = self.emit("input", site=site, path=RANKS)
        return self.emit("taken", self.emit("all_reduced", ranks, value), index=0)

    def matched(self, expression: Apply) -> Ref:
        """Emits a weight that is found from gradients. Raises AssertionError where there are no losses."""
        raise AssertionError(f"the checker lets no loss in here: {expression}")

    def place(self, expression: Apply) -> Site:
        """The place of arithmetic in the program."""
        return Site(self.term_name, expression.operator, expression.span, self.source)

    def learned(self, parameter: Learned) -> Ref:
        """Emits a parameter of the module, within its bounds."""
        path = Input("module", (tree.Key("learned"), tree.Key(parameter.name)))
        site = Site(self.term_name, parameter.name, parameter.span, self.source)
        value = self.emit("input", site=site, path=path)
        if parameter.low is None and parameter.high is None:
            return value
        return self.emit("learn", value, min=parameter.low, max=parameter.high)

    def clock(self, name: str, span: Span) -> Ref:
        """Emits a clock of the module, as it stands in this call."""
        path = Input("module", (tree.Key(name),))
        return self.emit("input", site=Site(self.term_name, name, span, self.source), path=path)

    def numbers(self, expression: Expression, channel: int, kind: str) -> Argument:
        """Emits an operand of arithmetic, in a type in which integers do not overflow."""
        value = self.tensor(expression, channel)
        return self.emit("number", value, kind=kind) if isinstance(value, Ref) else value

    def with_axes(self, expression: Apply, value: Argument) -> Argument:
        """Emits the argument of a function along axes, and the look at its shape: it has these axes."""
        function = self.registry.get(Function, expression.operator)
        if function is None or "dim" not in function.option_types or not isinstance(value, Ref):
            return value
        site = Site(self.term_name, str(expression.arguments[0]), expression.span, self.source)
        filled = expression.operator if expression.operator in ("max", "min") else None
        axes = named(expression)
        if not axes and filled is None:
            return value
        how: dict[str, Any] = {"axes": axes} if filled is None else {"axes": axes, "filled": filled}
        return self.emit("with_axes", value, site=site, **how)

    def kept(self, expression: Expression) -> tuple[int, ...]:
        """Returns the axes of a tensor expression that a function keeps with size 1."""
        return kept(expression, self.registry)

    def sliced(self, path: Input, channel: int) -> dict[str, Any]:
        """Returns the option that names the axis of a path's slices, if it has any."""
        base = without_slices(path)
        if base == path:
            return {}
        written = self.written.get(str(base))
        return {"channel": channel if written is None else AXIS[written]}

    def side_by_side(
        self, expressions: Sequence[Expression], values: Sequence[Argument], channel: int
    ) -> list[Argument]:
        """Emits operands of arithmetic in a common rank.

        Numbers, clocks, and a tensor beside no other, stay as they are.
        """
        tensors = [i for i, v in enumerate(values) if isinstance(v, Ref) and not is_static(expressions[i])]
        if len(tensors) < 2:
            return list(values)
        laid, axes = list(values), [self.kept(expression) for expression in expressions]
        for i in tensors:
            others = [j for j in tensors if j != i]
            expression = expressions[i]
            site = Site(self.term_name, str(expression), expression.span, self.source)
            kept_of: dict[str, Any] = {"kept": tuple(axes[j] for j in (i, *others))} if any(axes) else {}
            laid[i] = self.emit(
                "beside",
                values[i],
                *(values[j] for j in others),
                site=site,
                channel=channel,
                roots=tuple(root_of(expressions[j]) for j in (i, *others)),
                names=tuple(str(expressions[j]) for j in others),
                **kept_of,
            )
        return laid
