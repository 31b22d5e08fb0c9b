"""Where things lie among several memories, what that costs, and attention beside another memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from engine_samples import (
    BANDWIDTH,
    answer,
    attention,
    calibrated,
    chip,
    close,
    dense,
    level,
    model_of,
    platform,
    usecase,
)
from hypothesis import given
from hypothesis import strategies as st

from genzcli.engine.machine.placement import Need, Shelf, Storage, contents, place
from genzcli.errors import PlanError
from genzcli.spec.hardware import Platform, Processor, Tier
from genzcli.spec.model import Block, Mamba2, Mlp, SideBySide

NEED = Need(weights=60.0, kv=30.0, activations=10.0)


def shelves(*sizes: float, parallel: bool = False) -> tuple[Shelf, ...]:
    """Memories t0, t1, … of these sizes, each a tenth as fast as the one before (100 bytes/s at first)."""
    return tuple(Shelf(f"t{i}", size, 100 / 10**i, parallel, True) for i, size in enumerate(sizes))


def stored(policy: str = "weights-first", *sizes: float, **stated: Mapping[str, float]) -> Any:
    return place(NEED, Storage(shelves=shelves(*sizes), policy=policy, stated=stated))


def with_host(**memory: Any) -> Platform:
    """A host's 50 GB at a twentieth of the chip's bandwidth, and a slow processor there."""
    processor = Processor(peak_flop_per_s=1e12, bandwidth_bytes_per_s=2e11)
    host = {"capacity_bytes": 50e9, "bandwidth_bytes_per_s": 5e10, "latency_s": 1e-6, "processor": processor}
    return platform(level(), memory={"host": Tier(**{**host, **memory})})


def test_weights_first() -> None:
    used, streams = stored("weights-first", 50, 100)
    # 10 activations and 40 of the 60 weights lie in the fast memory; the rest in the slow one
    assert used == {"t0": 50, "t1": 50}
    assert close(streams.activations, 1 / 100)
    assert close(streams.weights, (40 / 60) / 100 + (20 / 60) / 10)
    assert close(streams.kv, 1 / 10)


def test_cache_first() -> None:
    _, streams = stored("kv-first", 50, 100)
    assert close(streams.kv, 1 / 100)
    assert close(streams.weights, (10 / 60) / 100 + (50 / 60) / 10)


def test_by_layer_cuts_weights_and_cache_alike() -> None:
    # 40 of 90 bytes of both behind the activations: 4/9 of every layer's
    _, streams = stored("by-layer", 50, 100)
    assert close(streams.weights, (4 / 9) / 100 + (5 / 9) / 10)
    assert streams.kv == streams.weights


def test_stated_shares_come_before_the_policy() -> None:
    used, streams = stored("weights-first", 50, 100, kv={"t0": 0.5, "t1": 0.5})
    # 15 of the cache stand in the fast memory, so 25 of the weights find room beside 10 activations
    assert close(streams.kv, 0.5 / 100 + 0.5 / 10)
    assert close(streams.weights, (25 / 60) / 100 + (35 / 60) / 10)
    assert close(used["t0"], 50) and close(used["t1"], 50)


def test_memories_that_stream_together_take_as_long_as_the_slowest() -> None:
    pair = Storage(shelves=shelves(50, 100, parallel=True), stated={"weights": {"t0": 0.9, "t1": 0.1}})
    assert close(place(NEED, pair)[1].weights, max(0.9 / 100, 0.1 / 10))
    one_by_one = Storage(shelves=shelves(50, 100), stated={"weights": {"t0": 0.9, "t1": 0.1}})
    assert close(place(NEED, one_by_one)[1].weights, 0.9 / 100 + 0.1 / 10)


@given(
    sizes=st.lists(st.floats(1, 200), min_size=1, max_size=4),
    needs=st.tuples(st.floats(0, 100), st.floats(0, 100), st.floats(0, 100)),
    policy=st.sampled_from(("weights-first", "kv-first", "by-layer")),
    reserve=st.floats(0, 0.5),
)
def test_bytes_are_conserved_and_no_memory_but_the_last_overflows(
    sizes: list[float], needs: tuple[float, float, float], policy: str, reserve: float
) -> None:
    storage = Storage(shelves=shelves(*sizes), policy=policy, reserve=reserve)
    used, streams = place(Need(*needs), storage)
    assert sum(used.values()) == pytest.approx(sum(needs) + reserve * sum(sizes))
    for name, size in list(zip(used, sizes, strict=True))[:-1]:
        assert used[name] <= size * (1 + 1e-9)
    fastest, slowest = 1 / 100, 10 ** len(sizes) / 1000
    for size, seconds in zip(needs, streams[:3], strict=True):
        slack = 1e-9 + 1e-15 * (sum(needs) + sum(sizes)) / max(size, 1e-20)  # a speck beside many bytes
        assert size < 1e-20 or fastest * (1 - slack) <= seconds <= slowest * (1 + slack)


def test_a_stated_placement_that_the_policy_would_make_changes_nothing() -> None:
    said = answer(place={"weights": {"hbm": 1.0}, "kv": {"hbm": 1.0}})
    assert said.metrics == answer().metrics
    assert said.memory.max_batch == answer().memory.max_batch


def test_offload_holds_more_and_is_slower_only_where_it_is_used() -> None:
    short = chip(memory={"hbm": Tier(capacity_bytes=150e6, bandwidth_bytes_per_s=BANDWIDTH)})
    tight = with_host().replace(chip=short)
    assert not answer(on=tight).fits
    there = answer(on=tight, offload=("host",))
    assert there.fits and there.metrics.tpot_s > answer(on=with_host()).metrics.tpot_s
    roomy = answer(on=with_host(), offload=("host",))
    assert roomy.metrics == answer(on=with_host()).metrics
    assert roomy.memory.max_batch > answer(on=with_host()).memory.max_batch


def test_a_cache_on_the_host_is_bounded_there() -> None:
    # 4 layers x 2 x 8 x 128 x 2 bytes: 16384 a token, 111 tokens a request
    held = answer(on=with_host(capacity_bytes=10 * 111 * 16384 + 1), place={"kv": {"host": 1.0}}).memory
    assert held.max_batch == 10
    short = answer(on=with_host(capacity_bytes=1e6), place={"kv": {"host": 1.0}})
    assert not short.fits and "places 1.82 MB in host and that has 1 MB" in str(short.why)
    assert close(short.memory.deficit_bytes, 111 * 16384 - 1e6)


def test_reading_the_cache_over_the_link_by_hand() -> None:
    here, there = answer(on=with_host()), answer(on=with_host(), place={"kv": {"host": 1.0}})
    # a mean step reads 105.5 tokens of cache and writes one, 4096 bytes a layer and token
    moved = 4 * (105.5 + 1) * 4096
    assert close(there.metrics.tpot_s - here.metrics.tpot_s, moved * (1 / 5e10 - 1 / BANDWIDTH), 1e-6)


def test_attention_on_the_host_by_hand() -> None:
    here, there = answer(on=with_host()), answer(on=with_host(), attention_on="host")
    cache, stream = (105.5 + 1) * 4096, 8 * 256 * 2  # bytes a layer: K and V; Q in and the output back
    was = (cache + stream) / BANDWIDTH
    # near its memory at 200 GB/s; Q, the output and the new K and V cross the link, one way and the other
    now = cache / 2e11 + (stream + 4096) / 5e10 + 2 * 1e-6
    assert close(there.metrics.tpot_s - here.metrics.tpot_s, 4 * (now - was), 1e-6)
    assert there.memory.tiers["host"] == there.memory.kv_bytes


def test_attention_on_the_host_holds_contexts_that_the_chip_does_not() -> None:
    """GenZ's microarchitecture study: slower, and longer contexts (claim 14)."""
    long = usecase(2_000_000, 2)
    assert not answer(on=with_host(), use=long, model=dense(layers=8)).fits
    assert answer(
        on=with_host(capacity_bytes=2e11), use=long, model=dense(layers=8), attention_on="host"
    ).fits


def test_explain_adds_up_with_attention_elsewhere() -> None:
    found = answer(on=with_host(), profile=calibrated(), attention_on="host", explain=True)
    for phase in found.phases.values():
        assert close(sum(row.time_s for row in phase.operators), float(phase.time_s))
    assert "link" in {row.name for row in found.phases["decode"].operators}


def test_a_grid_is_its_scalars() -> None:
    batches = np.array([1.0, 3.0, 700.0])
    for how in (
        {"place": {"kv": {"host": 1.0}}},
        {"offload": ("host",), "placement": "by-layer"},
        {"attention_on": "host"},
    ):
        grid = answer(on=with_host(), batch=batches, **how)
        for index, batch in enumerate(batches):
            one = answer(on=with_host(), batch=float(batch), **how)
            assert grid.metrics.tpot_s[index] == one.metrics.tpot_s
            assert grid.memory.max_batch == one.memory.max_batch


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ({"offload": ("flash",)}, "no memory named 'flash'"),
        ({"place": {"kv": {"cloud": 1.0}}}, "no memory named 'cloud'"),
        ({"place": {"kv": {"host": 0.5, "hbm": 0.4}}}, "add up to 0.9"),
        ({"attention_on": "hbm"}, "no memory with a processor named 'hbm'"),
        ({"attention_on": "host", "place": {"kv": {"hbm": 1.0}}}, "the cache lies where attention runs"),
    ],
)
def test_refuses(how: dict[str, Any], says: str) -> None:
    with pytest.raises(PlanError, match=says):
        answer(on=with_host(), **how)


def test_states_stay_on_the_chip_where_attention_leaves_it() -> None:
    """Falcon-H1 keeps states and a cache: with attention on the host, scans read at the chip's bandwidth."""
    state = Mamba2(heads=8, head_dim=64, d_state=16)
    block = Block(mixer=SideBySide(attention=attention(), mamba2=state), feedforward=Mlp(d_ff=4096))
    model = model_of({"both": block}, (("both", 4),))
    here, there = answer(model, with_host()), answer(model, with_host(), attention_on="host")
    cache, stream = (105.5 + 1) * 4096, 8 * 256 * 2
    was = (cache + stream) / BANDWIDTH
    now = cache / 2e11 + (stream + 4096) / 5e10 + 2 * 1e-6
    assert close(there.metrics.tpot_s - here.metrics.tpot_s, 4 * (now - was), 1e-6)
    assert close(there.memory.tiers["host"], 111 * 16384)  # the cache alone


def test_pruning_comes_before_a_window() -> None:
    """Of 1000 tokens half are kept, and a window of 400 sees 400 of these, as memory has it."""
    windowed, use = dense(window=400), usecase(1000, 11)
    kept = answer(windowed, use=use, kv_keep=0.5)
    assert close(kept.metrics.tpot_s, float(answer(windowed, use=use).metrics.tpot_s))
    narrow = answer(windowed, use=use, kv_keep=0.1)  # about 100 of them, below the window
    assert close(narrow.metrics.tpot_s, float(answer(dense(), use=use, kv_keep=0.1).metrics.tpot_s))


def test_sparse_storage_is_never_larger_than_dense() -> None:
    dense_bytes = answer().memory.weights_bytes
    assert answer(weight_density=0.99).memory.weights_bytes == dense_bytes
    assert answer(weight_density=0.5).memory.weights_bytes < dense_bytes


def test_what_lies_where_by_hand() -> None:
    """10 of activations and 40 of 60 weights in the first 50 bytes, the rest and the cache behind."""
    storage = Storage(shelves=shelves(50, 100))
    found = contents(NEED, storage)
    assert [round(size, 9) for size in found["t0"]] == [40, 0, 10, 0]
    assert [round(size, 9) for size in found["t1"]] == [20, 30, 0, 0]


@given(
    sizes=st.lists(st.floats(1, 200), min_size=1, max_size=4),
    needs=st.tuples(*[st.floats(0, 100)] * 4),
    policy=st.sampled_from(("weights-first", "kv-first", "by-layer")),
)
def test_what_lies_where_adds_up(
    sizes: list[float], needs: tuple[float, float, float, float], policy: str
) -> None:
    storage = Storage(shelves=shelves(*sizes), policy=policy)
    inside, (used, _) = contents(Need(*needs), storage), place(Need(*needs), storage)
    for name, size in used.items():
        assert inside[name].total == pytest.approx(size, abs=1e-9)
    for index, need in enumerate(needs):
        assert sum(float(held[index]) for held in inside.values()) == pytest.approx(need, abs=1e-9)


def test_the_answer_says_what_lies_where() -> None:
    """0.1 GB on the chip hold activations and the first weights, the host the rest."""
    tiny = chip(memory={"hbm": Tier(capacity_bytes=1e8, bandwidth_bytes_per_s=1e12)})
    there = answer(on=with_host().replace(chip=tiny), offload=("host",)).memory
    near, far = there.contents["hbm"], there.contents["host"]
    assert near.weights_bytes + far.weights_bytes == pytest.approx(there.weights_bytes)
    assert far.kv_bytes == pytest.approx(there.kv_bytes)
    assert near.activations_bytes == pytest.approx(there.activations_bytes)
    assert (near.bandwidth_bytes_per_s, far.bandwidth_bytes_per_s) == (1e12, 5e10)
