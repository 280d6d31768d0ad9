"""Paths of a program over ranks: to the ranks themselves, and to rows gathered from all of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from losslang.meaning.layout import without_slices
from losslang.meaning.meaning import Input
from losslang.plan.plan import Step
from losslang.syntax import tree

OverRanks = Literal["", "gathered", "summed"]
"""How tensors of the call are read: as they are, with the rows of all ranks, or as numbers of all added up."""
RANKS = Input("module", (tree.Key("ranks"),))
"""The ranks of the process group of the module."""


def gathered(path: Input) -> Input:
    """Returns where the rows of all ranks of a tensor of the call stand."""
    base = without_slices(path)
    key = tree.Key("gathered"), tree.Key(str(base))
    return replace(path, root="module", steps=(*key, *path.steps[len(base.steps) :]), soft=False)


def gathered_by(step: Step) -> str | None:
    """Returns the text of the path whose rows of all ranks a step reads; None if it reads none."""
    match dict(step.options).get("path"):
        case Input("module", (tree.Key("gathered"), tree.Key(text), *_)):
            return text
        case _:
            return None
