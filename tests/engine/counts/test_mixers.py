"""Latent attention, recurrences, chunk-local and shared caches: counts by hand, and laws of each."""

from __future__ import annotations

import pytest
from engine_samples import answer, close, model_of

from genzcli.engine.counts import latent, mixers, recurrent
from genzcli.engine.counts.ops import Bytes, Shard
from genzcli.engine.counts.parameters import kv_elements_per_token, parameters, state_elements
from genzcli.engine.counts.spans import DecodeStep, Prefill, keys_in_chunks
from genzcli.spec.dtype import Precision
from genzcli.spec.model import (
    Attention,
    Block,
    Indexer,
    LatentAttention,
    LinearAttention,
    Mamba,
    Mamba2,
    Mixer,
    Mlp,
    Moe,
)
from genzcli.spec.workload import UseCase

BF16 = Bytes.of(Precision.of("bf16"))
WHOLE = Shard(size=BF16)

# DeepSeek-V3 (arXiv 2412.19437, section 4.2): D 7168, 128 heads, ranks 1536 and 512, 128 + 64 and 128.
MLA = LatentAttention(heads=128, q_rank=1536, kv_rank=512, nope_dim=128, rope_dim=64, value_dim=128)
# Falcon-Mamba-7B (arXiv 2410.05355): D 4096, 8192 channels, state 16, time step of rank 256.
MAMBA = Mamba(d_inner=8192, d_state=16, d_conv=4, dt_rank=256)
MAMBA2 = Mamba2(heads=64, head_dim=64, d_state=128, groups=8)
DELTA = LinearAttention(key_heads=16, value_heads=32, key_dim=128, value_dim=128)
GQA = Attention(heads=8, kv_heads=2, head_dim=128)

EVERY: list[Mixer] = [GQA, MLA, MAMBA, MAMBA2, DELTA]


def use(tokens: int, output: int, beams: int = 1) -> UseCase:
    return UseCase(input_tokens=tokens, output_tokens=output, beams=beams)


class TestLatentAttention:
    def test_parameters_of_a_layer(self) -> None:
        # D (1536 + 576) + 1536 x 128 x 192 + 512 x 128 x 256 + 128 x 128 x D
        by_hand = 7168 * 2112 + 1536 * 24576 + 512 * 32768 + 16384 * 7168
        assert latent.weight_bytes(MLA, 7168, WHOLE) == 2 * by_hand

    def test_cache_is_one_latent_and_one_key_on_every_rank(self) -> None:
        assert latent.kv_bytes_per_token(MLA, WHOLE) == (512 + 64) * 2
        assert latent.kv_bytes_per_token(MLA, WHOLE.replace(tp=8)) == (512 + 64) * 2

    def test_decode_is_absorbed(self) -> None:
        # one token at context 1000: 2 x 1000 x 128 (2 x 512 + 64) FLOP, 1000 latents read, one written
        step = DecodeStep(sequences=1, beams=1, prompt=999, step=1)
        (kernel,) = latent.kernels(MLA, step, WHOLE, flash=True)
        assert kernel.flop == 2 * 1000 * 128 * 1088
        assert kernel.kv_bytes == 1001 * 576 * 2

    def test_prefill_is_expanded(self) -> None:
        # 100 tokens, mean context 50.5: 2 x 100 x 50.5 x 128 (192 + 128)
        (kernel,) = latent.kernels(MLA, Prefill(sequences=1, new=100), WHOLE, flash=True)
        assert kernel.flop == 2 * 100 * 50.5 * 128 * 320

    def test_absorbing_moves_the_same_weights_and_flop(self) -> None:
        apart, absorbed = (latent.expand(MLA, 7, WHOLE, decode=way) for way in (False, True))
        assert (apart.flop, apart.weight_bytes) == (absorbed.flop, absorbed.weight_bytes)
        assert apart.flop == 2 * 7 * 512 * 128 * 256

    def test_an_indexer_that_takes_every_key_changes_only_its_own_row(self) -> None:
        step = DecodeStep(sequences=2, beams=1, prompt=500, step=3)
        sparse = MLA.replace(index=Indexer(heads=64, head_dim=128, top_k=10_000))
        score, attend = latent.kernels(sparse, step, WHOLE, flash=True)
        assert attend == latent.kernels(MLA, step, WHOLE, flash=True)[0]
        assert score.flop == 2 * 2 * 503 * 64 * 128
        assert score.kv_bytes == 2 * (503 + 1) * (128 + 4)

    def test_attention_reads_the_best_keys_only(self) -> None:
        sparse = MLA.replace(index=Indexer(heads=64, head_dim=128, top_k=2048))
        step = DecodeStep(sequences=1, beams=1, prompt=100_000, step=1)
        attend = latent.kernels(sparse, step, WHOLE, flash=True)[1]
        assert attend.kv_bytes == (2048 + 1) * 576 * 2

    def test_without_flash_scores_are_written_and_read_twice(self) -> None:
        # 128 heads of BF16 scores: 1000 keys of a token, 100 tokens that see 50.5 on average, the 2048 best
        sparse = MLA.replace(index=Indexer(heads=64, head_dim=128, top_k=2048))
        for mixer, visit, pairs in (
            (MLA, DecodeStep(sequences=1, beams=1, prompt=999, step=1), 1000),
            (MLA, Prefill(sequences=1, new=100), 100 * 50.5),
            (sparse, DecodeStep(sequences=1, beams=1, prompt=100_000, step=1), 2048),
        ):
            kept, moved = (latent.kernels(mixer, visit, WHOLE, flash=way)[-1] for way in (True, False))
            assert moved.activation_bytes - kept.activation_bytes == 4 * pairs * 128 * 2


class TestRecurrences:
    def test_mamba_has_the_published_size(self) -> None:
        # a layer: 2 D di + 4 di + di (256 + 32) + 256 di + di (16 + 1) + di D, biases left out
        by_hand = 8192 * (2 * 4096 + 4 + 288 + 256 + 17 + 4096)
        assert recurrent.weight_bytes(MAMBA, 4096, WHOLE) == 2 * by_hand
        model = model_of({"layer": Block(mixer=MAMBA, norms=1)}, (("layer", 64),), d_model=4096, vocab=65024)
        assert parameters(model).total == pytest.approx(7.27e9, rel=0.01)

    def test_states_by_hand(self) -> None:
        # channels (state + 3 taps); heads P N + 3 (channels + 2 groups N); heads dk dv + 3 (2 k + v)
        assert recurrent.widths(MAMBA, WHOLE).state == 8192 * 19
        assert recurrent.widths(MAMBA2, WHOLE).state == 64 * 64 * 128 + 3 * (4096 + 2 * 8 * 128)
        assert recurrent.widths(DELTA, WHOLE).state == 32 * 128 * 128 + 3 * (2 * 2048 + 4096)

    def test_a_step_reads_and_writes_the_state_once(self) -> None:
        step = DecodeStep(sequences=3, beams=2, prompt=10, step=5)
        kernel = recurrent.kernel(MAMBA, step, WHOLE)
        assert kernel.kv_bytes == 6 * 2 * 8192 * 19 * 2
        assert kernel.flop == 6 * 9 * 8192 * 16

    def test_a_prefill_writes_the_state_once_a_prompt(self) -> None:
        kernel = recurrent.kernel(MAMBA, Prefill(sequences=3, new=1000), WHOLE)
        assert kernel.kv_bytes == 3 * 8192 * 19 * 2

    @pytest.mark.parametrize("mixer", [MAMBA, MAMBA2, DELTA])
    def test_step_time_is_flat_in_context(self, mixer: Mixer) -> None:
        model = model_of({"layer": Block(mixer=mixer, feedforward=Mlp(d_ff=4096))}, (("layer", 4),))
        short, long = (answer(model, use=use(tokens, 100)) for tokens in (10, 100_000))
        assert short.phases["decode"].time_s == long.phases["decode"].time_s
        assert short.memory.kv_bytes == long.memory.kv_bytes > 0

    @pytest.mark.parametrize("mixer", [MAMBA, MAMBA2, DELTA])
    def test_beams_have_states_of_their_own(self, mixer: Mixer) -> None:
        model = model_of({"layer": Block(mixer=mixer, feedforward=Mlp(d_ff=4096))}, (("layer", 4),))
        one, four = (answer(model, use=use(10, 10, beams)).memory.kv_bytes for beams in (1, 4))
        assert four == 4 * one


class TestCaches:
    def test_keys_in_chunks(self) -> None:
        for position in (1, 7, 8, 9, 100):
            assert keys_in_chunks(position, 8) == sum((s - 1) % 8 + 1 for s in range(1, position + 1))

    @pytest.mark.parametrize("limit", ["window", "chunk"])
    def test_a_limit_beyond_the_context_is_full_attention(self, limit: str) -> None:
        full = model_of({"layer": Block(mixer=GQA, feedforward=Mlp(d_ff=4096))}, (("layer", 4),))
        wide = GQA.replace(**{limit: 10_000})
        limited = model_of({"layer": Block(mixer=wide, feedforward=Mlp(d_ff=4096))}, (("layer", 4),))
        for tokens, output in ((100, 20), (999, 2)):
            a, b = answer(full, use=use(tokens, output)), answer(limited, use=use(tokens, output))
            assert close(a.metrics.ttft_s, b.metrics.ttft_s)
            assert close(a.metrics.tpot_s, b.metrics.tpot_s, 1e-6)
            assert a.memory.kv_bytes == b.memory.kv_bytes

    def test_mean_step_of_chunks_is_the_mean_of_the_steps(self) -> None:
        def context(step: int, until: int | None = None) -> float:
            visit = DecodeStep(sequences=1, beams=1, prompt=21, step=step, until=until)
            return float(visit.span(chunk=16).context)

        assert close(context(1, 50), sum(context(step) for step in range(1, 51)) / 50)

    def test_a_layer_that_reads_anothers_cache_stores_none(self) -> None:
        own, shared = Block(mixer=GQA, feedforward=Mlp(d_ff=4096)), GQA.replace(shares_kv=True)
        blocks = {"own": own, "shared": own.replace(mixer=shared)}
        half = model_of(blocks, (("own", 2), ("shared", 2)))
        whole = model_of({"own": own}, (("own", 4),))
        assert kv_elements_per_token(half) * 2 == kv_elements_per_token(whole)
        halved, full = answer(half), answer(whole)
        assert halved.memory.kv_bytes * 2 == full.memory.kv_bytes
        rows = {
            row.block: row
            for row in answer(half, explain=True).phases["decode"].operators
            if row.name == "attention"
        }
        read = float(rows["own"].kv_bytes - rows["shared"].kv_bytes)
        assert close(read, 2 * 2 * 256 * 2)  # both read alike; one token more is written in two layers


@pytest.mark.parametrize("mixer", EVERY)
@pytest.mark.parametrize("tp", [1, 2, 4, 8])
def test_weights_are_conserved_over_tp(mixer: Mixer, tp: int) -> None:
    """tp chips hold at least the whole, and no more than copies of what heads share."""
    whole = mixers.weight_bytes(mixer, 1024, WHOLE)
    cut = tp * mixers.weight_bytes(mixer, 1024, WHOLE.replace(tp=tp))
    assert whole <= cut + 1e-6
    assert cut <= whole * 3.6


@pytest.mark.parametrize("mixer", EVERY)
def test_rows_add_up_and_more_tokens_cost_more(mixer: Mixer) -> None:
    model = model_of({"layer": Block(mixer=mixer, feedforward=Mlp(d_ff=4096))}, (("layer", 4),))
    got = answer(model, use=use(300, 50), explain=True)
    for phase in got.phases.values():
        assert close(sum(row.time_s for row in phase.operators), phase.time_s)
    longer = answer(model, use=use(600, 50))
    assert longer.metrics.ttft_s > got.metrics.ttft_s


def test_states_and_caches_of_a_hybrid() -> None:
    feed = Mlp(d_ff=4096)
    blocks = {"linear": Block(mixer=DELTA, feedforward=feed), "full": Block(mixer=GQA, feedforward=feed)}
    model = model_of(blocks, (("linear", 3), ("full", 1)))
    assert kv_elements_per_token(model) == 2 * 2 * 128
    assert state_elements(model) == 3 * recurrent.widths(DELTA, WHOLE).state


def test_experts_in_a_latent_width() -> None:
    # router D E; down and up 2 D d; E experts of 3 d F
    moe = Moe(experts=8, experts_per_token=2, d_expert=512, d_latent=256)
    model = model_of({"layer": Block(mixer=GQA, feedforward=moe)}, (("layer", 1),))
    feed = 1024 * 8 + 2 * 1024 * 256 + 8 * 3 * 256 * 512
    assert parameters(model).feedforward == feed
    assert parameters(model).inactive == 6 * 3 * 256 * 512


def test_index_scores_run_in_the_format_of_their_keys() -> None:
    """DeepSeek-V3.2 caches index keys in FP8: 2 t ctx Hi di FLOP at the FP8 peak, whatever the cache is."""
    from engine_samples import PEAK, answer, model_of, usecase

    from genzcli.spec.model import Block, Indexer, LatentAttention, Mlp

    index = Indexer(heads=64, head_dim=128, top_k=512)
    latent = LatentAttention(heads=8, kv_rank=512, nope_dim=128, rope_dim=64, value_dim=128, index=index)
    model = model_of({"sparse": Block(mixer=latent, feedforward=Mlp(d_ff=4096))}, (("sparse", 1),))
    found = answer(model, use=usecase(8192, 2), explain=True).phases["prefill"].operators
    row = next(item for item in found if item.name == "indexer")
    assert row.dtype == "fp8"
    flop = 2 * 8192 * 4096.5 * 64 * 128
    assert abs(float(row.time_s) - flop / (2 * PEAK)) < 1e-9 * flop / PEAK
