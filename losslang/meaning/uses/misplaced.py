"""Tensors and losses in the place of an activation: what they were meant to be, in our words."""

from __future__ import annotations

import re

from losslang.diagnostics.diagnostic import Diagnostic
from losslang.diagnostics.mistakes import names as mistakes
from losslang.diagnostics.mistakes import options as option_mistakes
from losslang.losses import FAMILIES
from losslang.primitives.primitive import Activation, Loss
from losslang.registry import Registry
from losslang.syntax import tree
from losslang.syntax.formatter import spell

READ = {"logits", "probs", "pred", "preds", "output", "outputs", "prediction", "predictions", "input", "y_pred", "y_hat",
        "target", "targets", "label", "labels", "gt", "truth", "y", "y_true"}  # fmt: skip
"""Words for what a loss reads without being told."""
MASKS = re.compile(r"(^|_)(mask|masks|valid|is_valid|keep)($|_)")
WEIGHTS = re.compile(r"(^|_)(w|weight|weights)($|_)")


def not_an_activation(call: tree.Call, loss: Loss, registry: Registry) -> Diagnostic:
    """The mistake of an argument that is no activation: a tensor, a number, or more than one argument."""
    shown = ", ".join(map(spell, call.arguments))
    if loss.wants == "parameters":
        return _beside_parameters(call, loss, shown)
    first, *rest = call.arguments
    kept = (first,) if isinstance(first, tree.Call) and registry.get(Activation, first.name) else ()
    given = rest if kept else list(call.arguments)
    plain = call.model_copy(update={"arguments": kept or needed(loss)})
    paths = [node for node in given if isinstance(node, tree.Path)]
    if given and all(map(_is_read_anyway, given)):
        fix = f"`pred` and `target` are read without being written: `{spell(plain)}`"
    elif len(paths) == 1 and len(given) == 1:
        fix = _one_tensor(plain, paths[0], loss)
    elif paths and len(paths) == len(given) <= len(loss.operands):
        fix = f"tensors stand behind `@`: `{spell(plain)}@({', '.join(map(spell, paths))})`"
    else:
        fix = f"write `{spell(plain)}`: tensors stand behind `@`, numbers and masks are options"
    at = call.arguments[0].span
    return mistakes.wrong_kind(at, shown, "tensor or an expression", "one activation", fix)


def _beside_parameters(call: tree.Call, loss: Loss, shown: str) -> Diagnostic:
    """The mistake of an argument of a term on the parameters of a model: `l2_reg(1e-4)`."""
    fix = f"`{call.name}` stands alone: it reads the parameters of the model"
    if len(call.arguments) == 1 and isinstance(call.arguments[0], tree.Number):
        fix = f"a factor stands before the loss: `{shown}*{loss.name}`"
    span = call.arguments[0].span
    return option_mistakes.wrong_count(span, call.name, len(call.arguments), "options by name", fix)


def needed(loss: Loss) -> tuple[tree.Call, ...]:
    """The activation that is written where a loss has none of its own, and reads probabilities."""
    return (tree.Call(name="sigmoid"),) if loss.activation is None and loss.wants == "probs" else ()


def _is_read_anyway(node: tree.Node) -> bool:
    """True for `pred` and `target`, and for a word that means one of them."""
    if isinstance(node, tree.Path):
        return node.root in ("pred", "target") and not node.steps
    return isinstance(node, tree.Call) and node.name in READ and not node.arguments and not node.options


def _one_tensor(plain: tree.Call, path: tree.Path, loss: Loss) -> str:
    """The repair of one tensor in brackets: an option by its name, or an operand."""
    names = [operand.name for operand in loss.operands]
    last = next((step.name for step in reversed(path.steps) if isinstance(step, tree.Key)), path.root)
    if path.root == "pred" and "target" in names:
        return f"tensors stand behind `@`: `{spell(plain)}@({spell(path)}, target)`"
    if "target" not in names:
        return f"tensors stand behind `@`, in the order `{', '.join(names)}`"
    option = "target"
    if MASKS.search(last):
        option = "mask"
    elif WEIGHTS.search(last) and loss.result_axes:
        option = "weight"
    written = tuple(o for o in plain.options if o.name != option)
    options = (tree.Option(name=option, value=path), *written)
    return f"a tensor is an option by name: `{spell(plain.model_copy(update={'options': options}))}`"


def activation_alone(call: tree.Call, registry: Registry) -> Diagnostic:
    """The mistake of an activation that is called where a loss belongs: `softmax(ce)`."""
    activation = registry.get(Activation, call.name)
    assert activation is not None
    inner = call.arguments[0] if len(call.arguments) == 1 else None
    named = registry.loss(inner.name) if isinstance(inner, tree.Call) else None
    if isinstance(inner, tree.Call) and named is not None and _may_follow(activation, named.loss):
        turned = inner.model_copy(update={"arguments": (tree.Call(name=call.name),)})
        fix = f"it stands in the brackets of the loss: `{spell(turned)}`"
    elif activation.gives == "log_probs":
        fix = "give it to a loss: `nll(log_softmax)`, or `ce`, which is the same"
    elif activation.gives == "probs":
        usual = {"softmax": "dice", "exp": "kl"}.get(call.name, "bce")
        fix = f"give it to a loss: `{usual}({call.name})`"
    else:
        usual = "infonce" if activation.takes == "embeddings" else "mse"
        fix = f"give it to a loss: `{usual}({call.name})`"
    return mistakes.wrong_kind(call.name_span, call.name, "activation", "a loss", fix)


def _may_follow(activation: Activation, loss: Loss) -> bool:
    """True if a loss takes this activation in its brackets."""
    if loss.wants == "probs":
        return activation.gives == "probs"
    if loss.wants == "log_probs":
        return activation.gives == "log_probs"
    return loss.wants == "values" and len(loss.operands) == 2


IN_BRACKETS = {
    "reduction": "ce(reduction=sum)",
    "mask": "l1(mask=batch.valid)",
    "ignore_index": "ce(ignore_index=255)",
    "weight": "l1(weight=batch.w)",
    "class_weight": "ce(class_weight=[1, 2, 2])",
    "pos_weight": "bce(sigmoid, pos_weight=2)",
    "background": "dice(softmax, background=false)",
    "classes": "dice(softmax, classes=[1, 2])",
    "avg_factor": "ce(avg_factor=batch.n)",
    "empty": "dice(softmax, empty=skip)",
    "channels": "ce(channels=last)",
    "like": "dice(sigmoid, like=smp)",
}
"""Options that every loss has where its axes allow, each in the brackets of a loss."""


def as_option(name: str, registry: Registry) -> str:
    """The repair of an option that stands where a loss belongs; '' for a name that is none."""
    if name in IN_BRACKETS:
        return f"it stands in the brackets of a loss: `{IN_BRACKETS[name]}`"
    for loss in sorted(registry.all(Loss), key=_family):
        usual = loss.defaults.get(name)
        if name in loss.option_types and isinstance(usual, (int, float)):
            written = tree.Word(value=usual) if isinstance(usual, bool) else tree.Number(value=usual)
            option = tree.Option(name=name, value=written)
            call = tree.Call(name=loss.name, arguments=needed(loss), options=(option,))
            return f"it stands in the brackets of a loss: `{spell(call)}`"
    return ""


def _family(loss: Loss) -> int:
    """Where people look for a loss: the place of its family among those of losslang."""
    family = loss.function.__module__.rpartition(".")[2]
    return FAMILIES.index(family) if family in FAMILIES else len(FAMILIES)


def key_with_minus(before: tree.Node, behind: tree.Call) -> str:
    """The repair of a key that holds a minus, `ce@seg-head`, written without blanks; '' for a difference."""
    path = (
        before.route.path
        if isinstance(before, tree.Routed) and isinstance(before.route, tree.Route)
        else before
    )
    if not isinstance(path, tree.Path) or path.span.end + 1 != behind.span.start:
        return ""
    last = path.steps[-1] if path.steps else tree.Key(path.root)
    if not isinstance(last, tree.Key):
        return ""
    key = f"{last.name}-{behind.name}"
    return (
        f"if `{key}` is one key, no path can hold its minus: call it `{last.name}_{behind.name}` in the model"
    )
