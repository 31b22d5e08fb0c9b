"""What software of 2024 adds to the roofline: rereads of the cache, unsplit attention, launches."""

from __future__ import annotations

import math

import numpy as np
from engine_samples import BANDWIDTH, answer, attention, close, dense, usecase

from genzcli.engine.counts.attention import attend
from genzcli.engine.counts.ops import Bytes, Shard
from genzcli.engine.counts.spans import decode_span
from genzcli.engine.machine.roofline import Rates, time
from genzcli.spec.dtype import Precision
from genzcli.spec.profile import OperatorFit, Profile, Unsplit

SHARD = Shard(size=Bytes.of(Precision.of("bf16")))
BYTE = 1 / BANDWIDTH


def profile(**fields: object) -> Profile:
    return Profile(**{"name": "x", "stack": "x", "operators": {}, **fields})


def rates(found: Profile, **changes: object) -> Rates:
    base = {"dtype": "bf16", "flop_per_s": math.inf, "phase": "decode", "profile": found}
    return Rates(**{**base, "weights": BYTE, "kv": BYTE, "activations": BYTE, **changes})


def kernel(sequences: int):
    """8 query heads on 2 KV heads of 128, 100 tokens of context: a step of `sequences` requests."""
    mixer = attention(heads=8, kv_heads=2)
    return attend(mixer, decode_span(sequences, 1, 99, 1, None), SHARD, flash=True, sequences=sequences)


def test_rows_and_groups_of_a_step() -> None:
    found = kernel(3)
    assert found.rows == 3 * 8 and found.groups == 3 * 2


def test_each_query_head_reads_the_cache_again() -> None:
    """Four query heads a KV head: half of the three others read it again, so 1 + 3 x 0.5 = 2.5 times."""
    found = kernel(3)
    once = time(found, rates(profile())).time
    again = time(found, rates(profile(operators={"attention.decode": OperatorFit(kv_reuse=0.5)}))).time
    assert close(again - once, found.kv_bytes * 1.5 * BYTE)


def test_prefill_keeps_keys_on_chip() -> None:
    found = kernel(3)
    fit = {"attention": OperatorFit(kv_reuse=0.0)}
    assert (
        time(found, rates(profile(operators=fit), phase="prefill")).time == time(found, rates(profile())).time
    )


def test_unsplit_attention_above_a_number_of_rows() -> None:
    """8 heads: 64 requests are 512 rows, 65 are 520. Half the bandwidth, 8192 scores where 4096 have room."""
    rule = Unsplit(above=512, score_tokens=4096)
    fits = {"attention.decode.unsplit": OperatorFit(memory_efficiency=0.5)}
    slow = profile(operators=fits, unsplit=rule)
    assert time(kernel(64), rates(slow)).time == time(kernel(64), rates(profile())).time
    found = kernel(65)
    short, long = (time(found, rates(slow, longest=tokens)).time for tokens in (4096, 1e5))
    assert close(short, 2 * time(found, rates(profile())).time)
    assert close(long - short, 2 * found.kv_bytes * BYTE)


def test_an_array_switches_element_by_element() -> None:
    rule = Unsplit(above=512, score_tokens=4096)
    fits = {"attention.decode.unsplit": OperatorFit(memory_efficiency=0.5, kv_reuse=0.25)}
    slow = rates(profile(operators=fits, unsplit=rule))
    many = time(kernel(np.array([1.0, 64.0, 65.0, 300.0])), slow).time  # type: ignore[arg-type]
    assert many.tolist() == [time(kernel(n), slow).time for n in (1, 64, 65, 300)]


def test_a_pass_takes_at_least_its_launches() -> None:
    """Four layers of 1 ms where the chip needs less: a step is 4 ms and the ends."""
    quick = answer(dense(), use=usecase(8, 3), profile=profile(), explain=True)
    held = answer(dense(), use=usecase(8, 3), profile=profile(layer_s=1e-3), explain=True)
    step, ideal = held.phases["decode"], quick.phases["decode"]
    ends = sum(row.time_s for row in ideal.operators if row.block in ("embedding", "head"))
    assert close(step.time_s, 4e-3 + ends)
    assert close(step.overhead_s, 4e-3 - (ideal.time_s - ends))
    assert close(sum(row.time_s for row in step.operators), step.time_s)
    same = answer(dense(), use=usecase(8, 3), profile=profile(layer_s=1e-9))
    assert same.phases["decode"].time_s == ideal.time_s


def test_launches_of_two_stages() -> None:
    """A pipeline's stage of two layers waits for two; the token passes both."""
    held = answer(dense(), use=usecase(8, 3), profile=profile(layer_s=1e-3), pp=2, explain=True)
    quick = answer(dense(), use=usecase(8, 3), profile=profile(), pp=2, explain=True)
    rows = quick.phases["decode"].operators
    ends = sum(row.time_s for row in rows if row.block in ("embedding", "head", "stages"))
    assert close(held.phases["decode"].time_s, 4e-3 + ends)
