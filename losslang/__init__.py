"""losslang: the language for the loss line of a training config.

    loss = losslang.compile("0.5*bce(sigmoid) + dice(smooth=1)")
    total = loss(pred, target)

Checking, formatting and explaining need no torch; `compile` does.
"""

from __future__ import annotations

import gc
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from losslang.diagnostics.diagnostic import Diagnostic
    from losslang.diagnostics.errors import LossError, LossWarning
    from losslang.meaning.checker import check
    from losslang.meaning.explainer import explain
    from losslang.primitives.decorators import activation, function, loss, reduction
    from losslang.primitives.schedules import schedule
    from losslang.registry import Registry
    from losslang.runtime.detail import Detail
    from losslang.runtime.module import Loss, compile
    from losslang.syntax.formatter import format
    from losslang.syntax.parser import parse
    from losslang.tools.pydantic_field import LossExpr

_HOMES = {
    "check": "meaning.checker",
    "Diagnostic": "diagnostics.diagnostic",
    "LossError": "diagnostics.errors",
    "explain": "meaning.explainer",
    "LossExpr": "tools.pydantic_field",
    "format": "syntax.formatter",
    "Detail": "runtime.detail",
    "Loss": "runtime.module",
    "LossWarning": "diagnostics.errors",
    "compile": "runtime.module",
    "restored": "runtime.module",
    "parse": "syntax.parser",
    "activation": "primitives.decorators",
    "function": "primitives.decorators",
    "loss": "primitives.decorators",
    "reduction": "primitives.decorators",
    "schedule": "primitives.schedules",
    "Registry": "registry",
}
__all__ = [
    "Detail", "Diagnostic", "Loss", "LossError", "LossExpr", "LossWarning", "Registry", "activation",
    "check", "compile", "explain", "format", "function", "loss", "parse", "reduction",
    "schedule",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    """Loads a public name when it is first used: `import losslang` costs nothing."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'losslang' has no attribute '{name}'")
    try:
        value = getattr(_loaded(f"losslang.{home}"), name)
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise ImportError(f"losslang.{name} needs torch: pip install 'losslang[torch]'") from None
    globals()[name] = value
    return value


def _loaded(name: str) -> Any:
    """Imports a module without collections of garbage, of which an import leaves next to none.

    One that goes through all that torch has loaded takes a third of the time of the import.
    What the import has made counts as old at once: the next collection need not go through it.
    """
    collects = gc.isenabled()
    gc.disable()
    try:
        return import_module(name)
    finally:
        if collects:
            if not gc.get_freeze_count():
                gc.freeze()
                gc.unfreeze()
            gc.enable()


def __dir__() -> list[str]:
    """The public names, those that are not loaded yet too."""
    return sorted(__all__)
