"""The optimizer, pass by pass: what the plan of a program is after each, and that it still computes the same.

A file of tests/plan/passes holds a program, the tensors of a call, the literal plan, and the plan after
every pass that changes it, in the order of PASSES. `trained` is the last one without the metrics.
UPDATE_GOLDEN=1 writes what the passes give now; read the difference before you keep it.
"""

from __future__ import annotations

import itertools
import os
import random
import re
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import losslang
from losslang.diagnostics.source import Source
from losslang.meaning.checker import analyze
from losslang.meaning.meaning import NOWHERE, Input
from losslang.plan.lower import lower
from losslang.plan.passes import (
    PASSES,
    cse,
    drop_dead_steps,
    drop_masks,
    fold,
    fuse_reduction,
    optimize,
    share_sums,
    specialize,
    stable,
    summed,
)
from losslang.plan.plan import Output, Plan, Ref, Step, verify
from losslang.registry import current_registry
from losslang.runtime.program import ROOTS, whole
from losslang.tensors.targets import Site
from losslang.vocabulary import Float, Total

FILES = sorted((Path(__file__).parent / "passes").glob("*.txt"))
NAMES = [rewrite.__name__ for rewrite in PASSES]
HEADING = re.compile(r"^(input|data|plan|trained|" + "|".join(NAMES) + r"):\n", re.MULTILINE)
EXACT = {"rtol": 1e-12, "atol": 1e-12}


@dataclass(frozen=True)
class Fixture:
    """A file: what stands above its first section, and its sections by name."""

    why: str
    sections: dict[str, str]

    @staticmethod
    def read(file: Path) -> Fixture:
        why, *parts = HEADING.split(file.read_text(encoding="utf-8"))
        return Fixture(
            why, {name: text.strip("\n") for name, text in zip(parts[::2], parts[1::2], strict=True)}
        )

    def __str__(self) -> str:
        return self.why + "\n".join(f"{name}:\n{text}\n" for name, text in self.sections.items())


def planned(text: str) -> Plan:
    checked = analyze(Source(text))
    assert checked.meaning is not None, checked.diagnostics
    return lower(checked.meaning)


def stages(text: str) -> Iterator[tuple[str, Plan]]:
    """The literal plan and what it becomes, every stage by the name of its pass."""
    plan = planned(text)
    yield "plan", plan
    for rewrite in PASSES:
        plan = rewrite(plan)
        yield rewrite.__name__, plan


# ---------------------------------------------------------------------------- the tensors of a call

KINDS: dict[str, Callable[..., Tensor]] = {
    "logits": lambda *shape: (3 * torch.randn(shape, dtype=torch.float64)).requires_grad_(),
    "logprobs": lambda *shape: torch.randn(shape, dtype=torch.float64).log_softmax(1).requires_grad_(),
    "probs": lambda *shape: torch.rand(shape, dtype=torch.float64).requires_grad_(),
    "real": lambda *shape: torch.randn(shape, dtype=torch.float64),
    "softmax": lambda *shape: torch.randn(shape, dtype=torch.float64).softmax(1),
    "positive": lambda *shape: torch.rand(shape, dtype=torch.float64) + 0.1,
    "binary": lambda *shape: (torch.rand(shape) > 0.5).double(),
    "mask": lambda *shape: torch.rand(shape) > 0.4,
    "labels": lambda classes, *shape: torch.randint(classes, shape),
    "void": lambda classes, *shape: torch.randint(classes, shape).masked_fill(torch.rand(shape) > 0.7, 255),
}
"""What a line of `data` may say of a tensor; `labels` and `void` (some are 255) name the classes first."""


def call_of(lines: str) -> tuple[dict[str, Any], list[Tensor]]:
    """The roots of a call, from lines such as `pred.seg logits 2 3 4 4`, and the tensors to differentiate."""
    torch.manual_seed(11)
    roots: dict[str, Any] = {"pred": None, "target": None, "batch": {}, "const": {}}
    leaves: list[Tensor] = []
    for line in lines.splitlines():
        path, kind, *sizes = line.split()
        value = KINDS[kind](*map(int, sizes))
        leaves += [value] if value.requires_grad else []
        *above, last = path.split(".")
        owner = roots
        for key in above:
            owner[key] = owner[key] if isinstance(owner.get(key), dict) else {}
            owner = owner[key]
        owner[last] = value
    return roots, leaves


@dataclass(frozen=True)
class Result:
    """What a plan computes: every term by name, the total and its gradients."""

    terms: list[tuple[str, Tensor]]
    total: Tensor
    gradients: tuple[Tensor, ...]


def execute(plan: Plan, roots: dict[str, Any], leaves: list[Tensor], *, validate: bool = False) -> Result:
    program = whole(plan, current_registry(), validate=validate)
    values = program.run(*(roots.get(root, {}) for root in ROOTS))
    total = plan.total(values)
    gradients = torch.autograd.grad(total, leaves, allow_unused=True, materialize_grads=True)
    named = [(o.name, v) for o, v in zip(plan.outputs, values, strict=True) if o.weight or o.metric]
    return Result(named, total, gradients)


def same(found: Result, wanted: Result) -> None:
    assert [name for name, _ in found.terms] == [name for name, _ in wanted.terms]
    torch.testing.assert_close(found.total, wanted.total, **EXACT)
    torch.testing.assert_close(found.gradients, wanted.gradients, **EXACT)
    for (_, value), (_, before) in zip(found.terms, wanted.terms, strict=True):
        torch.testing.assert_close(value, before, **EXACT)


# ---------------------------------------------------------------------------- the fixtures


def printed(text: str) -> dict[str, str]:
    """The sections that a program has: a pass that changes nothing has none."""
    found: dict[str, str] = {}
    last = ""
    for name, plan in stages(text):
        if str(plan) != last:
            found[name] = last = str(plan)
    trained = str(drop_dead_steps(optimize(planned(text)), metrics=False))
    return found if trained == last else {**found, "trained": trained}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_the_plan_after_every_pass(file: Path):
    fixture = Fixture.read(file)
    given = {name: fixture.sections[name] for name in ("input", "data")}
    found = Fixture(fixture.why, {**given, **printed(given["input"])})
    if os.environ.get("UPDATE_GOLDEN"):
        file.write_text(str(found), encoding="utf-8")
    assert str(found) == file.read_text(encoding="utf-8")


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_stage_computes_the_same(file: Path):
    sections = Fixture.read(file).sections
    roots, leaves = call_of(sections["data"])
    assert leaves
    literal = execute(planned(sections["input"]), roots, leaves, validate=True)
    assert any(gradient.abs().max() > 0 for gradient in literal.gradients)
    for _, plan in stages(sections["input"]):
        same(execute(verify(plan), roots, leaves), literal)
    trained = execute(verify(drop_dead_steps(plan, metrics=False)), roots, leaves)
    torch.testing.assert_close(trained.total, literal.total, **EXACT)
    torch.testing.assert_close(trained.gradients, literal.gradients, **EXACT)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_any_two_passes_in_any_order_compute_the_same(file: Path):
    """A pass keeps the mathematics of every plan, not only of those that its neighbours leave."""
    sections = Fixture.read(file).sections
    roots, leaves = call_of(sections["data"])
    plan = planned(sections["input"])
    literal = execute(plan, roots, leaves)
    seen = {str(plan)}
    for first, second in itertools.product(PASSES, repeat=2):
        rewritten = verify(second(verify(first(plan))))
        if str(rewritten) not in seen:
            seen.add(str(rewritten))
            same(execute(rewritten, roots, leaves), literal)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_the_module_runs_the_last_plan(file: Path):
    text = Fixture.read(file).sections["input"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", losslang.LossWarning)
        loss = losslang.compile(text)
    assert str(loss.plan) == str([plan for _, plan in stages(text)][-1])


def test_every_pass_and_every_kernel_has_a_fixture():
    """A pass that changes no plan of the fixtures would be tested by nobody."""
    sections = [Fixture.read(file).sections for file in FILES]
    assert set().union(*sections) >= {*NAMES, "trained"}
    text = "\n".join(str(plan) for s in sections for _, plan in stages(s["input"]))
    for operation in ("kernel:bce.sigmoid", "kernel:ce.softmax", "log_sigmoid", "log_complement_softmax"):
        assert f" {operation}(" in text


# ---------------------------------------------------------------------------- for one kind of call


def bare(text: str) -> Plan:
    plan = optimize(planned(text))
    return drop_masks(plan, [step.name for step in plan.steps if step.operation == "not_ignored"])


def test_where_no_label_is_ignored_there_is_no_mask():
    assert not {"not_ignored", "mask", "any_channel_mask", "zero_masked", "value_mask"} & {
        step.operation for step in bare("ce + dice").steps
    }
    # A mask that somebody wrote stays.
    stated = bare("ce(mask=batch.m, ignore_index=0)")
    operations = [step.operation for step in stated.steps]
    assert "not_ignored" not in operations
    assert "value_mask" in operations


def test_a_kernel_takes_its_own_mean_where_nobody_else_reads_it():
    registry = current_registry()

    def merged(text: str) -> list[str]:
        return [str(step) for step in fuse_reduction(bare(text), registry).steps]

    (only,) = [line for line in merged("ce") if "kernel" in line]
    assert "reduction=mean" in only
    assert not any("reduction:mean" in line for line in merged("0.5*bce(sigmoid)"))
    for kept in (
        "ce(reduction=sum)",
        "ce(class_weight=[1, 2])",
        "ce(mask=batch.m)",
        "2*ce + ce**2 + ce(reduction=sum)",
    ):
        assert not any("reduction=mean" in line for line in merged(kept) if "reduction:" not in line), kept


def _sums(text: str) -> list[str]:
    """The steps that sum, of a program over whole tensors."""
    steps = verify(share_sums(bare(text), current_registry())).steps
    return [str(step) for step in steps if step.operation.startswith(("region_sum", "loss:", "totals:"))]


def test_what_two_losses_sum_is_summed_once():
    found = _sums("dice(sigmoid) + 0.3*tversky + jaccard**2")
    assert [line.partition(" = ")[2].partition("(")[0] for line in found] == [
        *["region_sum"] * 3, "totals:dice", "totals:tversky", "totals:jaccard",
    ]  # fmt: skip
    # Of p², t² and p t the last is shared; what is kept apart by the batch is not.
    squared = _sums("dice(sigmoid, squared=true) + dice + dice(batch=true)")
    assert sum("region_sum" in line for line in squared) == 5 + 3
    assert sum("batch=true" in line for line in squared) == 3


@pytest.mark.parametrize(
    "text",
    [
        "dice(sigmoid) + bce",
        "dice(sigmoid) + dice(batch=true)",
        "dice(sigmoid, mask=batch.m) + tversky(mask=batch.m)",
        # What they sum is more than products.
        "mcc(sigmoid) + mcc(batch=true) + sensitivity_specificity + exp_log",
        "rmse + rmse**2",
    ],
)
def test_nothing_is_taken_apart_where_nothing_is_shared(text: str):
    assert not any("region_sum" in line or "totals:" in line for line in _sums(text)), _sums(text)


def test_a_loss_that_reads_more_than_its_sums_keeps_its_tensors():
    @losslang.loss(activation="sigmoid")
    def overlap_and_peak(
        probs: Float[Tensor, "b c *space"], target: Float[Tensor, "b c *space"], total: Total
    ) -> Float[Tensor, "b c"]:
        """1 - Σ p t / Σ p, and the largest probability."""
        both, predicted = total(probs * target, probs)
        return 1 - both / predicted + probs.flatten(2).amax(2)

    found = _sums("overlap_and_peak + dice(sigmoid)")
    assert not any("region_sum" in line for line in found), found


def changing(
    probs: Float[Tensor, "b c *space"], target: Float[Tensor, "b c *space"], total: Total
) -> Float[Tensor, "b c"]:
    """1 - Σ p t / Σ p, computed in its sums."""
    both, predicted = total(probs * target, probs)
    return 1 - both.div_(predicted)


def asking(
    probs: Float[Tensor, "b c *space"], target: Float[Tensor, "b c *space"], total: Total
) -> Float[Tensor, "b c"]:
    """1 - Σ p t / Σ p, of two classes alone."""
    both, predicted = total(probs * target, probs)
    assert both.shape[1] == 2
    return 1 - both / predicted


def asking_twice(
    probs: Float[Tensor, "b c *space"], target: Float[Tensor, "b c *space"], total: Total
) -> Float[Tensor, "b c"]:
    """1 - Σ p t / Σ p."""
    return 1 - total(probs * target)[0] / total(probs)[0]


@pytest.mark.parametrize("function", [changing, asking, asking_twice], ids=lambda f: f.__name__)
def test_a_loss_that_is_no_function_of_its_sums_alone_is_left_as_it_is(function: Callable[..., Any]):
    losslang.loss(activation="sigmoid")(function)
    text = f"{function.__name__}(sigmoid) + dice + jaccard"
    assert f"loss:{function.__name__}" in "".join(_sums(text))
    x, target = torch.randn(2, 2, 5, dtype=torch.float64), torch.rand(2, 2, 5, dtype=torch.float64)
    p = x.sigmoid()
    found = losslang.compile(text)(x, target) - losslang.compile("dice(sigmoid) + jaccard")(x, target)
    torch.testing.assert_close(found, (1 - (p * target).sum(2) / p.sum(2)).mean(), **EXACT)


@pytest.mark.parametrize("options", ["", ", batch=true"])
def test_shared_sums_are_the_same_number(options: str):
    x = torch.randn(3, 2, 5, 4, dtype=torch.float64, requires_grad=True)
    target = torch.rand(3, 2, 5, 4, dtype=torch.float64)
    parts = [f"{name}(sigmoid{options})" for name in ("dice", "focal_tversky", "jaccard")]

    def both(*texts: str) -> tuple[Tensor, Tensor]:
        value = torch.stack([losslang.compile(text)(x, target) for text in texts]).sum()
        return value, torch.autograd.grad(value, x)[0]

    torch.testing.assert_close(both(" + ".join(parts)), both(*parts), **EXACT)


def test_what_changed_nothing_is_left_out():
    plan = bare("bce(sigmoid, ignore_index=-1) + dice(batch=true)")
    operations = [step.operation for step in specialize(plan, ["float_prediction", "dense"]).steps]
    assert {"float_prediction", "dense", "check:region", "check:classes"} <= {
        step.operation for step in plan.steps
    }
    assert operations[:2] == ["input", "input"]
    assert not {"float_prediction", "dense"} & set(operations)
    assert not any(operation.startswith("check:") for operation in operations)
    # What converts its input stays.
    assert "dense" in {step.operation for step in specialize(plan, ["float_prediction"]).steps}


# ---------------------------------------------------------------------------- what a good plan is


def operations(text: str) -> list[str]:
    return [step.operation for step in optimize(planned(text)).steps]


KERNELS = [
    ("bce(sigmoid)", {"bce.sigmoid"}),
    ("bce_with_logits", {"bce.sigmoid"}),
    ("bce(sigmoid, label_smoothing=0.1, pos_weight=balanced, mask=batch.m)", {"bce.sigmoid"}),
    ("bce(sigmoid(temperature=2))", {"bce.sigmoid"}),
    ("ce", {"ce.softmax"}),
    ("ce(softmax, class_weight=[1, 2], ignore_index=none)", {"ce.softmax"}),
    ("ce(softmax(temperature=2))", {"ce.softmax"}),
    ("bce(sigmoid)@a + ce@b + dice(sigmoid)@a + dice(softmax)@b", {"bce.sigmoid", "ce.softmax"}),
    ("ce(sigmoid)", set()),
    ("ce(identity)", set()),
    ("bce(softmax)", set()),
    ("bce", set()),
    ("nll", {"nll.identity"}),
    ("focal(sigmoid)", {"focal.sigmoid"}),
    ("focal(softmax)", set()),
    ("kl(softmax)", set()),
    ("metric(ce) + mse", {"ce.softmax", "mse.identity"}),
    ("mse(sigmoid) + 2*huber(tanh)", {"mse.identity", "huber.identity"}),
]


@pytest.mark.parametrize(("text", "kernels"), KERNELS)
def test_a_kernel_runs_where_it_is_the_same_function(text: str, kernels: set[str]):
    found = operations(text)
    assert {o.removeprefix("kernel:") for o in found if o.startswith("kernel:")} == kernels
    for kernel in kernels:
        assert f"loss:{kernel.partition('.')[0]}" not in found


ONCE = [
    # A view, however many terms read it: the operation, and how often it is done.
    ("bce(sigmoid) + dice + focal + jaccard", "activation:sigmoid", 1),
    ("dice(softmax) + jaccard + focal", "activation:softmax", 1),
    ("focal(sigmoid) + kl(sigmoid)", "log_sigmoid", 1),
    ("dice(softmax, mask=batch.m) + jaccard(softmax, mask=batch.m)", "activation:softmax", 1),
    ("dice(softmax, mask=batch.m) + jaccard(softmax, mask=batch.m)", "mask", 1),
    ("dice(softmax)@a + dice(softmax)@b", "activation:softmax", 2),
    ("dice(softmax) + jaccard(softmax(temperature=2))", "activation:softmax", 2),
    ("mse + l1 + huber", "target_like_pred", 1),
    ("mse + 2*mse + sqrt(mse)", "kernel:mse.identity", 1),
    ("mse + mse(mask=batch.m)", "kernel:mse.identity", 2),
    ("dice(sigmoid, class_weight=balanced) + jaccard(class_weight=balanced)", "class_weight_balanced", 1),
    ("nll", "activation:exp", 0),
    ("nll + dice", "activation:exp", 1),
    ("bce(sigmoid)", "activation:sigmoid", 0),
    ("ce", "activation:softmax", 0),
    ("ce(ignore_index=none) + dice", "activation:softmax", 1),
    ("bce(sigmoid) + 0*dice", "loss:dice", 0),
    ("mse@(pred + 0, batch.y)", "math:+", 0),
    ("mse@(pred ** 1, batch.y)", "math:**", 0),
]  # fmt: skip


@pytest.mark.parametrize(("text", "operation", "times"), ONCE)
def test_nothing_is_done_twice(text: str, operation: str, times: int):
    assert operations(text).count(operation) == times


def test_a_dropped_term_reads_nothing():
    assert optimize(planned("mse + 0*dice(sigmoid)@seg")) == optimize(planned("mse"))


def test_a_dropped_term_refuses_nothing():
    """`dice` would refuse this target; at weight 0 it has no say."""
    assert optimize(planned("mse + 0*dice(sigmoid)")) == optimize(planned("mse"))


def test_metrics_are_not_computed_in_training():
    plan = optimize(planned("ce + metric(zero_one) + metric(dice)@b"))
    trained = drop_dead_steps(plan, metrics=False)
    assert {o.name for o in plan.outputs} - {o.name for o in trained.outputs} == {"zero_one", "dice.b"}
    left = {step.operation for step in trained.steps}
    assert not left & {"loss:zero_one", "loss:dice", "activation:softmax"}
    assert "kernel:ce.softmax" in left


# ---------------------------------------------------------------------------- laws of the passes

USES = [
    "bce(sigmoid)", "dice(softmax)", "ce", "ce(class_weight=[1, 2, 3])", "focal(sigmoid, mask=batch.m)",
    "nll@b", "1 - dice(sigmoid)", "sqrt(mse)", "0*l1", "batch.w*mse", "metric(zero_one)", "kd(target=batch.t)",
    "mse@(pred + 0, batch.y)", "quantile(q=[0.1, 0.9])", "jaccard(softmax, background=false, empty=skip)",
    "pred.x", "mse(weight=batch.w, reduction=wmean)", "detach(mse)*ce", "3",
]  # fmt: skip
PROGRAMS = [
    *(Fixture.read(file).sections["input"] for file in FILES),
    *(f"{a} + 0.5*{b}" for a, b in itertools.combinations(USES, 2)),
]
PLANS = [planned(text) for text in PROGRAMS if analyze(Source(text)).meaning is not None]


def test_there_are_many_programs():
    assert len(PLANS) > 100


@pytest.mark.parametrize("rewrite", PASSES, ids=NAMES)
def test_a_pass_is_idempotent(rewrite: Callable[[Plan], Plan]):
    """Where it stands in the pipeline, and on a plan that no other pass has seen."""
    before = PASSES[: PASSES.index(rewrite)]
    for plan in PLANS:
        ready = plan
        for earlier in before:
            ready = earlier(ready)
        for given in (plan, ready):
            once = verify(rewrite(given))
            assert rewrite(once) == once, f"{given}\n\nonce:\n{once}\n\ntwice:\n{rewrite(once)}"


def test_a_good_plan_cannot_be_improved():
    for plan in PLANS:
        good = optimize(plan)
        assert optimize(good) == good, str(plan)


def test_a_pass_changes_no_plan_in_place_and_keeps_the_terms():
    for plan in PLANS:
        text = str(plan)
        kept = [(o.name, o.weight, o.metric) for o in plan.outputs if o.weight or o.metric]
        assert [(o.name, o.weight, o.metric) for o in optimize(plan).outputs] == kept
        assert str(plan) == text


def test_a_pass_makes_no_step_up():
    """Steps go away or become better; what is left stands in its order. `drop_dead_steps` names it anew."""
    for plan in PLANS:
        order = [step.name for step in plan.steps]
        for rewrite in PASSES[:-1]:
            plan = rewrite(plan)
            # The rows of a prediction are a step of their own.
            left = [step.name for step in plan.steps if not step.name.endswith(" rows")]
            assert left == [name for name in order if name in left]
            order = left


# ---------------------------------------------------------------------------- plans of arithmetic

PRED = Step("input", "input", (), (("path", Input("pred")),), Site("wild", "pred", NOWHERE, Source("pred")))
NUMBERS = (0.0, 1.0, 2.0)
UNARY = (
    "math:neg", "math:tanh", "math:sigmoid", "math:softplus", "activation:sigmoid", "activation:softmax",
    "log_sigmoid", "log_complement_sigmoid", "log_softmax",
)  # fmt: skip


def wild(seed: int) -> Plan:
    """A plan that no program has: any step may read any value above it, and be a term."""
    chance = random.Random(seed)
    steps = [PRED]
    for number in range(1, chance.randint(4, 14)):
        above = [Ref(step.name) for step in steps]
        first, second = chance.choice(above), chance.choice([*above, *NUMBERS])
        match chance.randint(0, 3):
            case 0 if steps[-1].operation in ("activation:sigmoid", "activation:softmax"):
                made = Step(f"s{number}", chance.choice(["log", "log_complement"]), (Ref(steps[-1].name),))
            case 1:
                pair = (first, second) if chance.random() < 0.7 else (second, first)
                made = Step(f"s{number}", chance.choice(["math:+", "math:*", "math:-"]), pair)
            case 2:
                temperature = chance.choice([1.0, 2.0])
                made = Step(f"s{number}", "scale_by_temperature", (first,), (("temperature", temperature),))
            case _:
                made = Step(f"s{number}", chance.choice(UNARY), (first,))
        steps.append(made)
    ends = [Ref(chance.choice(steps[1:]).name) for _ in range(2)]
    steps += [Step(f"mean{i}", "reduction:mean", (end, None, None)) for i, end in enumerate(ends)]
    weights = (chance.choice(NUMBERS), 1.0)
    return Plan(tuple(steps), tuple(Output(f"t{i}", w, Ref(f"mean{i}")) for i, w in enumerate(weights)))


@pytest.mark.parametrize("seed", range(40))
def test_a_wild_plan_computes_the_same_after_every_pass(seed: int):
    roots, leaves = call_of("pred probs 2 3 2")
    plan = verify(wild(seed))
    literal = execute(plan, roots, leaves)
    for rewrite in PASSES:
        plan = verify(rewrite(plan))
        found = execute(plan, roots, leaves)
        torch.testing.assert_close(found.total, literal.total, rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(found.gradients, literal.gradients, rtol=1e-9, atol=1e-9)


def chain(*operations: str) -> Plan:
    """Steps that each read the one above."""
    steps = [PRED]
    for operation in operations:
        steps.append(Step(f"s{len(steps)}", operation, (Ref(steps[-1].name),)))
    return Plan(tuple(steps), (Output("end", 1.0, Ref(steps[-1].name)),))


@pytest.mark.parametrize(
    ("operations", "left"),
    [
        (("activation:exp", "log", "math:neg"), ("math:neg",)),
        (("activation:sigmoid", "log", "math:neg"), ("log_sigmoid", "math:neg")),
        (("activation:softmax", "log_complement", "math:neg"), ("log_complement_softmax", "math:neg")),
        (("activation:tanh", "log", "math:neg"), ("activation:tanh", "log", "math:neg")),
        (("activation:exp", "log"), ()),
        (("activation:exp", "log", "activation:exp", "log", "math:neg"), ("math:neg",)),
    ],
)  # fmt: skip
def test_the_logarithm_of_an_activation(operations: tuple[str, ...], left: tuple[str, ...]):
    plan = drop_dead_steps(verify(stable(chain(*operations))))
    assert [step.operation for step in plan.steps] == ["input", *left]


@pytest.mark.parametrize(
    ("operation", "inputs", "left"),
    [
        ("math:*", (1.0, Ref("input")), "input"),
        ("math:*", (Ref("input"), 1.0), "input"),
        ("math:/", (Ref("input"), 1.0), "input"),
        ("math:+", (Ref("input"), 0.0), "input"),
        ("math:**", (Ref("input"), 1.0), "input"),
        ("math:*", (Ref("input"), 0.0), "step"),  # 0 * inf is no 0, and the shape would be lost
        ("math:/", (1.0, Ref("input")), "step"),
        ("math:**", (1.0, Ref("input")), "step"),
        ("math:**", (Ref("input"), 0.0), "step"),
        ("math:-", (0.0, Ref("input")), "step"),
        ("math:*", (Ref("input"), Ref("input")), "step"),
        ("reduction:sum", (Ref("input"), None, None), "step"),
    ],
)
def test_arithmetic_that_changes_nothing(operation: str, inputs: tuple[Any, ...], left: str):
    plan = Plan((PRED, Step("step", operation, inputs)), (Output("end", 1.0, Ref("step")),))
    assert fold(plan).outputs[0].value == Ref(left)


def test_cse_tells_options_apart():
    """1, 1.0 and true are equal in Python, and three things here."""
    steps = [
        Step(f"s{i}", "scale_by_temperature", (Ref("input"),), (("temperature", v),))
        for i, v in enumerate((1, 1.0, True))
    ]
    plan = Plan((PRED, *steps, replace(steps[0], name="again")), (Output("end", 1.0, Ref("again")),))
    shared = cse(plan)
    assert [step.name for step in shared.steps] == ["input", "s0", "s1", "s2"]
    assert shared.outputs[0].value == Ref("s0")


# ---------------------------------------------------------------------------- verify

NEG = Step("neg", "math:neg", (Ref("input"),))
END = (Output("end", 1.0, Ref("neg")),)
BROKEN = {
    "reads what is below it": (Plan((NEG, PRED), END), "neg"),
    "reads itself": (Plan((PRED, replace(NEG, inputs=(Ref("neg"),))), END), "neg"),
    "reads what nobody computes": (Plan((PRED, replace(NEG, inputs=(Ref("nowhere"),))), END), "nowhere"),
    "reads it as the second input": (Plan((PRED, replace(NEG, inputs=(Ref("input"), Ref("x")))), END), "x"),
    "repeats a name": (Plan((PRED, NEG, NEG), END), "neg"),
    "a term of nothing": (Plan((PRED, NEG), (Output("lost", 1.0, Ref("mean")),)), "lost"),
    "a metric of nothing": (Plan((PRED, NEG), (Output("lost", 1.0, Ref("mean"), metric=True),)), "lost"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_verify_refuses_a_broken_plan(case: str):
    plan, named = BROKEN[case]
    with pytest.raises(AssertionError, match=rf"not a plan: .*\b{named}\b"):
        verify(plan)


@pytest.mark.parametrize("plan", [Plan((), ()), Plan((PRED, NEG), END), Plan((), (Output("c", 2.0, 3.0),))])
def test_verify_returns_a_plan(plan: Plan):
    assert verify(plan) is plan


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_verify_misses_every_step_that_is_read(file: Path):
    plan = optimize(planned(Fixture.read(file).sections["input"]))
    read = {name for step in plan.steps for name in step.input_names}
    read |= {o.value.name for o in plan.outputs if isinstance(o.value, Ref)}
    for step in plan.steps:
        less = replace(plan, steps=tuple(s for s in plan.steps if s is not step))
        if step.name in read:
            with pytest.raises(AssertionError, match=rf"not a plan: .*\b{step.name}\b|never computed"):
                verify(less)
        else:
            assert verify(less) is less


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("mse", []),
        ("2*mse", ["math:*(mean, 2)"]),
        ("mse - 0.5*l1 + metric(huber)", ["math:*(mean2, -0.5)", "math:+(mean, total"]),
    ],
)
@pytest.mark.filterwarnings("ignore::losslang.LossWarning")  # of a loss that is subtracted
def test_the_total_is_a_step(text: str, steps: list[str]):
    """Of what is compiled as a whole; the same number as that of the terms, and metrics are no part of it."""
    registry = current_registry()
    plan = optimize(lower(analyze(Source(text)).meaning, registry))  # pyright: ignore
    one = summed(plan)
    verify(one)
    added = [str(step).partition(" = ")[2] for step in one.steps[len(plan.steps) :]]
    assert len(added) == len(steps)
    assert all(found.startswith(start) for found, start in zip(added, steps, strict=True))
    x, y = torch.randn(4, dtype=torch.float64), torch.randn(4, dtype=torch.float64)
    (value,) = whole(one, registry, validate=True).run(x, y, {}, {}, {})
    torch.testing.assert_close(value, losslang.compile(text)(x, y), **EXACT)
