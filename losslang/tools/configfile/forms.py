"""The formats of config files, as records of functions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from losslang.diagnostics.source import Source
from losslang.tools.configfile import json, toml, yaml, yaml_scalars
from losslang.tools.configfile.nodes import Decoded, Node, Scalar


@dataclass(frozen=True)
class Form:
    """One format: how it is read and written.

    `tree` reads a file; `decoded` gives the text of a scalar with its offsets; `spellings` are the ways to
    write a new text in the place of a scalar, best first (the new text also without line breaks, where that
    is possible).
    """

    name: str
    tree: Callable[[Source], list[Node]]
    decoded: Callable[[str, Scalar], Decoded]
    spellings: Callable[[str, Scalar, str, str | None], Iterator[str]]


YAML = Form("YAML", yaml.tree, yaml_scalars.decoded, yaml_scalars.spellings)
TOML = Form("TOML", toml.tree, toml.decoded, toml.spellings)
JSON = Form("JSON", json.tree, json.decoded, json.spellings)

FORMS = {".yaml": YAML, ".yml": YAML, ".toml": TOML, ".json": JSON}
WHOLE = ".loss"  # a file of this suffix is one expression
SUFFIXES = (*FORMS, WHOLE)
