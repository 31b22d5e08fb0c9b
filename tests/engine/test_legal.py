"""Plans that cannot exist are errors that list what can; in a grid they are a mask."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from engine_samples import answer, chip, dense, level, moe, platform

from genzcli.engine.counts.stages import split, stages
from genzcli.errors import PlanError
from genzcli.spec.dtype import Precision


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"tp": 3}, "legal values: 1, 2, 4, 8"),
        ({"model": dense(kv_heads=3, heads=12), "tp": 2}, "legal values: 1, 3, 6, 12"),
        ({"ep": 2, "tp": 2}, "no experts"),
        ({"model": moe(), "ep": 3, "tp": 2}, "3 does not divide 8 experts"),
        ({"model": moe(), "ep": 4, "tp": 2}, "does not divide tp x dp = 2"),
        ({"dp": 4, "batch": 3}, "dp 4 is more than the batch 3"),
        ({"tp": 8, "pp": 2}, "has 8 and no scale-out"),
        ({"pp": 5}, "4 layers cannot be spread over 5"),
    ],
)
def test_impossible_plans_name_the_cure(how: dict[str, Any], words: str) -> None:
    with pytest.raises(PlanError) as caught:
        answer(**how)
    assert words in str(caught.value)
    assert caught.value.cure


def test_padding_takes_any_tp() -> None:
    assert answer(tp=3, uneven="pad").fits
    # 3 heads on the busiest chip instead of 8/3
    assert answer(tp=3, uneven="pad").memory.kv_bytes == 111 * 4 * 3 * 256 * 2


def test_a_grid_masks_what_is_illegal() -> None:
    got = answer(tp=np.array([1.0, 2, 3, 8]))
    assert list(np.broadcast_to(got.fits, 4)) == [True, True, False, True]


def test_trap_no_precision_speeds_up_a_chip_that_lacks_it() -> None:
    old = platform(chip=chip(peaks={"bf16": 1e14}))
    assert answer(on=old, batch=64, precision="fp8").phases["prefill"].compute_s == pytest.approx(
        answer(on=old, batch=64).phases["prefill"].compute_s, rel=0.02
    )
    named = Precision(weights="fp8", kv="fp8", activations="bf16", compute="fp8", explicit_compute=True)
    from engine_samples import scenario

    from genzcli.engine.estimate import estimate

    base = scenario(on=old)
    with pytest.raises(PlanError, match="does not compute in fp8"):
        estimate(base.replace(plan=base.plan.replace(precision=named)))


def test_trap_no_stage_is_empty() -> None:
    assert split(126, 4) == [32, 32, 31, 31]
    assert split(7, 3) == [3, 2, 2]
    for total in range(1, 40):
        for parts in range(1, total + 1):
            cut = split(total, parts)
            assert sum(cut) == total and min(cut) >= 1 and max(cut) - min(cut) <= 1


def test_stages_keep_every_layer_once() -> None:
    base = dense(layers=5)
    mixed = base.replace(blocks={**base.blocks, "b": base.blocks["layer"]}, stack=(("layer", 5), ("b", 6)))
    cut = stages(mixed, 4)
    assert sum(s.repeat * n for s in cut for n in s.layers.values()) == 11
    assert sum(s.repeat for s in cut) == 4
    assert cut[0].first and cut[-1].last and cut[0].repeat == cut[-1].repeat == 1


def test_more_chips_than_the_platform_need_a_scale_out() -> None:
    wide = platform(level(), scale_out=level(name="out", size=1, bandwidth_bytes_per_s=1e10))
    inside, across = answer(dense(8), tp=8, on=wide), answer(dense(8), tp=8, pp=2, on=wide)
    assert across.fits and across.phases["decode"].network_s > inside.phases["decode"].network_s
