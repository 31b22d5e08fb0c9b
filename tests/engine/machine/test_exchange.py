"""Tokens on their way to experts over two levels, on paper: who gets a copy, and what crosses where."""

from __future__ import annotations

import numpy as np
from engine_samples import IDEAL, answer, close, level, moe, platform, shard
from hypothesis import given
from hypothesis import strategies as st

from genzcli.engine.counts.ops import Copies
from genzcli.engine.counts.routing import Routing, copies, picks
from genzcli.engine.machine.exchange import exchange
from genzcli.engine.machine.network import Group, collective
from genzcli.spec.model import Moe
from genzcli.spec.profile import CollectiveFit, Exchange, Profile

B = 1e8
#: 4 nodes of 8 chips, 100 GB/s a chip inside and 10 outside, a switch of 2 us each.
NODES = platform(level(size=8, name="in"), level(size=4, name="out", bandwidth_bytes_per_s=1e10))
#: A token of B bytes has its 8 experts on 7 of 32 chips, in 3 of 4 nodes.
TOKENS = Copies(members=lambda n: B * {4: 3.0, 32: 7.0}[int(n)], experts=8 * B)
HOPS = 4e-6


def profile(**kernels: Exchange) -> Profile:
    return IDEAL.replace(collectives={"out.all-to-all": CollectiveFit(exchanges=kernels)})


def seconds(kernel: Exchange) -> float:
    return float(exchange(TOKENS, 7 * B, Group(size=32), NODES, profile(one=kernel)).time_s)


def test_passed_on_a_copy_a_node_crosses_and_a_copy_a_chip_is_shared_out_inside() -> None:
    # 3 B copies, a quarter of them stays: 225 MB at 10 GB/s; 7 B x 7/8 at 100 GB/s meanwhile
    assert close(seconds(Exchange(copies="member", base_s=1e-3)), 1e-3 + HOPS + 3 * B * 3 / 4 / 1e10)
    assert 7 * B * 7 / 8 / 1e11 < 3 * B * 3 / 4 / 1e10


def test_straight_every_copy_crosses_on_its_own() -> None:
    assert close(seconds(Exchange(copies="chip")), HOPS + 7 * B * 3 / 4 / 1e10)
    assert close(seconds(Exchange(copies="expert", efficiency=0.5)), HOPS + 8 * B * 3 / 4 / 1e10 / 0.5)


def test_the_links_inside_can_be_the_slower_ones() -> None:
    slow = NODES.replace(levels=(NODES.levels[0].replace(bandwidth_bytes_per_s=1e10), NODES.levels[1]))
    got = exchange(TOKENS, 7 * B, Group(size=32), slow, profile(one=Exchange(copies="member")))
    assert close(got.time_s, HOPS + 7 * B * 7 / 8 / 1e10)
    # straight, 7 of 31 other chips are inside: of 7 B copies 7/32 = 1/4 x 7/8 stay and move
    got = exchange(TOKENS, 7 * B, Group(size=32), slow, profile(one=Exchange(copies="chip")))
    assert close(got.time_s, HOPS + max(7 * B / 4 * 7 / 8, 7 * B * 3 / 4) / 1e10)


def test_the_fastest_kernel_is_taken_and_named() -> None:
    kernels = profile(
        normal=Exchange(copies="member", base_s=1e-4), quick=Exchange(copies="expert", base_s=0)
    )

    def route(factor: float) -> tuple[float, str]:
        sent = Copies(members=lambda n: TOKENS.members(n) * factor, experts=TOKENS.experts * factor)
        found = exchange(sent, 7 * B * factor, Group(size=32), NODES, kernels)
        return float(found.time_s), found.detail

    time, name = route(1e-6)
    assert close(time, HOPS + 8 * B * 1e-6 * 3 / 4 / 1e10) and name == "quick: a copy per expert"
    assert route(1)[1] == "normal: a copy per member"


def test_within_one_level_it_is_a_plain_all_to_all() -> None:
    known = profile(normal=Exchange(copies="member", base_s=1.0))
    inside = exchange(TOKENS, B, Group(size=8), NODES, known)
    assert inside == collective("all-to-all", B, Group(size=8), NODES, known)
    assert exchange(TOKENS, B, Group(size=32), NODES, IDEAL) == collective(
        "all-to-all", B, Group(size=32), NODES, IDEAL
    )


def test_no_tokens_take_no_time() -> None:
    known = profile(normal=Exchange(copies="member", base_s=1.0))
    none = Copies(members=lambda n: 0.0 * n, experts=0.0)
    assert exchange(none, 0.0, Group(size=32), NODES, known).time_s == 0
    assert exchange(none, 0.0, Group(size=1), NODES, known).time_s == 0


def test_an_array_holds_what_scalars_say() -> None:
    known = profile(normal=Exchange(copies="member", base_s=1e-4), quick=Exchange(copies="expert", base_s=0))
    sizes, loads = np.array([1, 2, 8, 16, 32, 32]), np.array([1, 1, 1e-3, 1, 1e-6, 0.0])

    def sent(factor: object, size: object) -> Copies:
        return Copies(members=lambda n: B * factor * (1 + n / size), experts=8 * B * factor)  # type: ignore[operator]

    together = exchange(sent(loads, sizes), B * loads, Group(size=sizes), NODES, known)
    for place, (size, load) in enumerate(zip(sizes.tolist(), loads.tolist(), strict=True)):
        alone = exchange(sent(load, size), B * load, Group(size=size), NODES, known)
        assert np.broadcast_to(together.time_s, sizes.shape)[place] == alone.time_s
        assert np.broadcast_to(together.transfer_s, sizes.shape)[place] == alone.transfer_s


@given(
    st.sampled_from(["balanced", "uniform", "power-law", "worst"]),
    st.sampled_from([2, 4, 8, 16]),
    st.sampled_from([2, 4, 8]),
    st.integers(1, 8),
)
def test_fewer_copies_the_more_chips_share_one(rule: str, nodes: int, inside: int, chosen: int) -> None:
    experts = Moe(experts=128, experts_per_token=chosen, d_expert=64)
    routing, ranks = Routing(rule=rule, alpha=0.6), nodes * inside
    by_node = copies(experts, shard(dp=ranks, ep=nodes), routing)
    by_chip = copies(experts, shard(dp=ranks, ep=ranks), routing)
    by_expert = picks(experts, shard(dp=ranks, ep=ranks), routing)
    assert by_node <= by_chip * (1 + 1e-9) <= by_expert * (1 + 1e-9) ** 2


def test_wide_expert_parallelism_sends_a_token_to_a_node_once() -> None:
    known = profile(normal=Exchange(copies="member"))
    model, cut = moe(experts=64, experts_per_token=8), {"dp": 32, "ep": 32, "batch": 32}
    plain = answer(model, NODES, profile=IDEAL, routing="uniform", **cut).phases["prefill"].network_s
    once = answer(model, NODES, profile=known, routing="uniform", **cut).phases["prefill"].network_s
    # 64 experts: 3.61 of 4 nodes against 7.2 of 32 chips, and levels at once
    assert 0.3 < once / plain < 0.6
