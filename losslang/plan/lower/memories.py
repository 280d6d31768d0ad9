"""The buffers of a module that its losses read: their names, and the steps that read them."""

from __future__ import annotations

from losslang.meaning.meaning import Input
from losslang.plan.plan import Step
from losslang.syntax import tree


def memory_name(term: str, number: int) -> str:
    """Returns the name of the memory of a use, the `number`th with one in its term.

    It is the log key, a dot as `:`, since no key of a `state_dict` of one module holds a dot.
    """
    name = term.replace(".", ":")
    return name if number == 1 else f"{name}#{number}"


def memory_of(step: Step) -> str | None:
    """Returns the name of the memory that a step reads from the module; None if it reads none."""
    path = dict(step.options).get("path")
    match path:
        case Input("module", (tree.Key("memory"), tree.Key(name))):
            return name
        case _:
            return None


def weights_path(group: str) -> Input:
    """Returns the path of what a call of a combinator keeps."""
    return Input("module", (tree.Key("weights"), tree.Key(group)))


def weights_of(step: Step) -> str | None:
    """Returns the call of a combinator whose memory a step reads; None if it reads none."""
    path = dict(step.options).get("path")
    match path:
        case Input("module", (tree.Key("weights"), tree.Key(group))):
            return group
        case _:
            return None
