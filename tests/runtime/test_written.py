"""A bound program written as one function does what its calls do in turn."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch

from losslang.losses.entropy import ce
from losslang.runtime.binding import Calls
from losslang.runtime.written import written


def told(*arguments: Any, **options: Any) -> tuple[Any, ...]:
    return (*arguments, *options.items())


def test_every_kind_of_call_is_the_one_of_the_loop():
    """A function, a partial one with options, one of a partial one, a call of no value, values that are constants."""
    calls = Calls(
        roots=2,
        template=(None, None, 7, None, torch.ones(2), None),
        calls=(
            (2, told, (0, 4)),
            (3, partial(partial(told, "first", site=ce), "second", site=torch, reduction="mean"), (2, 1, 6)),
            (5, told, ()),
            (7, partial(told), (3, 5, 4)),
        ),
    )
    slots = (7, 0, 4, 7)
    found, wanted = written(calls, slots)("a", "b"), calls.run("a", "b")
    assert found == [wanted[slot] for slot in slots]


def test_a_program_of_nothing_gives_its_roots_and_constants():
    assert written(Calls(1, (0.5,), ()), (1, 0))("root") == [0.5, "root"]
