"""pytorch_metric_learning.losses: embeddings and labels, of which it makes pairs and triplets itself.

Ours of pairs and triplets read them, and who makes them has written a part of the loss.
"""

from __future__ import annotations

from torch import Tensor

from conformance.translation import Call, Inexpressible, Ours, Peer, use

pml = Peer("pml")


def written(call: Call, name: str, default: str) -> str:
    """`<LpDistance>` -> LpDistance."""
    return str(call.get(name, default)).strip("<>")


def of_one_class(labels: Tensor) -> bool:
    """Whether there is nothing to tell apart, although some belong together."""
    return len(labels) > 1 and bool((labels == labels[0]).all())


@pml.call("SupConLoss")
def supcon(call: Call) -> Ours:
    distance = written(call, "distance", "CosineSimilarity")
    if distance != "CosineSimilarity":
        raise Inexpressible(f"a softmax of {distance}, where ours is of cosines")
    if call.tensor("ref_emb") is not None:
        raise Inexpressible("anchors against the embeddings of another set")
    _ = call.get("ref_emb"), call.get("ref_labels")
    call.refuse_where("labels", of_one_class, "a batch of one class, which is 0 here: ours compares all rows")
    text = use("supcon", like="pml", **call.same(temperature="temperature"))
    return Ours(text, call.tensor("embeddings"), call.tensor("labels"))


@pml.call("NTXentLoss")
def ntxent(call: Call) -> Ours:
    raise Inexpressible(
        "each pair of one label against the others of its anchor: ours reads two views, row by row"
    )


@pml.call("ContrastiveLoss")
def contrastive(call: Call) -> Ours:
    raise Inexpressible("every pair of a batch, made of labels: ours reads pairs")


@pml.call("TripletMarginLoss")
def triplet(call: Call) -> Ours:
    raise Inexpressible("every triplet of a batch, made of labels: ours reads triplets")
