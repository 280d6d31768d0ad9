"""The compiled loss: one torch module."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn

from losslang.diagnostics.errors import LossError, LossWarning
from losslang.diagnostics.mistakes.checkpoints import extension_missing
from losslang.diagnostics.rendering import full
from losslang.diagnostics.source import Source
from losslang.meaning.foreign_config import source_of_program
from losslang.registry import current_registry
from losslang.runtime import checkpoint
from losslang.runtime.arguments import has_values, refuse_named, tensor_of
from losslang.runtime.buffers import VALIDATE, Held, Validate, hold
from losslang.runtime.compiled import Order, Programs, understand
from losslang.runtime.conditions import LABELS, NOTHING, VALUES
from losslang.runtime.constants import refuse_missing
from losslang.runtime.denominators import denominators_of
from losslang.runtime.detail import Detail
from losslang.runtime.elements import ByElements, executor_of
from losslang.runtime.executor import Executor, Fuse
from losslang.runtime.gradients import Gradients, compare, leaves_of, predictions
from losslang.runtime.ranks import Ranks, gathered_rows, refuse_whole
from losslang.runtime.saved import current_setting
from losslang.runtime.stepwise import refuse_traced
from losslang.runtime.training import Training
from losslang.tensors.eager import is_eager

if TYPE_CHECKING:
    from losslang.runtime.diagnosis import Diagnosis


def compile(
    text: str | Source,
    *,
    device: str | torch.device | None = None,
    const: Mapping[str, Any] | None = None,
    overrides: Mapping[str, float | Mapping[str, Any]] | None = None,
    ignore: Sequence[str] = (),
    params: nn.Module | Iterable[tuple[str, Tensor]] | None = None,
    validate: Validate = "first",
    fuse: Fuse | None = None,
    distributed: Any = None,
    source: str = "<expression>",
) -> Loss:
    """The loss that `text` says, as a torch module on `device`.

    `const` holds tensors, numbers or modules that the program reads as `const.name`; `overrides` sets bound
    numbers (`alpha`) and weights and options of terms (`dice.smooth`, also nested); `ignore` names losses
    that a model returns and the program may leave unread; `source` names the file in messages.

    A Parameter in `const`, and a network of which a parameter asks for a gradient now, are part of the loss:
    of its `parameters()` and its checkpoints. Other tensors and networks move with it and are not saved.

    `params` is what terms such as `l2_reg` read. Of a model, `params=model`, the names that match are read in
    every call: parameters that are replaced, pruned or parametrized are seen, and a copy of what holds both
    reads the copied model. It is held weakly. Those of a list, `params=model.named_parameters()`, are fixed.
    They are no part of the loss: of its state or its checkpoints.

    `validate` says in which calls the values of tensors are looked at (probabilities, boxes, signs): "first",
    "always" or "never"; shapes and types are checked in all of them, and so are class indices but with
    "never": on a GPU one call later, without a wait.

    Large tensors are walked over block by block, which keeps nothing between forward and backward but the
    gradient. `fuse="inductor"` hands the same plan to torch.compile instead: the first call takes a minute,
    and later ones run as generated code.

    `distributed`, a process group or True for the default one: each rank has a part of the batch, and gets
    the value of the whole, by one all-reduce a call. Gradients that DDP averages are those of one process.

    Raises LossError with every mistake of the program at once, before anything is built.
    """
    if fuse not in (None, "inductor"):
        raise ValueError(f"fuse={fuse!r}: it is None or 'inductor'")
    if validate not in VALIDATE:
        raise ValueError(f"validate={validate!r}: it is one of {', '.join(map(repr, VALIDATE))}")
    order = Order.of(source_of_program(text, source), overrides or {}, ignore, fuse)
    checked, programs = understand(order, current_registry().snapshot())
    if programs is None:
        raise LossError(checked.errors)
    for diagnostic in checked.diagnostics:
        warnings.warn(full(diagnostic), LossWarning, stacklevel=2)
    refuse_missing(programs.plan, const or {})
    loss = Loss(programs, const or {}, hold(programs.plan, params), validate)
    if distributed is not None and distributed is not False:
        refuse_whole(programs)
        loss.distributed = distributed
    return loss if device is None else loss.to(device)


class Loss(Training):
    """A compiled loss: `loss(pred, target, **batch)` is the total, a 0-d tensor in float32 at least.

    `pred` and `target` are tensors, or mappings, lists, named tuples and dataclasses of tensors that
    the program takes apart by its paths. Keywords that the program does not read are ignored, with a
    warning where the name expects an effect (`weight`, `num_items_in_batch`).
    """

    __module__ = "losslang"

    def forward(
        self, pred: Any = None, target: Any = None, /, *further: Any, norm: Any = None, **batch: Any
    ) -> Tensor:
        """The weighted sum of the terms. Raises LossError for tensors that do not fit the program.

        With `norm`, the denominators of a whole step as `count` gives them and the caller adds them up, it is
        the part of this call: added up over micro-batches it is the value of one big batch, and so is the
        gradient. One number is enough where all terms share a denominator.

        `further` is nothing: further tensors are keywords, and handed over without a name they are refused.
        """
        if further:
            self._programs.keywords.refuse_positional(further, batch)
        programs, own = self._programs, self._state(self.training)
        if norm is not None or self.distributed is not None:
            programs = self._chosen(norm, own, (pred, target, batch, self._const.of(self)))
        if self._clocks:
            return tensor_of(self._at_this_time(programs, pred, target, batch, own))
        executor = programs.total
        return tensor_of(executor.plan.total(self._run(executor, pred, target, batch, own)))

    def _at_this_time(
        self, programs: Programs, pred: Any, target: Any, batch: dict[str, Any], own: dict[str, Any]
    ) -> Any:
        """The total of a program that reads clocks; in an eager call on a CPU they are numbers."""
        times = self._clocks.times(self)
        if self.training and (times is not None or is_eager()):
            self._clocks.count(self)
        timed = programs.timed if times is not None else None
        if times is None:
            own.update(self._clocks.read(self))
        elif timed is None or timed.reads_clocks:
            own.update(zip(self._clocks, times, strict=True))
        if times is None or timed is None:
            return programs.total.plan.total(self._run(programs.total, pred, target, batch, own))
        return timed.total(self._run(timed.executor, pred, target, batch, own), times)

    def count(self, target: Any = None, /, **batch: Any) -> Tensor:
        """The denominator of each trained term, in units of the target, without a prediction: a vector.

        Added up over micro-batches and ranks it is the `norm` of a step. A term on parameters, or a constant,
        counts one a call; a sum, and a term with an `avg_factor`, needs none: 0. Raises LossError for terms
        that cannot be split, and for those that only the prediction can count.
        """
        return self._programs.prepared("counting").count((None, target, batch, self._const.of(self), {}))

    def _chosen(self, norm: Any, own: dict[str, Any], roots: Sequence[Any]) -> Programs:
        """The programs of a call: those of a norm or of ranks, which become part of `own`, or those without."""
        if norm is not None:
            normed: Programs = self._programs.prepared("normed")
            own["norm"] = denominators_of(self._programs.denominators, normed.total, roots).given(norm)
            return normed
        if self.distributed is None or (ranks := Ranks(self.distributed, self.meaning.source)).size == 1:
            return self._programs
        own["ranks"] = ranks
        return self._programs.prepared("ranked")

    def _run(
        self,
        executor: Executor | ByElements,
        pred: Any,
        target: Any,
        batch: dict[str, Any],
        own: dict[str, Any],
    ) -> list[Any]:
        """The values of a plan's terms; the first call with values looks at them."""
        if batch and tuple(batch) not in self._programs.keywords.known:
            self._programs.keywords.look(batch, pred)
        roots = (pred, target, batch, self._const.of(self), own)
        if "ranks" in own:
            own["gathered"] = gathered_rows(self._programs.ranked, executor, roots, own["ranks"])
        is_first = not self._checked and is_eager()
        if is_first and batch and (pred is None or target is None):
            refuse_named(executor.plan, (pred, target), batch)
        later = NOTHING if self.validate == "never" else LABELS
        values = executor.run(roots, VALUES if is_first else later)
        if is_first:
            self._checked = self.validate == "first" and has_values((pred, target, batch))
        return values

    def detail(
        self,
        pred: Any = None,
        target: Any = None,
        /,
        *further: Any,
        by: Literal["class"] | None = None,
        norm: Any = None,
        **batch: Any,
    ) -> Detail:
        """The total with its terms, metrics too: for logging.

        What a loss remembers, as `ghm_c` does, goes on when the total is differentiated: not by looking.
        Under a `norm` the values are parts of a step, which add up over its calls; `sums` and `counts` stay.

        With `by="class"` the mapping `by_class` holds the values of each term that is one loss with classes:
        a tensor (C,) by channel, each the mean of what counts of that channel or, after a softmax, of the
        places of that label. It is NaN for a class of which nothing counts, and for a channel that the term
        leaves out. Values are as they enter the mean of the term: weights multiply them.
        """
        if further:
            self._programs.keywords.refuse_positional(further, batch)
        if by not in (None, "class"):
            raise ValueError(f"by={by!r}: it is None or 'class'")
        own = self._own(moves=False)
        programs = self._chosen(norm, own, (pred, target, batch, self._const.of(self)))
        executor, reader = programs.by_class if by else (programs.full, programs.reader)
        values = self._run(executor, pred, target, batch, own)
        total = tensor_of(executor.plan.total(values))
        self._remember_in_backward([total], own["kept"])
        return reader.detail(values, total)

    def terms(
        self, pred: Any = None, target: Any = None, /, *further: Any, norm: Any = None, **batch: Any
    ) -> dict[str, Tensor]:
        """The contribution of each trained term, with its gradient: for methods that weigh gradients.

        What a loss remembers goes on when a term is differentiated, as with `detail`.
        """
        if further:
            self._programs.keywords.refuse_positional(further, batch)
        own = self._own(moves=False)
        terms = self._chosen(norm, own, (pred, target, batch, self._const.of(self))).terms
        values = self._run(terms, pred, target, batch, own)
        named = zip(terms.plan.outputs, values, strict=True)
        contributions = {o.name: tensor_of(v * o.weight) for o, v in named}
        self._remember_in_backward(contributions.values(), own["kept"])
        return contributions

    def train(self, mode: bool = True) -> Loss:
        """Sets the mode of the loss alone: a network in `const` stays as it was given, most of all in `eval()`."""
        self.training = mode
        return self

    def diagnose(self, pred: Any = None, target: Any = None, /, **batch: Any) -> Diagnosis:
        """Runs a call step by step, forward and back, and names what is not finite.

        That is the first step, the operand and the sample of each cause, with its place in the program, also
        of a gradient that is not finite where the value is. The answer prints itself. It costs many calls.
        Raises LossError while torch traces.
        """
        refuse_traced(self.meaning, "diagnose")
        from losslang.runtime.diagnosis import diagnose

        roots = (pred, target, batch, self._const.of(self), self._own(moves=False))
        with torch.enable_grad():
            return diagnose(self._programs, roots)

    def gradients(
        self,
        pred: Any = None,
        target: Any = None,
        /,
        *,
        wrt: Tensor | Sequence[Tensor] | None = None,
        **batch: Any,
    ) -> Gradients:
        """The gradient of each contribution at tensors: its norm, its share, and the cosines between the terms.

        `wrt` is a tensor or a list of them that the prediction is computed from, as a shared feature; without
        it, what the terms read of `pred`. The answer prints itself as a table. It costs a backward a term.
        Raises LossError while torch traces, and where no term is computed from `wrt`.
        """
        refuse_traced(self.meaning, "gradients")
        terms, own = self._programs.terms, self._own(moves=False)
        asked = [wrt] if isinstance(wrt, Tensor) else wrt
        read = executor_of(terms, (pred, target, batch, self._const.of(self))).plan
        chosen = predictions(read, (pred,)) if asked is None else asked
        with torch.enable_grad(), leaves_of(chosen if asked is None else ()):
            values = self._run(terms, pred, target, batch, own)
            named = zip(terms.plan.outputs, values, strict=True)
            contributions = {o.name: tensor_of(v * o.weight) for o, v in named}
            wanted = "`pred`" if asked is None else "`wrt`"
            return compare(contributions, chosen, self.meaning.source, wanted=wanted)

    def __reduce__(self) -> tuple[Any, ...]:
        """Text, constants and state: neither functions nor plans."""
        return restored, (self.record,), self.__getstate__()


def restored(record: Mapping[str, Any]) -> Loss:
    """Compiles the loss of a pickle again; its tensors follow. Pickles name this function: it stays here.

    Raises LossError for a primitive that is not registered here, and warns if the text means something else.
    """
    source = Source(*record["source"])
    registry = current_registry().snapshot()
    missing = [
        extension_missing(source.whole, kind, name, module).at(source)
        for (kind, name), module in record["extensions"].items()
        if kind not in registry.kinds_of(name)
    ]
    if missing:
        raise LossError(missing)
    overrides = {current_setting(name, source): value for name, value in record["overrides"].items()}
    order = Order.of(source, overrides, record["ignore"], record["fuse"])
    checked, programs = understand(order, registry)
    if programs is None:
        raise LossError(checked.errors)
    loss = Loss(programs, {}, Held({}), record["validate"])
    loss.of_pickle = checkpoint.understood(record["lock"])
    loss.warn_if_other(loss.of_pickle, "pickle")
    return loss


restored.__module__ = "losslang"
