"""Which memory of a file belongs to which term, by the lock text that is saved beside it.

A memory is called by the log key of its term. Files of before number memories in the order of the terms, as
in `memory_ghm_c_1`: their lock text says which term each number is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from losslang.plan.lower.memories import memory_name
from losslang.runtime.buffers import MEMORY
from losslang.runtime.checkpoint import Lock


class Place(NamedTuple):
    """One memory of a program: its term, its number in it, its key now and as files of before number it."""

    term: str
    number: int
    key: str
    numbered: str


def places(lock: Lock, losses: Iterable[str]) -> list[Place]:
    """Returns the memories of a program in the order of its terms; `losses` are those that have one."""
    found: list[Place] = []
    use = re.compile(rf"(?<![\w.])({'|'.join(map(re.escape, losses))})\(")
    for term, text in lock.terms.items():
        for number, name in enumerate(use.findall(text), 1):
            key = MEMORY + memory_name(term, number)
            found.append(Place(term, number, key, f"{MEMORY}{name}_{len(found) + 1}"))
    return found


def current_keys(kept: Iterable[str], lock: Lock | None, now: Lock, losses: Iterable[str]) -> dict[str, str]:
    """Returns the key here for each memory of a file that has another one there.

    Args:
        kept: The keys of the memories in the file.
        lock: The program of the file; None if the file has none, as where only tensors were kept.
        now: The program here.
        losses: The losses that have a memory.
    """
    kept, losses = list(kept), list(losses)
    there = places(lock or now, losses)
    is_numbered = not {*kept} <= {place.key for place in there}
    owners = {place.numbered if is_numbered else place.key: place for place in there}
    renamed = _renamed(lock, now)
    found = {
        key: MEMORY + memory_name(renamed.get(place.term, place.term), place.number)
        for key in kept
        if (place := owners.get(key)) is not None
    }
    return {old: new for old, new in found.items() if old != new}


def _renamed(lock: Lock | None, now: Lock) -> Mapping[str, str]:
    """Returns the terms of a file that are here under another key, by their key there: no other is like them."""
    if lock is None:
        return {}
    gone = {name: text for name, text in lock.terms.items() if name not in now.terms}
    new = {name: text for name, text in now.terms.items() if name not in lock.terms}
    return {
        name: next(other for other in new if new[other] == text)
        for name, text in gone.items()
        if [*gone.values()].count(text) == [*new.values()].count(text) == 1
    }
