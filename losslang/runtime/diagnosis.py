"""Diagnosis: the first step, operand and sample of a call that is not finite, forward or backward."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import cast

from losslang.diagnostics.diagnostic import Diagnostic
from losslang.diagnostics.mistakes.inside import gradient_not_finite, not_finite
from losslang.diagnostics.rendering import full
from losslang.diagnostics.source import Source, Span
from losslang.meaning.program import Meaning
from losslang.plan.plan import Output, Ref, Step
from losslang.runtime.compiled import Programs
from losslang.runtime.elements import closed
from losslang.runtime.stepwise import Ran, path_of, plain, run, tensors_in
from losslang.syntax import formatter
from losslang.tensors.lazy import torch
from losslang.vocabulary import Tensor

Index = tuple[int, ...]
IN_PLACE = ("zero_masked", "zero_masked_raw", "float_prediction", "number", "beside", "weigh", "affine")
"""Operations of which an element is computed from its own place alone; so is arithmetic."""
WORDS = {
    "math:+": "the sum",
    "math:-": "the difference",
    "math:*": "the product",
    "math:/": "the quotient",
    "math:**": "the power",
    "math:neg": "the negative",
    "matching": "a parameter of the model",
}


@dataclass(frozen=True)
class Finding:
    """One cause: the terms that it spoils, its step in words, and where it stands.

    `operand` is what the call hands over there, as `pred.seg`; `sample` the index along axis 0, `place` the
    indices along the others. `diagnostic` is the same with its place in the program.
    """

    terms: tuple[str, ...]
    step: str
    operand: str
    sample: int | None
    place: Index
    diagnostic: Diagnostic


@dataclass(frozen=True)
class Diagnosis:
    """The answer of `loss.diagnose`: what is not finite, in the order of the program. It prints itself."""

    findings: tuple[Finding, ...]
    diagnostics: tuple[Diagnostic, ...]
    """Those of the findings, and after them the values that the checks of a first call refuse."""

    def __str__(self) -> str:
        said = "\n\n".join(map(full, self.diagnostics))
        return said or "all values and gradients are finite"


def diagnose(programs: Programs, roots: Sequence[object]) -> Diagnosis:
    """Runs the terms step by step, forward and back, and finds what is not finite."""
    meaning = closed(programs.total, programs.meaning, roots)
    ran = run(plain(meaning, programs.registry, programs.order.ignore), programs.registry, roots)
    causes: dict[tuple[str, str], list[str]] = {}
    found: dict[tuple[str, str], Finding] = {}
    for output in ran.plan.outputs:
        for kind, finding in _of_term(ran, output, meaning):
            causes.setdefault((kind, finding.step), []).append(output.name)
            found.setdefault((kind, finding.step), finding)
    findings = tuple(_spoiling(finding, causes[key], meaning.source) for key, finding in found.items())
    told = {finding.diagnostic.span for finding in findings}
    refused = [d for error in ran.refused for d in error.diagnostics if d.span not in told]
    return Diagnosis(findings, (*(finding.diagnostic for finding in findings), *dict.fromkeys(refused)))


def _spoiling(finding: Finding, terms: Sequence[str], source: Source) -> Finding:
    """A finding with all terms that it spoils."""
    listed = ", ".join(f"`{name}`" for name in terms)
    more = f"{finding.diagnostic.why}\nspoils {listed}".strip()
    return replace(
        finding, terms=tuple(terms), diagnostic=replace(finding.diagnostic, why=more, source=source)
    )


def _of_term(ran: Ran, output: Output, meaning: Meaning) -> Iterator[tuple[str, Finding]]:
    """What is not finite of one term: its value, else its gradient."""
    if not isinstance(output.value, Ref):
        return
    step = ran.steps[output.value.name]
    at = _first_bad(ran.values[step.name])
    if at is not None:
        origin, at = _origin(ran, step, at)
        yield "value", _finding(ran, origin, at, output.name, meaning)
    elif not output.metric:
        bad = _gradient(ran, step)
        if bad is not None:
            yield "gradient", _of_gradient(ran, *bad, output.name, meaning)


# ---------------------------------------------------------------------------- forward


def _first_bad(value: object, sample: int | None = None) -> Index | None:
    """The index of the first element that is not finite, of one sample if that is given."""
    for tensor in tensors_in(value):
        own = tensor.detach()
        bad = ~torch.isfinite(own if sample is None else own[sample])
        if bad.any():
            first = tuple(int(position) for position in bad.nonzero()[0])
            return first if sample is None else (sample, *first)
    return None


def _origin(ran: Ran, step: Step, at: Index) -> tuple[Step, Index]:
    """Goes from a value that is not finite up to the step that made it of finite ones, or to an input."""
    for above in ran.above(step):
        index = _cause(ran, step, above, at)
        if index is not None:
            return _origin(ran, above, index)
    return step, at


def _cause(ran: Ran, step: Step, above: Step, at: Index) -> Index | None:
    """Where a value that a step reads is not finite, so that it spoils the element `at`; None if it does not."""
    given, own = ran.values[above.name], ran.values[step.name]
    tensors, results = tensors_in(given), tensors_in(own)
    if not tensors or not results:
        return None
    if tensors[0].shape == results[0].shape and at:
        if not torch.isfinite(tensors[0][at]):
            return at
        if step.operation in IN_PLACE or step.kind == "math":
            return None
    has_samples = bool(at) and tensors[0].ndim > 0 and tensors[0].shape[0] == results[0].shape[0]
    return _first_bad(given, at[0] if has_samples else None)


def _finding(ran: Ran, step: Step, at: Index, term: str, meaning: Meaning) -> Finding:
    tensor = next(t for t in tensors_in(ran.values[step.name]) if not torch.isfinite(t).all())
    is_read = step.operation == "input"
    seen = [_counted(tensor)] if tensor.ndim else []
    seen += [] if is_read else _read_there(ran, step, at, tensor)
    what = _words(step)
    said = not_finite(
        _span(step, term, meaning), what, _number(tensor[at]), _where(at), "\n".join(seen), is_read=is_read
    )
    operands = path_of(step) if is_read else ", ".join(map(path_of, ran.inputs_of(step)))
    return _placed(step, operands, at, said)


def _placed(step: Step, operand: str, at: Index, said: Diagnostic) -> Finding:
    return Finding((), _words(step), operand, at[0] if at else None, at[1:], said)


def _counted(tensor: Tensor) -> str:
    """`3 of 64 values are not finite, in 2 of 8 samples`."""
    bad = ~torch.isfinite(tensor)
    samples = bad.flatten(1).any(1).sum().item() if tensor.ndim > 1 else bad.sum().item()
    inside = f", in {samples} of {len(tensor)} samples" if tensor.ndim > 1 else ""
    return f"{int(bad.sum())} of {bad.numel()} values are not finite{inside}"


def _read_there(ran: Ran, step: Step, at: Index, like: Tensor) -> list[str]:
    """The numbers that a step reads at a place, and those of the call that they come from."""
    above, inputs = ran.above(step), ran.inputs_of(step)
    own = [_at(ran.values[a.name], at, like) for a in above if a.operation != "input"]
    of_call = {path_of(i): v for i in inputs if (v := _at(ran.values[i.name], at, like))}
    found = [f"{path} = {value}" for path, value in of_call.items()]
    # What only hands a number of the call on is not told twice.
    numbers = [number for number in own if number and number not in of_call.values()]
    is_plain = step.kind in ("math", "activation", "reduction") or not found
    lines = [f"it reads {', '.join(numbers)} there"] if numbers and is_plain else []
    return lines + ([f"there {', '.join(found)}"] if found else [])


def _at(value: object, at: Index, like: Tensor) -> str:
    """The number of a tensor at a place, which may lack the axis of the classes; "" where there is none."""
    if not isinstance(value, torch.Tensor):
        return formatter.number(value) if isinstance(value, (int, float)) else ""
    without = (like.shape[:1] + like.shape[2:], at[:1] + at[2:])
    for shape, index in ((like.shape, at), without, (torch.Size(), ())):
        if value.shape == shape:
            return _number(value[index])
    return ""


# ---------------------------------------------------------------------------- backward


def _gradient(ran: Ran, step: Step) -> tuple[Step, Step, Tensor] | None:
    """The first step of the way back that hands on what is not finite: it, what it reads, and the gradient.

    None if all inputs get finite gradients.
    """
    value = ran.values[step.name]
    held = [(s, t) for s in ran.plan.steps for t in tensors_in(ran.values[s.name])[:1] if t.requires_grad]
    if not isinstance(value, torch.Tensor) or not value.requires_grad:
        return None
    tensors = [t for _, t in held]
    found = torch.autograd.grad(value.sum(), tensors, retain_graph=True, allow_unused=True)
    grads = cast("Sequence[Tensor | None]", found)
    bad = {
        s.name: grad
        for (s, _), grad in zip(held, grads, strict=True)
        if grad is not None and not torch.isfinite(grad).all()
    }
    if not any(reader.name in bad for reader in ran.plan.inputs):
        return None
    last = next(s for s in reversed(ran.plan.steps) if s.name in bad)
    reached = {s.name for s, _ in held}
    readers = [s for s in ran.plan.steps if last.name in s.input_names and s.name in reached]
    return readers[0] if readers else last, last, bad[last.name]


def _of_gradient(ran: Ran, step: Step, read: Step, grad: Tensor, term: str, meaning: Meaning) -> Finding:
    at = _first_bad(grad) or ()
    seen = _read_there(ran, step, at, grad) if grad.ndim else []
    span = _span(step, term, meaning)
    said = gradient_not_finite(span, _words(step), _number(grad[at]), _where(at), "\n".join(seen))
    inputs = [path_of(i) for i in ran.inputs_of(read)]
    return _placed(step, ", ".join(inputs), at, said)


# ---------------------------------------------------------------------------- words


def _words(step: Step) -> str:
    """A step in the words of the program: `pred`, `bce(sigmoid)`, the reduction `mean`."""
    match step.kind:
        case "loss" | "totals":
            return f"`{step.op}`"
        case "kernel":
            chosen = step.kernel_activation
            return f"`{step.loss_name}{'' if chosen == 'identity' else f'({chosen})'}`"
        case "activation" | "reduction" | "schedule":
            return f"the {step.kind} `{step.op}`"
        case _ if step.operation == "input":
            return f"`{path_of(step)}`"
        case _:
            return WORDS.get(step.operation, f"`{step.op}`")


def _span(step: Step, term: str, meaning: Meaning) -> Span:
    """The place of a step in the program; that of its term where it has none of its own."""
    if step.site is not None and step.site.span.end:
        return step.site.span
    span = next((t.span for t in meaning.terms if t.name == term), None)
    return span if span is not None and span.end else meaning.source.whole


def _where(at: Index) -> str:
    """` in sample 3 at (0, 2)`: the first axis is that of the samples."""
    if not at:
        return ""
    place = f" at ({', '.join(map(str, at[1:]))})" if at[1:] else ""
    return f" in sample {at[0]}{place}"


def _number(value: Tensor) -> str:
    return f"{value.item():.6g}"
