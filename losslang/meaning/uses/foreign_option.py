"""Options under other names: those of other libraries in our words, else those that a loss takes, nearest first."""

from __future__ import annotations

from dataclasses import dataclass

from losslang.diagnostics.diagnostic import Diagnostic
from losslang.diagnostics.elsewhere.nearest import nearest_first
from losslang.diagnostics.elsewhere.options import CHOICES, DISTRIBUTIONS, FACTORS, NEEDLESS, RENAMED
from losslang.diagnostics.mistakes import options as mistakes
from losslang.diagnostics.mistakes.names import unknown_name
from losslang.meaning.uses import foreign_call
from losslang.meaning.uses.universal import TENSORS, takes
from losslang.primitives.primitive import Activation, Loss
from losslang.registry import Registry
from losslang.syntax import tree
from losslang.syntax.formatter import number as formatted
from losslang.syntax.formatter import spell
from losslang.vocabulary import UNIVERSAL

SIGMOID_OF = {"bce", "focal", "dice", "jaccard", "tversky", "asl"}
"""Losses that are usually meant on a sigmoid where logits are handed over."""


@dataclass
class Ours:
    """What one option of another library says here: an activation, an option, a factor, or nothing."""

    activation: str = ""
    option: tree.Option | None = None
    factor: tree.Expression | None = None
    why: str = ""

    def __str__(self) -> str:
        if self.activation:
            return self.activation
        return spell(self.option) if self.option is not None else ""


def translated(option: tree.Option, loss: Loss, registry: Registry) -> Ours | None:
    """An option of another library in our words, for one loss; None if it is not known."""
    name, value = option.name, option.value
    if loss.wants == "parameters" and isinstance(value, tree.Number):
        return Ours(factor=value)
    word = value.value if isinstance(value, (tree.Word, tree.Text)) else getattr(value, "name", None)
    chosen = name.removeprefix("use_") if word is True else word if "act" in name else None
    if isinstance(chosen, str) and registry.get(Activation, chosen):
        return Ours(activation=chosen)
    if word is None and isinstance(value, tree.Word):
        return Ours(why="`none` is what it is without")
    if registry.get(Activation, name.removeprefix("use_")) and word is False:
        return Ours(why="an activation is written where there is one")
    if name in ("from_logits", "with_logits", "activate", "activated"):
        given = word is (name == "activated")
        return Ours(activation="identity" if given else _natural(loss))
    if name in ("mode", "loss_type") and word in DISTRIBUTIONS and name not in loss.option_types:
        return Ours(activation=DISTRIBUTIONS[str(word)])
    if name in ("dim", "axis", "channel_axis", "class_dim"):
        axis = spell(value)
        last = {"-1": "last", "1": "first"}.get(axis)
        return Ours(option=option_of("channels", word_of(last))) if last else None
    if name == "channels_last" and isinstance(word, bool):
        return Ours(option=option_of("channels", word_of("last" if word else "first")))
    if name == "log_target" and loss.name == "kl" and word is True:
        given = tree.Call(name="exp", arguments=(tree.Path(root="target", steps=()),))
        return Ours(option=option_of("target", given))
    if name in FACTORS or (name == "alpha" and loss.name == "kd"):
        return Ours(factor=None if isinstance(value, (tree.Text, tree.Items)) else value)
    if name in NEEDLESS:
        return Ours(why=NEEDLESS[name])
    ours = next((known for known in RENAMED.get(name, ()) if takes(loss, known)), None)
    return None if ours is None else Ours(option=option_of(ours, value_of(ours, value)))


def _natural(loss: Loss) -> str:
    """The activation of logits that a loss is usually meant after."""
    return loss.activation or ("sigmoid" if loss.name in SIGMOID_OF else "softmax")


def value_of(name: str, value: tree.Value) -> tree.Value:
    """A value for our option: what is no number and no text of a tensor is read from the call or from `const`."""
    if name in TENSORS or name in ("target", "pred", "variance", "sign"):
        root = "const" if name in ("class_weight", "pos_weight") else "batch"
        match value:
            case tree.Call(name=word, arguments=(), options=()) if word not in ("balanced", "complement"):
                return tree.Path(root=root, steps=(tree.Key(word),))
            case tree.Path(root=head, steps=steps) if head not in tree.ROOTS and steps:
                return tree.Path(root=root, steps=steps[-1:])
            case _:
                return value
    word = value.value if isinstance(value, tree.Text) else getattr(value, "name", "")
    if (name, word) in CHOICES:
        return word_of(CHOICES[name, word])
    return word_of(word) if isinstance(value, tree.Text) and word.isidentifier() else value


def option_of(name: str, value: tree.Value) -> tree.Option:
    """An option with a value."""
    return tree.Option(name=name, value=value)


def word_of(name: str) -> tree.Call:
    """A plain name."""
    return tree.Call(name=name)


def unbound(word: tree.Call, option: str, loss: Loss | None, fix: str = "") -> Diagnostic:
    """The mistake of a name that stands for a number or a tensor, and that nothing binds."""
    name = word.name
    if fix:
        return unknown_name(word.name_span, name, "name", (), fix)
    operands = [] if loss is None else [operand.name for operand in loss.operands]
    if option in TENSORS or option in operands:
        root = "const" if option in ("class_weight", "pos_weight", "head", "net") else "batch"
        handed = "`compile(const=...)`" if root == "const" else "the call"
        fix = f"what {handed} is given is read by its path: `{option}={root}.{name}`"
    else:
        usual = loss.defaults.get(option) if loss is not None else None
        shown = formatted(usual) if isinstance(usual, (int, float)) and usual is not True else "0.5"
        fix = f"bind a number above: `{name} = {shown};`"
        if not option:
            fix += f", or read what the call is given: `batch.{name}`"
    return unknown_name(word.name_span, name, "name", (), fix)


def unknown_option(call: tree.Call, option: tree.Option, loss: Loss, registry: Registry) -> Diagnostic:
    """The mistake of an option that a loss does not have."""
    call = foreign_call.plain_truths(call)
    option = next(other for other in call.options if other.span == option.span)
    said = translated(option, loss, registry)
    taken = tuple(name for name in (*loss.option_types, *UNIVERSAL) if takes(loss, name))
    fix = ""
    if option.name in foreign_call.SMOOTHINGS and takes(loss, "smooth"):
        both = foreign_call.plain(call, has_eps="eps" in loss.option_types)
        ours = ", ".join(spell(one) for one in both.options if one.name in ("smooth", "eps"))
        fix = f"here it is `{ours}`" + (", for both" if foreign_call.has_both(call) else "")
    elif option.name in foreign_call.BACKGROUNDS and not takes(loss, "background"):
        fix = foreign_call.CHANNEL_0 if loss.name == "focal" else ""
    elif said is not None and said.factor is not None:
        fix = f"a factor stands before the loss: `{spell(said.factor)}*{loss.name}`"
    elif said is not None and str(said):
        fix = f"here it is `{said}`" + (
            f", which stands alone: `{call.name}({said})`" if said.activation else ""
        )
        if said.activation and loss.inherits and option.name.endswith("_logits"):
            fix += "; beside a term that has one, such as `ce`, leave it out: it takes that one"
    elif said is not None and said.why:
        fix = f"leave it out: {said.why}"
    return mistakes.unknown_option(
        option.span, loss.name, option.name, nearest_first(option.name, taken), fix
    )
