"""Programs against the oracle of tests/reference.py: values to 1e-10 and gradients to 1e-8, in float64.

Three sources of programs: a list by hand that uses every option, programs that hypothesis writes
(any family of losses, over any layout of data), and both again for the plan before the passes and
after each of them.
"""

from __future__ import annotations

import pytest
import torch
from _oracle import HAND, compare, compiled, data, program, same
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from reference import evaluate, meaning_of

import losslang
from losslang.plan.lower import lower
from losslang.plan.passes import PASSES
from losslang.plan.plan import verify
from losslang.registry import current_registry
from losslang.runtime.program import whole


@pytest.mark.parametrize(("text", "layout"), HAND, ids=lambda v: v)
def test_every_option_by_hand(text: str, layout: str):
    compare(text, layout)


def test_there_are_many_of_them():
    assert len(set(HAND)) == len(HAND) > 60


@pytest.mark.parametrize(("text", "layout"), HAND, ids=lambda v: v)
def test_every_pass_keeps_the_mathematics(text: str, layout: str):
    """The literal plan is the oracle's number, and no pass changes it, forward or backward."""
    pred, target, batch = data(layout)
    registry = current_registry()
    plan = verify(lower(meaning_of(text)))
    wanted = evaluate(text, pred, target, batch).total
    for rewrite in (lambda plan: plan, *PASSES):
        plan = verify(rewrite(plan))
        program = whole(plan, registry, validate=False)
        found = plan.total(program.run(pred, target, batch, {}, {}))
        name = getattr(rewrite, "__name__", "?")
        same(found, wanted, pred, f"{text} after {name}\n{plan}")


@pytest.mark.parametrize(("text", "layout"), HAND[::3], ids=lambda v: v)
def test_detail_and_terms_are_the_terms(text: str, layout: str):
    pred, target, batch = data(layout)
    loss = compiled(text)
    wanted = evaluate(text, pred, target, batch)
    out = loss.detail(pred, target, **batch)
    values = dict(zip(out.names, out.values.tolist(), strict=True))
    assert set(values) <= set(wanted.values)
    factors = dict(zip(out.names, out.weights.tolist(), strict=True))
    for term in (term for term in loss.meaning.terms if term.factor is not None and not term.metric):
        # The reference multiplies by what stands before a term; `detail` has that in the weight.
        values[term.name] *= factors[term.name] / term.weight
    for name, value in values.items():
        assert value == pytest.approx(float(wanted.values[name].detach()), rel=1e-10, abs=1e-12)
    assert float(out.contributions.sum()) == pytest.approx(float(wanted.total.detach()), rel=1e-10, abs=1e-12)
    parts = loss.terms(pred, target, **batch)
    torch.testing.assert_close(
        sum(parts.values(), torch.zeros((), dtype=torch.float64)), wanted.total, rtol=1e-10, atol=1e-12
    )


CHANNEL_MASKS = [
    ("bce(sigmoid, class_weight=complement, mask=batch.m3)", "seg"),
    ("dice(softmax, class_weight=balanced, mask=batch.mc)", "seg"),
]


@pytest.mark.parametrize(("text", "layout"), CHANNEL_MASKS)
def test_weights_of_the_batch_under_a_mask_of_channels(text: str, layout: str):
    compare(text, layout)


@settings(
    max_examples=160, deadline=None, derandomize=True, database=None,
    phases=(Phase.explicit, Phase.generate), suppress_health_check=list(HealthCheck),
)  # fmt: skip
@given(program(), st.integers(0, 5))
def test_programs_by_hypothesis(written: tuple[str, str], seed: int):
    text, layout = written
    meaning = losslang.meaning.checker.analyze(losslang.diagnostics.source.Source(text))
    if meaning.meaning is None:
        # Metrics alone learn nothing; nothing else that is written here is wrong.
        assert {d.code for d in meaning.errors} <= {"E306"}, (text, [d.message for d in meaning.errors])
        return
    compare(text, layout, seed)


@settings(
    max_examples=40, deadline=None, derandomize=True, database=None,
    phases=(Phase.explicit, Phase.generate), suppress_health_check=list(HealthCheck),
)  # fmt: skip
@given(program(), st.integers(0, 5))
def test_passes_by_hypothesis(written: tuple[str, str], seed: int):
    """Every pass leaves the value and the gradient of a written program where they were."""
    text, layout = written
    checked = losslang.meaning.checker.analyze(losslang.diagnostics.source.Source(text))
    if checked.meaning is None:
        return
    pred, target, batch = data(layout, seed)
    registry = current_registry()
    plan = verify(lower(checked.meaning))
    first = whole(plan, registry, validate=True)
    wanted = plan.total(first.run(pred, target, batch, {}, {}))
    for rewrite in PASSES:
        plan = verify(rewrite(plan))
        program = whole(plan, registry, validate=False)
        same(
            plan.total(program.run(pred, target, batch, {}, {})),
            wanted,
            pred,
            f"{text} after {rewrite.__name__}",
        )


# -------------------------------------------------------------------- structure: heads, lists, const


def test_heads_and_groups():
    seg, target, _ = data("seg")
    edge, edges, _ = data("bin", 1)
    pred = {"seg": seg, "aux": [{"edge": edge}, {"edge": 2 * edge}]}
    text = (
        "(ce + dice)@seg + 0.3*bce(sigmoid)@(pred.aux[-1].edge, target.edge)"
        " + 0.1*dice(sigmoid)@(pred.aux[0].edge, target.edge)"
    )
    both = {"seg": target, "edge": edges}
    found, wanted = compiled(text)(pred, both), evaluate(text, pred, both).total
    same(found, wanted, seg, text)
    same(found, wanted, edge, text)
    # One tensor as the target is used whole by every head.
    text = "(ce + dice)@seg"
    same(compiled(text)(pred, target), evaluate(text, pred, target).total, seg, text)


def test_names_keep_their_meaning_inside_a_group():
    """A name bound outside a group is about what stood there."""
    seg, target, _ = data("seg")
    other, others, _ = data("seg", 3)
    pred, both = {"a": seg, "b": other}, {"a": target, "b": others}
    text = "whole = ce@a; (whole + dice(softmax))@b"
    found = compiled(text)(pred, both)
    wanted = evaluate("ce@a", pred, both).total + evaluate("dice(softmax)@b", pred, both).total
    torch.testing.assert_close(found, wanted, rtol=1e-12, atol=0)


def test_losses_of_a_model():
    pred = {
        k: torch.tensor(v, dtype=torch.float64, requires_grad=True) for k, v in {"a": 1.5, "b": 2.5}.items()
    }
    total = compiled("pred.a + 2*pred.b - 0.5*pred.a")(pred)
    assert total.item() == 1.5 + 5.0 - 0.75
    total.backward()
    assert (float(pred["a"].grad), float(pred["b"].grad)) == (0.5, 2.0)


def test_const_tensors_and_numbers():
    pred, target, batch = data("seg")
    const = {"cw": torch.tensor([1.0, 2.0, 0.5], dtype=torch.float64), "k": 0.25}
    text = "const.k*ce(class_weight=const.cw, reduction=mean) + bce(sigmoid, pos_weight=const.cw)"
    found = compiled(text, const=const)(pred, target, **batch)
    same(found, evaluate(text, pred, target, batch, const).total, pred, text)


def test_every_tensor_that_wants_a_gradient_gets_one():
    """Weights, targets and operands too, as the oracle has it."""
    pred, target, batch = data("tab")
    target = target.clone().requires_grad_()
    batch["w1"].requires_grad_()
    batch["w3"] = batch["w3"].requires_grad_()
    # BUGS: the first call converts a variance that wants a gradient to a float, and torch warns.
    variance = batch["var"].requires_grad_()
    text = "batch.w3*mse + gaussian_nll(variance=batch.var) + exp(-batch.s)*l1(weight=batch.w3)"
    loss = compiled(text)
    loss(pred, target, **batch | {"var": variance.detach()})
    found, wanted = loss(pred, target, **batch), evaluate(text, pred, target, batch).total
    for tensor in (pred, target, batch["w3"], variance):
        a = torch.autograd.grad(found, tensor, retain_graph=True)[0]
        b = torch.autograd.grad(wanted, tensor, retain_graph=True)[0]
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12)
        assert a.abs().sum() > 0
