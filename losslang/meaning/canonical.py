"""Canonical text: a program in its one spelling, with what is set from outside written in its place."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from losslang.diagnostics.source import Source, Span
from losslang.meaning.checker import analyze
from losslang.meaning.expression_tree import number
from losslang.meaning.keys import split
from losslang.meaning.meaning import loss_uses
from losslang.meaning.program import Meaning
from losslang.meaning.program_tree import free_name, program_of, zero_bound
from losslang.meaning.use_tree import node_of_value
from losslang.registry import Registry
from losslang.syntax import formatter, tree
from losslang.syntax.parser import parse


def canonical(meaning: Meaning, registry: Registry) -> str:
    """The text of a program whose meaning is `meaning`: its source, or where settings do not fit in, its terms."""
    settings = dict(meaning.settings)
    if not settings:
        return formatter.format(meaning.source)
    program = _with_settings(meaning, settings, registry)
    if program is not None:
        text = formatter.render(program, meaning.source.text)
        again = analyze(Source(text), registry=registry).meaning
        if again is not None and _is_same(again, meaning):
            return text
    return formatter.render(program_of(meaning, registry))


def _is_same(one: Meaning, other: Meaning) -> bool:
    """True if two programs compute the same, and drop the same terms."""
    dropped = [[term.dropped for term in each.terms] for each in (one, other)]
    return one.fingerprint == other.fingerprint and dropped[0] == dropped[1]


def _with_settings(meaning: Meaning, settings: Mapping[str, Any], registry: Registry) -> tree.Program | None:
    """A program with its settings in their places; None where one has no place of its own."""
    program = parse(meaning.source)
    names = {binding.name for binding in program.bindings}
    numbers = {name: value for name, value in settings.items() if name in names}
    before = analyze(meaning.source, overrides=numbers, registry=registry).meaning
    if before is None:
        return None
    uses = Counter(use.span for term in before.terms for use in loss_uses(term))
    spans = Counter(term.span for term in before.terms)
    by_key = {term.name: term for term in before.terms}
    edits = _Edits({}, {}, free_name("zero", registry, names))
    for setting, value in settings.items():
        key, option = split(setting)
        if setting in numbers:
            continue
        term = by_key[key]
        if spans[term.span] > 1 or uses[term.span] > 1:
            return None  # a name that is used twice: the setting is of one use
        if option != "weight":
            edits.options.setdefault(term.span, {})[option] = node_of_value(value)
        elif term.weight == 0:
            return None  # no factor makes it what it is now
        else:
            edits.factors[term.span] = float(value) / term.weight
    return _used(edits.program(program, numbers))


def _used(program: tree.Program) -> tree.Program:
    """A program without the bindings that nothing uses: a number that was computed is written now."""
    used = _called(program.result)
    kept: list[tree.Binding] = []
    for binding in reversed(program.bindings):
        if binding.name in used:
            kept.insert(0, binding)
            used |= _called(binding.value)
    return program.model_copy(update={"bindings": tuple(kept)})


def _called(node: tree.Node) -> set[str]:
    return {inner.name for inner in tree.walk(node) if isinstance(inner, tree.Call)}


class _Edits(NamedTuple):
    """Factors of terms and options of losses, by the place of each in the text.

    A factor of 0 is written as the name `zero`: a 0 in place would drop the term.
    """

    factors: dict[Span, float]
    options: dict[Span, dict[str, tree.Node]]
    zero: str

    def program(self, program: tree.Program, numbers: Mapping[str, Any]) -> tree.Program:
        """A program with everything in its place, and other numbers behind their names."""
        bindings: list[tree.Binding] = []
        for binding in program.bindings:
            is_set = binding.name in numbers
            value = number(float(numbers[binding.name])) if is_set else self.whole(binding.value)
            bindings.append(binding.model_copy(update={"value": value}))
        if 0 in self.factors.values():
            bindings.insert(0, zero_bound(self.zero))
        return program.model_copy(update={"bindings": tuple(bindings), "result": self.whole(program.result)})

    def whole(self, node: tree.Node) -> tree.Node:
        """A node with everything inside of it in its place."""
        return self._times(*self.scaled(node))

    def scaled(self, node: tree.Node) -> tuple[float, tree.Node]:
        """The same as a factor and a node, where the factor may stand further out."""
        own, changed = self._scaled(node)
        return own * self.factors.get(node.span, 1.0), changed

    def _scaled(self, node: tree.Node) -> tuple[float, tree.Node]:
        match node:
            case tree.Routed(body=body):
                factor, changed = self.scaled(body)
                return factor, node.model_copy(update={"body": changed})
            case tree.Negative(operand=operand):
                factor, changed = self.scaled(operand)
                return factor, node.model_copy(update={"operand": changed})
            case tree.Product(factors=nodes, operators=operators):
                pairs = [self.scaled(part) for part in nodes]
                factor = 1.0
                parts: list[tree.Node] = []
                for operator, (own, part) in zip(("*", *operators), pairs, strict=True):
                    parts.append(part if operator == "*" else self._times(own, part))
                    factor *= own if operator == "*" else 1.0
                return _absorbed(factor, node.model_copy(update={"factors": tuple(parts)}))
            case tree.Sum(terms=nodes, operators=operators):
                return 1.0, self._added([self.scaled(part) for part in nodes], operators, node)
            case tree.Call():
                return 1.0, self._call(node)
            case tree.Power(base=base, exponent=exponent):
                update = {"base": self.whole(base), "exponent": self.whole(exponent)}
                return 1.0, node.model_copy(update=update)
            case _:
                return 1.0, node

    def _call(self, call: tree.Call) -> tree.Call:
        """A call with what is set of its options, and everything inside of its arguments."""
        new = self.options.get(call.span, {})
        options = [o.model_copy(update={"value": new[o.name]}) if o.name in new else o for o in call.options]
        written = {option.name for option in call.options}
        options += [tree.Option(name=n, value=v) for n, v in new.items() if n not in written]  # type: ignore[arg-type]
        arguments = tuple(map(self.whole, call.arguments))
        return call.model_copy(update={"arguments": arguments, "options": tuple(options)})

    def _times(self, factor: float, node: tree.Node) -> tree.Node:
        """`factor*node`; a number in front of `node` is multiplied, and gives way to a zero."""
        if factor == 1:
            return node
        rest, changed = _absorbed(factor, node) if isinstance(node, tree.Product) else (factor, node)
        if rest == 1:
            return changed
        factors, operators = (changed,), ()
        if isinstance(changed, tree.Product):
            factors, operators = changed.factors, changed.operators
            if rest == 0 and isinstance(factors[0], tree.Number) and operators[0] == "*":
                factors, operators = factors[1:], operators[1:]
        by = _rounded(rest) if rest else tree.Call(name=self.zero)
        made = tree.Product(factors=(by, *factors), operators=("*", *operators))  # type: ignore[arg-type]
        return made.model_copy(update={"span": node.span})

    def _added(
        self, parts: Sequence[tuple[float, tree.Node]], operators: Sequence[str], node: tree.Sum
    ) -> tree.Sum:
        """A sum of factors times nodes: a factor below 0 turns the sign before it."""
        first, *others = parts
        nodes, signs = [self._times(*first)], list[str]()
        for sign, (factor, part) in zip(operators, others, strict=True):
            signs.append(sign if factor >= 0 else {"+": "-", "-": "+"}[sign])
            nodes.append(self._times(abs(factor), part))
        return node.model_copy(update={"terms": tuple(nodes), "operators": tuple(signs)})


def _absorbed(factor: float, node: tree.Product) -> tuple[float, tree.Product]:
    """A product whose first written number has taken a factor; the factor is left where there is none."""
    if factor in (0, 1):
        return factor, node
    for i, (operator, part) in enumerate(zip(("*", *node.operators), node.factors, strict=True)):
        if isinstance(part, tree.Number) and operator == "*":
            new = _rounded(part.value * factor)
            if i == 0 and new == tree.Number(value=1.0) and node.operators[0] == "*":
                rest = {"factors": node.factors[1:], "operators": node.operators[1:]}
                return 1.0, node.model_copy(update=rest)
            return 1.0, node.model_copy(update={"factors": (*node.factors[:i], new, *node.factors[i + 1 :])})
    return factor, node


def _rounded(value: float) -> tree.Node:
    """A number to the twelve digits that a fingerprint has."""
    return number(float(f"{value:.12g}"))
