"""robust_loss_pytorch.general: Barron's loss of a residual."""

from __future__ import annotations

from torch import Tensor

from conformance.translation import Call, Inexpressible, Ours, Peer, use

robust_loss = Peer("robust_loss")


def one_number(value: Tensor) -> float:
    """... in which 1e18 stands for infinity, as in our language."""
    if value.numel() and bool((value != value.flatten()[0]).any()):
        raise Inexpressible("a shape or a scale of every residual's own")
    return min(max(float(value.flatten()[0]), -1e18), 1e18)


@robust_loss.call("lossfun")
def lossfun(call: Call) -> Ours:
    if call.get("approximate", False):
        raise Inexpressible("the approximation")
    call.get("epsilon")
    alpha, scale = one_number(call.tensor("alpha")), one_number(call.tensor("scale"))
    text = use("barron", alpha=alpha, c=scale, reduction="none")
    return Ours(text, call.tensor("x"), 0.0)
