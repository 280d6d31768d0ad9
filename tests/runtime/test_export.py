"""What torch exports of a loss: operations that ONNX has, with the numbers of eager calls.

tests/libraries/test_onnx.py runs every loss in onnxruntime.
"""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

import losslang

R = torch.Generator().manual_seed(7)
LOGITS = torch.randn(4, 3, 6, generator=R)
EXTREME = torch.tensor([-50.0, 0.0, 50.0, -1e4, 17.0, -17.0]).expand(4, 3, 6).contiguous()
LABELS = torch.randint(3, (4, 6), generator=R)
YES = torch.randint(2, (4, 3, 6), generator=R).float()

LOST = {
    "log_sigmoid": "log(sigmoid(x)), -inf from x = -18 on",
    "binary_cross_entropy_with_logits": "the same",
    "cross_entropy_loss": "SoftmaxCrossEntropyLoss, without label_smoothing",
    "log1p": "log(1 + x), without a digit of a small x",
    "sort.stable": "no operation",
    "take": "no operation",
}
"""What onnxscript 0.7.2 makes of operations of torch."""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("ce(label_smoothing=0.1)", LABELS),
        ("ce(class_weight=[1, 2, 3])", LABELS.masked_fill(LABELS == 1, -100)),
        ("ce(reduction=hard_negative(ratio=3))", LABELS),
        ("ce(reduction=quantile(q=0.9))", LABELS),
        ("nll(log_softmax)", LABELS),
        ("0.5*bce(sigmoid) + dice(smooth=1)", YES),
        ("bce(sigmoid, pos_weight=2, label_smoothing=0.1)", YES),
        ("focal(sigmoid, alpha=0.25)", YES),
        ("asl(sigmoid)", YES),
        ("logistic", 2 * YES - 1),
    ],
)
def test_it_computes_what_eager_calls_do(text: str, target: Tensor):
    loss = losslang.compile(text)
    exported = torch.export.export(loss, (LOGITS, target), strict=False)
    called = {str(node.target) for node in exported.graph.nodes if node.op == "call_function"}
    assert not {name for name in called if any(lost in name for lost in LOST)}
    for logits in (LOGITS, EXTREME):
        found = exported.module()(logits, target)
        torch.testing.assert_close(found, loss(logits, target), rtol=1e-5, atol=0)


@pytest.mark.slow
@pytest.mark.parametrize("is_for_onnx", [False, True])
def test_doubles_are_left_out_for_onnx_alone(is_for_onnx: bool, monkeypatch: pytest.MonkeyPatch):
    """onnxruntime convolves single precision; what torch exports for itself keeps its digits."""
    monkeypatch.setattr(torch.onnx, "is_in_onnx_export", lambda: is_for_onnx)
    image = torch.rand(1, 1, 16, 16, generator=R)
    exported = torch.export.export(losslang.compile("1 - ssim"), (image, image.flip(3)), strict=False)
    types = {
        value.dtype
        for node in exported.graph.nodes
        for value in tree_leaves(node.meta.get("val"))
        if isinstance(value, Tensor) and value.is_floating_point()
    }
    assert (torch.float64 in types) is not is_for_onnx


def test_a_list_of_the_wrong_length_is_told_where_entries_are_no_numbers() -> None:
    """The message shows the entries that are left; while torch traces there are none, nor on the meta device."""
    with torch.device("meta"), pytest.raises(losslang.LossError, match="E513"):
        losslang.compile("bce(sigmoid, pos_weight=[1, 2, 3])")(torch.randn(2, 2), torch.zeros(2, 2))
    text = "dice(softmax, background=false, class_weight=const.w)"
    loss = losslang.compile(text, const={"w": torch.tensor([1.0, 2.0, 3.0])}, validate="never")
    with pytest.raises(losslang.LossError, match="E513"):
        torch.export.export(loss, (torch.randn(2, 3, 4, 4), torch.randint(3, (2, 4, 4))))
