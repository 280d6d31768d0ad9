"""robust_loss_pytorch.general: Barron's loss of a residual."""

from __future__ import annotations

from typing import Any

from conformance.tensors import leaves
from conformance.translation import Call, Inexpressible, Ours, Peer, use

robust_loss = Peer("robust_loss", constants=("alpha", "scale"))


def one_number(value: Any) -> float:
    """... in which 1e18 stands for infinity, as in our language."""
    first, *others = leaves(value)
    if any(other != first for other in others):
        raise Inexpressible("a shape or a scale of every residual's own")
    return min(max(float(first), -1e18), 1e18)


@robust_loss.call("lossfun")
def lossfun(call: Call) -> Ours:
    if call.get("approximate", False):
        raise Inexpressible("the approximation")
    call.get("epsilon")
    alpha, scale = one_number(call.get("alpha")), one_number(call.get("scale"))
    text = use("barron", target=0, alpha=alpha, c=scale, reduction="none")
    return Ours(text, call.tensor("x"))
