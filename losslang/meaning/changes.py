"""Changes from one program to another in words, term by term: `dice: smooth 1 -> 1e-5`.

Terms are compared as they are written out in a lock, `0.5*dice(sigmoid, smooth=1, ...)@(pred, target)`: the
text of an old checkpoint is read as that of a program of now.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest

from losslang.diagnostics.errors import LossError
from losslang.primitives.combinators import Combinator
from losslang.primitives.primitive import Loss
from losslang.primitives.schedules import Schedule
from losslang.registry import Registry
from losslang.syntax import formatter, tree
from losslang.syntax.parser import parse

CALLED = re.compile(r"\b([a-z_]\w*)\(")
NUMBERED = re.compile(r"_[0-9]+\Z")
"""The number of a second call of a combinator."""
PATTERN = re.compile(r"\bmatch=([^\s,()']+)")
"""The pattern of a parameter's name, which a lock writes without its quotes."""
UNWRITTEN = {"version": "1", "batch": "false", "background": "true"}
"""What an option that is not there is; others are none."""


def changes(old: Mapping[str, str], new: Mapping[str, str], registry: Registry) -> tuple[str, ...]:
    """A line for each term that differs, by its log key. A term under another key is no change."""
    moved = renamed(old, new)
    gone = {name: text for name, text in old.items() if new.get(name) != text and name not in moved}
    come = {name: text for name, text in new.items() if old.get(name) != text and name not in moved.values()}
    now = {**{name: name for name in gone if name in come}, **_rewritten(gone, come, registry)}
    lines = _of_combinators(old, new, registry)
    for name, text in gone.items():
        changed = ", ".join(_of_term(text, come[now[name]], registry)) if name in now else "gone"
        lines += [f"{name}: {changed}"] if changed else []
    return (*lines, *(f"{name}: added" for name in come if name not in now.values()))


def _rewritten(gone: Mapping[str, str], come: Mapping[str, str], registry: Registry) -> dict[str, str]:
    """Terms whose key is their text, which has changed: the only two of the same losses."""

    def of_losses(terms: Mapping[str, str], others: Mapping[str, str]) -> dict[tuple[str, ...], list[str]]:
        found: dict[tuple[str, ...], list[str]] = {}
        for name, text in terms.items():
            calls = (word for word in CALLED.findall(text) if registry.get(Loss, word) is not None)
            if name not in others:
                found.setdefault(tuple(calls), []).append(name)
        return {losses: names for losses, names in found.items() if losses and len(names) == 1}

    before, now = of_losses(gone, come), of_losses(come, gone)
    return {before[losses][0]: now[losses][0] for losses in before if losses in now}


def renamed(old: Mapping[str, str], new: Mapping[str, str]) -> dict[str, str]:
    """The terms that stand under another key now, by their old one."""
    gone = {name: text for name, text in old.items() if new.get(name) != text}
    come = {name: text for name, text in new.items() if old.get(name) != text}
    moved: dict[str, str] = {}
    for name, text in gone.items():
        now = next((key for key, other in come.items() if other == text), None)
        if now is not None:
            moved[name] = now
            del come[now]
    return moved


def _of_term(old: str, new: str, registry: Registry) -> Sequence[str]:
    """The changes of one term. What the language does not read, as text of another version, stays as it is."""
    try:
        nodes = [_parsed(text) for text in (old, new)]
    except LossError:
        return [f"{old} -> {new}"]
    calls = [_combinator(node, registry) for node in nodes]
    nodes = [_without(node, call) for node, call in zip(nodes, calls, strict=True)]
    logged = [_is_metric(node) for node in nodes]
    (weight, body), (weight_now, body_now) = (_weighed(node, registry) for node in nodes)
    found = (
        ["trained -> only logged" if logged[1] else "only logged -> trained"]
        if logged[0] != logged[1]
        else []
    )
    if weight != weight_now:
        found.append(f"weight {weight} -> {weight_now}")
    members = [_member(call) for call in calls]
    if members[0] != members[1]:
        found.append(f"weighed as {members[0]} -> {members[1]}")
    # What is more than one loss names the loss of each option.
    is_one = all(_call(node) is not None for node in (body, body_now))
    return found + list(_Comparison(registry, named=not is_one).of(body, body_now))


# ---------------------------------------------------------------------------- weights


def _is_metric(node: tree.Node) -> bool:
    return isinstance(node, tree.Call) and node.name == tree.METRIC


def _weighed(node: tree.Node, registry: Registry) -> tuple[str, tree.Node]:
    """The weight of a term as it is written by hand, and what it multiplies."""
    if isinstance(node, tree.Call) and node.name == tree.METRIC:
        node = node.arguments[0]
    if not isinstance(node, tree.Product) or set(node.operators) != {"*"}:
        return "1", node
    *factors, body = node.factors
    if formatter.spell(factors[0]) == "1" and factors[1:]:
        factors = factors[1:]
    spelled = [_written(factor, registry) for factor in factors]
    return "*".join(spelled), body


def _written(node: tree.Node, registry: Registry) -> str:
    """A factor; of a schedule without the options that are at their defaults."""
    if isinstance(node, tree.Call) and (schedule := registry.get(Schedule, node.name)):
        usual = {name: formatter.spell(_node_of(value)) for name, value in schedule.defaults.items()}
        kept = tuple(o for o in node.options if formatter.spell(o.value) != usual.get(o.name))
        node = node.model_copy(update={"options": kept})
    compound = isinstance(node, (tree.Sum, tree.Negative)) and not _is_number(node)
    return f"({formatter.spell(node)})" if compound else formatter.spell(node)


def _is_number(node: tree.Node) -> bool:
    return isinstance(node, tree.Negative) and isinstance(node.operand, tree.Number)


def _node_of(value: object) -> tree.Node:
    return tree.Number(value=value) if isinstance(value, (int, float)) else tree.Call(name=str(value))


# ---------------------------------------------------------------------------- combinators


def _parsed(text: str) -> tree.Node:
    return parse(PATTERN.sub(r"match='\1'", text)).result


def _of_combinators(old: Mapping[str, str], new: Mapping[str, str], registry: Registry) -> list[str]:
    """A line for each combinator whose options differ, however many terms it weighs."""
    before, now = (_combinators(terms, registry) for terms in (old, new))
    lines: list[str] = []
    for name in (name for name in before if name in now):
        of = _Comparison(registry, named=False).options(before[name], now[name])
        lines += [f"{name}: {', '.join(changed)}"] if (changed := list(of)) else []
    return lines


def _combinators(terms: Mapping[str, str], registry: Registry) -> dict[str, tree.Call]:
    """The combinators that weigh terms, by the names of their calls."""
    found: dict[str, tree.Call] = {}
    for text in terms.values():
        try:
            call = _combinator(_parsed(text), registry)
        except LossError:
            continue
        if call is not None:
            found.setdefault(call.name, call)
    return found


def _factors(node: tree.Node) -> tuple[tree.Node, ...]:
    if isinstance(node, tree.Call) and node.name == tree.METRIC:
        node = node.arguments[0]
    return node.factors if isinstance(node, tree.Product) else ()


def _combinator(node: tree.Node, registry: Registry) -> tree.Call | None:
    """The combinator that finds the weight of a term: `balance(1, max=1e4)`, 1 for its first argument."""
    for factor in _factors(node):
        match factor:
            case tree.Call(name=name, arguments=(tree.Number(),)):
                if registry.get(Combinator, NUMBERED.sub("", name)) is not None:
                    return factor
            case _:
                pass
    return None


def _without(node: tree.Node, call: tree.Call | None) -> tree.Node:
    """A term without the combinator that weighs it."""
    if call is None or not isinstance(node, tree.Product):
        return node
    kept = tuple(factor for factor in node.factors if factor is not call)
    return node.model_copy(update={"factors": kept, "operators": node.operators[: len(kept) - 1]})


def _member(call: tree.Call | None) -> str:
    return "none" if call is None else f"argument {formatter.spell(call.arguments[0])} of {call.name}"


# ---------------------------------------------------------------------------- what is weighed


def _call(node: tree.Node) -> tree.Call | None:
    """The call of a loss, routed or not."""
    inner = node.body if isinstance(node, tree.Routed) else node
    return inner if isinstance(inner, tree.Call) else None


class _Comparison:
    """Compares two trees. `named`: each change says of which loss it is."""

    def __init__(self, registry: Registry, *, named: bool):
        self.registry = registry
        self.named = named

    def of(self, old: tree.Node, new: tree.Node) -> Iterator[str]:
        """What differs, from left to right."""
        if formatter.spell(old) == formatter.spell(new):
            return
        one, other = _call(old), _call(new)
        if one is not None and other is not None and self._are_losses(one, other):
            prefix = f"{other.name}: " if self.named else ""
            yield from (prefix + change for change in self._loss(one, other))
            yield from (prefix + change for change in _reads(old, new))
        elif _is_alike(old, new):
            for inner, now in zip(tree.children(old), tree.children(new), strict=True):
                yield from self.of(inner, now)
        else:
            yield f"{formatter.spell(old)} -> {formatter.spell(new)}"

    def _are_losses(self, *calls: tree.Call) -> bool:
        return all(self.registry.get(Loss, call.name) is not None for call in calls)

    def _loss(self, old: tree.Call, new: tree.Call) -> Iterator[str]:
        """The loss, its activation, and its options; of another loss only those that both have."""
        is_same = old.name == new.name
        if not is_same:
            yield f"{old.name} -> {new.name}"
        for one, other in zip_longest(old.arguments, new.arguments):
            spelled = [_spelled(one), _spelled(other)]
            if spelled[0] != spelled[1]:
                yield f"activation {spelled[0]} -> {spelled[1]}"
        yield from self.options(old, new, is_same=is_same)

    def options(self, old: tree.Call, new: tree.Call, *, is_same: bool = True) -> Iterator[str]:
        """The options that differ; of calls of two names only those that both have."""
        before = {option.name: _written(option.value, self.registry) for option in old.options}
        now = {option.name: _written(option.value, self.registry) for option in new.options}
        for name in dict.fromkeys((*before, *now)):
            if not is_same and not (name in before and name in now):
                continue
            usual = UNWRITTEN.get(name, "none")
            values = before.get(name, usual), now.get(name, usual)
            if values[0] != values[1]:
                yield f"{name} {values[0]} -> {values[1]}"


def _spelled(node: tree.Node | None) -> str:
    return "none" if node is None else formatter.spell(node)


def _is_alike(old: tree.Node, new: tree.Node) -> bool:
    """True for two nodes of one kind that differ below themselves alone."""
    if type(old) is not type(new) or len(list(tree.children(old))) != len(list(tree.children(new))):
        return False
    match old, new:
        case tree.Call(), tree.Call():
            return old.name == new.name and [o.name for o in old.options] == [o.name for o in new.options]
        case (tree.Sum(), tree.Sum()) | (tree.Product(), tree.Product()):
            return old.operators == new.operators
        case (tree.Power(), tree.Power()) | (tree.Negative(), tree.Negative()):
            return True
        case _:
            return False


def _reads(old: tree.Node, new: tree.Node) -> Iterator[str]:
    """The operands that differ: `reads pred -> pred.seg`."""
    operands = [_operands(node) for node in (old, new)]
    if len(operands[0]) != len(operands[1]):
        yield f"reads ({', '.join(operands[0])}) -> ({', '.join(operands[1])})"
        return
    for before, now in zip(*operands, strict=True):
        if before != now:
            yield f"reads {before} -> {now}"


def _operands(node: tree.Node) -> list[str]:
    if isinstance(node, tree.Routed) and isinstance(node.route, tree.Operands):
        return list(map(formatter.spell, node.route.items))
    return []
