"""Blocks of points: what arrays answer is what each point answers by itself, however they are cut."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from engine_samples import dense, level, platform, scenario

from genzcli.engine.estimate import estimate
from genzcli.engine.result import BOUNDS, Metrics
from genzcli.explore.grid import MEMORY
from genzcli.explore.sweep import Block, Frame, Numbers, blocks, listed, plain
from genzcli.spec.model import Moe
from genzcli.spec.workload import Scenario

SIZES = {"batch": [1.0, 3.0, 64.0, 900.0], "input_tokens": [7.0, 2000.0], "output_tokens": [1.0, 2.0, 333.0]}
EXPERTS = dense(feedforward=Moe(experts=16, experts_per_token=2, d_expert=512), window=500)
PLANS: dict[str, dict[str, Any]] = {
    "one chip": {},
    "tp 4": {"tp": 4},
    "pp 2, server": {"pp": 2, "batching": "continuous"},
    "overlap": {"tp": 4, "overlap": 0.5, "sp": True},
}


def put(where: str, field: str) -> Any:
    """A number into the plan or the use case."""

    def change(scenario: Scenario, value: Any) -> Scenario:
        return scenario.replace(**{where: getattr(scenario, where).replace(**{field: value})})

    return change


def axes(values: dict[str, list[float]]) -> list[Numbers]:
    return [
        Numbers(name, np.array(found), put("plan" if name == "batch" else "usecase", name))
        for name, found in values.items()
    ]


def frame(**plan: Any) -> Frame:
    case = scenario(EXPERTS, on=platform(level("switch", 8)), **plan)
    fixed = {axis: getattr(case.plan, axis) for axis in ("tp", "pp", "dp", "ep")}
    return Frame(case, case.plan.chips, fixed, {})


def agree(block: Block) -> None:
    """Every point of a block has the numbers of its own question, to the last bit."""
    for index in range(block.size):
        alone = estimate(block.scenario(index))
        assert bool(alone.fits) == bool(block.columns["fits"][index])
        wanted = {name: getattr(alone.metrics, name) for name in Metrics.fields}
        wanted |= {name: getattr(alone.memory, name) for name in MEMORY} | {"bound": alone.bound}
        for name, value in wanted.items():
            found = block.columns[name][index]
            assert (value is None and np.isnan(found)) or value == found, (name, block.scenario(index).plan)


@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
def test_a_list_and_a_grid_are_their_points(plan: dict[str, Any]) -> None:
    given = frame(**plan)
    (whole,) = blocks(given, axes(SIZES))
    assert whole.size == 24
    agree(whole)
    draw = np.random.default_rng(3)
    together = {name: [float(draw.choice(values)) for _ in range(40)] for name, values in SIZES.items()}
    (found,) = listed(given, axes(together))
    assert found.columns["batch"].tolist() == together["batch"]
    agree(found)


@pytest.mark.parametrize("size", [1, 5, 24])
def test_cuts_change_nothing(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    (whole,) = blocks(frame(), axes(SIZES))
    together = {name: [values[index % len(values)] for index in range(30)] for name, values in SIZES.items()}
    (long,) = listed(frame(), axes(together))
    monkeypatch.setattr("genzcli.explore.sweep.BLOCK", size)
    for one, many in ((whole, blocks(frame(), axes(SIZES))), (long, listed(frame(), axes(together)))):
        parts = list(many)
        assert len(parts) == math.ceil(one.size / max(part.size for part in parts))
        for name, column in one.columns.items():
            joined = np.concatenate([part.columns[name] for part in parts])
            assert np.array_equal(joined, column, equal_nan=True), name


def test_part_of_a_list() -> None:
    values = {"batch": [float(n) for n in range(1, 30)]}
    (part,) = listed(frame(), axes(values), 5, 9)
    assert [plain(value) for value in part.columns["batch"]] == [6, 7, 8, 9]


@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
def test_a_brief_answer_is_the_whole_one_without_phases(plan: dict[str, Any]) -> None:
    case = frame(**plan).scenario
    whole, brief = estimate(case), estimate(case, brief=True)
    assert whole.phases and not brief.phases
    assert brief == whole.replace(phases={})


def test_what_bounds_a_request_counts_every_step() -> None:
    """A prefill that compute bounds weighs less than many decode steps that memory bounds."""
    for steps, word in ((2, "compute"), (1000, "memory")):
        case = scenario(dense()).replace(usecase=scenario(dense()).usecase.replace(output_tokens=steps))
        found = estimate(case.replace(usecase=case.usecase.replace(input_tokens=20000)))
        spent = {
            part: getattr(found.phases["prefill"], f"{part}_s")
            + (steps - 1) * getattr(found.phases["decode"], f"{part}_s")
            for part in BOUNDS
        }
        assert BOUNDS[int(found.bound or 0)] == max(BOUNDS, key=lambda part: spent[part])
        assert BOUNDS[int(found.bound or 0)] == word
