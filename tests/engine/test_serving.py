"""A server's TTFT and TPOT: the parts that they consist of."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from engine_samples import IDEAL, answer, calibrated, chip, close, dense, level, platform, usecase
from hypothesis import given, settings
from hypothesis import strategies as st

from genzcli.engine.machine.roofline import Parts
from genzcli.engine.result import Serving
from genzcli.engine.schedule.timing import Timing
from genzcli.engine.serving import Queue, chunked
from genzcli.spec.hardware import Tier
from genzcli.spec.profile import OperatorFit

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


# --- chunked prefill ---


def chunks(n: float, slot: float = 1.0, pipeline: float = 1.0) -> Timing:
    """A prompt in n passes of `pipeline` slots."""
    prefill = Parts(compute=slot * (pipeline + max(n, 1) - 1))
    return Timing(
        mean=prefill,
        first_s=prefill.time,
        last_s=prefill.time,
        work=prefill,
        slot_s=slot,
        pass_s=slot * pipeline,
        passes=n,
    )


def test_two_stages_by_hand() -> None:
    """Stages of 1 s, so a pass of 2 s; 3 requests of 4 chunks and 1 + 10 tokens, a plain step takes 0.5 s.

    The own prompt takes 2 + 3 s. The 8 passes of the others come two in each of 4 steps, which take
    2 s, and the other 6 steps 0.5 s: 11 s over 10 steps. A new prompt enters half a slot later, for 2 of 3.
    """
    got = chunked(chunks(4, pipeline=2), 0.5, Queue(requests=3, outputs=11, stages=2))
    assert (got.prefill_s, got.ahead_s) == (5, 0)
    assert close(got.running_s, 1 / 3)
    assert got.step_s == 0.5 and close(got.between_s, 4 * 1.5 / 10)


def test_two_stages_that_prompts_keep_busy_by_hand() -> None:
    """9 requests: a cycle is 36 passes of 1 s. The own prompt takes 5 s, its 10 tokens 2 s each, so it waits
    11 s."""
    got = chunked(chunks(4, pipeline=2), 0.5, Queue(requests=9, outputs=11, stages=2))
    assert close(got.ahead_s, 11) and got.running_s == 0
    assert close(got.tpot_s or 0, 2) and close(got.ttft_s + 10 * (got.tpot_s or 0), 36)


def test_a_burst_of_chunks_by_hand() -> None:
    """The 3 requests above come together: 4 of the others' 8 passes of 1 s are ahead, so 4 s of the 6 s that
    they take between its steps otherwise."""
    got = chunked(chunks(4, pipeline=2), 0.5, Queue(requests=3, outputs=11, burst=1, stages=2))
    assert close(got.ahead_s, 4) and close(got.between_s, 2 / 10)


def test_the_own_pass_is_of_those_who_decode_together() -> None:
    """64 requests of 1000 + 100 tokens in passes of 55: 55 x 100 / 1100 = 5 decode in one, and one more in a
    step without a prompt."""
    how: dict[str, Any] = {"use": usecase(1000, 101), "batching": "continuous", "chunk": 55}
    many = answer(**how, batch=64)
    alone = answer(use=usecase(1000, 101), batch=6)
    assert many.serving is not None
    assert close(many.phases["decode"].time_s, alone.phases["decode"].time_s)
    assert many.serving.step_s == many.phases["decode"].time_s


def test_those_who_decode_beside_a_prompt_have_the_kernels_of_decode() -> None:
    """Prefill's attention pads a single query to a tile of 128; decode's does not."""
    slow = {"attention.prefill": OperatorFit(tile_rows=128), "attention.decode": OperatorFit()}
    profile = IDEAL.replace(operators=slow)
    how: dict[str, Any] = {"use": usecase(1000, 201), "batching": "continuous", "chunk": 108, "batch": 9}
    got = answer(**how, profile=profile, explain=True).phases["prefill"].operators
    plain = answer(use=usecase(1000, 201), batch=8, profile=profile, explain=True).phases["decode"].operators
    beside = [row for row in got if row.name == "attention"][1]
    (alone,) = [row for row in plain if row.name == "attention"]
    assert close(beside.time_s, alone.time_s, 0.01)  # half way through the output, not the mean of all steps


def test_many_short_prompts_are_read_once() -> None:
    """16 requests of 100 + 2 tokens: each has a pass of prompt and one of decode, so a pass has 8 of each."""
    how: dict[str, Any] = {"use": usecase(100, 2), "batch": 16, "batching": "continuous", "chunk": 8192}
    got = answer(**how, explain=True)
    qkv = next(row for row in got.phases["prefill"].operators if row.name == "qkv")
    assert close(qkv.flop, 4 * 2 * (8 * 100 + 8) * 1024 * 3 * 1024)
    assert close(got.metrics.e2e_s, 2 * got.phases["prefill"].time_s)


@settings(deadline=None, max_examples=60)
@given(
    pp=st.sampled_from([1, 2, 4]),
    tokens=st.tuples(st.integers(1, 40000), st.integers(2, 3000)),
    chunk=st.integers(64, 8192),
    few=st.integers(1, 300),
    more=st.integers(1, 300),
    burst=st.sampled_from([0.0, 0.2, 1.0]),
)
def test_more_requests_never_lower_what_a_chunked_server_yields(
    pp: int, tokens: tuple[int, int], chunk: int, few: int, more: int, burst: float
) -> None:
    roomy = chip(memory={"hbm": Tier(capacity_bytes=1e16, bandwidth_bytes_per_s=1e12)})
    on, profile = platform(level(size=4), chip=roomy), IDEAL.replace(burst=burst)
    how: dict[str, Any] = {"on": on, "pp": pp, "chunk": chunk, "batching": "continuous", "profile": profile}
    rates = []
    for batch in (few, few + more):
        got = answer(use=usecase(*tokens), batch=batch, **how)
        parts, metrics = got.serving, got.metrics
        assert parts is not None and metrics.output_tokens_per_s is not None
        assert min(getattr(parts, name) for name in Serving.fields) >= 0
        assert close(parts.ttft_s, metrics.ttft_s) and close(parts.tpot_s or 0, metrics.tpot_s)
        rates.append(metrics.output_tokens_per_s)
    assert rates[0] <= rates[1] * 1.005  # where chunks fill up, 0.2 % at most
