"""Every loss as torch.onnx.export writes it, run in onnxruntime: the numbers of eager calls. `make test-all` installs both.

tests/runtime/test_export.py looks at what is exported without them.
"""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch
from _every_loss import LOSSES, compiled, data, each_use, text_of
from torch import Tensor

import losslang

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore", "error::losslang.LossWarning")]

NOT_IN_ONNX = {"hausdorff_dt": "cummax", "negative_binomial_nll": "lgamma"}
"""Losses of which torch's exporter says that ONNX has no such operation."""
R = torch.Generator().manual_seed(3)
LOGITS = torch.randn(6, 4, 5, 5, generator=R)
LABELS = torch.randint(4, (6, 5, 5), generator=R)
IGNORED = LABELS.masked_fill(torch.rand(6, 5, 5, generator=R) < 0.3, -100)
VALID = torch.rand(6, 5, 5, generator=R) > 0.4
YES = (torch.rand(6, 4, 5, 5, generator=R) > 0.5).float()
SPREAD = torch.tensor([-50.0, 50.0, 0.3, 17.0, -17.0, -1e4]).repeat(100).view(6, 4, 5, 5)


def exported(loss: losslang.Loss, pred: Any, target: Any, batch: dict[str, Any], **more: Any) -> Any:
    """Returns a function that runs in onnxruntime what torch.onnx.export makes of a loss."""
    for name in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(name, reason=f"{name} is not installed: `make test-all`")
    import onnxruntime

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program: Any = torch.onnx.export(
            loss, (pred, target), kwargs=batch, dynamo=True, verbose=False, **more
        )
    session = onnxruntime.InferenceSession(program.model_proto.SerializeToString())
    names = [value.name for value in program.model.graph.inputs]
    read = {value.name for value in session.get_inputs()}

    def run(*tensors: Tensor | None) -> Tensor:
        given = [tensor.numpy() for tensor in tensors if tensor is not None]
        feeds = {name: value for name, value in zip(names, given, strict=True) if name in read}
        (result,) = session.run(None, feeds)
        return torch.as_tensor(result)

    return run


def compare(text: str, call: Any, *others: Tensor) -> None:
    """The exported loss agrees with the eager one for its own prediction, and for other values of it."""
    (pred, target, batch), loss = call, compiled(text)
    run = exported(loss, pred, target, batch)
    for each in (pred, *others):
        found, wanted = run(each, target, *batch.values()), loss(each, target, **batch)
        torch.testing.assert_close(found, wanted.detach(), rtol=1e-4, atol=1e-6, msg=lambda m: f"{text}: {m}")


@each_use
def test_every_loss(name: str, use: str):
    call = data(name, use, dtype=torch.float32)
    networks = [value for value in call[2].values() if isinstance(value, torch.nn.Module)]
    if networks:
        pytest.skip("a network is no input of a graph: test_a_network_in_const")
    if name in NOT_IN_ONNX:
        with pytest.raises(torch.onnx.OnnxExporterError, match=NOT_IN_ONNX[name]):
            exported(compiled(text_of(name, use)), *call)
        return
    reads_logits = "logits" in (LOSSES[name].wants, *LOSSES[name].parameters) or use in ("sigmoid", "softmax")
    pred = call[0]
    wide = SPREAD.flatten()[: pred.numel()].view(pred.shape) if reads_logits else pred
    compare(text_of(name, use), call, wide)


@pytest.mark.parametrize(
    ("text", "target", "batch"),
    [
        ("ce(label_smoothing=0.1)", IGNORED, {}),
        ("ce(class_weight=[1, 2, 3, 4])", IGNORED, {}),
        ("ce(class_weight=balanced, label_smoothing=0.2)", IGNORED, {}),
        ("ce(mask=batch.valid)", LABELS, {"valid": VALID}),
        ("ce(avg_factor=batch.n)", LABELS, {"n": torch.tensor(7.0)}),
        ("ce(reduction=topk(frac=0.2))", LABELS, {}),
        ("ce(reduction=ohem(thresh=0.7, min_kept=10))", IGNORED, {}),
        ("ce(reduction=hard_negative(ratio=3))", LABELS, {}),
        ("ce(reduction=quantile(q=0.9))", LABELS, {}),
        ("ce(reduction=logsumexp)", LABELS, {}),
        ("ce(softmax(temperature=2))", LABELS, {}),
        ("ce(ignore_index=2) + dice(background=false, batch=true)", LABELS, {}),
        ("bce(sigmoid, pos_weight=balanced, label_smoothing=0.1) + dice(smooth=1)", YES, {}),
        ("tversky(sigmoid, mask=batch.valid) + asl(sigmoid)", YES, {"valid": VALID}),
    ],
)
def test_options(text: str, target: Tensor, batch: dict[str, Tensor]):
    compare(text, (LOGITS, target, batch), SPREAD, LOGITS * 0)


def test_a_batch_of_any_size():
    loss = losslang.compile("ce(channels=last, label_smoothing=0.1)")
    sizes = {0: torch.export.Dim("batch", min=2, max=64), 1: torch.export.Dim("length", min=2, max=64)}
    logits, tokens = LOGITS.flatten(2).mT.contiguous(), LABELS.flatten(1)
    run = exported(loss, logits, tokens, {}, dynamic_shapes=(sizes, sizes))
    logits, tokens = logits[:3, :7].contiguous(), tokens[:3, :7].contiguous()
    torch.testing.assert_close(run(logits, tokens), loss(logits, tokens))


def test_a_network_in_const():
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3), torch.nn.ReLU(), torch.nn.Conv2d(4, 4, 3)).eval()
    loss = losslang.compile(
        'perceptual(net=const.net, layers=["0", "2"])', const={"net": network.requires_grad_(False)}
    )
    image, other = torch.rand(2, 1, 12, 12), torch.rand(2, 1, 12, 12)
    torch.testing.assert_close(exported(loss, image, other, {})(image, other), loss(image, other))
