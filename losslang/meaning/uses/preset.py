"""Preset expansion: `like=smp` becomes the options that give the number of another library."""

from __future__ import annotations

from functools import cache
from typing import TypeVar, cast

from losslang.diagnostics.mistakes import presets as preset_mistakes
from losslang.diagnostics.source import Source, Span
from losslang.meaning.likeness import Likeness
from losslang.meaning.terms import MistakeError
from losslang.primitives.libraries import LIBRARIES
from losslang.primitives.primitive import Loss
from losslang.registry import NamedLoss
from losslang.syntax import formatter, tree
from losslang.syntax.parser import parse


def with_preset(call: tree.Call, named: NamedLoss) -> tuple[tree.Call, Likeness | None]:
    """The call with the options of its preset in the place of `like`; a written option wins.

    An activation that the name itself carries wins too, `sigmoid_focal`. Raises MistakeError for a library
    that does not have the loss.
    """
    loss = named.loss
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
    preset = _placed(_call(loss.name, loss.like[name].options), chosen.value.span)
    written = {option.name for option in call.options}
    if "avg_factor" in written:
        # It is what the sum is divided by in place of the library's count.
        written.add("reduction")
    if "classes" in written:
        written.add("background")
    options = [option for option in call.options if option is not chosen]
    options += [option for option in preset.options if option.name not in written]
    arguments = call.arguments or (() if named.activation else preset.arguments)
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


def _placed(piece: Part, span: Span) -> Part:
    """A part of a tree in which every node has the span of the text that it stands for."""
    if isinstance(piece, tree.Node):
        inside = {name: _placed(getattr(piece, name), span) for name in type(piece).model_fields}
        return piece.model_copy(update={**inside, "span": span})
    if type(piece) is tuple:
        return tuple(_placed(one, span) for one in cast("tuple[object, ...]", piece))  # pyright: ignore
    return piece
