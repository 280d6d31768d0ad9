"""Messages, aloud: the text that goes in, the repair that comes out, and that the repair works."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import losslang
from losslang.diagnostics.elsewhere.options import FACTORS, NEEDLESS, RENAMED
from losslang.meaning.foreign import in_our_words
from losslang.meaning.uses.misplaced import IN_BRACKETS
from losslang.primitives.primitive import Loss
from losslang.registry import current_registry
from losslang.syntax import tree
from losslang.vocabulary import UNIVERSAL

REPAIRS = [
    # calls of other libraries, with their options
    ("nn.CrossEntropyLoss()", "E140", "ce"),
    ("nn.CrossEntropyLoss(label_smoothing=0.1)", "E140", "ce(label_smoothing=0.1)"),
    ("nn.CrossEntropyLoss(weight=torch.tensor([1., 2.]))", "E140", "ce(class_weight=[1, 2])"),
    ("nn.CrossEntropyLoss(weight=class_weights, reduction='sum')", "E140",
     "ce(class_weight=const.class_weights, reduction=sum)"),
    ("torch.nn.BCEWithLogitsLoss(pos_weight=torch.tensor([2.0]))", "E140", "bce(sigmoid, pos_weight=[2])"),
    ("monai.losses.DiceLoss(softmax=True)", "E140", "dice(softmax)"),
    ("smp.losses.DiceLoss('multiclass', smooth=1)", "E140",
     "dice(softmax, smooth=2, batch=true, empty=zero)"),
    ("smp.losses.FocalLoss('multiclass')", "E140", "focal(sigmoid)"),
    ("monai.losses.DiceLoss(softmax=True, jaccard=True)", "E140", "jaccard(softmax, like=monai)"),
    ("kornia.losses.FocalLoss(gamma=3)", "E140", "focal(softmax, gamma=3)"),
    ("kornia.losses.CharbonnierLoss()", "E140", "pseudo_huber(like=kornia)"),
    ("mmdet.GIoULoss()", "E140", "giou(like=mmdet)"),
    ("DiceFocalLoss(softmax=True)", "E101", "focal(sigmoid) + dice(softmax)"),
    ("GeneralizedDiceFocalLoss(softmax=True)", "E101", "focal(sigmoid) + gdl(softmax)"),
    ("FocalLoss(use_softmax=True, weight=[1, 2, 3])", "E101", "1/3*focal(softmax, class_weight=[1, 2, 3])"),
    ("FocalLoss(use_softmax=True)", "E101", "focal(softmax)/3"),
    ("FocalLoss(include_background=False)", "E101", "3/2*focal(sigmoid, class_weight=[0, 1, 1])"),
    ("FocalLoss(include_background=False, weight=[2, 3])", "E101", "3/2*focal(sigmoid, class_weight=[0, 2, 3])"),
    ("DiceLoss(jaccard=True, smooth_nr=0.2, smooth_dr=0.2)", "E101", "jaccard(sigmoid, smooth=0.1)"),
    ("DiceLoss(smooth_nr=0, smooth_dr=1e-5)", "E101", "dice(sigmoid, smooth=0, eps=1e-5)"),
    ("DiceCELoss(softmax=True, include_background=False, weight=[1, 2, 3])", "E101",
     "ce(class_weight=[1, 2, 3]) + dice(softmax, background=false, class_weight=[2, 3])"),
    ("DiceLoss(include_background=0)", "E101", "dice(sigmoid, background=false)"),
    ("DiceLoss(include_background=false)", "E101", "dice(sigmoid, background=false)"),
    ("DC_and_CE_loss", "E101", "ce + dice(softmax, like=nnunet)"),
    ("DC_and_CE_loss(weight_ce=2, weight_dice=0.5)", "E101", "2*ce + 0.5*dice(softmax, like=nnunet)"),
    ("focal(softmax, like=monai)", "E209", "focal(softmax)/3"),
    ("nn.KLDivLoss()", "E140", "kl(exp, reduction=mean)/3"),
    ("F.mse_loss(pred, target)", "E140", "mse"),
    ("F.l1_loss(pred.mu, batch.noise)", "E140", "l1@(pred.mu, batch.noise)"),
    ("torch.mean((pred - target)**2)", "E140", "mean((pred - target)**2)"),
    ("nn.MSELoss", "E107", "mse"),
    ("DiceLoss(softmax=True, include_background=False)", "E101", "dice(softmax, background=false)"),
    ("DiceLoss(sigmoid=True, squared_pred=True, to_onehot_y=False)", "E101", "dice(sigmoid, squared=true)"),
    ("DiceCELoss(softmax=True, lambda_dice=0.5, lambda_ce=2)", "E101", "2*ce + 0.5*dice(softmax)"),
    ("DiceCELoss(sigmoid=True)", "E101", "bce(sigmoid) + dice(sigmoid)"),
    ("FocalLoss(use_softmax=True, gamma=3)", "E101", "focal(softmax, gamma=3)"),
    ("FocalLoss(loss_weight=2)", "E101", "2*focal(sigmoid)"),
    ("CrossEntropyLoss(use_sigmoid=True)", "E101", "bce(sigmoid)"),
    ("BinaryCrossentropy(from_logits=True)", "E101", "bce(sigmoid)"),
    ("CategoricalCrossentropy(from_logits=True, label_smoothing=0.1)", "E101", "ce(label_smoothing=0.1)"),
    ("LovaszLoss(mode='binary')", "E101", "lovasz_hinge"),
    ("Tversky(alpha=0.3, beta=0.7)", "E101", "tversky(identity, beta=0.3, alpha=0.7)"),
    ("CircleLoss(m=0.25)", "E101", "circle(margin=0.25)"),
    ("SoftBCEWithLogitsLoss(smooth_factor=0.05)", "E101", "bce(sigmoid, label_smoothing=0.1)"),
    ("SSIMLoss(win_size=7, loss_weight=2)", "E101", "2*(1 - ssim(window=7))"),
    ("SSIMLoss(kernel_type='uniform', win_size=7)", "E101", "1 - ssim(kernel=box, window=7)"),
    ("OhemCrossEntropy(ignore_label=255)", "E101", "ce(reduction=ohem, ignore_index=255)"),
    # options
    ("dice(sigmoid=True)", "E201", "dice(sigmoid)"),
    ("ce(softmax=True)", "E201", "ce(softmax)"),
    ("focal(use_sigmoid=True)", "E201", "focal(sigmoid)"),
    ("dice(activation='sigmoid')", "E201", "dice(sigmoid)"),
    ("bce(from_logits=True)", "E201", "bce(sigmoid)"),
    ("ce(loss_weight=0.4)", "E201", "0.4*ce"),
    ("quantile(weight=2.3)", "E202", "2.3*quantile"),
    ("tweedie(p=1)", "E202", "poisson_nll"),
    ("tweedie(p=2)", "E202", "gamma_nll"),
    ("charbonnier(like=kornia)", "E208", "pseudo_huber(like=kornia)"),
    ("eiou(like=mmdet)", "E208", "extended_iou(like=mmdet)"),
    # words
    ("ce(seg)", "E101", "ce@seg"),
    ("ce(seg, label_smoothing=0.1)", "E101", "ce(label_smoothing=0.1)@seg"),
    ("dice(logits)", "E101", "dice(sigmoid)"),
    ("ce(logits)", "E101", "ce"),
    # tensors and losses in the place of an activation
    ("kd(batch.teacher)", "E103", "kd(target=batch.teacher)"),
    ("kd(batch.teacher, temperature=4)", "E103", "kd(target=batch.teacher, temperature=4)"),
    ("l1(batch.valid)", "E103", "l1(mask=batch.valid)"),
    ("l1(batch.loss_weight)", "E103", "l1(weight=batch.loss_weight)"),
    ("mse(pred.mu)", "E103", "mse@(pred.mu, target)"),
    ("mse(pred.a, target.b)", "E103", "mse@(pred.a, target.b)"),
    ("ce(logits, labels)", "E103", "ce"),
    ("dice(pred, target)", "E103", "dice(sigmoid)"),
    ("dice(softmax, pred, target)", "E103", "dice(softmax)"),
    ("softmax(ce)", "E103", "ce(softmax)"),
    ("softmax(dice(smooth=1))", "E103", "dice(softmax, smooth=1)"),
    ("log_softmax(pred)", "E343", "nll(log_softmax)"),
    ("softmax(pred)", "E343", "dice(softmax)"),
    # percentages and options behind the call
    ("50%*ce", "E002", "0.5*ce"),
    ("12.5 % * ce", "E002", "0.125*ce"),
    ("0,5*ce", "E012", "0.5*ce"),
    ("ce@seg(ignore_index=255)", "E003", "ce(ignore_index=255)@seg"),
    ("dice(sigmoid)(smooth=1)", "E003", "dice(sigmoid, smooth=1)"),
    ("(ce + 2*dice)(ignore_index=255)", "E003", "(ce(ignore_index=255) + 2*dice(ignore_index=255))"),
    # a list that Python makes, inside of a call
    ("BCEWithLogitsLoss(pos_weight=torch.tensor([3.0]))", "E140", "bce(sigmoid, pos_weight=[3])"),
    ("CrossEntropyLoss(weight=torch.tensor([1., 3.]))", "E140", "ce(class_weight=[1, 3])"),
    ("bce(sigmoid, pos_weight=torch.tensor([3.0]))", "E140", "bce(sigmoid, pos_weight=[3])"),
    # a loss with a word before it
    ("masked_mse(mask=mask)", "E101", "mse(mask=batch.mask)"),
    ("masked_l1", "E101", "l1(mask=batch.mask)"),
    ("masked_bce(valid=v)", "E101", "bce(sigmoid, mask=batch.v)"),
    ("weighted_mse(weight=w)", "E101", "mse(weight=batch.w)"),
    ("kld(mu, logvar)", "E101", "kl_normal@(pred.mu, pred.logvar)"),
    ("mse + 10*gradient_penalty", "E101", "pred.gradient_penalty"),
    ("KLDivLoss(reduction='batchmean')", "E101", "kd(temperature=1)"),
    # operands that are missing
    ("triplet_margin_loss(margin=0.3, p=2)", "E304",
     "triplet_margin_loss(margin=0.3, p=2)@(pred.anchor, pred.positive, pred.negative)"),
    ("triplet@emb", "E304", "triplet@(pred.emb.anchor, pred.emb.positive, pred.emb.negative)"),
    ("triplet@(pred.a, pred.p)", "E304", "triplet@(pred.a, pred.p, pred.negative)"),
    ("kl_normal", "E304", "kl_normal@(pred.mu, pred.logvar)"),
    ("gaussian_nll(full=true)", "E304", "gaussian_nll(full=true, variance=batch.variance)"),
    ("linear_ce", "E304", "linear_ce(head=const.head)"),
    # language models
    ("LabelSmoother", "E101", "ce(channels=last, label_smoothing=0.1)"),
    ("ForCausalLMLoss", "E101", "ce(channels=last)"),
    ("causal_lm_loss", "E101", "ce(channels=last)"),
    ("kd(alpha=.5)", "E201", "0.5*kd"),
    ("l1(mask=target.valid)@depth", "E331", "l1(mask=target.valid)@(pred.depth, target.depth)"),
    ("l1(mask=target.valid)@depth", "E331", "l1(target=target.values, mask=target.valid)@depth"),
]  # fmt: skip
"""A text, the code of its one mistake, and a whole program that the repair offers."""

PIECES = [
    ("dice(sigmoid, include_background=0)", "E201", "include_background=0", "background=false"),
    ("dice(sigmoid, smooth_dr=1)", "E201", "smooth_dr=1", "smooth=1e-5, eps=0.99999"),
    ("ce(dim=-1)", "E201", "dim=-1", "channels=last"),
    ("ce(axis=1)", "E201", "axis=1", "channels=first"),
    ("circle(m=0.25)", "E201", "m=0.25", "margin=0.25"),
    ("kd(teacher=batch.t)", "E201", "teacher=batch.t", "target=batch.t"),
    ("ce(ignore_label=255)", "E201", "ignore_label=255", "ignore_index=255"),
    ("dice(sigmoid, include_background=False)", "E201", "include_background=False", "background=false"),
    ("dice(sigmoid, smooth_nr=1)", "E201", "smooth_nr=1", "smooth=1"),
    ("ce(smoothing=0.1)", "E201", "smoothing=0.1", "label_smoothing=0.1"),
    ("ce(valid_mask=m)", "E201", "valid_mask=m", "mask=batch.m"),
    ("kd(tau=2)", "E201", "tau=2", "temperature=2"),
    ("cldice(sigmoid, iter_=3)", "E201", "iter_=3", "iters=3"),
    ("0,3*dice(sigmoid)", "E012", "0,3", "0.3"),
    ("ce(mask=valid)", "E101", "mask=valid", "mask=batch.valid"),
    ("ce(weight=w)", "E101", "weight=w", "weight=batch.w"),
    ("ce(class_weight=w)", "E101", "class_weight=w", "class_weight=const.w"),
    ("ce(avg_factor=n)", "E101", "avg_factor=n", "avg_factor=batch.n"),
    ("l1(target=x)", "E101", "target=x", "target=batch.x"),
    ("ce(mask=target != 255)", "E142", "mask=target != 255", "ignore_index=255"),
    ("ce(mask=target.seg != -1)@a", "E142", "mask=target.seg != -1", "ignore_index=-1"),
    ("ce(mask=target >= 0)", "E142", "mask=target >= 0", "ignore_index=-1"),
    ("ce(mask=target > 3)", "E142", "mask=target > 3", "mask=batch.valid"),
    ("dssim(kernel=box, sigma=2)", "E205", "kernel=box", "kernel=gaussian"),
    ("dssim(padding=reflect)", "E202", "padding=reflect", "padding=same"),
    ("dssim(kernel_type=uniform)", "E201", "kernel_type=uniform", "kernel=box"),
    ("dssim(padding_mode=zeros)", "E201", "padding_mode=zeros", "padding=zeros"),
    ("ce(weight=[1, 2])", "E202", "weight=[1, 2]", "class_weight=[1, 2]"),
    ("ce(reduction=avg)", "E101", "reduction=avg", "reduction=mean"),
    ("alpha*ce", "E101", "alpha", "batch.alpha"),
    ("l1(batch.valid)@depth", "E103", "l1(batch.valid)", "l1(mask=batch.valid)"),
    (
        "(ce + dice)(ignore_index=255)@seg",
        "E003",
        "(ce + dice)(ignore_index=255)",
        "(ce(ignore_index=255) + dice(ignore_index=255))",
    ),
    ("5%*dice(sigmoid)", "E002", "5%", "0.05"),
    # values in quotes
    ("dice(sigmoid, smooth='1')", "E202", "smooth='1'", "smooth=1"),
    ("ce(ignore_index='255')", "E202", "ignore_index='255'", "ignore_index=255"),
    ("dice(sigmoid, batch='true')", "E202", "batch='true'", "batch=true"),
    ("ghm_c(sigmoid, momentum='0.75')", "E202", "momentum='0.75'", "momentum=0.75"),
    ("ce(class_weight=['1', 2])", "E202", "'1'", "1"),
    ("ce(mask='valid')", "E202", "mask='valid'", "mask=batch.valid"),
    ("ce(mask='batch.valid')", "E202", "mask='batch.valid'", "mask=batch.valid"),
    ("ce(mask=1)", "E202", "1", "batch.valid"),
    ("ce(avg_factor=[1, 2])", "E202", "[1, 2]", "batch.n"),
    ("ce(class_weight=2)", "E202", "2", "const.w"),
    # a word for a mask that multiplies
    ("mse*mask", "E101", "mse*mask", "mse(mask=batch.mask)"),
    ("0.5*ce@seg*valid", "E101", "ce@seg*valid", "ce(mask=batch.valid)@seg"),
    (
        "ce + token_mask*kd(target=batch.t)",
        "E101",
        "token_mask*kd(target=batch.t)",
        "kd(target=batch.t, mask=batch.token_mask)",
    ),
    # functions of torch
    ("clamp(mse, 0, 1)", "E101", "clamp(mse, 0, 1)", "clip(mse, 0, 1)"),
    ("mean(clamp(pred, min=0))", "E101", "clamp(pred, min=0)", "max(pred, 0)"),
    ("mean(clamp(pred, max=5))", "E101", "clamp(pred, max=5)", "min(pred, 5)"),
    ("mean(clamp(pred, min=-1, max=1))", "E101", "clamp(pred, min=-1, max=1)", "clip(pred, -1, 1)"),
    ("mean(relu(1 - pred))", "E101", "relu(1 - pred)", "max(1 - pred, 0)"),
    ("mean(square(pred - target))", "E101", "square(pred - target)", "(pred - target)**2"),
    (
        "mean(logsigmoid(pred.a - pred.b))",
        "E101",
        "logsigmoid(pred.a - pred.b)",
        "-softplus(-(pred.a - pred.b))",
    ),
    ("maximum(mse, 1)", "E101", "maximum(mse, 1)", "max(mse, 1)"),
    ("mean(pow(pred, 3))", "E101", "pow(pred, 3)", "pred**3"),
    ("ce*stop_gradient(mse)", "E101", "stop_gradient(mse)", "detach(mse)"),
    ("mean(torch.clamp(pred, 0, 1))", "E140", "torch.clamp(pred, 0, 1)", "clip(pred, 0, 1)"),
    # too many tensors
    ("mse@(pred.a, target, batch.w)", "E304", "mse@(pred.a, target, batch.w)", "mse@(pred.a, target)"),
    # options that have nothing to work on
    (
        "ce(channels=last) + kd(target=batch.t, ignore_index=-100)",
        "E205",
        "ignore_index=-100",
        "mask=batch.valid",
    ),
    ("l1(ignore_index=255)", "E205", "ignore_index=255", "mask=batch.valid"),
    ("mse(class_weight=[1, 2])", "E205", "class_weight=[1, 2]", "weight=const.w"),
    ("l1(class_weight=const.c)", "E205", "class_weight=const.c", "weight=const.c"),
    ("focal(softmax, background=false)", "E205", "background=false", "class_weight=[0, 1, 1]"),
    ("focal(softmax, classes=[1, 2])", "E205", "classes=[1, 2]", "class_weight=[0, 1, 1]"),
    ("ce(background=false)", "E205", "background=false", "class_weight=[0, 1, 1]"),
    ("ce(pos_weight=3)", "E205", "pos_weight=3", "class_weight=[1, 3]"),
    ("focal(softmax, pos_weight=3)", "E205", "pos_weight=3", "class_weight=[1, 3]"),
    ("bce(softmax, pos_weight=const.w)", "E205", "pos_weight=const.w", "class_weight=const.w"),
    ("ce(pos_weight=balanced)", "E205", "pos_weight=balanced", "class_weight=balanced"),
    # options of language models
    (
        "ce(avg_factor=num_items_in_batch)",
        "E101",
        "avg_factor=num_items_in_batch",
        "avg_factor=batch.num_items_in_batch",
    ),
    ("ce(num_items_in_batch=n)", "E201", "num_items_in_batch=n", "avg_factor=batch.n"),
    ("kd(target=teacher)", "E101", "target=teacher", "target=batch.teacher"),
    ("kl(softmax, log_target=True)", "E201", "log_target=True", "target=exp(target)"),
    ("ce(axis=-1)", "E201", "axis=-1", "channels=last"),
    ("ce(padding_idx=0)", "E201", "padding_idx=0", "ignore_index=0"),
    ("ce(channels_last=true)", "E201", "channels_last=true", "channels=last"),
]
"""A text, the code of its one mistake, the part of it that is wrong, and what the repair offers for it."""


def only(text: str) -> tuple[str, str]:
    """The code and the repair of the one mistake of a text."""
    (found,) = [mistake for mistake in losslang.check(text) if mistake.is_error]
    return found.code, found.fix


def is_clean(text: str) -> bool:
    return not any(mistake.is_error for mistake in losslang.check(text))


@pytest.mark.parametrize(("text", "code", "repair"), REPAIRS, ids=[text for text, _, _ in REPAIRS])
def test_a_repair_is_a_program(text: str, code: str, repair: str) -> None:
    found, fix = only(text)
    assert (found, f"`{repair}`" in fix) == (code, True), fix
    assert is_clean(repair)


@pytest.mark.parametrize(("text", "code", "wrong", "repair"), PIECES, ids=[text for text, _, _, _ in PIECES])
def test_a_repair_takes_the_place_of_what_is_wrong(text: str, code: str, wrong: str, repair: str) -> None:
    found, fix = only(text)
    assert (found, f"`{repair}`" in fix) == (code, True), fix
    assert is_clean(text.replace(wrong, repair))


@pytest.mark.parametrize(
    ("text", "bound"),
    [
        ("alpha*ce", "alpha = 0.5;"),
        ("ce + lam*dice(sigmoid)@b", "lam = 0.5;"),
        ("mse**k", "k = 0.5;"),
        ("max(ce, floor)", "floor = 0.5;"),
        ("focal(sigmoid, gamma=g)", "g = 2;"),
        ("dice(sigmoid, smooth=s)", "s = 1e-5;"),
    ],
)
def test_a_number_is_bound_above(text: str, bound: str) -> None:
    code, fix = only(text)
    assert (code, f"`{bound}`" in fix) == ("E101", True), fix
    assert is_clean(f"{bound} {text}")


@pytest.mark.parametrize(
    ("text", "code", "says"),
    [
        ("ce(class_weight=None)", "E202", "leave `class_weight` out"),
        ("ce@(pred[:, :-1], target[:, 1:])", "E016", "before the call: `loss(pred[:, :-1], target[:, 1:])`"),
        ("ce(shift=1)", "E201", "before the call, `loss(pred[:, :-1], target[:, 1:])`"),
        ("ForCausalLMLoss", "E101", "before the call, `loss(pred[:, :-1], target[:, 1:])`"),
        ("ce@seg-head", "E101", "if `seg-head` is one key, no path can hold its minus: call it `seg_head`"),
        ("(ce + dice)@a.seg-head", "E101", "call it `seg_head` in the model"),
        ("l1(mask=batch.is-valid)", "E101", "call it `is_valid` in the model"),
        ("ce@seg - head", "E101", "not in losslang"),
        ("mask*l1", "E101", "`l1(mask=batch.mask)`"),
        ("z_loss", "E101", "docs/writing-a-loss.md registers one of your own"),
        (
            "triplet(batch.a, positive=batch.p, negative=batch.n)",
            "E103",
            "in the order `pred, positive, negative`",
        ),
    ],
)
def test_what_is_said_where_no_text_repairs_it(text: str, code: str, says: str) -> None:
    found, fix = only(text)
    assert (found, says in fix) == (code, True), fix


WORDS = [
    ("dice if mask", "if", "there are no conditions"),
    ("ce if epoch > 5 else dice", "if", "there are no conditions"),
    ("ce and dice", "and", "terms are added: `ce + dice`"),
    ("0.5 * ce plus dice", "plus", "terms are added"),
    ("ce with mask", "with", "options stand in brackets"),
    ("ce for x", "for", "there are no loops"),
    ("import losslang", "import", "a loss line runs no Python"),
]


@pytest.mark.parametrize(("text", "word", "says"), WORDS, ids=[text for text, _, _ in WORDS])
def test_a_word_of_another_language_is_no_factor(text: str, word: str, says: str) -> None:
    (found,) = losslang.check(text)
    assert found.code == "E141"
    assert text[slice(*found.span)] == word
    assert says in found.fix
    assert "*if" not in found.fix


def test_options_are_those_that_the_loss_takes_nearest_first() -> None:
    code, fix = only("ce(foo=1)")
    assert (code, fix) == (
        "E201",
        "it takes `label_smoothing`, `reduction`, `mask`, `ignore_index`, `weight`, ...: "
        "`losslang show ce` lists all",
    )
    assert only("l1(foo=1)")[1].startswith("it takes `reduction`, `mask`, `weight`, `avg_factor`, `channels`")
    assert only("ce(smoothing_labels=1)")[1].startswith("it takes `label_smoothing`")


@pytest.mark.parametrize("loss", current_registry().all(Loss), ids=lambda loss: loss.name)
def test_no_option_is_offered_that_is_refused(loss: Loss) -> None:
    """What a list of options offers has a meaning for the loss: E205 would refuse what has none."""
    for name in ("xyz", "bckground", "weigth", "pos_wieght", "emtpy", "bacth", "class_wieght", "ignore_idx"):
        for mistake in losslang.check(f"{loss.name}({name}=1)"):
            if mistake.code != "E201":
                continue
            offered = [word for word in mistake.fix.split("`")[1::2] if word.isidentifier()]
            for option in offered:
                found = [d.code for d in losslang.check(f"{loss.name}({option}=batch.x)")]
                assert not {"E201", "E205"} & set(found), (loss.name, name, option)


@pytest.mark.parametrize(
    ("text", "at", "says"),
    [
        ("ce(class_weight=[1, -2, 1])", "-2", "`class_weight` of `ce` cannot be `-2`"),
        ("ce(class_weight=[1, true])", "true", "cannot be `true`"),
        ("quantile(q=[0.1, 2])", "2", "`q` of `quantile` cannot be `2`"),
        ("rec = l1\n-ce", "-", "`rec` is named, but nothing says what to train on"),
        ("a = l1; b = ce\n  + a", "+", "`b` is named"),
    ],
)
def test_the_caret_stands_at_what_is_wrong(text: str, at: str, says: str) -> None:
    (found, *_) = losslang.check(text)
    assert text[slice(*found.span)] == at
    assert says in found.message
    assert "list, must be a list" not in f"{found.message}, {found.caret}"


@pytest.mark.parametrize(
    "reduction", ["ohem", "topk", "topk(frac=0.1)", "hard_negative", "logsumexp", "wmean"]
)
def test_a_reduction_that_chooses_is_kept_beside_a_factor(reduction: str) -> None:
    loss = "bce(sigmoid, " if "negative" in reduction else "ce("
    code, fix = only(f"{loss}reduction={reduction}, avg_factor=batch.n)")
    assert (code, fix.partition(":")[0]) == ("E206", "leave out `avg_factor`")
    assert is_clean(f"{loss}reduction={reduction})")


def test_a_sum_beside_a_factor_goes() -> None:
    assert only("ce(reduction=sum, avg_factor=batch.n)")[1].startswith("leave out `reduction`")
    assert is_clean("ce(avg_factor=batch.n)")


@pytest.mark.parametrize(
    ("text", "lost"),
    [
        ("FocalLoss(gamma=3, normalized=True)", "`normalized` has no counterpart"),
        ("nn.CTCLoss(blank=1)", "not in losslang"),
        ("smp.losses.FocalLoss('binary', reduced_threshold=0.5, normalized=True)", "have no counterpart"),
        ("BinaryCrossEntropy(smoothing=0.1)", "`smoothing` has no counterpart"),
    ],
)
def test_what_is_lost_is_said(text: str, lost: str) -> None:
    assert lost in only(text)[1]


# ------------------------------------------------------------------- every option of other libraries


VALUES = ["true", "false", "none", "1", "0.5", "-1", "'sum'", "[1, 2]", "x", "batch.x", "'multiclass'"]


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(
        ["DiceLoss", "DiceCELoss", "CrossEntropyLoss", "FocalLoss", "BCEWithLogitsLoss", "TverskyLoss", "IoULoss",
         "BinaryCrossentropy", "HuberLoss", "CircleLoss", "LovaszLoss", "GeneralizedDiceFocalLoss", "KLDivergence"]
    ),
    st.dictionaries(
        st.sampled_from(["sigmoid", "softmax", "weight", "reduction", "mode", "from_logits", "axis", *RENAMED,
                         *FACTORS, *NEEDLESS]),
        st.sampled_from(VALUES),
        max_size=3,
    ),
)  # fmt: skip
def test_every_call_in_our_words_is_a_program(name: str, options: dict[str, str]) -> None:
    """It parses, and every option that it has is one of the loss: only a value may be wrong, as it was there."""
    inside = ", ".join(f"{option}={value}" for option, value in options.items())
    call = losslang.parse(f"{name}({inside})").result
    assert isinstance(call, tree.Call)
    ours = in_our_words(call, current_registry())
    codes = {mistake.code for mistake in losslang.check(ours) if mistake.is_error}
    assert not {"E201", "E203"} & codes


@pytest.mark.parametrize("text", ["l1(target=[1, 2])", "dice(sigmoid, target='a')", "focal(gamma=[1, 2])"])
def test_a_list_or_a_text_is_no_tensor(text: str) -> None:
    assert only(text)[0] in ("E311", "E202")


# ------------------------------------------------------------------- tensors


X, Y = torch.randn(4, 3), torch.randint(3, (4,))
MAPS, MASKS = torch.randn(2, 1, 8, 8), (torch.rand(2, 1, 8, 8) > 0.5).float()
ROWS = torch.randn(6, 4)

TENSORS: list[tuple[str, Callable[[losslang.Loss], object], str, str]] = [
    ("ce", lambda loss: loss(pred=X, target=Y), "E501", "`loss(pred, target)`"),
    ("ce", lambda loss: loss(X, target=Y), "E501", "`loss(pred, target)`"),
    ("ce", lambda loss: loss(logits=X, labels=Y), "E501", "`loss(logits, labels)`"),
    ("ce", lambda loss: loss(X, labels=Y), "E501", "`loss(pred, labels)`"),
    ("ce", lambda loss: loss.detail(pred=X, target=Y), "E501", "`loss(pred, target)`"),
    ("ce", lambda loss: loss(X), "E501", "call `loss(pred, target)`"),
    ("iou", lambda loss: loss(MAPS, MASKS), "E517", "`jaccard(sigmoid)`"),
    ("iou(sigmoid)", lambda loss: loss(MAPS, MASKS), "E517", "`jaccard(sigmoid)`"),
    ("giou", lambda loss: loss(torch.rand(2, 4, 9), torch.rand(2, 4, 9)), "E517", "`pred.movedim(1, -1)`"),
    ("contrastive(sign=batch.y)", lambda loss: loss(ROWS[:, 0], ROWS[:, 1], y=torch.ones(6)), "E504", "(6, D)"),
    ("cosine_embedding(sign=batch.y)", lambda loss: loss(ROWS[:, 0], ROWS[:, 1], y=torch.ones(6)), "E504", "(6, D)"),
    ("infonce", lambda loss: loss(ROWS, torch.randint(3, (6,))), "E504", "`supcon`"),
    ("barlow_twins", lambda loss: loss(ROWS, torch.randint(3, (6, 1))), "E504", "`supcon`"),
    ("dice(sigmoid, background=false)", lambda loss: loss(MAPS, MASKS), "E517", "`background=alone`"),
    ("unified_focal(like=monai)", lambda loss: loss(9 * MAPS, MASKS), "E507",
     "`unified_focal(sigmoid, like=monai)`"),
    ("dice(identity, smooth=1)", lambda loss: loss(9 * MAPS, MASKS), "E507", "`dice(sigmoid, smooth=1)`"),
    ("ce(mask=batch.m)", lambda loss: loss(X, Y), "E501", "`loss(pred, target, m=...)`"),
    ("ce", lambda loss: loss(X, torch.tensor([0, 1, 2, 48])), "E506", "give the prediction 49 classes"),
    ("ce", lambda loss: loss(X, torch.tensor([0, 1, 2, 255])), "E506", "is left out: `ignore_index=255`"),
    ("ce(ignore_index=255)", lambda loss: loss(X, torch.tensor([0, 3, 255, 1])), "E506",
     "is left out: `ignore_index=[3, 255]`"),
    ("ce(ignore_index=3)", lambda loss: loss(X, torch.tensor([0, 3, 255, 1])), "E506",
     "is left out: `ignore_index=[3, 255]`"),
    ("ce", lambda loss: loss(X, torch.tensor([1, 2, 3, 1])), "E506",
     "write `target=target - 1` in `ce`"),
    ("ce(mask=batch.valid)", lambda loss: loss(X, Y, vaild=Y > 0), "E501",
     "`loss(pred, target, valid=...)`: did you mean this by `vaild`?"),
    ("ce@(pred.logits, target)", lambda loss: loss({"logit": X}, Y), "E501", "did you mean `pred.logit`?"),
    ("dice(softmax, batch=true)", lambda loss: loss(X, torch.full((4,), -100)), "E506", "is left out: `ignore_index=-100`"),
    ("ce(ignore_index=-100)", lambda loss: loss(X, torch.full_like(X, -100)), "E516", "unknown: `mask=batch.valid`"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "call", "code", "says"), TENSORS, ids=[f"{t[0]}: {t[3]}" for t in TENSORS])
def test_what_a_wrong_tensor_is_told(
    text: str, call: Callable[[losslang.Loss], object], code: str, says: str
) -> None:
    with pytest.raises(losslang.LossError) as caught:
        call(losslang.compile(text))
    (found,) = caught.value.diagnostics
    assert (found.code, says in found.fix) == (code, True), found.fix


@pytest.mark.parametrize("text", ["unified_focal(like=monai)", "unified_focal(sigmoid, like=monai)"])
def test_a_preset_of_several_channels_takes_one(text: str) -> None:
    """MONAI's leaves out channel 0, unless there is no other."""
    assert losslang.compile(text)(MAPS.sigmoid(), MASKS).isfinite()


def test_a_label_is_left_out_beside_those_that_are() -> None:
    labels = torch.tensor([0, 3, 255, 1])
    assert losslang.compile("ce(ignore_index=[3, 255])")(X, labels).isfinite()
    assert losslang.compile("ce(target=target - 1)")(X, torch.tensor([1, 2, 3, 1])).isfinite()


def test_what_is_no_tensor_is_named_once() -> None:
    with pytest.raises(losslang.LossError, match=r"`batch\.n` is a str, not a tensor"):
        losslang.compile("ce(avg_factor=batch.n)")(X, Y, n="a")


def test_a_keyword_that_the_program_reads_may_have_any_name() -> None:
    loss = losslang.compile("ce(target=batch.labels)")
    assert loss(X, labels=Y) == losslang.compile("ce")(X, Y)
    assert losslang.compile("mean(pred)")(X, target=Y) == X.mean()


@pytest.mark.parametrize("name", [*IN_BRACKETS, "smooth", "gamma", "alpha", "q"])
def test_an_option_is_no_loss(name: str) -> None:
    """It is answered with a loss that has it, which is a program."""
    for text in (name, f"ce + {name}", f"metric({name}(ce)) + l1"):
        found, fix = only(text)
        assert (found, fix.startswith("it stands in the brackets of a loss: `")) == ("E103", True)
        repair = fix.split("`")[1]
        assert f"{name}=" in repair
        assert all(not d.is_error for d in losslang.check(repair))


def test_every_universal_option_has_an_example() -> None:
    """But `batch`, which is a root."""
    assert set(IN_BRACKETS) == set(UNIVERSAL) - {"batch"}


@pytest.mark.parametrize("loss", current_registry().all(Loss), ids=lambda loss: loss.name)
def test_a_loss_that_lacks_operands_is_repaired_by_its_repair(loss: Loss) -> None:
    for mistake in losslang.check(loss.name):
        if mistake.code == "E304":
            (repair,) = mistake.fix.split("`")[1::2]
            assert is_clean(repair), repair


def test_kl_without_an_activation_names_the_one_of_torch() -> None:
    (found,) = losslang.check("kl_div(reduction=batchmean)")
    assert (found.code, "`kl(exp)` if they are log-probabilities" in found.fix) == ("W301", True)
    assert losslang.check("kl(exp)") == ()
