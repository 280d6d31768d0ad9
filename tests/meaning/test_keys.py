"""Log keys (LANGUAGE.md 5): what loggers take, one key a term, the same everywhere."""

from __future__ import annotations

import pickle
import posixpath
import re
import warnings

import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from programs import TEXTS_THAT_MEAN_SOMETHING

import losslang
from losslang.diagnostics.source import Source
from losslang.meaning import keys
from losslang.meaning.checker import analyze
from losslang.meaning.overrides import settable
from losslang.meaning.program import Meaning
from losslang.registry import current_registry
from losslang.runtime.checkpoint import Lock, understood, written

KEY = re.compile(r"[A-Za-z0-9_./-]+")
# tensorboardX 2.6.5, tensorboardX/summary.py, _INVALID_TAG_CHARACTERS, as TensorFlow: these become `_`.
TENSORBOARD_REPLACES = re.compile(r"[^-/\w\.]")
# mlflow 3.17.2, mlflow/utils/validation.py; a name is also a normal path. tests/libraries/test_loggers.py asks both.
MLFLOW_TAKES = re.compile(r"^[/\w.\- :]*$")


def meaning(text: str) -> Meaning | None:
    return analyze(Source(text)).meaning


def names(text: str) -> list[str]:
    found = meaning(text)
    assert found is not None
    return [term.name for term in found.terms]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("ce@seg + metric(zero_one)@cls", "ce.seg zero_one.cls"),
        ("l1@aux[0] + l1@aux[-1] + l1@aux[1:3].x", "l1.aux.0 l1.aux.-1 l1.aux.1-3.x"),
        ("mse@aux[:2] + mse@aux[1:] + mse@aux[:]", "mse.aux.0-2 mse.aux.1-end mse.aux.0-end"),
        ("pred.loss_cls + pred.aux[0] + pred._x_", "pred.loss_cls pred.aux.0 pred._x_"),
        ("1 - ssim + sqrt(mse)", "1 ssim sqrt_mse"),
        ("(1 - ssim) + 2*(1 - jaccard(softmax))", "1-ssim 1-jaccard_softmax"),
        ("mse*l1 + mse/l1 + mse**0.5", "mse_l1 mse_l1_2 mse_0.5"),
        ("sqrt(quantile(q=[1]) + quantile(q=[0.1, 0.5]))", "sqrt_quantile_q_1_quantile_q_0.1_0.5"),
        ("mean(batch.d_fake) + 1e-5 + ce", "mean_batch.d_fake 1e-5 ce"),
        ("sqrt(l1@aux[0]) + mse@(pred.mu, batch.noise)", "sqrt_l1_aux.0 mse"),
        ("gan = bce(sigmoid) + (1 - ssim); rec = l1/mse; 0.1*gan + rec", "gan/bce gan/1-ssim rec"),
        ("mse + mse + mse", "mse mse_2 mse_3"),
        ("mse_2 = l1; mse + mse + mse_2", "mse mse_3 mse_2"),
        ("ce = l1; cross_entropy + ce", "ce_2 ce"),
        ("_a_ = l1; _a_ + _a_", "_a_ _a__2"),
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore")
def test_keys(text: str, wanted: str) -> None:
    assert " ".join(names(text)) == wanted


@settings(max_examples=600, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(TEXTS_THAT_MEAN_SOMETHING)
def test_loggers_take_every_key_and_no_two_terms_share_one(text: str) -> None:
    found = meaning(text)
    assume(found is not None)
    assert found is not None
    listed = [term.name for term in found.terms]
    assert len(set(listed)) == len(listed)
    for key in listed:
        assert KEY.fullmatch(key), key
        assert not TENSORBOARD_REPLACES.search(key)
        assert MLFLOW_TAKES.match(key)
        assert posixpath.normpath(key) == key
        assert not key.startswith(("/", ".."))
    # What can be set is a key and an option, told apart by the last dot.
    for setting in settable(found.terms, current_registry()):
        assert keys.split(setting)[0] in listed


def test_detail_terms_overrides_and_messages_use_the_same_keys() -> None:
    text = "rec = l1@depth; ce@seg + (1 - dice(softmax)@seg) + rec"
    loss = losslang.compile(
        text, overrides={"ce.seg.weight": 2, "ce.seg.label_smoothing": 0.1, "rec.weight": 3}
    )
    pred = {"seg": torch.randn(2, 3, 4), "depth": torch.randn(2, 5)}
    target = {"seg": torch.randint(3, (2, 4)), "depth": torch.randn(2, 5)}
    out = loss.detail(pred, target)
    assert out.names == ("ce.seg", "1-dice_softmax_seg", "rec")
    assert out.weights.tolist() == [2, 1, 3]
    assert tuple(loss.terms(pred, target)) == out.names
    assert str(loss.meaning).split(": ")[0] == "ce.seg"
    with pytest.raises(losslang.LossError, match=r"the target of `ce\.seg`"):
        loss({**pred}, {**target, "seg": target["seg"] + 7})
    with pytest.raises(losslang.LossError, match="`rec`"):
        loss(pred, {**target, "depth": torch.randn(2, 6)})
    with pytest.raises(losslang.LossError, match=r"did you mean `ce\.seg\.weight`"):
        losslang.compile(text, overrides={"ce@seg.weight": 2})


def test_a_repair_names_the_loss_and_not_the_key() -> None:
    with pytest.warns(losslang.LossWarning):
        loss = losslang.compile("rec = dice@seg; rec")
    with pytest.raises(losslang.LossError, match=r"`rec` reads probabilities[\s\S]*write `dice\(sigmoid\)`"):
        loss({"seg": 3 * torch.randn(2, 1, 8)}, torch.ones(2, 1, 8))


OLD = {
    "ce@seg.weight": "ce.seg.weight",
    "l1@aux[0].weight": "l1.aux.0.weight",
    "1 - ssim.weight": "1-ssim.weight",
    "sqrt(l1@a).weight": "sqrt_l1_a.weight",
    "gan/bce@seg.label_smoothing": "gan/bce.seg.label_smoothing",
    "gan/mse/l1.weight": "gan/mse_l1.weight",
    "mse/l1.weight": "mse_l1.weight",
    "alpha": "alpha",
    "ce@seg_2.weight": "ce.seg_2.weight",
}  # fmt: skip


@pytest.mark.parametrize("old", OLD)
def test_a_key_of_the_first_version_is_understood_in_what_was_saved_with_it(old: str) -> None:
    assert keys.modern(old, ["gan"]) == OLD[old]
    assert keys.modern(OLD[old], ["gan"]) == OLD[old]


def test_a_pickle_of_the_first_version_keeps_its_overrides() -> None:
    text = "gan = bce(sigmoid)@d + mse/l1; ce@seg + gan"
    new = {"ce.seg.weight": 2.0, "gan/bce.d.label_smoothing": 0.1, "gan/mse_l1.weight": 5.0}
    loss = losslang.compile(text, overrides=new)
    rebuild, (record,), _ = loss.__reduce__()  # type: ignore[misc]
    old = {"ce@seg.weight": 2.0, "gan/bce@d.label_smoothing": 0.1, "gan/mse/l1.weight": 5.0}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = rebuild({**record, "overrides": old})
    assert again.fingerprint == loss.fingerprint
    assert pickle.loads(pickle.dumps(again)).fingerprint == loss.fingerprint


def test_a_lock_of_the_first_version_names_only_the_terms_that_changed() -> None:
    """Neither a key that is spelled otherwise now nor a term under another name is another loss."""
    old = Lock("old", {"ce.seg": "1*ce", "mse/l1": "1*a", "dice": "1*dice", "gone": "1*dice"})
    new = Lock("new", {"ce.seg": "2*ce", "mse_l1": "1*a", "seg": "1*dice", "more": "1*l1"})
    assert old.changes(new, current_registry()) == ("ce.seg: weight 1 -> 2", "gone: gone", "more: added")
    text = written(Lock("f", {"gan/ce@seg": "1*x", "1 - ssim": "1*y", "l1@a[0]": "1*z"}))
    lock = understood(text)
    assert lock is not None
    assert list(lock.terms) == ["gan/ce.seg", "1-ssim", "l1.a.0"]
