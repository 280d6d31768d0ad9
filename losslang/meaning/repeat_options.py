"""The options of `each` and `matryoshka`: paths of lists, and weights of elements."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Protocol, cast

from losslang.diagnostics.mistakes import options as option_mistakes
from losslang.meaning.elements import EACH
from losslang.meaning.meaning import Choice, Constant, Expression, Input, is_static
from losslang.meaning.options import ReportedError, frozen, read, read_all
from losslang.meaning.routing import read_path
from losslang.meaning.terms import MistakeError, NumberValue, TensorValue, Value
from losslang.meaning.uses import Scope
from losslang.primitives.repeats import WEIGHTS, Levels, Repeat
from losslang.registry import Registry
from losslang.syntax import tree
from losslang.syntax.formatter import spell


class Evaluates(Protocol):
    """What of the evaluator a repeat needs."""

    registry: Registry

    def evaluate(self, node: tree.Node, scope: Scope) -> Value | None: ...
    def report(self, problem: MistakeError) -> None: ...


def read_options(call: tree.Call, repeat: Repeat, scope: Scope, evaluator: Evaluates) -> dict[str, Any]:
    """The options with their defaults. Raises MistakeError, or ReportedError after reports."""
    found: dict[str, Any] = dict(repeat.defaults)
    if repeat.name == EACH:
        found["over"] = (scope.pred, replace(scope.target, soft=False))
    seen: dict[str, tree.Option] = {}
    problems: list[MistakeError] = []
    is_reported = False
    for option in call.options:
        try:
            _check_name(call, option, repeat)
            seen[option.name] = option
            found[option.name] = _value(call, option, repeat, scope, evaluator)
        except MistakeError as problem:
            problems.append(problem)
        except ReportedError:
            is_reported = True
    if not problems and not is_reported:
        problems += _incomplete(call, repeat, found, seen)
    for problem in problems:
        evaluator.report(problem)
    if problems or is_reported:
        evaluator.evaluate(call.arguments[0], scope)  # for the mistakes in it
        raise ReportedError
    return {name: found[name] for name in repeat.option_types}


def _check_name(call: tree.Call, option: tree.Option, repeat: Repeat) -> None:
    """Raises MistakeError for an option that the word does not have."""
    if option.name not in repeat.option_types:
        known = tuple(repeat.option_types)
        raise MistakeError(option_mistakes.unknown_option(option.span, call.name, option.name, known))


def _incomplete(
    call: tree.Call, repeat: Repeat, found: dict[str, Any], seen: dict[str, tree.Option]
) -> list[MistakeError]:
    """The mistake of an option that is missing, and of weights that are not as many as `dims`."""
    missing = [name for name in repeat.option_types if name not in found]
    if missing:
        fix = f"write `{call.name}({spell(call.arguments[0])}, {missing[0]}=[...])`"
        wanted = f"an expression and `{missing[0]}`"
        return [MistakeError(option_mistakes.wrong_count(call.span, call.name, 1, wanted, fix))]
    weights, dims = found["weights"], found.get("dims")
    if dims is None or weights is None or len(weights) == len(dims):
        return []
    wanted = f"a list of {len(dims)}, one for each of `dims`"
    at, shown = seen["weights"].value, spell(seen["weights"].value)
    return [MistakeError(option_mistakes.bad_value(at.span, call.name, "weights", f"`{shown}`", wanted))]


def _value(call: tree.Call, option: tree.Option, repeat: Repeat, scope: Scope, evaluator: Evaluates) -> Any:
    """The value of one option. Raises MistakeError, or ReportedError after reports."""
    match option.name:
        case "over":
            return _paths(call, option, scope, evaluator)
        case "weights":
            return _weights(call, option, repeat, evaluator)
        case _:
            declared = repeat.option_types[option.name]
            return frozen(read(call.name, option, declared, lambda node: evaluator.evaluate(node, scope)))


def _paths(call: tree.Call, option: tree.Option, scope: Scope, evaluator: Evaluates) -> tuple[Input, ...]:
    """The paths of `over`: that of the predictions, and that of the targets if they are a list too."""
    node = option.value
    nodes = node.items if isinstance(node, tree.Items) else (node,)
    paths = [read_path(item, scope) for item in nodes if isinstance(item, tree.Path)]
    if len(paths) != len(nodes) or not 1 <= len(paths) <= 2:
        wanted = "a path, or `[pred_path, target_path]`"
        raise MistakeError(
            option_mistakes.bad_value(node.span, call.name, "over", f"`{spell(node)}`", wanted)
        )
    return tuple(replace(cast(Input, path), soft=False) for path in paths)


def _weights(
    call: tree.Call, option: tree.Option, repeat: Repeat, evaluator: Evaluates
) -> tuple[Expression | None, ...] | Choice:
    """The weights: numbers and schedules, None for a 0 that is written in place; or a rule for any number."""
    node = option.value
    if isinstance(node, tree.Items):
        return tuple(_weight(call, item, evaluator) for item in node.items)
    levels = evaluator.registry.get(Levels, node.name) if isinstance(node, tree.Call) else None
    if levels is None or not isinstance(node, tree.Call) or repeat.name != EACH:
        wanted = str(repeat.option_types["weights"])
        raise MistakeError(
            option_mistakes.bad_value(node.span, call.name, "weights", f"`{spell(node)}`", wanted)
        )
    names = levels.parameters[1:]
    if len(node.arguments) != len(names):
        wanted = f"{len(names) or 'no'} number{'s' * (len(names) != 1)}"
        raise MistakeError(option_mistakes.wrong_count(node.span, node.name, len(node.arguments), wanted))
    values, problems = read_all(levels, node.options, lambda inner: evaluator.evaluate(inner, Scope()))
    for problem in problems:
        evaluator.report(problem)
    positional = [_weight(call, argument, evaluator) for argument in node.arguments]
    if problems:
        raise ReportedError
    for argument, value in zip(node.arguments, positional, strict=True):
        if not isinstance(value, Constant) or value.value <= 0:
            raise MistakeError(
                option_mistakes.bad_value(
                    argument.span, node.name, names[0], f"`{spell(argument)}`", "a number above 0"
                )
            )
    numbers = [cast(Constant, value).value for value in positional]
    return Choice(levels.name, (*zip(names, numbers, strict=True), *values.items()))


def _weight(call: tree.Call, node: tree.Node, evaluator: Evaluates) -> Expression | None:
    """One weight: a number or a schedule; None for a 0 in place, which drops its element."""
    value = evaluator.evaluate(node, Scope())
    match value:
        case None:
            raise ReportedError
        case NumberValue(value=number):
            return None if number == 0 and isinstance(node, tree.Number) else Constant(number)
        case TensorValue(expression=expression) if is_static(expression):
            return expression
        case _:
            wanted = f"a number or a schedule: {WEIGHTS}"
            raise MistakeError(
                option_mistakes.bad_value(node.span, call.name, "weights", f"`{spell(node)}`", wanted)
            )
