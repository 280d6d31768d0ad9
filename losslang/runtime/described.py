"""A compiled loss as it describes itself: its program in its forms, its plan, what it reads.

What writes a form is loaded when it is asked for.
"""

from __future__ import annotations

from losslang.meaning.program import Meaning
from losslang.plan.plan import Plan
from losslang.runtime.executor import Fuse
from losslang.runtime.saved import Saved


class Described(Saved):
    """A module with the forms of its program."""

    @property
    def meaning(self) -> Meaning:
        """The program, checked, with every default written out."""
        return self._programs.meaning

    @property
    def plan(self) -> Plan:
        """The steps that the program takes."""
        return self._programs.plan

    @property
    def fuse(self) -> Fuse | None:
        """The compiler that runs the plan, "inductor"; None if losslang runs it itself."""
        return self._programs.order.fuse

    @property
    def inputs(self) -> tuple[str, ...]:
        """Every path that the program reads, roots in the order pred, target, batch, const."""
        paths = {str(dict(step.options)["path"]) for step in self.plan.inputs}
        order = ("pred", "target", "batch", "const")
        paths = {path for path in paths if not path.startswith("module.")}
        return tuple(sorted(paths, key=lambda p: (order.index(p.partition(".")[0].partition("[")[0]), p)))

    @property
    def canonical(self) -> str:
        """The program in its one spelling, with the values of its overrides."""
        from losslang.meaning.canonical import canonical

        return canonical(self.meaning, self._programs.registry)

    def explain(self) -> str:
        """The program term by term, as `losslang.explain` says it, with the values of its overrides."""
        from losslang.meaning.explainer import in_force

        return in_force(self.meaning, {})

    @property
    def lock(self) -> str:
        """The program with every default written out, and the version of each loss: a text that means the same."""
        from losslang.meaning.lock import locked

        return locked(self.meaning, self._programs.registry)

    @property
    def fingerprint(self) -> str:
        """A hash that is equal for programs of the same mathematics."""
        return self.meaning.fingerprint

    def extra_repr(self) -> str:
        return self.canonical
