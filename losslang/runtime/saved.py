"""Saving and loading of a compiled loss: checkpoints, pickles and copies."""

from __future__ import annotations

import copy
import pickle
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from losslang.diagnostics.errors import LossWarning
from losslang.diagnostics.mistakes.checkpoints import another_loss, no_memory
from losslang.diagnostics.rendering import full
from losslang.diagnostics.source import Source
from losslang.meaning import keys
from losslang.runtime import checkpoint
from losslang.runtime.buffers import MEMORY, WEIGHTS, Held, Validate, losses_with_memory, memories
from losslang.runtime.checkpoint import KEY, Lock
from losslang.runtime.clocks import Clocks
from losslang.runtime.compiled import Programs
from losslang.runtime.constants import Constants
from losslang.runtime.learned import Learned
from losslang.runtime.memory_keys import current_keys, places
from losslang.syntax.parser import parse
from losslang.syntax.tree import CLOCKS

PROGRAM = ("_programs", "held", "validate", "_memories", "_clocks", "_starts", "of_pickle")
"""Attributes that a pickle does not hold: they are compiled again from the text."""


class Saved(nn.Module):
    """A module of programs, constants and buffers of losses, with its keys in a `state_dict`.

    A Parameter or a trained network in `const` is saved as `const_NAME`, the buffer of a loss as
    `memory_KEY` with the log key of its term, what a combinator keeps as `weights_NAME`, a clock that it
    reads as `step` or `epoch`, what it learns as `learned.NAME`, and beside them the lock text.

    A module without any of these has no key.
    """

    def __init__(self, programs: Programs, const: Mapping[str, Any], held: Held, validate: Validate):
        super().__init__()
        self._programs = programs
        self.held = held
        self.validate: Validate = validate
        self._memories = memories(programs.plan, programs.registry)
        self._clocks = Clocks(programs.plan)
        self._starts = {parameter.name: parameter.start for parameter in programs.meaning.learned}
        if self._starts:
            self.learned = Learned(self._starts)
        self._checked = validate == "never"
        self.of_pickle: Lock | None = None
        self.distributed: Any = None
        self.reset_parameters()
        self._keep(const)

    def _keep(self, const: Mapping[str, Any]) -> None:
        self._const = Constants(self, const)

    @property
    def const(self) -> Mapping[str, Any]:
        """What `const.name` reads: tensors where the module has been moved to."""
        return self._const.of(self)

    def reset_parameters(self) -> None:
        """Resets what losses remember, the clocks and what is learned; constants stay as they are."""
        if self._starts:
            self.learned.reset()
        self._clocks.reset(self)
        # Not in inference mode: training could not write to a buffer made there.
        with torch.inference_mode(mode=False):
            for name, memory in self._memories.items():
                self.register_buffer(name, memory.fresh())

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Any:
        """Moves everything; buffers of losses stay in float32, which holds their counts exactly."""
        before = {name: getattr(self, name) for name in self._memories}
        hollow = self._clocks.without_data(self)
        super()._apply(fn, recurse)  # pyright: ignore[reportUnknownMemberType]
        self._const.move(self, fn)
        self._clocks.restart(self, hollow)
        for name, memory in before.items():
            now = getattr(self, name)
            if memory.is_meta and not now.is_meta:
                now = self._memories[name].fresh(now.device)
            elif now.dtype != torch.float32:
                now = memory.to(now.device)
            setattr(self, name, now)
        return self

    # ---------------------------------------------------------------------------- checkpoints

    @property
    def _lock(self) -> Lock:
        return Lock.of(self._programs.meaning)

    def get_extra_state(self) -> Tensor:
        """Returns the lock text as bytes."""
        return checkpoint.to_tensor(self._lock)

    def set_extra_state(self, state: Any) -> None:
        """Warns with the terms that changed if a checkpoint is from another loss."""
        self.warn_if_other(checkpoint.from_state(state), "checkpoint")

    def warn_if_other(self, lock: Lock | None, origin: str, lost: Sequence[str] = ()) -> None:
        """Warns if a lock is that of another program, or if memories are lost; `origin` is what holds the lock.

        `lost` are the terms whose memory is not in a file, or does not fit.
        """
        changes = self._changes(lock)
        source = self._programs.meaning.source
        if changes or lost:
            wrong = (
                another_loss(source.whole, origin, changes, lost)
                if changes
                else no_memory(source.whole, origin, lost)
            )
            warnings.warn(full(wrong.at(source)), LossWarning, stacklevel=3)

    def _changes(self, lock: Lock | None) -> tuple[str, ...]:
        return () if lock is None else lock.changes(self._lock, self._programs.registry)

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)  # pyright: ignore
        if not (self._memories or self._clocks or self._starts or self._const.registers):
            del destination[prefix + KEY]

    def _load_from_state_dict(
        self,
        state_dict: Any,
        prefix: str,
        local_metadata: Any,
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        """Loads tensors. The lock may be missing, old, or that of another program.

        Buffers of another program are dropped unless one here has their name and shape. Buffers that the file
        does not hold stay as they are, and so do trained constants, which files of the first version lack.
        """
        # torch passes a copy that a module may change; networks in `const` are loaded from it next.
        lock = state_dict.pop(prefix + KEY, None)
        of_file = checkpoint.from_state(lock)
        self._call_memories(state_dict, prefix, of_file)
        self._load_frozen(state_dict, prefix, local_metadata, error_msgs)
        for key in list(state_dict) if self._changes(of_file) else ():
            if not self._has_place(key, state_dict[key], prefix) or self._is_of_others(key, prefix, of_file):
                del state_dict[key]
        self.warn_if_other(of_file, "checkpoint", self._lost(state_dict, prefix))
        missing: list[str] = []
        rest = (local_metadata, strict, missing, unexpected_keys, error_msgs)
        super()._load_from_state_dict(state_dict, prefix, *rest)  # pyright: ignore
        own = (KEY, *self._memories, *self._clocks)
        may_miss = {prefix + name for name in own}
        missing_keys += [key for key in missing if key not in may_miss and not isinstance(lock, dict)]
        for name in self._memories:
            memory = getattr(self, name)
            if memory.dtype != torch.float32:
                setattr(self, name, memory.float())

    def _call_memories(self, state: dict[str, Any], prefix: str, lock: Lock | None) -> None:
        """Gives the memories of a file the keys that their terms have here."""
        start = prefix + MEMORY
        kept = [key.removeprefix(prefix) for key in state if key.startswith(start)]
        now = current_keys(kept, lock, self._lock, losses_with_memory(self._programs.registry))
        moved = {new: state.pop(prefix + old) for old, new in now.items()}
        state.update({prefix + key: memory for key, memory in moved.items()})

    def _lost(self, state: Mapping[str, Any], prefix: str) -> list[str]:
        """Returns what remembers something and whose memory is not in a file: terms, calls of combinators."""
        names = losses_with_memory(self._programs.registry)
        gone = [name for name, m in self._memories.items() if m.is_kept and prefix + name not in state]
        terms = [place.term for place in places(self._lock, names) if place.key in gone]
        groups = [name.removeprefix(WEIGHTS) for name in gone if name.startswith(WEIGHTS)]
        return list(dict.fromkeys((*terms, *groups)))

    def _load_frozen(
        self, state: dict[str, Any], prefix: str, metadata: Mapping[str, Any], error_msgs: list[str]
    ) -> None:
        """Loads a network that is frozen here but is in the file: trained then, or in an old file."""
        for name, network in self._const.frozen:
            start = f"{prefix}{name}."
            inside = {key: state.pop(key) for key in list(state) if key.startswith(start)}
            if inside:
                named = {key.removeprefix(start): value for key, value in inside.items()}
                try:
                    network.load_state_dict(named, assign=metadata.get("assign_to_params_buffers", False))
                except RuntimeError as error:
                    error_msgs.append(str(error))

    def _is_of_others(self, key: str, prefix: str, of_file: Lock | None) -> bool:
        """Returns whether a key is what a combinator keeps of other losses, or of them in another order."""
        name = key.removeprefix(prefix)
        if of_file is None or not name.startswith(WEIGHTS):
            return False
        group = name.removeprefix(WEIGHTS)
        return of_file.weighed(group) != self._lock.weighed(group)

    def _has_place(self, key: str, value: Any, prefix: str) -> bool:
        name = key.removeprefix(prefix)
        if not key.startswith(prefix) or not name.startswith(
            (MEMORY, WEIGHTS, "const_", "learned.", *CLOCKS)
        ):
            return True
        here = getattr(self, name.partition(".")[0], None)
        return isinstance(here, nn.Module) or (
            here is not None and here.shape == getattr(value, "shape", None)
        )

    # ---------------------------------------------------------------------------- copies and pickles

    def __copy__(self) -> Any:
        twin = type(self).__new__(type(self))
        twin.__dict__.update(super().__getstate__())  # pyright: ignore
        return twin

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        """Copies the tensors and shares the programs, which hold the registry as it was at compile time."""
        is_inside = any(isinstance(value, nn.Module) for value in memo.values())
        twin = type(self).__new__(type(self))
        memo[id(self)] = twin
        memo[id(self.distributed)] = self.distributed
        twin.__dict__.update(copy.deepcopy(super().__getstate__(), memo))  # pyright: ignore
        twin.held = self.held.copied(memo, is_inside=is_inside)
        return twin

    def __getstate__(self) -> dict[str, Any]:
        """Returns the tensors and the state of nn.Module; the program is in `record`."""
        state: dict[str, Any] = super().__getstate__()  # pyright: ignore
        state = {name: value for name, value in state.items() if name not in PROGRAM}
        return {**state, "_const": dict(self._const.of(self))}

    def __setstate__(self, state: dict[str, Any]) -> None:
        if "_programs" not in self.__dict__:
            raise pickle.UnpicklingError(
                "this loss was pickled by a losslang that kept no text: compile it again and load its state_dict"
            )
        fresh = dict(self.named_buffers(recurse=False))
        state = {**state, "_buffers": dict(state["_buffers"])}
        self._call_memories(state["_buffers"], "", self.of_pickle)
        super().__setstate__({name: value for name, value in state.items() if name != "_const"})  # pyright: ignore
        restored = dict(self.named_buffers(recurse=False))
        for name, memory in fresh.items():
            saved = restored.get(name)
            if saved is None or saved.shape != memory.shape:
                self.register_buffer(name, memory)  # the text means another program here; `restored` warned
        self._keep(state["_const"])

    @property
    def record(self) -> dict[str, Any]:
        """The program as plain values that later versions can read: its text, and `compile`'s arguments."""
        order, source = self._programs.order, self._programs.order.source
        return {
            "source": (source.text, source.filename, source.key, source.file_text, source.offsets),
            "overrides": order.changes,
            "ignore": order.ignore,
            "fuse": order.fuse,
            "validate": self.validate,
            "extensions": self._programs.extensions,
            "lock": checkpoint.written(self._lock),
        }


def current_setting(setting: str, source: Source) -> str:
    """Returns an override as it is spelled now, from a pickle of any version."""
    return keys.modern(setting, [binding.name for binding in parse(source).bindings])
