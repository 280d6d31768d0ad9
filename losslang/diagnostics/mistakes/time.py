"""E34: clocks and schedules."""

from __future__ import annotations

from collections.abc import Sequence

from losslang.diagnostics.diagnostic import Diagnostic
from losslang.diagnostics.mistakes import mistake
from losslang.diagnostics.source import Span


@mistake("E340", example="ramp(0, 1)*ce", repair="ramp(0, 1, steps=1000)*ce")
def no_unit(span: Span, call: str, name: str, units: Sequence[str], found: int) -> Diagnostic:
    """A schedule whose length has no unit, or two.

    `steps=` counts the steps of the optimizer, by `loss.tick()`; `epochs=` the epochs, by
    `loss.set_clock(epoch=...)`.
    """
    listed = " or ".join(f"`{unit}=`" for unit in units)
    if found:
        return Diagnostic("", f"`{name}` takes one length, not {found}", span, fix=f"keep one of {listed}")
    opened = call.removesuffix(")") if call.endswith(")") else f"{call}("
    inside = "" if opened.endswith("(") else ", "
    fixes = " or ".join(f"`{opened}{inside}{unit}=...)`" for unit in units[:2])
    return Diagnostic("", f"how long `{name}` takes is not said", span, fix=f"write {fixes}")


@mistake("E341", example="ramp(0, batch.w, steps=100)*ce", repair="batch.w*ramp(0, 1, steps=100)*ce")
def end_is_a_tensor(span: Span, name: str, found: str) -> Diagnostic:
    """A schedule between tensors of the call.

    The ends of a schedule are numbers, or other schedules. What differs from call to call multiplies it.
    """
    return Diagnostic(
        "",
        f"`{name}` goes from number to number, and `{found}` is none",
        span,
        fix=f"multiply instead: `{found}*{name}(...)`",
    )


@mistake(
    "W342",
    form="python",
    example="""loss = losslang.compile("l1 + ramp(0, 1, steps=9)*mse")
[loss(torch.zeros(3), torch.ones(3)) for _ in range(200)]""",
    repair="""loss = losslang.compile("l1 + ramp(0, 1, steps=9)*mse")
[(loss(torch.zeros(3), torch.ones(3)), loss.tick()) for _ in range(200)]""",
)
def clock_stands(span: Span, clock: str, time: int, calls: int) -> Diagnostic:
    """A clock that nobody moves: schedules, and the weights of `dwa`, stay where they start.

    It is told once, after 100 calls in training. Call `loss.tick()` after each step of the optimizer, or
    `loss.set_clock(step=trainer.global_step, epoch=trainer.current_epoch)` before each call. Both clocks are
    in the `state_dict` of the loss. Under gradient accumulation a step is one of the optimizer.
    """
    fixes = {
        "step": "call `loss.tick()` after each step of the optimizer",
        "epoch": "call `loss.set_clock(epoch=...)` at the start of each epoch",
    }
    return Diagnostic(
        "",
        f"`{clock}` still stands at {time} after {calls} calls in training: nothing moves it",
        span,
        why="what follows from it stays as it is, schedules and the weights of `dwa`",
        fix=fixes[clock],
    )
