"""The state of a compiled loss that training moves: clocks, learned weights, memories."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, Literal

import torch
from torch import Tensor

from losslang.runtime.buffers import read_memories
from losslang.runtime.described import Described
from losslang.runtime.learned import refuse_optimizer_without
from losslang.syntax.tree import CLOCKS
from losslang.tensors.eager import is_eager, is_transformed


class Training(Described):
    """A described loss with the state that training moves."""

    def set_clock(self, *, step: float | None = None, epoch: float | None = None) -> None:
        """Sets the clocks that schedules read: how many steps of the optimizer, and epochs, have been taken.

        Of a fraction the whole part counts. A clock that the program does not read is left out, so that one
        training loop serves all programs. Raises ValueError for a time below 0.
        """
        for name, time in (("step", step), ("epoch", epoch)):
            if time is not None:
                if not 0 <= time < math.inf:
                    raise ValueError(
                        f"{name}={time} is no time: write `loss.set_clock({name}=0)`, or a later one"
                    )
                self._clocks.set(self, name, int(time))

    def tick(self, clock: Literal["step", "epoch"] = "step") -> None:
        """Moves a clock on by one: after each step of the optimizer, or at the end of an epoch.

        Raises ValueError for any other name.
        """
        if clock not in CLOCKS:
            ours = (
                'write `loss.tick()` after each step of the optimizer, `loss.tick("epoch")` after each epoch'
            )
            raise ValueError(f"there is no clock {clock!r}: {ours}")
        self._clocks.tick(self, clock)

    def param_groups(self, **options: Any) -> list[dict[str, Any]]:
        """The parameters of the loss itself as a group for an optimizer; an empty list if it has none.

        Without weight decay, unless `options` say otherwise: it would pull a learned weight towards 1.

            torch.optim.AdamW([{"params": model.parameters()}, *loss.param_groups(lr=1e-2)], lr=1e-4)
        """
        own = [parameter for parameter in self.parameters() if parameter.requires_grad]
        return [{"params": own, "weight_decay": 0.0, **options}] if own else []

    def check_optimizer(self, optimizer: torch.optim.Optimizer) -> None:
        """Raises LossError if an optimizer does not have every parameter of the loss: they would not be learned."""
        refuse_optimizer_without(self, optimizer, self.meaning.source)

    def _own(self, moves: bool) -> dict[str, Any]:
        """What the module itself holds for its terms, the clocks too."""
        own = self._state(moves)
        if self._clocks:
            own.update(self._clocks.read(self))
        return own

    def _state(self, moves: bool) -> dict[str, Any]:
        """Parameters of the model, what is learned, and what losses remember."""
        held = self.held.now() if self.held else self.held
        own: dict[str, Any] = {"parameters": held, "kept": {}}
        if self._starts:
            own["learned"] = self.learned.read()
        if not self._memories:
            return own
        kept: dict[str, Tensor] = {name: getattr(self, name) for name in self._memories}
        if not moves or is_transformed():
            kept = {name: value.clone() for name, value in kept.items()}
        return {**own, **read_memories(kept, self.training)}

    def _remember_in_backward(self, values: Iterable[Tensor], kept: Mapping[str, Tensor]) -> None:
        """Makes `kept` the buffers of the module once one of the values is differentiated in training."""
        if not kept or not self.training or not is_eager():
            return

        def remember(_: Tensor) -> None:
            for name, value in kept.items():
                getattr(self, name).copy_(value)

        for value in values:
            if value.requires_grad:
                value.register_hook(remember)  # pyright: ignore[reportUnknownMemberType]
