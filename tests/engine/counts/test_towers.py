"""Encoders, vision towers and cross-attention: hand calculations, laws, grids."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from engine_samples import (
    IDEAL,
    answer,
    attention,
    calibrated,
    close,
    dense,
    gemm,
    level,
    platform,
    roof,
    usecase,
)

from genzcli.catalog.load import Catalog
from genzcli.engine.counts.parameters import cross_elements_per_token, kv_elements_per_token, parameters
from genzcli.engine.counts.stages import stages
from genzcli.engine.result import Estimate
from genzcli.errors import PlanError
from genzcli.spec.model import Block, CrossAttention, Encoder, Mlp, Model, Vision
from genzcli.spec.profile import OperatorFit, Profile
from genzcli.spec.workload import UseCase

D, V, LAYERS = 1024, 10000, 4
HEADS = {"heads": 8, "kv_heads": 8, "head_dim": 128}


def encoder_decoder(before: int = LAYERS, behind: int = LAYERS) -> Model:
    """T5 in round numbers: 8 heads of 128, plain MLPs of 4096, four layers on each side."""
    feed = Mlp(d_ff=4096, gated=False)
    block = Block(mixer=attention(), cross_attention=CrossAttention(**HEADS), feedforward=feed, norms=3)
    ahead = Encoder(blocks={"layer": Block(mixer=attention(), feedforward=feed)}, stack=(("layer", before),))
    return Model(
        name="both", d_model=D, vocab=V, blocks={"layer": block}, stack=(("layer", behind),), encoder=ahead
    )


def tower(**changes: Any) -> Vision:
    """2 layers of width 512, 4 heads of 128, MLPs of 2048; 4 patches a token, 64 tokens an image."""
    part = attention(heads=4, kv_heads=4)
    base: dict[str, Any] = {
        "d_model": 512,
        "blocks": {"layer": Block(mixer=part, feedforward=Mlp(d_ff=2048, gated=False))},
        "stack": (("layer", 2),),
        "patch": 768,
        "merge": 4,
        "tokens": 64,
        "projector": (2048, D),
    }
    return Vision(**{**base, **changes})


def seeing() -> Model:
    return dense().replace(vision=tower())


def across() -> Model:
    """Llama 3.2 in round numbers: every other layer looks at the image and at nothing else."""
    text = Block(mixer=attention(), feedforward=Mlp(d_ff=4096))
    image = Block(cross_attention=CrossAttention(**HEADS), feedforward=Mlp(d_ff=4096))
    return seeing().replace(blocks={"text": text, "image": image}, stack=(("text", 2), ("image", 2)))


def use(inputs: Any = 100, outputs: Any = 11, images: Any = 0, **more: Any) -> UseCase:
    return usecase(inputs, outputs).replace(images=images, **more)


def rows(got: Estimate, phase: str, start: str) -> float:
    """Seconds of the operators of a block and a name."""
    found = got.phases[phase].operators
    return float(sum(row.time_s for row in found if f"{row.block} {row.name}".startswith(start)))


class TestEncoderDecoder:
    def test_parameters_by_hand(self) -> None:
        # encoder layer 4 D^2 + 2 D F + 2 norms, decoder layer 8 D^2 + 2 D F + 3 norms, last norms, 2 tables
        before = 4 * (4 * D * D + 2 * D * 4096 + 2 * D) + D
        behind = 4 * (8 * D * D + 2 * D * 4096 + 3 * D) + D
        found = parameters(encoder_decoder())
        assert found.encoder == before
        assert found.total == before + behind + 2 * V * D

    def test_prefill_by_hand(self) -> None:
        # 2 requests of 100 tokens: the encoder on 200 tokens, the decoder on two start tokens
        got = answer(model=encoder_decoder(), use=use(), batch=2, explain=True)
        t = 200
        # every token sees all 100: 2 t n H (d + d); Q, K, V read and O written
        kernel = roof(2 * t * 100 * 8 * 256, t * (2 + 2) * 1024 * 2)
        norms = 4 * 2 * t * D * 2 / 1e12
        mlp = gemm(t, D, 4096) + 2 * t * 4096 * 2 / 1e12 + gemm(t, 4096, D)
        layer = norms + gemm(t, D, 3 * D) + kernel + gemm(t, D, D) + mlp
        embedding = t * D * 4 / 1e12
        assert close(rows(got, "prefill", "encoder"), 4 * layer + embedding)
        # K and V of the output, once for each decoder layer
        assert close(rows(got, "prefill", "layer cross keys"), 4 * gemm(t, D, 2 * D))
        # two start tokens look at 100 each: the cache is written and read
        looked = roof(4 * 2 * 100 * 8 * 128, 2 * 200 * 2 * 1024 * 2 + 2 * 2 * 1024 * 2)
        assert close(rows(got, "prefill", "layer cross attention"), 4 * looked)

    def test_cross_attention_of_a_step_by_hand(self) -> None:
        # 3 requests: 3 x 100 tokens of K and V, 2 x 1024 elements of 2 bytes each, 4 layers
        got = answer(model=encoder_decoder(), use=use(), batch=3, explain=True)
        row = next(r for r in got.phases["decode"].operators if r.name == "cross attention")
        assert close(row.kv_bytes, 4 * 3 * 100 * 2 * 1024 * 2)
        assert close(row.flop, 4 * 4 * 3 * 100 * 8 * 128)
        assert not any(r.name == "cross keys, values" for r in got.phases["decode"].operators)
        # without flash 4 x 3 x 100 scores of 8 heads move, 2 bytes each, in 4 layers
        slow = answer(model=encoder_decoder(), use=use(), batch=3, flash=False, explain=True)
        moved = next(r for r in slow.phases["decode"].operators if r.name == "cross attention")
        assert close(moved.activation_bytes - row.activation_bytes, 4 * 4 * 3 * 100 * 8 * 2)

    def test_keys_under_cross_attention_are_read_in_tiles(self) -> None:
        # 100 keys in tiles of 64 are 128: reading takes 1.28 times as long
        fit = OperatorFit(tile_keys=64)
        fitted = Profile(name="tiles", stack="test", operators={"attention": fit, "default": OperatorFit()})
        of = {"model": encoder_decoder(), "use": use(), "batch": 3, "explain": True}
        whole, tiled = (rows(answer(**of, profile=p), "decode", "layer cross att") for p in (IDEAL, fitted))
        read, queries = 4 * 3 * 100 * 2 * 1024 * 2 / 1e12, 4 * 2 * 3 * 1024 * 2 / 1e12
        assert close(whole, read + queries)
        assert close(tiled, 1.28 * read + queries)

    def test_the_cross_cache_is_shared_by_beams_and_does_not_grow(self) -> None:
        one = answer(model=encoder_decoder(), use=use(), explain=True).phases["decode"].operators
        four = answer(model=encoder_decoder(), use=use().replace(beams=4), explain=True)
        (a,), (b,) = (
            [r for r in found if r.name == "cross attention"]
            for found in (one, four.phases["decode"].operators)
        )
        assert a.kv_bytes == b.kv_bytes and close(b.flop, 4 * a.flop)

    def test_memory_by_hand(self) -> None:
        # cross cache 100 tokens, own cache a start token and 11 outputs, 4 layers of 2 x 1024 x 2 bytes
        held = answer(model=encoder_decoder(), use=use(), batch=2).memory
        assert held.kv_bytes == 2 * 4 * (100 + 1 + 11) * 4096
        assert held.weights_bytes == 2 * parameters(encoder_decoder()).total

    def test_own_attention_sees_the_outputs_alone(self) -> None:
        # mean of 1 + i for i = 1..10: 6.5 keys; K and V read, a token written
        got = answer(model=encoder_decoder(), use=use(), explain=True)
        row = next(r for r in got.phases["decode"].operators if r.name == "attention")
        assert close(row.kv_bytes, 4 * (6.5 + 1) * 4096)

    def test_a_longer_input_makes_steps_longer_by_the_cross_cache_alone(self) -> None:
        short, long = (answer(model=encoder_decoder(), use=use(n)) for n in (100, 1100))
        more = float(long.metrics.tpot_s or 0) - float(short.metrics.tpot_s or 0)
        assert close(more, 4 * 1000 * 4096 / 1e12, 1e-6)

    def test_all_stages_hold_the_model(self) -> None:
        model = encoder_decoder(5, 4)
        cut = stages(model, 2)
        assert [dict(stage.encoder) for stage in cut] == [{"layer": 3}, {"layer": 2}]
        whole = answer(model=model, use=use(), explain=True)
        parted = answer(model=model, use=use(), pp=2, explain=True)
        for name in ("prefill", "decode"):
            assert close(parted.phases[name].flop, float(whole.phases[name].flop))
            together = sum(float(row.time_s) for row in parted.phases[name].operators)
            assert close(together, float(parted.phases[name].time_s))

    def test_more_stages_than_encoder_layers(self) -> None:
        cut = stages(encoder_decoder(1, 4), 4)
        assert sum(sum(stage.encoder.values()) * stage.repeat for stage in cut) == 1

    def test_hops_of_the_encoder(self) -> None:
        # 100 tokens through one boundary and their output back round, then one token of the decoder
        got = answer(model=encoder_decoder(), use=use(), on=platform(level(size=2)), pp=2, explain=True)
        sent = next(r for r in got.phases["prefill"].operators if r.name == "send-recv")
        alone = answer(model=dense(), use=use(100), on=platform(level(size=2)), pp=2, explain=True)
        one = next(r for r in alone.phases["prefill"].operators if r.name == "send-recv")
        start = answer(model=dense(), use=use(1), on=platform(level(size=2)), pp=2, explain=True)
        last = next(r for r in start.phases["prefill"].operators if r.name == "send-recv")
        assert close(sent.network_s, 2 * float(one.network_s) + float(last.network_s))

    @pytest.mark.parametrize(
        ("how", "flag"), [({"chunk": 64}, "--chunk"), ({"prefix_hit": 0.5}, "--prefix-hit")]
    )
    def test_what_needs_a_causal_input_is_refused(self, how: dict[str, Any], flag: str) -> None:
        with pytest.raises(PlanError) as caught:
            answer(model=encoder_decoder(), use=use(), **how)
        assert caught.value.where == flag

    def test_heads_of_both_sides_must_divide(self) -> None:
        with pytest.raises(PlanError, match="tp 3"):
            answer(model=encoder_decoder(), use=use(), tp=3)

    def test_t5_11b(self) -> None:
        # 24 layers, 128 heads of 128: 2 x 16384 elements a token and layer under each kind of attention
        model = Catalog().model("t5-11b")
        assert cross_elements_per_token(model) == kv_elements_per_token(model) == 24 * 2 * 16384


class TestVision:
    def test_parameters_by_hand(self) -> None:
        # layers 4 W^2 + 2 W F + 2 norms; patches P W, last norm W, projector 4 W D
        own = 2 * (4 * 512 * 512 + 2 * 512 * 2048 + 2 * 512) + 768 * 512 + 512 + 2048 * 1024
        assert parameters(seeing()).vision == own
        assert parameters(seeing()).total - parameters(dense()).total == own
        assert parameters(seeing()).active == parameters(dense()).active  # a token of text sees none of it

    def test_prefill_by_hand(self) -> None:
        # 2 requests with 3 images: 6 images of 256 patches
        got = answer(model=seeing(), use=use(images=3), batch=2, explain=True)
        t = 6 * 256
        kernel = roof(2 * t * 256 * 4 * 256, t * (2 + 2) * 512 * 2)
        norms = 4 * 2 * t * 512 * 2 / 1e12
        mlp = gemm(t, 512, 2048) + 2 * t * 2048 * 2 / 1e12 + gemm(t, 2048, 512)
        layer = norms + gemm(t, 512, 3 * 512) + kernel + gemm(t, 512, 512) + mlp
        ends = gemm(t, 768, 512) + gemm(t / 4, 2048, D) + 2 * t / 4 * D * 2 / 1e12
        assert close(rows(got, "prefill", "vision"), 2 * layer + ends)

    def test_image_tokens_are_prompt_tokens(self) -> None:
        # 100 + 3 x 64 tokens of text cost what the images do beside their tower
        seen = answer(model=seeing(), use=use(images=3), explain=True)
        text = answer(model=dense(), use=use(100 + 3 * 64), explain=True)
        tower_s = rows(seen, "prefill", "vision")
        assert close(float(seen.metrics.ttft_s or 0) - tower_s, float(text.metrics.ttft_s or 0))
        assert seen.metrics.tpot_s == text.metrics.tpot_s
        assert seen.memory.kv_bytes == text.memory.kv_bytes
        assert seen.metrics.total_tokens_per_s is not None and seen.metrics.output_tokens_per_s is not None
        ratio = float(seen.metrics.total_tokens_per_s) / float(seen.metrics.output_tokens_per_s)
        assert close(ratio, (100 + 192 + 11) / 11)

    def test_no_images_cost_no_time_and_the_weights_of_the_tower(self) -> None:
        blind, text = answer(model=seeing(), use=use()), answer(model=dense(), use=use())
        assert blind.metrics.e2e_s == text.metrics.e2e_s
        assert blind.memory.weights_bytes - text.memory.weights_bytes == 2 * parameters(seeing()).vision

    def test_the_tower_stands_on_the_first_stage(self) -> None:
        got = answer(model=seeing(), use=use(images=1), pp=2, explain=True)
        whole = answer(model=seeing(), use=use(images=1), explain=True)
        assert close(rows(got, "prefill", "vision"), rows(whole, "prefill", "vision"))

    def test_a_given_number_of_tokens(self) -> None:
        one = answer(model=seeing(), use=use(images=4), explain=True)
        four = answer(model=seeing(), use=use(images=1, image_tokens=256), explain=True)
        assert one.memory.kv_bytes == four.memory.kv_bytes
        # the same patches, but each sees four times as many others
        flop = [
            next(float(r.flop) for r in got.phases["prefill"].operators if r.name == "attention")
            for got in (one, four)
        ]
        assert close(flop[1], 4 * flop[0])

    def test_a_window_as_large_as_the_image_is_no_window(self) -> None:
        block = tower().blocks["layer"]
        near = block.replace(mixer=attention(heads=4, kv_heads=4, chunk=256))
        windowed = seeing().replace(vision=tower(blocks={"layer": near}))
        assert (
            answer(model=windowed, use=use(images=2)).metrics
            == answer(model=seeing(), use=use(images=2)).metrics
        )

    def test_chunks_share_the_images(self) -> None:
        # 100 + 156 = 256 tokens in two chunks of 128: the same FLOP, and the head once more
        of = {"model": seeing(), "use": use(100, images=1, image_tokens=156)}
        whole, parted = answer(**of), answer(**of, chunk=128)
        assert close(parted.phases["prefill"].flop, float(whole.phases["prefill"].flop) + 2 * D * V)

    def test_a_prefix_hit_saves_its_share_of_the_tower(self) -> None:
        full, half = (
            answer(model=seeing(), use=use(128, images=2), prefix_hit=hit, explain=True) for hit in (0.0, 0.5)
        )
        flop = [
            sum(float(r.flop) for r in got.phases["prefill"].operators if r.block == "vision")
            for got in (full, half)
        ]
        assert close(flop[1], flop[0] / 2)

    def test_the_host_launches_the_tower_too(self) -> None:
        # norms, qkv, attention, out, up, activation, down of 2 layers, patches, a projector, image tokens: 17
        eager = IDEAL.replace(launch_s=1e-5)
        for images, more in ((0, 0), (1, 17), (3, 17)):
            of = {"model": seeing(), "use": use(images=images), "batch": 2, "batching": "continuous"}
            slow, fast = answer(**of, profile=eager).metrics, answer(**of).metrics
            assert close(slow.ttft_s, float(fast.ttft_s or 0) + (30 + more) * 1e-5)

    def test_each_image_and_head_is_a_problem_of_its_own(self) -> None:
        # 6 images x 4 heads in tiles of 128 rows: 256 rows a head are 2 tiles, 48 pieces on 96 lanes
        fit = OperatorFit(tile_rows=128, lanes=96)
        fitted = Profile(name="tiles", stack="test", operators={"attention": fit, "default": OperatorFit()})
        of = {"model": seeing(), "use": use(images=3), "batch": 2, "explain": True}
        whole, tiled = answer(**of), answer(**of, profile=fitted)
        times = [rows(got, "prefill", "vision attention") for got in (whole, tiled)]
        assert close(times[1], 2 * times[0])

    def test_a_blind_model_refuses_images(self) -> None:
        with pytest.raises(PlanError, match="no vision tower") as caught:
            answer(use=use(images=1))
        assert caught.value.where == "--images"


class TestLookingAtImages:
    def test_layers_are_skipped_without_images(self) -> None:
        text = dense(layers=2)
        got, plain = answer(model=across(), use=use()), answer(model=text, use=use())
        assert close(got.metrics.ttft_s, float(plain.metrics.ttft_s or 0))
        assert close(got.metrics.tpot_s, float(plain.metrics.tpot_s or 0))
        assert got.memory.kv_bytes == plain.memory.kv_bytes

    def test_images_are_looked_at_and_not_in_the_prompt(self) -> None:
        # 2 text layers hold 111 tokens, 2 image layers 3 x 64: each 2 x 1024 x 2 bytes
        got = answer(model=across(), use=use(images=3), explain=True)
        assert got.memory.kv_bytes == 2 * 111 * 4096 + 2 * 192 * 4096
        row = next(r for r in got.phases["decode"].operators if r.name == "cross attention")
        assert close(row.kv_bytes, 2 * 192 * 4096)
        ratio = float(got.metrics.total_tokens_per_s or 0) / float(got.metrics.output_tokens_per_s or 1)
        assert close(ratio, 111 / 11)

    def test_llama_3_2(self) -> None:
        model = Catalog().model("llama-3.2-11b-vision")
        assert kv_elements_per_token(model) == 32 * 2 * 8 * 128
        assert cross_elements_per_token(model) == 8 * 2 * 8 * 128
        places = [i for i, n in enumerate(n for n, r in model.stack for _ in range(r)) if n == "across"]
        assert places == [3, 8, 13, 18, 23, 28, 33, 38]


@pytest.mark.parametrize("model", [encoder_decoder(), seeing(), across()], ids=["both", "seeing", "across"])
def test_a_grid_is_its_scalars(model: Model) -> None:
    images = [0] if model.encoder else [0, 1, 3]
    inputs, batch = [1, 90], [1, 5]
    grid = answer(
        model=model,
        use=use(np.array(inputs)[:, None, None], 7, np.array(images)[None, :, None]),
        batch=np.array(batch)[None, None, :],
        profile=calibrated(),
    )
    shape = (len(inputs), len(images), len(batch))
    for i, n in enumerate(inputs):
        for j, k in enumerate(images):
            for m, b in enumerate(batch):
                one = answer(model=model, use=use(n, 7, k), batch=b, profile=calibrated())
                assert one.fits
                for name in ("ttft_s", "tpot_s", "e2e_s", "total_tokens_per_s"):
                    got = np.broadcast_to(getattr(grid.metrics, name), shape)[i, j, m]
                    assert got == getattr(one.metrics, name), (name, n, k, b)
                assert np.broadcast_to(grid.memory.used_bytes, shape)[i, j, m] == one.memory.used_bytes
                assert np.broadcast_to(grid.memory.max_batch, shape)[i, j, m] == one.memory.max_batch
