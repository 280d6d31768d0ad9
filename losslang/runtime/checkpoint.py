"""The lock text in a checkpoint: which program it was saved with, as bytes in a tensor.

A tensor of bytes survives everything that takes tensors: safetensors, weight averages, half precision. The
text carries its own hash, so that changed bytes are not read as another program.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any, NamedTuple, cast

from losslang.meaning.changes import changes
from losslang.meaning.keys import modern_key
from losslang.meaning.program import Meaning
from losslang.registry import Registry
from losslang.tensors.lazy import torch
from losslang.vocabulary import Tensor

KEY = "_extra_state"
"""The key of the lock in a `state_dict`: torch's key for extra state, which loaders know."""


class Lock(NamedTuple):
    """A program in a checkpoint: its fingerprint, and its terms written out."""

    fingerprint: str
    terms: Mapping[str, str]

    @classmethod
    def of(cls, meaning: Meaning) -> Lock:
        return cls(meaning.fingerprint, {term.name: str(term) for term in meaning.terms})

    def weighed(self, group: str) -> Mapping[str, str]:
        """Returns the terms that a call of a combinator weighs, each with the number of its argument."""
        numbers = {
            name: re.search(rf"\b{re.escape(group)}\((\d+)", text) for name, text in self.terms.items()
        }
        return {name: found[1] for name, found in numbers.items() if found is not None}

    def changes(self, now: Lock, registry: Registry) -> tuple[str, ...]:
        """Returns what differs in another program, in words, a line for each term."""
        return () if self.fingerprint == now.fingerprint else changes(self.terms, now.terms, registry)


def written(lock: Lock) -> str:
    """Returns a lock as text: a line with its fingerprint and its hash, then a line for each term."""
    body = "\n".join(f"{name}: {term}" for name, term in lock.terms.items())
    return f"losslang {lock.fingerprint} {_hash(body)}\n{body}"


def understood(text: str) -> Lock | None:
    """Parses a lock text; returns None for any other text."""
    header, _, body = text.partition("\n")
    match header.split(" "):
        case ["losslang", fingerprint, digest] if digest == _hash(body):
            lines = [line.partition(": ") for line in body.split("\n") if line]
            return Lock(fingerprint, {_current(name): term for name, _, term in lines})
        case _:
            return None


def to_tensor(lock: Lock) -> Tensor:
    """Returns a lock text as a tensor of bytes."""
    return torch.tensor(list(written(lock).encode()), dtype=torch.uint8, device="cpu")


def from_state(state: Any) -> Lock | None:
    """Reads the lock of a checkpoint: bytes, in a tensor of any type, or the mapping of old files.

    Returns None if there is none.
    """
    if isinstance(state, torch.Tensor):
        if state.is_meta:
            return None
        numbers: Any = state.detach().flatten().double().nan_to_num().round().clamp(0, 255)
        return understood(bytes(map(int, numbers.tolist())).decode(errors="replace"))
    # A mapping, in files of the first version.
    given = cast("dict[str, Any]", state) if isinstance(state, dict) else {}
    if not {"fingerprint", "terms"} <= set(given):
        return None
    return Lock(given["fingerprint"], {_current(name): term for name, term in given["terms"].items()})


def _current(name: str) -> str:
    """The log key of a term as it is spelled now, from a file of any version."""
    return "/".join(map(modern_key, name.split("/")))


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
