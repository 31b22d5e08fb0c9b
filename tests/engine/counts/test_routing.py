"""Routing by hand, and its laws: conservation, skew never lightens, replicas never load."""

from __future__ import annotations

import csv
import os
from pathlib import Path
from statistics import median

import numpy as np
import pytest
from engine_samples import answer, close, level, moe, platform, scenario, shard
from hypothesis import given
from hypothesis import strategies as st

from genzcli.engine.counts.routing import (
    Routing,
    busiest_rank,
    copies,
    hottest,
    popularity,
    replicated,
    touched_experts,
)
from genzcli.engine.estimate import estimate
from genzcli.errors import PlanError
from genzcli.spec.dtype import Precision
from genzcli.spec.model import Moe
from genzcli.spec.workload import Plan

#: DeepSeek-V3: 8 of 256 experts, which lie in 4 of 8 groups.
LIMITED = Moe(experts=256, experts_per_token=8, d_expert=64, groups=8, groups_per_token=4)
UNIFORM = Routing(rule="uniform")
FOUR = Moe(experts=4, experts_per_token=1, d_expert=64)
SMALL = Moe(experts=4, experts_per_token=2, d_expert=64)
MANY = Moe(experts=64, experts_per_token=6, d_expert=64)

skews = st.floats(0, 3)
counts = st.integers(1, 4096)


def skewed(alpha: float, **more: float) -> Routing:
    return Routing(rule="power-law", alpha=alpha, **more)


class TestByHand:
    """Four experts, weights 1, 1/2, 1/3, 1/4, which add to 25/12."""

    def test_popularity_is_the_rank_to_the_minus_alpha(self) -> None:
        assert popularity(4, 1, 1.0) == pytest.approx((12 / 25, 6 / 25, 4 / 25, 3 / 25))

    def test_a_token_visits_an_expert_once(self) -> None:
        # K = 3 wants 36/25 of the first, which gets 1; the other three share 2 in the ratio 6 : 4 : 3,
        # where the second would get 12/13, below 1.
        assert popularity(4, 3, 1.0) == pytest.approx((1, 12 / 13, 8 / 13, 6 / 13))

    def test_touched_experts_are_expected_ones(self) -> None:
        # Two tokens: sum of 1 - (1 - p)^2 = 2 sum p - sum p^2 = 2 - (144 + 36 + 16 + 9) / 625.
        assert close(touched_experts(FOUR, 2, "power-law", alpha=1.0), 2 - 205 / 625)

    def test_the_busiest_rank_has_the_hottest_expert_and_average_ones(self) -> None:
        # ep 2: 12/25 and one of the other three, which have 13/25 together.
        load = busiest_rank(FOUR, 100, shard(tp=2, ep=2), skewed(1.0))
        assert close(load.pairs, 100 * (12 / 25 + 13 / 75))

    def test_a_replica_takes_half_of_the_hottest_expert(self) -> None:
        # 12/25 becomes 6/25 twice, as hot as the second. Three replicas: 4/25 three times and 3/25 twice,
        # beside the third and the fourth expert with 4/25 and 3/25.
        assert replicated(4, 1, 1.0, 1)[0] == (pytest.approx(6 / 25), 3)
        three = replicated(4, 1, 1.0, 3)
        assert three[0][0] == pytest.approx(4 / 25)
        assert sum(times for share, times in three if share > 3.5 / 25) == 4
        assert sum(times for share, times in three if share < 3.5 / 25) == 3

    def test_redundant_experts_are_packed(self) -> None:
        # 4 + 2 replicas on 2 ranks: nobody has more than half of the pairs, since no replica is hotter.
        load = busiest_rank(FOUR, 100, shard(tp=2, ep=2, redundant=2), skewed(1.0))
        assert close(load.pairs, 50)

    def test_a_replica_hotter_than_the_mean_sets_the_rank(self) -> None:
        # alpha 3: 1 : 1/8 : 1/27 : 1/64. The first has 0.849, halved 0.425; on 5 ranks the mean is 0.2.
        weights = [1, 1 / 8, 1 / 27, 1 / 64]
        load = busiest_rank(FOUR, 100, shard(tp=5, ep=5, redundant=1), skewed(3.0))
        assert close(load.pairs, 100 / sum(weights) / 2)

    def test_copies_grow_with_the_busiest_receiver(self) -> None:
        # K = 1 on 2 ranks: one copy of each token; the busiest receives 12/25 + 13/75 in place of 1/2.
        assert close(copies(FOUR, shard(dp=2, ep=2), skewed(1.0)), (12 / 25 + 13 / 75) / 0.5)
        assert close(copies(SMALL, shard(dp=2, ep=2), skewed(9.0)), 2)  # never more than one of each a rank


@given(experts=st.integers(2, 300), alpha=skews, data=st.data())
def test_pairs_are_conserved(experts: int, alpha: float, data: st.DataObject) -> None:
    chosen, redundant = data.draw(st.integers(1, experts)), data.draw(st.integers(0, 64))
    shares = popularity(experts, chosen, alpha)
    assert sum(shares) == pytest.approx(chosen)
    assert all(0 <= share <= 1 + 1e-12 for share in shares)
    copies_of = replicated(experts, chosen, alpha, redundant)
    assert sum(times for _, times in copies_of) == experts + redundant
    assert sum(share * times for share, times in copies_of) == pytest.approx(chosen)


@given(tokens=counts, ep=st.sampled_from([1, 2, 8, 64]))
def test_alpha_0_is_uniform(tokens: int, ep: int) -> None:
    flat, even = (
        busiest_rank(MANY, tokens, shard(dp=ep, ep=ep), rule)
        for rule in (skewed(0.0), Routing(rule="uniform"))
    )
    assert flat.pairs == pytest.approx(even.pairs)
    assert flat.experts == pytest.approx(even.experts)
    assert copies(MANY, shard(dp=ep, ep=ep), skewed(0.0)) == pytest.approx(
        copies(MANY, shard(dp=ep, ep=ep), Routing(rule="uniform"))
    )


@given(tokens=counts, alpha=skews, ep=st.sampled_from([1, 2, 8, 64]))
def test_skew_never_lightens_the_busiest_rank_nor_touches_more(tokens: int, alpha: float, ep: int) -> None:
    where = shard(dp=ep, ep=ep)
    even, skew = (
        busiest_rank(MANY, tokens, where, skewed(0.0)),
        busiest_rank(MANY, tokens, where, skewed(alpha)),
    )
    assert skew.pairs >= even.pairs * (1 - 1e-12)
    touched = touched_experts(MANY, tokens, "power-law", alpha=alpha)
    assert touched <= touched_experts(MANY, tokens, "uniform") * (1 + 1e-12)


@given(tokens=counts, alpha=skews, ep=st.sampled_from([2, 8, 32]), replicas=st.integers(0, 4))
def test_more_redundant_experts_never_load_the_busiest_rank(
    tokens: int, alpha: float, ep: int, replicas: int
) -> None:
    less, more = (
        busiest_rank(MANY, tokens, shard(dp=ep, ep=ep, redundant=ep * n), skewed(alpha)).pairs
        for n in (replicas, replicas + 1)
    )
    assert more <= less * (1 + 1e-12)
    assert more >= tokens * 6 / ep * (1 - 1e-12)  # the mean is a floor


def test_arrays_are_the_scalars() -> None:
    alphas, tokens = np.array([0.0, 0.7, 1.2])[:, None], np.array([1.0, 64.0, 4096.0])
    where = shard(dp=8, ep=8, redundant=8)
    grid = busiest_rank(MANY, tokens, where, skewed(alphas))
    for i, alpha in enumerate(alphas[:, 0].tolist()):
        for j, batch in enumerate(tokens.tolist()):
            alone = busiest_rank(MANY, batch, where, skewed(alpha))
            assert np.broadcast_to(grid.pairs, (3, 3))[i, j] == alone.pairs
            assert close(np.broadcast_to(grid.experts, (3, 3))[i, j], float(alone.experts), 1e-12)
    several = hottest(MANY, np.array([0, 8, 64]), 1.2)
    assert several.tolist() == [hottest(MANY, n, 1.2) for n in (0, 8, 64)]


EIGHT = platform(level("switch", 8))


def test_redundant_experts_are_stored() -> None:
    """8 + 8 experts on 8 chips: one more of 3 x 1024 x 2048 bf16 weights a layer, four layers."""
    few, more = (
        answer(moe(), EIGHT, dp=8, ep=8, batch=8, redundant_experts=n).memory.weights_bytes for n in (0, 8)
    )
    assert close(more - few, 4 * 3 * 1024 * 2048 * 2)


def test_redundant_experts_must_divide() -> None:
    with pytest.raises(PlanError, match=r"8 does not divide 9 experts.*--redundant-experts 8"):
        answer(moe(), EIGHT, dp=8, ep=8, batch=8, redundant_experts=1)


@given(alpha=skews, imbalance=st.floats(1, 8))
def test_a_skewed_prefill_is_never_faster(alpha: float, imbalance: float) -> None:
    """Thousands of tokens reach every expert, so the busiest rank's pairs decide."""

    def ttft(**how: object) -> float:
        found = answer(moe(), EIGHT, dp=8, ep=8, batch=64, **how).metrics.ttft_s
        assert found is not None
        return float(found)

    even = ttft(routing="power-law", alpha=0.0)
    assert ttft(routing="power-law", alpha=alpha) >= even * (1 - 1e-9)
    assert ttft(routing="power-law", alpha=alpha, imbalance=imbalance) >= ttft(
        routing="power-law", alpha=alpha
    ) * (1 - 1e-9)


def test_every_technique_together_adds_up() -> None:
    """Attention-DP, wide EP, replicas, a power law, formats by part, adapters, chunks: rows sum up."""
    mixed = Precision.of("fp8").replace(attention="bf16", embeddings="bf16")
    asked = scenario(
        moe(d_shared=1024),
        EIGHT,
        dp=8,
        ep=8,
        batch=64,
        routing="power-law",
        alpha=0.8,
        redundant_experts=8,
        sparsity="2:4",
        lora_rank=16,
        lora_adapters=4,
        chunk=256,
    )
    found = estimate(asked.replace(plan=asked.plan.replace(precision=mixed)), explain=True)
    for phase in found.phases.values():
        assert close(sum(row.time_s for row in phase.operators), float(phase.time_s))
        formats = {row.name: row.dtype for row in phase.operators if row.dtype}
        assert (formats["qkv"], formats["experts up"], formats["head"]) == ("bf16", "fp8", "bf16")


def test_a_grid_of_skews_and_replicas_is_its_scalars() -> None:
    alphas, replicas = np.array([0.0, 0.5, 1.5])[:, None], np.array([0, 8, 16])
    grid = answer(
        moe(), EIGHT, dp=8, ep=8, batch=64, routing="power-law", alpha=alphas, redundant_experts=replicas
    )
    for i, alpha in enumerate(alphas[:, 0].tolist()):
        for j, extra in enumerate(replicas.tolist()):
            alone = answer(
                moe(), EIGHT, dp=8, ep=8, batch=64, routing="power-law", alpha=alpha, redundant_experts=extra
            )
            for key in ("ttft_s", "tpot_s"):
                whole = np.broadcast_to(getattr(grid.metrics, key), (3, 3))
                assert whole[i, j] == getattr(alone.metrics, key)
            assert np.broadcast_to(grid.memory.weights_bytes, (3, 3))[i, j] == alone.memory.weights_bytes


DATA = os.environ.get("GENZ_DATA")
MEASURED = ("distribution", "latency_us", "frac_flops", "frac_bw")


def visited(part: Moe, ranks: float) -> float:
    return float(copies(part, shard(tp=ranks, ep=ranks), UNIFORM))


def drawn(part: Moe, ranks: int, *, best: bool = False, tokens: int = 60_000) -> float:
    """Mean number of ranks, by drawing groups (or taking those of the best scores), then experts in them."""
    source = np.random.default_rng(7)
    size, chosen_of = int(part.experts // part.groups), int(part.experts_per_token)
    scores = source.random((tokens, int(part.experts)))
    worth = source.random((tokens, int(part.groups)))
    if best:
        worth = np.sort(scores.reshape(tokens, -1, size), axis=2)[:, :, -2:].sum(2)
    groups = (-worth).argsort(1).argsort(1) < part.groups_per_token
    scores = np.where(np.repeat(groups, size, axis=1), scores, -1)
    chosen = np.argpartition(scores, -chosen_of, axis=1)[:, -chosen_of:]
    rank = np.sort(chosen * ranks // int(part.experts), axis=1)
    return float((1 + (np.diff(rank, axis=1) > 0).sum(1)).mean())


class TestGroups:
    """Routers that choose groups of experts first."""

    def test_a_rank_a_group_gets_what_its_experts_draw(self) -> None:
        # 2 of 4 groups of 2 experts, 2 of those 4: a chosen group is missed by 1 pair of 6
        part = Moe(experts=8, experts_per_token=2, d_expert=64, groups=4, groups_per_token=2)
        assert close(visited(part, 4), 2 * 5 / 6)

    def test_ranks_of_two_groups_by_hand(self) -> None:
        # of the 6 choices of groups 2 lie on one rank alone, 4 on both, where 2 of the 6 pairs stay on one
        part = Moe(experts=8, experts_per_token=2, d_expert=64, groups=4, groups_per_token=2)
        assert close(visited(part, 2), (2 * 1 + 4 * (1 * 2 + 2 * 4) / 6) / 6)

    def test_ranks_of_half_a_group_by_hand(self) -> None:
        # each rank one expert: every chosen expert is a rank
        part = Moe(experts=8, experts_per_token=2, d_expert=64, groups=4, groups_per_token=2)
        assert close(visited(part, 8), 2)

    def test_one_rank_takes_all_and_ranks_of_one_expert_one_copy_each(self) -> None:
        assert close(visited(LIMITED, 1), 1)
        assert close(visited(LIMITED, 256), 8)

    @pytest.mark.parametrize("ranks", [2, 4, 8, 16, 32, 64])
    def test_deepseek_v3_as_drawn(self, ranks: int) -> None:
        assert visited(LIMITED, ranks) == pytest.approx(drawn(LIMITED, ranks), rel=2e-3)

    @pytest.mark.parametrize("ranks", [2, 4, 8, 16, 40, 80])
    def test_deepseek_v2_as_drawn(self, ranks: int) -> None:
        part = Moe(experts=160, experts_per_token=6, d_expert=64, groups=8, groups_per_token=3)
        assert visited(part, ranks) == pytest.approx(drawn(part, ranks), rel=2e-3)

    @pytest.mark.parametrize("ranks", [5, 12, 20])
    def test_ranks_that_cut_groups_unevenly_are_near(self, ranks: int) -> None:
        assert 0.94 < visited(LIMITED, ranks) / drawn(LIMITED, ranks) <= 1

    @pytest.mark.parametrize(("ranks", "known"), [(8, 3.95), (32, 6.86)])
    def test_the_best_groups_are_visited_more_than_any(self, ranks: int, known: float) -> None:
        taken = drawn(LIMITED, ranks, best=True)
        assert taken == pytest.approx(known, abs=0.01)
        free = visited(LIMITED.replace(groups_per_token=8), ranks)
        assert visited(LIMITED, ranks) < taken < free

    @given(ranks=st.sampled_from([2, 4, 8, 16, 32, 64, 128]), chosen=st.integers(1, 8))
    def test_more_groups_never_visit_fewer_ranks_and_all_are_no_limit(self, ranks: int, chosen: int) -> None:
        wider = LIMITED.replace(groups_per_token=min(8, chosen + 1))
        assert visited(LIMITED.replace(groups_per_token=chosen), ranks) <= visited(wider, ranks) * (1 + 1e-12)
        free = LIMITED.replace(groups=1, groups_per_token=1)
        assert close(visited(LIMITED.replace(groups_per_token=8), ranks), visited(free, ranks))

    def test_a_grid_has_what_each_rank_has_alone(self) -> None:
        ranks = np.array([1, 3, 8, 64])
        got = copies(LIMITED, shard(tp=ranks, ep=ranks), UNIFORM)
        assert got.tolist() == [visited(LIMITED, int(n)) for n in ranks]  # type: ignore[union-attr]

    def test_balanced_tokens_stay_in_their_groups_too(self) -> None:
        # 8 experts in 4 groups: 4 ranks of 8, 8 of 16; 2 ranks have room for 4 groups
        found = [copies(LIMITED, shard(tp=n, ep=n), Routing(rule="balanced")) for n in (2, 8, 16, 64)]
        assert found == [2, 4, 8, 8]


@pytest.mark.skipif(not DATA, reason="GENZ_DATA does not name the folder of measurements")
@pytest.mark.parametrize("chip", ["a100_sxm", "l40s"])
def test_the_default_skew_reads_what_measured_kernels_read(chip: str) -> None:
    """Fused MoE kernels under aiconfigurator-core 0.12's `power_law_1.2` and `balanced` workloads, 8 to 256
    tokens, all experts on one GPU: bound by the experts' weights, so the times are as the experts touched.

    1.2 is the exponent of the density of loads there; 0.6 in rank is nearest, and nearer than no skew.
    """
    times: dict[tuple[str, ...], dict[str, float]] = {}
    with open(Path(str(DATA)) / "kernels" / f"moe_{chip}.csv", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            many = int(row["num_experts"]) >= 64
            if many and row["moe_ep_size"] == "1" and 8 <= int(row["num_tokens"]) <= 256:
                key = tuple(row[name] for name in row if name not in MEASURED)
                times.setdefault(key, {})[row["distribution"]] = float(row["latency_us"])

    def error(alpha: float) -> float:
        found = []
        for (tokens, _, _, chosen, experts, *_), both in times.items():
            if len(both) < 2:
                continue
            part = Moe(experts=int(experts), experts_per_token=int(chosen), d_expert=64)
            skew = touched_experts(part, int(tokens), "power-law", alpha=alpha)
            ratio = float(skew) / float(touched_experts(part, int(tokens), "balanced"))
            found.append(abs(ratio / (both["power_law_1.2"] / both["balanced"]) - 1))
        return median(found)

    assert len(times) > 100
    default = float(Plan.fields["alpha"].default)
    assert error(default) < 0.1
    assert error(default) < min(error(0.0), error(1.0))
