"""Modules of the user that register losses: named on the command line, or in the project's pyproject.toml.

Importing a module executes it. So it happens on request alone, from the command line or from the
pyproject.toml of the folder where losslang runs; what stands in a config that is checked imports nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, cast

from losslang.diagnostics.diagnostic import Diagnostic
from losslang.diagnostics.mistakes import configs
from losslang.diagnostics.source import Source
from losslang.tools.cli.outcome import Outcome, failed

PROJECT = "pyproject.toml"
TABLE = b"tool.losslang"


def import_all(named: Sequence[str]) -> Outcome | None:
    """Imports the modules named on the command line, and those of the project. An outcome if one cannot be."""
    found = wrong_imports(named)
    return Outcome(2, "", failed(found)) if found else None


def wrong_imports(named: Sequence[str]) -> list[Diagnostic]:
    """Imports the same modules; the mistakes of those that fail."""
    found: list[Diagnostic] = []
    for name in named:
        found += _imported(name, Path.cwd(), "--import")
    project = _project()
    if project is not None:
        found += _of_project(project)
    return found


def _project() -> Path | None:
    """The pyproject.toml of the folder where losslang runs, or the nearest above it, up to the repository's top."""
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / PROJECT).is_file():
            return folder / PROJECT
        if (folder / ".git").exists():
            return None
    return None


def _of_project(file: Path) -> list[Diagnostic]:
    """Imports what a project names under `[tool.losslang] imports`; the mistakes of those that fail."""
    data = file.read_bytes()
    if TABLE not in data:
        return []
    # TOML is loaded for the project that has such a table alone.
    from losslang.tools.configfile.toml import tomllib

    try:
        tables: dict[str, Any] = tomllib.loads(data.decode("utf-8"))
    except ValueError as error:
        return [configs.bad_project(str(file), f"it is not valid TOML: {error}").at(Source("", str(file)))]
    table: Any = tables.get("tool", {}).get("losslang", {})
    names: Any = cast("dict[str, Any]", table).get("imports", []) if isinstance(table, dict) else None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in cast("list[Any]", names)):
        return [configs.bad_project(str(file), "`imports` is no list of modules").at(Source("", str(file)))]
    return [d for name in cast("list[str]", names) for d in _imported(name, file.parent, str(file))]


def _imported(name: str, folder: Path, asked: str) -> list[Diagnostic]:
    """Imports one module, with `folder` on the path. The mistake of one that cannot be imported."""
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    try:
        import_module(name)
    except Exception as error:  # whatever the module does is reported
        reason = f"{type(error).__name__}: {error}"
        return [configs.not_imported(name, reason).at(Source("", asked))]
    return []
