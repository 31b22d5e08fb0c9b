"""What plans cannot beat: bounds of all plans of a search at once, from one array call.

Stages of a pipeline pass a micro-batch on to one another. One stage that holds every layer, with room for all
of it in memory as fast as a chip's memories together, serves the same micro-batch without hops, without
further micro-batches to wait for, and reads no byte more slowly. So its times are below those of any number
of stages, and plans that differ in `pp` alone have them in common.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from genzcli.engine.counts.prompts import read_tokens
from genzcli.engine.estimate import estimate
from genzcli.engine.machine.energy import energy_j, rent_usd_per_hour
from genzcli.engine.machine.network import is_torus
from genzcli.engine.machine.roofline import Parts
from genzcli.engine.result import Metrics
from genzcli.errors import PlanError
from genzcli.numeric import largest, maximum
from genzcli.spec.metric import METRICS
from genzcli.spec.workload import Plan, Scenario, Slo

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from genzcli.numeric import Number

    Numbers = NDArray[np.float64]

#: A capacity that nothing fills.
_ROOMY = 1e6


def best_case(scenario: Scenario, plans: Sequence[Plan]) -> Metrics:
    """Metrics that these plans of a scenario do no better than, each an array over the plans.

    A server is taken to run one request a group, since nobody waits for others then. Chunks of a prompt
    are on several stages at once, so with them TTFT has no bound here, nor has TPOT on a server.
    """
    plan, usecase = scenario.plan, scenario.usecase
    ttft, tpot = _times(scenario, plans)
    e2e = ttft if tpot is None else ttft + (usecase.output_tokens - 1) * tpot
    rate = plan.batch * usecase.output_tokens / maximum(e2e, 1e-30)
    every = scenario.replace(plan=plan.replace(**{axis: _column(plans, axis) for axis in _AXES}))
    watts, rent = energy_j(every, 1.0, Parts(), Parts()), rent_usd_per_hour(every)
    return Metrics(
        ttft_s=ttft,
        tpot_s=tpot,
        e2e_s=e2e,
        output_tokens_per_s=rate,
        total_tokens_per_s=rate * (read_tokens(scenario.model, usecase) / usecase.output_tokens + 1),
        requests_per_s=rate / usecase.output_tokens,
        tokens_per_s_per_user=None if tpot is None else 1 / maximum(tpot, 1e-30),
        average_w=watts,
        joules_per_output_token=None if watts is None else watts / rate,
        usd_per_million_output_tokens=None if rent is None else rent / 3600 / rate * 1e6,
    )


_AXES = ("tp", "pp", "dp", "ep")


def shortfall(metrics: Metrics, slos: Sequence[Slo]) -> Number:
    """How many times its limit the worst objective takes (of a rate, its limit over it); met up to 1.

    An interval between tokens that there is none of is met.
    """
    worst: Number = 0.0
    for slo in slos:
        metric = METRICS[slo.metric]
        actual = getattr(metrics, metric.field)
        if actual is not None:
            worst = maximum(worst, actual / slo.limit if metric.ceiling else slo.limit / actual)
    return worst


def _column(plans: Sequence[Plan], axis: str) -> Numbers:
    import numpy as np

    return np.array([float(getattr(plan, axis)) for plan in plans])


def _times(scenario: Scenario, plans: Sequence[Plan]) -> tuple[Numbers, Numbers | None]:
    """Least TTFT and TPOT of each plan; equal micro-batches on equal stages are timed once."""
    import numpy as np

    keys = [(plan.tp, plan.dp, plan.ep, _micro_batch(plan)) for plan in plans]
    once = {key: position for position, key in enumerate(dict.fromkeys(keys))}
    at = np.array([once[key] for key in keys])
    tp, dp, ep, batch = (np.array([float(key[axis]) for key in once]) for axis in range(4))
    alone = _roomy(scenario).replace(plan=scenario.plan.replace(tp=tp, pp=1, dp=dp, ep=ep, batch=batch))
    try:
        with np.errstate(all="ignore"):  # illegal plans are computed along; nobody takes them
            found = estimate(alone, brief=True).metrics
    except PlanError:
        return np.zeros(len(plans)), None
    chunked, served = scenario.plan.chunk is not None, scenario.plan.batching == "continuous"
    ttft, tpot = (
        None if value is None else np.broadcast_to(0.0 if unbound else value, tp.shape)[at]
        for value, unbound in ((found.ttft_s, chunked), (found.tpot_s, chunked and served))
    )
    assert ttft is not None
    return ttft, tpot


def _micro_batch(plan: Plan) -> float:
    """The batch, over the platform, whose largest group has the requests of one micro-batch, rounded down."""
    requests = -(-largest(plan.batch) // plan.dp)
    each = 1 if plan.batching == "continuous" else requests // min(requests, plan.pp)
    return float(plan.batch * each / requests)


def _roomy(scenario: Scenario) -> Scenario:
    """The scenario where everything lies in memory as fast as a chip's are, together if they stream so.

    More stages are a larger slice of a torus, whose rings may be closed: here they all are.
    """
    platform, chip = scenario.platform, scenario.platform.chip
    stores = [tier for tier in chip.memory.values() if tier.role == "storage"]
    rates = [tier.bandwidth_bytes_per_s for tier in (*stores, *platform.memory.values())]
    together = any(tier.parallel for tier in (*stores, *platform.memory.values()))
    best = sum(rates) if together else max(rates)
    memory = {
        name: tier.replace(
            capacity_bytes=tier.capacity_bytes * _ROOMY,
            bandwidth_bytes_per_s=best if tier.role == "storage" else tier.bandwidth_bytes_per_s,
        )
        for name, tier in chip.memory.items()
    }
    levels = platform.levels
    if is_torus(levels):
        levels = tuple(level.replace(closes=1) for level in levels)
    return scenario.replace(platform=platform.replace(chip=chip.replace(memory=memory), levels=levels))
