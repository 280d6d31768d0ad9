"""Targets of other libraries with their arguments, read as the call that they stand for."""

from __future__ import annotations

from losslang.diagnostics.source import Source
from losslang.meaning.checker import analyze
from losslang.tools.configfile.nodes import Node, Scalar, Sequence, below
from losslang.tools.configfile.targets import OF_HYDRA, Says, target_of


def respelled(node: Node, builds: str, says: Says) -> str:
    """The repair of `_target_: builds` with the keys beside it, in our words; '' if it has none.

    It is that of the same call in an expression: `monai.losses.DiceLoss(softmax=true)`.
    """
    found = (target_of(inner, says) for inner in [node, *below(node)])
    target = next((target for target in found if target is not None and target.name == builds), None)
    entries = target.arguments.entries if target is not None and target.arguments is not None else ()
    written = ((entry.name, _value(entry.node, says)) for entry in entries if entry.name not in OF_HYDRA)
    call = f"{builds}({', '.join(f'{name}={value}' for name, value in written if value)})"
    mistakes = analyze(Source(call)).diagnostics
    fix = mistakes[0].fix if mistakes and mistakes[0].code == "E140" else ""
    return fix if fix and "`losslang list`" not in fix else ""


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
