"""Laws for every loss of the registry, generated from what each declares of itself."""

from __future__ import annotations

import gc
import math
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import pytest
import torch
from _every_loss import (
    FRAMES,
    LOSSES,
    REGION,
    TRAINED,
    USES,
    Call,
    against_the_textbook,
    compiled,
    data,
    each_use,
    form_of,
    masked,
    of_samples,
    over_prediction,
    run,
    text_of,
    uses,
    value_and_gradient,
)
from cutting import cut
from formulas import DATA
from formulas import OTHER as MORE_OPTIONS
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._pytree import tree_map

import losslang
from losslang.primitives.primitive import Sloped
from losslang.runtime.compiled import _understood
from losslang.vocabulary import LAYERS

NOT_ALONE = ("lovasz_softmax", "exp_log")
"""Losses of regions whose values depend on which other classes there are."""
SLOPELESS = {
    "ciou": "the weight of the aspect ratio carries no gradient, as in the paper",
    "circle": "the weights of the pairs carry no gradient, as in the paper",
    "perceptual": "no gradient flows into the target",
    "lpips": "the network stands in no_grad for the target",
}
"""Losses that are not differentiated in everything they read, and why."""
COUPLED = [name for name, loss in LOSSES.items() if loss.mixes_samples]
"""Losses in which one sample speaks to another: the whole batch is not the mean of its parts."""
BY_LOGITS = [(n, u) for n, u in USES if u in ("sigmoid", "softmax") or LOSSES[n].activation == "softmax"]
each_logit_use = pytest.mark.parametrize(
    ("name", "use"), BY_LOGITS, ids=[f"{n}-{u}" if u else n for n, u in BY_LOGITS]
)


def perfect(name: str, use: str) -> Call:
    """A call where the prediction is right: it equals the target, or gives probability 1 to the truth."""
    pred, target, batch = data(name, use)
    loss = LOSSES[name]
    if loss.zero_when == "equal":
        return (target.clone() if target is not None else pred), target, batch
    if form_of(name, use) == "soft":
        if use == "softmax" or (not use and loss.activation == "softmax"):
            return target.log(), target, batch
        return (torch.logit(target) if use == "sigmoid" else target.clone()), target, batch
    truth = target
    if not target.is_floating_point():
        truth = torch.nn.functional.one_hot(target, pred.shape[1]).movedim(-1, 1).double()
    if name == "nll":
        return (truth - 1) * 60, target, batch
    if use == "identity":
        return truth.clone(), target, batch
    return 60 * truth - 30, target, batch


# -------------------------------------------------------------------- the laws


def test_the_registry_is_the_specification():
    """LANGUAGE.md 11: exactly these, under these names."""
    wanted = (
        "ce nll bce focal dice jaccard tversky focal_tversky mse half_mse sse l1 rmse smooth_l1 huber"
        " log_cosh charbonnier tukey quantile hinge squared_hinge multi_margin zero_one kl kd js"
        " gaussian_nll poisson_nll cosine triplet iou giou"
    )
    assert set(wanted.split()) <= set(LOSSES)


@each_use
def test_runs_with_its_defaults(name: str, use: str):
    """A 0-d float64 tensor for float64, with a gradient of the prediction's shape that is not 0."""
    value, grad = value_and_gradient(compiled(text_of(name, use)), data(name, use))
    assert value.shape == ()
    assert value.dtype == torch.float64
    assert value.isfinite()
    assert grad.abs().sum() > 0
    assert grad.isfinite().all()


@each_use
def test_a_later_call_is_as_the_first(name: str, use: str):
    """The first looks at values, the second finds what can be left out of the third."""
    call, text = data(name, use), text_of(name, use)
    loss = compiled(text).eval()
    wanted = value_and_gradient(loss, call)
    for _ in range(2):
        found = value_and_gradient(loss, call)
        torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-12)


@each_use
def test_range(name: str, use: str):
    low, high = LOSSES[name].range or (-math.inf, math.inf)
    loss = compiled(text_of(name, use, *(["reduction=none"] if LOSSES[name].result_axes else [])))
    for seed in range(5):
        pred, target, batch = data(name, use, seed=seed)
        if name == "poisson_nll":
            batch = {}
        values = loss(pred, target, **batch)
        assert values.min() >= low - 1e-12
        assert values.max() <= high + 1e-12


# Two equal distributions are a right answer of `kd`, which takes logits.
@pytest.mark.filterwarnings("ignore::losslang.LossWarning")
@pytest.mark.parametrize(("name", "use"), [(n, u) for n, u in USES if LOSSES[n].zero_when])
def test_zero_when_the_prediction_is_right(name: str, use: str):
    call = perfect(name, use)
    value, grad = value_and_gradient(compiled(text_of(name, use)), call)
    # sigmoid(30) is no 1: with s = 1e-5 an absent class gives 1e-13 n / s, and a power of 3/4 of that.
    assert abs(value.item()) <= 1e-4
    if use == "identity" or LOSSES[name].zero_when == "equal":
        assert abs(value.item()) <= 1e-12
    assert grad.isfinite().all()


@each_use
def test_gradcheck(name: str, use: str):
    pred, target, batch = data(name, use, shape=(2, 3, 2) if name in REGION else (2, 3), seed=1)
    loss = compiled(text_of(name, use))
    loss(pred, target, **batch)
    names = [operand for operand, value in batch.items() if isinstance(value, Tensor)]
    if name in SLOPELESS:
        pytest.skip(SLOPELESS[name])
    fixed = {operand: value for operand, value in batch.items() if operand not in names}

    def function(pred: Tensor, *others: Tensor) -> Tensor:
        return loss(pred, target, **fixed, **dict(zip(names, others, strict=True)))

    inputs = [pred.requires_grad_(), *(batch[operand].requires_grad_() for operand in names)]
    assert torch.autograd.gradcheck(function, inputs, eps=1e-6, atol=1e-6, rtol=1e-5)


SLOPED = [name for name, loss in LOSSES.items() if isinstance(loss.kernels.get("identity"), Sloped)]
SLOPED_TOO = {
    "cosine_embedding": "margin=0.2",
    "contrastive": "margin=4",
    "mase": "seasonality=2",
    "pseudo_huber": "delta=0.3",
    "silog": "lam=0.9",
    "tv": "isotropic=true",
    "tweedie": "p=1.2",
}


@pytest.mark.parametrize("name", SLOPED)
def test_a_written_slope_is_the_derivative(name: str):
    """With create_graph torch differentiates the formula: the same gradient, and the right one of it."""
    pred, target, batch = data(name, seed=4)
    options = [[], ["reduction=sum"], ["reduction=logsumexp"]]
    options += [[SLOPED_TOO[name]]] if name in SLOPED_TOO else []
    for more in options:
        loss = compiled(f"sqrt({text_of(name, '', *more)} + 99)")
        value = loss(pred.requires_grad_(), target, **batch)
        (slope,) = torch.autograd.grad(value, pred)
        (again,) = torch.autograd.grad(loss(pred, target, **batch), pred, create_graph=True)
        torch.testing.assert_close(slope, again, rtol=1e-10, atol=1e-12)
    assert torch.autograd.gradgradcheck(lambda x: loss(x, target, **batch), (pred,), atol=1e-6)


@pytest.mark.parametrize("name", SLOPED)
def test_a_written_slope_takes_several_flows_at_once(name: str):
    """A Jacobian, whose rows are computed together."""
    pred, target, batch = data(name, seed=4)
    for reduction in ("mean", "none"):
        values = compiled(text_of(name, "", f"reduction={reduction}"))(pred.requires_grad_(), target, **batch)
        flows = torch.eye(values.numel(), dtype=values.dtype).reshape(-1, *values.shape)[:5]
        (found,) = torch.autograd.grad(values, pred, flows, is_grads_batched=True, retain_graph=True)
        one_by_one = [torch.autograd.grad(values, pred, flow, retain_graph=True)[0] for flow in flows]
        torch.testing.assert_close(found, torch.stack(one_by_one))


@pytest.mark.parametrize("name", SLOPED)
def test_a_written_slope_takes_a_vmap_of_flows(name: str):
    """As methods for several objectives compute their gradients."""
    pred, target, batch = data(name, seed=4)
    values = compiled(text_of(name, "", "reduction=none"))(pred.requires_grad_(), target, **batch)
    flows = torch.eye(values.numel(), dtype=values.dtype).reshape(-1, *values.shape)[:5]
    found = torch.vmap(lambda flow: torch.autograd.grad(values, pred, flow, retain_graph=True)[0])(flows)
    one_by_one = [torch.autograd.grad(values, pred, flow, retain_graph=True)[0] for flow in flows]
    torch.testing.assert_close(found, torch.stack(one_by_one))


@pytest.mark.parametrize("name", [name for name in SLOPED if name not in ("tv", "kl_normal")])
def test_a_written_slope_turns_into_the_gradient(name: str):
    """It has memory of its own, and that is handed out. tv keeps its steps, the slope of kl_normal is an input."""
    pred, target, batch = data(name, seed=4)
    given = [value for value in (pred, target, *batch.values()) if isinstance(value, Tensor)]
    values = compiled(text_of(name, "", "reduction=none"))(pred.requires_grad_(), target, **batch)
    (node,) = [node for node in behind(values) if hasattr(node, "rise")]
    place = node.rise.untyped_storage().data_ptr()
    assert place not in {tensor.untyped_storage().data_ptr() for tensor in (*given, values)}
    flow = torch.rand_like(values)
    (found,) = torch.autograd.grad(values, pred, flow, retain_graph=True)
    assert found.untyped_storage().data_ptr() == place
    assert node.rise is None
    (again,) = torch.autograd.grad(values, pred, flow)
    assert torch.equal(again, found)
    assert again.untyped_storage().data_ptr() != place


@pytest.mark.parametrize("name", [name for name in SLOPED if name != "tv"])
def test_hooks_are_handed_the_slope(name: str):
    """Where what is saved is moved or made again later, nothing stays behind: one tensor beside the inputs at most."""
    pred, target, batch = data(name, seed=4)
    given = [value for value in (pred, target, *batch.values()) if isinstance(value, Tensor)]
    saved: set[int] = set()

    def move(tensor: Tensor) -> Tensor:
        saved.update([tensor.data_ptr()] if tensor.numel() == pred.numel() else [])
        return tensor.clone()

    loss = compiled(text_of(name))
    (wanted,) = torch.autograd.grad(loss(pred.requires_grad_(), target, **batch), pred)
    with torch.autograd.graph.saved_tensors_hooks(move, lambda tensor: tensor):
        value = loss(pred, target, **batch)
    assert all(node.rise is None for node in behind(value) if hasattr(node, "rise"))
    assert len(saved - {tensor.data_ptr() for tensor in given}) <= 1
    for _ in range(2):
        assert torch.equal(torch.autograd.grad(value, pred, retain_graph=True)[0], wanted)


def behind(values: Tensor) -> Iterator[Any]:
    """The nodes of the graph that a tensor comes from."""
    left = [values.grad_fn]
    while left:
        node = left.pop()
        if node is not None:
            yield node
            left.extend(following for following, _ in node.next_functions)


@pytest.mark.parametrize("name", SLOPED)
def test_a_written_slope_holds_no_circle(name: str):
    """What backward keeps does not hold the values: their memory is free as soon as nobody reads them."""
    pred, target, batch = data(name, seed=4)
    gc.disable()
    try:
        value = compiled(text_of(name, "", "reduction=none"))(pred.requires_grad_(), target, **batch)
        alive = weakref.ref(value)
        del value
        assert alive() is None
    finally:
        gc.enable()


@each_use
def test_the_default_device_is_none_of_its_business(name: str, use: str):
    """It computes where its tensors are, from the first call on."""
    pred, target, batch = data(name, use)
    wanted = compiled(text_of(name, use))(pred, target, **batch)
    _understood.cache_clear()
    loss = compiled(text_of(name, use))
    for _ in range(2):
        with torch.device("meta"):
            found = loss(pred, target, **batch)
        assert torch.equal(found, wanted)


@each_use
def test_fake_tensors(name: str, use: str):
    """Tensors without values, by which memory is estimated, get the shapes of the real ones."""
    pred, target, batch = data(name, use)
    loss = compiled(text_of(name, use))
    wanted = loss(pred, target, **batch)
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        given = tree_map(lambda v: mode.from_tensor(v) if isinstance(v, Tensor) else v, (pred, target, batch))
        pred, target, batch = given
        value = compiled(text_of(name, use))(pred.requires_grad_(), target, **batch)
        assert (value.shape, value.dtype) == (wanted.shape, wanted.dtype)
        if not LOSSES[name].metric_only:
            (found,) = torch.autograd.grad(value, pred)
            assert found.shape == pred.shape


@each_use
def test_gradient_into_the_target(name: str, use: str):
    """A soft target or a regression target that wants a gradient gets the right one; a teacher none."""
    pred, target, batch = data(name, use, shape=(2, 3), seed=2)
    if name in SLOPELESS:
        pytest.skip(SLOPELESS[name])
    if target is None or not target.is_floating_point() or form_of(name, use) in ("signs", "classes"):
        pytest.skip("not a float target that is learned")
    if name == "quantile" or (name == "poisson_nll"):
        target = target + 0.3
    loss = compiled(text_of(name, use))
    loss(pred, target, **batch)
    target.requires_grad_()
    value = loss(pred.requires_grad_(), target, **batch)
    if name == "kd":
        assert torch.autograd.grad(value, target, allow_unused=True) == (None,)
    else:
        assert torch.autograd.gradcheck(
            lambda t: loss(pred.detach(), t, **batch), (target,), atol=1e-6, rtol=1e-5
        )


@each_logit_use
@pytest.mark.parametrize("size", [1e4, -1e4])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_huge_logits_are_finite(name: str, use: str, size: float, dtype: torch.dtype):
    """One element at ±1e4, then all of them, right and wrong."""
    pred, target, batch = data(name, use, dtype=dtype)
    loss = compiled(text_of(name, use))
    one = pred.clone()
    one[0, 0] = size
    for logits in (one, pred.sign() * size, torch.full_like(pred, size)):
        value, grad = value_and_gradient(loss, (logits, target, batch))
        assert value.isfinite(), value
        assert grad.isfinite().all()


@each_use
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision(name: str, use: str, dtype: torch.dtype):
    """Half in, float32 out, within 1e-2 of the same numbers in float32; the gradient is half again."""
    call = data(name, use, dtype=torch.float32)
    loss = compiled(text_of(name, use))

    def to(value: Any, kind: torch.dtype) -> Any:
        return value.to(kind) if isinstance(value, Tensor) and value.is_floating_point() else value

    half = (to(call[0], dtype), to(call[1], dtype), {k: to(v, dtype) for k, v in call[2].items()})
    back = (
        to(half[0], torch.float32),
        to(half[1], torch.float32),
        {k: to(v, torch.float32) for k, v in half[2].items()},
    )
    wanted, _ = value_and_gradient(loss, back)
    with torch.autocast("cpu", dtype=dtype):
        value, grad = value_and_gradient(loss, half)
    assert value.dtype == torch.float32
    assert grad.dtype == dtype
    assert grad.isfinite().all()
    torch.testing.assert_close(value, wanted, rtol=1e-2, atol=1e-2)


LARGE = [
    (n, u)
    for n, u in USES
    if n not in DATA and FRAMES[n] in ("same", "values", "places", "region", "samples")
]


@pytest.mark.parametrize(("name", "use"), LARGE, ids=[f"{n}-{u}" if u else n for n, u in LARGE])
def test_half_precision_of_a_large_mask(name: str, use: str):
    """384 x 384: half of so many is no float16. Value and gradient of both half types, within 1e-2."""
    if name.startswith("hausdorff"):
        pytest.skip("distances between all places: minutes at this size")
    for dtype in (torch.float16, torch.bfloat16):
        pred, target, batch = data(name, use, shape=(1, 2, 384, 384), dtype=dtype)
        back = {k: v.float() if isinstance(v, Tensor) else v for k, v in batch.items()}
        whole = target.float() if isinstance(target, Tensor) and target.is_floating_point() else target
        loss = compiled(text_of(name, use))
        with torch.autocast("cpu", dtype=dtype):
            value, grad = value_and_gradient(loss, (pred, target, batch))
        wanted, slope = value_and_gradient(loss, (pred.float(), whole, back))
        torch.testing.assert_close(value, wanted, rtol=1e-2, atol=1e-2)
        assert grad.isfinite().all()
        largest = slope.abs().max().item()
        # The smallest numbers of a half type are what the gradient of one element of many may be.
        torch.testing.assert_close(grad.float(), slope, rtol=2e-2, atol=2e-2 * largest + 1e-6)


@each_use
def test_all_masked_is_zero(name: str, use: str):
    pred, target, batch = data(name, use)
    loss = compiled(text_of(name, use, "mask=batch.mask"))
    value, grad = value_and_gradient(loss, (pred, target, {**batch, "mask": torch.zeros(len(pred))}))
    assert value.item() == 0
    assert grad.abs().sum() == 0


@each_use
@pytest.mark.parametrize(("rank", "poison"), [("sample", math.inf), ("place", math.nan)])
def test_nothing_leaks_from_under_the_mask(name: str, use: str, rank: str, poison: float):
    pred, target, batch = data(name, use)
    mask = masked(name, use, (pred, target, batch), rank)
    loss = compiled(text_of(name, use, "mask=batch.mask"))
    clean = value_and_gradient(loss, (pred, target, {**batch, "mask": mask}))
    hidden = ~over_prediction(name, mask, pred)

    def spoil(value: Any) -> Any:
        if not isinstance(value, Tensor):
            return value
        if value.shape == pred.shape:
            places = hidden
        elif FRAMES[name] == "rows" and value.shape == pred.shape[:-1]:
            places = hidden[..., 0]
        elif value.shape == pred.shape[:1] + pred.shape[2:]:
            places = hidden[:, 0]
        else:
            places = hidden.flatten(1).all(1).reshape(-1, *[1] * (value.ndim - 1))
        return torch.where(places, poison if value.is_floating_point() else 10**9, value)

    others = {k: v if k in LAYERS else spoil(v) for k, v in batch.items()}
    dirty = (spoil(pred), spoil(target), {**others, "mask": mask})
    value, grad = value_and_gradient(loss, dirty)
    torch.testing.assert_close(value, clean[0], rtol=1e-14, atol=0)
    torch.testing.assert_close(grad, clean[1], rtol=1e-14, atol=1e-16)
    assert grad[hidden].abs().sum() == 0
    assert clean[0] != value_and_gradient(compiled(text_of(name, use)), (pred, target, batch))[0]


@each_use
def test_a_mask_of_samples_is_the_batch_without_them(name: str, use: str):
    pred, target, batch = data(name, use)
    mask = torch.tensor([True] * (len(pred) - 1) + [False])
    part = compiled(text_of(name, use, "mask=batch.mask"))(pred, target, **batch, mask=mask)
    whole = compiled(text_of(name, use))(
        pred[:-1], None if target is None else target[:-1], **of_samples(batch, slice(-1))
    )
    torch.testing.assert_close(part, whole, rtol=1e-12, atol=1e-12)


# -------------------------------------------------------------------- regions, and masks of channels

each_region = pytest.mark.parametrize(("name", "use"), [(n, u) for n, u in USES if n in REGION])


@each_region
def test_a_region_needs_space(name: str, use: str):
    """(B, C) has nothing to sum over, unless the samples are summed too: then it is (1, C, B)."""
    if name in DATA or not (LOSSES[name].has_total or LOSSES[name].is_flat):
        pytest.skip("its regions have a form")
    pred, target, _ = data(name, use, shape=(5, 3), seed=3)
    for small in (pred, pred[:, 0]):
        with pytest.raises(losslang.LossError, match="E517"):
            compiled(text_of(name, use))(small, target if small.ndim == 2 else target[:, 0])
    over_samples, alone = compiled(text_of(name, use, "batch=true")), compiled(text_of(name, use))
    torch.testing.assert_close(
        over_samples(pred, target), alone(pred.T[None], target.T[None]), rtol=1e-12, atol=0
    )
    assert torch.autograd.gradcheck(lambda p: over_samples(p, target), (pred.requires_grad_(),))


@each_region
def test_a_region_without_background_needs_a_second_channel(name: str, use: str):
    if use == "softmax":
        pytest.skip("a softmax over one channel is refused before")
    pred, target, _ = data(name, use)
    loss = compiled(text_of(name, use, "background=false"))
    with pytest.raises(losslang.LossError, match="E517"):
        loss(pred[:, :1], target[:, :1])
    if "c" in LOSSES[name].result_axes and name not in NOT_ALONE:
        values = run(name, use, (pred, target, {}), "reduction=none")
        torch.testing.assert_close(loss(pred, target), values[:, 1:].mean(), rtol=1e-12, atol=0)


@each_region
def test_a_mask_of_channels_leaves_out_regions(name: str, use: str):
    """(B, C, 1, 1): partial labelling. What is left has the values that it had, also after a softmax."""
    if "c" not in LOSSES[name].result_axes or name in NOT_ALONE:
        pytest.skip("its values are not told apart by class")
    pred, target, _ = data(name, use)
    seen = torch.rand(pred.shape[:2], generator=torch.Generator().manual_seed(6)) > 0.4
    value, grad = value_and_gradient(
        compiled(text_of(name, use, "mask=batch.mask")), (pred, target, {"mask": seen[:, :, None, None]})
    )
    other = pred.clone().requires_grad_()
    wanted = run(name, use, (other, target, {}), "reduction=none")[seen].mean()
    torch.testing.assert_close(value, wanted.detach(), rtol=1e-12, atol=0)
    torch.testing.assert_close(grad, torch.autograd.grad(wanted, other)[0], rtol=1e-11, atol=1e-15)


@pytest.mark.parametrize(
    ("name", "use"),
    [
        (n, u)
        for n, u in USES
        if LOSSES[n].result_axes == ("b", "*space")
        or (LOSSES[n].result_axes == ("*event",) and u == "softmax")
    ],
)
def test_a_mask_of_channels_is_too_fine_for_one_value_per_place(name: str, use: str):
    pred, target, _ = data(name, use)
    loss = compiled(text_of(name, use, "mask=batch.mask"))
    with pytest.raises(losslang.LossError, match="E510"):
        loss(pred, target, mask=torch.ones_like(pred, dtype=torch.bool))


@each_use
def test_an_integer_prediction_is_refused(name: str, use: str):
    pred, target, batch = data(name, use)
    with pytest.raises(losslang.LossError, match="E505") as caught:
        compiled(text_of(name, use))((10 * pred).long(), target, **batch)
    assert "swapped?" in str(caught.value)


@each_use
def test_is_the_formula_of_the_textbook(name: str, use: str):
    """Value and gradient of an independent reference in float64, plain and with half of it masked."""
    for seed in range(3):
        against_the_textbook(text_of(name, use), data(name, use, seed=seed))
    call = data(name, use)
    for rank in ("sample", "place"):
        mask = masked(name, use, call, rank)
        text = text_of(name, use, "mask=batch.mask")
        against_the_textbook(text, (call[0], call[1], {**call[2], "mask": mask}))


# -------------------------------------------------------------------- more laws


@pytest.mark.parametrize(
    ("name", "use"), [(n, u) for n, u in USES if form_of(n, u) in ("classes", "indices")]
)
@pytest.mark.parametrize("target_is", [0, 1])
@pytest.mark.parametrize("says", [-30.0, 30.0])
def test_empty_target_and_empty_prediction(name: str, use: str, target_is: int, says: float):
    """Nothing or everything there, nothing or everything predicted: finite, with a finite gradient."""
    pred, target, batch = data(name, use)
    target = torch.full_like(target, target_is)
    if use == "identity":
        pred = torch.full_like(pred, float(says > 0))
    elif name == "nll":
        pred = torch.log_softmax(
            torch.where(torch.arange(4).reshape(1, 4, 1, 1) == 0, says, -says) + 0 * pred, 1
        )
    else:
        pred = torch.full_like(pred, says)
    value, grad = value_and_gradient(compiled(text_of(name, use)), (pred, target, batch))
    assert value.isfinite()
    assert grad.isfinite().all()


@each_use
def test_no_samples_at_all(name: str, use: str):
    """The mean over nothing is 0 with a zero gradient."""
    pred, target, batch = data(name, use)
    call = (pred[:0], None if target is None else target[:0], of_samples(batch, slice(0)))
    value, grad = value_and_gradient(compiled(text_of(name, use)), call)
    assert value.item() == 0
    assert grad.shape == pred[:0].shape


@each_use
def test_order_of_samples_is_no_matter(name: str, use: str):
    pred, target, batch = data(name, use)
    order = torch.tensor([2, 0, 1, *range(3, len(pred))])
    loss = compiled(text_of(name, use))
    found = loss(pred[order], None if target is None else target[order], **of_samples(batch, order))
    torch.testing.assert_close(found, loss(pred, target, **batch), rtol=1e-12, atol=1e-12)


@each_use
def test_the_whole_batch_is_the_mean_of_its_halves(name: str, use: str):
    """For equal halves, where nothing is asked of the batch as a whole."""
    if not LOSSES[name].result_axes or LOSSES[name].skips or name in COUPLED:
        pytest.skip("one number, or samples that speak to each other")
    pred, target, batch = data(name, use)
    n = len(pred) // 2 * 2
    loss = compiled(text_of(name, use))

    def of(rows: slice) -> Tensor:
        return loss(pred[rows], None if target is None else target[rows], **of_samples(batch, rows))

    halves = of(slice(0, n // 2)) + of(slice(n // 2, n))
    by = 1 if LOSSES[name].reduction == "sum" else 2
    torch.testing.assert_close(of(slice(0, n)), halves / by, rtol=1e-12, atol=1e-12)


OTHER: dict[tuple[str, str], list[str]] = {
    ("quantile", "q"): ["0.9"],
    ("iou", "format"): ["xywh", "cxcywh"],
    ("giou", "format"): ["xywh", "cxcywh"],
    ("iou", "mode"): ["log", "square"],
    ("multi_margin", "p"): ["2"],
    ("cosine", "eps"): ["5"],
    ("kd", "temperature"): ["2"],
    ("tukey", "c"): ["1"],
    ("gaussian_nll", "eps"): ["1"],
    ("focal", "alpha"): ["0.3"],
} | MORE_OPTIONS
INEXACT = [
    ("bi_tempered", "iters"),  # says how exact it is: the textbook is exact
    ("cosine", "eps"),  # torch's gradient of a norm below eps is that of the norm itself
]
ELSEWHERE = [("supcon", "one_class")]  # of a batch of one class: tests/conformance/test_presets.py
OPTIONS = [
    (n, o, v)
    for n in TRAINED
    for o in LOSSES[n].option_types
    for v in OTHER.get((n, o), ["other"])
    if (n, o) not in ELSEWHERE
]


@pytest.mark.parametrize(("name", "option", "value"), OPTIONS)
def test_no_option_is_inert(name: str, option: str, value: str):
    """Every declared option changes the value somewhere, and its written default nowhere."""
    default = LOSSES[name].defaults[option]
    if value == "other":
        more_of_it = (default or 0) + (1 if isinstance(default, int) else 0.5)
        value = str(not default).lower() if isinstance(default, bool) else f"{more_of_it:g}"
    more = ["log_input=false"] if (name, option) == ("poisson_nll", "eps") else []
    for use in uses(name):
        pred, target, batch = data(name, use)
        call = (pred.abs() + 0.01, target, batch) if more else (pred, target, batch)
        if target is not None and name == "poisson_nll":
            call = (call[0], target + 2, batch)
        plain, changed = run(name, use, call, *more), run(name, use, call, *more, f"{option}={value}")
        if changed.isfinite() and (name, option) not in INEXACT:
            against_the_textbook(text_of(name, use, *more, f"{option}={value}"), call)
        assert plain != changed
        shown = (
            {None: "none", True: "true", False: "false"}.get(default, default)
            if not isinstance(default, float | int) or isinstance(default, bool)
            else f"{default:g}"
        )
        assert run(name, use, call, *more, f"{option}={shown}") == plain


@each_use
def test_unreduced_values_have_the_declared_axes(name: str, use: str):
    loss = LOSSES[name]
    pred, target, batch = data(name, use)
    if not loss.result_axes:
        assert any(d.code == "E205" for d in losslang.check(text_of(name, use, "reduction=none")))
        return
    values = run(name, use, (pred, target, batch), "reduction=none")
    axes = loss.result_axes
    shape = tuple(pred.shape)
    if loss.edge is not None:
        beyond = sum(loss.edge(**loss.defaults))
        shape = (*shape[:2], *(size - beyond for size in shape[2:]))
    wanted = {
        ("b", "*space"): shape[:1] + shape[2:],
        ("b", "c"): shape[:2],
        ("b",): shape[:1],
        ("b", "c", "*space"): shape,
        ("*b",): shape[:-1],
        ("*event",): shape[:1] + shape[2:] if use == "softmax" else shape,
        ("*shape",): shape,
    }[axes]
    assert tuple(values.shape) == wanted
    if loss.reduction in ("mean", "sum") and not loss.skips:
        total = run(name, use, (pred, target, batch))
        torch.testing.assert_close(getattr(values, loss.reduction)(), total, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(
        run(name, use, (pred, target, batch), "reduction=sum"), values.sum(), rtol=1e-12, atol=1e-12
    )


@each_use
def test_memory_layout_is_no_matter(name: str, use: str):
    pred, target, batch = data(name, use)
    loss = compiled(text_of(name, use))
    wanted = value_and_gradient(loss, (pred, target, batch))

    def strided(value: Any) -> Any:
        return torch.stack([value, value], -1)[..., 0] if isinstance(value, Tensor) else value

    layouts = [(strided(pred), strided(target), {k: strided(v) for k, v in batch.items()})]
    assert not layouts[0][0].is_contiguous()
    if pred.ndim == 4:
        layouts.append((pred.contiguous(memory_format=torch.channels_last), target, batch))
    for call in layouts:
        value, grad = value_and_gradient(loss, call)
        torch.testing.assert_close(value, wanted[0], rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(grad, wanted[1], rtol=1e-12, atol=1e-12)


@each_use
def test_types(name: str, use: str):
    """Double in, double out; float in, float out."""
    for dtype in (torch.float32, torch.float64):
        value, grad = value_and_gradient(compiled(text_of(name, use)), data(name, use, dtype=dtype))
        assert value.dtype == grad.dtype == dtype


@pytest.mark.parametrize(("name", "use"), [(n, u) for n, u in BY_LOGITS if u == "softmax" or not u])
def test_softmax_over_one_channel_is_refused(name: str, use: str):
    pred, target, batch = data(name, use, shape=(3, 1, 2, 3))
    one = target[:, :1] if target.ndim == pred.ndim else target
    with pytest.raises(losslang.LossError, match="E508"):
        run(name, use, (pred[:, :1], one, batch))


@each_use
def test_functional_transforms(name: str, use: str):
    """torch.func.grad and vmap over stacked calls, on a module that has never been called."""
    calls = [data(name, use, seed=seed) for seed in (0, 1)]
    loss = compiled(text_of(name, use))
    pred, target, batch = calls[0]
    found = torch.func.grad(lambda p: loss(p, target, **batch))(pred)
    torch.testing.assert_close(found, value_and_gradient(loss, calls[0])[1], rtol=1e-12, atol=1e-12)
    preds = torch.stack([c[0] for c in calls])
    fixed = {k: v for k, v in batch.items() if not isinstance(v, Tensor)}
    names = [k for k in batch if k not in fixed]
    others = [torch.stack([c[2][k] for c in calls]) for k in names]
    targets = () if target is None else (torch.stack([c[1] for c in calls]),)

    def one(p: Tensor, *rest: Tensor) -> Tensor:
        own = rest[len(targets) :]
        return loss(p, rest[0] if targets else None, **fixed, **dict(zip(names, own, strict=True)))

    both = torch.func.vmap(one)(preds, *targets, *others)
    torch.testing.assert_close(
        both, torch.stack([loss(p, t, **{**b, **fixed}) for p, t, b in calls]), rtol=1e-12, atol=1e-12
    )
    each = torch.func.vmap(torch.func.grad(one))(preds, *targets, *others)
    second = (calls[1][0], calls[1][1], {**calls[1][2], **fixed})
    torch.testing.assert_close(each[1], value_and_gradient(loss, second)[1], rtol=1e-12, atol=1e-12)


@each_use
def test_meta_tensors(name: str, use: str):
    pred, target, batch = data(name, use)
    loss = compiled(text_of(name, use))
    value = loss(
        pred.to("meta"),
        None if target is None else target.to("meta"),
        **{k: v.to("meta") for k, v in batch.items()},
    )
    assert value.shape == ()
    assert value.device.type == "meta"


# -------------------------------------------------------------------- what is infinite, and what is no number

WAYS = ("whole", "blocks")
each_way = pytest.mark.parametrize("way", WAYS)
BY_SIGMOID = [(n, u) for n, u in USES if u == "sigmoid"]
BY_SOFTMAX = [(n, u) for n, u in BY_LOGITS if u != "sigmoid"] + [("dfl", ""), ("listwise_softmax", "")]
RULED_OUT = -1e6
"""A logit of which the probability is 0 too, also under heavy tails."""


@contextmanager
def on_its_way(way: str) -> Iterator[None]:
    """Whole, or in blocks of three elements: in closed form where a loss has one."""
    with cut(3) if way == "blocks" else nullcontext():
        yield


def without_a_class(name: str, use: str) -> tuple[Call, Tensor]:
    """A call in which some places have a class that the truth gives nothing, and where that is in the prediction."""
    pred, target, batch = data(name, use)
    hidden = torch.zeros_like(pred, dtype=torch.bool)
    if name in ("dfl", "listwise_softmax"):
        hidden[..., -1] = True
        target = target.floor().clamp(max=pred.shape[-1] - 2) if name == "dfl" else target * ~hidden
        return (pred, target, batch), hidden
    last = pred.shape[1] - 1
    hidden[:, last] = torch.rand(pred[:, last].shape, generator=torch.Generator().manual_seed(9)) > 0.5
    if form_of(name, use) == "indices":
        target = torch.where(hidden.any(1) & (target == last), 0, target)
    elif name == "kd":
        target = target.masked_fill(hidden, -math.inf)
    elif target is not None:
        target = target.masked_fill(hidden, 0.0)
        target = target / target.sum(1, keepdim=True) if form_of(name, use) == "soft" else target
    return (pred, target, batch), hidden


@each_way
@pytest.mark.parametrize(("name", "use"), BY_SOFTMAX, ids=[f"{n}-{u}" for n, u in BY_SOFTMAX])
def test_a_class_that_is_ruled_out(name: str, use: str, way: str):
    """A logit of -inf is one of probability 0: what has no share of the truth costs nothing, 0 log 0 is 0."""
    (pred, target, batch), hidden = without_a_class(name, use)
    for loss_text in (text_of(name, use), text_of(name, use, "reduction=sum")):
        with on_its_way(way):
            loss = compiled(loss_text)
            found = value_and_gradient(loss, (pred.masked_fill(hidden, -math.inf), target, batch))
            wanted = value_and_gradient(loss, (pred.masked_fill(hidden, RULED_OUT), target, batch))
        assert wanted[0].isfinite()
        torch.testing.assert_close(found[0], wanted[0], rtol=1e-9, atol=1e-12)
        torch.testing.assert_close(found[1], wanted[1], rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize(("name", "use"), [(n, u) for n, u in BY_SOFTMAX if form_of(n, u) == "indices"])
def test_a_class_that_is_ruled_out_of_a_distribution(name: str, use: str):
    """The same with soft labels."""
    (pred, target, batch), hidden = without_a_class(name, use)
    soft = torch.nn.functional.one_hot(target, 4).movedim(-1, 1).double()
    soft = (0.8 * soft + 0.2 / 4).masked_fill(hidden, 0.0)
    soft = soft / soft.sum(1, keepdim=True)
    loss = compiled(text_of(name, use))
    found = value_and_gradient(loss, (pred.masked_fill(hidden, -math.inf), soft, batch))
    wanted = value_and_gradient(loss, (pred.masked_fill(hidden, RULED_OUT), soft, batch))
    torch.testing.assert_close(found[0], wanted[0], rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(found[1], wanted[1], rtol=1e-8, atol=1e-12)


@each_way
@pytest.mark.parametrize(("name", "use"), BY_SOFTMAX, ids=[f"{n}-{u}" for n, u in BY_SOFTMAX])
def test_a_true_class_that_is_ruled_out(name: str, use: str, way: str):
    """The bound of the loss, or inf; no NaN."""
    pred, target, batch = data(name, use)
    axis = -1 if name == "dfl" else 1
    with on_its_way(way):
        values = [
            compiled(text_of(name, use))(pred.index_fill(axis, torch.tensor(1), size), target, **batch)
            for size in (-30.0, -math.inf)
        ]
    assert not values[1].isnan()
    assert values[1] >= values[0] - 1e-6 or name == "boundary"


@each_way
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("name", "use"), BY_SIGMOID, ids=[f"{n}-{u}" for n, u in BY_SIGMOID])
def test_infinite_logits_that_are_right(name: str, use: str, dtype: torch.dtype, way: str):
    """+inf where t = 1 and -inf where t = 0 is what +1e4 and -1e4 are; a score between them is nearly right."""
    pred, target, batch = data(name, use, dtype=dtype)
    sign = 2 * target - 1 if target is not None and target.shape == pred.shape else pred.sign()
    places = (torch.rand(pred.shape, generator=torch.Generator().manual_seed(9)) > 0.5) & (sign.abs() == 1)
    assert places.any()
    with on_its_way(way):
        loss = compiled(text_of(name, use))
        found, wanted = (
            value_and_gradient(loss, (torch.where(places, sign * size, pred).to(dtype), target, batch))
            for size in (math.inf, 1e4)
        )
    assert wanted[0].isfinite()
    torch.testing.assert_close(found[0], wanted[0], rtol=1e-6, atol=1e-12)
    torch.testing.assert_close(found[1], wanted[1], rtol=1e-5, atol=1e-9)


@each_way
@pytest.mark.parametrize(("name", "use"), BY_SIGMOID, ids=[f"{n}-{u}" for n, u in BY_SIGMOID])
def test_infinite_logits_that_are_wrong(name: str, use: str, way: str):
    """The bound of the loss, or inf; no NaN."""
    pred, target, batch = data(name, use)
    sign = 1 - 2 * target if target is not None and target.shape == pred.shape else pred.sign()
    values: list[Tensor] = []
    for size in (30.0, math.inf):
        logits = pred.clone()
        logits[:, 1] = (sign * size)[:, 1].nan_to_num(size)
        with on_its_way(way):
            values.append(compiled(text_of(name, use))(logits, target, **batch))
    assert not values[1].isnan()
    assert values[1] >= values[0] - 1e-6 or name == "boundary"


@each_way
@each_use
def test_nan_is_never_swallowed(name: str, use: str, way: str):
    """A NaN that counts is a NaN in the total, or E507 where values are looked at; in every operand of floats."""
    pred, target, batch = data(name, use)
    operands = {"pred": pred, "target": target, **batch}
    # The true class of the first place, and the first element.
    first = (
        (0, int(target[0, 0, 0]), 0, 0)
        if form_of(name, use) == "indices" and pred.ndim == 4
        else (0,) * pred.ndim
    )
    for operand, value in operands.items():
        if not isinstance(value, Tensor) or not value.is_floating_point() or operand in LAYERS:
            continue
        if (name, operand) == ("silog", "target"):
            continue  # a depth that is NaN is one that is not known
        spoiled = value.clone()
        spoiled[first[: value.ndim] if operand == "pred" else (0,) * value.ndim] = math.nan
        others = {**operands, operand: spoiled}
        given = {k: v for k, v in others.items() if k not in ("pred", "target")}
        with on_its_way(way):
            total = compiled(text_of(name, use), validate="never")(others["pred"], others["target"], **given)
            assert total.isnan(), (operand, total)
            try:
                seen = compiled(text_of(name, use), validate="always")(
                    others["pred"], others["target"], **given
                )
            except losslang.LossError:
                continue
            assert seen.isnan(), (operand, seen)
