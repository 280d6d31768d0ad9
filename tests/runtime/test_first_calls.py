"""What the first call of a process loads, and what the calls behind it build anew."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from contextlib import nullcontext
from itertools import accumulate
from pathlib import Path
from typing import Any

import pytest
import torch
from cutting import cut
from torch import Tensor

import losslang
from losslang.runtime.binding import Binding
from losslang.runtime.closed.tape import TapeBuilder
from losslang.runtime.compiled import _understood
from losslang.runtime.kinds import Model

ROOT = Path(__file__).parents[2]


def said_by(code: str) -> str:
    """What a fresh process prints."""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("text", ["ce", "balance(ce, dice(softmax))", "each(ce, over=[pred, target])"])
def test_a_program_is_compiled_without_the_compiler_of_torch(text: str) -> None:
    """Its decorators import torch._dynamo and sympy: most of the time of an import, for what nobody compiles."""
    loaded = "[name for name in ('torch._dynamo', 'sympy') if name in sys.modules]"
    assert said_by(f"import sys, losslang; losslang.compile({text!r}); print({loaded})") == "[]"


@pytest.mark.parametrize("before", ["enable", "disable"])
def test_an_import_leaves_the_collection_of_garbage_as_it_was(before: str) -> None:
    code = f"import gc; gc.{before}(); import losslang; losslang.compile('ce'); print(gc.isenabled())"
    assert said_by(code) == str(before == "enable")


def test_what_an_import_makes_is_old_at_once() -> None:
    """The next collection would go through all of it, and find next to nothing."""
    code = "import gc, torch, losslang; gc.collect(); losslang.compile; print(len(gc.get_objects(0)) < 1000)"
    assert said_by(code) == "True"


def test_an_import_leaves_frozen_what_was_frozen() -> None:
    code = "import gc, losslang; gc.freeze(); losslang.compile; print(gc.get_freeze_count() > 1000)"
    assert said_by(code) == "True"


SIZES = (
    "pred, target = torch.randn(1, 3, 1024, 1024, requires_grad=True), torch.randint(3, (1, 1024, 1024))\n"
)
LARGE = {
    "0.5*bce(sigmoid) + dice(smooth=1)": "target = torch.rand(1, 3, 1024, 1024).round()\n",
    "ce": "",
    "ce + dice": "",
    "ce(ignore_index=2, class_weight=[1, 2, 3]) + dice": "",
    "focal(softmax, mask=batch.m)": "batch['m'] = torch.rand(1, 1024, 1024) > 0.5\n",
}


@pytest.mark.parametrize("text", LARGE)
def test_a_large_call_runs_without_the_compiler_of_torch(text: str) -> None:
    """Tensors without data would ask it for their shapes."""
    code = (
        f"import sys, torch, losslang\nbatch = {{}}\n{SIZES}{LARGE[text]}loss = losslang.compile({text!r})\n"
    )
    code += "for _ in range(2):\n    loss(pred, target, **batch).backward()\n"
    code += "print([name for name in ('torch._dynamo', 'sympy') if name in sys.modules])"
    assert said_by(code) == "[]"


# -------------------------------------------------------------------- what later calls find made


class Made:
    """Counts what is bound and written down as a tape."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch):
        self.programs = self.tapes = 0
        bind, write = Binding.done, TapeBuilder.done

        def bound(binding: Binding) -> Any:
            self.programs += 1
            return bind(binding)

        def written(builder: TapeBuilder, *results: int, into: str = "") -> Any:
            self.tapes += 1
            return write(builder, *results, into=into)

        monkeypatch.setattr(Binding, "done", bound)
        monkeypatch.setattr(TapeBuilder, "done", written)

    def by(self, call: Callable[[], Any]) -> tuple[int, int]:
        """How many programs and tapes a call makes."""
        before = self.programs, self.tapes
        call()
        return self.programs - before[0], self.tapes - before[1]


def images(channels: int, *sizes: int, samples: int = 2) -> tuple[Tensor, Tensor]:
    torch.manual_seed(sum(sizes))
    pred = torch.randn(samples, channels, *sizes, requires_grad=True)
    return pred, torch.randint(channels, (samples, *sizes)) if channels > 1 else torch.rand(
        pred.shape
    ).round()


def value_and_gradient(loss: Any, pred: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    value = loss(pred, target)
    return value.detach(), torch.autograd.grad(value, pred)[0]


PROGRAMS = {
    "0.5*bce(sigmoid) + dice(smooth=1)": 1,
    "ce": 15,
    "ce + dice": 15,
    "dice(softmax, ignore_index=255)": 15,
    "mse(sigmoid)": 1,
    "ce(reduction=topk(frac=0.1))": 3,
}


@pytest.mark.parametrize("is_cut", [False, True], ids=["whole", "in blocks"])
@pytest.mark.parametrize("text", PROGRAMS)
def test_a_later_call_builds_nothing_anew(text: str, is_cut: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first one checks values, the second labels alone: what computes is the same, of a new size too."""
    _understood.cache_clear()
    with cut(60) if is_cut else nullcontext():
        loss, made, channels = losslang.compile(text), Made(monkeypatch), PROGRAMS[text]
        first = made.by(lambda: value_and_gradient(loss, *images(channels, 20, 30)))
        second = made.by(lambda: value_and_gradient(loss, *images(channels, 20, 30)))
        assert first[0] > 0
        # A look at labels may hand a call on to checks of its own, which the second is the first to need.
        assert second[0] <= 1
        assert second[1] == 0
        for sizes in ((20, 30), (31, 17), (25, 40), (19, 23)):
            assert made.by(lambda sizes=sizes: value_and_gradient(loss, *images(channels, *sizes))) == (0, 0)


@pytest.mark.parametrize("is_cut", [False, True], ids=["whole", "in blocks"])
@pytest.mark.parametrize("text", PROGRAMS)
def test_a_new_size_has_the_numbers_of_its_own(text: str, is_cut: bool) -> None:
    with cut(60) if is_cut else nullcontext():
        shared, channels = losslang.compile(text), PROGRAMS[text]
        for sizes in (
            (20, 30),
            (31, 17),
            (13, 13),
            (17, 31),
            (25,),
            (40,),
            (1, 20),
            (20, 1),
            (16, 16),
            (14, 16, 17),
        ):
            if text.startswith("dice") or "bce" in text or len(sizes) > 1 or channels > 1:
                data = images(channels, *sizes, samples=3)
                found = value_and_gradient(shared, *data)
                _understood.cache_clear()
                torch.testing.assert_close(found, value_and_gradient(losslang.compile(text), *data))


def test_the_classes_of_a_call_are_its_own() -> None:
    """15 classes after 13 and 20 of them: a label of 17 is none."""
    loss = losslang.compile("ce + dice")
    for classes in (13, 20, 15, 17):
        pred, labels = images(classes, 30, 30)
        for _ in range(2):
            loss(pred, labels)
        labels[0, 0, 0] = classes
        with pytest.raises(losslang.LossError, match=f"classes 0 to {classes - 1}"):
            loss(pred, labels)


@pytest.mark.parametrize("is_cut", [False, True], ids=["whole", "in blocks"])
def test_a_size_that_does_not_fit_is_refused_after_those_that_do(is_cut: bool) -> None:
    with cut(60) if is_cut else nullcontext():
        loss = losslang.compile("ce + dice")
        for _ in range(3):
            loss(*images(15, 20, 30))
        pred, labels = images(15, 31, 17)
        for wrong in (labels[:1], labels[:, :30], labels.mT, labels[..., :1], labels.flatten(1)):
            with pytest.raises(losslang.LossError, match=r"\(2, 15, 31, 17\)"):
                loss(pred, wrong)
        torch.testing.assert_close(loss(pred, labels), losslang.compile("dice(softmax) + ce")(pred, labels))


def test_a_model_of_primes_says_of_which_sizes_a_product_is_made() -> None:
    model = Model([(2, 21, 512, 640), (2, 512, 640)], frozenset({21, 26}))
    small = model.shape((2, 21, 512, 640))
    assert small[:2] == (2, 21)
    assert all(size > 13 and 26 % size for size in small[2:])
    assert model.shape_behind((small[0] * small[2], small[1], small[3], 1)) == (1024, 21, 640, 1)


# -------------------------------------------------------------------- half precision


def most_allocated(call: Callable[[], Any]) -> int:
    """The bytes that a call has allocated at most at once."""
    with torch.profiler.profile(
        activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True
    ) as seen:
        call()
    events: Any = seen.profiler
    sizes = [event.nbytes() for event in events.kineto_results.events() if event.name() == "[memory]"]
    return max(accumulate(sizes))


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize(
    "text", ["0.5*bce(sigmoid) + dice(smooth=1)", "focal(sigmoid)", "mse", "ce", "ce + dice"]
)
def test_large_logits_in_half_precision_are_never_copied_to_floats_as_a_whole(
    text: str, kind: torch.dtype
) -> None:
    """A block at a time, and to the numbers of floats: beside the gradient there is room for no copy."""
    pred, target = images(8 if "ce" in text else 1, 256, 256, samples=4)
    logits = pred.detach().to(kind).requires_grad_()
    with cut(2**14):
        loss = losslang.compile(text)
        for _ in range(3):
            value, gradient = value_and_gradient(loss, logits, target)
        assert gradient.dtype == kind
        assert most_allocated(lambda: value_and_gradient(loss, logits, target)) < 4 * logits.numel()
        wanted, slope = value_and_gradient(loss, logits.detach().float().requires_grad_(), target)
    torch.testing.assert_close(value, wanted)
    torch.testing.assert_close(gradient, slope.to(kind))
