"""Loads the losses of a library without what else its packages would load."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any


def load(module: str, *, bare: tuple[str, ...] = (), stand_ins: tuple[str, ...] = ()) -> Any:
    """A module of a library. Packages in `bare` are entered without running their `__init__`; what is in
    `stand_ins` is not there at all, and every name of it answers with a decorator or a class that does nothing.
    """
    for name in stand_ins:
        if name not in sys.modules:
            sys.modules[name] = _StandIn(name)
    for name in bare:
        if name not in sys.modules:
            package = ModuleType(name)
            package.__path__ = [folder_of(name)]
            sys.modules[name] = package
    return importlib.import_module(module)


def folder_of(package: str) -> str:
    for place in sys.path:
        folder = Path(place, *package.split("."))
        if folder.is_dir():
            return str(folder)
    raise ModuleNotFoundError(f"{package}: install it as record.py says")


class _Nothing:
    """A decorator, a registry, a base class: whatever a module wants at import and no loss ever calls."""

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def __call__(self, *given: Any, **__: Any) -> Any:
        return given[0] if given and callable(given[0]) else self

    def __getattr__(self, name: str) -> Any:
        return self


class _StandIn(ModuleType):
    def __init__(self, name: str):
        super().__init__(name)
        self.__path__ = []

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Nothing() if name[:1].islower() or name.isupper() else _Nothing
