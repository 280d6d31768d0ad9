"""Terms under one mask: what one of them reads in place of masked numbers, no other term beside it gets to see."""

from __future__ import annotations

import pytest
import torch
from _every_loss import FRAMES, LOSSES, SIGNALS, TRAINED, USES, Call, compiled, data, masked, text_of
from _oracle import whole_value
from torch import Tensor

import losslang
from losslang.vocabulary import Float, Total

BESIDE = (
    "bce(sigmoid, {})",
    "dice(sigmoid, {})",
    "focal(sigmoid, {})",
    "mse({})",
    "bce(sigmoid, {}) + dice(sigmoid, {})",
)
"""Terms that are 0 where a prediction is a number of their own: 0, or a logit of `NEVER`."""
OWN_LOGITS = {"nll": "log_softmax"}
"""Activations of losses that would read logits as they are."""
ALL_USES = [(n, u) for n, u in USES if u != "identity"] + [
    (n, "sigmoid") for n in TRAINED if LOSSES[n].wants == "values"
]


def values_and_gradients(text: str, call: Call) -> list[tuple[Tensor, Tensor]]:
    """What three calls of a module give."""
    loss, (pred, target, batch) = compiled(text), call
    found: list[tuple[Tensor, Tensor]] = []
    for _ in range(3):
        leaf = pred.clone().requires_grad_()
        value = loss(leaf, target, **batch)
        (slope,) = torch.autograd.grad(value, leaf, allow_unused=True, materialize_grads=True)
        found.append((value.detach(), slope))
    return found


def adds_up(term: str, others: str, call: Call) -> None:
    """Two terms give together what they give alone, and so do they in the other order."""
    alone = [values_and_gradients(text, call)[0] for text in (term, others)]
    wanted = alone[0][0] + alone[1][0], alone[0][1] + alone[1][1]
    for text in (f"{term} + {others}", f"{others} + {term}"):
        for found in values_and_gradients(text, call):
            for a, b in zip(found, wanted, strict=True):
                torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-10, msg=f"{text}: {a} {b}")


@pytest.mark.parametrize("others", BESIDE)
@pytest.mark.parametrize(("name", "use"), ALL_USES, ids=[f"{n}-{u}" for n, u in ALL_USES])
def test_every_loss_beside_one_that_fills(name: str, use: str, others: str):
    pred, _, batch = call = data(name, use)
    is_of_places = pred.ndim > 2 and FRAMES[name] != "rows"
    batch["m"] = masked(name, use, call, "place" if is_of_places else "sample")
    batch["yes"] = (torch.rand(pred.shape, generator=torch.Generator().manual_seed(1)) > 0.5).to(pred.dtype)
    how = "mask=batch.m, target=batch.yes" + ", channels=first" * (name in SIGNALS)
    if pred.ndim == 2:
        others = others.replace("dice(sigmoid, ", "dice(sigmoid, batch=true, ")
    adds_up(text_of(name, OWN_LOGITS.get(name, use), "mask=batch.m"), others.replace("{}", how), call)


def registered() -> None:
    """Losses of a user that read more than one element: of windows, of means, of sums, and one that looks at all."""

    @losslang.loss()
    def steps(values: Float[Tensor, "b c h w"], target: Float[Tensor, "b c h w"]) -> Float[Tensor, "b"]:
        """The mean of (x - t - its neighbour's)^2."""
        return (values - target).diff(dim=-1).square().flatten(1).mean(1)

    @losslang.loss(whole=True)
    def blurred(
        values: Float[Tensor, "b c h w"], target: Float[Tensor, "b c h w"]
    ) -> Float[Tensor, "b c h w"]:
        """(x - t - the mean of the row)^2."""
        return (values - target - values.mean(-1, keepdim=True)).square()

    @losslang.loss()
    def centred(values: Float[Tensor, "*shape"], target: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """(e - mean e)^2."""
        return ((values - target) - (values - target).mean()).square()

    @losslang.loss()
    def of_some(values: Float[Tensor, "*shape"], target: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """e^2, and (e + 1)^2 where anything is there."""
        return (values - target + float(not (target == 0).all())).square()

    @losslang.loss()
    def spread(
        probs: Float[Tensor, "b c *space"],
        target: Float[Tensor, "b c *space"],
        total: Total,
    ) -> Float[Tensor, "b c"]:
        """1 - the sum of (p - mean p) t."""
        return 1 - total((probs - probs.mean()) * target)[0]


R = torch.Generator().manual_seed(7)
PRED = torch.randn(2, 1, 13, 14, generator=R, dtype=torch.float64)
YES = (torch.rand(2, 1, 13, 14, generator=R) > 0.5).double()
PLACES = torch.rand(2, 13, 14, generator=R) > 0.3
OF_NEIGHBOURS = (
    "ssim", "dssim", "dssim(padding=same, window=3)", "lncc", "steps", "blurred", "centred", "of_some",
)  # fmt: skip
USED = [(name, use) for name in OF_NEIGHBOURS for use in ("sigmoid", "")] + [("spread", "sigmoid")]


def written(name: str, use: str) -> str:
    """A use of a loss under the mask, as an error where it is a likeness."""
    head, _, options = name.partition("(")
    inside = ", ".join(part for part in (use, options.rstrip(")"), "mask=batch.m") if part)
    return f"(1 - {head}({inside}))" if head == "ssim" else f"{head}({inside})"


@pytest.mark.parametrize(
    "others", [*BESIDE, "tversky(sigmoid, {})", "2*focal(sigmoid, {}) + bce(sigmoid, {})"]
)
@pytest.mark.parametrize(("name", "use"), USED)
def test_a_loss_that_reads_neighbours_finds_them_as_they_were(name: str, use: str, others: str):
    registered()
    adds_up(written(name, use), others.replace("{}", "mask=batch.m"), (PRED, YES, {"m": PLACES}))


@pytest.mark.parametrize(("name", "use"), USED)
def test_a_loss_of_more_than_one_element_masks_its_values(name: str, use: str):
    registered()
    text = written(name, use)
    wanted = whole_value(compiled(text), PRED, YES, m=PLACES)
    for found, _ in values_and_gradients(text, (PRED, YES, {"m": PLACES})):
        torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("others", ["bce(sigmoid)@(batch.yes, pred)", "mean(sigmoid(pred))"])
def test_a_prediction_that_is_read_in_another_place_too(others: str):
    batch = {"m": PLACES, "yes": YES}
    adds_up(
        "bce(sigmoid, mask=batch.m)",
        others.replace("sigmoid)@", "sigmoid, mask=batch.m)@"),
        (PRED.sigmoid(), YES, batch),
    )
