"""Every way to compute a work, ready to run on its tensors and held to one number."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

import losslang
from bench.results import COMPILED, HAND, INDUCTOR, OURS
from bench.work import Call, Shape, Work


@dataclass(frozen=True)
class Side:
    """A name and a forward pass."""

    name: str
    forward: Callable[[], Tensor]

    def both(self, call: Call) -> Callable[[], None]:
        """Forward and backward into gradients that are not there yet, as after `zero_grad`."""

        def run() -> None:
            call.clear()
            self.forward().backward()

        return run


class UnfitError(Exception):
    """A side that cannot take part; its text goes into the report."""


def sides(
    work: Work, shape: Shape, call: Call, *, only: tuple[str, ...] = ()
) -> Iterator[Side | tuple[str, str]]:
    """The sides of a work, the hand-written form first; a name and the reason for what takes no part."""
    builders: dict[str, Callable[[], Callable[[], Tensor]]] = {
        HAND: lambda: lambda: work.by_hand(call.pred, call.target, **call.others),
        OURS: lambda: _losslang(work, call),
    }
    if work.compiled and shape == work.largest:
        builders[INDUCTOR] = lambda: _losslang(work, call, fuse="inductor")
        builders[COMPILED] = lambda: _compiled(work, call)
    for library in work.libraries:
        builders[library.name] = lambda build=library.build: _library(build, call)
    for name, build in builders.items():
        if only and name not in only:
            continue
        try:
            yield Side(name, build())
        except UnfitError as error:
            yield name, str(error)


def _losslang(work: Work, call: Call, **how: str) -> Callable[[], Tensor]:
    known = inspect.signature(losslang.compile).parameters
    if not set(how) <= set(known):
        raise UnfitError("not in this version")
    try:
        loss = losslang.compile(work.program, const=dict(call.const), **how)
    except losslang.LossError as error:
        raise UnfitError(f"not in this version: {error.diagnostics[0].message}") from None
    if work.metric:
        return lambda: loss.detail(call.pred, call.target, **call.batch).values.sum()
    return lambda: loss(call.pred, call.target, **call.batch)


def _compiled(work: Work, call: Call) -> Callable[[], Tensor]:
    form = torch.compile(work.by_hand, dynamic=False)
    return lambda: form(call.pred, call.target, **call.others)


def _library(build: Callable[[], Callable[..., Tensor]], call: Call) -> Callable[[], Tensor]:
    try:
        form = build()
    except ImportError:
        raise UnfitError("not installed") from None
    return lambda: form(call.pred, call.target, **call.others)


@dataclass(frozen=True)
class Outcome:
    """The value and the gradients of one call."""

    value: Tensor
    gradients: tuple[Tensor, ...] = ()


def outcome(side: Side, call: Call, *, gradients: bool) -> Outcome:
    """One call, forward and backward where the work has a gradient, which is kept if asked for."""
    call.clear()
    value = side.forward()
    slopes: tuple[Tensor | None, ...] = ()
    if value.requires_grad:
        value.backward()
        slopes = tuple(tensor.grad for tensor in call.trained) if gradients else ()
    call.clear()
    return Outcome(value.detach(), tuple(slope for slope in slopes if slope is not None))


def difference(found: Outcome, wanted: Outcome) -> str:
    """How an outcome differs from another; nothing where they agree.

    Gradients are compared on the scale of the largest: in a mean over a million all are tiny.
    """
    if not torch.allclose(found.value, wanted.value, rtol=1e-4, atol=1e-6):
        return f"computes another number: {found.value.item():.6g}, by hand {wanted.value.item():.6g}"
    if len(found.gradients) != len(wanted.gradients):
        return "has not the same gradients"
    apart = [
        ((a - b).abs().max() / b.abs().max()).item()
        for a, b in zip(found.gradients, wanted.gradients, strict=True)
    ]
    # Written so that a NaN is a difference too. The authors' lovasz loses digits by differences of its steps.
    same = all(distance < 5e-3 for distance in apart)
    return "" if same else f"has another gradient: {max(apart):.1e} of the largest away"
