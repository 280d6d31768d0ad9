"""Semantic analysis: tree to meaning, with every mistake of a program collected in one run.

Names are resolved, options checked, constants folded and activations inferred. The tree is never changed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from losslang.diagnostics.diagnostic import Diagnostic
from losslang.diagnostics.errors import LossError
from losslang.diagnostics.mistakes import meaning as mistakes
from losslang.diagnostics.mistakes import names as name_mistakes
from losslang.diagnostics.mistakes import options as option_mistakes
from losslang.diagnostics.source import Source
from losslang.meaning.activation_choice import resolve_activations
from losslang.meaning.ignored_label import resolve_ignored_labels
from losslang.meaning.layout import resolve_channels
from losslang.meaning.meaning import Apply, Expression, Input, Meaning, Term
from losslang.meaning.options import ReportedError, arity
from losslang.meaning.overrides import number, overridden, settable
from losslang.meaning.rules import distinct, of_the_whole, unused
from losslang.meaning.terms import (
    MistakeError,
    NumberValue,
    TensorValue,
    TermsValue,
    Value,
    add,
    applied,
    as_terms,
    collapse,
    each_term,
    fold,
    multiply,
    negate,
    power,
    renamed,
)
from losslang.meaning.uses import Scope, read_use
from losslang.primitives.primitive import Activation, Function, Loss, Planned
from losslang.registry import Registry, current_registry
from losslang.syntax import tree
from losslang.syntax.formatter import path as spell_path
from losslang.syntax.formatter import spell
from losslang.syntax.parser import parse


@dataclass(frozen=True)
class Checked:
    """The result of a check: the meaning, None beside an error, and all diagnostics."""

    meaning: Meaning | None
    diagnostics: tuple[Diagnostic, ...]

    @property
    def errors(self) -> tuple[Diagnostic, ...]:
        return tuple(d for d in self.diagnostics if d.is_error)


def check(text: str | Source, *, source: str = "<expression>") -> tuple[Diagnostic, ...]:
    """Checks a program, and returns its mistakes and warnings sorted by place: none when all is well.

    Nothing is executed and torch is not imported.

    Args:
        text: The program, or a Source that knows its place in a config file.
        source: The name of the file that the text is from, as messages print it.

    Raises:
        Nothing for bad text: a syntax error is a diagnostic too.

    Example:
        >>> [mistake] = losslang.check("ce + dise")
        >>> print(mistake.code, mistake.message, mistake.fix, sep="; ")
        E101; there is no loss or function `dise`; did you mean `dice`?
        >>> losslang.check("0.5*bce(sigmoid) + dice(smooth=1)")
        ()
    """
    return analyze(text if isinstance(text, Source) else Source(text, source)).diagnostics


def analyze(
    source: Source, *, overrides: Mapping[str, float] | None = None, registry: Registry | None = None
) -> Checked:
    """Checks a program with numbers set from outside, and returns its meaning beside its diagnostics.

    `overrides` are as in `compile`; `registry` is the current one if none is named.
    """
    try:
        program = parse(source)
    except LossError as error:
        return Checked(None, error.diagnostics)
    checker = _Checker(registry or current_registry(), dict(overrides or {}))
    terms = checker.program(program)
    found = tuple(d.at(source) for d in sorted(checker.found, key=lambda d: (d.span.start, d.code)))
    if terms is None or any(d.is_error for d in found):
        return Checked(None, found)
    return Checked(Meaning(terms, source), found)


class _Checker:
    """Evaluates the nodes of one program, once each. Bound names are evaluated where they are bound and
    inlined where they are used.
    """

    def __init__(self, registry: Registry, overrides: dict[str, float]):
        self.registry = registry
        self.overrides = overrides
        self.found: list[Diagnostic] = []
        self.bound: dict[str, Value | None] = {}
        self.bindings: dict[str, tree.Binding] = {}

    def report(self, problem: MistakeError) -> None:
        self.found.append(problem.diagnostic)

    # -------------------------------------------------------------------------------- program

    def program(self, program: tree.Program) -> tuple[Term, ...] | None:
        """The terms of a program; None where its result could not be evaluated."""
        for binding in program.bindings:
            if binding.name in self.bindings:
                first = self.bindings[binding.name].name_span
                self.found.append(name_mistakes.bound_twice(binding.name_span, binding.name, first))
                continue
            self.bindings[binding.name] = binding
            kinds = self.registry.kinds_of(binding.name)
            if kinds:
                self.found.append(name_mistakes.hides(binding.name_span, binding.name, kinds[0]))
        self.found += unused(program)
        for name, binding in self.bindings.items():
            self.bound[name] = self._bind(name, binding)
        result = self.evaluate(program.result, Scope())
        if result is None:
            return None
        terms, found = resolve_activations(distinct(as_terms(result)), self.registry)
        self.found += found
        terms, found = resolve_ignored_labels(terms, self.registry)
        self.found += found
        terms, found = resolve_channels(terms)
        self.found += found
        numbers = {n: v.value for n, v in self.bound.items() if isinstance(v, NumberValue)}
        for name in self.overrides:
            known = (*numbers, *settable(terms, self.registry))
            if name not in known:
                self.found.append(name_mistakes.nothing_to_override(program.result.span, name, known))
        outside = {n: v for n, v in self.overrides.items() if n not in numbers}
        terms, problems = overridden(terms, outside, self.registry)
        self.found += [p.diagnostic for p in problems]
        self.found += of_the_whole(terms, program.result.span, self.registry)
        return terms

    def _bind(self, name: str, binding: tree.Binding) -> Value | None:
        """The value of a bound name: that of its expression, or the number that an override sets."""
        value = self.evaluate(binding.value, Scope())
        if isinstance(value, NumberValue) and name in self.overrides:
            try:
                return NumberValue(number(self.overrides[name], value.span, "overrides", name), value.span)
            except MistakeError as problem:
                self.found.append(problem.diagnostic)
        return value

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
            case tree.Word() | tree.Text():
                raise MistakeError(mistakes.not_arithmetic(node.span, spell(node)))
            case tree.Path():
                return TensorValue(self._path(node, scope), node.span)
            case tree.Negative(operand=operand):
                return negate(self._need(self.evaluate(operand, scope)), node)
            case tree.Power(base=base, exponent=exponent):
                left, right = self._all([base, exponent], scope)
                return power(left, right, node)
            case tree.Sum(terms=nodes, operators=operators):
                signs = [1.0, *(1.0 if o == "+" else -1.0 for o in operators)]
                return add(list(zip(signs, self._all(nodes, scope), strict=True)), node)
            case tree.Product(factors=nodes, operators=operators):
                values = self._all(nodes, scope)
                return multiply(list(zip(("*", *operators), values, nodes, strict=True)), node)
            case tree.Routed(body=body, route=route):
                return self._routed(body, self._scope(route, scope))
            case tree.Call():
                return self._call(node, scope)
            case _:
                raise TypeError(f"{type(node).__name__} is not an expression")

    def _all(self, nodes: Sequence[tree.Node], scope: Scope) -> list[Value]:
        """The values of all nodes. All are evaluated, so that the mistakes of each are found."""
        return [self._need(value) for value in [self.evaluate(node, scope) for node in nodes]]

    def _need(self, value: Value | None) -> Value:
        """Raises ReportedError for a value that is missing: its mistake has been reported."""
        if value is None:
            raise ReportedError
        return value

    def _path(self, path: tree.Path, scope: Scope) -> Expression:
        """The expression of a path: below the route of its scope for `pred` and `target`."""
        if path.root not in tree.ROOTS:
            raise MistakeError(name_mistakes.not_a_root(path.span, path.root))
        if path.root not in ("pred", "target"):
            return Input(path.root, path.steps, span=path.span)
        base = scope.pred if path.root == "pred" else scope.target
        match base:
            case Input(root=root, steps=steps, soft=soft):
                # A target that is one tensor answers for every head, not for a written `.key`.
                written = path.steps or path.root == "pred"
                return Input(root, steps + path.steps, soft and not written, span=path.span)
            case _ if not path.steps:
                return base
            case _:
                raise MistakeError(mistakes.no_path_into(path.span, spell_path(path), str(base)))

    def _scope(self, route: tree.Route | tree.Operands, scope: Scope) -> Scope:
        """The scope of what stands before an `@`."""
        if isinstance(route, tree.Route):
            return self._behind(route, scope)
        values = self._all(route.items, scope)
        if any(isinstance(value, TermsValue) for value in values):
            raise MistakeError(mistakes.not_arithmetic(route.span, spell(route)))
        items = [collapse(value, spell(route)) for value in values]
        # A number has no parts to route further; it is what every element is compared with.
        target = items[1] if len(items) > 1 else scope.target
        return replace(scope, pred=items[0], target=target, operands=tuple(items), span=route.span)

    def _behind(self, route: tree.Route, scope: Scope) -> Scope:
        """The scope of `...@seg`: `pred.seg` and `target.seg`, below those of the scope around it."""
        path = route.path
        if path.root in tree.ROOTS:
            pred = self._path(path, scope)
            return replace(scope, pred=pred, operands=(pred,), span=route.span)
        steps = (tree.Key(path.root), *path.steps)
        if not (isinstance(scope.pred, Input) and isinstance(scope.target, Input)):
            raise MistakeError(mistakes.no_path_into(route.span, spell_path(path), str(scope.pred)))
        name = f"{scope.head}.{spell_path(path)}" if scope.head else spell_path(path)
        pred = Input(scope.pred.root, scope.pred.steps + steps, span=route.span)
        target = Input(scope.target.root, scope.target.steps + steps, soft=True, span=route.span)
        return Scope(pred, target, name, (), route.span)

    def _routed(self, body: tree.Node, scope: Scope) -> Value:
        """The value of `body@route`. Raises MistakeError for a body that reads neither `pred` nor `target`."""
        value = self._need(self.evaluate(body, scope))
        if not isinstance(value, TermsValue) or not any(map(self._is_routed, tree.walk(body))):
            raise MistakeError(mistakes.nothing_to_route(body.span, spell(body)))
        return value

    def _is_routed(self, node: tree.Node) -> bool:
        """True for a node that reads `pred` or `target` itself: a bound name keeps its own route."""
        match node:
            case tree.Call(name=name):
                return name not in self.bindings and self.registry.loss(name) is not None
            case tree.Path(root=root):
                return root in ("pred", "target")
            case _:
                return False

    # -------------------------------------------------------------------------------- calls

    def _call(self, call: tree.Call, scope: Scope) -> Value:
        """The value of a call: a bound name, a loss, `metric` or a function, in this order."""
        name = call.name
        if name in self.bindings:
            return self._bound(call)
        if found := self.registry.loss(name):
            use = read_use(
                call, found, scope, self.registry, lambda node: self.evaluate(node, scope), self.report
            )
            if use is None:
                raise ReportedError
            return TermsValue((Term(use.name, 1.0, use, span=call.span),), call.span)
        if name == tree.METRIC:
            return self._metric(call, scope)
        if planned := self.registry.get(Planned, name):
            raise MistakeError(name_mistakes.not_built(call.name_span, name, planned.summary))
        function = self.registry.get(Function, name)
        if function is not None and (call.arguments or not self.registry.get(Activation, name)):
            return self._function(call, function, scope)
        raise MistakeError(self._unknown(call))

    def _bound(self, call: tree.Call) -> Value:
        """The value of a bound name where it is used."""
        if call.arguments or call.options:
            raise MistakeError(option_mistakes.arguments_of_name(call.span, call.name))
        if call.name not in self.bound:
            place = self.bindings[call.name].name_span
            raise MistakeError(name_mistakes.used_too_early(call.span, call.name, place))
        return renamed(self._need(self.bound[call.name]), call.name)

    def _unknown(self, call: tree.Call) -> Diagnostic:
        """The mistake of a name that can not be called, with a repair by the kinds that have it."""
        kinds = self.registry.kinds_of(call.name)
        if "activation" in kinds:
            fix = f"give it to a loss: `bce({call.name})`"
            return name_mistakes.wrong_kind(call.name_span, call.name, "activation", "a loss", fix)
        if "reduction" in kinds:
            fix = f"it is the value of an option: `ce(reduction={call.name})`"
            return name_mistakes.wrong_kind(call.name_span, call.name, "reduction", "a loss", fix)
        known = (*self.bindings, *self.registry.names(Loss), *self.registry.names(Function), tree.METRIC)
        return name_mistakes.unknown_name(call.name_span, call.name, "loss or function", known)

    def _metric(self, call: tree.Call, scope: Scope) -> Value:
        """The terms of `metric(...)`: logged, never added."""
        if len(call.arguments) != 1 or call.options:
            count = len(call.arguments) + len(call.options)
            raise MistakeError(option_mistakes.wrong_count(call.span, tree.METRIC, count, "one expression"))
        value = self._need(self.evaluate(call.arguments[0], scope))
        return each_term(value, lambda term: replace(term, metric=True))

    def _function(self, call: tree.Call, function: Function, scope: Scope) -> Value:
        """The value of a function of the language: folded if all arguments are constants."""
        for option in call.options:
            raise MistakeError(option_mistakes.unknown_option(option.span, call.name, option.name, ()))
        values = self._all(call.arguments, scope)
        least, wanted = arity(function)
        if len(values) < least or ((least != 2 or "more" not in wanted) and len(values) != least):
            raise MistakeError(option_mistakes.wrong_count(call.span, call.name, len(values), wanted))
        if function.name == "detach":
            return self._detached(values[0], call)
        if function.reduces and isinstance(values[0], TermsValue):
            body = spell(call.arguments[0])
            raise MistakeError(mistakes.reduced_twice(call.span, call.name, body, call.arguments[0].span))
        if all(isinstance(value, NumberValue) for value in values):
            plain = [float(value.value) for value in values if isinstance(value, NumberValue)]
            assert function.fold is not None
            compute: Callable[..., float] = function.fold
            return fold(lambda: compute(*plain), call.span, spell(call))
        return applied(call.name, values, call)

    def _detached(self, value: Value, call: tree.Call) -> Value:
        """The value of `detach(...)`: a constant stays one, a sum is detached term by term."""
        if not isinstance(value, TermsValue):
            return value if isinstance(value, NumberValue) else applied("detach", [value], call)
        return each_term(value, lambda term: replace(term, body=Apply("detach", (term.body,), term.span)))
