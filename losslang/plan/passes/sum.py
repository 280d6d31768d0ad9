"""The plan whose one value is the total: for what compiles a call as a whole.

Not one of PASSES: the terms of a plan are logged one by one.
"""

from __future__ import annotations

from losslang.plan.plan import Argument, Output, Plan, Ref, Step


def summed(plan: Plan) -> Plan:
    """The plan with the weighted sum of its trained terms among its steps."""
    steps = list(plan.steps)

    def arithmetic(sign: str, left: Argument, right: Argument) -> Argument:
        # No other step has a name with a space in it.
        steps.append(Step(f"total {len(steps)}", f"math:{sign}", (left, right)))
        return Ref(steps[-1].name)

    total: Argument = None
    for output in plan.outputs:
        if not output.metric:
            part = output.value if output.weight == 1 else arithmetic("*", output.value, output.weight)
            total = part if total is None else arithmetic("+", total, part)
    return plan if total is None else Plan(tuple(steps), (Output("total", 1.0, total),))
