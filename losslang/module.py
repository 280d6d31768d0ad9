"""The compiled loss: one torch module."""

from __future__ import annotations

import warnings
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from losslang.checker import Checked, analyze
from losslang.diagnostics import LossError
from losslang.eager import is_eager
from losslang.executor import LABELS, NOTHING, VALUES, Executor, Fuse
from losslang.formatter import format
from losslang.functions import vector
from losslang.held import VALIDATE, Held, Validate, hold, memories
from losslang.lower import lower
from losslang.meaning import Meaning
from losslang.mistakes.names import not_built
from losslang.passes import improve, prune, summed
from losslang.plan import Plan
from losslang.registry import Registry, current_registry
from losslang.report import full
from losslang.text import Source, Span


class LossWarning(UserWarning):
    """A program that is right and may not be meant."""


class Detail(NamedTuple):
    """One evaluation, term by term.

    `values`, `weights` and `contributions` are 1-D, aligned with `names`, detached, in the dtype of
    `total`. The contributions add up to the total; a metric contributes 0.
    """

    total: Tensor
    names: tuple[str, ...]
    values: Tensor
    weights: Tensor
    contributions: Tensor


def compile(
    text: str | Source,
    *,
    device: str | torch.device | None = None,
    const: Mapping[str, Any] | None = None,
    overrides: Mapping[str, float] | None = None,
    ignore: Sequence[str] = (),
    params: Iterable[tuple[str, Tensor]] | None = None,
    validate: Validate = "first",
    fuse: Fuse | None = None,
    source: str = "<expression>",
) -> Loss:
    """The loss that `text` says, as a torch module on `device`.

    `const` holds tensors, numbers or modules that the program reads as `const.name`; `overrides` sets
    bound numbers (`alpha`) and weights and options of terms (`dice.smooth`); `ignore` names losses
    that a model returns and the program may leave unread; `source` names the file in messages.

    `params` is what terms such as `l2_reg` read: `model.named_parameters()`, listed once. They are no part
    of the loss: of its state, its copies or its checkpoints. `validate` says in which calls the values of
    tensors are looked at (probabilities, boxes, signs): "first", "always" or "never"; shapes and types are
    checked in all of them, and so are class indices but with "never": on a GPU one call later, without a wait.

    Large tensors are walked over block by block, which keeps nothing between forward and backward but
    the gradient. `fuse="inductor"` hands the same plan to torch.compile instead: the first call takes a
    minute, and later ones run as generated code.

    Raises LossError with every mistake of the program at once, before anything is built.
    """
    if fuse not in (None, "inductor"):
        raise ValueError(f"fuse={fuse!r}: it is None or 'inductor'")
    if validate not in VALIDATE:
        raise ValueError(f"validate={validate!r}: it is one of {', '.join(map(repr, VALIDATE))}")
    placed = text if isinstance(text, Source) else Source(text, source)
    registry = current_registry()
    written: Mapping[str, Any] = overrides or {}
    changes = tuple((name, type(value).__name__, value) for name, value in written.items())
    understand = _understood if all(isinstance(value, Hashable) for _, _, value in changes) else _understand
    checked, programs = understand(placed, changes, tuple(ignore), fuse, registry, registry.collected)
    if checked.meaning is None or programs is None:
        raise LossError(checked.errors)
    for diagnostic in checked.diagnostics:
        warnings.warn(full(diagnostic), LossWarning, stacklevel=2)
    loss = Loss(checked.meaning, programs, const or {}, hold(programs.plan, params), validate)
    return loss if device is None else loss.to(device)


@dataclass(frozen=True)
class Programs:
    """A plan with what runs it: shared by all modules of one text, since it holds none of their state.

    `total` runs what is trained on, `terms` the same term by term, `full` the metrics too.
    """

    plan: Plan
    total: Executor
    terms: Executor
    full: Executor
    fuse: Fuse | None

    @classmethod
    def of(cls, plan: Plan, fuse: Fuse | None) -> Programs:
        registry = current_registry()
        trained = prune(plan, metrics=False)
        full = Executor(plan, registry, fuse)
        terms = full if trained == plan else Executor(trained, registry, fuse)
        # What is compiled as a whole adds up its terms too: two operations on numbers take longer than that.
        total = terms if fuse is None else Executor(summed(trained), registry, fuse)
        return cls(plan, total, terms, full, fuse)


def _understand(
    source: Source,
    overrides: tuple[tuple[str, str, Any], ...],
    ignore: tuple[str, ...],
    fuse: Fuse | None,
    registry: Registry,
    collected: int,
) -> tuple[Checked, Programs | None]:
    """All that a text decides, whatever tensors come: kept, since a text is compiled more than once.

    The type of an override is part of what it says, and the registry with the number of its names too.
    """
    checked = analyze(source, overrides={name: value for name, _, value in overrides}, registry=registry)
    if checked.meaning is None:
        return checked, None
    return checked, Programs.of(improve(lower(checked.meaning, registry, ignore)), fuse)


_understood = lru_cache(maxsize=256)(_understand)


class Loss(nn.Module):
    """A compiled loss: `loss(pred, target, **batch)` is the total, a 0-d tensor in float32 at least.

    `pred` and `target` are tensors, or mappings, lists, named tuples and dataclasses of tensors that
    the program takes apart by its paths. Keywords that the program does not read are ignored.
    """

    def __init__(
        self,
        meaning: Meaning,
        programs: Programs,
        const: Mapping[str, Any],
        held: Held | None = None,
        validate: Validate = "first",
    ):
        super().__init__()
        self.meaning = meaning
        self.plan: Plan = programs.plan
        self.fuse: Fuse | None = programs.fuse
        self._programs = programs
        self._const = dict(const)
        for name, value in const.items():
            if isinstance(value, nn.Module):
                self.add_module(f"const_{name}", value)
            elif isinstance(value, Tensor):
                self.register_buffer(f"const_{name}", value, persistent=False)
        self.held = held or Held({})
        self.validate: Validate = validate
        self._checked = validate == "never"
        self._memories = memories(programs.plan)
        self._constant: Mapping[str, Any] = {"parameters": self.held, "memory": {}}
        for name, length in self._memories.items():
            with torch.inference_mode(False):
                # What is made in inference mode could not be written to outside of it.
                self.register_buffer(f"memory_{name}", torch.zeros(length))
        # What a module without any tensor hands to every call alike.
        self._still = () if self._const or self._memories else (self.const, self.own)

    def forward(self, pred: Any = None, target: Any = None, /, **batch: Any) -> Tensor:
        """The weighted sum of the terms. Raises LossError for tensors that do not fit the program."""
        executor = self._programs.total
        values = self._run(executor, pred, target, batch)
        total = values[0] if executor.is_one else executor.plan.total(values)
        return _tensor(total)

    def _run(self, executor: Executor, pred: Any, target: Any, batch: dict[str, Any]) -> list[Any]:
        """The values of a plan's terms; the first call with values looks at them."""
        if "norm" in batch:
            later = not_built(Span(0, 0), "norm", "the denominator for accumulated gradients")
            raise LossError([later.at(self.meaning.source)])
        roots = (pred, target, batch, *(self._still or (self.const, self.own)))
        careful = not self._checked and is_eager()
        later = NOTHING if self.validate == "never" else LABELS
        values = executor.run(roots, VALUES if careful else later)
        if careful:
            self._checked = self.validate == "first" and _has_values((pred, target, batch))
        return values

    def detail(self, pred: Any = None, target: Any = None, /, **batch: Any) -> Detail:
        """The total with its terms, metrics too: for logging."""
        values = self._run(self._programs.full, pred, target, batch)
        outputs = self._programs.full.plan.outputs
        total = _tensor(self._programs.full.plan.total(values))
        dtype, device = total.dtype, total.device
        numbers = [
            v.detach().to(device, dtype)
            if isinstance(v, Tensor)
            else torch.full((), v, dtype=dtype, device=device)
            for v in values
        ]
        weights = vector([0.0 if o.metric else o.weight for o in outputs], dtype, device)
        stacked = torch.stack(numbers) if all(n.ndim == 0 for n in numbers) else numbers[0]
        return Detail(total, tuple(o.name for o in outputs), stacked, weights, stacked * weights)

    def terms(self, pred: Any = None, target: Any = None, /, **batch: Any) -> dict[str, Tensor]:
        """The contribution of each trained term, with its gradient: for methods that weigh gradients."""
        terms = self._programs.terms
        values = self._run(terms, pred, target, batch)
        named = zip(terms.plan.outputs, values, strict=True)
        return {o.name: _tensor(v * o.weight) for o, v in named}

    @property
    def const(self) -> Mapping[str, Any]:
        """What `const.name` reads: tensors where the module has been moved to."""
        if not self._const:
            return self._const
        return {name: getattr(self, f"const_{name}", value) for name, value in self._const.items()}

    def train(self, mode: bool = True) -> Loss:
        """Of the loss alone: a network in `const` stays as it was given, most of all in `eval()`."""
        self.training = mode
        return self

    def _apply(self, fn: Any, recurse: bool = True) -> Loss:
        """Moves everything; what losses remember stays in float32, where its counts have room."""
        kept = {name: getattr(self, f"memory_{name}") for name in self._memories}
        super()._apply(fn, recurse)  # pyright: ignore[reportUnknownMemberType]
        for name, memory in kept.items():
            setattr(self, f"memory_{name}", memory.to(getattr(self, f"memory_{name}").device))
        return self

    @property
    def own(self) -> Mapping[str, Any]:
        """What the module itself holds for its terms: parameters of the model, and what losses remember."""
        if not self._memories:
            return self._constant
        memory = {name: getattr(self, f"memory_{name}") for name in self._memories}
        if not self.training:
            # Looked at and not moved, as the running statistics of a batch norm.
            memory = {name: value.clone() for name, value in memory.items()}
        return {"parameters": self.held, "memory": memory}

    @property
    def inputs(self) -> tuple[str, ...]:
        """Every path that the program reads, roots in the order pred, target, batch, const."""
        paths = {str(dict(step.options)["path"]) for step in self.plan.inputs}
        order = ("pred", "target", "batch", "const")
        paths = {path for path in paths if not path.startswith("module.")}
        return tuple(sorted(paths, key=lambda p: (order.index(p.partition(".")[0].partition("[")[0]), p)))

    @property
    def canonical(self) -> str:
        """The program in its one spelling."""
        return format(self.meaning.source)

    @property
    def fingerprint(self) -> str:
        """The same for programs of the same mathematics."""
        return self.meaning.fingerprint

    def extra_repr(self) -> str:
        return self.canonical

    def get_extra_state(self) -> dict[str, Any]:
        return {"fingerprint": self.fingerprint, "terms": {t.name: str(t) for t in self.meaning.terms}}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Warns with the terms that changed when a checkpoint is from another loss."""
        if state["fingerprint"] == self.fingerprint:
            return
        saved, own = dict(state["terms"]), {t.name: str(t) for t in self.meaning.terms}
        changed = [
            f"  {name}: {saved.get(name, 'absent')} -> {own.get(name, 'absent')}"
            for name in sorted({*saved, *own})
            if saved.get(name) != own.get(name)
        ]
        message = "the checkpoint was made with another loss:\n" + "\n".join(changed)
        warnings.warn(message, LossWarning, stacklevel=2)

    def __getstate__(self) -> dict[str, Any]:
        """Without the bound programs: functions are found again where the module is loaded."""
        return {name: value for name, value in self.__dict__.items() if name != "_programs"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)  # pyright: ignore[reportUnknownMemberType]
        self._programs = Programs.of(self.plan, self.fuse)


def _tensor(number: Any) -> Tensor:
    """A term: also one that is a number of the call."""
    return number if isinstance(number, Tensor) else torch.tensor(float(number))


def _has_values(inputs: Any) -> bool:
    """Whether every tensor of a call holds something to look at."""
    leaves: list[Any] = tree_leaves(inputs)
    return not any(isinstance(x, Tensor) and (x.is_meta or not x.numel()) for x in leaves)
