"""E37: denominators that the call hands over, and terms that have none."""

from __future__ import annotations

from collections.abc import Sequence

from losslang.diagnostics.diagnostic import Diagnostic
from losslang.diagnostics.mistakes import mistake
from losslang.diagnostics.source import Span

DATA = "x, y = torch.rand(4, 3, 8, 8), torch.randint(3, (4, 8, 8))\n"


@mistake(
    "E370",
    form="python",
    example="losslang.compile('l1@(pred.a, pred.b)').count(torch.zeros(3))",
    repair="losslang.compile('l1').count(torch.zeros(3))",
)
def not_counted(span: Span, term: str, why: str) -> Diagnostic:
    """`loss.count(target)` cannot know a denominator before there is a prediction.

    It reads the target, the keywords of the call and `const` alone. Where only the prediction says how many
    values there are, `loss.detail(...).counts` has the count of a call; the entry of the term in the vector
    for `norm=` is then the sum of these.
    """
    return Diagnostic(
        "",
        f"the denominator of `{term}` is not known before the prediction",
        span,
        caret=why,
        fix="take it from `loss.detail(...).counts`, or write the term with `reduction=sum` or `avg_factor=batch.n`",
    )


@mistake(
    "E371",
    form="python",
    example=DATA + "losslang.compile('ce + dice(batch=true)')(x, y, norm=[256, 1])",
    repair=DATA + "losslang.compile('ce + dice')(x, y, norm=[256, 4])",
)
def not_split(span: Span, term: str, why: str) -> Diagnostic:
    """A term whose value on a batch is no sum over parts of the batch.

    `norm=` makes each call a part of one big batch: a term is then its sum over samples, divided by the
    denominator of the whole. Order statistics, regions of all samples, products, roots and losses that
    compare samples have no such sum: on parts they are another loss. `losslang explain` names them.
    """
    return Diagnostic(
        "",
        f"`{term}` cannot be split over micro-batches",
        span,
        caret=why,
        fix="leave `norm=` out, and train this program on whole batches; or log the term: `metric(...)`",
    )


@mistake(
    "E372",
    form="python",
    example=DATA + "losslang.compile('ce + 0.1*dice')(x, y, norm=256)",
    repair=DATA + "loss = losslang.compile('ce + 0.1*dice')\nloss(x, y, norm=loss.count(y))",
)
def two_denominators(span: Span, first: str, second: str, terms: Sequence[str]) -> Diagnostic:
    """One number for terms that are divided by different counts.

    A number fits where all terms share a denominator by the program: the same target, mask and ignored
    labels, counted in the same way. That two counts are equal in this batch is chance.
    """
    return Diagnostic(
        "",
        f"`norm` is one number, and `{first}` and `{second}` have denominators of their own",
        span,
        caret="counts something else",
        fix=f"hand over a vector, one denominator for each of {', '.join(terms)}: the sum of "
        "`loss.count(target)` over the micro-batches",
    )


@mistake(
    "E373",
    form="python",
    example=DATA
    + "losslang.compile('l1@(pred.a, target) + ce@(pred.b, target)')({'a': x, 'b': x}, y, norm=[9, 9, 9])",
    repair=DATA + "losslang.compile('mse(reduction=sum)')(x, x)",
)
def no_norm(span: Span, found: str, terms: Sequence[str]) -> Diagnostic:
    """`norm` is neither a vector with one number for each term that is trained, nor one number.

    The entries stand in the order of `loss.terms(...)`; metrics have none. The entry of a sum, and of a term
    with an `avg_factor`, is 0 and not read. A program of such terms alone takes no norm.
    """
    wanted = (
        f"{len(terms)} numbers, for {', '.join(terms)}" if terms else "nothing: no term divides by a count"
    )
    return Diagnostic(
        "",
        f"`norm` is {found}",
        span,
        caret=f"must be {wanted}",
        fix="hand over `loss.count(target)`, summed" if terms else "leave it out",
    )


@mistake(
    "E375",
    form="python",
    example=DATA + "losslang.compile('ce')(x, y, norm=float('nan'))",
    repair=DATA + "loss = losslang.compile('ce')\nloss(x, y, norm=loss.count(y))",
)
def no_count(span: Span, term: str, number: float) -> Diagnostic:
    """A denominator in `norm=` that is negative, infinite or not a number.

    It is how much counts in all calls of a step, or that over a number of ranks or micro-batches. It is
    looked at where that needs no wait: not on a GPU, nor while torch traces.
    """
    return Diagnostic(
        "",
        f"the `norm` of `{term}` is {number:g}",
        span,
        caret="is divided by a count",
        fix="hand over the sum of `loss.count(...)` over all calls of the step",
    )


@mistake(
    "E376",
    form="python",
    example=DATA + "losslang.compile('ce')(x, y, norm=0)",
    repair=DATA + "loss = losslang.compile('ce')\nloss(x, y, norm=loss.count(y))",
)
def nothing_for_something(span: Span, term: str, own: float) -> Diagnostic:
    """A denominator in `norm=` of 0 for a call in which something counts.

    The denominator is that of all calls of a step, this one too: it is at least what this call counts. Where
    nothing counts in the whole step it is 0, and so are value and gradient. On a GPU, and while torch traces,
    it is not looked at: there the value is an infinity, which shows.
    """
    return Diagnostic(
        "",
        f"the `norm` of `{term}` is 0, and this call counts {own:g}",
        span,
        caret="counts something",
        fix="hand over the sum of `loss.count(...)` over all calls of the step, this one included",
    )


@mistake(
    "E377",
    form="python",
    example=DATA + "n = torch.tensor([256.0], requires_grad=True)\nlosslang.compile('ce')(x, y, norm=n)",
    repair=DATA + "n = torch.tensor([256.0])\nlosslang.compile('ce')(x, y, norm=n)",
)
def norm_with_gradient(span: Span) -> Diagnostic:
    """A `norm` that asks for a gradient: a count is a number of the data, and has none.

    It was computed from a prediction or a parameter, and training would move it.
    """
    return Diagnostic(
        "",
        "`norm` asks for a gradient",
        span,
        caret="a count has none",
        fix="hand over `loss.count(...)`, or `norm.detach()`",
    )


@mistake(
    "E374",
    form="python",
    example="losslang.compile('dice + ce(reduction=topk)', distributed=True)",
    repair="losslang.compile('dice + ce', distributed=True)",
)
def not_over_ranks(span: Span, term: str, why: str) -> Diagnostic:
    """A term that `compile(..., distributed=)` cannot compute as one process would on the whole batch.

    Sums and counts of the ranks are added up, and losses that compare embeddings get the rows of all ranks.
    Order statistics of all values, memories, and numbers that the call divided already have no such sums.
    Without `distributed=` such a term is that of each rank by itself, and its mean over the ranks is another
    loss than that of the whole batch.
    """
    return Diagnostic(
        "",
        f"`{term}` cannot be computed over ranks",
        span,
        caret=why,
        fix="leave `distributed=` out and train on the loss of each rank by itself; or log the term: `metric(...)`",
    )


@mistake(
    "E570",
    form="python",
    example=DATA + "losslang.compile('ce', distributed=True)(x, y)",
    repair=DATA + "losslang.compile('ce', distributed=torch.distributed.is_initialized())(x, y)",
)
def no_rank(span: Span, is_initialized: bool) -> Diagnostic:
    """A call over ranks in a process that is none: there is no process group, or it is no member of it.

    `compile(..., distributed=)` needs `torch.distributed.init_process_group` before the first call. A process
    that evaluates alone sets `loss.distributed = None`.
    """
    found = "is no rank of the group that it was given" if is_initialized else "has no process group"
    fix = (
        "hand over a group of which this process is a member"
        if is_initialized
        else "call `torch.distributed.init_process_group` first, or hand over `distributed=None`"
    )
    return Diagnostic("", f"the loss is computed over ranks, and this process {found}", span, fix=fix)
