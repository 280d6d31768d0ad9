"""Preset expansion: `like=smp` becomes the options that give the number of another library."""

from __future__ import annotations

from functools import cache
from typing import TypeVar, cast

from losslang.diagnostics.mistakes import presets as preset_mistakes
from losslang.diagnostics.source import Source, Span
from losslang.meaning.meaning import Likeness
from losslang.meaning.terms import MistakeError
from losslang.primitives.libraries import LIBRARIES
from losslang.primitives.primitive import Loss
from losslang.registry import Found
from losslang.syntax import formatter, tree
from losslang.syntax.parser import parse


def with_preset(call: tree.Call, found: Found) -> tuple[tree.Call, Likeness | None]:
    """The call with the options of its preset in the place of `like`; a written option wins.

    An activation that the name itself carries wins too, `sigmoid_focal`. Raises MistakeError for a library
    that does not have the loss.
    """
    loss = found.loss
    written = [option for option in call.options if option.name == "like"]
    if len(written) != 1:
        # Two of them are a mistake like any other option that is given twice.
        return call, None
    (chosen,) = written
    match chosen.value:
        case tree.Call(name=name, arguments=(), options=()) | tree.Text(value=name):
            pass
        case other:
            name = formatter.spell(other)
    if name not in loss.like:
        raise MistakeError(
            preset_mistakes.not_in_library(chosen.value.span, loss.name, name, tuple(loss.like))
        )
    given = _placed(_call(loss.name, loss.like[name].options), chosen.value.span)
    written = {option.name for option in call.options}
    if "avg_factor" in written:
        # It is what the sum is divided by in place of the library's count.
        written.add("reduction")
    options = [option for option in call.options if option is not chosen]
    options += [option for option in given.options if option.name not in written]
    arguments = call.arguments or (() if found.activation else given.arguments)
    beside = tuple(option.name for option in call.options if option is not chosen)
    likeness = Likeness(name, chosen.value.span, beside)
    return call.model_copy(update={"options": tuple(options), "arguments": arguments}), likeness


def listed(loss: Loss) -> list[tuple[str, str]]:
    """The libraries of a loss, each with its options."""
    return [
        (f"like={name}", f"{LIBRARIES[name]}: {preset.options or 'the defaults'}")
        for name, preset in loss.like.items()
    ]


@cache
def _call(loss: str, options: str) -> tree.Call:
    """The call of a loss with the options of a preset."""
    result = parse(Source(f"{loss}({options})", f"like= of {loss}")).result
    assert isinstance(result, tree.Call)
    return result


Part = TypeVar("Part")


def _placed(part: Part, span: Span) -> Part:
    """A part of a tree in which every node has the span of the text that it stands for."""
    if isinstance(part, tree.Node):
        inside = {name: _placed(getattr(part, name), span) for name in type(part).model_fields}
        return part.model_copy(update={**inside, "span": span})
    if type(part) is tuple:
        return tuple(_placed(one, span) for one in cast("tuple[object, ...]", part))  # pyright: ignore
    return part
