"""Evaluation: the value of each node of a program, with constants folded and losses read as terms.

The tree is never changed. A mistake is reported where it is met, and the next node is evaluated.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import count

from losslang.diagnostics.diagnostic import Diagnostic
from losslang.diagnostics.elsewhere import is_known, nearest
from losslang.diagnostics.mistakes import learned as learned_mistakes
from losslang.diagnostics.mistakes import meaning as mistakes
from losslang.diagnostics.mistakes import names as name_mistakes
from losslang.diagnostics.mistakes import options as option_mistakes
from losslang.diagnostics.mistakes import routes
from losslang.meaning.foreign import answer
from losslang.meaning.foreign_names import as_mask, of_names
from losslang.meaning.functions import of_function
from losslang.meaning.learned import combined, learned
from losslang.meaning.meaning import Expression, Term
from losslang.meaning.options import ReportedError
from losslang.meaning.parameter import Learned
from losslang.meaning.products import multiply
from losslang.meaning.repeats import repeated
from losslang.meaning.routing import behind, read_path
from losslang.meaning.terms import (
    MistakeError,
    NumberValue,
    TensorValue,
    TermsValue,
    Value,
    add,
    collapse,
    each_term,
    negate,
    power,
    refuse_weighed,
    renamed,
)
from losslang.meaning.time import clock, scheduled
from losslang.meaning.uses import Scope, bound_with_route, read_use
from losslang.meaning.uses.foreign_option import unbound
from losslang.meaning.uses.misplaced import activation_alone, as_option, key_with_minus
from losslang.meaning.weighing import in_call, matched, weighed
from losslang.primitives.combinators import Combinator
from losslang.primitives.primitive import Activation, Function, Loss
from losslang.primitives.repeats import Repeat
from losslang.primitives.schedules import Schedule
from losslang.registry import Registry
from losslang.syntax import tree
from losslang.syntax.formatter import spell
from losslang.syntax.parser import parse


class Evaluator:
    """Evaluates the nodes of one program. A bound name is evaluated once and inlined where it is used."""

    def __init__(self, registry: Registry, bindings: Mapping[str, tree.Binding]):
        self.registry = registry
        self.bindings = bindings
        self.bound: dict[str, Value | None] = {}
        self.learned_names = set(bindings)
        self.calls = count()
        self.diagnostics: list[Diagnostic] = []

    def report(self, problem: MistakeError) -> None:
        """Keeps the diagnostic of a mistake."""
        self.diagnostics.append(problem.diagnostic)

    # -------------------------------------------------------------------------------- expressions

    def evaluate(self, node: tree.Node, scope: Scope) -> Value | None:
        """The value of a node; None when a mistake inside it has been reported."""
        try:
            return self._evaluate(node, scope)
        except MistakeError as problem:
            self.report(problem)
            return None
        except ReportedError:
            return None

    def _evaluate(self, node: tree.Node, scope: Scope) -> Value:
        """The value of a node, by its type. Raises MistakeError or ReportedError."""
        match node:
            case tree.Number(value=value):
                return NumberValue(value, node.span)
            case tree.Word() | tree.Text() | tree.Items():
                raise MistakeError(mistakes.not_arithmetic(node.span, spell(node)))
            case tree.Path():
                return TensorValue(read_path(node, scope), node.span)
            case tree.Negative(operand=operand):
                return negate(self._need(self.evaluate(operand, scope)), node)
            case tree.Power(base=base, exponent=exponent):
                left, right = self._numbers([base, exponent], scope)
                return power(left, right, node)
            case tree.Sum(terms=nodes, operators=operators):
                signs = [1.0, *(1.0 if o == "+" else -1.0 for o in operators)]
                values = [self._addend(at, nodes, operators, scope) for at in range(len(nodes))]
                return add(list(zip(signs, map(self._need, values), strict=True)), node)
            case tree.Product(factors=nodes, operators=operators):
                values = self._numbers(nodes, scope)
                return multiply(list(zip(("*", *operators), values, nodes, strict=True)), node)
            case tree.Routed(body=body, route=route):
                return self._routed(body, route, self._scope(body, route, scope))
            case tree.Call():
                return self._call(node, scope)
            case _:
                raise TypeError(f"{type(node).__name__} is not an expression")

    def _addend(
        self, at: int, nodes: Sequence[tree.Node], operators: Sequence[str], scope: Scope
    ) -> Value | None:
        """The value of an addend; behind `seg-` an unknown name is the rest of a key."""
        node = nodes[at]
        if at and operators[at - 1] == "-" and isinstance(node, tree.Call) and self._is_unknown(node):
            if fix := key_with_minus(nodes[at - 1], node):
                self.diagnostics.append(
                    name_mistakes.unknown_name(node.name_span, node.name, "name", (), fix)
                )
                return None
        return self.evaluate(node, scope)

    def _is_unknown(self, call: tree.Call) -> bool:
        is_ours = call.name in self.bindings or call.name in tree.CLOCKS
        return not is_ours and not self.registry.kinds_of(call.name)

    def _all(self, nodes: Sequence[tree.Node], scope: Scope) -> list[Value]:
        """The values of all nodes. All are evaluated, so that the mistakes of each are found."""
        return [self._need(value) for value in [self.evaluate(node, scope) for node in nodes]]

    def _numbers(self, nodes: Sequence[tree.Node], scope: Scope) -> list[Value]:
        """The values of nodes among which are numbers: a name that nobody knows was meant to be one."""
        values = [self._number(node, scope, nodes) for node in nodes]
        return [self._need(value) for value in values]

    def _number(self, node: tree.Node, scope: Scope, beside: Sequence[tree.Node]) -> Value | None:
        if isinstance(node, tree.Call) and self._is_unbound(node):
            self.diagnostics.append(unbound(node, "", None, as_mask(node.name, beside, self.registry)))
            return None
        return self.evaluate(node, scope)

    def _is_unbound(self, call: tree.Call) -> bool:
        """True for a plain name that is nothing here or in another library, nor nearly so."""
        if call.arguments or call.options or is_known(call.name) or not self._is_unknown(call):
            return False
        return bool(as_option(call.name, self.registry)) or not nearest(call.name, self._callable)

    @property
    def _callable(self) -> tuple[str, ...]:
        """The names that may be called."""
        kinds = (Loss, Function, Schedule, Combinator, Repeat)
        names = (name for kind in kinds for name in self.registry.names(kind))
        return (*self.bindings, *names, tree.METRIC, *tree.CLOCKS)

    def _need(self, value: Value | None) -> Value:
        """Raises ReportedError for a value that is missing: its mistake has been reported."""
        if value is None:
            raise ReportedError
        return value

    def _scope(self, body: tree.Node, route: tree.Route | tree.Operands, scope: Scope) -> Scope:
        """The scope of the body that stands before an `@`."""
        if isinstance(route, tree.Route):
            return behind(body, route, scope)
        values = self._all(route.items, scope)
        if any(isinstance(value, TermsValue) for value in values):
            raise MistakeError(mistakes.not_arithmetic(route.span, spell(route)))
        items = tuple(collapse(value, spell(route)) for value in values)
        return scope._replace(operands=items + scope.operands[len(items) : 2], span=route.span)

    def _routed(self, body: tree.Node, route: tree.Node, scope: Scope) -> Value:
        """The value of `body@route`. Raises MistakeError for a body that the route says nothing to."""
        value = self._need(self.evaluate(body, scope))
        routed = any(self._is_routed(node, scope) for node in tree.walk(body))
        if not isinstance(value, TermsValue) or not routed:
            at = bound_with_route(body, route, self.bindings) if isinstance(value, TermsValue) else ""
            raise MistakeError(routes.nothing_to_route(body.span, spell(body), at))
        return value

    def _is_routed(self, node: tree.Node, scope: Scope) -> bool:
        """True for a loss, and behind a head for a path: a bound name keeps its own route."""
        match node:
            case tree.Call(name=name):
                return name not in self.bindings and self.registry.loss(name) is not None
            case tree.Path(root=root):
                return root in ("pred", "target") and not scope.operands
            case _:
                return False

    # -------------------------------------------------------------------------------- calls

    def _call(self, call: tree.Call, scope: Scope) -> Value:
        """The value of a call: a bound name, a loss, `metric` or a function, in this order."""
        name = call.name
        if name in self.bindings:
            return self._bound(call)
        if named := self.registry.loss(name):
            use = read_use(
                call,
                named,
                scope,
                self.registry,
                lambda node: self._of_option(call, named.loss, node, scope),
                self.report,
            )
            if use is None:
                raise ReportedError
            return TermsValue((Term(use.name, 1.0, use, span=call.span),), call.span)
        if name == tree.METRIC:
            return self._metric(call, scope)
        if name in tree.CLOCKS:
            return clock(call)
        if schedule := self.registry.get(Schedule, name):
            values = self._numbers(call.arguments, scope)
            return scheduled(call, schedule, values, lambda node: self.evaluate(node, scope), self.report)
        if combinator := self.registry.get(Combinator, name):
            return self._combined(call, combinator, scope)
        if repeat := self.registry.get(Repeat, name):
            return repeated(call, repeat, scope, self)
        function = self.registry.get(Function, name)
        if function is not None and (call.arguments or not self.registry.get(Activation, name)):
            values = self._numbers(call.arguments, scope)
            return of_function(
                call, function, values, self.registry, lambda node: self.evaluate(node, scope), self.report
            )
        raise MistakeError(self._unknown(call))

    def bind(self, name: str, node: tree.Node) -> Value | None:
        """The value of an expression that is bound to a name: a parameter of the loss has it for its own."""
        learn = self.registry.get(Combinator, "learn")
        if not (
            isinstance(node, tree.Call) and node.name == "learn" and learn and "learn" not in self.bindings
        ):
            return self.evaluate(node, Scope())
        try:
            return learned(name, node, learn, lambda inner: self.evaluate(inner, Scope()), self.report)
        except MistakeError as problem:
            self.report(problem)
        except ReportedError:
            pass
        return None

    def _combined(self, call: tree.Call, combinator: Combinator, scope: Scope) -> Value:
        """The value of a combinator. Raises MistakeError for a `learn` that is bound to no name."""
        if call.name == "learn":
            raise MistakeError(learned_mistakes.anonymous(call.span, spell(call)))
        found = [self.evaluate(argument, scope) for argument in call.arguments]
        if not combinator.measures:
            values = [self._need(value) for value in found]
            return combined(call, combinator, values, self._over, self.learned_names)

        def evaluate(node: tree.Node) -> Value | None:
            return self.evaluate(node, Scope())

        if combinator.gives == "weight":
            return matched(call, combinator, found, evaluate, self.report)
        return weighed(call, combinator, found, evaluate, self.report)

    def _over(self, text: str, s: Learned) -> Expression:
        """The expression of a text over `s`."""
        inner = Evaluator(self.registry, {"s": tree.Binding(name="s", value=tree.Number(value=0))})  # type: ignore[arg-type]
        inner.bound["s"] = TensorValue(s)
        value = inner.evaluate(parse(text).result, Scope())
        assert isinstance(value, TensorValue)
        return value.expression

    def _of_option(self, call: tree.Call, loss: Loss, node: tree.Node, scope: Scope) -> Value | None:
        """The value of a node in an option of a loss."""
        if isinstance(node, tree.Call) and self._is_unbound(node):
            name = next((option.name for option in call.options if option.value is node), "")
            self.diagnostics.append(unbound(node, name, loss))
            return None
        return self.evaluate(node, scope)

    def _bound(self, call: tree.Call) -> Value:
        """The value of a bound name where it is used."""
        if call.arguments or call.options:
            raise MistakeError(option_mistakes.arguments_of_name(call.span, call.name))
        if call.name not in self.bound:
            bound_span = self.bindings[call.name].name_span
            raise MistakeError(name_mistakes.used_too_early(call.span, call.name, bound_span))
        return self._apart(renamed(self._need(self.bound[call.name]), call.name))

    def _apart(self, value: Value) -> Value:
        """A bound value where it is used: a combinator in it weighs each use by itself, as if written there."""
        if not isinstance(value, TermsValue):
            return value
        groups = {term.automatic.group for term in value.terms if term.automatic}
        fresh = {group: f"{group}{next(self.calls)}" for group in groups}
        return each_term(value, lambda term: in_call(term, fresh))

    def _unknown(self, call: tree.Call) -> Diagnostic:
        """The mistake of a name that can not be called, with a repair by the kinds that have it."""
        kinds = self.registry.kinds_of(call.name)
        fix = of_names(call, self.registry)
        if "activation" in kinds and not fix:
            return activation_alone(call, self.registry)
        if "reduction" in kinds:
            fix = f"it is the value of an option: `ce(reduction={call.name})`"
            return name_mistakes.wrong_kind(call.name_span, call.name, "reduction", "a loss", fix)
        if (option := as_option(call.name, self.registry)) and not is_known(call.name):
            return name_mistakes.wrong_kind(call.name_span, call.name, "option", "a loss", option)
        fix = fix or (answer(call, self.registry) if call.options else "")
        return name_mistakes.unknown_name(call.name_span, call.name, "loss or function", self._callable, fix)

    def _metric(self, call: tree.Call, scope: Scope) -> Value:
        """The terms of `metric(...)`: logged, never added."""
        if len(call.arguments) != 1 or call.options:
            count = len(call.arguments) + len(call.options)
            raise MistakeError(option_mistakes.wrong_count(call.span, tree.METRIC, count, "one expression"))
        value = self._need(self.evaluate(call.arguments[0], scope))
        refuse_weighed(value, spell(call))
        return each_term(value, lambda term: replace(term, metric=True, dropped=False))
