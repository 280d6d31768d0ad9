"""Private names of torch.

Every one that this package reads stands here, with a public answer for where it is missing.

A public answer gives the same numbers and takes longer. Each comment says what the name is for, since when
torch has it (`2.4` is the oldest that was looked at: it may be older), and what the public answer is.
tests/tensors/test_torch_private.py hides one name after the other.

`_apply`, `_save_to_state_dict` and `_load_from_state_dict` of nn.Module are not here: torch calls them by
these names on its subclasses, as on `Saved`, which overrides them.
"""

from __future__ import annotations

import sys
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from copy import copy
from typing import Any

import torch
from torch.autograd import forward_ad, graph


def find(name: str) -> Any:
    """What torch has under a dotted name, None if it has no such name."""
    found: Any = torch
    for part in name.split("."):
        found = getattr(found, part, None)
    return found


# ---------------------------------------------------------------------------- what torch does with a call


class _NoSetupContext(torch.autograd.Function):
    """A function that torch.func refuses, as it is documented to: it has no `setup_context`."""

    @staticmethod
    def forward(ctx: Any) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        return None


def _try_transform() -> bool | None:
    try:
        _NoSetupContext.apply()  # pyright: ignore[reportUnknownMemberType]
    except RuntimeError:
        return True
    return None


# torch 2.4. The innermost transform of torch.func (vmap, grad, jvp ...), None outside of all.
# Public: a function that torch.func refuses is tried (1.4 us, not 0.04).
current_transform: Callable[[], Any] = find("_C._functorch.peek_interpreter_stack") or _try_transform


def _try_tracing() -> bool | None:
    return torch.jit.is_tracing() or None  # pyright: ignore[reportPrivateImportUsage]


# torch 2.4. What torch.jit.trace records into, None where it records nothing.
# Public: torch.jit.is_tracing.
tracing_state: Callable[[], Any] = find("_C._get_tracing_state") or _try_tracing


class _TriedLevel:
    """Outside of all levels `unpack_dual` gives back the tensor itself, inside a view of it."""

    tensor = torch.zeros(())

    def __getitem__(self, name: str) -> int:
        primal: Any = forward_ad.unpack_dual(self.tensor)[0]  # pyright: ignore[reportUnknownMemberType]
        return -1 if primal is self.tensor else 0


# torch 2.4. The level of forward-mode differentiation, -1 outside of all: a variable of its module, read by subscript
# since that takes no call.
# Public: `unpack_dual` of a tensor (0.4 us, not 0.02).
LEVEL = "_current_level"
dual: Any = _TriedLevel() if find("autograd.forward_ad._current_level") is None else vars(forward_ad)


def _suppose_one_mode() -> int:
    return 1


# torch 2.4. How many modes (TorchDispatchMode) see every operation.
# Public: there may always be one. Then `is_faked_or_recorded` is asked in every call, and nothing is written to
# arguments named `out`.
count_dispatch_modes: Callable[[], int] = find("_C._len_torch_dispatch_stack") or _suppose_one_mode

# torch 2.4. A context in which no mode sees an operation.
# Public: they see all. Selective checkpoints refuse a first call then, which runs more than the second.
without_modes: Callable[[], AbstractContextManager[Any]] = (
    find("utils._python_dispatch._disable_current_modes") or nullcontext
)

# torch 2.4. The mode of a kind, None if none of that kind is on: FAKE is FakeTensorMode, PROXY is make_fx.
# Public: see `_try_modes`.
_mode = find("_C._get_dispatch_mode")
_FAKE = find("_C._TorchDispatchModeKey.FAKE")
_PROXY = find("_C._TorchDispatchModeKey.PROXY")


def _look_up_modes() -> bool:
    return _mode(_FAKE) is not None or _mode(_PROXY) is not None


def _try_modes() -> bool:
    """A new tensor is fake under FakeTensorMode.

    Make_fx says itself whether it records, once it is loaded.
    """
    if torch.compiler.is_compiling() or type(torch.empty(0)) is not torch.Tensor:
        return True
    recorder: Any = sys.modules.get("torch.fx.experimental.proxy_tensor")
    return recorder is not None and recorder.get_innermost_proxy_mode() is not None


# Whether a mode fakes or records tensors, as what exports without Dynamo does.
is_faked_or_recorded: Callable[[], bool] = (
    _try_modes if _mode is None or _FAKE is None or _PROXY is None else _look_up_modes
)


# ---------------------------------------------------------------------------- what a backward pass is handed


def _try_to_disable_hooks() -> bool:
    """torch refuses to disable hooks while some are set."""
    try:
        with graph.disable_saved_tensors_hooks("losslang asks whether there are any"):
            return False
    except RuntimeError:
        return True


_top_hooks = find("_C._autograd._top_saved_tensors_default_hooks")


def _look_up_hooks() -> bool:
    return _top_hooks(True) is not None


# torch 2.8. Whether tensors saved for the backward pass go through hooks: checkpoint, save_on_cpu ...
# Public: torch refuses to disable hooks while some are set (1.3 us, not 0.1).
has_saved_tensor_hooks: Callable[[], bool] = _try_to_disable_hooks if _top_hooks is None else _look_up_hooks


def _has_no_memory(tensor: torch.Tensor) -> bool:
    try:
        tensor.untyped_storage()
    except (RuntimeError, NotImplementedError):
        return True
    return False


# torch 2.4. Whether a gradient is a batch of gradients, as `torch.autograd.grad(is_grads_batched=True)` hands over.
# Public: such a tensor has no memory that one could ask for (so have sparse tensors, which are taken for one).
is_batched: Callable[[torch.Tensor], bool] = find("_C._functorch.is_legacy_batchedtensor") or _has_no_memory


# ---------------------------------------------------------------------------- kernels


def _kernel(name: str) -> Any:
    return find(f"_C._nn.{name}") or getattr(torch.ops.aten, name).default


# torch 2.4. What stands behind torch.nn.functional, which looks at its arguments once more and expands tensors: that
# takes as long as an error of ten thousand numbers. `reduction` is a number here.
# Public: the same operations in torch.ops.aten (a third more time for three numbers; F takes three quarters more).
cross_entropy_loss = _kernel("cross_entropy_loss")
huber_loss = _kernel("huber_loss")
mse_loss = _kernel("mse_loss")
nll_loss_nd = _kernel("nll_loss_nd")
smooth_l1_loss = _kernel("smooth_l1_loss")


def weight_of_nll(value: torch.Tensor) -> torch.Tensor | None:
    """The sum of the weights of the labels that a cross entropy counted, which it keeps for its backward pass.

    Torch 2.4. Not where tensors go through hooks, which may compute everything again to hand them over.
    Public: None, and it is computed apart (3 us of 36 for ten labels).
    """
    return getattr(value.grad_fn, "_saved_total_weight", None)


def log_probs_of_nll(value: torch.Tensor) -> torch.Tensor:
    """The log-probabilities that a cross entropy keeps, where it keeps the sum of weights."""
    node: Any = value.grad_fn
    return node._saved_self


# ---------------------------------------------------------------------------- tensors and their memory


def _suppose_written(tensor: torch.Tensor) -> int:
    return 1


def _address(storage: torch.UntypedStorage) -> int | None:
    """None for fake tensors, which have the meta device here, and for no elements."""
    return None if storage.device.type == "meta" else storage.data_ptr() or None


# torch 2.4. How often a tensor was written to.
# Public: once, for all that is known. Losses then share no sums (passes/share_sums.py).
_version = find("Tensor._version")
count_writes: Callable[[torch.Tensor], int] = _suppose_written if _version is None else _version.__get__

# torch 2.4. The memory that views have in common, of fake tensors too.
# Public: its address.
_cdata = find("UntypedStorage._cdata")
memory_of: Callable[[torch.UntypedStorage], int | None] = _address if _cdata is None else _cdata.__get__


# ---------------------------------------------------------------------------- tensors inside of other values

_MAPPINGS, _SEQUENCES = (dict, OrderedDict, defaultdict), (list, tuple, deque)


def _flatten(value: Any) -> tuple[list[Any], Any]:
    """The leaves, and the same value with the place of each leaf instead."""
    leaves: list[Any] = []

    def place(leaf: Any) -> int:
        leaves.append(leaf)
        return len(leaves) - 1

    return leaves, _rebuild(value, place)


def _unflatten(leaves: list[Any], shape: Any) -> Any:
    return _rebuild(shape, leaves.__getitem__)


def _rebuild(value: Any, leaf: Callable[[Any], Any]) -> Any:
    """The same mappings and sequences, with what `leaf` makes of everything else."""
    if type(value) in _MAPPINGS:
        rebuilt = copy(value)
        rebuilt.update((key, _rebuild(inner, leaf)) for key, inner in value.items())
        return rebuilt
    if type(value) in _SEQUENCES:
        inner = (_rebuild(inner, leaf) for inner in value)
        return deque(inner, value.maxlen) if type(value) is deque else type(value)(inner)
    if _is_named_tuple(value):
        return value._make(_rebuild(inner, leaf) for inner in value)
    return leaf(value)


def _is_named_tuple(value: Any) -> bool:
    return hasattr(value, "_make") and isinstance(value, tuple)


# torch 2.4. The tensors inside of mappings, lists and tuples, and of classes that were registered with torch.
# Public: those inside of the mappings, lists and tuples of Python. A class that was registered is one leaf.
tree_flatten: Callable[[Any], tuple[list[Any], Any]] = find("utils._pytree.tree_flatten")
tree_unflatten: Callable[[list[Any], Any], Any] = find("utils._pytree.tree_unflatten")
if tree_flatten is None or tree_unflatten is None:
    tree_flatten, tree_unflatten = _flatten, _unflatten
