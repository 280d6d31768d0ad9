"""Mappings of texts: several losses by name, or what configures a loss of another program."""

from __future__ import annotations

import re

from losslang.diagnostics.source import Source
from losslang.meaning.checker import analyze
from losslang.tools.configfile.doubts import INTERPOLATION, is_program
from losslang.tools.configfile.nodes import Entry, Mapping, Scalar
from losslang.tools.configfile.targets import Says

CONFIGURES = (
    "_target_",
    "class_path",
    "type",
    "name",
    "_name_",
    "class",
    "cls",
    "kind",
    "func",
    "function",
    "fn",
    "id",
    "activation",
    "reduction",
    "mode",
    "weight",
)
"""Keys of a mapping that configures another program's loss, unless what stands under them is an expression."""
HEADS = ("cls",)
"""Those of them that heads of networks are called too."""
COMPOUND = re.compile(r"[(@+*/]")
"""A sign of an expression: a word alone is a name of any program."""


def configuring(mapping: Mapping, says: Says) -> Entry | None:
    """The first entry that says that a mapping configures another program's loss; None if none does."""
    named = (entry for entry in mapping.entries if entry.name in CONFIGURES)
    return next((entry for entry in named if not _is_expression(entry, says)), None)


def _is_expression(entry: Entry, says: Says) -> bool:
    """True for a text that only an expression can be: of a head one that parses, of other keys one that checks."""
    if not isinstance(entry.node, Scalar) or entry.node.kind != "text":
        return False
    text = INTERPOLATION.sub("1", says(entry.node))
    if entry.name in HEADS and COMPOUND.search(text):
        return is_program(text)
    if entry.name in HEADS or COMPOUND.search(text):
        return analyze(Source(text)).meaning is not None
    return False
