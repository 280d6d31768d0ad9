"""What a translation reads and writes: the arguments of another library's call, a program of ours."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor

from conformance.case import Case


class Inexpressible(Exception):  # noqa: N818  # it is no error of anybody's
    """The language has no words for what a call asks for; the message says for what."""


@dataclass(frozen=True)
class Ours:
    """The same loss in our language, with the tensors of its call.

    `laid` puts our values where the library puts its own: another shape, or the sum or mean over an axis
    that the library takes even when it is told not to reduce. It never scales. `differs` says why the number is not
    that of the library and is not meant to be; `meant` is the program that a user would write instead, where
    the one that gives the library's number is not it, and why. `validate` is that of `losslang.compile`, for numbers that the
    library computes with and our first call would refuse.
    """

    text: str
    pred: Any
    target: Any = None
    batch: Mapping[str, Any] = field(default_factory=dict[str, Any])
    laid: Callable[[Tensor], Tensor] = lambda value: value
    differs: str = ""
    meant: tuple[str, str] = ("", "")
    validate: Literal["first", "never"] = "first"


class Call:
    """A case to translate. Every argument of it has to be read, so that none is ignored unnoticed."""

    def __init__(self, case: Case, dtype: torch.dtype, arguments: dict[str, Any], tensors: dict[str, Any]):
        self.case = case
        self.dtype = dtype
        self.tensors = tensors
        self._arguments = arguments
        self._read: set[str] = set()

    def of(self, arguments: dict[str, Any], tensors: dict[str, Any]) -> Call:
        """The call of a loss that this one holds."""
        return Call(self.case, self.dtype, arguments, tensors)

    def get(self, name: str, default: Any = None) -> Any:
        """An argument that is no tensor, or what the library takes for it if it is not written."""
        self._read.add(name)
        return self._arguments.get(name, default)

    def says(self, name: str) -> bool:
        """Whether an argument is written."""
        self._read.add(name)
        return name in self._arguments

    def tensor(self, name: str) -> Any:
        return self.tensors.get(name)

    def same(self, **named: str) -> dict[str, Any]:
        """The written ones of some arguments under our names: `same(delta="delta")`."""
        return {ours: self.get(theirs) for ours, theirs in named.items() if self.says(theirs)}

    def refuse(self, *names: str) -> None:
        """Arguments that have no counterpart, unless they are off."""
        for name in names:
            if self.get(name) not in (None, False, 0):
                raise Inexpressible(f"`{name}={self.get(name)}` of {self.case.callable}")

    def finish(self) -> None:
        """Raises for arguments that nobody read."""
        unread = [name for name in self._arguments if name not in self._read]
        if unread:
            raise Inexpressible(f"{', '.join(unread)} of {self.case.callable}")


Translation = Callable[[Call], Ours]


@dataclass
class Peer:
    """The translations of one library, by the names of its callables."""

    name: str
    translations: dict[str, Translation] = field(default_factory=dict[str, "Translation"])

    def call(self, *names: str) -> Callable[[Translation], Translation]:
        def register(translate: Translation) -> Translation:
            self.translations.update(dict.fromkeys(names, translate))
            return translate

        return register

    def translate(self, case: Case, dtype: torch.dtype) -> Ours:
        """Raises Inexpressible, in words, for what our language does not say."""
        if case.callable not in self.translations:
            raise Inexpressible(f"{case.callable} is no loss of ours")
        call = Call(case, dtype, case.arguments, case.tensors(dtype))
        ours = self.translations[case.callable](call)
        call.finish()
        return ours


def use(loss: str, activation: str = "", /, **options: Any) -> str:
    """`use("dice", "sigmoid", like="monai", smooth=1)` -> `dice(sigmoid, like=monai, smooth=1)`."""
    parts = [activation] if activation else []
    parts += [f"{name}={said(value)}" for name, value in options.items()]
    return f"{loss}({', '.join(parts)})" if parts else loss


def said(value: Any) -> str:
    """A value as the language writes it."""
    match value:
        case None:
            return "none"
        case bool():
            return str(value).lower()
        case list() | tuple():
            return f"[{', '.join(map(said, value))}]"
        case Tensor():
            return said(value.tolist())
        case _:
            return str(value)


def times(factor: float, text: str) -> str:
    """`factor*text`, without a factor of 1."""
    return text if factor == 1 else f"{said(factor)}*{text}"


def class_axis_second(value: Tensor, axis: int = -1) -> Tensor:
    """A tensor of classes in the order of our language, (B, C, *S)."""
    return value if value.ndim < 2 else value.movedim(axis, 1)


def one_hot(labels: Tensor, like: Tensor) -> Tensor:
    """Class indices (B, *S) or (B, 1, *S) as (B, C, *S)."""
    indices = labels.reshape(like.shape[0], *like.shape[2:]).long()
    return torch.nn.functional.one_hot(indices, like.shape[1]).movedim(-1, 1).to(like.dtype)


def are_probabilities(value: Tensor) -> bool:
    return bool(((value >= 0) & (value <= 1)).all())
