"""losslang: the language for the loss line of a training config.

    loss = losslang.compile("0.5*bce(sigmoid) + dice(smooth=1)")
    total = loss(pred, target)

Checking, formatting and explaining need no torch; `compile` does.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from losslang.checker import check
    from losslang.decorators import activation, function, loss, reduction
    from losslang.diagnostics import Diagnostic
    from losslang.errors import LossError, LossWarning
    from losslang.explainer import explain
    from losslang.field import LossExpr
    from losslang.formatter import format
    from losslang.module import Detail, Loss, compile
    from losslang.parser import parse
    from losslang.registry import Registry

_HOMES = {
    "check": "checker",
    "Diagnostic": "diagnostics",
    "LossError": "errors",
    "explain": "explainer",
    "LossExpr": "field",
    "format": "formatter",
    "Detail": "module",
    "Loss": "module",
    "LossWarning": "errors",
    "compile": "module",
    "restored": "module",
    "parse": "parser",
    "activation": "decorators",
    "function": "decorators",
    "loss": "decorators",
    "reduction": "decorators",
    "Registry": "registry",
}
__all__ = [
    "Detail", "Diagnostic", "Loss", "LossError", "LossExpr", "LossWarning", "Registry", "activation",
    "check", "compile", "explain", "format", "function", "loss", "parse", "reduction",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    """Loads a public name when it is first used: `import losslang` costs nothing."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'losslang' has no attribute '{name}'")
    try:
        value = getattr(import_module(f"losslang.{home}"), name)
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise ImportError(f"losslang.{name} needs torch: pip install 'losslang[torch]'") from None
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
