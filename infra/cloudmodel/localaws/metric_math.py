"""CloudWatch's metric math, as much of it as alarms here need: numbers, metrics by id, + - * /, comparisons, IF, FILL.

An expression is computed period by period; where a metric has no value in a period the result has none, unless FILL
gives it one. A division by zero has no value (CloudWatch's documentation, "Using metric math").
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping, Sequence

Series = Sequence[float | None]

_OPERATORS: Mapping[type, Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}
LONGEST = 1024
DEEPEST = 20


class NotUnderstood(ValueError):
    """An expression with something that is not computed here."""


def parse(expression: str) -> ast.expr:
    """The expression, or NotUnderstood."""
    if len(expression) > LONGEST:
        raise NotUnderstood(f"an expression of {len(expression)} characters")
    try:
        tree = ast.parse(expression.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise NotUnderstood(expression) from error
    _check(tree, DEEPEST)
    return tree


def compute(expression: str, series: Mapping[str, Series], periods: int) -> list[float | None]:
    """The values of the expression in each period. Raises NotUnderstood, also for an id that has no series."""
    tree = parse(expression)
    return [_value(tree, series, index) for index in range(periods)]


def _check(node: ast.expr, depth: int) -> None:
    if not depth:
        raise NotUnderstood("an expression that is nested too deeply")
    parts: list[ast.expr]
    match node:
        case ast.Constant(value=int() | float()):
            parts = []
        case ast.Name():
            parts = []
        case ast.UnaryOp(op=ast.USub()):
            parts = [node.operand]
        case ast.BinOp() if type(node.op) in _OPERATORS:
            parts = [node.left, node.right]
        case ast.Compare(ops=[only], comparators=[right]) if type(only) in _OPERATORS:
            parts = [node.left, right]
        case ast.Call(func=ast.Name(id="IF"), args=[_, _, _], keywords=[]):
            parts = node.args
        case ast.Call(func=ast.Name(id="FILL"), args=[_, _], keywords=[]):
            parts = node.args
        case _:
            raise NotUnderstood(ast.unparse(node))
    for part in parts:
        _check(part, depth - 1)


def _value(node: ast.expr, series: Mapping[str, Series], index: int) -> float | None:
    match node:
        case ast.Constant():
            return float(node.value)  # type: ignore[arg-type]
        case ast.Name():
            if node.id not in series:
                raise NotUnderstood(node.id)
            return series[node.id][index]
        case ast.UnaryOp():
            inner = _value(node.operand, series, index)
            return None if inner is None else -inner
        case ast.BinOp():
            return _applied(node.op, node.left, node.right, series, index)
        case ast.Compare():
            return _applied(node.ops[0], node.left, node.comparators[0], series, index)
        case ast.Call(func=ast.Name(id="FILL")):
            known = _value(node.args[0], series, index)
            return _value(node.args[1], series, index) if known is None else known
        case ast.Call():
            condition = _value(node.args[0], series, index)
            return None if condition is None else _value(node.args[1 if condition else 2], series, index)
    raise NotUnderstood(ast.unparse(node))


def _applied(
    sign: ast.operator | ast.cmpop, left: ast.expr, right: ast.expr, series: Mapping[str, Series], index: int
) -> float | None:
    first, second = _value(left, series, index), _value(right, series, index)
    if first is None or second is None or (isinstance(sign, ast.Div) and second == 0):
        return None
    return float(_OPERATORS[type(sign)](first, second))
