"""Losses of images as a network sees them. The network is the user's: `compile(text, const={"vgg": net})`.

It is frozen here: its parameters and the target get no gradient. Put it into `eval()`, and give it images
in the range that it was trained on: `lpips(net=const.lpips)@(2*pred - 1, 2*target - 1)` for values of 0 to 1.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal, cast

from losslang.primitives.decorators import loss
from losslang.tensors.lazy import F, torch, traces
from losslang.tensors.numerics import mean_along
from losslang.vocabulary import Fixed, Float, NonNegative, Tensor

LOCK = threading.RLock()


@loss(
    aliases=("content_loss",),
    paper="Johnson, Alahi, Fei-Fei 2016, arXiv:1603.08155",
    activation="identity",
    range=(0, math.inf),
    zero_when="equal",
    whole=True,
)
def perceptual(
    values: Float[Tensor, "b c *space"],
    target: Float[Tensor, "b c *space"],
    net: Float[Tensor, "net"],
    *,
    layers: list[str] | None = None,
    layer_weights: Fixed[list[NonNegative] | None, "it is a list, one for each layer"] = None,
    criterion: Literal["mse", "l1", "smooth_l1"] = "mse",
) -> Float[Tensor, "b"]:
    """Σ_l w_l mean of criterion(f_l(x), f_l(t)), f_l the features that a frozen network gives at layer l.

    `perceptual(net=const.vgg, layers=['3', '8', '15'])`: names as in `net.named_modules()`, or keys of the
    mapping that the network returns; without any, what it returns is compared. An `nn.Sequential` is left
    after the last of its layers; within another module they are read by hooks, which torch.compile cannot
    trace. A copy is kept of each: an in-place ReLU that follows does not change it.

    Raises: ValueError if the network has no layer of a name, or for another number of weights than of layers.
    """
    with _alone():
        found = _features(net, values, layers or ())
        with torch.no_grad():
            wanted = _features(net, target, layers or ())
    weights = [1.0] * len(found) if layer_weights is None else layer_weights
    if len(weights) != len(found):
        raise ValueError(f"perceptual: {len(weights)} `layer_weights` for {len(found)} layers")
    distance = {"mse": F.mse_loss, "l1": F.l1_loss, "smooth_l1": F.smooth_l1_loss}[criterion]
    total = values.new_zeros(len(values))
    for weight, x, t in zip(weights, found, wanted, strict=True):
        apart = distance(x.to(values.dtype), t.to(values.dtype), reduction="none").flatten(1)
        total = total + weight * apart.sum(1) / max(apart.shape[1], 1)
    return total


@loss(
    paper="Zhang, Isola, Efros, Shechtman, Wang 2018, arXiv:1801.03924",
    activation="identity",
    whole=True,
)
def lpips(
    values: Float[Tensor, "b c *space"], target: Float[Tensor, "b c *space"], net: Float[Tensor, "net"]
) -> Float[Tensor, "b"]:
    """net(x, t): the distance that a frozen module gives, of each sample; of a map its mean.

    `lpips(net=const.lpips)` with `const={"lpips": lpips.LPIPS(net="alex").eval()}`. That one reads [-1, 1].
    """
    with _alone():
        distance = _frozen(net, values, target.detach()).to(values.dtype)
    return mean_along(distance.flatten(1), 1) if distance.ndim > 1 else distance


def _alone() -> AbstractContextManager[Any]:
    """One thread at a time: hooks and frozen parameters are the network's while it runs."""
    return nullcontext() if traces() else LOCK


def _frozen(net: Any, *images: Tensor) -> Any:
    """What a network gives, in the type of its parameters, which get no gradient."""
    if not isinstance(net, torch.nn.Module):
        return net(*images)
    parameters = {name: value.detach() for name, value in net.named_parameters()}
    kinds = [p.dtype for p in parameters.values()]
    kind = kinds[0] if kinds else images[0].dtype
    # Copies: the first layer may work in place.
    return torch.func.functional_call(net, parameters, tuple(image.to(kind, copy=True) for image in images))


def _features(net: Any, image: Tensor, layers: Sequence[str]) -> list[Tensor]:
    """What a network makes of an image at some layers; without any, what it returns."""
    if layers and isinstance(net, torch.nn.Sequential) and set(layers) <= set(_children(net)):
        kept = _along(net, image, layers)
    else:
        kept = _within(net, image, layers)
    missing = [name for name in layers if name not in kept]
    if missing:
        raise ValueError(f"perceptual: the network has no layer '{missing[0]}' and returns none of that name")
    return [kept[name] for name in layers or kept]


def _children(net: Any) -> dict[str, Any]:
    """The modules of a Sequential by name: one that stands in two places is there twice."""
    modules: Any = net.named_modules(remove_duplicate=False)
    return {name: module for name, module in modules if name and "." not in name}


def _along(net: Any, image: Tensor, layers: Sequence[str]) -> dict[str, Tensor]:
    """One module after the other, and no further than the last that is wanted."""
    kept: dict[str, Tensor] = {}
    for name, module in _children(net).items():
        image = _frozen(module, image)
        if name in layers:
            kept[name] = image.clone()
        if len(kept) == len(set(layers)):
            break
    return kept


def _within(net: Any, image: Tensor, layers: Sequence[str]) -> dict[str, Tensor]:
    """A whole pass, with hooks at the wanted modules while it lasts."""
    kept: dict[str, Tensor] = {}
    is_module = isinstance(net, torch.nn.Module)
    modules: dict[str, Any] = (
        dict(cast("Any", net).named_modules(remove_duplicate=False)) if is_module else {}
    )
    hooks = [modules[n].register_forward_hook(_keeping(kept, n)) for n in layers if n in modules]
    try:
        returned = _frozen(net, image)
    finally:
        for hook in hooks:
            hook.remove()
    if isinstance(returned, Mapping):
        return {**returned, **kept}
    if isinstance(returned, torch.Tensor):
        returned = [returned]
    return kept if layers else {str(i): feature for i, feature in enumerate(returned)}


def _keeping(kept: dict[str, Tensor], name: str) -> Callable[..., None]:
    def keep(module: Any, inputs: Any, output: Tensor) -> None:
        kept[name] = output.clone()

    return keep
