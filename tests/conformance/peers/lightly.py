"""lightly.loss: two views of the same images."""

from __future__ import annotations

from conformance.translation import Call, Inexpressible, Ours, Peer, use

lightly = Peer("lightly")


@lightly.call("NTXentLoss")
def ntxent(call: Call) -> Ours:
    """Both views are anchors."""
    if call.get("memory_bank_size", 0) not in (0, [0]):
        raise Inexpressible("negatives from a memory of earlier batches")
    call.get("gather_distributed")
    options = call.same(temperature="temperature")
    if call.get("temperature", 0.5) <= 0:
        raise Inexpressible("a temperature below 0")
    text = use("infonce", like="lightly", **options)
    return Ours(text, call.tensor("out0"), call.tensor("out1"))


@lightly.call("VICRegLoss")
def vicreg(call: Call) -> Ours:
    options = call.same(invariance="lambda_param", variance="mu_param", covariance="nu_param", eps="eps")
    call.get("gather_distributed")
    return Ours(use("vicreg", like="lightly", **options), call.tensor("z_a"), call.tensor("z_b"))


@lightly.call("BarlowTwinsLoss")
def barlow_twins(call: Call) -> Ours:
    call.get("gather_distributed")
    text = use("barlow_twins", like="lightly", **call.same(lambd="lambda_param"))
    return Ours(text, call.tensor("z_a"), call.tensor("z_b"))
