"""fvcore.nn: focal losses and boxes."""

from __future__ import annotations

from conformance.peers.torchvision import reduced, sigmoid_focal
from conformance.translation import Call, Ours, Peer, times, use

fvcore = Peer("fvcore")
fvcore.call("sigmoid_focal_loss")(sigmoid_focal)

BOXES = {"giou_loss": "giou", "diou_loss": "diou", "ciou_loss": "ciou"}


@fvcore.call(*BOXES)
def boxes(call: Call) -> Ours:
    text = use(BOXES[call.callable], like="fvcore", **call.same(eps="eps"), **reduced(call))
    return Ours(text, call.tensor("boxes1"), call.tensor("boxes2"))


@fvcore.call("sigmoid_focal_loss_star")
def focal_star(call: Call) -> Ours:
    """-log σ(γ y x) / γ, the second form of the paper's appendix: it only sharpens the logits."""
    gamma, alpha = call.get("gamma", 1), call.get("alpha", -1)
    options = {"gamma": 0, "alpha": alpha if alpha >= 0 else None}
    activation = "sigmoid" if gamma == 1 else use("sigmoid", temperature=1 / gamma)
    text = use("focal", activation, **options, **reduced(call))
    return Ours(times(1 / gamma, text), call.tensor("inputs"), call.tensor("targets"))
