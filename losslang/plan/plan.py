"""The plan: a flat list of steps, each one operation on the results of earlier steps. It prints as code."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from losslang.meaning.meaning import show
from losslang.syntax import formatter
from losslang.tensors.targets import Site


@dataclass(frozen=True)
class Ref:
    """The value of an earlier step."""

    name: str

    def __str__(self) -> str:
        return self.name


Argument = Ref | float | None
ARITHMETIC = {"+": "sum", "-": "difference", "*": "product", "/": "ratio", "**": "power"}


class Names:
    """Names steps by their operation, with a number from the second one on: `mean`, `mean2`."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}

    def after(self, operation: str) -> str:
        last = operation.rpartition(":")[2]
        stem = ARITHMETIC.get(last, last.partition(".")[0])
        self.counts[stem] = self.counts.get(stem, 0) + 1
        return stem if self.counts[stem] == 1 else f"{stem}{self.counts[stem]}"


@dataclass(frozen=True)
class Step:
    """`name = operation(inputs, options)`. `check` marks a step that only checks values.

    `named` are the positions of inputs that are options of the function, with their names. `owners` are
    the terms that need the step: a check is dropped with the last of them.
    """

    name: str
    operation: str
    inputs: tuple[Argument, ...] = ()
    options: tuple[tuple[str, Any], ...] = ()
    site: Site | None = field(default=None, compare=False, repr=False)
    check: bool = False
    owners: frozenset[str] = field(default=frozenset(), compare=False, repr=False)
    named: tuple[tuple[int, str], ...] = ()

    def __str__(self) -> str:
        names = dict(self.named)
        inside = [f"{names[i]}={_shown(v)}" if i in names else _shown(v) for i, v in enumerate(self.inputs)]
        inside += [f"{n}={show(v)}" for n, v in self.options if v is not None]
        called = f"{self.operation}({', '.join(inside)})"
        return called if self.operation == "complete" or self.kind == "check" else f"{self.name} = {called}"

    def with_inputs(self, inputs: Iterable[Argument]) -> Step:
        """Returns the step with other inputs."""
        found = tuple(inputs)
        return self if found == self.inputs else replace(self, inputs=found)

    @property
    def kind(self) -> str:
        """`loss` of `loss:dice`: the kind of primitive; empty for an operation of the plan itself."""
        return self.operation.rpartition(":")[0]

    @property
    def op(self) -> str:
        """`dice` of `loss:dice`, `mask` of `mask`."""
        return self.operation.rpartition(":")[2]

    @property
    def loss_name(self) -> str:
        """`ce` of `loss:ce` and of `kernel:ce.softmax`."""
        return self.op.partition(".")[0]

    @property
    def kernel_activation(self) -> str:
        """`softmax` of `kernel:ce.softmax`."""
        return self.op.partition(".")[2]

    @property
    def input_names(self) -> tuple[str, ...]:
        return tuple(i.name for i in self.inputs if isinstance(i, Ref))


class Output(NamedTuple):
    """A term: its log key, its weight in the total, and the step or number that is its value.

    `dropped`: a zero is written in place, and the first pass takes it out.
    """

    name: str
    weight: float
    value: Argument
    metric: bool = False
    dropped: bool = False


@dataclass(frozen=True)
class Plan:
    """The steps of a program, in order, and its terms."""

    steps: tuple[Step, ...]
    outputs: tuple[Output, ...]

    @property
    def inputs(self) -> tuple[Step, ...]:
        """The steps that read the arguments of a call."""
        return tuple(step for step in self.steps if step.operation == "input")

    def total(self, values: Sequence[Any]) -> Any:
        """Returns the weighted sum of the trained terms, given the values of all terms in order."""
        total: Any = None
        for output, value in zip(self.outputs, values, strict=True):
            if not output.metric:
                term = value if output.weight == 1 else value * output.weight
                total = term if total is None else total + term
        return 0.0 if total is None else total

    def __str__(self) -> str:
        lines = [str(step) for step in self.steps]
        weighed = [_weighed(o) for o in self.outputs if not o.metric]
        lines += [f"metric {o.name}: {_shown(o.value)}" for o in self.outputs if o.metric]
        return "\n".join([*lines, f"total = {' + '.join(weighed) or '0'}"])


def _weighed(output: Output) -> str:
    value = _shown(output.value)
    return value if output.weight == 1 else f"{formatter.number(output.weight)}*{value}"


def substituted(plan: Plan, values: Mapping[str, Argument]) -> Plan:
    """Returns the plan without the steps named in `values`; what read such a step reads its value instead."""

    def through(argument: Argument) -> Argument:
        while isinstance(argument, Ref) and argument.name in values:
            argument = values[argument.name]
        return argument

    steps = tuple(
        step.with_inputs(map(through, step.inputs)) for step in plan.steps if step.name not in values
    )
    return Plan(steps, tuple(output._replace(value=through(output.value)) for output in plan.outputs))


def needed_steps(steps: Sequence[Step], roots: Iterable[str]) -> set[str]:
    """The names of `roots` and of everything that they read, directly or through other steps."""
    needed = set(roots)
    for step in reversed(steps):
        if step.name in needed:
            needed.update(step.input_names)
    return needed


def _shown(argument: Argument) -> str:
    if argument is None:
        return "none"
    return str(argument) if isinstance(argument, Ref) else formatter.number(argument)


def verify(plan: Plan, given: Iterable[str] = ()) -> Plan:
    """Returns `plan` if every step reads earlier steps or `given` names only, and no name is used twice."""
    known = set(given)
    for step in plan.steps:
        missing = [name for name in step.input_names if name not in known]
        if missing:
            raise AssertionError(f"not a plan: {step} reads {missing}, which nothing above it computes")
        if step.name in known:
            raise AssertionError(f"not a plan: {step} computes a second {step.name}")
        known.add(step.name)
    for output in plan.outputs:
        if isinstance(output.value, Ref) and output.value.name not in known:
            raise AssertionError(f"not a plan: the term {output.name} is never computed")
    return plan
