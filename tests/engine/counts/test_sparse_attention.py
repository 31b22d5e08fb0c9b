"""A window and compressed entries, indexers over GQA, low-rank queries: hand counts and laws."""

from __future__ import annotations

import pytest
from engine_samples import answer, close, model_of

from genzcli.engine.counts import attention, compressed, mixers
from genzcli.engine.counts.ops import Bytes, Shard
from genzcli.engine.counts.spans import DecodeStep, Prefill
from genzcli.numeric import Number
from genzcli.spec.dtype import Precision
from genzcli.spec.model import Attention, Block, CompressedAttention, Indexer, Mixer, Mlp
from genzcli.spec.workload import UseCase

WHOLE = Shard(size=Bytes.of(Precision.of("bf16")))
STEP = DecodeStep(sequences=2, beams=1, prompt=99_999, step=1)

# MiniMax-M3: 64 heads, 4 KV heads of 128; an index head a KV head, 16 blocks of 128 keys.
M3 = Attention(
    heads=64,
    kv_heads=4,
    head_dim=128,
    index=Indexer(heads=4, head_dim=128, top_k=2048, grouped=True, fp8=False),
)
# DeepSeek-V4-Flash: 64 heads of 512, query rank 1024, window 128, output by 8 groups to 1024 each.
WINDOW = CompressedAttention(heads=64, head_dim=512, q_rank=1024, window=128, out_groups=8, out_rank=1024)
HEAVY = WINDOW.replace(ratio=128)
PICKED = WINDOW.replace(ratio=4, overlap=True, index=Indexer(heads=64, head_dim=128, top_k=512))


def use(tokens: int, output: int) -> UseCase:
    return UseCase(input_tokens=tokens, output_tokens=output)


def stack(mixer: Mixer) -> Block:
    return Block(mixer=mixer, feedforward=Mlp(d_ff=4096))


class TestBlockIndex:
    def test_parameters_of_a_layer(self) -> None:
        # q and o 6144 x 8192 each, k and v 6144 x 512 each, index 6144 x (4 x 128 + 128)
        by_hand = 6144 * (2 * 8192 + 2 * 512 + 4 * 128 + 128)
        assert attention.weight_bytes(M3, 6144, WHOLE) == 2 * by_hand

    def test_a_step_scores_every_key_and_reads_the_best(self) -> None:
        # 2 sequences at 100 000 keys: index 2 x 2 x 1e5 x 4 x 128 FLOP; attention over 2048 keys each
        score, attend = mixers.kernels(M3, STEP, WHOLE, flash=True)
        assert score.flop == 2 * 2 * 100_000 * 4 * 128
        assert score.kv_bytes == 2 * (100_000 + 1) * 128 * 2
        assert attend.flop == 4 * 2 * 2048 * 64 * 128
        assert attend.kv_bytes == 2 * (2048 + 1) * 2 * 4 * 128 * 2

    def test_cache_has_an_index_key_beside_keys_and_values(self) -> None:
        assert mixers.kv_bytes_per_token(M3, WHOLE) == 2 * (2 * 4 * 128 + 128)
        assert mixers.kv_bytes_per_token(M3, WHOLE.replace(tp=4)) == 2 * (2 * 128 + 128)

    def test_an_index_that_takes_every_key_adds_only_its_own_rows(self) -> None:
        plain, all_keys = M3.replace(index=None), M3.replace(index=M3.index.replace(top_k=10**6))
        assert mixers.kernels(all_keys, STEP, WHOLE, flash=True)[1:] == mixers.kernels(
            plain, STEP, WHOLE, flash=True
        )

    def test_the_step_stops_growing_but_for_the_index(self) -> None:
        short, long = (
            answer(model_of({"layer": stack(M3)}, (("layer", 4),)), use=use(tokens, 2), explain=True)
            for tokens in (4_000, 64_000)
        )
        rows = [{row.name: row for row in got.phases["decode"].operators} for got in (short, long)]
        assert rows[0]["attention"].kv_bytes == rows[1]["attention"].kv_bytes
        assert close(rows[1]["indexer"].flop / rows[0]["indexer"].flop, 64_001 / 4_001)


class TestCompressed:
    def test_parameters_of_each_kind(self) -> None:
        # D (1024 + 512) + 1024 x 64 x 512 + 64 x 512 x 1024 + 8 x 1024 D
        base = 4096 * 1536 + 2 * 1024 * 32768 + 8192 * 4096
        # a value and a weight of 512 columns; 128 x 512 biases of position
        heavy = base + 4096 * 1024 + 128 * 512
        # of 512 and of the index's 128, twice each; 4 x 1280 biases; index queries and weights
        picked = base + 4096 * 2 * 2 * 640 + 4 * 2 * 640 + 1024 * 64 * 128 + 4096 * 64
        for mixer, by_hand in ((WINDOW, base), (HEAVY, heavy), (PICKED, picked)):
            assert compressed.weight_bytes(mixer, 4096, WHOLE) == 2 * by_hand

    def test_keys_of_a_step(self) -> None:
        # at 100 000: the window's 128; 100 000 / 128 entries; the best 512 entries
        for mixer, keys in ((WINDOW, 128), (HEAVY, 128 + 100_000 / 128), (PICKED, 128 + 512)):
            attend = mixers.kernels(mixer, STEP, WHOLE, flash=True)[-1]
            assert close(attend.flop, 4 * 2 * keys * 64 * 512)

    def test_bytes_of_a_step(self) -> None:
        attend = mixers.kernels(HEAVY, STEP, WHOLE, flash=True)[-1]
        assert close(attend.kv_bytes, 2 * (128 + 1 + 100_001 / 128) * 512 * 2)
        score = mixers.kernels(PICKED, STEP, WHOLE, flash=True)[0]
        assert score.flop == 2 * 2 * 25_000 * 64 * 128
        assert score.kv_bytes == 2 * 100_001 / 4 * (128 + 4)

    def test_without_flash_scores_are_written_and_read_twice(self) -> None:
        # of 2 sequences, 64 heads each: the window's 128 keys, 100 000 / 128 entries, the best 512 entries
        for mixer, keys in ((WINDOW, 128), (HEAVY, 128 + 100_000 / 128), (PICKED, 128 + 512)):
            kept, moved = (mixers.kernels(mixer, STEP, WHOLE, flash=way)[-1] for way in (True, False))
            assert close(moved.activation_bytes - kept.activation_bytes, 4 * 2 * keys * 64 * 2)

    def test_a_million_tokens_are_held_in_entries(self) -> None:
        # the window, a row each 128 tokens, and 128 rows of 2 x 512 in FP32 that wait
        held = mixers.held_bytes(HEAVY, 10**6, 0, 1, WHOLE)
        assert held == 128 * 1024 + 10**6 / 128 * 1024 + 128 * 1024 * 4
        assert mixers.held_bytes(WINDOW, 10**6, 0, 1, WHOLE) == 128 * 1024

    def test_a_tenth_of_the_cache_of_v3_2(self) -> None:
        """The authors: 10 % of V3.2's cache at a million tokens, for the larger model. Entries in FP8."""
        shard = WHOLE.replace(size=WHOLE.size.replace(kv=1.0))
        layers = ((HEAVY, 31), (PICKED, 30))
        held: Number = 0
        for mixer, number in layers:
            held = held + number * mixers.held_bytes(mixer, 10**6, 0, 1, shard)
        before = 61 * 10**6 * (512 + 64 * 2 + 16 + 128 + 4)  # FP8 latents with scales, BF16 rotary keys
        assert 0.07 < held / before < 0.13

    def test_entries_of_no_tokens_are_the_window(self) -> None:
        far = HEAVY.replace(ratio=10**9)
        near, long = (mixers.kernels(mixer, STEP, WHOLE, flash=True)[-1] for mixer in (WINDOW, far))
        assert close(long.flop, near.flop, 1e-6)

    def test_an_index_beyond_the_entries_changes_nothing(self) -> None:
        every = PICKED.replace(index=PICKED.index.replace(top_k=10**6))
        plain = PICKED.replace(index=None)
        assert (
            mixers.kernels(every, STEP, WHOLE, flash=True)[1]
            == mixers.kernels(plain, STEP, WHOLE, flash=True)[0]
        )

    @pytest.mark.parametrize("tp", [2, 8, 16])
    def test_heads_and_groups_are_cut(self, tp: int) -> None:
        cut = WHOLE.replace(tp=tp)
        whole = compressed.weight_bytes(PICKED, 4096, WHOLE)
        assert whole < tp * compressed.weight_bytes(PICKED, 4096, cut) < whole * tp
        assert mixers.kv_bytes_per_token(PICKED, cut) == mixers.kv_bytes_per_token(PICKED, WHOLE)

    @pytest.mark.parametrize("mixer", [WINDOW, HEAVY, PICKED, M3])
    def test_rows_add_up_over_the_whole_answer(self, mixer: Mixer) -> None:
        got = answer(model_of({"layer": stack(mixer)}, (("layer", 4),)), use=use(3000, 50), explain=True)
        for phase in got.phases.values():
            assert close(sum(row.time_s for row in phase.operators), phase.time_s)


class TestLowRankQueries:
    # Step3: 64 heads of 256 through 2048, one KV head; arXiv 2507.19427
    MFA = Attention(heads=64, kv_heads=1, head_dim=256, q_rank=2048)

    def test_parameters_of_a_layer(self) -> None:
        by_hand = 7168 * (2048 + 2 * 256) + 2048 * 16384 + 16384 * 7168
        assert attention.weight_bytes(self.MFA, 7168, WHOLE) == 2 * by_hand

    def test_the_kernel_is_that_of_the_same_heads(self) -> None:
        plain = self.MFA.replace(q_rank=None)
        visit = Prefill(sequences=1, new=100)
        assert mixers.kernels(self.MFA, visit, WHOLE, flash=True) == mixers.kernels(
            plain, visit, WHOLE, flash=True
        )

    def test_every_rank_projects_to_the_narrow_width(self) -> None:
        operators = attention.before(self.MFA, 7168, 10, WHOLE.replace(tp=8), fused=True)
        assert [row.name for row in operators] == ["qkv", "q up"]
        assert operators[0].flop == 2 * 10 * 7168 * (2048 + 512)
        assert operators[1].flop == 2 * 10 * 2048 * 8 * 256
