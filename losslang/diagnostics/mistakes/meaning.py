"""E3: known names in a combination that cannot be right."""

from __future__ import annotations

from collections.abc import Sequence

from losslang.diagnostics.diagnostic import Diagnostic, Label
from losslang.diagnostics.mistakes import mistake
from losslang.diagnostics.source import Span
from losslang.vocabulary import IN_WORDS


@mistake(
    "E301",
    example="bce_with_logits(sigmoid) + dice(sigmoid)",
    repair="bce(sigmoid) + dice(sigmoid)",
)
def wrong_view(
    span: Span, name: str, name_span: Span, wants: str, activation: str, gives: str, fix: str
) -> Diagnostic:
    """A loss is handed another view of the prediction than it reads.

    An activation is a function between views: `sigmoid` and `softmax` turn logits into
    probabilities, `log_softmax` into log-probabilities. A loss reads one of them; applying an
    activation to what is already activated trains without an error, and badly.
    """
    why = ""
    if wants == "logits" and gives == "probs":
        why = f"the {activation} would be applied twice; training runs, with every gradient shrunk"
        why += " by p(1-p) <= 1/4" if activation == "sigmoid" else ""
    return Diagnostic(
        "",
        f"`{name}` reads {IN_WORDS.get(wants, wants)}, but `{activation}` hands it {IN_WORDS.get(gives, gives)}",
        span,
        caret=f"gives: {gives}",
        labels=(Label(name_span, f"wants: {wants}"),),
        why=why,
        fix=fix,
    )


@mistake("E302", example="bce(sigmoid) + ce + dice", repair="bce(sigmoid)@edge + ce@seg + dice@seg")
def no_agreement(
    span: Span, name: str, operand: str, speakers: Sequence[tuple[Span, str, str]]
) -> Diagnostic:
    """A term has no activation of its own, and its neighbours use different ones.

    One prediction has one activation: a term that reads probabilities and writes none takes the
    one that the other terms use on the same tensor. Here they use several.
    """
    options = list(dict.fromkeys(activation for _, _, activation in speakers))
    return Diagnostic(
        "",
        f"`{name}` reads probabilities of `{operand}`, and its neighbours use different activations",
        span,
        caret="which one?",
        labels=tuple(Label(at, f"reads `{activation}`") for at, _, activation in speakers),
        fix="write it: " + " or ".join(f"`{name}({activation})`" for activation in options),
    )


@mistake("E303", example="ce + dice(identity)", repair="ce + dice")
def two_readings(
    span: Span, name: str, operand: str, other: Span, other_name: str, as_what: str
) -> Diagnostic:
    """One tensor is read both as probabilities and as logits.

    It cannot be both. `identity` says that the tensor already holds what the loss reads.
    """
    return Diagnostic(
        "",
        f"`{name}` reads `{operand}` as {as_what} as it stands, but `{other_name}` reads it as logits",
        span,
        caret=f"as {as_what}",
        labels=(Label(other, "as logits"),),
        fix=f"write the activation: `{name}(sigmoid)` or `{name}(softmax)`",
    )


@mistake("E304", example="triplet@(pred.a, pred.p)", repair="triplet@(pred.a, pred.p, pred.n)")
def wrong_operands(span: Span, name: str, wanted: Sequence[str], problem: str, fix: str = "") -> Diagnostic:
    """A loss is handed too few or too many tensors."""
    if not wanted:
        return Diagnostic("", f"`{name}` {problem}", span, caret="reads no tensor", fix=f"`{name}`")
    return Diagnostic("", f"`{name}` {problem}", span, caret=f"reads {', '.join(wanted)}", fix=f"`{fix}`")


@mistake("E305", example="ce + zero_one", repair="ce + metric(zero_one)")
def only_a_metric(span: Span, name: str) -> Diagnostic:
    """A loss without a gradient is trained on.

    Counting mistakes has a derivative of 0 everywhere. Inside `metric(...)` it is logged.
    """
    return Diagnostic(
        "",
        f"`{name}` has no gradient, so it cannot be trained on",
        span,
        fix=f"log it: `metric({name})`",
    )


@mistake("E306", example="2*3", repair="2*ce")
def nothing_to_learn(span: Span, found: str) -> Diagnostic:
    """The program reads no tensor that could be trained on: it is a number, or only metrics."""
    return Diagnostic("", f"this is {found}, so nothing would be learned", span, fix="add a loss")


@mistake("E307", example="ce/0", repair="ce/10")
def impossible_number(span: Span, operation: str, why: str) -> Diagnostic:
    """A constant that cannot be computed: a division by 0, an overflow, a root of a negative number."""
    return Diagnostic("", f"`{operation}` {why}", span, fix="write a finite number")


@mistake("E308", example="ce(reduction=none) + dice", repair="ce(reduction=none)")
def not_reduced(span: Span, name: str) -> Diagnostic:
    """`reduction=none` in a program of several terms.

    Values of different shapes cannot be added. With one term the call returns them as they are.
    """
    return Diagnostic(
        "",
        f"`{name}` is not reduced, but it is not the whole program",
        span,
        fix="remove `reduction=none`, or compile this term alone",
    )


@mistake("E310", example="ce + sqrt(metric(mse))", repair="ce + metric(sqrt(mse))")
def metric_in_arithmetic(span: Span, outside: str) -> Diagnostic:
    """A metric inside arithmetic. It is logged and adds nothing, so nothing can be made of it."""
    return Diagnostic(
        "",
        f"a metric adds nothing, so `{outside}` cannot be computed from it",
        span,
        fix="put the whole expression inside: `metric(...)`",
    )


@mistake("E311", example="ce + true", repair="ce + 1")
def not_arithmetic(span: Span, found: str) -> Diagnostic:
    """A word, a text or a list where a number, a tensor or a term must stand."""
    fix = (
        "hand it over as a tensor, and read its path: `batch.x`"
        if found.startswith("[")
        else "write a number"
    )
    return Diagnostic("", f"`{found}` is neither a number nor a term", span, fix=fix)


@mistake("E312", example="mse@(pred.a, batch.norm)",
         repair="mse@(pred.a, batch.noise)")  # fmt: skip
def reserved_input(span: Span, name: str) -> Diagnostic:
    """`batch.norm` is taken: `loss(..., norm=n)` sets the denominator for accumulated gradients."""
    return Diagnostic("", f"`batch.{name}` is reserved", span, fix="rename the keyword of the call")


@mistake(
    "E314",
    example="ce(ignore_index=255) + focal(softmax, ignore_index=0) + dice(softmax)",
    repair="ce(ignore_index=255) + focal(softmax, ignore_index=255) + dice(softmax)",
)
def two_labels(span: Span, name: str, target: str, speakers: Sequence[tuple[Span, str]]) -> Diagnostic:
    """A term writes no label to ignore, and its neighbours ignore different ones.

    One target has one ignored label: a term that reads classes and writes no `ignore_index` takes the
    one that other terms wrote on the same target. Here they wrote several. `ignore_index=none` keeps a
    term out.
    """
    options = [*dict.fromkeys(label for _, label in speakers), "none"]
    return Diagnostic(
        "",
        f"`{name}` reads classes of `{target}`, and its neighbours ignore different labels",
        span,
        caret="which one?",
        labels=tuple(Label(at, f"ignores {label}") for at, label in speakers),
        fix="write it: " + " or ".join(f"`{name}(ignore_index={option})`" for option in options),
    )


@mistake(
    "W350",
    example="ce(ignore_index=255) + dice(softmax, ignore_index=254)",
    repair="ce(ignore_index=[254, 255]) + dice(softmax, ignore_index=[254, 255])",
)
def labels_differ(span: Span, name: str, target: str, label: str, other: Label, both: str) -> Diagnostic:
    """Two terms on one target ignore different labels, so that each of them reads what the other leaves out.

    A label that marks what is unknown is unknown to every term. A term that leaves out more than another,
    `ce(ignore_index=255) + dice(softmax, ignore_index=[0, 255])`, or none, is taken as it is meant.
    """
    message = (
        f"`{name}` ignores {label} of `{target}`, and another term {other.text.removeprefix('ignores ')}"
    )
    fix = f"to ignore all of them, write in both `ignore_index={both}`"
    return Diagnostic("", message, span, caret=f"ignores {label}", labels=(other,), fix=fix)


@mistake("E316", example="sum(mse)", repair="mse(reduction=sum)")
def reduced_twice(span: Span, name: str, body: str, inner: Span, fix: str) -> Diagnostic:
    """`sum` or `mean` of a loss, which is one number already.

    A loss is reduced by its own `reduction=`, the mean unless it says otherwise; a sum of one number would
    change nothing. As functions they reduce arithmetic on tensors: `mean(softplus(-batch.h))`. What is left
    out is no factor, `mean(batch.mask*mse)`, but a mask: `mse(mask=batch.mask)`.
    """
    return Diagnostic(
        "",
        f"`{name}` of a loss reduces nothing: `{body}` is one number",
        span,
        labels=(Label(inner, "reduced already"),),
        fix=f"`{fix}`",
    )


@mistake(
    "E317",
    example="ce(channels=last) + dice(channels=first)",
    repair="ce(channels=last) + dice",
)
def two_layouts(span: Span, path: str, written: str, other: Span) -> Diagnostic:
    """Two terms say of one tensor that its channels lie along different axes.

    `channels=first` is axis 1, (B, C, *S); `channels=last` the last one, (B, *S, C). It belongs to the
    tensor: terms that write none take it from the one that does.
    """
    return Diagnostic(
        "",
        f"`{path}` has its channels last in one term and first in another",
        span,
        caret=f"channels {written}",
        labels=(Label(other, f"channels {'first' if written == 'last' else 'last'}"),),
        fix="write `channels=` once, in one term",
    )


@mistake("W301", example="dice", repair="dice(sigmoid)")
def assumed(span: Span, name: str, operand: str) -> Diagnostic:
    """Nothing says which activation a prediction needs.

    The term reads probabilities; the tensor is taken as it stands, and the first call stops if its
    values are not in [0, 1].
    """
    return Diagnostic(
        "",
        f"`{name}` reads probabilities, and nothing says how to get them from `{operand}`",
        span,
        caret="taken as it stands",
        fix=f"`{name}(sigmoid)` or `{name}(softmax)` for logits; `{name}(identity)` if they are probabilities"
        + (
            "; `kl(exp)` if they are log-probabilities, as torch's `kl_div` reads them"
            if name == "kl"
            else ""
        ),
    )


@mistake("W302", example="bce(sigmoid) + dice(softmax)", repair="bce(sigmoid) + dice(sigmoid)")
def two_activations(
    span: Span, operand: str, first: tuple[str, str], first_span: Span, second: tuple[str, str]
) -> Diagnostic:
    """Two different activations on one prediction.

    It is allowed, and rarely meant: the two terms pull the same logits towards different readings.
    One may be a default: `ce` is a softmax, so that in `ce + dice(sigmoid)` a place has one class for
    one term, and may have several for the other. `ce@seg + bce(sigmoid)@edge` reads two tensors.
    """
    fix = "use one of them in both terms"
    if {first[0], second[0]} == {"softmax", "sigmoid"}:
        fix += ": `softmax` where a place has one class, `sigmoid` (with `bce(sigmoid)`) where it may have several"
    return Diagnostic(
        "",
        f"`{operand}` is read through both `{first[0]}` and `{second[0]}`",
        span,
        caret=_by_default(second),
        labels=(Label(first_span, _by_default(first)),),
        fix=fix,
    )


def _by_default(said: tuple[str, str]) -> str:
    activation, loss = said
    return f"{activation}, the default of {loss}" if loss else activation


@mistake("W304", example="l1 + ssim", repair="l1 + (1 - ssim)")
def index_as_loss(span: Span, name: str, fix: str) -> Diagnostic:
    """An index that is larger where the prediction is better is trained to be small.

    `ssim`, `ms_ssim` and `psnr` are the index itself, as papers write `1 - ssim`.
    """
    return Diagnostic(
        "",
        f"`{name}` is larger where the prediction is better, and training makes it small",
        span,
        why="the network would learn to be as unlike the target as it can",
        fix=f"`{fix}`",
    )


@mistake("W303", example="bce + ce", repair="bce(softmax) + ce")
def pulled(span: Span, name: str, activation: str, origin: str) -> Diagnostic:
    """`bce` takes a softmax from its neighbour.

    A binary cross entropy is usually meant on a sigmoid. One prediction has one activation, so here
    it reads the softmax of the other term.
    """
    return Diagnostic(
        "",
        f"`{name}` reads `{activation}`, as `{origin}` beside it does",
        span,
        caret=f"through {activation}",
        fix=f"write `{name}({activation})` if it is meant, or `{name}(sigmoid)`",
    )
