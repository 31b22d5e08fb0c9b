"""Counts of single operators, and the mistakes that published calculators make in them."""

from __future__ import annotations

import math

import pytest
from engine_samples import answer, attention, close, dense, moe, usecase

from genzcli.engine.counts import blocks, feedforward
from genzcli.engine.counts.attention import attend, cached_tokens, kv_bytes_per_token, project
from genzcli.engine.counts.feedforward import combine, dispatch
from genzcli.engine.counts.ops import Bytes, Shard, gather, linear
from genzcli.engine.counts.parameters import parameters
from genzcli.engine.counts.routing import Routing, busiest_rank, copies, touched_experts
from genzcli.engine.counts.spans import decode_span, mean_context, prefill_span
from genzcli.spec.dtype import Precision
from genzcli.spec.model import Moe

BF16 = Bytes.of(Precision.of("bf16"))
SHARD = Shard(size=BF16)
BALANCED = Routing(rule="balanced")


def shard(**cut: object) -> Shard:
    return Shard(size=BF16, **cut)


def test_a_mac_is_two_flop() -> None:
    one = linear("x", 3, 5, 7, BF16)
    assert one.flop == 2 * 3 * 5 * 7
    assert one.weight_bytes == 5 * 7 * 2
    assert one.activation_bytes == 3 * 12 * 2


def test_block_scales_are_fractions_of_a_byte() -> None:
    assert linear("x", 1, 128, 128, Bytes.of(Precision.of("fp4"))).weight_bytes == 128 * 128 * 4.5 / 8


def test_trap_embedding_is_a_gather() -> None:
    assert gather("embedding", 200, 1024, BF16).flop == 0
    assert blocks.embed(dense(), 200, SHARD).weight_bytes == 200 * 1024 * 2


def test_trap_head_runs_on_the_last_token_only() -> None:
    rows = answer(batch=3, use=usecase(1000, 5), explain=True).phases["prefill"].operators
    assert next(r for r in rows if r.block == "head" and r.kind == "gemm").flop == 2 * 3 * 1024 * 10000


def test_trap_causal_prefill_is_half_the_square() -> None:
    # 1 + 2 + … + n keys
    span = prefill_span(1, 1000, 0, None)
    assert span.tokens * span.context == 1000 * 1001 / 2


def test_trap_elementwise_work_is_not_free() -> None:
    rows = answer(explain=True).phases["prefill"].operators
    assert {"norms", "activation"} <= {r.name for r in rows if r.kind == "elementwise" and r.time_s > 0}


@pytest.mark.parametrize(
    ("past", "new", "window"), [(0, 100, 64), (50, 30, 64), (100, 10, 64), (0, 10, 64), (5, 7, 9)]
)
def test_trap_sliding_window_is_used(past: int, new: int, window: int) -> None:
    by_hand = sum(min(past + i, window) for i in range(1, new + 1)) / new
    assert close(mean_context(past, new, window), by_hand)


def test_prefix_is_read_not_recomputed() -> None:
    span = prefill_span(2, 10, 90, None)
    assert (span.tokens, span.context, span.kv_read, span.kv_written) == (20, 95.5, 200, 20)


def test_trap_beams_share_bytes_not_flop() -> None:
    span = decode_span(3, 4, 100, 10, None)
    assert span.kv_read == 3 * (100 + 4 * 10)
    assert span.tokens * span.context == 3 * 4 * 110


def test_beams_in_a_window() -> None:
    # window 64 at step 10: 54 of the prompt shared, 10 of each beam's own
    span = decode_span(1, 4, 100, 10, 64)
    assert (span.context, span.kv_read) == (64, 54 + 40)
    assert decode_span(1, 4, 100, 90, 64).kv_read == 4 * 64


def test_cache_of_a_window() -> None:
    assert cached_tokens(attention(), 100, 11, 4) == 144
    assert cached_tokens(attention(window=64), 100, 11, 1) == 64


@pytest.mark.parametrize(("tp", "heads"), [(1, 2), (2, 1), (4, 1), (8, 1)])
def test_trap_kv_heads_are_copied_beyond_their_number(tp: int, heads: int) -> None:
    mixer = attention(kv_heads=2)
    assert kv_bytes_per_token(mixer, shard(tp=tp)) == heads * 256 * 2
    assert project(mixer, 1024, 1, shard(tp=tp)).weight_bytes == 1024 * (8 / tp + 2 * heads) * 128 * 2


def test_padded_heads() -> None:
    assert shard(tp=3).heads(attention()) == 3  # ceil(8 / 3)


def test_flash_keeps_scores_on_chip() -> None:
    span = prefill_span(1, 100, 0, None)
    extra = attend(attention(), span, SHARD, flash=False).activation_bytes
    assert extra - attend(attention(), span, SHARD, flash=True).activation_bytes == 4 * 100 * 50.5 * 8 * 2


def test_value_heads_of_another_width() -> None:
    mixer = attention(head_dim=192, value_dim=128)
    assert attend(mixer, prefill_span(1, 1, 0, None), SHARD, flash=True).flop == 2 * 8 * (192 + 128)
    assert kv_bytes_per_token(mixer, SHARD) == 8 * 320 * 2


class TestTrapExperts:
    """traps: K experts at any batch; S K // E truncated to nothing; shared experts ignored."""

    part = Moe(experts=8, experts_per_token=2, d_expert=2048)

    def test_touched(self) -> None:
        assert touched_experts(self.part, 2, "balanced") == 4
        assert touched_experts(self.part, 100, "balanced") == 8
        assert close(touched_experts(self.part, 2, "uniform"), 3.5)
        assert touched_experts(self.part, 100, "worst") == 2
        assert touched_experts(self.part, 1, "uniform") == 2

    @pytest.mark.parametrize("tokens", [1, 2, 3])
    @pytest.mark.parametrize("rule", ["balanced", "uniform", "worst"])
    def test_few_tokens_are_not_free(self, tokens: int, rule: str) -> None:
        load = busiest_rank(self.part, tokens, shard(tp=8, ep=8), Routing(rule=rule))
        assert load.pairs >= 1 and load.experts >= 1

    def test_a_rank_reads_its_share(self) -> None:
        load = busiest_rank(self.part, 16, shard(tp=4, ep=4), Routing(rule="balanced"))
        assert (load.pairs, load.experts) == (8, 2)

    def test_imbalance_loads_the_busiest_rank(self) -> None:
        load = busiest_rank(self.part, 16, shard(tp=4, ep=4), Routing(rule="balanced", imbalance=1.5))
        assert load.pairs == 12

    def test_one_rank_has_the_mean(self) -> None:
        """Busiest over mean: of one rank 1, of two at most 2, of eight that hold one expert each 8 / 2."""
        for ep, most in ((1, 1), (2, 2), (8, 4)):
            for rule in ("balanced", "uniform"):
                even, uneven = (
                    busiest_rank(self.part, 16, shard(tp=ep, ep=ep), Routing(rule=rule, imbalance=x)).pairs
                    for x in (1.0, 50.0)
                )
                assert (even, uneven) == (16 * 2 / ep, 16 * 2 / ep * most)

    def test_worst_sends_all_to_one_rank(self) -> None:
        load = busiest_rank(self.part, 16, shard(tp=4, ep=4), Routing(rule="worst"))
        assert (load.pairs, load.experts) == (32, 2)

    def test_shared_experts_dense_layers_and_own_widths_count(self) -> None:
        # E (3 D F) + D E + 3 D shared
        stored = feedforward.weight_bytes(self.part.replace(d_shared=512), 1024, SHARD) / 2
        assert stored == 8 * 3 * 1024 * 2048 + 8 * 1024 + 3 * 1024 * 512

    def test_active_weights(self) -> None:
        found = parameters(moe())
        assert found.total - found.active == 4 * 6 * 3 * 1024 * 2048


class TestTrapMessages:
    """traps: all-to-all carrying every token from every rank; router reduced at width D."""

    part = Moe(experts=8, experts_per_token=2, d_expert=2048)

    def test_a_rank_sends_the_tokens_it_owns(self) -> None:
        sends = {s.group: s.bytes for s in dispatch(self.part, 1024, 6, shard(tp=2, dp=4, ep=8), BALANCED)}
        assert sends["ep"] == 6 / 2 * 2 * 1024 * 2

    def test_at_most_one_copy_a_rank(self) -> None:
        many = self.part.replace(experts_per_token=8)
        sends = {s.group: s.bytes for s in dispatch(many, 1024, 6, shard(tp=1, dp=2, ep=2), BALANCED)}
        assert sends["ep"] == 6 * 2 * 1024 * 2

    def test_nothing_to_dispatch_when_activations_are_everywhere(self) -> None:
        assert all(s.bytes == 0 for s in dispatch(self.part, 1024, 6, shard(tp=8, ep=8), BALANCED))
        back = {(s.kind, s.group): s.bytes for s in combine(self.part, 1024, 6, shard(tp=8, ep=8), BALANCED)}
        assert back[("all-reduce", "tp")] == 6 * 1024 * 2
        assert sum(back.values()) == 6 * 1024 * 2

    def test_the_router_sends_nothing_of_its_own(self) -> None:
        rows = answer(moe(), tp=4, batch=2, explain=True).phases["decode"].operators
        assert sum(r.count for r in rows if r.name == "all-reduce" and r.block == "layer") == 8


def test_trap_embedding_counts_in_what_must_fit_and_tied_once() -> None:
    both, tied = answer(), answer(dense().replace(tied_embeddings=True))
    assert both.memory.weights_bytes - tied.memory.weights_bytes == 10000 * 1024 * 2
    assert parameters(dense().replace(tied_embeddings=True)).head == 0


def test_sequence_parallel_sends_two_halves_and_shares_the_norms() -> None:
    rows = answer(tp=4, sp=True, explain=True).phases["prefill"].operators
    layer = [r.name for r in rows if r.block == "layer" and r.kind == "collective"]
    assert layer == ["reduce-scatter", "all-gather"] * 2
    assert close(next(r for r in rows if r.name == "norms").activation_bytes, 4 * 8 * 100 * 1024 * 2 / 4)


def test_copies_of_a_token_that_leave() -> None:
    # Mixtral on 4 ranks: 4 (1 - C(6,2) / C(8,2)) = 4 (1 - 15/28); Qwen3: 8 (1 - C(112,8) / C(128,8)) = 5.34
    mixtral = Moe(experts=8, experts_per_token=2, d_expert=1)
    uniform = Routing(rule="uniform")
    assert close(copies(mixtral, shard(dp=4, ep=4), uniform), 4 * (1 - 15 / 28))
    qwen = Moe(experts=128, experts_per_token=8, d_expert=1)
    by_hand = 8 * (1 - math.comb(112, 8) / math.comb(128, 8))
    assert close(copies(qwen, shard(dp=8, ep=8), uniform), by_hand)
    assert copies(qwen, shard(dp=8, ep=8), BALANCED) == 8
    assert copies(qwen, shard(dp=8, ep=8), Routing(rule="worst")) == 8
    assert copies(mixtral, shard(dp=4, ep=4), BALANCED.replace(imbalance=1.5)) == 3
    assert copies(mixtral, shard(dp=4, ep=4), BALANCED.replace(imbalance=50.0)) == 4  # one of each token
