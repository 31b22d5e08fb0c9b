"""Storage by part: bits by hand, sizes of published checkpoints, N:M sparsity, mixed compute."""

from __future__ import annotations

import pytest
from engine_samples import answer, chip, close, dense, level, moe, platform, scenario

from genzcli.catalog.load import Catalog
from genzcli.engine.counts.ops import Bytes
from genzcli.engine.estimate import estimate
from genzcli.engine.machine.memory import weights_of
from genzcli.engine.result import Estimate
from genzcli.errors import PlanError, WordError
from genzcli.spec.dtype import BITS, Precision, dtype, native, pattern, pattern_bytes, width
from genzcli.spec.hardware import Platform

BF16 = Precision.of("bf16")


def size_of(name: str, **formats: str) -> float:
    model = Catalog().model(name)
    return float(weights_of(model, model.precision.replace(**formats)))


class TestBits:
    def test_groups_of_integers_share_a_16_bit_scale(self) -> None:
        assert BITS[dtype("int4-g32")] == 4.5
        assert BITS[dtype("int4g64")] == 4.25
        assert BITS[dtype("int4-g128")] == BITS["int4"] == 4.125
        assert BITS[dtype("INT2-G16")] == 3
        assert BITS["int8g32"] == 8.5  # as GGUF's Q8_0

    def test_microscaling_formats_share_an_8_bit_scale(self) -> None:
        """OCP Microscaling Formats v1.0, table 1: 32 elements a scale."""
        assert [BITS[f"mxfp{bits}"] for bits in (4, 6, 8)] == [4.25, 6.25, 8.25]

    def test_a_group_computes_as_its_integers_do(self) -> None:
        assert native("int4g32", {"int4": 1, "bf16": 1}) == "int4"
        assert native("int4g32", {"int8": 1, "bf16": 1}) == "int8"
        assert width("int8g32") == width("int8") == 8


class TestWordsOfOtherTools:
    def test_blocks_of_llama_cpp(self) -> None:
        """ggml-common.h: blocks of 32 weights have 18, 20, 22, 24 and 34 bytes."""
        sizes = {"q4_0": 18, "q4_1": 20, "q5_0": 22, "q5_1": 24, "q8_0": 34}
        assert {name: BITS[dtype(name.upper())] * 32 / 8 for name in sizes} == sizes
        assert BITS["q4_0"] == BITS["int4g32"] and BITS["q8_0"] == BITS["int8g32"]

    @pytest.mark.parametrize(
        ("model", "word", "gigabytes"),
        [
            ("llama-3.2-1b", "q4_0", 0.77),
            ("llama-3.2-1b", "q4_k_s", 0.78),
            ("llama-3.2-1b", "q4_k_m", 0.81),
            ("llama-3.2-1b", "q6_k", 1.02),
            ("llama-3.1-8b", "q4_k_m", 4.92),
            ("llama-3.1-70b", "q3_k_s", 30.91),
            ("llama-3.1-70b", "q3_k_m", 34.27),
            ("llama-3.1-70b", "q4_0", 40.12),
            ("llama-3.1-70b", "q4_k_m", 42.52),
            ("llama-3.1-70b", "q6_k", 57.89),
        ],
    )
    def test_sizes_of_files(self, model: str, word: str, gigabytes: float) -> None:
        """Files of bartowski's Llama-3.2-1B-Instruct-GGUF and Llama-3.1-70B GGUF, as their cards list them
        (4.58 GiB of the 8B: README of llama.cpp's tools/quantize): 8 MB of vocabulary are in them too."""
        vocabulary = 0.008
        assert size_of(model, weights=word) / 1e9 + vocabulary == pytest.approx(gigabytes, rel=0.015)

    def test_the_head_of_q4_0_by_hand(self) -> None:
        """Llama-3.1-8B: 128256 x 4096 weights of the head at 210 bytes for 256, the rest at 18 for 32."""
        model, head = Catalog().model("llama-3.1-8b"), 128256 * 4096
        rest = size_of("llama-3.1-8b", weights="bf16") / 2 - head
        assert size_of("llama-3.1-8b", weights="q4_0") == pytest.approx(head * 210 / 256 + rest * 18 / 32)
        told = model.precision.replace(weights="q4_0", embeddings="q4_0")
        assert weights_of(model, told) == pytest.approx((head + rest) * 18 / 32)
        assert Precision.of("iq2_xs").stored("head") == "q5_0"  # Q5_K has as many bits
        assert Precision.of("q8_0").stored("head") == "q8_0"

    def test_more_bits_are_never_smaller(self) -> None:
        order = [
            "q2_k",
            "q3_k_s",
            "q3_k_m",
            "q3_k_l",
            "q4_k_s",
            "q4_k_m",
            "q5_k_s",
            "q5_k_m",
            "q6_k",
            "q8_0",
            "fp16",
        ]
        bits = [BITS[name] for name in order]
        assert bits == sorted(bits)

    def test_what_they_mean(self) -> None:
        assert Precision.of("Q4_K_M") == Precision(
            weights="q4_k_m", kv="fp16", activations="fp16", compute="fp16"
        )
        assert Precision.of("q4_k") == Precision.of("q4-k-m")  # llama-quantize: Q4_K is Q4_K_M
        assert Precision.of("awq") == Precision.of("gptq") == Precision.of("w4a16")
        assert Precision.of("mlx-4bit").weights == "int4g32"
        assert Precision.of("nf4").compute == "bf16"
        assert native("q4_k_m", {"int4": 1, "fp16": 1}) == "int4"
        assert native("q5_k_m", {"int4": 1, "int8": 1, "fp16": 1}) == "int8"

    def test_nf4_with_double_quantisation(self) -> None:
        """QLoRA, section 3: 8 / 64 + 32 / (64 x 256) bits a parameter beside the four."""
        assert BITS["nf4"] == pytest.approx(4 + 8 / 64 + 32 / (64 * 256), abs=0.0005)

    def test_a_cache_of_llama_cpp_but_no_scheme(self) -> None:
        assert dtype("q8_0") == "q8_0"
        with pytest.raises(WordError, match="awq is a scheme"):
            dtype("awq")
        with pytest.raises(WordError, match="unknown number format") as caught:
            dtype("q4_k_x")
        assert "q4_k_m" in str(caught.value.cure)


class TestCheckpoints:
    def test_gpt_oss(self) -> None:
        """gpt-oss model card (arXiv 2508.10925), table 1: checkpoints of 60.8 and 12.8 GiB."""
        assert size_of("gpt-oss-120b") == pytest.approx(60.8 * 2**30, rel=0.005)
        assert size_of("gpt-oss-20b") == pytest.approx(12.8 * 2**30, rel=0.005)

    def test_deepseek_r1(self) -> None:
        """688.6 GB of files: the model; 11.5B of the prediction layer (README_WEIGHTS.md of DeepSeek-V3) in
        FP8 with its copies of embedding and head, 1.85B in 16 bits; an FP32 scale for 128 x 128."""
        layer = 11.5e9 + 2 * 2 * 129280 * 7168
        scales = 4 / 128**2 * (671e9 + 11.5e9)
        assert size_of("deepseek-r1") + layer + scales == pytest.approx(688.6e9, rel=0.002)

    def test_llama_70b_in_int4(self) -> None:
        """AWQ checkpoints of Llama-3.1-70B have 39.8 GB: groups of 128 with a zero point of 4 bits beside
        the scale (0.7 % more than int4), embedding and head in 16 bits."""
        stored = size_of("llama-3.1-70b", weights="int4", embeddings="bf16")
        assert stored == pytest.approx(39.8e9, rel=0.01)
        zeros = 68.45e9 * 4 / 128 / 8
        assert stored + zeros == pytest.approx(39.8e9, rel=0.003)

    def test_kimi_k2_5(self) -> None:
        """384 experts of 3 x 7168 x 2048 in 60 layers at 4.5 bits, the other 11.7B in 16: 594 GB."""
        experts = 60 * 384 * 3 * 7168 * 2048
        assert size_of("kimi-k2.5") == pytest.approx(experts * 4.5 / 8 + 11.7e9 * 2, rel=0.002)


class TestParts:
    def test_each_part_has_its_bytes(self) -> None:
        """4 layers, D 1024: attention 4 D^2, MLP 3 x 1024 x 4096, norms; two tables of 10000 rows."""
        mixers, mlps, tables, norms = 4 * 4 * 1024**2, 4 * 3 * 1024 * 4096, 2 * 10000 * 1024, 8 * 1024
        mixed = BF16.replace(weights="int8", attention="fp32", embeddings="bf16")
        found = weights_of(dense(), mixed)
        assert close(found, mlps + norms + 4 * mixers + 2 * (tables + 1024))

    def test_left_out_is_like_the_weights(self) -> None:
        same = BF16.replace(attention="bf16", embeddings="bf16", experts="bf16")
        assert _with(same, platform(level())).metrics == _with(BF16, platform(level())).metrics
        assert weights_of(moe(), same) == weights_of(moe(), BF16)

    def test_a_wider_part_computes_in_its_own_format(self) -> None:
        mixed = Precision.of("fp4").replace(attention="bf16", embeddings="fp8")
        assert [mixed.computed(part) for part in ("weights", "experts", "attention", "embeddings")] == [
            "fp4",
            "fp4",
            "bf16",
            "fp8",
        ]
        assert BF16.replace(weights="int4").computed("weights") == "bf16"
        assert mixed.replace(kv="bf16").computed("kernel") == "bf16"
        assert mixed.replace(kv="fp8").computed("kernel") == "fp8"
        assert BF16.replace(kv="int4").computed("kernel") == "bf16"
        named = mixed.replace(explicit_compute=True)
        assert named.computed("attention") == "fp4"

    def test_the_table_says_what_each_operator_computes_in(self) -> None:
        eight = chip(peaks={"bf16": 1e14, "int8": 2e14})
        found = _with(
            Precision.of("int8").replace(attention="bf16", kv="bf16"), platform(level(), chip=eight)
        )
        kinds = {row.name: row.dtype for row in found.phases["prefill"].operators if row.dtype}
        assert kinds == {
            "qkv": "bf16",
            "attention": "bf16",
            "out": "bf16",
            "up": "int8",
            "down": "int8",
            "head": "int8",
        }


def _with(precision: Precision, on: Platform) -> Estimate:
    asked = scenario(on=on)
    return estimate(asked.replace(plan=asked.plan.replace(precision=precision)), explain=True)


class TestSparsity:
    def test_two_of_four_by_hand(self) -> None:
        """bf16: (16 + 2) / 2 = 9 bits a weight; int8: 5 bits. 1:4 keeps a quarter: 4.5 bits."""
        assert pattern_bytes("bf16", "2:4") == 9 / 8
        assert pattern_bytes("int8", "2:4") == 5 / 8
        assert pattern_bytes("bf16", "1:4") == 4.5 / 8
        assert pattern_bytes("bf16", "4:8") == (16 + 3) / 2 / 8

    @pytest.mark.parametrize("word", ["4:2", "2", "0:4", "2:2", "a:b", "2:65", "٢:٤", "-1:4", ""])
    def test_what_is_no_pattern_is_refused(self, word: str) -> None:
        with pytest.raises(WordError, match="not a pattern"):
            pattern(word)

    def test_embedding_and_head_stay_dense(self) -> None:
        size = Bytes.of(BF16, pattern="2:4")
        assert (size.weights, size.experts, size.of_mixers.weights, size.of_tables.weights) == (
            9 / 8,
            9 / 8,
            9 / 8,
            2,
        )

    def test_compute_is_faster_only_where_the_chip_says_so(self) -> None:
        """51200 prompt tokens are bound by compute: the layers' products halve, attention and head do not."""
        plain, sparse = chip(), chip(sparse_speedup={"bf16": 2.0})
        rows = [
            {row.name: row for row in found.phases["prefill"].operators}
            for found in (
                answer(on=platform(level(), chip=c), batch=512, sparsity=s, explain=True)
                for c, s in ((plain, ""), (plain, "2:4"), (sparse, "2:4"), (sparse, "1:4"))
            )
        ]
        for name in ("qkv", "out", "up", "down"):
            assert close(rows[1][name].compute_s, float(rows[0][name].compute_s))
            assert close(rows[2][name].compute_s, float(rows[0][name].compute_s) / 2)
            assert close(rows[3][name].compute_s, float(rows[0][name].compute_s))
            assert rows[0][name].compute_s > 0
        for name in ("attention", "head"):
            assert close(rows[2][name].time_s, float(rows[0][name].time_s))

    def test_twice_sparse_is_refused(self) -> None:
        with pytest.raises(PlanError, match="sparse twice"):
            answer(sparsity="2:4", weight_density=0.5)

    @pytest.mark.parametrize(("name", "dense_peak", "sparse_peak"), [
        ("a100-sxm-80gb", 312e12, 624e12),
        ("h100-sxm", 989.4e12, 1978.9e12),
        ("mi300x", 1307.4e12, 2614.9e12),
    ])  # fmt: skip
    def test_published_sparse_peaks(self, name: str, dense_peak: float, sparse_peak: float) -> None:
        """bf16 with sparsity, as the makers' data sheets print it."""
        found = Catalog().chip(name)
        assert found.peaks["bf16"] == pytest.approx(dense_peak)
        assert found.peaks["bf16"] * found.sparse_speedup["bf16"] == pytest.approx(sparse_peak, rel=1e-3)
