"""Choosing the parallelism that was left out: all chips used, the best legal plan taken."""

from __future__ import annotations

import itertools

import pytest
from engine_samples import chip, dense, level, moe, platform, scenario

from genzcli.engine.estimate import estimate
from genzcli.errors import PlanError
from genzcli.explore.plan import _nearest_counts, candidates, choose
from genzcli.spec.hardware import Tier
from genzcli.spec.model import Model

SMALL = chip(memory={"hbm": Tier(capacity_bytes=0.1e9, bandwidth_bytes_per_s=1e12)})


@pytest.mark.parametrize("model", [dense(8), moe(8)], ids=["dense", "moe"])
@pytest.mark.parametrize("chips", [1, 2, 4, 8])
def test_every_candidate_uses_exactly_the_chips(model: Model, chips: int) -> None:
    """trap: a search that requires tp pp < chips and so never uses them all."""
    found = list(candidates(model, scenario(batch=8).plan, chips, {}))
    assert found and all(plan.tp * plan.pp * plan.dp == chips for plan in found)


@pytest.mark.parametrize("batch", [1, 8])
@pytest.mark.parametrize("model", [dense(8), moe(8)], ids=["dense", "moe"])
def test_the_choice_is_the_fastest_of_all(model: Model, batch: int) -> None:
    base = scenario(model, batch=batch)
    choice = choose(base, 8, {})
    taken = estimate(choice.scenario).metrics.e2e_s
    assert choice.fits and taken is not None
    for tp, pp, dp in itertools.product((1, 2, 4, 8), repeat=3):
        if tp * pp * dp != 8 or dp > batch:
            continue
        for ep in (1, tp * dp) if model.has_experts else (1,):
            other = estimate(base.replace(plan=base.plan.replace(tp=tp, pp=pp, dp=dp, ep=ep)))
            if other.fits:
                assert taken <= float(other.metrics.e2e_s or 0) * (1 + 1e-9), (tp, pp, dp, ep)


def test_what_does_not_fit_alone_does_not_end_the_search() -> None:
    """trap: one configuration that does not fit ending the whole search."""
    # the weights, 175 MB, fit on no chip of 100 MB; cut over 8 chips they do
    base = scenario(on=platform(level(), chip=SMALL))
    assert not estimate(base).fits
    assert choose(base, 8, {}).fits


def test_when_nothing_fits_the_closest_is_taken_and_said() -> None:
    base = scenario(on=platform(level(), chip=SMALL))
    choice = choose(base, 1, {})
    assert (not choice.fits and "fit" in choice.note) or "only legal plan" in choice.note


def test_what_the_user_gave_is_kept() -> None:
    choice = choose(scenario(batch=8), 8, {"pp": 2})
    assert choice.scenario.plan.pp == 2
    assert choose(scenario(batch=8), 8, {"tp": 2, "dp": 4}).scenario.plan.tp == 2


def test_no_legal_plan_names_why() -> None:
    with pytest.raises(PlanError, match="exactly 7 chips"):
        choose(scenario(dense(layers=4), batch=1), 7, {})


@pytest.mark.parametrize(
    "fixed", [{}, {"pp": 2}, {"tp": 3}, {"dp": 2}, {"tp": 2, "dp": 3}, {"pp": 9}], ids=str
)
@pytest.mark.parametrize("uneven", ["error", "pad"])
def test_the_nearest_counts_are_those_that_trying_each_finds(fixed: dict[str, int], uneven: str) -> None:
    plan = scenario(batch=5).plan.replace(uneven=uneven)
    for chips in range(1, 70):

        def used(n: int) -> bool:
            return next(candidates(dense(8), plan, n, fixed), None) is not None

        below = [n for n in range(chips - 1, 0, -1) if used(n)][:1]
        above = [n for n in range(chips + 1, 2 * chips) if used(n)][:1]
        assert _nearest_counts(dense(8), plan, chips, fixed) == below + above, chips


def test_an_absurd_number_of_chips_is_refused_without_trying_all_below_it() -> None:
    with pytest.raises(PlanError, match="exactly 100000 chips") as refused:
        choose(scenario(dense(8), batch=1), 100000, {})
    assert "--chips 64" in refused.value.cure
