"""A server's TTFT and TPOT: the parts that they consist of."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from engine_samples import IDEAL, answer, calibrated, chip, close, dense, level, platform, usecase

from genzcli.engine.result import Serving
from genzcli.spec.hardware import Tier

SMALL = chip(memory={"hbm": Tier(capacity_bytes=0.2e9, bandwidth_bytes_per_s=1e12)})
HOST = calibrated(burst=0.4, request_s=1e-3, launch_s=1e-5)
SERVERS: dict[str, dict[str, Any]] = {
    "alone": {"batch": 1},
    "several": {"batch": 8},
    "two chips": {"batch": 8, "on": platform(level("switch", 2)), "tp": 2},
    "pipeline": {"batch": 8, "pp": 2},
    "chunks": {"batch": 8, "chunk": 64},
    "chunks that wait": {"batch": 64, "chunk": 32, "use": usecase(1000, 10)},
    "full memory": {"batch": 5000, "on": platform(chip=SMALL)},
    "drafts": {"batch": 4, "draft": "ngram", "draft_tokens": 3, "accept": 0.7},
}


@pytest.mark.parametrize("name", SERVERS)
def test_parts_add_up_to_ttft_and_tpot(name: str) -> None:
    got = answer(**SERVERS[name], batching="continuous", profile=HOST)
    parts, metrics = got.serving, got.metrics
    assert parts is not None and parts.tpot_s is not None
    first = (parts.prefill_s, parts.ahead_s, parts.running_s, parts.host_s, parts.full_s)
    assert close(sum(first), metrics.ttft_s) and min(first) >= 0
    assert close(parts.step_s + parts.between_s, metrics.tpot_s)
    assert parts.host_s >= 1e-3
    assert (parts.full_s > 0) == (name == "full memory")


def test_by_hand() -> None:
    """Two requests that come together (burst 1): half a prefill ahead, a quarter of a step, half of a prefill
    between the steps of 100 + 11 tokens."""
    got = answer(use=usecase(100, 11), batch=2, batching="continuous", profile=IDEAL.replace(burst=1))
    parts = got.serving
    prefill, step = got.phases["prefill"].time_s, got.phases["decode"].time_s
    assert parts is not None
    assert (parts.host_s, parts.full_s) == (0, 0)
    assert close(parts.prefill_s, prefill) and close(parts.ahead_s, prefill / 2)
    assert close(parts.running_s, step / 4)
    assert close(parts.step_s, step) and close(parts.between_s, prefill / 2 / 10)


def test_one_token_has_no_step() -> None:
    parts = answer(use=usecase(100, 1), batch=8, batching="continuous", profile=HOST).serving
    assert parts is not None
    assert parts.tpot_s is None and parts.running_s == 0
    assert close(parts.ahead_s, 7 * parts.prefill_s)


def test_static_batches_have_none() -> None:
    assert answer(batch=8).serving is None


def test_a_grid_has_the_parts_of_its_points() -> None:
    sizes = [1, 8, 5000]
    how: dict[str, Any] = {"on": platform(chip=SMALL), "batching": "continuous", "profile": HOST}
    grid = answer(**how, batch=np.array(sizes)).serving
    assert grid is not None
    for index, size in enumerate(sizes):
        one = answer(**how, batch=size).serving
        for name in Serving.fields:
            assert np.broadcast_to(getattr(grid, name), (3,))[index] == getattr(one, name)


def test_a_model_of_one_layer_is_served() -> None:
    assert answer(model=dense(1), batch=2, batching="continuous").serving is not None
