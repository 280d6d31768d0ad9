"""What a translation reads and writes: the arguments of another library's call, a program of ours.

The arguments of a constructor are numbers and words, and any arithmetic may make our options of them. The tensors of
a call are CaseTensors: they may be indexed, reshaped and cast, and everything that is computed with them stands in the
program, which is one for every batch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor

from conformance.case import Case
from conformance.tensors import (
    CaseTensor,
    OutsideProgram,
    Size,
    another_batch,
    case_tensors,
    leaves,
    plain_tensors,
)


class Inexpressible(Exception):  # noqa: N818  # it is no error of anybody's
    """The language has no words for what a call asks for; the message says for what."""


@dataclass(frozen=True)
class Ours:
    """The same loss in our language, with the tensors of its call.

    `const` holds numbers of the constructor, for `compile(const=...)`. `laid` reshapes our values as the library
    lays out its own. `differs` says why the number is not that of the library and is not meant to be; `meant` is the
    program that a user would write instead, where the one that gives the library's number is not it, and why.
    `validate` is that of `losslang.compile`, for a library that computes with numbers which our first call refuses.
    """

    text: str
    pred: Any = field(repr=False)
    target: Any = field(default=None, repr=False)
    batch: Mapping[str, Any] = field(default_factory=dict[str, Any], repr=False)
    const: Mapping[str, list[float]] = field(default_factory=dict[str, list[float]])
    laid: Callable[[Tensor], Tensor] = lambda value: value
    differs: str = ""
    meant: tuple[str, str] = ("", "")
    validate: Literal["first", "never"] = "first"

    @property
    def dtype(self) -> torch.dtype:
        """The type of the prediction, in which numbers of the constructor are held."""
        return next((v.dtype for v in leaves(self.pred) if v.is_floating_point()), torch.float32)

    def check(self) -> None:
        """Raises OutsideProgram for an operand that is none of the case's tensors, and for a size among the constants."""
        operands = [value for value in leaves([self.pred, self.target, self.batch]) if value is not None]
        if not all(isinstance(value, CaseTensor) for value in operands):
            raise OutsideProgram(f"an operand of `{self.text}` that is no tensor of the case")
        if any(isinstance(value, Size) for value in leaves(self.const)):
            raise OutsideProgram(f"a size of a tensor among the constants of `{self.text}`")

    @property
    def program(self) -> tuple[Any, ...]:
        """What has to be the same for every batch."""
        return self.text, self.const, self.validate, self.meant


class Call:
    """A case to translate. Every argument of it has to be read, so that none is ignored unnoticed."""

    def __init__(
        self,
        case: Case,
        dtype: torch.dtype,
        arguments: dict[str, Any],
        tensors: dict[str, Any],
        *,
        values: bool,
    ):
        """`values` says whether the tensors are those of the case, or of another batch."""
        self.library, self.callable = case.library, case.callable
        self.dtype = dtype
        self._case, self._values = case, values
        self._arguments, self._tensors = arguments, case_tensors(tensors)
        self._read: set[str] = set()

    def of(self, arguments: dict[str, Any], tensors: dict[str, Any]) -> Call:
        """The call of a loss that this one holds."""
        return Call(self._case, self.dtype, arguments, plain_tensors(tensors), values=self._values)

    def get(self, name: str, default: Any = None) -> Any:
        """An argument that is no tensor, or what the library takes for it if it is not written."""
        self._read.add(name)
        return self._arguments.get(name, default)

    def says(self, name: str) -> bool:
        """Whether an argument is written."""
        self._read.add(name)
        return name in self._arguments

    def tensor(self, name: str) -> Any:
        return self._tensors.get(name)

    def number(self, name: str) -> Tensor:
        """An argument that is one number, as a tensor."""
        return case_tensors(torch.tensor(float(self.get(name)), dtype=self.dtype))

    def same(self, **named: str) -> dict[str, Any]:
        """The written ones of some arguments under our names: `same(delta="delta")`."""
        return {ours: self.get(theirs) for ours, theirs in named.items() if self.says(theirs)}

    def refuse(self, *names: str) -> None:
        """Arguments that have no counterpart, unless they are off."""
        for name in names:
            if self.get(name) not in (None, False, 0):
                raise Inexpressible(f"`{name}={self.get(name)}` of {self.callable}")

    def note_where(self, name: str, holds: Callable[[Tensor], Any], why: str) -> str:
        """`why`, for `differs`, if the numbers of a tensor are such. They decide nothing else."""
        return why if self._values and bool(holds(plain_tensors(self.tensor(name)))) else ""

    def refuse_where(self, name: str, holds: Callable[[Tensor], Any], why: str) -> None:
        """Raises Inexpressible if the numbers of a tensor are such that our program is another loss."""
        if self.note_where(name, holds, why):
            raise Inexpressible(why)

    def finish(self) -> None:
        """Raises for arguments that nobody read."""
        unread = [name for name in self._arguments if name not in self._read]
        if unread:
            raise Inexpressible(f"{', '.join(unread)} of {self.callable}")


Translation = Callable[[Call], Ours]


@dataclass
class Peer:
    """The translations of one library, by the names of its callables.

    `constants` are arguments that the library takes as tensors although they are settings, as weights per class.
    """

    name: str
    constants: tuple[str, ...] = ()
    translations: dict[str, Translation] = field(default_factory=dict[str, "Translation"])

    def call(self, *names: str) -> Callable[[Translation], Translation]:
        def register(translate: Translation) -> Translation:
            self.translations.update(dict.fromkeys(names, translate))
            return translate

        return register

    def translate(self, case: Case, dtype: torch.dtype) -> Ours:
        """The program of a case with its tensors.

        Raises Inexpressible, in words, for what our language does not say, and OutsideProgram for a program that is not
        the same for another batch.
        """
        if case.callable not in self.translations:
            raise Inexpressible(f"{case.callable} is no loss of ours")
        tensors = case.tensors(dtype)
        settings = {name: tensors.pop(name).tolist() for name in self.constants if name in tensors}
        arguments = {**case.arguments, **settings}
        ours = self._translated(Call(case, dtype, arguments, tensors, values=True))
        others = another_batch(
            tensors, twice=arguments.get("axis") != 0
        )  # of keras, where axis 0 is that of the classes
        other = self._translated(Call(case, dtype, arguments, others, values=False))
        if ours.program != other.program:
            raise OutsideProgram(f"{case.name} is `{ours.text}`, and for another batch `{other.text}`")
        return ours

    def _translated(self, call: Call) -> Ours:
        ours = self.translations[call.callable](call)
        call.finish()
        ours.check()
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


def width(value: Tensor, axis: int = 1) -> int:
    """The number of classes, or of features: the model says it, and every batch has it."""
    return int(value.shape[axis])
