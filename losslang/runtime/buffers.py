"""Tensors that a compiled loss holds beside its constants: parameters of the model, and buffers of losses."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from copy import deepcopy
from fnmatch import fnmatchcase
from typing import Any, Literal, NamedTuple, cast
from weakref import ref

from losslang.diagnostics.diagnostic import Diagnostic
from losslang.diagnostics.errors import LossError
from losslang.diagnostics.mistakes import inputs
from losslang.plan.lower.memories import memory_of, weights_of
from losslang.plan.operations import automatic
from losslang.plan.operations.notices import warn_once
from losslang.plan.plan import Plan
from losslang.primitives.combinators import Combinator
from losslang.primitives.primitive import Loss
from losslang.registry import Registry
from losslang.tensors.lazy import torch
from losslang.tensors.targets import Site
from losslang.vocabulary import Tensor

Validate = Literal["first", "always", "never"]
VALIDATE = ("first", "always", "never")
"""In which calls values of tensors are checked."""


class Held(dict[str, list[Tensor]]):
    """Parameters of the model by the pattern that matched them: referenced, never copied or saved."""

    def now(self) -> Mapping[str, list[Tensor]]:
        """Returns what terms read in this call."""
        return self

    def copied(self, memo: dict[int, Any], *, is_inside: bool) -> Held:
        """Returns what a deep copy of the loss reads; `is_inside`: it is copied as a part of another module."""
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Held:
        return self

    def __reduce__(self) -> tuple[type[Held], tuple[dict[str, list[Tensor]]]]:
        return Held, ({},)


class OfModel(Held):
    """Parameters by the names that matched, read from the model in every call.

    What takes the place of one is seen. The model is held weakly. Where the loss is copied as a part of what
    holds the model too, the copy reads the copied model; `origin` is the one to read if that copy belonged
    to nobody.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        names: Mapping[str, tuple[str, ...]],
        sites: Mapping[str, Site],
        origin: Any = None,
    ):
        super().__init__({pattern: [] for pattern in names})
        self.model = ref(model)
        self.names = names
        self.sites = sites
        self.origin: ref[torch.nn.Module] | None = origin

    def now(self) -> Mapping[str, list[Tensor]]:
        model = self.model()
        if model is None and self.origin is not None:
            model = self.origin()
        return {
            pattern: _once([_read(model, name, self.sites[pattern]) for name in names])
            for pattern, names in self.names.items()
        }

    def copied(self, memo: dict[int, Any], *, is_inside: bool) -> Held:
        model = self.model()
        if model is None or not (is_inside or id(model) in memo):
            return self
        # A model that comes after its loss in the same module is copied now, once for both.
        return OfModel(deepcopy(model, memo), self.names, self.sites, self.model)


def _read(model: torch.nn.Module | None, name: str, site: Site) -> Tensor:
    """Returns the tensor that a model has under a name: of a pruned parameter what the mask leaves."""
    owner: Any = model
    *path, last = name.split(".")
    for part in path:
        owner = getattr(owner, part, None)
    value: Any = getattr(owner, last, None)
    if not isinstance(value, torch.nn.Parameter):
        # torch.nn.utils.prune keeps the product of the last forward pass, whose graph may be gone.
        kept, mask = getattr(owner, f"{last}_orig", None), getattr(owner, f"{last}_mask", None)
        value = value if kept is None or mask is None else kept * mask
    if not isinstance(value, torch.Tensor):
        gone = inputs.parameters_gone(site.span, site.term, name if model is not None else "")
        raise site.error(gone)
    return value


def hold(plan: Plan, params: torch.nn.Module | Iterable[tuple[str, Tensor]] | None) -> Held:
    """Returns the parameters that the terms of a plan read: those whose names match their shell patterns.

    Raises LossError with every pattern that matches none.
    """
    named = None if params is None else _named(params)
    names, sites, wrong = dict[str, tuple[str, ...]](), dict[str, Site](), list[Diagnostic]()
    for step in plan.steps:
        if step.operation != "matching" or step.site is None:
            continue
        site, pattern = step.site, str(dict(step.options)["match"])
        names[pattern] = tuple(name for name in named or {} if fnmatchcase(name, pattern))
        sites[pattern] = site
        if any(map(_is_copy, (named or {}).values())):
            warn_once(site, inputs.parameters_without_gradient(site.span, site.term))
        if named is None:
            wrong.append(inputs.no_parameters(site.span, site.term).at(site.source))
        elif not names[pattern]:
            wrong.append(inputs.matches_nothing(site.span, site.term, pattern, tuple(named)).at(site.source))
    if wrong:
        raise LossError(wrong)
    if isinstance(params, torch.nn.Module) and names:
        return OfModel(params, names, sites)
    return Held({pattern: _once((named or {})[name] for name in own) for pattern, own in names.items()})


def _is_copy(value: Tensor) -> bool:
    """Returns whether a tensor is no parameter and has no gradient, as the entries of a state_dict."""
    return not value.requires_grad and not isinstance(value, torch.nn.Parameter)


WANTS = "params= wants a model, or parameters with names: `params=model`, `params=model.named_parameters()`"


def _named(params: Any) -> dict[str, Tensor]:
    """Returns `params=` as a dictionary; raises TypeError if it holds no pairs of name and parameter."""
    if isinstance(params, torch.nn.Module):
        params = params.named_parameters()
    if isinstance(params, Mapping):
        raise TypeError(f"{WANTS}; of a mapping hand over its `.items()`")
    if not isinstance(params, Iterable):
        called = "call it" if callable(params) else f"not a {type(params).__name__}"
        raise TypeError(f"{WANTS}; {called}")
    listed = list(cast("Iterable[Any]", params))
    if not listed:
        raise TypeError(f"{WANTS}; it is empty or used up: a generator gives its entries once")
    if not all(isinstance(entry, tuple) for entry in listed):
        raise TypeError(f"{WANTS}; these have no names")
    return dict(listed)


def _once(parameters: Iterable[Tensor]) -> list[Tensor]:
    """Returns each parameter once: a shared one has several names."""
    return list({id(value): value for value in parameters}.values())


MEMORY, WEIGHTS = "memory_", "weights_"
"""What the names of the buffers begin with: those of losses, and those of combinators."""


class Memory(NamedTuple):
    """A buffer of a loss or a combinator: its length, and how many numbers from the front start at 1.

    `is_kept`: anything is kept in it from call to call.
    """

    length: int
    is_kept: bool = True
    ones: int = 0

    def fresh(self, device: torch.device | None = None) -> Tensor:
        """Returns the buffer as it starts."""
        zeros = torch.zeros(self.length, dtype=torch.float32, device=device)
        zeros[: self.ones] = 1
        return zeros


def read_memories(kept: Mapping[str, Tensor], training: bool) -> dict[str, Any]:
    """Returns what a call reads of the buffers of a module: those of losses, and those of combinators."""
    of_losses = {n.removeprefix(MEMORY): v for n, v in kept.items() if n.startswith(MEMORY)}
    found = {
        name.removeprefix(WEIGHTS): automatic.Held(value, training)
        for name, value in kept.items()
        if name.startswith(WEIGHTS)
    }
    return {"kept": kept, "memory": of_losses, "weights": found}


def memories(plan: Plan, registry: Registry) -> dict[str, Memory]:
    """Returns the buffers that a plan keeps in its module, by their names there."""
    losses = {step.name: name for step in plan.inputs if (name := memory_of(step)) is not None}
    groups = {step.name: group for step in plan.inputs if (group := weights_of(step)) is not None}
    found: dict[str, Memory] = {}
    for step in plan.steps:
        options = dict(step.options)
        for name in (losses[read] for read in step.input_names if read in losses):
            loss = registry.get(Loss, step.loss_name)
            assert loss is not None
            (length,) = loss.axes["memory"]
            found[MEMORY + name] = Memory(int(options[length]), options.get("momentum") != 0)
        for group in (groups[read] for read in step.input_names if read in groups):
            combinator = registry.get(Combinator, step.op)
            assert combinator is not None
            number = options["number"]
            # The first rows are weights, which start at 1.
            length = combinator.rows * number + combinator.numbers
            found[WEIGHTS + group] = Memory(length, ones=combinator.ones * number)
    return found


def losses_with_memory(registry: Registry) -> tuple[str, ...]:
    """Returns the names of the losses that keep a buffer."""
    return tuple(loss.name for loss in registry.all(Loss) if "memory" in loss.parameters)
