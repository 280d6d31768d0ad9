"""Paths of one use of a loss: what is read as a tensor has no parts, and operands are handed over by path."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from losslang.diagnostics.mistakes import routes
from losslang.meaning.expression_tree import no_loss, node_of
from losslang.meaning.meaning import COMPUTED, Apply, Expression, Input, below
from losslang.meaning.terms import MistakeError
from losslang.meaning.uses.operands import Scope
from losslang.primitives.primitive import Loss
from losslang.syntax import formatter, tree


def handed_below(body: tree.Node, operands: Sequence[Expression], steps: tuple[tree.Access, ...]) -> str:
    """The text of `body` with the operands of its group, led on by the steps of a head: `ce@(pred.a.fine)`."""
    items = tuple(node_of(_further(operand, steps), no_loss) for operand in operands)
    return formatter.spell(tree.Routed(body=body, route=tree.Operands(items=items)))  # type: ignore[arg-type]


def bound_with_route(body: tree.Node, route: tree.Node, bindings: Mapping[str, tree.Binding]) -> str:
    """The repair of a route behind a bound name: in the line that binds it; '' for any other body."""
    if not isinstance(body, tree.Call) or body.name not in bindings:
        return ""
    routed = tree.Routed(body=bindings[body.name].value, route=route)  # type: ignore[arg-type]
    return f"say it where the name is bound: `{body.name} = {formatter.spell(routed)}`, and `{body.name}` alone here"


def _further(expression: Expression, steps: tuple[tree.Access, ...]) -> Expression:
    """An expression with the paths of `pred` and `target` led on by some steps."""
    match expression:
        case Input(root="pred" | "target"):
            return replace(expression, steps=expression.steps + steps)
        case Apply(arguments=arguments):
            return replace(expression, arguments=tuple(_further(a, steps) for a in arguments))
        case _:
            return expression


def parts_of_tensors(
    call: tree.Call,
    loss: Loss,
    scope: Scope,
    operands: Sequence[tuple[str, Expression]],
    options: Mapping[str, Any],
) -> list[MistakeError]:
    """The mistake of a loss that reads a tensor and, by a further path, a part of it."""
    values = [*(value for _, value in operands), *options.values()]
    paths = [i for v in values if isinstance(v, COMPUTED) for i in below(v) if isinstance(i, Input)]
    tensors = [(name, operand) for name, operand in operands if isinstance(operand, Input)]
    for name, whole in tensors:
        for part in paths:
            step = _step_into(whole, part)
            if step is not None:
                fix = f"name the tensor: `{_named(call, scope, name, whole, _beside(step, name, loss))}`"
                two = [operand for operand, _ in operands] == ["pred", "target"] and not scope.operands
                if scope.head and two and isinstance(step, tree.Key):
                    outside = f"`{formatter.spell(call)}@(pred.{scope.head}, target.{scope.head})`"
                    apart = formatter.spell(_apart(whole, part))
                    fix = f"{outside}, if `{apart}` stands beside `{whole}`; else {fix}"
                span = whole.span if whole.span.end else call.name_span
                wrong = routes.tensor_with_parts(part.span, call.name, str(whole), str(part), span, fix)
                return [MistakeError(wrong)]
    return []


def _step_into(whole: Input, part: Input) -> tree.Access | None:
    """The key or the index by which the path `part` leads on from `whole`; None where it does not."""
    length = len(whole.steps)
    leads_on = part.root == whole.root and part.steps[:length] == whole.steps and len(part.steps) > length
    return part.steps[length] if leads_on and not isinstance(part.steps[length], tree.Slice) else None


def _apart(whole: Input, part: Input) -> tree.Path:
    """The path of a part as it is without the head of `whole`."""
    return tree.Path(root=part.root, steps=part.steps[len(whole.steps) :])


def _beside(step: tree.Access, name: str, loss: Loss) -> tree.Access:
    """The step to an operand beside the step to a part of what was read in its place."""
    if isinstance(step, tree.Index):
        return tree.Index(0 if step.position else 1)
    if name != "pred":
        return tree.Key("labels" if loss.reads_classes else "values")
    if any(operand.name == "variance" for operand in loss.operands):
        return tree.Key("mu")
    return tree.Key("logits" if loss.has_classes else loss.wants)


def _named(call: tree.Call, scope: Scope, name: str, whole: Input, step: tree.Access) -> str:
    """The text of a use that reads its operand `name` one step further: `pred=pred.mu`."""
    if scope.operands:
        led = [_further(o, (step,)) if o == whole else o for o in scope.operands]
        items = tuple(node_of(operand, no_loss) for operand in led)
        return formatter.spell(tree.Routed(body=call, route=tree.Operands(items=items)))  # type: ignore[arg-type]
    path = tree.Path(root=whole.root, steps=(step,))
    others = tuple(option for option in call.options if option.name != name)
    options = (tree.Option(name=name, value=path), *others)
    spelled = formatter.spell(call.model_copy(update={"options": options}))
    return f"{spelled}@{scope.head}" if scope.head else spelled
