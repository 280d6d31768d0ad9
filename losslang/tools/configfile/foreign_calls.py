"""Targets of other libraries with their arguments, read as the call that they stand for."""

from __future__ import annotations

from losslang.meaning import foreign_config
from losslang.tools.configfile.nodes import Node, Scalar, Sequence, below
from losslang.tools.configfile.targets import Says, target_of


def respelled(node: Node, builds: str, says: Says) -> str:
    """The repair of `_target_: builds` with the keys beside it, in our words; '' if it has none.

    It is that of the same call in an expression, `monai.losses.DiceLoss(softmax=true)`.
    """
    found = (target_of(inner, says) for inner in [node, *below(node)])
    target = next((target for target in found if target is not None and target.name == builds), None)
    entries = target.arguments.entries if target is not None and target.arguments is not None else ()
    written = ((entry.name, _value(entry.node, says)) for entry in entries)
    return foreign_config.respelled(builds.removeprefix("!"), written)


def _value(node: Node, says: Says) -> str:
    """A value as an expression writes it; '' for one that no option takes."""
    if isinstance(node, Sequence):
        items = [_value(item, says) for item in node.items]
        return f"[{', '.join(items)}]" if all(items) else ""
    if not isinstance(node, Scalar):
        return ""
    text = says(node)
    if node.kind == "truth value":
        return "true" if text.lower() in ("true", "yes", "on") else "false"
    if node.kind == "number":
        return text
    return f"'{text}'" if node.kind == "text" and "'" not in text else ""
