"""`like=` beside the losses of a library whose defaults are others than ours."""

from __future__ import annotations

from losslang.meaning.uses.foreign_option import option_of, word_of
from losslang.primitives.libraries import LIBRARIES
from losslang.primitives.presets import as_preset
from losslang.primitives.primitive import Loss
from losslang.registry import Registry
from losslang.syntax import tree
from losslang.syntax.formatter import spell


def alike(node: tree.Call, loss: Loss, library: str) -> tuple[tree.Call, str]:
    """A loss with the `like=` of a library where its defaults are others, or why it has none.

    A preset that stands for nothing, as `dice(like=monai)`, is ours already and is not written.
    """
    declared = loss.like.get(library)
    if declared is None:
        return node, ""
    preset = as_preset(declared)
    if preset.reduction and "reduction" in {option.name for option in node.options}:
        return node, ""
    activation = _activation(node, loss)
    why = preset.refuses.get(activation, "")
    if not why and preset.not_after(activation, loss.has_classes):
        why = "it was not compared after this activation"
    if preset.options and not why:
        why = next(
            (text for words, text in preset.refuses.items() if _all_beside(words, node, activation)), ""
        )
    if why:
        name = loss.name if not activation or activation == loss.activation else f"{loss.name}({activation})"
        return node, f"`{name}` is not known to be that of {LIBRARIES[library]}: {why}"
    if not preset.options or all(part in _stated(node, activation) for part in preset.options.split(", ")):
        return node, ""
    return node.model_copy(update={"options": (*node.options, option_of("like", word_of(library)))}), ""


def _activation(node: tree.Call, loss: Loss) -> str:
    """The activation that is written, or that of the loss itself."""
    written = next((word.name for word in node.arguments if isinstance(word, tree.Call)), "")
    return written or loss.activation or ""


def _stated(node: tree.Call, activation: str) -> set[str]:
    """What stands in a call, as a preset writes it: `smooth=1`."""
    return {activation, *(spell(option) for option in node.options)}


def _all_beside(words: str, node: tree.Call, activation: str) -> bool:
    """True if all that a refusal names stands in a call."""
    names = {option.name for option in node.options}
    return all(word in names or word in _stated(node, activation) for word in words.split())


def with_like(
    node: tree.Expression, library: str, registry: Registry, settled: set[str]
) -> tuple[tree.Expression, list[str]]:
    """A program with `like=` in each loss that needs it, and why others cannot have it; settled ones stay."""
    if isinstance(node, tree.Call):
        named = registry.loss(node.name)
        if named is None or node.name in settled:
            return node, []
        made, why = alike(node, named.loss, library)
        return made, [why] if why else []
    parts = (
        node.terms if isinstance(node, tree.Sum) else node.factors if isinstance(node, tree.Product) else ()
    )
    several = [with_like(part, library, registry, settled) for part in parts]
    field = "terms" if isinstance(node, tree.Sum) else "factors"
    made = node.model_copy(update={field: tuple(part for part, _ in several)}) if parts else node
    return made, [why for _, whys in several for why in whys]
