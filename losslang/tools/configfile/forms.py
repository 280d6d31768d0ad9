"""The three formats of config files, as functions under common names."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from losslang.diagnostics.source import Source
from losslang.tools.configfile import json, toml, yaml, yaml_scalars
from losslang.tools.configfile.nodes import Decoded, Node, Scalar


@dataclass(frozen=True)
class Form:
    """What differs from one format to another.

    `tree` reads a file; `decoded` says what a scalar of it holds, and where; `spellings` are the
    ways of writing a new text in the place of a scalar, best first (the new text also without line
    breaks, where that is possible).
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
