"""MONAI's MetaTensor, which every loader of MONAI gives. `make test-all` installs it.

tests/runtime/test_subclasses.py makes the same calls with a subclass of its own.
"""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch
from _executors import ways
from torch import Tensor, nn

import losslang

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore", "error::losslang.LossWarning")]
R = torch.Generator().manual_seed(9)


@pytest.fixture(scope="module")
def data() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip(
            "monai.data", reason="monai is not installed: `make test-all`", exc_type=ImportError
        )


def items(number: int) -> list[dict[str, Tensor]]:
    """Images (1, 6, 5, 4) with labels of three organs."""
    return [
        {
            "image": torch.randn(1, 6, 5, 4, generator=R),
            "label": torch.randint(3, (1, 6, 5, 4), generator=R).float(),
            "valid": torch.rand(1, 6, 5, 4, generator=R) < 0.9,
        }
        for _ in range(number)
    ]


def loader(data: Any, entries: list[dict[str, Tensor]]) -> Any:
    from monai.transforms.utility.dictionary import EnsureTyped

    made = data.Dataset(entries, EnsureTyped(keys=["image", "label", "valid"]))
    return data.DataLoader(made, batch_size=2)


def trained(net: nn.Module, loss: Any, batches: list[dict[str, Tensor]]) -> list[Tensor]:
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    totals: list[Tensor] = []
    for batch in batches:
        total = loss(net(batch["image"]), batch["label"].long(), valid=batch["valid"])
        assert type(total) is Tensor
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        totals.append(total.detach())
    return totals


def test_a_loader_of_monai_trains_as_plain_tensors_do(data: Any) -> None:
    batches = list(loader(data, items(4)))
    assert {type(value) for value in batches[0].values()} == {data.MetaTensor}
    plain = [{key: value.as_tensor() for key, value in batch.items()} for batch in batches]
    loss = losslang.compile("ce(mask=batch.valid, class_weight=[1, 2, 3]) + dice(background=false)")
    found: list[list[Tensor]] = []
    for given in (batches, plain):
        torch.manual_seed(0)
        found.append(trained(nn.Conv3d(1, 3, 3, padding=1), loss, given))
    torch.testing.assert_close(found[0], found[1], rtol=0, atol=0)


def test_what_a_loss_says_is_plain(data: Any) -> None:
    loss = losslang.compile("ce + dice + metric(zero_one)")
    pred = data.MetaTensor(torch.randn(2, 3, 6, 5, generator=R), meta={"affine": torch.eye(4)})
    target = data.MetaTensor(torch.randint(3, (2, 6, 5), generator=R))
    detail = loss.detail(pred.requires_grad_(), target)
    assert {type(value) for value in detail if not isinstance(value, (tuple, dict))} == {Tensor}
    assert {type(value) for value in loss.terms(pred, target).values()} == {Tensor}
    loss(pred, target).backward()
    assert pred.grad is not None


def test_large_ones_take_the_way_of_plain_ones(data: Any) -> None:
    pred, target = torch.randn(2, 8, 256, 256, generator=R), torch.randint(8, (2, 256, 256), generator=R)
    passed = ways("ce + dice", pred, target)
    assert "in blocks" in passed
    assert ways("ce + dice", data.MetaTensor(pred), data.MetaTensor(target)) == ["converted", *passed]


# ------------------------------------------------------------------- what is printed for MONAI's own constructors


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("DiceFocalLoss", {"softmax": True}),
        ("DiceFocalLoss", {"softmax": True, "lambda_focal": 2, "weight": [1.0, 2.0, 3.0]}),
        ("DiceFocalLoss", {"softmax": True, "include_background": False, "weight": [2.0, 3.0]}),
        ("GeneralizedDiceFocalLoss", {"softmax": True}),
        ("GeneralizedDiceFocalLoss", {"softmax": True, "include_background": False, "weight": [2.0, 3.0]}),
        ("FocalLoss", {"use_softmax": True, "weight": [1.0, 2.0, 3.0]}),
        ("FocalLoss", {"include_background": False, "weight": [2.0, 3.0]}),
        ("FocalLoss", {"gamma": 1.0, "alpha": 0.25}),
        ("DiceLoss", {"softmax": True, "jaccard": True}),
        ("DiceLoss", {"softmax": True, "jaccard": True, "smooth_nr": 0.2, "smooth_dr": 0.2}),
        ("DiceLoss", {"softmax": True, "smooth_nr": 0, "smooth_dr": 0.1}),
        ("DiceLoss", {"softmax": True, "include_background": 0, "squared_pred": 1}),
        ("DiceCELoss", {"softmax": True, "include_background": False}),
        ("DiceCELoss", {"softmax": True, "jaccard": True}),
        ("GeneralizedDiceLoss", {"softmax": True, "include_background": False, "w_type": "simple"}),
        ("TverskyLoss", {"softmax": True, "alpha": 0.3, "beta": 0.7, "smooth_nr": 0.2, "smooth_dr": 0.2}),
    ],
)
def test_what_is_printed_for_a_class_is_its_number(data: Any, name: str, options: dict[str, Any]) -> None:
    import monai.losses

    pred, target = torch.randn(2, 3, 6, 5, generator=R), torch.randint(3, (2, 6, 5), generator=R)
    true = nn.functional.one_hot(target, 3).movedim(-1, 1).float()
    text = f"{name}({', '.join(f'{option}={value!r}' for option, value in options.items())})"
    (mistake,) = losslang.check(f"monai.losses.{text}")
    printed = mistake.fix.split("`")[1]
    wanted = getattr(monai.losses, name)(**options)(pred, true)
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore"
        )  # a focal of the sigmoid beside a dice of the softmax, as MONAI has them
        loss = losslang.compile(printed)
    torch.testing.assert_close(loss(pred, target), wanted, rtol=2e-6, atol=1e-6)


@pytest.mark.parametrize("background", [True, False])
@pytest.mark.parametrize("form", ["indices", "one-hot"])
def test_class_weights_beside_a_background_that_is_left_out(background: bool, form: str) -> None:
    """The weights of a dice are those of the classes that count; DiceCELoss drops the first one of its list itself.

    The same call gives another number for one-hot labels than for indices, in MONAI as here: torch's cross entropy
    divides by the sum of the weights for indices, and by the number of places for probabilities.
    """
    losses = pytest.importorskip("monai.losses", exc_type=ImportError)
    pred, index = torch.randn(2, 3, 6, 5, generator=R), torch.randint(3, (2, 6, 5), generator=R)
    true = nn.functional.one_hot(index, 3).movedim(-1, 1).float()
    target, theirs = (true, true) if form == "one-hot" else (index, index[:, None])
    weights = torch.tensor([1.0, 2.0, 3.0])
    kept = weights if background else weights[1:]
    options: dict[str, Any] = {
        "softmax": True,
        "include_background": background,
        "to_onehot_y": form == "indices",
    }
    said = "" if background else ", background=false"
    dice = f"dice(softmax{said}, class_weight={[int(w) for w in kept]})"
    torch.testing.assert_close(
        losslang.compile(dice)(pred, target), losses.DiceLoss(**options, weight=kept)(pred, theirs)
    )
    both = losslang.compile(f"ce(class_weight=[1, 2, 3]) + {dice}")
    torch.testing.assert_close(both(pred, target), losses.DiceCELoss(**options, weight=weights)(pred, theirs))
    if not background:
        with pytest.raises(ValueError, match="should not include the back"):
            losses.DiceLoss(**options, weight=weights)(pred, theirs)
        with pytest.raises(losslang.LossError, match="3 entries, and the prediction 2 classes"):
            losslang.compile("dice(softmax, background=false, class_weight=[1, 2, 3])")(pred, target)
