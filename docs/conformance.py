"""Writes docs/conformance.md: whose numbers ours are, case by case.

python docs/conformance.py            rewrites the page
python docs/conformance.py --check    exits 1 if it is not what the code says
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from conformance.case import Case, Library, libraries  # noqa: E402  # found by the line above
from conformance.points import agrees, recorded  # noqa: E402
from conformance.run import Result, compute, result  # noqa: E402

PAGE = ROOT / "docs" / "conformance.md"

HEAD = """\
# Conformance

Calls of other libraries with the numbers that they gave, and the same in our language. `asserted` numbers are
those that a test of the library asserts, `literal` ones were copied from such a test by hand; `peer_output` is what
its code gave on fixed inputs, which nobody vouches for. The cases are in `tests/conformance/cases`, each with its
source; the translation of a library's constructors into our options is one file in `tests/conformance/peers`.

**A case passes if one program gives its number**, in float32 and in float64, to the tolerance of the library's own
test, or to what the type can tell apart where that is more.

- The program is made of the settings of the library's constructor, among them the number of classes. It is the same
  for a batch of other numbers and of another size.
- Between the library's call and ours tensors are indexed, reshaped and cast, and nothing else: channels are moved,
  axes flattened, labels made integers, a target indexed at the places of a smaller level, settings handed over as
  `const`. What is normalised, subtracted, activated, chosen or made one-hot is so by the program, or the case is
  *not said*.
- Our values are reshaped, where the library lays out its own otherwise, and reduced as the test of the library
  reduces its own before it compares.
- Some programs are the library's loss only for some batches: where labels are hard, or none is ignored. Of the
  others the case is not said, with that reason.

`tests/conformance/tensors.py` holds this: the tensors of a case raise on everything else, and each case is translated
for another batch, too. `tests/conformance/test_conformance.py` runs the cases, and shows translations that are refused.

This page is written by `python docs/conformance.py`; a test holds it to the code.
"""


def page() -> str:
    held = list(libraries())
    parts = [
        HEAD,
        "## Libraries",
        summary(held),
        "## Cases",
        table(held),
        "## What is not said in our language",
        unsaid(held),
    ]
    parts += ["## `like=`", LIKE, promises()]
    parts += ["## Other numbers on purpose", PURPOSE, different(held), "## Later versions", LATER]
    return "\n\n".join(part.strip() for part in parts) + "\n"


# ------------------------------------------------------------------------- how many


def table(held: Sequence[Library]) -> str:
    """One row for each library and loss, and one for all."""
    rows = [
        "| library | version | loss | kind | cases | float32 | float64 | not said | other number |",
        "|---|---|---|---|--:|--:|--:|--:|--:|",
    ]
    total: Counter[str] = Counter()
    for library in held:
        groups: dict[tuple[str, str], list[Case]] = {}
        for case in library.cases:
            groups.setdefault((case.loss, case.kind), []).append(case)
        for (loss, kind), cases in sorted(groups.items()):
            counts = Counter(outcome for case in cases for outcome in outcomes(case))
            total += counts
            rows.append(row(library.repository, f"`{library.version}`", f"`{loss}`", kind, counts))
    rows.append(row("all", "", "", "", total))
    return "\n".join(rows)


def summary(held: Sequence[Library]) -> str:
    """One row for each library."""
    rows = ["| library | cases | pass | not said | other number |", "|---|--:|--:|--:|--:|"]
    total: Counter[str] = Counter()
    for library in held:
        counts = Counter(outcome for case in library.cases for outcome in outcomes(case))
        total += counts
        rows.append(brief(library.repository, counts))
    return "\n".join([*rows, brief("all", total)])


def brief(name: str, counts: Counter[str]) -> str:
    numbers = [counts[key] or "" for key in ("cases", "pass", "not said", "other number")]
    return f"| {' | '.join(map(str, [name, *numbers]))} |"


def outcomes(case: Case) -> Iterator[str]:
    """What a case is counted among."""
    yield "cases"
    single, double = result(case, torch.float32), result(case, torch.float64)
    if double.ours is None:
        yield "not said"
    elif double.ours.differs:
        yield "other number"
    else:
        yield from ["float32"] * single.agrees
        yield from ["float64"] * double.agrees
        yield from ["pass"] * (single.agrees and double.agrees)


def row(*cells: str | Counter[str]) -> str:
    *texts, counts = cells
    assert isinstance(counts, Counter)
    numbers = [str(counts[key] or "") for key in ("cases", "float32", "float64", "not said", "other number")]
    return f"| {' | '.join([*map(str, texts), *numbers])} |"


# ------------------------------------------------------------------------- what like= promises

LIKE = """\
`like=` is the number of the library, or a refusal. The grid that it is held to was recorded with the library's own
code (`tests/conformance/record.py`): activations x labels to ignore x weights of classes x reductions x ranks and
channels x forms of a truth. "Refused" is what the library has a number for and we refuse, because ours is not known to
be it or for a reason of its own, as a softmax over one channel; "neither" are calls that the library refuses. There is
no other column: `tests/conformance/test_presets.py` sees to it."""


def promises() -> str:
    """One row for each library: its losses, and what became of every point."""
    rows = ["| library | losses | points | same number | refused | neither |", "|---|--:|--:|--:|--:|--:|"]
    total: Counter[str] = Counter()
    for library in recorded():
        counts = Counter(losses=len(library.has), points=len(library.points))
        for point in library.points:
            kind = "neither" if point.value is None else "same" if agrees(point) else "refused"
            counts[kind] += 1
        total += counts
        rows.append(promise(library.version, counts))
    return "\n".join([*rows, promise("all", total)])


def promise(name: str, counts: Counter[str]) -> str:
    numbers = [str(counts[key] or "") for key in ("losses", "points", "same", "refused", "neither")]
    return f"| {' | '.join([name, *numbers])} |"


# ------------------------------------------------------------------------- what is not


def unsaid(held: Sequence[Library]) -> str:
    """The calls that have no translation, by what they ask for; and any that has one and fails."""
    rows = ["| library | call | cases | why |", "|---|---|--:|---|"]
    reasons: Counter[tuple[str, str, str]] = Counter()
    for library in held:
        for case in library.cases:
            double, single = result(case, torch.float64), result(case, torch.float32)
            if double.ours is None:
                reasons[library.name, case.callable, double.why] += 1
            elif not double.ours.differs and not (double.agrees and single.agrees):
                reasons[library.name, case.callable, f"**deviates**: {deviation(case, single, double)}"] += 1
    rows += [f"| {name} | `{call}` | {n} | {cell(why)} |" for (name, call, why), n in reasons.items()]
    return "\n".join(rows)


def deviation(case: Case, single: Result, double: Result) -> str:
    seen = double if not double.agrees else single
    if seen.value is None:
        return seen.why
    precision = "float64" if seen is double else "float32 alone"
    return f"`{case.call}`: {shown(seen.value)}, there {shown(case.wanted(torch.float64))} ({precision})"


# ------------------------------------------------------------------------- what is meant to be otherwise

PURPOSE = """\
A number that a library gives and that we do not want to give: a defect of its own, or an edge where we decided
otherwise. A defect is never reproduced. Where the library's number is had by another program of ours, which
nobody means, the table shows what is meant."""


LATER = """\
The cases are of the versions named above. Later ones give other numbers for some of them; `like=` is of the version
that `losslang.primitives.libraries` names.

- MONAI 1.6.1 masks `MaskedDiceLoss` after the activation: of the cases above it gives 0.3333333 and 0.3011279, as
  `mask=` does. Its `AsymmetricUnifiedFocalLoss` is the mean over the channels, no longer the sum of their focal
  parts: 0.3854775 and not 0.4916215, as `unified_focal(like=monai)`.
- kornia 0.9.0 leaves classes that a target lacks out of `TverskyLoss` and of the macro `DiceLoss`, and takes the
  classes of the first apart: 0.6851508 and not 0.6693535. `SSIM3DLoss` mirrors its border: 0.4802426 and not
  0.8729850.
- keras 3.15.1 weighs false negatives with the `alpha` of `Tversky`, and false positives with its `beta`: 0.7916667
  and not 0.7619047."""


def different(held: Sequence[Library]) -> str:
    rows = ["| library | call | there | ours | our program | why |", "|---|---|---|---|---|---|"]
    for library in held:
        for case in library.cases:
            seen = result(case, torch.float64)
            if seen.ours is None or seen.value is None or not (seen.ours.differs or seen.ours.meant[0]):
                continue
            program, why = (seen.ours.text, seen.ours.differs) if seen.ours.differs else seen.ours.meant
            value = compute(seen.ours, program)
            numbers = apart(case.wanted(torch.float64), value.detach())
            cells = (library.name, f"`{case.call}`", *numbers, f"`{program}`", cell(why))
            rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def apart(theirs: Tensor, ours: Tensor) -> tuple[str, str]:
    """Two numbers; of lists the two that differ most."""
    theirs, ours = theirs.double().flatten(), ours.double().flatten()
    most = int((theirs - ours).abs().nan_to_num(nan=torch.inf).argmax())
    return number(float(theirs[most])), number(float(ours[most]))


def shown(value: Tensor) -> str:
    numbers = value.detach().double().flatten().tolist()
    return ", ".join(map(number, numbers[:4])) + (", ..." if len(numbers) > 4 else "")


def number(value: float) -> str:
    """Ten digits, twelve behind the point: what is the same on every machine."""
    return f"{round(value, 12) + 0.0:.10g}"


def cell(text: str) -> str:
    return text.replace("|", "\\|")


def main(arguments: list[str]) -> int:
    written = page()
    stale = not PAGE.exists() or PAGE.read_text("utf-8") != written
    if "--check" in arguments:
        if stale:
            print(f"{PAGE.relative_to(ROOT)} is not what the code says: run `python docs/conformance.py`")
        return int(stale)
    PAGE.write_text(written, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
