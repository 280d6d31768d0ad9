"""torchvision.ops: losses of boxes."""

from __future__ import annotations

from typing import Any

from conformance.translation import Call, Inexpressible, Ours, Peer, use

torchvision = Peer("torchvision")

BOXES = {
    "generalized_box_iou_loss": "giou",
    "distance_box_iou_loss": "diou",
    "complete_box_iou_loss": "ciou",
}


def reduced(call: Call) -> dict[str, Any]:
    """Nothing is reduced unless it is asked for."""
    return {"reduction": call.get("reduction", "none")}


@torchvision.call(*BOXES)
def boxes(call: Call) -> Ours:
    if call.callable == "complete_box_iou_loss" and call.get("eps", 1e-7) != 1e-7:
        raise Inexpressible("an eps that reaches nothing but the weight of the ratio")
    text = use(BOXES[call.callable], like="torchvision", **call.same(eps="eps"), **reduced(call))
    return Ours(text, call.tensor("boxes1"), call.tensor("boxes2"))


@torchvision.call("sigmoid_focal_loss")
def sigmoid_focal(call: Call) -> Ours:
    """alpha = -1 switches the balance off; any other below 0 does too."""
    options = call.same(alpha="alpha", gamma="gamma") | reduced(call)
    if options.get("alpha", 0) < 0:
        options["alpha"] = None
    text = use("focal", like=call.library, **options)
    return Ours(text, call.tensor("inputs"), call.tensor("targets"))
