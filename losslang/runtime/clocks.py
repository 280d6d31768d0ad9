"""The clocks of a compiled loss: buffers that a training loop moves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from losslang.diagnostics.mistakes import time as mistakes
from losslang.meaning.meaning import Input
from losslang.plan.operations.notices import warn_once
from losslang.plan.plan import Plan, Step
from losslang.syntax import tree
from losslang.tensors.eager import is_eager
from losslang.tensors.lazy import torch
from losslang.tensors.targets import Site
from losslang.vocabulary import Tensor

PATIENCE = 100
"""Calls in training after which a clock that was never moved is told."""


def clock_read(step: Step) -> str | None:
    """Returns the name of the clock that a step reads; None for any other step."""
    match dict(step.options).get("path"):
        case Input("module", (tree.Key(name),)) if name in tree.CLOCKS:
            return name
        case _:
            return None


def clocks_read(plan: Plan) -> dict[str, Site]:
    """Returns the clocks that a plan reads, each with the place of its first reader."""
    found: dict[str, Site] = {}
    for step in plan.inputs:
        if (name := clock_read(step)) is not None and step.site is not None:
            found.setdefault(name, step.site)
    return found


class Clocks(dict[str, Site]):
    """The clocks that a plan reads, each with the place of its first reader: int64 buffers of one module.

    In an eager call on a CPU a clock is read as a number, so that a schedule costs no tensor operation; where
    torch traces, and on a GPU, it is the buffer itself: it is never compiled in, and nothing waits for it.
    """

    def __init__(self, plan: Plan):
        super().__init__(clocks_read(plan))
        self.waits = dict.fromkeys(self, PATIENCE)
        self.is_patient = bool(self)
        """Whether some clock may still be told that nobody moves it."""

    def reset(self, module: torch.nn.Module) -> None:
        """Makes the clocks of a module, at 0."""
        # Not in inference mode: training could not write to a buffer made there.
        with torch.inference_mode(mode=False):
            for name in self:
                module.register_buffer(name, torch.zeros((), dtype=torch.int64))

    def without_data(self, module: torch.nn.Module) -> list[str]:
        """Returns the clocks that have no time, on the meta device."""
        return [name for name in self if _buffer(module, name).is_meta]

    def restart(self, module: torch.nn.Module, names: Sequence[str]) -> None:
        """Sets those of `names` to 0 that have got data now, which may be anything."""
        for name in names:
            if not _buffer(module, name).is_meta:
                _buffer(module, name).zero_()

    def read(self, module: torch.nn.Module) -> dict[str, Any]:
        """Returns the time of each clock in this call."""
        buffers = {name: _buffer(module, name) for name in self}
        if not is_eager():
            return dict(buffers)
        return {name: time.item() if time.is_cpu else time for name, time in buffers.items()}

    def times(self, module: torch.nn.Module) -> list[int] | None:
        """Returns the time of each clock as a number; None where torch traces, and for a clock on a GPU.

        The buffers are asked in every call, which takes 0.15 us each: who writes to them need not tell.
        """
        if not is_eager():
            return None
        buffers: Any = module.__dict__["_buffers"]
        found: list[int] = []
        for name in self:
            time = buffers[name]
            if not time.is_cpu:
                return None
            found.append(time.item())
        return found

    def set(self, module: torch.nn.Module, name: str, time: int) -> None:
        """Sets a clock; one that the program does not read is left out."""
        if name in self:
            _buffer(module, name).fill_(time)
            self.waits[name] = 0

    def tick(self, module: torch.nn.Module, name: str) -> None:
        """Moves a clock on by one; one that the program does not read is left out."""
        if name in self:
            _buffer(module, name).add_(1)
            self.waits[name] = 0

    def count(self, module: torch.nn.Module) -> None:
        """Counts a call in training, and tells a clock once that was not moved in so many of them."""
        if not self.is_patient:
            return
        for name, left in self.waits.items():
            self.waits[name] = left - 1
            if left == 1:
                site, time = self[name], int(_buffer(module, name))
                warn_once(site, mistakes.clock_stands(site.span, name, time, PATIENCE))
        self.is_patient = any(left > 0 for left in self.waits.values())


def _buffer(module: torch.nn.Module, name: str) -> Tensor:
    # Not by getattr: the lookup in a module takes longer, and this is in every call.
    buffers: Any = module.__dict__["_buffers"]
    return buffers[name]
