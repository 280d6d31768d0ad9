"""What a user adds: losses, activations, reductions and functions, by decorator or as an installed plug-in.

Every test gets its own registry back afterwards: the other files iterate over the default one.
"""

from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys
import textwrap
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from cutting import cut

import losslang
from losslang import LossError
from losslang.losses.regression import mse as built_in_mse
from losslang.primitives.decorators import DEFINED
from losslang.primitives.primitive import Activation, Function, Loss, Primitive, Reduction
from losslang.registry import Registry, _registry, current_registry
from losslang.tools.cli import main
from losslang.vocabulary import Count, Float, Fraction, NonNegative, Positive, Tensor, Total

ROOT = Path(__file__).parents[2]
KINDS: tuple[type[Primitive], ...] = (Loss, Activation, Reduction, Function)


def names() -> dict[str, tuple[str, ...]]:
    return {kind.__name__: current_registry().names(kind) for kind in KINDS}


@pytest.fixture(autouse=True)
def nothing_is_left(no_leak: None) -> Iterator[None]:
    """Forgotten completely: the names are those of before."""
    before, known = names(), len(DEFINED)
    yield
    del DEFINED[known:]
    _registry.cache_clear()
    assert names() == before


def compiled(text: str, **more: Any) -> losslang.Loss:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", losslang.LossWarning)
        return losslang.compile(text, **more)


def codes(text: str) -> list[str]:
    return [diagnostic.code for diagnostic in losslang.check(text)]


def close(found: torch.Tensor, wanted: torch.Tensor | float) -> None:
    torch.testing.assert_close(found, torch.as_tensor(wanted, dtype=found.dtype), rtol=1e-12, atol=1e-12)


def use(decorator: Callable[..., Any], function: Callable[..., Any]) -> Any:
    """Registers a function and uses the language: a name is looked at when it is first needed."""
    made = decorator(function)
    losslang.check("ce")
    return made


G = torch.Generator().manual_seed(5)
X, Y = (torch.randn(4, 3, generator=G, dtype=torch.float64) for _ in range(2))
LOGITS = torch.randn(2, 3, 4, generator=G, dtype=torch.float64)
TRUTH = (torch.rand(2, 3, 4, generator=G) > 0.5).double()

# ---------------------------------------------------------------------------- what a user writes


def hyperbolic(
    values: Float[Tensor, "*shape"],
    target: Float[Tensor, "*shape"],
    *,
    bend: NonNegative = 1.0,
    power: Count = 1,
) -> Float[Tensor, "*shape"]:
    """sqrt(e² + b²) - b, to a power.

    `bend` is b: where the parabola ends.
    """
    return (((values - target).square() + bend**2).sqrt() - bend) ** power


def by_hand(bend: float = 1.0, power: int = 1) -> torch.Tensor:
    return (((X - Y) ** 2 + bend**2) ** 0.5 - bend) ** power


def surprise(
    log_probs: Float[Tensor, "*shape"], target: Float[Tensor, "*shape"], *, floor: float | None = None
) -> Float[Tensor, "*shape"]:
    """-t log p."""
    return -(target * log_probs)


def excess(
    probs: Float[Tensor, "b c *space"], target: Float[Tensor, "b c *space"], total: Total
) -> Float[Tensor, "b c"]:
    """|Σ p - Σ t|."""
    predicted, present = total(probs, target)
    return (predicted - present).abs()


def guided(
    values: Float[Tensor, "*shape"], target: Float[Tensor, "*shape"], guide: Float[Tensor, "*shape"]
) -> Float[Tensor, "*shape"]:
    """g e²."""
    return guide * (values - target).square()


def steep(logits: Float[Tensor, "*shape"], *, slope: Positive = 3.0) -> Float[Tensor, "*shape"]:
    """1 / (1 + e^(-s x))."""
    return torch.sigmoid(slope * logits)


def spread(logits: Float[Tensor, "b c *space"]) -> Float[Tensor, "b c *space"]:
    """x² / Σ x² over the classes."""
    return logits.square() / logits.square().sum(1, keepdim=True)


def cube(values: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """x³."""
    return values**3


def extreme(
    values: Float[Tensor, "*shape"],
    weights: Float[Tensor, "*shape"] | None,
    counted: Float[Tensor, "*shape"] | None,
    *,
    share: Fraction = 1.0,
) -> Float[Tensor, ""]:
    """A share of the largest value that counts."""
    return share * (values if counted is None else values[counted]).max()


def halved(x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """x / 2."""
    return x / 2


def blend(a: Float[Tensor, "*shape"], b: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """(a + b) / 2."""
    return (a + b) / 2


def tilted(values: Float[Tensor, "*shape"], target: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """x t."""
    return values * target


def grown(values: Float[Tensor, "*shape"], target: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """e^x."""
    return values.exp() + 0 * target


def apart(values: Float[Tensor, "*shape"], target: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """x - t."""
    return values - target


def hinged(values: Float[Tensor, "*shape"], target: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """max(0, x - t)."""
    return (values - target).relu()


SLOPES: list[tuple[Callable[..., Any], Callable[..., Any]]] = [
    (tilted, lambda x, t: (x * t, t)),
    (grown, lambda x, t: ((e := x.exp()), e)),
    (apart, lambda x, t: (x - t, torch.ones((), dtype=x.dtype).expand_as(x))),
    (hinged, lambda x, t: ((x - t).relu(), x > t)),
]
"""A slope that is an input, the values themselves, one number for all, and no float."""


@pytest.mark.parametrize(("function", "slope"), SLOPES, ids=lambda f: f.__name__)
def test_a_slope_that_is_no_memory_of_its_own(function: Callable[..., Any], slope: Callable[..., Any]):
    """It is left as it is: neither what was handed over nor what was handed out is written to."""
    made = use(losslang.loss(activation="identity"), function)
    made.slope(slope)
    x, y = X.clone().requires_grad_(), Y.clone()
    values = compiled(f"{function.__name__}(reduction=none)")(x, y)
    kept = values.detach().clone()
    (wanted,) = torch.autograd.grad(function(x, y).sum(), x)
    for _ in range(2):
        (found,) = torch.autograd.grad(values, x, torch.full_like(values, 3.0), retain_graph=True)
        close(found, 3 * wanted)
    assert torch.equal(y, Y)
    assert torch.equal(values, kept)


# ---------------------------------------------------------------------------- a loss


def test_a_loss_has_the_language():
    """Options, reductions, masks, weights, routes and arithmetic come with the decorator."""
    losslang.loss(activation="identity", aliases=("soft_l1",))(hyperbolic)
    mask, weight = torch.tensor([True, False, True, True]), torch.arange(4.0)
    rows = by_hand().mean(1)
    for text, wanted in {
        "hyperbolic": by_hand().mean(),
        "soft_l1": by_hand().mean(),
        "hyperbolic(bend=0.1, power=2)": by_hand(0.1, 2).mean(),
        "b = 0.5; hyperbolic(bend=2*b)": by_hand(1.0).mean(),
        "hyperbolic(reduction=sum)": by_hand().sum(),
        "hyperbolic(mask=batch.mask)": rows[mask].mean(),
        "hyperbolic(weight=batch.weight)": (rows * weight).mean(),
        "hyperbolic(weight=batch.weight, reduction=wmean)": (rows * weight).sum() / weight.sum(),
        "batch.weight*(1 - hyperbolic)": ((1 - rows) * weight).mean(),
        "hyperbolic@(pred, batch.other)": by_hand().mean(),
        "hyperbolic(tanh, target=0)": ((X.tanh() ** 2 + 1).sqrt() - 1).mean(),
        "sqrt(hyperbolic) + 2*hyperbolic(bend=0)": by_hand().mean().sqrt() + 2 * (X - Y).abs().mean(),
    }.items():
        batch = {"mask": mask, "weight": weight, "other": Y}
        close(
            compiled(text)(X, Y, **{name: x for name, x in batch.items() if f"batch.{name}" in text}), wanted
        )
    close(compiled("hyperbolic@a")({"a": X}, {"a": Y}), by_hand().mean())
    assert compiled("hyperbolic@a").detail({"a": X}, Y).names == ("hyperbolic.a",)
    close(compiled("hyperbolic", overrides={"hyperbolic.bend": 0.1})(X, Y), by_hand(0.1).mean())


def test_the_gradient_of_a_loss():
    losslang.loss(activation="identity")(hyperbolic)
    pred = X.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(compiled("hyperbolic(reduction=sum)")(pred, Y), pred)
    close(gradient, (X - Y) / ((X - Y) ** 2 + 1).sqrt())


@pytest.mark.parametrize(
    ("text", "code", "says"),
    [
        ("hyperbolik", "E101", "`hyperbolic`"),
        ("hyperbolic(bent=1)", "E201", "`bend`"),
        ("hyperbolic(bend=-1)", "E202", "at least 0"),
        ("hyperbolic(bend=true)", "E202", "a number"),
        ("hyperbolic(power=1.5)", "E202", "a whole number"),
        ("hyperbolic(class_weight=[1, 2])", "E205", "class"),
        ("hyperbolic@(pred, target, batch.w)", "E304", "target"),
    ],
)
def test_the_mistakes_of_a_loss_are_found(text: str, code: str, says: str):
    losslang.loss(activation="identity")(hyperbolic)
    with pytest.raises(LossError, match=code) as caught:
        losslang.compile(text)
    assert says in str(caught.value)


def test_a_loss_explains_itself(capsys: pytest.CaptureFixture[str]):
    losslang.loss(aliases=("soft_l1",), paper="A paper 2024", activation="identity")(hyperbolic)
    said = losslang.explain("0.5*hyperbolic(bend=2)")
    for words in ("sqrt(e² + b²) - b, to a power", "bend=2", "(default 1)", "power=1", "(default)", "0.5"):
        assert words in said
    assert main(["show", "hyperbolic"]) == 0
    page = capsys.readouterr().out
    for words in (
        "hyperbolic (loss)", "hyperbolic(bend=1, power=1)", "sqrt(e² + b²) - b, to a power.",
        "`bend` is b: where the parabola ends.", "a number of at least 0; default 1", "one per element",
        "A paper 2024", "soft_l1",
    ):  # fmt: skip
        assert words in page
    assert main(["show", "soft_l1"]) == 0
    assert "`soft_l1` is `hyperbolic`" in capsys.readouterr().out
    assert main(["show", "bend"]) == 0
    assert "hyperbolic(bend=1)" in capsys.readouterr().out
    assert main(["list", "--kind", "loss"]) == 0
    assert "hyperbolic" in capsys.readouterr().out
    assert main(["plan", "hyperbolic(bend=2)"]) == 0
    assert "loss:hyperbolic(float_prediction, target_like_pred, bend=2, power=1)" in capsys.readouterr().out


def test_a_loss_of_probabilities_joins_its_neighbours():
    losslang.loss(aliases=("logit_surprise = surprise(sigmoid)",))(surprise)
    log = torch.nn.functional.logsigmoid(LOGITS)
    wanted = -(TRUTH * log).mean()
    for text in ("surprise(sigmoid)", "logit_surprise", "surprise + 0*bce(sigmoid)"):
        close(compiled(text)(LOGITS, TRUTH), wanted)
    # Its logarithm is the stable one: exact where the sigmoid is 0.
    far = torch.full((1, 1), -1000.0, dtype=torch.float64)
    assert compiled("surprise(sigmoid)")(far, torch.ones(1, 1, dtype=torch.float64)).item() == 1000
    assert "taken from `bce`" in losslang.explain("surprise + bce(sigmoid)")
    assert codes("surprise(tanh)") == ["E301"]


def test_a_loss_of_regions():
    losslang.loss()(excess)
    probs, mask = torch.sigmoid(LOGITS), torch.arange(4) < 2
    everywhere = mask.expand(2, 1, 4)
    per_class = (probs.sum(2) - TRUTH.sum(2)).abs()
    for text, wanted in {
        "excess(sigmoid)": per_class.mean(),
        "excess(sigmoid, background=false)": per_class[:, 1:].mean(),
        "excess(sigmoid, batch=true)": (probs - TRUTH).sum((0, 2)).abs().mean(),
        "excess(sigmoid, mask=batch.mask)": ((probs - TRUTH) * everywhere).sum(2).abs().mean(),
        "excess(sigmoid, class_weight=[1, 2, 3])": (per_class * torch.arange(1, 4)).mean(),
        "dice(sigmoid) - dice + excess": per_class.mean(),
    }.items():
        close(compiled(text)(LOGITS, TRUTH, **({"mask": everywhere} if "batch.mask" in text else {})), wanted)


def test_a_loss_of_three_tensors():
    losslang.loss()(guided)
    wanted = (Y * (X - Y) ** 2).mean()
    close(compiled("guided@(pred, target, batch.guide)")(X, Y, guide=Y), wanted)
    close(compiled("guided(guide=batch.guide)")(X, Y, guide=Y), wanted)
    assert codes("guided") == ["E304"]
    with pytest.raises(LossError, match="guide"):
        compiled("guided(guide=batch.guide)")(X, Y, guide=Y[:2])
    close(compiled("guided(guide=batch.guide)")(X, Y, guide=Y[:1]), (Y[:1] * (X - Y) ** 2).mean())


def test_a_kernel_takes_the_place_of_the_formula():
    made = losslang.loss()(surprise)
    used: list[str] = []

    @made.kernel("sigmoid")
    def surprise_of_logits(logits: Any, target: Any, *, floor: float | None = None) -> Any:
        used.append("kernel")
        return target * torch.nn.functional.softplus(-logits)

    wanted = -(TRUTH * torch.nn.functional.logsigmoid(LOGITS)).mean()
    close(compiled("surprise(sigmoid)")(LOGITS, TRUTH), wanted)
    assert used == ["kernel"]
    compiled("surprise(softmax)")(LOGITS, TRUTH)
    assert used == ["kernel"]


def test_a_kernel_of_a_loss_of_regions_is_refused():
    made = losslang.loss()(excess)
    with pytest.raises(TypeError, match="excess: of what has `total`, only one number"):
        made.kernel("sigmoid")


# ---------------------------------------------------------------------------- an activation


def test_an_activation():
    losslang.activation(takes="logits", gives="probs")(steep)
    losslang.activation(takes="logits", gives="probs", over="class")(spread)
    losslang.activation(takes="values", gives="values")(cube)
    steepest, classes = torch.sigmoid(3 * LOGITS), LOGITS.square() / LOGITS.square().sum(1, keepdim=True)
    labels = TRUTH.argmax(1)
    entropy = torch.nn.functional.binary_cross_entropy
    for text, target, wanted in [
        ("bce(steep)", TRUTH, entropy(steepest, TRUTH)),
        ("bce(steep(temperature=3))", TRUTH, entropy(torch.sigmoid(LOGITS), TRUTH)),
        ("ce(spread)", labels, torch.nn.functional.nll_loss(classes.log(), labels)),
        ("mse(cube)", TRUTH, ((LOGITS**3 - TRUTH) ** 2).mean()),
    ]:
        close(compiled(text)(LOGITS, target), wanted)
    shared = compiled("bce(steep) + dice")
    assert str(shared.plan).count("activation:steep(") == 1
    assert "kernel:" not in str(shared.plan)


def test_an_activation_explains_itself(capsys: pytest.CaptureFixture[str]):
    losslang.activation(takes="logits", gives="probs")(steep)
    losslang.activation(takes="values", gives="values")(cube)
    assert "steep (written): logits to probabilities" in losslang.explain("dice(steep)")
    assert main(["show", "steep"]) == 0
    page = capsys.readouterr().out
    for words in ("steep (activation)", "steep(slope=3, temperature=1)", "logits into probabilities", "s x"):
        assert words in page
    assert codes("dice(cube)") == ["E301"]
    assert codes("dice(steeep)") == ["E101"]
    assert codes("dice(steep(slope=0))") == ["E202"]
    assert codes("mse(cube(temperature=2))") == ["E201"]
    assert codes("steep") == ["E103"]


def test_the_options_of_an_activation_are_used():
    losslang.activation(takes="logits", gives="probs")(steep)
    wanted = torch.nn.functional.binary_cross_entropy(torch.sigmoid(7 * LOGITS), TRUTH)
    close(compiled("bce(steep(slope=7))")(LOGITS, TRUTH), wanted)


# ---------------------------------------------------------------------------- a reduction


def test_a_reduction(capsys: pytest.CaptureFixture[str]):
    losslang.reduction()(extreme)
    worst = (X - Y).square()
    mask = worst < worst.max()
    close(compiled("mse(reduction=extreme)")(X, Y), worst.max())
    close(compiled("mse(reduction=extreme(share=0.5))")(X, Y), worst.max() / 2)
    close(compiled("mse(reduction=extreme, mask=batch.mask)")(X, Y, mask=mask), worst[mask].max())
    assert "extreme(share=0.5) (written): A share of the largest" in losslang.explain(
        "mse(reduction=extreme(share=0.5))"
    )
    assert codes("mse(reduction=extreme(share=2))") == ["E202"]
    assert codes("mse(reduction=extrem)") == ["E101"]
    assert codes("extreme") == ["E103"]
    assert main(["show", "extreme"]) == 0
    assert "extreme(share=1)" in capsys.readouterr().out


def test_a_reduction_as_the_default_of_a_loss():
    losslang.reduction()(extreme)
    losslang.loss(reduction="extreme", activation="identity")(hyperbolic)
    close(compiled("hyperbolic")(X, Y), by_hand().max())
    close(compiled("hyperbolic(reduction=mean)")(X, Y), by_hand().mean())


# ---------------------------------------------------------------------------- a function


def test_a_function(capsys: pytest.CaptureFixture[str]):
    losslang.function(fold=lambda x: x / 2)(halved)
    losslang.function(fold=lambda a, b: (a + b) / 2)(blend)
    error = ((X - Y) ** 2).mean()
    for text, wanted in {
        "halved(3)*mse": 1.5 * error,
        "halved(mse)": error / 2,
        "mse@(halved(pred), target)": ((X / 2 - Y) ** 2).mean(),
        "mse@(blend(pred, target), target)": ((X - Y) ** 2).mean() / 4,
        "blend(mse, 3)": (error + 3) / 2,
        "halved(const.k)*mse": 2 * error,
    }.items():
        close(compiled(text, const={"k": 4.0})(X, Y), wanted)
    assert codes("halved(1, 2)*mse") == ["E204"]
    assert codes("halved*mse") == ["E204"]
    assert codes("halve(1)*mse") == ["E101"]
    assert main(["show", "blend"]) == 0
    assert "blend(a, b)" in capsys.readouterr().out


def test_a_function_needs_to_fold_numbers():
    with pytest.raises(TypeError, match="fold"):
        losslang.function()(halved)  # type: ignore[call-arg]


def test_a_function_with_an_option():
    def steeper(x: Float[Tensor, "*s"], *, by: float = 2.0) -> Float[Tensor, "*s"]:
        """x by."""
        return x * by

    losslang.function(fold=lambda x, by: x * by)(steeper)
    error = ((X - Y) ** 2).mean()
    for text, factor in (("steeper(3)*mse", 6), ("steeper(3, by=4)*mse", 12), ("steeper(mse, by=-1)", -1)):
        torch.testing.assert_close(losslang.compile(text)(X, Y), factor * error)
    loss = losslang.compile("steeper(step, by=3)*mse + steeper(const.k, by=2)", const={"k": 4})
    loss.set_clock(step=5)
    torch.testing.assert_close(loss(X, Y), 15 * error + 8)
    assert "steeper(step, by=3)" in loss.canonical
    assert codes("steeper(3, buy=4)*mse") == ["E201"]


def test_a_function_of_four():
    def lerp(
        a: Float[Tensor, ""], b: Float[Tensor, ""], c: Float[Tensor, ""], d: Float[Tensor, ""]
    ) -> Float[Tensor, ""]:
        """a + b + c + d."""
        return a + b + c + d

    losslang.function(fold=lambda a, b, c, d: a + b + c + d)(lerp)
    assert codes("lerp(1, 2, 3, 4)*mse") == []
    assert codes("lerp(1, 2, 3)*mse") == ["E204"]


# ---------------------------------------------------------------------------- names


def named(name: str, like: Callable[..., Any]) -> Callable[..., Any]:
    """`like` under another name."""

    def made(*arguments: Any, **options: Any) -> Any:
        return like(*arguments, **options)

    made.__name__ = name
    made.__wrapped__ = like  # type: ignore[attr-defined]  # `signature` looks here
    made.__doc__ = like.__doc__
    return made


@pytest.mark.parametrize(
    ("decorator", "name", "like", "home"),
    [
        (losslang.loss(), "mse", hyperbolic, "losslang.losses.regression"),
        (losslang.loss(), "mae", hyperbolic, "losslang.losses.regression"),  # an alias of l1
        (losslang.activation(), "sigmoid", steep, "losslang.primitives.activations"),
        (losslang.reduction(), "mean", extreme, "losslang.primitives.reductions"),
        (losslang.function(fold=lambda x: x / 2), "clip", halved, "losslang.primitives.functions"),
    ],
)
def test_a_name_taken_twice_names_both_modules(
    decorator: Callable[..., Any], name: str, like: Callable[..., Any], home: str
):
    with pytest.raises(ValueError, match=rf"`\w+` of {__name__}.*already (defined in {home}|means)"):
        use(decorator, named(name, like))


def test_two_plug_ins_with_one_name():
    losslang.loss()(hyperbolic)
    losslang.check("hyperbolic")
    with pytest.raises(
        ValueError, match=rf"`hyperbolic` of {__name__}\S* is already defined in {__name__}.hyperbolic"
    ):
        use(losslang.loss(), named("hyperbolic", guided))


def test_an_alias_taken_twice_names_both():
    with pytest.raises(ValueError, match=r"alias `mse` of `hyperbolic` already means `mse`"):
        use(losslang.loss(aliases=("mse",)), hyperbolic)


def test_a_refused_name_does_not_stop_the_others():
    """A notebook cell that defines a loss, run twice."""
    with pytest.raises(ValueError, match="already"):
        use(losslang.loss(), named("mse", hyperbolic))
    assert losslang.check("ce") == ()


@pytest.mark.parametrize("name", ["metric", "pred", "step", "none"])
def test_a_reserved_name_is_refused(name: str):
    with pytest.raises((TypeError, ValueError), match=name):
        use(losslang.loss(), named(name, hyperbolic))


def test_the_same_name_for_another_kind():
    losslang.loss(activation="identity")(named("mean", hyperbolic))
    losslang.reduction()(named("mse", extreme))
    losslang.activation(takes="values", gives="values")(named("l1", cube))
    losslang.function(fold=lambda x: x / 2)(named("topk", halved))
    close(compiled("mse(reduction=mse)")(X, Y), ((X - Y) ** 2).max())
    close(compiled("mse(l1)")(X, Y), ((X**3 - Y) ** 2).mean())
    close(compiled("topk(mse)")(X, Y), ((X - Y) ** 2).mean() / 2)
    close(compiled("l1(l1, reduction=mse)")(X, Y), (X**3 - Y).abs().max())


def test_what_is_registered_after_the_first_use_is_found():
    assert codes("hyperbolic") == ["E101"]
    with pytest.raises(LossError, match="E101"):
        losslang.compile("hyperbolic(reduction=extreme)")
    losslang.loss(activation="identity")(hyperbolic)
    assert codes("hyperbolic(reduction=extreme)") == ["E101"]
    losslang.reduction()(extreme)
    close(compiled("hyperbolic(reduction=extreme)")(X, Y), by_hand().max())


def test_a_registry_of_ones_own_is_apart():
    def apart(values: Float[Tensor, "*s"], target: Float[Tensor, "*s"]) -> Float[Tensor, "*s"]:
        """e."""
        return values - target

    own = Registry()
    for primitive in (*current_registry().all(Activation), *current_registry().all(Reduction)):
        own.add(primitive)
    own.add(Loss("apart", apart, activation="identity"))
    assert own.loss("apart") is not None
    assert own.loss("mse") is None
    assert current_registry().loss("apart") is None
    own.add(built_in_mse)
    assert own.names(Loss) == ("apart", "mse", *(a.partition(" ")[0] for a in built_in_mse.aliases))
    own.add(built_in_mse)
    assert own.names(Loss)[:2] == ("apart", "mse"), "the same function replaces itself"


def test_the_decorator_leaves_a_function_to_call():
    made = losslang.loss(activation="identity")(hyperbolic)
    assert made.name == "hyperbolic"
    assert made.function is hyperbolic
    assert made.defaults == {"bend": 1.0, "power": 1}
    assert losslang.function(fold=lambda x: x / 2)(named("exp_", halved)).name == "exp"


# ---------------------------------------------------------------------------- bad signatures


def no_view(prediction: Float[Tensor, "*s"], target: Float[Tensor, "*s"]) -> Float[Tensor, "*s"]: ...
def typo(valeus: Float[Tensor, "*s"], target: Float[Tensor, "*s"]) -> Float[Tensor, "*s"]: ...
def nothing() -> Float[Tensor, "*s"]: ...
def bare_operand(values: Float[Tensor, "*s"], margins) -> Float[Tensor, "*s"]: ...
def star(values: Float[Tensor, "*s"], *more) -> Float[Tensor, "*s"]: ...
def stars(values: Float[Tensor, "*s"], target: Float[Tensor, "*s"], **more) -> Float[Tensor, "*s"]: ...
def bare_view(values, target) -> Float[Tensor, "*s"]: ...
def bare_result(values: Float[Tensor, "*s"], target: Float[Tensor, "*s"]): ...
def bare_option(values: Float[Tensor, "*s"], *, k=1.0) -> Float[Tensor, "*s"]: ...
def lost_option(values: Float[Tensor, "*s"], *, k: Nowhere = 1.0) -> Float[Tensor, "*s"]: ...
def own_mask(values: Float[Tensor, "*s"], *, mask: float = 1.0) -> Float[Tensor, "*s"]: ...


def only_values(values: Float[Tensor, "*s"]) -> Float[Tensor, ""]: ...


SIGNATURES = [
    (losslang.loss(), no_view, "no_view: no parameter is a view"),
    (losslang.loss(), typo, "typo: no parameter is a view"),
    (losslang.loss(), nothing, "nothing: no parameter is a view"),
    pytest.param(losslang.loss(), bare_operand, r"bare_operand: annotate \['margins'\] with axes"),
    pytest.param(losslang.loss(), star, r"star: .*more"),
    pytest.param(losslang.loss(), stars, r"stars: .*more"),
    pytest.param(losslang.loss(), bare_view, "bare_view.*values"),
    pytest.param(losslang.loss(), bare_result, "bare_result.*(result|return)"),
    pytest.param(losslang.loss(), bare_option, r"bare_option.*\bk\b"),
    pytest.param(losslang.loss(), lost_option, r"lost_option.*Nowhere"),
    pytest.param(losslang.loss(), own_mask, r"own_mask.*\bmask\b"),
    pytest.param(losslang.loss(), lambda values, target: values, "lambda"),
    pytest.param(losslang.activation(gives="prob"), steep, "steep.*prob"),
    pytest.param(losslang.reduction(), only_values, "only_values.*weights"),
    pytest.param(losslang.function(), own_mask, "own_mask.*fold"),
    pytest.param(losslang.function(fold=abs), bare_option, r"bare_option.*\bk\b"),
]  # fmt: skip


@pytest.mark.parametrize(("decorator", "function", "says"), SIGNATURES)
def test_a_bad_signature_is_a_clear_type_error(
    decorator: Callable[..., Any], function: Callable[..., Any], says: str
):
    known = len(DEFINED)
    with pytest.raises(TypeError, match=says):
        decorator(function)
    assert len(DEFINED) == known


@pytest.mark.parametrize("default", [{"activation": "sigmoyd"}, {"reduction": "meen"}])
def test_a_default_that_does_not_exist_is_refused(default: dict[str, Any]):
    with pytest.raises(ValueError, match=rf"{next(iter(default.values()))}.*hyperbolic.*does not exist"):
        use(losslang.loss(**default), hyperbolic)
    assert losslang.check("ce") == ()


def test_a_decorator_without_brackets():
    for decorator in (losslang.loss, losslang.activation, losslang.reduction, losslang.function):
        with pytest.raises(TypeError, match=decorator.__name__):
            decorator(hyperbolic)  # type: ignore[arg-type]


def test_a_bad_option_of_one_loss_leaves_the_pages_of_the_others(capsys: pytest.CaptureFixture[str]):
    with suppress(TypeError):
        losslang.loss()(lost_option)
    assert main(["show", "smooth"]) == 0


# ---------------------------------------------------------------------------- installed plug-ins

PLUGIN = '''
from __future__ import annotations

import losslang
from losslang.tensors.lazy import torch
from losslang.vocabulary import Float, Positive, Tensor


@losslang.loss(activation="identity", aliases=("plugged_too",))
def plugged(
    values: Float[Tensor, "*shape"], target: Float[Tensor, "*shape"], *, scale: Positive = 2.0
) -> Float[Tensor, "*shape"]:
    """s |e|."""
    return scale * torch.abs(values - target)
'''


def install(folder: Path, name: str, text: str, version: str = "1.0") -> None:
    """A package as pip leaves it: a module, and metadata that names its entry point."""
    (folder / f"{name}.py").write_text(text, encoding="utf-8")
    info = folder / f"{name}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (info / "entry_points.txt").write_text(f"[losslang]\n{name} = {name}\n")


def python(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(ROOT), str(folder)])
    environment = {**os.environ, "PYTHONPATH": path, "COLUMNS": "80", "NO_COLOR": "1"}
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, env=environment, check=False
    )


def test_a_plug_in_is_loaded(tmp_path: Path):
    install(tmp_path, "tiny_plugin", PLUGIN)
    code = """
        import losslang, sys, warnings
        assert losslang.check("plugged + 0.5*plugged_too(scale=3)") == ()
        assert "plugged" in losslang.explain("plugged")
        assert "torch" not in sys.modules
        import torch
        loss = losslang.compile("plugged(scale=3)")
        print(loss(torch.ones(2), torch.zeros(2)).item())
        import pickle
        pickle.dump(loss, open(sys.argv[1], "wb"))
    """
    kept = tmp_path / "loss.pkl"
    done = python(tmp_path, "-c", textwrap.dedent(code), str(kept))
    assert (done.stdout, done.stderr) == ("3.0\n", "")
    nowhere = tmp_path / "nowhere"
    nowhere.mkdir()
    load = "import pickle, sys; pickle.load(open(sys.argv[1], 'rb'))"
    without = python(nowhere, "-c", load, str(kept)).stderr
    assert "error[E529]: the loss `plugged` of tiny_plugin is not registered here" in without
    assert "fix: import `tiny_plugin` before the pickle is loaded" in without


def test_a_plug_in_on_the_command_line(tmp_path: Path):
    install(tmp_path, "tiny_plugin", PLUGIN)
    (tmp_path / "train.yaml").write_text("loss: plugged(scale=0)\n")
    shown = python(tmp_path, "-m", "losslang", "show", "plugged")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "plugged(scale=2)" in shown.stdout
    checked = python(tmp_path, "-m", "losslang", "check", str(tmp_path / "train.yaml"))
    assert checked.returncode == 1
    assert "E202" in checked.stdout + checked.stderr


def test_two_plug_ins_that_take_one_name(tmp_path: Path):
    install(tmp_path, "tiny_plugin", PLUGIN)
    install(tmp_path, "other_plugin", PLUGIN.replace('aliases=("plugged_too",)', ""))
    done = python(tmp_path, "-c", "import losslang; losslang.check('ce')")
    assert done.returncode == 1
    assert "ValueError: the loss `plugged` of " in done.stderr
    assert "tiny_plugin" in done.stderr.splitlines()[-1]
    assert "other_plugin" in done.stderr.splitlines()[-1]


def test_a_plug_in_that_is_imported_by_hand_as_well(tmp_path: Path):
    install(tmp_path, "tiny_plugin", PLUGIN)
    code = "import tiny_plugin, losslang; print(losslang.check('plugged')); import tiny_plugin"
    assert python(tmp_path, "-c", code).stdout == "()\n"
    code = "import losslang; losslang.check('ce'); import tiny_plugin; print(losslang.check('plugged'))"
    assert python(tmp_path, "-c", code).stdout == "()\n"


# ---------------------------------------------------------------------------- what is compiled already stays as it is


def linear(by: float) -> Callable[..., Any]:
    """A loss `bent`: every one that this makes takes the name of the last."""

    def bent(
        values: Float[Tensor, "*shape"], target: Float[Tensor, "*shape"], *, power: Count = 1
    ) -> Float[Tensor, "*shape"]:
        """b |e|."""
        return by * (values - target).abs() ** power

    return bent


def mirror(by: float) -> Callable[..., Any]:
    def bow(logits: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """1 / (1 + e^(-b x))."""
        return torch.sigmoid(by * logits)

    return bow


def scaled(by: float) -> Callable[..., Any]:
    def times(x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """b x."""
        return by * x

    return times


def largest(by: float) -> Callable[..., Any]:
    def top(
        values: Float[Tensor, "*shape"],
        weights: Float[Tensor, "*shape"] | None,
        counted: Float[Tensor, "*shape"] | None,
    ) -> Float[Tensor, ""]:
        """b max."""
        return by * values.max()

    return top


ANEW: list[tuple[str, Callable[..., Any], Callable[[float], Callable[..., Any]]]] = [
    ("bent", losslang.loss(activation="identity"), linear),
    ("bce(bow)", losslang.activation(), mirror),
    ("mse@(times(pred), target)", losslang.function(fold=lambda x: x), scaled),
    ("mse(reduction=top)", losslang.reduction(), largest),
]
"""A program for each kind of name."""
SHAPES = [(2, 3, 4), (5, 3, 2), (1, 3, 1)]


@pytest.mark.parametrize(
    ("text", "decorator", "make"), ANEW, ids=["loss", "activation", "function", "reduction"]
)
def test_a_name_registered_anew_changes_no_module_that_exists(
    text: str, decorator: Callable[..., Any], make: Callable[[float], Callable[..., Any]]
):
    """Nor its copies; called for the first time after that, with shapes seen before and with others."""
    use(decorator, make(1.0))
    pairs = [(torch.rand(shape, generator=G), torch.rand(shape, generator=G).round()) for shape in SHAPES]
    wanted = [compiled(text)(x, y).item() for x, y in pairs]
    # One that has run, one that has not, and copies of both.
    old = [compiled(text) for _ in range(2)]
    old[0](*pairs[0])
    with cut(3):
        small = compiled(text)
    old += [copy.deepcopy(old[0]), copy.copy(old[1]), small]
    use(decorator, make(5.0))
    for loss in (*old, copy.deepcopy(old[1])):
        for (x, y), value in zip(pairs, wanted, strict=True):
            for _ in range(3):
                assert loss(x, y).item() == pytest.approx(value, rel=1e-6)
            assert loss.detail(x, y).total.item() == pytest.approx(value, rel=1e-6)
            traced = torch.func.vmap(lambda a, b, loss=loss: loss(a, b))(x[None], y[None])  # pyright: ignore
            assert traced.item() == pytest.approx(value, rel=1e-6)
    fresh = [compiled(text)(x, y).item() for x, y in pairs]
    assert all(new != pytest.approx(value, rel=1e-3) for new, value in zip(fresh, wanted, strict=True))
    # A pickle is compiled where it is read, by the names that are known there.
    assert pickle.loads(pickle.dumps(old[0]))(*pairs[0]).item() == pytest.approx(fresh[0])


def test_a_large_tensor_after_a_name_was_registered_anew():
    """Cut into blocks, in a call that comes later."""
    use(losslang.loss(activation="identity"), linear(1.0))
    x, y = torch.rand(4, 3, 8, generator=G), torch.rand(4, 3, 8, generator=G)
    with cut(3):
        loss = compiled("bent + mse")
        wanted = loss(x, y).item()
        late = compiled("bent + mse")
        use(losslang.loss(activation="identity"), linear(5.0))
        assert late(x, y).item() == pytest.approx(wanted)
        assert compiled("bent + mse")(x, y).item() != pytest.approx(wanted, rel=1e-3)


def test_a_kernel_registered_later_is_used_from_then_on():
    """By what is compiled after it, and by nothing else."""
    made = use(losslang.loss(), surprise)
    before = [compiled("surprise(sigmoid)") for _ in range(2)]
    wanted = before[0](LOGITS, TRUTH)
    for factor in (1, 2):
        made.kernel("sigmoid")(lambda x, t, *, floor=None, k=factor: k * t * torch.nn.functional.softplus(-x))
        close(compiled("surprise(sigmoid)")(LOGITS, TRUTH), factor * wanted)
    assert "kernel:" not in str(before[0].plan)
    made.kernel("identity")(lambda x, t, *, floor=None: 0 * x)
    for loss in before:
        for size in (2, 1):
            close(
                loss(LOGITS[:size], TRUTH[:size]),
                compiled("surprise(sigmoid)")(LOGITS[:size], TRUTH[:size]) / 2,
            )


def test_a_registry_is_copied_when_it_has_changed():
    registry = current_registry()
    first = registry.snapshot()
    assert registry.snapshot() is first
    assert current_registry().snapshot() is first
    use(losslang.loss(activation="identity"), hyperbolic)
    assert registry.snapshot() is not first
    assert first.loss("hyperbolic") is None
    assert registry.snapshot().names(Loss) == registry.names(Loss)
    assert registry.snapshot().loss("mae") == registry.loss("mae")
    assert compiled("mse")._programs is compiled("mse")._programs


def test_a_pickle_names_what_it_needs():
    """Of every kind, wherever it stands in the program."""
    losslang.loss(activation="identity")(hyperbolic)
    losslang.activation()(steep)
    losslang.reduction()(extreme)
    losslang.function(fold=lambda x: x / 2)(halved)
    loss = compiled("bce(steep) + hyperbolic@(halved(pred), target) + halved(batch.w)*mse(reduction=extreme)")
    names = {
        ("activation", "steep"),
        ("loss", "hyperbolic"),
        ("function", "halved"),
        ("reduction", "extreme"),
    }
    rebuild, (record,), _ = loss.__reduce__()
    assert record["extensions"] == dict.fromkeys(names, __name__)
    assert compiled("ce + dice(softmax)").record["extensions"] == {}
    del DEFINED[-4:]
    _registry.cache_clear()
    with pytest.raises(LossError) as caught:
        rebuild(record)
    assert {d.code for d in caught.value.diagnostics} == {"E529"}
    assert len(caught.value.diagnostics) == 4
