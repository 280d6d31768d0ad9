"""The known name that a misspelled one probably means: few letters differ, and the first one does not."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import SequenceMatcher

from losslang.diagnostics.elsewhere.key import bare, key


def nearest(name: str, known: Iterable[str]) -> str:
    """The known name that was probably meant, or ''.

    Few letters may be wrong: one of three to seven, two of up to eleven, then three; never the first one.
    """
    candidates = list(dict.fromkeys(known))
    close = [
        (letters, at) for at, other in enumerate(candidates) if (letters := _apart(name, other)) is not None
    ]
    return candidates[min(close)[1]] if close else ""


def _apart(name: str, other: str) -> int | None:
    """How many letters of two names differ, with a `loss` at their ends or without; None if these are too many."""
    a, b = key(name), key(other)
    size = min(len(a), len(b))
    if size < 2 or max(len(a), len(b)) < 3 or (a[0] != b[0] and sorted(a[:2]) != sorted(b[:2])):
        return None
    if size <= 3 and len(a) == len(b) and sorted(a) != sorted(b):
        return None  # `mre` and `mse` are two names
    letters = min(distance(a, b), distance(bare(name), bare(other)))
    return letters if letters <= (1 if size < 8 else 2 if size < 12 else 3) else None


def distance(a: str, b: str) -> int:
    """How many letters of `a` to change, drop, add or swap with a neighbour, so that it is `b`."""
    above, row = list[int](), list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        before, above, row = above, row, [i]
        for j, y in enumerate(b, 1):
            found = min(above[j] + 1, row[j - 1] + 1, above[j - 1] + (x != y))
            if i > 1 and j > 1 and x == b[j - 2] and y == a[i - 2]:
                found = min(found, before[j - 2] + 1)
            row.append(found)
    return row[-1]


def nearest_first(name: str, known: Iterable[str]) -> tuple[str, ...]:
    """All names in their order, but first those that are much like this one."""
    alike = {candidate: SequenceMatcher(None, key(name), key(candidate)).ratio() for candidate in known}
    return tuple(sorted(alike, key=lambda candidate: -alike[candidate] if alike[candidate] > 0.5 else 0.0))
