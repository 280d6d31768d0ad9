"""Programs for the oracle of tests/reference.py: by hand, each option once, and by hypothesis; and what compares them."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from hypothesis import strategies as st
from reference import evaluate
from torch import Tensor

import losslang
from losslang.plan.passes import drop_dead_steps
from losslang.registry import current_registry
from losslang.runtime import program as programs

# -------------------------------------------------------------------- data

SHAPES = {
    "seg": (2, 3, 4, 5),
    "cls": (6, 4),
    "seg1d": (3, 3, 7),
    "seg3d": (2, 3, 2, 3, 1),  # two classes would tie in topk: p and 1 - p
    "bin": (2, 1, 4, 3),
    "tiny": (2, 3),
}


def data(layout: str, seed: int = 0) -> tuple[Any, Any, dict[str, Any]]:
    """Prediction, target and batch of a layout, such as `seg` or `seg/soft`; the prediction wants a gradient."""
    name, _, form = layout.partition("/")
    r = torch.Generator().manual_seed(seed)

    def real(*shape: int) -> Tensor:
        return torch.randn(shape, generator=r, dtype=torch.float64)

    def unit(*shape: int) -> Tensor:
        return torch.rand(shape, generator=r, dtype=torch.float64)

    def whole(high: int, shape: Any) -> Tensor:
        return torch.randint(0, high, tuple(shape), generator=r)

    if name in SHAPES:
        shape = SHAPES[name]
        b, c, *s = shape
        pred = 2 * real(*shape)
        place = (b, *s)
        indices = whole(c if c > 1 else 2, place)
        soft = torch.softmax(real(*shape), 1) if c > 1 else unit(*shape)
        target = {
            "": indices,
            "int": indices,
            "channel": indices.unsqueeze(1),
            "onehot": whole(2, shape)
            if c == 1
            else torch.nn.functional.one_hot(indices, c).movedim(-1, 1).contiguous(),
            "soft": soft,
            "bool": indices.unsqueeze(1) > 0,
            "float": (indices > 0).double(),
            "ignore": indices.masked_fill(unit(*place) < 0.3, -100),
            "ignore255": indices.masked_fill(unit(*place) < 0.3, 255),
            "ignore255float": (whole(2, shape)).double().masked_fill(unit(*shape) < 0.3, 255.0),
            "probs": soft,
            "signs": 2.0 * whole(2, shape) - 1,
            "logprobs": indices,
            "softlog": soft,
            "empty": torch.zeros_like(indices),
        }[form]
        if form == "probs":
            pred = torch.softmax(pred, 1) if c > 1 else torch.sigmoid(pred)
        if form in ("logprobs", "softlog"):
            pred = torch.log_softmax(pred, 1)
    elif name == "boxes":
        shape = {"": (5, 4), "many": (2, 3, 4)}[form]
        corner = 4 * unit(*shape[:-1], 2)
        pred = torch.cat([corner, corner + 1 + 3 * unit(*shape[:-1], 2)], -1)
        other = corner + unit(*shape[:-1], 2)
        target = torch.cat([other, other + 1 + 3 * unit(*shape[:-1], 2)], -1)
        target[..., 0, :] += 20  # one pair that does not meet
    elif name == "embed":
        shape = (5, 6)
        pred, target = real(*shape), real(*shape)
    elif name == "hidden":
        shape = {"": (6, 4), "many": (2, 3, 4), "ignore": (2, 5, 4)}[form]
        pred, target = real(*shape), whole(7, shape[:-1])
        if form == "ignore":
            target = target.masked_fill(unit(*shape[:-1]) < 0.3, -100)
    elif name == "quantiles":
        shape = (4, 5, 3)
        pred, target = real(*shape), real(4, 5)
    else:
        shape = {"vec": (7,), "tab": (5, 3), "img": (2, 3, 4, 4), "pos": (5, 3)}[name]
        pred, target = 2 * real(*shape), 2 * real(*shape)
        if name == "pos":
            pred, target = pred.abs() + 0.1, whole(5, shape).double()
    b, *rest = shape
    ranks = {"0": (b,), "1": (b, *rest[1:]), "2": (b, 1, *rest[1:]), "3": tuple(shape)}
    if len(shape) == 1:
        ranks = {"0": (b,), "3": (b,)}
    if name in ("boxes", "embed", "quantiles", "hidden"):
        ranks |= {"1": tuple(shape[:-1]), "2": (*shape[:-1], 1)}
    batch: dict[str, Any] = {f"m{k}": unit(*v) > 0.3 for k, v in ranks.items()}
    batch |= {f"w{k}": unit(*v) + 0.1 for k, v in ranks.items()}
    if len(shape) > 1:
        batch["mc"] = (torch.arange(b)[:, None] + torch.arange(shape[1])).remainder(3).gt(0)
        batch["mc"] = batch["mc"].reshape(b, shape[1], *[1] * (len(shape) - 2))
    batch |= {"s": torch.tensor(0.7, dtype=torch.float64), "divisor": torch.tensor(11.0, dtype=torch.float64)}
    batch |= {
        "var": unit(*shape) + 0.05,
        "a": real(*shape),
        "b": real(*shape),
        "cw": unit(8)[: (shape[1:] or (1,))[0]],
    }
    batch |= {"one": batch["m0"].long(), "head": real(7, shape[-1])}
    return pred.requires_grad_(), target, batch


def compiled(text: str, **more: Any) -> losslang.Loss:
    """A program whose warnings are no matter here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", losslang.LossWarning)
        return losslang.compile(text, **more)


def gradient(value: Tensor, pred: Tensor) -> Tensor:
    if not value.requires_grad:
        return torch.zeros_like(pred)
    (found,) = torch.autograd.grad(value.sum(), pred, allow_unused=True, retain_graph=True)
    return torch.zeros_like(pred) if found is None else found


def same(found: Tensor, wanted: Tensor, pred: Tensor, said: str) -> None:
    """Equal value to 1e-10, equal gradient to 1e-8."""
    torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-12, msg=lambda m: f"{said}\n{m}")
    a, b = gradient(found, pred), gradient(wanted, pred)
    scale = max(1.0, float(b.abs().max()) if b.numel() else 1.0)
    torch.testing.assert_close(a, b, rtol=1e-8, atol=1e-8 * scale, msg=lambda m: f"gradient of {said}\n{m}")


def whole_value(loss: losslang.Loss, pred: Any, target: Any, **batch: Any) -> Tensor:
    """The total as it is where torch traces: the plan as it stands, on whole tensors."""
    plan = drop_dead_steps(loss.plan, metrics=False)
    whole = programs.whole(plan, current_registry(), validate=False)
    return plan.total(whole.run(pred, target, batch, loss.const, {}))


def compare(text: str, layout: str, seed: int = 0) -> None:
    pred, target, batch = data(layout, seed)
    said = f"{text}   on {layout}, seed {seed}"
    found = compiled(text)(pred, target, **batch)
    same(found, evaluate(text, pred, target, batch).total, pred, said)


# -------------------------------------------------------------------- by hand: every option

HAND: list[tuple[str, str]] = [
    # the mission, and what one prediction agrees on
    ("0.5*bce(sigmoid) + dice(smooth=1)", "bin"),
    ("0.5*bce(sigmoid) + dice(smooth=1)", "bin/channel"),
    ("0.5*bce(sigmoid) + dice(smooth=1)", "seg"),
    ("ce + dice", "seg"),
    ("ce + dice", "seg/channel"),
    ("nll + dice", "seg/logprobs"),
    ("ce + 2*focal + tversky + jaccard", "seg"),
    ("bce + ce", "seg"),
    ("0*bce(sigmoid) + dice", "seg"),
    # ce
    ("ce", "cls"),
    ("ce", "seg3d"),
    ("ce", "seg1d/soft"),
    ("ce", "cls/onehot"),
    ("ce(ignore_index=none)", "seg/onehot"),
    ("ce", "seg/ignore"),
    ("ce(ignore_index=255)", "seg/ignore255"),
    ("ce(ignore_index=none)", "seg"),
    ("ce(label_smoothing=0.1)", "seg"),
    ("ce(label_smoothing=0.1)", "cls/soft"),
    ("ce(class_weight=[0.2, 1, 3])", "seg"),
    ("ce(class_weight=[0.2, 1, 3], label_smoothing=0.2)", "seg/ignore"),
    ("ce(class_weight=[0.2, 1, 3])", "seg/soft"),
    ("ce(class_weight=[0.2, 1, 3], weight=batch.w1, mask=batch.m0)", "seg/soft"),
    ("ce(class_weight=balanced)", "tiny/soft"),
    ("ce(class_weight=[0.2, 1, 3], reduction=mean)", "seg"),
    ("ce(class_weight=balanced)", "seg"),
    ("ce(class_weight=balanced)", "seg/ignore"),
    ("ce(class_weight=complement, mask=batch.m1)", "seg"),
    ("ce(class_weight=batch.cw)", "seg"),
    ("ce(class_weight=[1, 2, 3], weight=batch.w1)", "seg"),
    ("ce(softmax(temperature=2))", "seg"),
    ("nll(log_softmax)", "seg"),
    ("ce(identity)", "seg/probs"),
    ("ce(mask=batch.m1)", "seg/ignore"),
    ("ce(mask=batch.m0, weight=batch.w1)", "seg"),
    ("ce(mask=batch.m2)", "seg"),
    ("ce(reduction=sum) + ce(reduction=batchmean)", "seg/ignore"),
    ("ce(reduction=topk(frac=0.3))", "seg"),
    ("ce(reduction=topk(k=3), mask=batch.m1)", "seg"),
    ("ce(reduction=ohem(thresh=0.3, min_kept=5))", "seg"),
    ("ce(reduction=ohem(thresh=0.5, min_kept=2), ignore_index=255)", "seg/ignore255"),
    ("ce(reduction=ohem)", "cls"),
    ("ce(reduction=hard_negative)", "seg"),
    ("ce(reduction=hard_negative(ratio=0.5), mask=batch.m1)", "seg"),
    ("bce(sigmoid, reduction=hard_negative(ratio=1))", "bin"),
    ("focal(softmax, reduction=hard_negative)", "seg"),
    ("l1(reduction=quantile(q=0.3), mask=batch.m2)", "img"),
    ("ce(reduction=quantile)", "seg"),
    ("ce(reduction=logsumexp)", "seg"),
    ("l1(reduction=logsumexp(temperature=0.1), mask=batch.m3)", "img"),
    ("ce(reduction=topk)", "seg/ignore"),
    ("ce(avg_factor=7)", "seg"),
    ("ce(avg_factor=batch.divisor, mask=batch.m1)", "seg"),
    ("batch.w1*ce", "seg/ignore"),
    ("batch.s*ce", "seg"),
    # a factor is in no denominator
    ("batch.w1*ce(class_weight=[1, 2, 3])", "seg"),
    ("batch.s*ce(class_weight=[1, 2, 3])", "seg"),
    ("batch.w0*ce(class_weight=balanced, weight=batch.w1, mask=batch.m1)", "seg/ignore"),
    ("batch.s*mse(reduction=wmean)", "img"),
    ("mse(mask=batch.m3, reduction=mean_all)", "img"),
    ("mse(weight=batch.w3, mask=batch.m1, reduction=wmean_all)", "img"),
    ("mse(mask=batch.m3, reduction=mean_of_means)", "img"),
    ("ce(class_weight=[1, 2, 3], reduction=wmean_all)", "seg"),
    ("dice(softmax, class_weight=[1, 2, 3], empty=skip, reduction=mean_of_means)", "seg"),
    ("batch.w1*mse(reduction=wmean, weight=batch.w3, mask=batch.m0)", "img"),
    # each factor of a product lies by its own rank
    ("batch.w1*(batch.w0*bce(sigmoid))", "seg"),
    ("batch.w3*batch.w1/batch.w0*bce(sigmoid)", "seg"),
    ("batch.s*(batch.w2*(batch.w0*ce))*batch.w1", "seg"),
    ("mse(weight=batch.w0*batch.w3, reduction=wmean)", "img"),
    # weighted means
    ("mse(weight=batch.w0, reduction=wmean)", "img"),
    ("mse(weight=batch.w2, mask=batch.m1, reduction=wmean)", "img"),
    ("bce(sigmoid, class_weight=[1, 2, 3], reduction=wmean)", "seg"),
    ("bce(sigmoid, class_weight=[1, 2, 3], weight=batch.w0, mask=batch.m3, reduction=wmean)", "seg"),
    ("focal(softmax, class_weight=[1, 2, 3], weight=batch.w1, reduction=wmean)", "seg"),
    ("focal(softmax, class_weight=[1, 2, 3], reduction=wmean)", "seg/soft"),
    ("dice(softmax, class_weight=[1, 2, 3], weight=batch.w0, reduction=wmean)", "seg"),
    ("batch.w0*dice(softmax, class_weight=[2, 3], background=false, reduction=wmean)", "seg"),
    ("iou(weight=batch.w1, mask=batch.m0, reduction=wmean)", "boxes/many"),
    # the mean over the samples
    ("ce(reduction=batchmean)", "cls"),
    ("ce(reduction=batchmean, mask=batch.m0)", "cls"),
    ("kl(softmax, mask=batch.m0)", "cls/soft"),
    ("mse(reduction=batchmean, mask=batch.m0)", "vec"),
    # nll
    ("nll", "seg/logprobs"),
    ("nll + dice", "seg/softlog"),
    ("nll(weight=batch.w1, reduction=wmean, class_weight=[1, 2, 3])", "seg/logprobs"),
    ("nll(class_weight=[1, 2, 3])", "seg/logprobs"),
    ("nll(class_weight=[1, 2, 3], reduction=sum)", "seg/logprobs"),
    # bce
    ("bce", "seg/probs"),
    ("bce(sigmoid, label_smoothing=0.1)", "seg/soft"),
    ("bce(sigmoid, pos_weight=3)", "seg"),
    ("bce(sigmoid, pos_weight=3)", "bin/bool"),
    ("bce(sigmoid, pos_weight=[1, 2, 3])", "seg"),
    ("bce(sigmoid, pos_weight=balanced)", "seg"),
    ("bce(sigmoid, pos_weight=balanced, mask=batch.m3)", "seg"),
    ("bce(sigmoid, class_weight=[1, 2, 3])", "seg"),
    ("bce(sigmoid, class_weight=balanced)", "seg"),
    ("bce(softmax, class_weight=balanced)", "tiny/soft"),
    ("bce(sigmoid, pos_weight=balanced)", "seg/soft"),
    ("bce(softmax, mask=batch.m3)", "seg"),
    ("bce(sigmoid, class_weight=complement, mask=batch.m1)", "seg/onehot"),
    ("bce(sigmoid, mask=batch.m3, weight=batch.w3)", "seg"),
    ("bce(sigmoid, ignore_index=255)", "seg/ignore255"),
    ("bce(sigmoid, ignore_index=255)", "bin/ignore255float"),
    ("bce(sigmoid(temperature=3))", "bin/float"),
    ("bce(softmax)", "seg"),
    ("bce(sigmoid, target=1)", "seg"),
    ("bce(sigmoid, weight=batch.w3, mask=batch.m1, reduction=wmean)", "seg"),
    ("bce(sigmoid, pred=batch.a, target=0) + bce(sigmoid)", "seg"),
    # focal
    ("focal(sigmoid)", "seg"),
    ("focal(sigmoid, gamma=1.5, alpha=0.25)", "seg/soft"),
    ("focal(sigmoid, gamma=0)", "bin"),
    ("focal(sigmoid, pos_weight=2.5)", "bin"),
    ("focal(softmax)", "seg"),
    ("focal(softmax, gamma=0.5, alpha=0.25)", "seg"),
    ("focal(softmax, alpha=0.3, class_weight=[1, 2, 3], ignore_index=-100)", "seg/ignore"),
    ("focal(sigmoid, pos_weight=balanced, mask=batch.m3)", "seg"),
    ("focal(sigmoid, pos_weight=[1, 2, 3])", "seg/soft"),
    ("ce + focal(sigmoid, pos_weight=balanced)@(2*pred, target)", "seg"),
    ("focal(identity, alpha=0.7)", "bin/probs"),
    # regions
    ("dice(softmax, squared=true)", "seg"),
    ("dice(sigmoid, smooth=0)", "seg/empty"),
    ("dice(softmax, batch=true, background=false)", "seg"),
    ("dice(softmax, mask=batch.m1, empty=skip)", "seg/empty"),
    ("dice(softmax, empty=zero)", "seg/empty"),
    ("dice(softmax, empty=one, batch=true)", "seg/empty"),
    ("dice(sigmoid, mask=batch.m3)", "seg"),
    ("dice(softmax, weight=batch.w0)", "seg"),
    ("dice(softmax, class_weight=[1, 2, 3])", "seg"),
    ("dice(softmax, class_weight=[2, 3], background=false)", "seg"),
    ("dice(softmax, class_weight=balanced, background=false, mask=batch.m1)", "seg"),
    ("dice(softmax, ignore_index=255)", "seg/ignore255"),
    ("dice(sigmoid, batch=true)", "cls"),
    ("dice(softmax, batch=true, background=false, mask=batch.m0)", "cls"),
    # a mask of channels: partial labelling
    ("dice(softmax, mask=batch.m3)", "seg"),
    ("dice(softmax, mask=batch.mc)", "seg"),
    ("ce + dice(mask=batch.mc, background=false)", "seg"),
    ("dice(softmax, mask=batch.mc, batch=true)", "seg"),
    ("jaccard(softmax, mask=batch.mc, ignore_index=255, empty=skip)", "seg/ignore255"),
    ("tversky(exp, mask=batch.m3)", "seg/logprobs"),
    ("bce(sigmoid, mask=batch.mc, class_weight=[1, 2, 3], reduction=wmean)", "seg"),
    ("dice(softmax, reduction=topk(k=2))", "seg"),
    ("dice(softmax, reduction=sum) + dice(softmax, reduction=batchmean)", "seg3d"),
    ("jaccard(softmax, smooth=2, mask=batch.m2)", "seg1d"),
    ("tversky(sigmoid, alpha=0.3, beta=0.7, smooth=1)", "seg/soft"),
    ("focal_tversky(softmax, alpha=0.3, beta=0.7, gamma=1.3)", "seg"),
    # regression
    ("mse + half_mse + sse + rmse + l1", "img"),
    ("rmse(mask=batch.m1)", "img"),
    ("mse(mask=batch.m0, weight=batch.w1)", "img"),
    ("mse(sigmoid) + l1(tanh) + l1(relu) + mse(softplus) + mse(sigmoid(temperature=2))", "tab"),
    ("smooth_l1(beta=0.5) + smooth_l1(beta=0)", "tab"),
    ("huber(delta=0.3) + log_cosh + charbonnier(eps=0.1) + tukey(c=1.5)", "vec"),
    ("quantile(q=0.9)", "vec"),
    ("quantile(q=[0.1, 0.5, 0.9])", "quantiles"),
    ("quantile(q=[0.1, 0.5, 0.9], mask=batch.m1, weight=batch.w0)", "quantiles"),
    ("gaussian_nll(variance=batch.var)", "tab"),
    ("gaussian_nll(variance=batch.var, full=true, eps=0.3)", "tab"),
    ("gaussian_nll(variance=2)", "tab"),
    ("poisson_nll + poisson_nll(full=true)", "pos"),
    ("poisson_nll(log_input=false, full=true, eps=0.01)", "pos"),
    # margins
    ("hinge + squared_hinge(margin=2)", "seg/onehot"),
    ("hinge(mask=batch.m3)", "bin/bool"),
    ("hinge(margin=0.5)", "seg/signs"),
    ("multi_margin(margin=0.5) + multi_margin(p=2)", "cls"),
    ("multi_margin(class_weight=[1, 2, 3])", "seg"),
    ("ce + metric(zero_one)", "seg"),
    # distributions
    ("kl(softmax)", "seg/soft"),
    ("kl(softmax, reduction=mean)", "cls/soft"),
    ("js(softmax)", "seg/soft"),
    ("js(sigmoid)", "cls/soft"),
    ("kd", "seg/soft"),
    ("kd(temperature=1.5, mask=batch.m1)", "seg/soft"),
    # embeddings and boxes
    ("cosine", "embed"),
    ("cosine(mask=batch.m0)", "embed"),
    ("triplet@(pred, batch.a, batch.b)", "embed"),
    ("triplet(margin=0.2, p=1.5, swap=true)@(pred, batch.a, batch.b)", "embed"),
    ("linear_ce(head=batch.head)", "hidden"),
    ("linear_ce(head=batch.head)", "hidden/many"),
    ("linear_ce(head=batch.head)", "hidden/ignore"),
    ("linear_ce(head=batch.head, label_smoothing=0.1, softcap=3)", "hidden/ignore"),
    ("linear_ce(head=2*batch.head, mask=batch.m1, weight=batch.w0, reduction=wmean)", "hidden/ignore"),
    ("linear_ce(head=batch.head, mask=batch.m0, reduction=sum) + linear_ce(head=batch.head, reduction=batchmean)",
     "hidden/ignore"),
    ("linear_ce(head=batch.head, mask=batch.m2, reduction=topk(k=3))", "hidden/many"),
    ("batch.w1*linear_ce(head=batch.head, ignore_index=3)@(sigmoid(pred), target)", "hidden/many"),
    ("linear_ce(head=batch.head, avg_factor=batch.divisor, ignore_index=none)", "hidden/many"),
    ("iou + giou", "boxes"),
    ("iou(mode=log) + iou(mode=square)", "boxes/many"),
    ("iou(format=xywh) + giou(format=cxcywh)", "boxes"),
    ("giou(mask=batch.m1, weight=batch.w0, eps=0.1)", "boxes/many"),
    # arithmetic
    ("sqrt(mse)", "tab"),
    ("mse**0.5 + mse**2", "tab"),
    ("mse*l1 - 0.5*mse/l1", "tab"),
    ("1 - iou", "boxes"),
    ("batch.w1*(1 - iou)", "boxes"),
    ("batch.w0*(2*mse + l1)", "img"),
    ("min(mse, l1) + max(mse, l1, huber)", "tab"),
    ("exp(-mse)*l1 + log(1 + mse) + clip(mse, 0.1, 3) + tanh(l1) + softplus(l1) + sigmoid(l1)", "tab"),
    ("detach(mse)*l1 + detach(l1)", "tab"),
    ("mean(softplus(-0.1*pred)) + 2*sum(abs(pred)) + mse", "tab"),
    ("mse@(2*pred - 1, sigmoid(batch.a))", "tab"),
    ("l1@(pred[0:2], batch.a[1:3])", "img"),
    ("rec = l1; g = 0.25; rec + g*(mse + rec)", "tab"),
    ("3 + mse", "tab"),
    ("ce + dice + 3", "seg"),
    ("a = 2; b = a*3; a + b*mse + l1 - b", "tab"),
    ("metric(2) + mse", "tab"),
    ("batch.s*mse + mse/2 - -l1", "tab"),
    ("batch.w1*bce(sigmoid, weight=batch.w0, mask=batch.m3)", "seg"),
    ("batch.s*sqrt(mse)", "tab"),
]  # fmt: skip


# -------------------------------------------------------------------- programs by hypothesis

CLASS_LOSSES: dict[str, list[str]] = {
    "ce": ["label_smoothing=0.1", "class_weight=[{cw}]", "class_weight=balanced", "class_weight=complement"],
    "nll": ["class_weight=[{cw}]", "class_weight=balanced"],
    "bce": [
        "label_smoothing=0.2", "pos_weight=2", "pos_weight=[{cw}]", "pos_weight=balanced", "class_weight=[{cw}]",
        "class_weight=balanced", "class_weight=complement",
    ],
    "focal": ["gamma=1", "gamma=0.5", "alpha=0.25", "class_weight=[{cw}]", "pos_weight=1.5", "pos_weight=balanced"],
    "dice": ["smooth=1", "squared=true", "smooth=0.01"],
    "jaccard": ["smooth=1"],
    "tversky": ["alpha=0.3", "beta=0.8", "smooth=0.5"],
    "focal_tversky": ["gamma=1.5", "alpha=0.2"],
}  # fmt: skip
REGION = ("dice", "jaccard", "tversky", "focal_tversky")
REGION_OPTIONS = [
    "batch=true",
    "background=false",
    "empty=skip",
    "empty=zero",
    "empty=one",
    "class_weight=[{cw}]",
    "class_weight=balanced",
]
REAL_LOSSES: dict[str, list[str]] = {
    "mse": [], "half_mse": [], "sse": [], "l1": [], "rmse": [], "log_cosh": [],
    "smooth_l1": ["beta=0.5", "beta=0"],
    "huber": ["delta=0.4"],
    "charbonnier": ["eps=0.2"],
    "tukey": ["c=2"],
    "quantile": ["q=0.8"],
    "poisson_nll": ["full=true"],
    "gaussian_nll": ["full=true", "eps=0.4"],
}  # fmt: skip
ROW_LOSSES: dict[str, list[str]] = {
    "cosine": ["eps=0.01"],
    "triplet": ["swap=true", "p=3", "margin=0.1"],
    "iou": ["mode=log", "mode=square", "eps=0.1", "format=xywh"],
    "giou": ["eps=0.1", "format=cxcywh"],
}
REDUCTIONS = [
    "sum",
    "batchmean",
    "mean",
    "wmean",
    "wmean",
    "topk(frac=0.4)",
    "topk(k=2)",
    "quantile",
    "logsumexp",
    "mean_all",
    "wmean_all",
    "mean_of_means",
]
OWN_ACTIVATION = {"ce": "softmax", "nll": "exp"}


@st.composite
def term(draw: Any, family: str, layout: str, activation: str, plain: bool = False) -> str:
    """One use of a loss with options that its axes allow; a `plain` one takes a weight per sample."""
    own = {"class": CLASS_LOSSES, "real": REAL_LOSSES}.get(family, ROW_LOSSES)
    names = [n for n in sorted(own) if OWN_ACTIVATION.get(n, activation) == activation]
    if layout != "pos":
        names = [n for n in names if n != "poisson_nll"]
    if layout in ("embed", "boxes", "boxes/many"):
        names = ["cosine", "triplet"] if layout == "embed" else ["iou", "giou"]
    shape = SHAPES.get(layout.partition("/")[0]) or data(layout)[0].shape
    if plain:
        names = [n for n in names if n != "rmse" and not (n in REGION and len(shape) == 2)]
    name = draw(st.sampled_from(names))
    vec, one_channel = len(shape) == 1, layout.startswith("bin")
    written = {
        o.partition("=")[0]: o for o in draw(st.lists(st.sampled_from([*own[name], ""]), max_size=2)) if o
    }
    frame = "element"
    if name in ("ce", "nll", "cosine", "triplet", "iou", "giou") or (
        name == "focal" and activation != "sigmoid"
    ):
        frame = "place"
    if name == "rmse":
        frame = "number"
    if activation != "sigmoid":
        written.pop("pos_weight", None)  # E205
    if name in REGION:
        frame = "region"
        for option in draw(st.lists(st.sampled_from(REGION_OPTIONS), max_size=2)):
            written[option.partition("=")[0]] = option
        if len(shape) == 2:
            written["batch"] = "batch=true"  # E517: no space to sum over
        if one_channel:
            written.pop("background", None)  # E517: nothing would be left
        if plain:
            written.pop("batch", None)
    if one_channel:
        written.pop("class_weight", None)
    ranks = ["0", "3"] if vec else ["0", "1", "2", *(["3", "c"] if frame in ("element", "region") else [])]
    if frame == "number" and not vec:
        ranks.append("3")
    if draw(st.booleans()):
        written["mask"] = f"mask=batch.m{draw(st.sampled_from(ranks))}"
    if written.get("mask") in ("mask=batch.m3", "mask=batch.mc") and written.get("class_weight", "")[-1:] in (
        "d",
        "t",
    ):
        written.pop("mask")  # BUGS
    if "ignore" in layout:
        written["ignore_index"] = f"ignore_index={'255' if '255' in layout else '-100'}"
    weighs = {"region": ["0"], "number": [], "element": ["0", "3", *([] if vec else ["1", "2"])]}.get(
        frame, ["0", "1", "2"]
    )
    if "batch" in written:
        weighs = []
    weights = [f"batch.w{w}" for w in weighs]
    if weighs and draw(st.integers(0, 3)) == 0:
        written["weight"] = (
            f"weight={'*'.join(draw(st.lists(st.sampled_from(weights), min_size=1, max_size=2)))}"
        )
    if frame != "number" and draw(st.integers(0, 2)) == 0:
        reduction = draw(st.sampled_from([*REDUCTIONS, "avg 5", "avg n"]))
        written["reduction"] = {
            "avg 5": "avg_factor=5", "avg n": "avg_factor=batch.divisor",
        }.get(reduction, f"reduction={reduction}")  # fmt: skip
    classes = shape[1] if len(shape) > 1 else 1
    if "background" in written and "class_weight" in written:
        classes -= 1
    per_class = ", ".join(f"{0.5 + 0.5 * i:g}" for i in range(classes))
    inside = [option.format(cw=per_class) for option in written.values()]
    if name == "gaussian_nll":
        inside.append("variance=batch.var")
    if family == "class" and name not in OWN_ACTIVATION and (name == "bce" or draw(st.booleans())):
        inside.insert(0, activation)
    called = f"{name}({', '.join(inside)})" if inside else name
    if name == "triplet":
        called += "@(pred, batch.a, batch.b)"
    for factor in draw(
        st.lists(st.sampled_from(["batch.s", *(weights if frame != "number" else [])]), max_size=2)
    ):
        called = draw(st.sampled_from([f"{factor}*{called}", f"{factor}*({called})", f"{called}*{factor}"]))
    return called if plain else f"{draw(st.sampled_from(['', '', '2.5*', '0.3*']))}{called}"


@st.composite
def program(draw: Any) -> tuple[str, str]:
    """A program and the layout of the data it is for."""
    family = draw(st.sampled_from(["class", "class", "class", "real", "row"]))
    if family == "class":
        shape = draw(st.sampled_from(["seg", "cls", "tiny", "seg1d", "seg3d", "bin"]))
        activation = (
            "sigmoid" if shape == "bin" else draw(st.sampled_from(["sigmoid", "softmax", "softmax", "exp"]))
        )
        forms = ["", "onehot", "soft", "soft", "ignore255"]
        if shape == "bin":
            forms = ["", "channel", "bool", "float", "ignore255float"]
        elif activation == "exp":
            forms = ["logprobs", "softlog"]
        elif shape not in ("cls", "tiny"):
            forms += ["channel"]
        form = draw(st.sampled_from(forms))
        layout = f"{shape}/{form}" if form else shape
    elif family == "real":
        layout, activation = draw(st.sampled_from(["vec", "tab", "img", "pos"])), ""
    else:
        layout, activation = draw(st.sampled_from(["embed", "boxes", "boxes/many"])), ""

    def one(plain: bool = False) -> str:
        return draw(term(family, layout, activation, plain))

    items: list[str] = []
    if family == "class":
        ignored = "(ignore_index=255)" if "ignore255" in layout else ""
        first = {"softmax": f"0.5*ce{ignored}", "exp": "nll", "sigmoid": f"bce_with_logits{ignored}"}
        items.append(first[activation])
    else:
        items.append(one())  # something that is learned
    shapes = [
        lambda: one(),
        lambda: one(),
        lambda: one(),
        lambda: f"sqrt(1 + abs({one()}))",
        lambda: f"({one()})*({one()})",
        lambda: f"({one()})/(1 + abs({one()}))",
        lambda: f"max({one()}, {one()})",
        lambda: f"2*({one()} - 0.5*({one()}))",
        lambda: f"exp(-0.1*abs({one()}))",
        lambda: f"(1 - {one()})",
        lambda: f"metric({one()})",
        lambda: f"detach({one()})",
        lambda: f"({one()})**2",
        lambda: draw(st.sampled_from(["3", "0.25", "(1/2)", "mean(batch.w0)", "metric(2)"])),
        lambda: f"batch.w0*({one(True)} + 0.5*{one(True)})",
        lambda: f"batch.s*(batch.w0*({one(True)}))",
    ]
    items += [draw(st.sampled_from(shapes))() for _ in range(draw(st.integers(1, 3)))]
    if draw(st.booleans()):
        bound = draw(st.integers(0, len(items) - 1))
        text = f"part = {items[bound]}; " + " + ".join(
            "part" if i == bound else item for i, item in enumerate(items)
        )
    else:
        text = " + ".join(items)
    return text, layout
