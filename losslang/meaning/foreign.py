"""Calls of other libraries in our words: `DiceLoss(softmax=True, include_background=False)`."""

from __future__ import annotations

import re
from dataclasses import replace

from losslang.diagnostics.diagnostic import Diagnostic
from losslang.diagnostics.elsewhere import OF_ONE_LIBRARY, spelled
from losslang.diagnostics.errors import LossError
from losslang.diagnostics.source import Source
from losslang.meaning.foreign_like import with_like
from losslang.meaning.foreign_names import of_names
from losslang.meaning.uses import foreign_call
from losslang.meaning.uses.foreign_option import Ours, option_of, translated, value_of, word_of
from losslang.meaning.uses.universal import takes
from losslang.primitives.primitive import Function, Loss
from losslang.registry import Registry
from losslang.syntax import tree
from losslang.syntax.formatter import spell
from losslang.syntax.parser import parse

SWAPS = {("ce", "sigmoid"): "bce", ("lovasz_softmax", "sigmoid"): "lovasz_hinge"}
"""Losses that are another one after another activation."""
LOST = {
    ("BinaryCrossEntropy", "smoothing"),
    ("IoULoss", "linear"),
    ("JaccardLoss", "log_loss"),
}
"""Options of classes that mean another thing than ours of that name."""
UNREAD = {("GeneralizedDiceFocalLoss", "weight", "gdl")}
"""Options of classes that one of their parts does not get."""
USUAL = {"background": True, "batch": False}
"""The values of universal options that need not be written."""


# ------------------------------------------------------------------- a whole call


def in_our_words(call: tree.Call, registry: Registry, library: str = "") -> str:
    """A call of another library as a program of ours; '' if the name is not known."""
    return _written(call, registry, library)[0]


def _written(call: tree.Call, registry: Registry, library: str) -> tuple[str, list[str]]:
    """A call of another library as a program of ours, and what is to be known of it."""
    library = library or foreign_call.library_of(call)
    template = _template(call, registry, library)
    if template is None:
        return "", []
    known = [registry.loss(node.name) for node in tree.walk(template) if isinstance(node, tree.Call)]
    has_eps = any("eps" in named.loss.option_types for named in known if named is not None)
    call = foreign_call.plain(call, has_eps=has_eps, library=library)
    result = _filled(template, call, registry)
    if library and call.name not in foreign_call.NO_PRESET:
        result, said = with_like(result, library, registry, foreign_call.settled(call, library))
    else:
        said = list[str]()
    if isinstance(result, tree.Call) and (operands := _operands(call)):
        result = tree.Routed(body=result, route=tree.Operands(items=operands))
    for option in call.options:
        if option.name == "loss_weight" and not isinstance(option.value, (tree.Text, tree.Items)):
            result = tree.Product(factors=(option.value, result), operators=("*",))
    return spell(result), said


def answer(call: tree.Call, registry: Registry, library: str = "") -> str:
    """The repair of a call of another library: our words, and which options have none; '' if it is not known."""
    call = foreign_call.plain_truths(call)
    ours, said = _written(call, registry, library)
    if not ours:
        return ""
    lost = [f"`{option.name}`" for option in call.options if _is_lost(option, call, registry)]
    if lost:
        said = [f"{', '.join(lost)} {'has' if len(lost) == 1 else 'have'} no counterpart", *said]
    said += foreign_call.cautions(call, _names(parse(ours)), library)
    return "; ".join([f"here it is spelled `{ours}`", *dict.fromkeys(said)])


def _names(program: tree.Program) -> set[str]:
    """The names that a program calls."""
    return {node.name for node in tree.walk(program) if isinstance(node, tree.Call)}


def _is_lost(option: tree.Option, call: tree.Call, registry: Registry) -> bool:
    """True for an option of which no loss of the template has anything."""
    template = _template(call, registry)
    nodes = tree.walk(template) if template is not None else ()
    named = [registry.loss(node.name) for node in nodes if isinstance(node, tree.Call)]
    return all(_said(option, call, known.loss, registry) is None for known in named if known is not None)


def _template(call: tree.Call, registry: Registry, library: str = "") -> tree.Expression | None:
    """What stands here for a loss of another library, or for one of ours that is called as in Python."""
    text = (
        OF_ONE_LIBRARY.get((library, call.name))
        or spelled(call.name)
        or (call.name if registry.loss(call.name) else "")
    )
    if foreign_call.is_jaccard(call):
        text = re.sub(r"\bdice\b", "jaccard", text)
    return parse(text).result if text else None


def _operands(call: tree.Call) -> tuple[tree.Expression, ...]:
    """The tensors that a function was called with, unless they are what every loss reads anyway."""
    paths = tuple(a for a in call.arguments if isinstance(a, tree.Path) and a.root in tree.ROOTS)
    is_usual = [spell(path) for path in paths] == ["pred", "target"][: len(paths)]
    return () if is_usual or len(paths) != len(call.arguments) else paths


def _filled(node: tree.Expression, call: tree.Call, registry: Registry) -> tree.Expression:
    """A template with the options of the call in each of its losses."""
    match node:
        case tree.Call(name=name) if named := registry.loss(name):
            return _loss(node, named.loss, call, registry)
        case tree.Call(arguments=arguments):
            inside = tuple(_filled(argument, call, registry) for argument in arguments)
            return node.model_copy(update={"arguments": inside})
        case tree.Sum(terms=terms):
            return node.model_copy(update={"terms": tuple(_filled(t, call, registry) for t in terms)})
        case tree.Product(factors=factors):
            return node.model_copy(update={"factors": tuple(_filled(f, call, registry) for f in factors)})
        case tree.Negative(operand=operand):
            return node.model_copy(update={"operand": _filled(operand, call, registry)})
        case tree.Routed(body=body):
            return node.model_copy(update={"body": _filled(body, call, registry)})
        case _:
            return node


def _loss(node: tree.Call, loss: Loss, call: tree.Call, registry: Registry) -> tree.Expression:
    """One loss of a template, with what the call says of it."""
    factor: tree.Expression | None = None
    activation, options = "", {option.name: option for option in node.options}
    for option in call.options:
        said = _said(option, call, loss, registry)
        if said is None:
            continue
        activation = said.activation or activation
        if said.factor is not None and option.name.rpartition("_")[2] == loss.name:
            factor = said.factor
        if said.option is not None:
            options[said.option.name] = said.option
    activation = foreign_call.pinned(call, loss.name) or activation
    if (weights := foreign_call.weights_of(call, loss.name)) is not None:
        options["class_weight"] = option_of("class_weight", weights)
    swapped = SWAPS.get((loss.name, activation))
    loss = _known(registry, swapped) if swapped else loss
    kept = tuple(option for option in options.values() if not _is_usual(option, loss))
    arguments = () if swapped else node.arguments
    if activation and activation == loss.activation:
        arguments = ()
    elif activation and _may_activate(loss, activation):
        arguments = (word_of(activation),)
    made = node.model_copy(update={"name": loss.name if swapped else node.name, "arguments": arguments})
    made = made.model_copy(update={"options": kept})
    before = () if factor is None else (factor,)
    if (ratio := foreign_call.ratio_of(call, loss.name)) is not None:
        above, below = (tree.Number(value=part) for part in ratio)
        return tree.Product(
            factors=(*before, above, below, made), operators=("*", "/", "*")[1 - len(before) :]
        )
    return tree.Product(factors=(*before, made), operators=("*",)) if before else made


def _known(registry: Registry, name: str) -> Loss:
    named = registry.loss(name)
    assert named is not None
    return named.loss


def _may_activate(loss: Loss, activation: str) -> bool:
    """True if a loss takes an activation: not where it applies its own to logits, or reads plain values."""
    return loss.inherits or (loss.wants in ("probs", "log_probs") and activation == "identity")


def _said(option: tree.Option, call: tree.Call, loss: Loss, registry: Registry) -> Ours | None:
    """What an option of a call says of one loss; None if nothing."""
    if (call.name, option.name) in LOST:
        return None
    if (call.name, option.name, loss.name) in UNREAD:
        return Ours()
    own = _own(option, call, loss)
    return own if own is not None else translated(option, loss, registry)


def _own(option: tree.Option, call: tree.Call, loss: Loss) -> Ours | None:
    """An option that we have under the same name, or that means another thing in just this class."""
    name, value = option.name, option.value
    if name == "reduction":
        word = value.value if isinstance(value, tree.Text) else getattr(value, "name", "")
        is_ours = word in ("sum", "none", "batchmean") and word != loss.reduction
        return Ours(option=option_of(name, word_of(str(word)))) if is_ours else Ours()
    if name == "weight":
        ours = "class_weight" if takes(loss, "class_weight") else "weight"
        if loss.name == "bce" and not isinstance(value, tree.Items):
            ours = "weight"
        return Ours(option=option_of(ours, value_of(ours, value))) if _is_tensor(value) else None
    if name == "smooth_factor" and loss.name == "bce":
        # smp moves both labels by ε; we, as keras, by ε / 2.
        twice = tree.Number(value=2 * value.value) if isinstance(value, tree.Number) else value
        return Ours(option=option_of("label_smoothing", twice))
    if call.name == "Tversky" and name in ("alpha", "beta"):
        # keras weighs what is missed by alpha.
        return Ours(option=option_of("beta" if name == "alpha" else "alpha", value))
    if takes(loss, name) and not (isinstance(value, tree.Word) and value.value is None):
        return Ours(option=option_of(name, value_of(name, value)))
    return None


def _is_tensor(value: tree.Value) -> bool:
    return isinstance(value, (tree.Items, tree.Path, tree.Call))


def _is_usual(option: tree.Option, loss: Loss) -> bool:
    """True for an option at its default, which need not be written."""
    value = option.value
    plain = value.value if isinstance(value, (tree.Word, tree.Number)) else None
    if plain is None:
        return False
    usual = {**USUAL, **loss.defaults}
    return option.name in usual and usual[option.name] == plain


# ------------------------------------------------------------------- calls with dots

_WRAPPED = re.compile(r"(?:\w+\.)*(?:tensor|Tensor|FloatTensor|as_tensor|array)\(\s*(\[[^\[\]()]*\])[^()]*\)")
"""A list that is made a tensor."""
_PREFIX = re.compile(r"(?<![\w.])(?:[A-Za-z_]\w*\.)+(?=[A-Za-z_]\w*\s*\()")
"""What stands before the name of a call: `torch.nn.`"""
_MODE = re.compile(r"\(\s*('\w+'|\"\w+\")(?=\s*[,)])")
"""A text without a name: the `mode` of segmentation-models-pytorch."""


def without_prefixes(text: str) -> str:
    """A text whose calls have plain names: each name stands where it did, up to a first `(mode`."""
    text = _WRAPPED.sub(lambda m: (" " * (m.start(1) - m.start()) + m[1]).ljust(len(m[0])), text)
    text = _PREFIX.sub(lambda m: " " * len(m[0]), text)
    return _MODE.sub(r"(mode=\1", text)


def refined(mistake: Diagnostic, registry: Registry) -> Diagnostic:
    """The mistake of a call with dots, with its options in our words; any other as it is."""
    if mistake.code != "E140":
        return mistake
    start, end = mistake.span
    name = mistake.source.text[start:end].rpartition(".")[2]
    library = foreign_call.PACKAGES.get(mistake.source.text[start:end].partition(".")[0], "")
    fix = respelled(mistake.source, end - len(name), registry, library) or _around(
        mistake.source, end, registry
    )
    return replace(mistake, fix=fix) if fix else mistake


def _around(source: Source, at: int, registry: Registry) -> str:
    """The repair of the call around a value that Python makes, `torch.tensor([3.0])`; '' if there is none."""
    try:
        program = parse(without_prefixes(source.text))
    except LossError:
        return ""
    calls = [node for node in tree.walk(program) if isinstance(node, tree.Call)]
    outer = next((call for call in calls if call.span.start < at < call.span.end and call.options), None)
    if outer is None:
        return ""
    return f"here it is spelled `{spell(outer)}`" if registry.loss(outer.name) else answer(outer, registry)


def respelled(source: Source, at: int, registry: Registry, library: str = "") -> str:
    """The repair of the call of another library whose name begins at `at`; '' if it cannot be read."""
    try:
        program = parse(without_prefixes(source.text))
    except LossError:
        return ""
    for node in tree.walk(program):
        if isinstance(node, tree.Call) and node.name_span.start == at:
            if registry.get(Function, node.name) and not registry.loss(node.name):
                return f"here it is spelled `{spell(node)}`"
            if function := of_names(node, registry):
                return function
            return answer(node, registry, library)
    return ""
