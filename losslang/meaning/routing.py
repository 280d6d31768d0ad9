"""Routing: the tensors that a path reads, and where the paths behind a head begin."""

from __future__ import annotations

from dataclasses import replace

from losslang.diagnostics.mistakes import names as name_mistakes
from losslang.diagnostics.mistakes import routes
from losslang.meaning.meaning import Expression, Input
from losslang.meaning.terms import MistakeError
from losslang.meaning.uses import Scope, handed_below
from losslang.syntax import tree
from losslang.syntax.formatter import path as spell_path


def read_path(path: tree.Path, scope: Scope) -> Expression:
    """The expression of a path: below the route of its scope for `pred` and `target`."""
    if path.root not in tree.ROOTS:
        last = path.steps[-1] if path.steps else None
        name = last.name if isinstance(last, tree.Key) else ""
        raise MistakeError(name_mistakes.not_a_root(path.span, path.root, name))
    if path.root not in ("pred", "target"):
        return Input(path.root, path.steps, span=path.span)
    base = scope.pred if path.root == "pred" else scope.target
    # A target that is one tensor answers for every head, not for a written `.key`.
    written = path.steps or path.root == "pred"
    steps = base.steps + path.steps
    return replace(base, steps=steps, soft=base.soft and not written, span=path.span)


def behind(body: tree.Node, route: tree.Route, scope: Scope) -> Scope:
    """The scope of `body@seg`: `pred.seg` and `target.seg`, below those of the scope around it."""
    path = route.path
    if path.root in tree.ROOTS:
        operands = (read_path(path, scope), *scope.operands[1:2])
        return scope._replace(operands=operands, span=route.span)
    steps = (tree.Key(path.root), *path.steps)
    if scope.operands:
        fix = handed_below(body, scope.operands, steps)
        raise MistakeError(routes.head_among_operands(route.span, spell_path(path), scope.span, fix))
    name = f"{scope.head}.{spell_path(path)}" if scope.head else spell_path(path)
    pred = replace(scope.pred, steps=scope.pred.steps + steps, span=route.span)
    target = replace(scope.target, steps=scope.target.steps + steps, soft=True, span=route.span)
    return Scope(pred, target, name, (), route.span)
