"""Whole scenarios worked on paper from the roofline and the collectives' closed forms.

The bench: 100 TFLOP/s, 1 TB/s, so that 1e8 FLOP or 1e6 bytes are a microsecond; bf16 everywhere unless said.
The model: D = 1024, 8 heads of 128, gated MLP 4096, V = 10000, 4 layers. Times in comments are microseconds.
"""

from __future__ import annotations

import pytest
from engine_samples import (
    IDEAL,
    answer,
    attention,
    calibrated,
    chip,
    close,
    dense,
    gemm,
    level,
    moe,
    platform,
    roof,
    usecase,
)

from genzcli.spec.hardware import Tier
from genzcli.spec.model import Block, Mlp
from genzcli.spec.noun import Noun
from genzcli.spec.profile import CollectiveFit, OperatorFit

US = 1e-6

# One layer over t = 200 prompt tokens (2 prompts of 100), tp 1:
#   norms       2 norms x 4 x 200 x 1024 x 2 B               = 3,276,800 B                       ->  3.2768
#   qkv         n = (8 + 16) 128 = 3072: 2 x 200 x 1024 x 3072 = 1,258,291,200 FLOP              -> 12.582912
#               (1024 x 3072 x 2 + 200 x 4096 x 2 = 7,929,856 B would take 7.93)
#   attention   mean context 50.5: 2 x 200 x 50.5 x 8 x 256  = 41,369,600 FLOP, 0.41
#               read 200 and write 200 tokens of 4096 B, Q and O 200 x 8 x 256 x 2 B: 2,457,600 B ->  2.4576
#   out         2 x 200 x 1024 x 1024                        = 419,430,400 FLOP                  ->  4.194304
#   up + gate   2 x 200 x 1024 x 8192                        = 3,355,443,200 FLOP                -> 33.554432
#   activation  3 x 200 x 4096 x 2 B                         = 4,915,200 B                       ->  4.9152
#   down        2 x 200 x 4096 x 1024                        = 1,677,721,600 FLOP                -> 16.777216
LAYER_PREFILL = 77.758464
# embedding: 200 rows of 1024 read and written, 819,200 B; head on the two last tokens:
# 1024 x 10000 x 2 + 2 x 11024 x 2 = 20,524,096 B.
EMBED_PREFILL, HEAD = 0.8192, 20.524096
# One layer of a decode step of two sequences, all memory bound:
#   norms 0.032768, qkv 6,291,456 + 16,384 B, out 2,097,152 + 8,192 B, up 16,777,216 + 36,864 B,
#   activation 0.049152, down 8,388,608 + 20,480 B                                     -> 33.718272 together
#   attention at step i: 2 (100 + i) + 2 tokens of 4096 B, Q and O 8192 B              -> 0.008192 (102 + i)
LAYER_DECODE = 33.718272
EMBED_DECODE = 0.008192


def layer_step(i: float) -> float:
    return LAYER_DECODE + 0.008192 * (102 + i)


class TestDenseOnOneChip:
    """Two requests of 100 + 11 tokens, tp 1."""

    result = answer(batch=2)

    def test_ttft(self) -> None:
        # 4 x 77.758464 + 0.8192 + 20.524096
        assert close(self.result.metrics.ttft_s, 332.377152 * US)

    def test_tpot_is_the_mean_over_ten_steps_not_the_last(self) -> None:
        # mean step 5.5: 4 (33.718272 + 0.88064) + 0.008192 + 20.524096
        assert close(self.result.metrics.tpot_s, 158.927936 * US)
        assert close(self.result.phases["decode"].first_s, (4 * layer_step(1) + EMBED_DECODE + HEAD) * US)
        assert close(self.result.phases["decode"].last_s, (4 * layer_step(10) + EMBED_DECODE + HEAD) * US)

    def test_e2e_and_rates(self) -> None:
        # 332.377152 + 10 x 158.927936 = 1921.656512
        got = self.result.metrics
        assert close(got.e2e_s, 1921.656512 * US)
        assert close(got.output_tokens_per_s, 22 / (1921.656512 * US))
        assert close(got.total_tokens_per_s, 222 / (1921.656512 * US))
        assert close(got.requests_per_s, 2 / (1921.656512 * US))
        assert close(got.decode_tokens_per_s, 2 / (158.927936 * US))
        assert close(got.tokens_per_s_per_user, 1 / (158.927936 * US))

    def test_memory(self) -> None:
        # layer: 1024 x 3072 + 1024^2 + 3 x 1024 x 4096 + 2 x 1024 = 16,779,264; embedding and head
        # 10,240,000 each, final norm 1024: 87,598,080 parameters of 2 B.
        # KV: 2 requests x 111 tokens x 4 layers x 4096 B. Activations: 200 tokens x (stream + residual +
        # 3 x 4096 of the MLP = 14,336) x 2 B and 2 x 10000 logits.
        held = self.result.memory
        assert held.weights_bytes == 175_196_160
        assert held.kv_bytes == 3_637_248
        assert held.activations_bytes == 5_734_400 + 40_000
        assert held.used_bytes == 175_196_160 + 3_637_248 + 5_774_400

    def test_energy_and_cost(self) -> None:
        # 1000 W split 3:4:2:1. Prefill: 27,049,984,000 FLOP -> 270.49984 busy, 230,927,424 B -> 230.927424:
        #   0.3 x 332.377152 + 0.4 x 270.49984 + 0.2 x 230.927424 = 254.0985664 mJ
        # step: 312,852,480 FLOP -> 3.1285248; memory is busy throughout:
        #   0.3 x 158.927936 + 0.4 x 3.1285248 + 0.2 x 158.927936 = 80.71537792 mJ
        joules = (0.2540985664 + 10 * 0.08071537792) / 22
        got = self.result.metrics
        assert close(self.result.phases["prefill"].energy_j, 0.2540985664)
        assert close(self.result.phases["decode"].energy_j, 0.08071537792)
        assert close(got.joules_per_output_token, joules)
        assert close(got.tokens_per_kwh, 3.6e6 / joules)
        assert close(got.average_w, joules * 22 / (1921.656512 * US))
        # 3.6 USD/h is 0.001 USD/s: a million tokens take 1e6 / 22 x 1921.656512 us
        assert close(got.usd_per_million_output_tokens, 1e-3 * 1e6 / 22 * 1921.656512 * US)

    def test_flop_of_the_platform(self) -> None:
        assert close(self.result.phases["prefill"].flop, 27_049_984_000)
        assert close(self.result.phases["decode"].flop, 312_852_480)


class TestGroupedQueriesBeyondTheKvHeads:
    """Two KV heads on tp 8: each chip stores one whole head, copied four times over."""

    result = answer(dense(kv_heads=2), batch=2, tp=8, explain=True)

    def test_kv_is_replicated_not_split(self) -> None:
        # one head: 256 elements x 2 B = 512 B a token and layer, 2 x 111 tokens, 4 layers
        assert self.result.memory.kv_bytes == 2 * 111 * 4 * 512

    def test_ttft(self) -> None:
        # per chip: qkv n = 128 + 2 x 128 = 384; out k = 128; up n = 1024; down k = 512; all-reduce of
        # m = 200 x 2048 B over 8 on a switch, two hops of 1 us, two steps: 4 + 2 m 7/8 / 1e5 = 11.168;
        # of one-shot (2 + 28.67) and halving-doubling (12 + 7.168) neither is faster.
        # attention: 2 x 200 x 50.5 x 256 FLOP; (400 x 512 + 200 x 256 x 2) B
        reduce = (4 + 2 * 409_600 * 7 / 8 / 1e5) * US
        layer = (
            3.2768 * US
            + gemm(200, 1024, 384)
            + roof(2 * 200 * 50.5 * 256, 400 * 512 + 200 * 512)
            + gemm(200, 128, 1024)
            + gemm(200, 1024, 1024)
            + roof(0, 200 * 512 * 3 * 2)
            + gemm(200, 512, 1024)
            + 2 * reduce
        )
        # logits of 2 tokens, 40,000 B whole, gathered: 2 + 0.35
        head = gemm(2, 1024, 1250) + (2 + 40_000 * 7 / 8 / 1e5) * US
        assert close(self.result.metrics.ttft_s, 4 * layer + (EMBED_PREFILL * US + reduce) + head)

    def test_a_small_message_goes_in_one_shot(self) -> None:
        # decode m = 2 x 2048 B: one-shot 2 + 7 m / 1e5 = 2.28672 beats direct's 4.07; 4 x 2, embedding;
        # logits 2.35
        network = (9 * (2 + 7 * 4096 / 1e5) + 2.35) * US
        assert close(self.result.phases["decode"].network_s, network)

    def test_all_reduces_two_a_layer(self) -> None:
        rows = [
            r
            for r in self.result.phases["prefill"].operators
            if r.name == "all-reduce" and r.block == "layer"
        ]
        assert sum(row.count for row in rows) == 8


def reduced(*levels: object, tp: int = 4) -> float:
    """Network seconds of the prefill of two prompts of 100 tokens: nine all-reduces and the logits."""
    phase = answer(on=platform(*levels), batch=2, tp=tp).phases["prefill"]  # type: ignore[arg-type]
    return float(phase.network_s)


class TestAllReducesOnEachTopology:
    """tp 4, m = 200 x 1024 x 2 = 409,600 B nine times, and 40,000 B of logits gathered."""

    def test_ring(self) -> None:
        # two links of 50 GB/s: 2 x 3 x 1 + 2 m 3/4 / 1e5 = 12.144; logits 3 + 0.3
        wire = level("ring", 4, bandwidth_bytes_per_s=5e10, links=2)
        assert close(reduced(wire), (9 * 12.144 + 3.3) * US)

    def test_fully_connected(self) -> None:
        # three links of 50 GB/s, one to each: 2 x 1 + 2 m / (4 x 5e4) = 6.096; logits 1 + 10,000 / 5e4 = 1.2
        wire = level("fully-connected", 4, bandwidth_bytes_per_s=5e10, links=3)
        assert close(reduced(wire), (9 * 6.096 + 1.2) * US)

    def test_switch(self) -> None:
        # direct 2 x 2 + 2 m 3/4 / 1e5 = 10.144; logits 2 + 0.3
        assert close(reduced(level("switch", 4)), (9 * 10.144 + 2.3) * US)

    def test_in_switch_reduction(self) -> None:
        # up and down once, 2 hops: 2 + m / 1e5 = 6.096; the gather of logits cannot be added up: 2.3
        assert close(reduced(level("switch", 4, reduces=True)), (9 * 6.096 + 2.3) * US)

    def test_two_levels_reduce_hierarchically(self) -> None:
        # tp 8 on 4 x 2. Inner reduce-scatter and all-gather: 2 (2 + m 3/4 / 1e5) = 10.144. Outer, two members
        # behind 10 GB/s and 5 us a hop, with m/4 = 102,400 B: one-shot 10 + 10.24, direct 20 + 10.24.
        # Logits 40,000 B: inner 2 + 0.3, outer 10 + 10,000 / 2 / 1e4 = 10.5
        outer = level("switch", 2, name="out", bandwidth_bytes_per_s=1e10, latency_s=5e-6)
        got = reduced(level("switch", 4), outer, tp=8)
        assert close(got, (9 * (10.144 + 20.24) + 12.8) * US)

    def test_efficiency_of_a_level_is_visible(self) -> None:
        # half the bandwidth: only the transfer doubles
        got = reduced(level("switch", 4, efficiency=0.5))
        assert close(got, (9 * (4 + 2 * 6.144) + 2.6) * US)


class TestUnevenPipeline:
    """Seven layers on three stages (3, 2, 2); six requests in three micro-batches of two."""

    result = answer(dense(layers=7), batch=6, pp=3)

    def test_ttft(self) -> None:
        # stages 3 x 77.758464 + 0.8192 = 234.094592, 155.516928, 155.516928 + 20.524096: together 565.652544
        # hop: m = 409,600 B through a switch: 2 + 4.096; two of them; two more micro-batches at 234.094592
        assert close(self.result.metrics.ttft_s, (565.652544 + 12.192 + 2 * 234.094592) * US)

    def test_tpot(self) -> None:
        # mean layer 33.718272 + 0.88064 = 34.598912; the first stage 3 layers + 0.008192 = 103.804928;
        # through 262.724672 + 2 x 2.04096 = 266.8, less than 3 x 103.804928
        assert close(self.result.metrics.tpot_s, 311.414784 * US)

    def test_memory_is_the_busiest_stages_with_all_micro_batches(self) -> None:
        # 3 layers and the embedding: 60,577,792 parameters; KV 6 x 111 x 3 x 4096 B; one micro-batch at once
        held = self.result.memory
        assert held.weights_bytes == 121_155_584
        assert held.kv_bytes == 6 * 111 * 3 * 4096
        assert held.activations_bytes == 200 * 14_336 * 2

    def test_one_request_walks_through_all_stages(self) -> None:
        # M = 1: nothing overlaps, an interval is the sum of stages and hops. One sequence: subtract the
        # second's activations by writing the layer out again.
        got = answer(dense(layers=7), batch=1, pp=3)
        layer = (
            8 * 1024 * 2
            + (6_291_456 + 8_192)
            + (2_097_152 + 4_096)
            + (16_777_216 + 18_432)
            + 24_576
            + (8_388_608 + 10_240)
            + 4096 * (100 + 5.5 + 1 + 1)
        )
        ends = 1024 * 4 + 20_480_000 + 11_024 * 2
        hops = 2 * (2 + 2048 / 1e5)
        assert close(got.metrics.tpot_s, ((7 * layer + ends) / 1e6 + hops) * US)


def expert_layer(pairs: float, touched: float, t: int, attention_s: float) -> float:
    """A decode layer of t tokens: everything memory bound; experts 1024 x 2048, gated."""
    moved = (
        8 * t * 1024 * 2
        + (6_291_456 + t * 8_192)
        + (2_097_152 + t * 4_096)
        + (1024 * 8 * 2 + t * 1032 * 2)  # router
        + (touched * 1024 * 4096 * 2 + pairs * 5120 * 2)
        + pairs * 2048 * 3 * 2
        + (touched * 2048 * 1024 * 2 + pairs * 3072 * 2)
    )
    return moved / 1e12 + attention_s


class TestExpertsOnOneChip:
    """E = 8, K = 2, two sequences: 4 (token, expert) pairs."""

    @pytest.mark.parametrize(
        ("routing", "touched"),
        [("balanced", 4), ("uniform", 3.5), ("worst", 2)],  # 8 (1 - (3/4)^2) = 3.5
    )
    def test_tpot(self, routing: str, touched: float) -> None:
        got = answer(moe(), batch=2, routing=routing)
        layer = expert_layer(4, touched, 2, 0.88064 * US)
        assert close(got.metrics.tpot_s, 4 * layer + (EMBED_DECODE + HEAD) * US)

    def test_all_experts_must_fit(self) -> None:
        # layer: 3,145,728 + 1,048,576 + router 8,192 + 8 x 3 x 1024 x 2048 + 2,048 = 54,536,192
        assert answer(moe(), batch=2).memory.weights_bytes == 2 * (4 * 54_536_192 + 20_480_000 + 1024)


class TestAttentionDataParallelWithExperts:
    """Eight requests; the attention of two on each of four chips, two experts on each."""

    result = answer(moe(), on=platform(level("switch", 4)), batch=8, dp=4, ep=4, routing="balanced")

    def test_tpot(self) -> None:
        # experts see all 8 tokens: min(8, 16) = 8 touched, 2 a rank; 16 pairs, 4 a rank.
        # dispatch: a chip's 2 tokens x 2048 B to 2 ranks: m = 8192 B, a quarter stays: 2 + 8192 x 3/4 / 1e5;
        # combine the same. No all-reduce anywhere.
        exchange = (2 + 0.06144) * US
        layer = expert_layer(4, 2, 2, 0.88064 * US) + 2 * exchange
        assert close(self.result.metrics.tpot_s, 4 * layer + (EMBED_DECODE + HEAD) * US)
        assert close(self.result.phases["decode"].network_s, 4 * 2 * exchange)

    def test_rates_are_the_platforms(self) -> None:
        got = self.result.metrics
        assert close(got.output_tokens_per_s, 8 * 11 / got.e2e_s)
        assert close(got.output_tokens_per_s_per_chip, 2 * 11 / got.e2e_s)

    def test_memory(self) -> None:
        # whole attention, 2 of 8 experts: 4 (3,145,728 + 1,048,576 + 8,192 + 12,582,912 + 2,048) + ends
        assert self.result.memory.weights_bytes == 2 * (4 * 16_787_456 + 20_480_000 + 1024)
        assert self.result.memory.kv_bytes == 2 * 111 * 4 * 4096

    def test_with_tensor_parallel_experts(self) -> None:
        # tp 2, dp 2, ep 2 (an expert lies on two chips): 4 tokens a group. Per layer and decode step:
        #   all-reduce of 4 x 2048 B over 2: one-shot 2 + 8192 / 1e5
        #   dispatch: a chip owns 4 / 2 tokens, 2 ranks at most: 8192 B all-to-all, half stays: 2 + .04096
        #   then the two chips of an expert gather each other's: 16,384 B whole: 2 + .08192
        #   and the same back, and the group's tokens gathered over tp: 8192 B whole: 2 + .04096
        # embedding all-reduce as above; logits 4 x 20,000 B gathered: 2 + .4
        got = answer(
            moe(), on=platform(level("switch", 4)), batch=8, tp=2, dp=2, ep=2, routing="balanced"
        ).phases["decode"]
        reduce = 2 + 0.08192
        layer = reduce + 2 * ((2 + 0.04096) + (2 + 0.08192)) + (2 + 0.04096)
        assert close(got.network_s, (4 * layer + reduce + 2.4) * US)


class TestBeams:
    """One request, four beams: the prompt's KV is read once, the scores are computed four times."""

    result = answer(use=usecase(beams=4), explain=True)

    def test_bytes_shared_flop_not(self) -> None:
        # mean step 5.5: reads 100 + 4 x 5.5 = 122 tokens, writes 4; FLOP 2 x 4 x 105.5 x 8 x 256
        row = next(r for r in self.result.phases["decode"].operators if r.kind == "attention")
        assert close(row.kv_bytes, 4 * (122 + 4) * 4096)
        assert close(row.flop, 4 * 2 * 4 * 105.5 * 8 * 256)

    def test_tpot(self) -> None:
        # four tokens a step; head on four positions: 20,480,000 + 4 x 11,024 x 2 B
        layer = (
            8 * 4 * 1024 * 2
            + (6_291_456 + 32_768)
            + (2_097_152 + 16_384)
            + (16_777_216 + 73_728)
            + 98_304
            + (8_388_608 + 40_960)
            + (126 * 4096 + 4 * 8 * 256 * 2)
        )
        ends = 4 * 1024 * 4 + 20_480_000 + 4 * 11_024 * 2
        assert close(self.result.metrics.tpot_s, (4 * layer + ends) / 1e12)

    def test_outputs_are_requests_times_tokens_not_beams(self) -> None:
        assert close(self.result.metrics.output_tokens_per_s, 11 / self.result.metrics.e2e_s)

    def test_memory_keeps_every_beams_tail(self) -> None:
        assert self.result.memory.kv_bytes == (100 + 4 * 11) * 4 * 4096


class TestSlidingWindow:
    """Two full layers and two that see 64, or 105, keys."""

    @staticmethod
    def model(window: int) -> Noun:
        base = dense()
        local = Block(mixer=attention(window=window), feedforward=Mlp(d_ff=4096))
        return base.replace(blocks={**base.blocks, "local": local}, stack=(("layer", 2), ("local", 2)))

    def test_prefill_takes_the_mean_of_the_minimum(self) -> None:
        # mean of min(i, 64) over 1..100 = (64 x 65 / 2 + 36 x 64) / 100 = 43.84, not min(50.5, 64)
        got = answer(self.model(64), batch=2, explain=True)  # type: ignore[arg-type]
        rows = {r.block: r for r in got.phases["prefill"].operators if r.kind == "attention"}
        assert close(rows["local"].flop, 2 * 2 * 200 * 43.84 * 8 * 256)
        assert close(rows["layer"].flop, 2 * 2 * 200 * 50.5 * 8 * 256)

    def test_tpot_beyond_the_window(self) -> None:
        # local layers read 64 + write 1 + Q and O 1 tokens' worth, always: 0.008192 x 66
        got = answer(self.model(64), batch=2)  # type: ignore[arg-type]
        local = LAYER_DECODE + 0.008192 * 66
        assert close(got.metrics.tpot_s, (2 * layer_step(5.5) + 2 * local + EMBED_DECODE + HEAD) * US)

    def test_tpot_while_the_window_fills(self) -> None:
        # contexts 101 102 103 104 105 and five more 105: mean 104
        got = answer(self.model(105), batch=2)  # type: ignore[arg-type]
        local = LAYER_DECODE + 0.008192 * (104 + 2)
        assert close(got.metrics.tpot_s, (2 * layer_step(5.5) + 2 * local + EMBED_DECODE + HEAD) * US)

    def test_memory_stores_the_window_alone(self) -> None:
        got = answer(self.model(64), batch=2)  # type: ignore[arg-type]
        assert got.memory.kv_bytes == 2 * (2 * 111 + 2 * 64) * 4096


class TestWafer:
    """One chip of 125 PFLOP/s, 44 GB at 21 PB/s, then 1.2 TB at 10 TB/s; 40 layers of D = 8192.

    Layer: 8192 (8192 + 2 x 1024) + 8192^2 + 3 x 8192 x 28672 + 2 x 8192 = 855,654,400 parameters.
    """

    model = dense(40, Mlp(d_ff=28672), d_model=8192, heads=64)
    wafer = chip(
        peaks={"bf16": 125e15},
        memory={
            "sram": Tier(capacity_bytes=44e9, bandwidth_bytes_per_s=21e15),
            "far": Tier(capacity_bytes=1.2e12, bandwidth_bytes_per_s=1e13),
        },
    )
    result = answer(model, platform(chip=wafer), usecase(1000, 2))

    # 1000 tokens x (2 x 8192 + 3 x 28672 = 102,400) x 2 B, and 10,000 logits
    activations = 204_800_000 + 20_000
    weights = 2 * (40 * 855_654_400 + 2 * 10_000 * 8192 + 8192)
    kv = 1002 * 40 * 2 * 8 * 128 * 2

    def test_memory_and_placement(self) -> None:
        held = self.result.memory
        assert held.weights_bytes == self.weights
        assert held.kv_bytes == self.kv
        assert held.activations_bytes == self.activations
        assert close(held.tiers["sram"], 44e9)
        assert close(held.tiers["far"], self.weights + self.kv + self.activations - 44e9)

    def test_the_decode_step_is_a_sum_over_the_tiers(self) -> None:
        # SRAM holds the activations and as many weights as go in beside them; the rest and KV lie far out.
        near = 44e9 - self.activations
        share = near / self.weights
        weight = share / 21e15 + (1 - share) / 1e13  # seconds a byte
        far, close_by = 1 / 1e13, 1 / 21e15
        wide = 8192 * 10_240 + 8192**2 + 3 * 8192 * 28_672
        layer = (
            8 * 8192 * 2 * close_by  # norms
            + wide * 2 * weight
            + (8192 + 10_240 + 16_384 + (8192 + 57_344) + 3 * 28_672 + (28_672 + 8192)) * 2 * close_by
            + (1001 + 1) * 4096 * far
            + 64 * 256 * 2 * close_by
        )
        ends = 8192 * 2 * weight + 8192 * 2 * close_by + 10_000 * 8192 * 2 * weight + 18_192 * 2 * close_by
        assert close(self.result.metrics.tpot_s, 40 * layer + ends)

    def test_nothing_is_sent(self) -> None:
        assert self.result.phases["prefill"].network_s == 0


class TestSramChipsInAPipeline:
    """Eight chips fully connected (7 x 10 GB/s), four such nodes on a ring (2 x 5 GB/s): tp 8, pp 4, fp8.

    Two layers a stage; a hop leaves the node. Chip: 750 TFLOP/s fp8, 230 MB at 80 TB/s.
    """

    chip = chip(
        peaks={"fp8": 750e12},
        memory={"sram": Tier(capacity_bytes=230e6, bandwidth_bytes_per_s=80e12)},
    )
    node = level("fully-connected", 8, bandwidth_bytes_per_s=1e10, links=7)
    ring = level("ring", 4, bandwidth_bytes_per_s=5e9, links=2, latency_s=2e-6)
    result = answer(
        dense(layers=8), platform(node, ring, chip=chip), usecase(100, 2), precision="fp8", tp=8, pp=4
    )

    def test_tpot(self) -> None:
        # one token at context 101; weights and KV 1 B, activations 2 B.
        # all-reduce of 2048 B: one-shot 1 + 2048 / 1e4 = 1.2048 us beats direct's 2 + ...
        reduce = (1 + 2048 / 1e4) * US
        s = {"peak": 750e12, "bandwidth": 80e12}
        layer = (
            8 * 1024 * 2 / 80e12
            + gemm(1, 1024, 384, 1, **s)
            + roof(2 * 101 * 256, (101 + 1) * 256 + 256 * 2, **s)
            + gemm(1, 128, 1024, 1, **s)
            + gemm(1, 1024, 1024, 1, **s)
            + 512 * 3 * 2 / 80e12
            + gemm(1, 512, 1024, 1, **s)
            + 2 * reduce
        )
        embedding = 1024 * 3 / 80e12 + reduce
        # logits 20,000 B whole: each peer gets 2500 B: 1 + .25
        head = gemm(1, 1024, 1250, 1, **s) + 1.25 * US
        # a hop of 2048 B over one 5 GB/s link: 2 + .4096
        hops = 3 * (2 + 2048 / 5e3) * US
        assert close(self.result.metrics.tpot_s, 8 * layer + embedding + head + hops)

    def test_weights_of_a_chip(self) -> None:
        # the last stage is the heaviest: two layers / 8, norms whole, a head shard and the final norm
        layer = 1024 * (128 + 256) + 128 * 1024 + 3 * 1024 * 512 + 2 * 1024
        assert self.result.memory.weights_bytes == 2 * layer + 1_280_000 + 1024


class TestCalibratedProfile:
    """eff 0.5 and 0.8, p = 2, 4 us a kernel, 1 ns times k; step 1000 + 10 B + 100 us (tp > 1)."""

    fit = OperatorFit(compute_efficiency=0.5, memory_efficiency=0.8, corner=2, fixed_s=4e-6)
    profile = calibrated(
        operators={"default": fit, "gemm": fit.replace(per_k_s=1e-9)},
        collectives={"default": CollectiveFit(efficiency=0.5, base_s=3e-6, corner=0.5)},
        step_s=1e-3,
        per_sequence_s=1e-5,
        per_chip_s=1e-4,
    )

    @staticmethod
    def smooth(flop: float, moved: float, k: float = 0) -> float:
        c, m = flop / 0.5e14, moved / 0.8e12
        return (c * c + m * m) ** 0.5 + 4e-6 + k * 1e-9

    def smooth_gemm(self, t: float, k: float, n: float) -> float:
        return self.smooth(2 * t * k * n, k * n * 2 + t * (k + n) * 2, k)

    def ttft(self, tp: int) -> float:
        part = 1 / tp
        layer = (
            self.smooth(0, 3_276_800)
            + self.smooth_gemm(200, 1024, 3072 * part)
            + self.smooth(41_369_600 * part, 2_457_600 * part)
            + self.smooth_gemm(200, 1024 * part, 1024)
            + self.smooth_gemm(200, 1024, 8192 * part)
            + self.smooth(0, 4_915_200 * part)
            + self.smooth_gemm(200, 4096 * part, 1024)
        )
        return 4 * layer + self.smooth(0, 819_200) + self.smooth_gemm(2, 1024, 10000 * part)

    def test_one_chip(self) -> None:
        got = answer(batch=2, profile=self.profile)
        assert close(got.metrics.ttft_s, self.ttft(1) + 1e-3 + 2e-5)

    def test_four_chips(self) -> None:
        # collective: l = 3 + latency, x = bytes at half the bandwidth, (sqrt l + sqrt x)^2; direct on the
        # switch: l = 3 + 4, x = 2 x 409,600 x 3/4 / 5e4 = 12.288; logits l = 3 + 2, x = 0.6
        reduce = (7**0.5 + 12.288**0.5) ** 2 * US
        gather = (5**0.5 + 0.6**0.5) ** 2 * US
        got = answer(on=platform(level("switch", 4)), batch=2, tp=4, profile=self.profile)
        assert close(got.metrics.ttft_s, self.ttft(4) + 9 * reduce + gather + 1e-3 + 2e-5 + 1e-4)

    def test_reserve_and_pages(self) -> None:
        # pages of 16: 112 + 16 tokens; 10 % of 100 GB kept free
        got = answer(batch=2, profile=calibrated(reserve=0.1, page_tokens=16)).memory
        assert got.kv_bytes == 2 * 128 * 4 * 4096
        assert got.reserved_bytes == 1e10


class TestContinuousBatching:
    """A cycle is the own prefill, ten steps and the other request's prefill, ahead of it or between them.

    prefill 192.812576, step(2) 158.927936: the other's share of the cycle is
    192.812576 / (2 x 192.812576 + 10 x 158.927936) = 0.0976314, so 0.0976314 / (2 x 0.9023686) = 0.0540973
    prefills are ahead, and 0.9459027 between the steps.
    """

    result = answer(batch=2, batching="continuous")
    prefill = float(answer(batch=1).metrics.ttft_s)  # alone, checked above for two

    def test_the_mean_interval_holds_the_others_prefills(self) -> None:
        got = self.result.metrics.tpot_s
        assert got == pytest.approx((158.927936 + 0.9459027 * 192.812576 / 10) * US, rel=1e-7)

    def test_a_new_prompt_waits_for_what_is_under_way(self) -> None:
        # half a step half of the time
        got = self.result.metrics.ttft_s
        assert got == pytest.approx((1.0540973 * 192.812576 + 158.927936 / 4) * US, rel=1e-7)

    def test_a_burst_moves_half_of_the_others_prefills_ahead(self) -> None:
        got = answer(batch=2, batching="continuous", profile=IDEAL.replace(burst=1, request_s=1e-3)).metrics
        assert close(got.ttft_s, 1.5 * self.prefill + 158.927936 / 4 * US + 1e-3)
        assert close(got.tpot_s, 158.927936 * US + self.prefill / 20)
        assert close(got.e2e_s, self.result.metrics.e2e_s + 1e-3)

    def test_the_host_launches_every_operator_of_a_prefill(self) -> None:
        # a layer: norms, qkv, attention, out, up, activation, down; four of them, embedding and head: 30
        got = answer(batch=2, batching="continuous", profile=IDEAL.replace(launch_s=1e-5)).metrics
        assert close(got.ttft_s, self.result.metrics.ttft_s + 30 * 1e-5)
        assert close(got.tpot_s, self.result.metrics.tpot_s)
        # on 2 chips two all-reduces a layer, one behind the embedding, and the logits are gathered: 10 more
        eager = {"on": platform(level("switch", 2)), "tp": 2, "batch": 2, "batching": "continuous"}
        got, plain = (answer(**eager, profile=IDEAL.replace(launch_s=each)).metrics for each in (1e-5, 0))
        assert close(got.ttft_s, plain.ttft_s + 40 * 1e-5)
        static = answer(batch=2, profile=IDEAL.replace(launch_s=1e-5, request_s=1e-3)).metrics
        assert close(static.ttft_s, answer(batch=2).metrics.ttft_s)

    def test_e2e(self) -> None:
        got = self.result.metrics
        assert close(got.e2e_s, got.ttft_s + 10 * got.tpot_s)


class TestEnergyOverTheNetwork:
    """tp 4: every chip burns; idle ones too."""

    def test_energy(self) -> None:
        # busy: compute FLOP/4, links the bytes of nine all-reduces (6.144) and the logits (0.3); four chips
        got = answer(on=platform(level("switch", 4)), batch=2, tp=4).phases["prefill"]
        flop = 4 * (1_258_291_200 + 41_369_600 + 419_430_400 + 3_355_443_200 + 1_677_721_600) + 40_960_000
        # bytes of a chip: norms whole, weights and heads a quarter, streams of D whole
        layer = (
            3_276_800
            + (6_291_456 / 4 + 200 * (1024 + 768) * 2)
            + 2_457_600 / 4
            + (2_097_152 / 4 + 200 * (256 + 1024) * 2)
            + (16_777_216 / 4 + 200 * (1024 + 2048) * 2)
            + 4_915_200 / 4
            + (8_388_608 / 4 + 200 * (1024 + 1024) * 2)
        )
        moved = 4 * layer + 819_200 + 20_480_000 / 4 + 2 * (1024 + 2500) * 2
        links = (9 * 6.144 + 0.3) * US
        joules = 4 * 1000 * (0.3 * got.time_s + 0.4 * flop / 4e14 + 0.2 * moved / 1e12 + 0.1 * links)
        assert close(got.energy_j, joules)

    def test_the_platforms_own_power_and_price_are_shared_out(self) -> None:
        wall = platform(
            level("switch", 4), chip=chip(price_usd_per_hour=None), power_w=8000.0, price_usd_per_hour=36.0
        )
        base = answer(on=platform(level("switch", 4)), batch=2).metrics
        got = answer(on=wall, batch=2).metrics
        assert close(got.joules_per_output_token, 2 * base.joules_per_output_token)  # 2000 W a chip
        assert close(got.usd_per_million_output_tokens, 2.5 * base.usd_per_million_output_tokens)  # 9 USD/h
