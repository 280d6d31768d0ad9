"""pytorch_metric_learning.losses: embeddings and labels, of which it makes pairs and triplets itself.

Embeddings are made as long as 1. What is of no pair, or of no negative, is 0 with every distance.
"""

from __future__ import annotations

import re

import torch
from torch import Tensor

from conformance.translation import Call, Inexpressible, Ours, Peer, use

pml = Peer("pml")


class Pairs:
    """Which of the others each embedding is compared with."""

    def __init__(self, call: Call):
        self.anchors: Tensor = call.tensor("embeddings")
        labels: Tensor = call.tensor("labels")
        reference = call.tensor("ref_emb")
        _ = call.get("ref_emb"), call.get("ref_labels")
        self.own = reference is None
        self.others: Tensor = self.anchors if self.own else reference
        other_labels = labels if self.own else call.tensor("ref_labels")
        self.positive = labels.unsqueeze(1) == other_labels
        self.negative = ~self.positive
        if self.own:
            self.positive = self.positive & ~torch.eye(len(labels), dtype=torch.bool)

    @property
    def nothing(self) -> bool:
        """Whether there is nothing to tell apart: every loss of a batch then is 0."""
        return not (bool(self.positive.any()) and bool(self.negative.any()))


def written(call: Call, name: str, default: str) -> str:
    """`<LpDistance>` -> LpDistance."""
    return str(call.get(name, default)).strip("<>")


def none_of(pairs: Pairs, name: str) -> Ours:
    """The loss of an empty batch."""
    return Ours(name, pairs.anchors[:0], torch.zeros(0, dtype=torch.long))


def apart(pairs: Pairs, name: str) -> Tensor:
    """How far each two are apart, of embeddings made as long as 1: a power of their distance, or 1 - cos."""
    unit, others = (torch.nn.functional.normalize(v) for v in (pairs.anchors, pairs.others))
    if name == "CosineSimilarity":
        return 1 - unit @ others.T
    found = re.fullmatch(r"LpDistance(?:\(power=(\d+)\))?", name)
    if not found:
        raise Inexpressible(f"a {name}")
    return torch.cdist(unit, others) ** int(found[1] or 1)


def kept(call: Call, excess: Tensor) -> Tensor:
    """Which values the mean is over: all, or those above 0, which are chosen before as a miner would."""
    match written(call, "reducer", "AvgNonZeroReducer"):
        case "MeanReducer":
            return torch.ones_like(excess, dtype=torch.bool)
        case "AvgNonZeroReducer":
            return excess > 0
        case other:
            raise Inexpressible(f"a {other}")


@pml.call("NTXentLoss")
def ntxent(call: Call) -> Ours:
    """Each positive pair against the negatives of its anchor: one row of `mnrl`, whose others are masked."""
    pairs = Pairs(call)
    distance, temperature = written(call, "distance", "CosineSimilarity"), call.get("temperature", 0.07)
    reducer = written(call, "reducer", "MeanReducer")
    if pairs.nothing:
        return none_of(pairs, "supcon")
    if distance != "CosineSimilarity":
        raise Inexpressible(f"a softmax of {distance}, where ours is of cosines")
    found = [(int(a), int(p)) for a, p in pairs.positive.nonzero().tolist()]
    # A mean over pairs, or over anchors of the means of their pairs; an anchor without a pair is 0.
    anchors = {
        "MeanReducer": 0,
        "PerAnchorReducer": len(pairs.anchors),
        "PerAnchorReducer(AvgNonZeroReducer)": len({a for a, _ in found}),
    }.get(reducer)
    if anchors is None:
        raise Inexpressible(f"a {reducer}")
    if len(found) > 24:
        raise Inexpressible("more pairs than one program may hold")
    preds, targets, firsts = list[Tensor](), list[Tensor](), list[Tensor]()
    for anchor, other in found:
        rows = torch.cat([pairs.others[other : other + 1], pairs.others[pairs.negative[anchor]]])
        preds.append(pairs.anchors[anchor].expand_as(rows))
        targets.append(rows)
        first = torch.zeros(len(rows), dtype=rows.dtype)
        first[0] = 1 / (sum(a == anchor for a, _ in found) * anchors if anchors else len(found))
        firsts.append(first)
    parts = [
        use("mnrl", scale=1 / temperature, weight=f"batch.first[{i}]", reduction="sum")
        + f"@(pred[{i}], target[{i}])"
        for i in range(len(found))
    ]
    text = " + ".join(parts)
    return Ours(text, preds, targets, {"first": firsts})


@pml.call("SupConLoss")
def supcon(call: Call) -> Ours:
    pairs = Pairs(call)
    distance, options = written(call, "distance", "CosineSimilarity"), call.same(temperature="temperature")
    if pairs.nothing:
        return none_of(pairs, "supcon")
    if distance != "CosineSimilarity":
        raise Inexpressible(f"a softmax of {distance}, where ours is of cosines")
    if not pairs.own:
        raise Inexpressible("anchors against the embeddings of another set")
    return Ours(use("supcon", like="pml", **options), pairs.anchors, call.tensor("labels"))


@pml.call("ContrastiveLoss")
def contrastive(call: Call) -> Ours:
    """A hinge on the distances of what belongs together, another on those of what does not."""
    pairs = Pairs(call)
    name = written(call, "distance", "LpDistance")
    cosine = name == "CosineSimilarity"
    near, far = call.get("pos_margin", 0), call.get("neg_margin", 1)
    near, far = (1 - near, 1 - far) if cosine else (near, far)  # cosines are far apart where they are small
    distance = apart(pairs, name)
    different = pairs.negative & ~torch.eye(len(distance), dtype=torch.bool) if pairs.own else pairs.negative
    together, alone = distance[pairs.positive], distance[different]
    together, alone = together[kept(call, together - near)], alone[kept(call, far - alone)]
    first = use("hinge_embedding", "relu", pred=f"pred.together - {near}", target=1)
    second = use("hinge_embedding", margin=far, pred="pred.alone", target=-1)
    return Ours(f"{first} + {second}", {"together": together, "alone": alone})


@pml.call("TripletMarginLoss")
def triplet(call: Call) -> Ours:
    """Every triplet that the labels allow: of distances by `triplet`, of cosines by their ranking."""
    pairs = Pairs(call)
    name, margin = written(call, "distance", "LpDistance"), call.get("margin", 0.05)
    call.refuse("swap")
    allowed = pairs.positive.unsqueeze(2) & pairs.negative.unsqueeze(1)
    anchor, positive, negative = allowed.nonzero().unbind(1)
    distance = apart(pairs, name)
    near, far = distance[anchor, positive], distance[anchor, negative]
    if call.get("smooth_loss", False):
        call.get("reducer")  # none of its values is 0
        return Ours(use("logistic", pred=f"pred - {margin}", target=1), far - near)
    chosen = kept(call, near - far + margin)
    anchor, positive, negative = anchor[chosen], positive[chosen], negative[chosen]
    if name != "LpDistance":
        return Ours(use("margin_ranking", margin=margin, sign=1), far[chosen], near[chosen])
    unit, others = (torch.nn.functional.normalize(v) for v in (pairs.anchors, pairs.others))
    batch = {"positive": others[positive], "negative": others[negative]}
    text = f"{use('triplet', margin=margin)}@(pred, batch.positive, batch.negative)"
    return Ours(text, unit[anchor], None, batch)
