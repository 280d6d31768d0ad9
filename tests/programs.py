"""Hypothesis strategies that write programs: trees first, so that every text has a known meaning."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from losslang.diagnostics.mistakes.names import ELSEWHERE
from losslang.syntax import tree

NAMES = st.sampled_from(
    ["ce", "dice", "rec", "a", "b2", "_x", "focal", "mean", "Loss", "ramp", "learn", "l1"]
)
KEYS = st.sampled_from(["seg", "mu", "layers", "x_1", "pred", "true", "boxes"])
NUMBERS = st.one_of(
    st.integers(0, 10**7),
    st.floats(0, 1e30, allow_nan=False, allow_infinity=False),
    st.sampled_from([1e-5, 5e-324, 0.1, 1e16, 1.5e22, 1.0]),
).map(lambda value: tree.Number(value=value))
INDEX = st.integers(-3, 12)
ACCESS = st.one_of(
    KEYS.map(tree.Key),
    INDEX.map(tree.Index),
    st.builds(tree.Slice, st.none() | INDEX, st.none() | INDEX),
)
PATHS = st.builds(
    tree.Path,
    root=st.sampled_from(tree.ROOTS),
    steps=st.lists(ACCESS, max_size=3).map(tuple),
)
WORDS = st.sampled_from([True, False, None]).map(lambda value: tree.Word(value=value))
TEXTS = st.text(st.sampled_from("abc_-. ()#;=*@'"), max_size=6).map(lambda value: tree.Text(value=value))
LEAVES = st.one_of(NUMBERS, PATHS, WORDS, NAMES.map(lambda name: tree.Call(name=name)))


def tuples(of: st.SearchStrategy[Any], low: int, high: int) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(of, min_size=low, max_size=high).map(tuple)


def compound(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Every node that holds others."""
    values = st.one_of(inner, TEXTS, tuples(inner | TEXTS, 0, 3).map(lambda items: tree.Items(items=items)))
    options = st.builds(tree.Option, name=KEYS, value=values)
    heads = st.builds(
        lambda name, steps: tree.Route(path=tree.Path(root=name, steps=steps)),
        KEYS,
        tuples(ACCESS, 0, 2),
    )
    operands = tuples(inner, 1, 3).map(lambda items: tree.Operands(items=items))
    return st.one_of(
        st.builds(tree.Call, name=NAMES, arguments=tuples(inner, 0, 2), options=tuples(options, 0, 3)),
        st.builds(tree.Negative, operand=inner),
        st.builds(tree.Power, base=inner, exponent=inner),
        chain(tree.Product, "factors", inner, "*/"),
        chain(tree.Sum, "terms", inner, "+-"),
        st.builds(tree.Routed, body=inner, route=heads | operands),
    )


def chain(node: Any, field: str, inner: st.SearchStrategy[Any], signs: str) -> st.SearchStrategy[Any]:
    """Two to four operands; an operator stands before each but the first."""
    later = tuples(st.tuples(st.sampled_from(signs), inner), 1, 3)

    def build(first: Any, pairs: tuple[tuple[str, Any], ...]) -> Any:
        operators = tuple(sign for sign, _ in pairs)
        return node(**{field: (first, *(operand for _, operand in pairs))}, operators=operators)

    return st.builds(build, inner, later)


EXPRESSIONS = st.recursive(LEAVES, compound, max_leaves=12)
BINDINGS = st.builds(tree.Binding, name=st.sampled_from(["p", "q", "gan"]), value=EXPRESSIONS)
PROGRAMS = st.builds(tree.Program, bindings=tuples(BINDINGS, 0, 3), result=EXPRESSIONS)

# Words of real programs and of real mistakes, to be strewn at random.
PIECES = st.sampled_from(
    [
        *"()[]+-*/@=,.:;#'\"\n\t ${}&|<>!%^~`\\?",
        *["**", "ce", "dice", "bce", "sigmoid", "softmax", "pred", "target", "batch", "const", "metric"],
        *["smooth=", "reduction=", "mean", "topk", "mask=", "class_weight=[1,2]", "1", ".5", "1e-5", "0"],
        *["1e999", "9**9**9", "true", "none", "@seg", "@(pred.a, target)", "ramp(0,1,steps=3)", "learn(0)"],
        *["x = ", "x", "\r\n", "é", "\x00", "\ud800", "−", "１", "‘", *list(ELSEWHERE)[:6]],
    ]
)
NOISE = st.one_of(st.lists(PIECES, max_size=40).map("".join), st.text(max_size=60))
