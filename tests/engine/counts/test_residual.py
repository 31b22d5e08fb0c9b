"""Several streams, layers' own embeddings, branches, layers used many times, mixers side by side."""

from __future__ import annotations

import pytest
from engine_samples import answer, attention, close, level, model_of, platform

from genzcli.engine.counts import blocks, lora, mixers, recurrent, residual
from genzcli.engine.counts.ops import Bytes, Shard
from genzcli.engine.counts.parameters import parameters, state_elements
from genzcli.engine.counts.stages import stages
from genzcli.engine.machine.memory import weights_bytes
from genzcli.spec.dtype import Precision
from genzcli.spec.model import (
    Block,
    LayerEmbedding,
    LinearAttention,
    Mamba2,
    Mixer,
    Mlp,
    Reuse,
    ShortConvolution,
    SideBySide,
    Streams,
)
from genzcli.spec.workload import UseCase

WHOLE = Shard(size=Bytes.of(Precision.of("bf16")))
PLAIN = Block(mixer=attention(), feedforward=Mlp(d_ff=4096))
MAMBA2 = Mamba2(heads=32, head_dim=64, d_state=128)


def use(tokens: int, output: int, beams: int = 1) -> UseCase:
    return UseCase(input_tokens=tokens, output_tokens=output, beams=beams)


def of(block: Block, layers: int = 4) -> object:
    return model_of({"layer": block}, (("layer", layers),))


class TestStreams:
    def test_mappings_of_hyper_connections(self) -> None:
        # two parts: 4 D -> 4 (4 + 2) weights each
        more = (
            parameters(of(PLAIN.replace(streams=Streams(count=4)), 1)).total - parameters(of(PLAIN, 1)).total
        )
        assert more == 2 * 4 * 1024 * 24

    def test_mappings_of_altup(self) -> None:
        # a layer: D -> 4, 64 + 16 coefficients; the ends: three D x D each
        altup = PLAIN.replace(streams=Streams(count=4, rule="altup"))
        more = parameters(of(altup, 2)).total - parameters(of(PLAIN, 2)).total
        assert more == 2 * (4 * 1024 + 80) + 2 * 3 * 1024 * 1024

    def test_what_four_streams_move(self) -> None:
        # two parts, 3 (4 - 1) D elements each beyond one stream
        rows = residual.operators(PLAIN.replace(streams=Streams(count=4)), 1024, 10, WHOLE)
        assert rows[1].activation_bytes == 2 * 9 * 10 * 1024 * 2
        assert rows[0].weight_bytes == 2 * 4 * 1024 * 24 * 2

    def test_one_stream_moves_no_more_than_none(self) -> None:
        rows = residual.operators(PLAIN.replace(streams=Streams(count=1)), 1024, 10, WHOLE)
        assert rows[1].activation_bytes == 0

    @pytest.mark.parametrize("rule", ["hyper-connections", "altup"])
    def test_streams_cost_time_and_travel_between_stages(self, rule: str) -> None:
        on = platform(level(size=2))
        one, four = (
            answer(of(block), on, use(1000, 10), pp=2, explain=True)
            for block in (PLAIN, PLAIN.replace(streams=Streams(count=4, rule=rule)))
        )
        assert four.phases["prefill"].time_s > one.phases["prefill"].time_s
        ratio = four.phases["prefill"].network_s / one.phases["prefill"].network_s
        assert 3.5 < ratio <= 4  # the hop's latency is not multiplied


class TestLayerEmbedding:
    OWN = PLAIN.replace(layer_embedding=LayerEmbedding(vocab=5000, width=64))

    def test_parameters(self) -> None:
        more, plain = parameters(of(self.OWN)), parameters(of(PLAIN))
        assert more.embedding - plain.embedding == 4 * 5000 * 64
        assert more.attention - plain.attention == 4 * 3 * 1024 * 64

    def test_a_row_is_looked_up_not_the_table(self) -> None:
        rows = {row.name: row for row in residual.operators(self.OWN, 1024, 10, WHOLE)}
        assert rows["layer embedding"].weight_bytes == 10 * 64 * 2
        assert rows["layer embedding gate"].flop == 2 * 10 * 1024 * 64

    def test_rows_of_all_tables_are_summed_at_once(self) -> None:
        model = of(self.OWN)
        sends = blocks.embed(model, 10, WHOLE.replace(tp=2)).sends
        assert [send.bytes for send in sends] == [10 * (1024 + 4 * 64) * 2]

    def test_a_low_rank_branch(self) -> None:
        branch = PLAIN.replace(branch_rank=16)
        assert parameters(of(branch)).total - parameters(of(PLAIN)).total == 4 * 2 * 1024 * 16


class TestReuse:
    SHARED = PLAIN.replace(reuse=Reuse(mlp_rank=8, attention_rank=4, link=True))

    def test_weights_are_stored_once_and_adapters_each_time(self) -> None:
        # own: 3 x 4 D + 4 x 3072; 8 (D + 2 x 4096); D x D
        own = 12 * 1024 + 4 * 3072 + 8 * (1024 + 8192) + 1024 * 1024
        once = parameters(of(PLAIN, 1)).layers - 1024
        assert parameters(of(self.SHARED, 6)).layers - 1024 == once + 6 * own

    def test_memory_counts_as_the_parameters_do(self) -> None:
        for layers in (1, 6):
            model = of(self.SHARED, layers)
            assert weights_bytes(model, stages(model, 1)[0], WHOLE) == 2 * parameters(model).total

    def test_each_use_has_a_cache_and_reads_the_weights(self) -> None:
        bare = PLAIN.replace(reuse=Reuse())
        once, apart = (answer(of(block), use=use(500, 10), explain=True) for block in (bare, PLAIN))
        assert once.memory.kv_bytes == apart.memory.kv_bytes
        assert once.memory.weights_bytes < apart.memory.weights_bytes
        assert once.phases["decode"].time_s == apart.phases["decode"].time_s

    def test_a_stage_that_has_a_use_has_the_weights(self) -> None:
        model = of(PLAIN.replace(reuse=Reuse()), 4)
        halves = stages(model, 2)
        layer = parameters(of(PLAIN, 1)).layers - 1024
        first = weights_bytes(model, halves[0], WHOLE)
        assert first == 2 * (10000 * 1024 + layer)

    def test_one_use_without_adapters_is_a_plain_layer(self) -> None:
        assert parameters(of(PLAIN.replace(reuse=Reuse()), 1)) == parameters(of(PLAIN, 1))


class TestAdapters:
    """LoRA beside the new kinds: elements of one adapter of rank 1."""

    @staticmethod
    def elements(block: Block, layers: int = 1) -> float:
        model = of(block, layers)
        return float(lora.elements(model, stages(model, 1)[0], "attention", WHOLE))

    def test_layers_that_share_weights_share_an_adapter(self) -> None:
        shared = PLAIN.replace(reuse=Reuse())
        assert self.elements(shared, 6) == self.elements(PLAIN, 1)

    def test_factorised_queries_have_two(self) -> None:
        # qkv: 3 D + 64 + 2 x 1024; q up: 64 + 1024; out: 1024 + D
        block = PLAIN.replace(mixer=attention(q_rank=64))
        assert self.elements(block) == 3 * 1024 + 64 + 2048 + 64 + 1024 + 2048

    def test_side_by_side_has_those_of_both(self) -> None:
        both = PLAIN.replace(mixer=SideBySide(attention=attention(), mamba2=MAMBA2))
        apart = [PLAIN, PLAIN.replace(mixer=MAMBA2)]
        assert self.elements(both) == sum(map(self.elements, apart))


class TestSideBySide:
    BOTH = SideBySide(attention=attention(), mamba2=MAMBA2)

    def test_weights_cache_and_state_are_the_sum(self) -> None:
        apart = attention(), MAMBA2
        for count in (
            lambda mixer: mixers.weight_bytes(mixer, 1024, WHOLE),
            lambda mixer: mixers.held_bytes(mixer, 100, 10, 2, WHOLE),
            lambda mixer: mixers.kv_bytes_per_token(mixer, WHOLE),
            lambda mixer: mixers.state_bytes(mixer, WHOLE),
        ):
            assert count(self.BOTH) == sum(count(mixer) for mixer in apart)

    def test_one_all_reduce_sums_both(self) -> None:
        shard = WHOLE.replace(tp=2)
        rows = mixers.after(self.BOTH, 1024, 10, shard, ("sum",))  # type: ignore[arg-type]
        assert [row.sends for row in rows] == [(), ("sum",)]

    def test_it_takes_both_kernels_and_needs_both_heads_divided(self) -> None:
        got = answer(of(PLAIN.replace(mixer=self.BOTH)), use=use(300, 20), explain=True)
        kinds = {row.kind for row in got.phases["decode"].operators}
        assert {"attention", "scan"} <= kinds
        assert mixers.heads(self.BOTH) == ((8, 8), (32, 1))
        assert state_elements(of(PLAIN.replace(mixer=self.BOTH))) == 4 * recurrent.widths(MAMBA2, WHOLE).state


class TestGatesAndConvolutions:
    # Kimi Linear: 32 heads of 128; decays and gates through 128
    KDA = LinearAttention(
        key_heads=32, value_heads=32, key_dim=128, value_dim=128, gate_rank=128, decay_rank=128
    )

    def test_parameters_of_kimi_delta_attention(self) -> None:
        # q k v 3 x 4096, down 2 x 128, rates 32, out 4096 rows; up 2 x 128 x 4096; 4 taps of 12288
        by_hand = 2304 * (3 * 4096 + 256 + 32 + 4096) + 2 * 128 * 4096 + 4 * 12288
        assert recurrent.weight_bytes(self.KDA, 2304, WHOLE) == 2 * by_hand

    def test_narrow_gates_change_no_state(self) -> None:
        plain = self.KDA.replace(gate_rank=None, decay_rank=None)
        assert recurrent.widths(self.KDA, WHOLE).state == recurrent.widths(plain, WHOLE).state

    def test_a_short_convolution(self) -> None:
        # LFM2: 2048 channels, 3 taps; in 3 D, out D; two inputs kept
        mixer = ShortConvolution(channels=2048, d_conv=3)
        assert recurrent.weight_bytes(mixer, 2048, WHOLE) == 2 * (4 * 2048 * 2048 + 3 * 2048)
        assert recurrent.held_bytes(mixer, 1, WHOLE) == 2 * 2 * 2048

    @pytest.mark.parametrize("mixer", [KDA, ShortConvolution(channels=1024)])
    def test_steps_are_flat_in_context(self, mixer: Mixer) -> None:
        model = of(PLAIN.replace(mixer=mixer))
        short, long = (answer(model, use=use(tokens, 50)) for tokens in (10, 100_000))
        assert close(short.phases["decode"].time_s, long.phases["decode"].time_s)
