"""Total as a step: the plan whose one output is the total, for torch.compile.

    total = 0.5*mean + mean2
    total 9 = math:*(mean, 0.5); total 10 = math:+(total 9, mean2); total = total 10

Not one of PASSES: elsewhere the terms are needed one by one.
"""

from __future__ import annotations

from losslang.plan.plan import Argument, Output, Plan, Ref, Step


def summed(plan: Plan) -> Plan:
    """Appends the weighted sum of the trained terms as steps, and makes it the only output."""
    steps = list(plan.steps)

    def arithmetic(sign: str, left: Argument, right: Argument) -> Argument:
        # A name with a space cannot collide with that of another step.
        steps.append(Step(f"total {len(steps)}", f"math:{sign}", (left, right)))
        return Ref(steps[-1].name)

    total: Argument = None
    for output in plan.outputs:
        if not output.metric:
            part = output.value if output.weight == 1 else arithmetic("*", output.value, output.weight)
            total = part if total is None else arithmetic("+", total, part)
    return plan if total is None else Plan(tuple(steps), (Output("total", 1.0, total),))
