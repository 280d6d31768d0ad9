"""W36: terms that count what is meant to be left out, or whose classes nobody places."""

from __future__ import annotations

from collections.abc import Sequence

from losslang.diagnostics.diagnostic import Diagnostic
from losslang.diagnostics.mistakes import mistake
from losslang.diagnostics.source import Span

Shape = tuple[int, ...]


@mistake(
    "W360",
    form="python",
    example="losslang.compile('ce + kd(target=batch.teacher)')(\n"
    "    torch.randn(4, 3), torch.tensor([0, 1, 2, -100]), teacher=torch.randn(4, 3)\n)",
    repair="losslang.compile('ce + kd(target=batch.teacher, mask=batch.valid)')(\n"
    "    torch.randn(4, 3), torch.tensor([0, 1, 2, -100]), teacher=torch.randn(4, 3),\n"
    "    valid=torch.tensor([True, True, True, False]),\n)",
)
def counts_what_is_ignored(
    span: Span, term: str, ignoring: str, labels: Sequence[int], fix: str
) -> Diagnostic:
    """A term counts places of a prediction whose labels another term on it leaves out.

    An ignored label belongs to a target of classes. A term that reads none, as `kd`, does not know it, and
    learns from the padding of a language model. Said once, where the first call holds such labels; `mask=`
    says what counts.
    """
    shown = " and ".join(map(str, labels))
    valid = " & ".join(f"(labels != {label})" for label in labels)
    return Diagnostic(
        "",
        f"`{ignoring}` leaves out the places labelled {shown}, and `{term}` beside it counts them",
        span,
        caret="has no mask",
        why="it would learn from what is marked as unknown, as padding is",
        fix=f"`{fix}`, and hand over `valid={valid[1:-1] if len(labels) == 1 else valid}`",
    )


@mistake(
    "W361",
    form="python",
    example="losslang.compile('kd(target=batch.teacher)')(\n"
    "    torch.randn(4, 8, 3), teacher=torch.randn(4, 8, 3)\n)",
    repair="losslang.compile('kd(target=batch.teacher, channels=last)')(\n"
    "    torch.randn(4, 8, 3), teacher=torch.randn(4, 8, 3)\n)",
)
def untold_axis(span: Span, term: str, pred: Shape, first: str, last: str) -> Diagnostic:
    """A softmax over one of three axes, where neither a word nor a label tells which one the classes are.

    Classes are axis 1, (B, C, T), unless `channels=last` says that they are the last one, as in the logits
    (B, T, V) of a language model. Where both tensors are logits of one shape, no size tells a mistake. Said
    once, in the first call; a term with labels on the same prediction, or a written `channels=`, tells.
    """
    return Diagnostic(
        "",
        f"`{term}` reads the {pred[1]} entries along axis 1 of {pred} as classes, and nothing says that they are",
        span,
        why="over another axis it would be a number too, and the wrong one",
        fix=f"`{last}` for (B, T, V), or `{first}` for (B, C, T)",
    )


@mistake("W362", example="batch.mask*bce(sigmoid)", repair="bce(sigmoid, mask=batch.mask)")
def mask_as_factor(span: Span, term: str, path: str, masked: str) -> Diagnostic:
    """A factor that is a mask by its name: `batch.mask*bce`, `l1*target.valid`.

    A tensor before a loss is a weight. It multiplies values and leaves the count alone, so that the mean
    divides by what is masked out too, and NaN under a mask of zeros stays NaN. `mask=` leaves elements out.
    """
    return Diagnostic(
        "",
        f"`{path}` multiplies the values of `{term}`, and masks none of them",
        span,
        caret="a weight",
        why="the mean divides by all elements, those under the mask too",
        fix=f"`{masked}`; if a weight is meant, write `weight={path}`",
    )


@mistake(
    "W364",
    example="dice(softmax, background=false) + focal(softmax, ignore_index=0)",
    repair="dice(softmax, background=false, ignore_index=none) + focal(softmax, ignore_index=0)",
)
def background_ignored(span: Span, term: str, origin: str, fix: str) -> Diagnostic:
    """A region loss without its channel 0 takes 0 as the label to ignore from another term.

    `background=false` leaves out the channel of the background and counts its places: what is predicted
    there in vain costs something. `ignore_index=0` leaves out these places too. One target has one ignored
    label, so that a term that writes none takes it; `ignore_index=none` keeps it out.
    """
    return Diagnostic(
        "",
        f"`{term}` drops channel 0, and takes `ignore_index=0` from `{origin}`",
        span,
        caret="ignores the places of the background too",
        why="what is predicted there in vain costs nothing",
        fix=f"`{fix}`",
    )


@mistake(
    "W363",
    form="python",
    example="losslang.compile('ce')(torch.randn(4, 3).softmax(1), torch.tensor([0, 1, 2, 0]))",
    repair="losslang.compile('ce')(torch.randn(4, 3), torch.tensor([0, 1, 2, 0]))",
)
def activated_already(span: Span, term: str, activation: str, fix: str) -> Diagnostic:
    """A softmax over a prediction that adds up to 1 over its classes: the network ends in a softmax itself.

    Logits do not: they are any real numbers. Said once, in the first call, of two places and more
    that differ.
    """
    return Diagnostic(
        "",
        f"`{term}` takes the {activation} of a prediction that adds up to 1 over its classes already",
        span,
        why="the softmax would be applied twice; training runs, with every gradient shrunk",
        fix=fix,
    )


@mistake(
    "W347",
    form="python",
    example="losslang.compile('nll')(3*torch.randn(4, 3), torch.tensor([0, 1, 2, 0]))",
    repair="losslang.compile('nll(log_softmax)')(3*torch.randn(4, 3), torch.tensor([0, 1, 2, 0]))",
)
def no_log_probabilities(span: Span, term: str, high: float, written: str) -> Diagnostic:
    """Values above 0 in a prediction that is read as log-probabilities: the network returns logits.

    A logarithm of a probability is at most 0. Said once, in the first call.
    """
    return Diagnostic(
        "",
        f"`{term}` reads log-probabilities, and the prediction holds {high:.4g}: these are logits",
        span,
        why="nothing divides by the other classes: a larger logit is a smaller loss, without end",
        fix=f"write `{written}`",
    )
