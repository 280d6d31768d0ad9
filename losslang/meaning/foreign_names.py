"""Functions of torch, and losses with `masked_` or `weighted_` before them, as they are written here."""

from __future__ import annotations

import re
from collections.abc import Sequence

from losslang.diagnostics.elsewhere.functions import in_arithmetic
from losslang.meaning.uses.foreign_option import option_of, value_of
from losslang.meaning.uses.misplaced import MASKS, needed
from losslang.registry import Registry
from losslang.syntax import tree
from losslang.syntax.formatter import spell
from losslang.syntax.parser import parse

BEFORE = re.compile(r"(?:(masked|weighted)_(\w+)|(\w+)_(masked|weighted))")
"""A loss with a word that says what it takes."""
TAKEN = {"masked": ("mask", ("mask", "masks", "valid")), "weighted": ("weight", ("weight", "weights", "w"))}
"""By that word: our option, and the names by which other libraries take it."""


def of_names(call: tree.Call, registry: Registry) -> str:
    """The repair of a call by a name that is made of ours, or is one of our functions; '' for any other."""
    options = {option.name: spell(option.value) for option in call.options}
    function = in_arithmetic(call.name, [spell(argument) for argument in call.arguments], options)
    if function:
        return f"here it is spelled `{spell(parse(function).result)}`"
    found = BEFORE.fullmatch(call.name)
    if found is None:
        return ""
    word, name = found[1] or found[4], found[2] or found[3]
    named, (option, theirs) = registry.loss(name), TAKEN[word]
    if named is None:
        return ""
    given = next(
        (one.value for one in call.options if one.name in theirs),
        tree.Call(name="mask" if word == "masked" else "w"),
    )
    kept = tuple(one for one in call.options if one.name not in theirs)
    arguments = call.arguments or (() if named.activation else needed(named.loss))
    made = tree.Call(
        name=name, arguments=arguments, options=(*kept, option_of(option, value_of(option, given)))
    )
    return f"here it is spelled `{spell(made)}`"


def as_mask(name: str, factors: Sequence[tree.Node], registry: Registry) -> str:
    """The repair of a word for a mask that multiplies a loss, `mse*mask`; '' for any other word."""
    if MASKS.search(name) is None:
        return ""
    mask = option_of("mask", value_of("mask", tree.Call(name=name)))
    for factor in factors:
        call = factor.body if isinstance(factor, tree.Routed) else factor
        if isinstance(call, tree.Call) and registry.loss(call.name) and call.name != name:
            made: tree.Node = call.model_copy(update={"options": (*call.options, mask)})
            whole = factor.model_copy(update={"body": made}) if factor is not call else made
            return f"what leaves elements out is an option: `{spell(whole)}`"
    return ""
