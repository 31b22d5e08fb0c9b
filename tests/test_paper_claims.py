"""What the GenZ paper states in numbers, re-derived from the catalog's models.

"Demystifying AI Platform Design for Distributed Inference of Next-Generation LLM models". FP8 weights and
KV, ideal machines. Where the paper does not print an assumption, the test says which one reproduces it.
"""

from __future__ import annotations

from functools import cache
from typing import ClassVar

import pytest
from engine_samples import platform

from genzcli.catalog.load import Catalog
from genzcli.engine.counts.parameters import kv_elements_per_token, parameters
from genzcli.engine.estimate import estimate
from genzcli.engine.result import Estimate
from genzcli.spec.dtype import Precision
from genzcli.spec.hardware import Chip, Platform, Tier
from genzcli.spec.model import Attention, Model
from genzcli.spec.profile import Profile
from genzcli.spec.workload import Plan, Scenario, UseCase

PAPER = Profile(name="ideal", stack="ideal", operators={}, activation_tokens=16384)
BEAMS = 4  # Table III, but for chat's 2


@cache
def model(name: str) -> Model:
    return Catalog().model(name)


def hgx(chips: int = 8) -> Platform:
    """H100s on one NVLink switch, 450 GB/s each way; written out, so that a datasheet cannot move a claim."""
    from genzcli.spec.hardware import Level

    chip = Chip(
        name="h100",
        kind="gpu",
        peaks={"bf16": 989.4e12, "fp8": 1979e12},
        memory={"hbm": Tier(capacity_bytes=85.5e9, bandwidth_bytes_per_s=3.35e12)},
    )
    switch = Level(
        name="nvlink",
        size=chips,
        topology="switch",
        bandwidth_bytes_per_s=25e9,
        links=18,
        latency_s=5e-7,
        reduces=True,
    )
    return platform(switch, chip=chip)


def serve(
    name: str, inputs: int, outputs: int, on: Platform, precision: str = "fp8", **how: object
) -> Estimate:
    plan = Plan(precision=Precision.of(precision), **how)
    use = UseCase(input_tokens=inputs, output_tokens=outputs)
    got = estimate(
        Scenario(model=model(name), platform=on, usecase=use, plan=plan, profile=PAPER), explain=True
    )
    assert got.fits, got.why
    return got


@pytest.mark.parametrize(
    ("name", "weights", "share", "tolerance"),
    [
        ("llama-2-7b", "all", 0.82, 0.03),
        ("gpt-3-175b", "all", 0.27, 0.03),
        ("gpt-4-1.8t", "all", 0.028, 0.03),  # over all weights, with as many KV heads as heads
        ("mixtral-8x7b", "active", 0.11, 0.05),  # 10.5 %, which the paper rounds up to 11
        # LLaMA2-70B's printed 20 % is not the model's: 8 KV heads give 4.8 %, 64 would give 39 %.
        ("llama-2-70b", "all", 0.048, 0.03),
    ],
)
def test_claim_1_kv_over_weights_in_code_generation(
    name: str, weights: str, share: float, tolerance: float
) -> None:
    # 2 (tau_p + Sb tau_d) Hkv dh L over the weights without embeddings; 20,000 + 4 x 50 tokens
    found = parameters(model(name))
    kv = kv_elements_per_token(model(name)) * (20_000 + BEAMS * 50)
    below = found.layers - (found.inactive if weights == "active" else 0)
    assert kv / below == pytest.approx(share, rel=tolerance)


@pytest.mark.parametrize(("name", "share"), [("mixtral-8x7b", 0.27), ("gpt-4-1.8t", 0.15)])
def test_claim_2_weights_used_by_a_token(name: str, share: float) -> None:
    found = parameters(model(name))
    assert found.active / found.total == pytest.approx(share, rel=0.03)


FIVE = ("llama-2-7b", "mixtral-8x7b", "llama-2-70b", "gpt-3-175b", "gpt-4-1.8t")


def prefill_flop(name: str, inputs: int) -> float:
    """FLOP of one prompt; a causal one, from the engine's own counts."""
    vast = Chip(
        name="vast",
        kind="hypothetical",
        peaks={"fp8": 1e18},
        memory={"any": Tier(capacity_bytes=1e16, bandwidth_bytes_per_s=1e16)},
    )
    return float(serve(name, inputs, 1, platform(chip=vast)).phases["prefill"].flop)


def test_claim_3_compute_requirement_of_rag_over_qa() -> None:
    # FLOP / TTFT: 10,000 tokens in 0.4 s over 1000 in 0.2 s; linear layers give 5, attention the rest: 5.41
    ratios = [(prefill_flop(name, 10_000) / 0.4) / (prefill_flop(name, 1000) / 0.2) for name in FIVE]
    assert min(ratios) > 5
    assert sum(ratios) / 5 == pytest.approx(5.41, rel=0.01)


def test_claim_4_bandwidth_requirement_of_rag_over_qa() -> None:
    # (active weights + KV at the last token) / TPOT, both 10 ms: GPT-4 goes up 8 %
    found, each = parameters(model("gpt-4-1.8t")), kv_elements_per_token(model("gpt-4-1.8t"))
    qa, rag = (found.active + each * (inputs + BEAMS * 200) for inputs in (1000, 10_000))
    assert rag / qa - 1 == pytest.approx(0.08, rel=0.03)


class TestClaim7:
    """Mixtral-8x22B, 4 H100, EP 4, batch 32, FP8: TPOT 3.23 ms if tokens spread evenly, 11.33 to one.

    What reproduces both, within 3 %: attention over all four chips (TP x EP = chips), a short context (the
    paper prints none; with 4096 tokens the KV alone adds 1.2 ms), and for the even case the weights of K = 2
    of E = 8 experts in the whole step, spread over the four chips: half an expert, 151 MB a chip and layer.
    The uneven case reads two whole experts on one chip and computes all 64 (token, expert) pairs there.

    The even case is not what 32 tokens do. They choose 64 experts, so all 8 are touched, and a chip reads
    both of its experts however evenly the load is spread: 10.9 ms, 2 % below the worst case, not 3.5 times.
    """

    @staticmethod
    def tpot(routing: str, inputs: int = 1) -> tuple[float, float]:
        """Milliseconds of a step, and of the experts' GEMMs in it."""
        got = serve("mixtral-8x22b", inputs, 2, hgx(4), batch=32, tp=4, ep=4, routing=routing)
        rows = got.phases["decode"].operators
        moe = sum(row.time_s for row in rows if row.kind == "moe")
        return 1e3 * float(got.metrics.tpot_s or 0), 1e3 * float(moe)

    def test_all_to_one(self) -> None:
        assert self.tpot("worst")[0] == pytest.approx(11.33, rel=0.03)
        assert self.tpot("worst", 1000)[0] == pytest.approx(11.33, rel=0.03)

    def test_even_with_active_weights_only(self) -> None:
        step, experts = self.tpot("balanced")
        half_an_expert = 56 * 3 * 6144 * 16384 / 2 / 3.35e12 * 1e3  # 2.52 ms
        assert step - experts + half_an_expert == pytest.approx(3.23, rel=0.03)

    def test_even_as_kernels_do_it(self) -> None:
        # two experts a chip: 4 x 2.52 = 10.1 ms of weights
        step, experts = self.tpot("balanced")
        assert experts == pytest.approx(10.1, rel=0.01)
        assert step == pytest.approx(10.87, rel=0.01)
        assert self.tpot("uniform")[0] == pytest.approx(step, rel=0.001)  # 0.75^32 is 0.01 %


class TestClaim8:
    """8 x H100, 4096 tokens in, 256 out: EP is best for prefill when balanced, TP or TP + EP for decode.

    Holds for Mixtral in BF16, batch 8 and 64, under the engine's accounting: EP there is attention-DP 8 with
    one expert a chip, TP + EP means attention cut over 8 chips and experts spread (dp 1: no dispatch, one
    all-reduce). EP wins prefill by the bytes on the links: two all-to-alls of 2 copies of a chip's own eighth
    of the tokens, against two all-reduces of all of them. It loses decode because every chip then reads
    the whole of the attention weights. Between TP and TP + EP the engine sees under 1 %: they read the
    same bytes and send the same all-reduce; only small tiles, which a roofline does not have, would
    tell them apart. Chunked prefill (chunk 512) is not modelled here.
    """

    TP: ClassVar[dict[str, int]] = {"tp": 8}
    TP_EP: ClassVar[dict[str, int]] = {"tp": 8, "ep": 8}
    EP: ClassVar[dict[str, int]] = {"tp": 1, "dp": 8, "ep": 8}
    MIXED: ClassVar[dict[str, int]] = {"tp": 2, "dp": 4, "ep": 4}

    @pytest.mark.parametrize("name", ["mixtral-8x7b", "mixtral-8x22b"])
    @pytest.mark.parametrize("batch", [8, 64])
    def test_best_of_each_phase(self, name: str, batch: int) -> None:
        def both(how: dict[str, int]) -> tuple[float, float]:
            got = serve(name, 4096, 256, hgx(), "bf16", batch=batch, routing="balanced", **how).metrics
            return float(got.ttft_s or 0), float(got.tpot_s or 0)

        tp, tp_ep, ep, mixed = map(both, (self.TP, self.TP_EP, self.EP, self.MIXED))
        assert ep[0] < min(tp[0], tp_ep[0], mixed[0])
        assert max(tp[1], tp_ep[1]) < min(ep[1], mixed[1])
        assert tp_ep[1] == pytest.approx(tp[1], rel=0.01)

    def test_not_when_one_rank_gets_everything(self) -> None:
        how = {"batch": 8, "routing": "worst"}
        ep = serve("mixtral-8x7b", 4096, 256, hgx(), "bf16", **self.EP, **how).metrics.ttft_s
        tp = serve("mixtral-8x7b", 4096, 256, hgx(), "bf16", **self.TP, **how).metrics.ttft_s
        assert ep is not None and tp is not None and ep > 2 * tp


class TestSpeculation:
    """Claims 5 and 6: draft models on two GB200-like chips, FP8."""

    @staticmethod
    def throughput(
        target: str, draft: str | None, tokens: int, accept: float = 0.7, expectation: str = "leviathan"
    ) -> float:
        catalog = Catalog()
        platform, _ = catalog.hardware("paper-gpu-32")
        plan = Plan(precision=Precision.of("fp8"), tp=2, batch=4, draft_tokens=tokens, accept=accept)
        if draft is not None:
            plan = plan.replace(draft=catalog.model(draft), expectation=expectation)
        answer = estimate(
            Scenario(
                model=catalog.model(target),
                platform=platform,
                usecase=UseCase(input_tokens=1024, output_tokens=1024),
                plan=plan,
                profile=catalog.profile("ideal", platform.chip),
            )
        )
        assert answer.metrics.decode_tokens_per_s is not None
        return float(answer.metrics.decode_tokens_per_s)

    @pytest.mark.parametrize(
        ("target", "draft"), [("llama-3.1-70b", "llama-3.1-8b"), ("gemma-2-27b", "gemma-2-2b")]
    )
    def test_claim_6_more_drafts_are_slower_and_better_ones_faster(self, target: str, draft: str) -> None:
        plain = self.throughput(target, None, 4)
        four, sixteen = (self.throughput(target, draft, n) for n in (4, 16))
        assert sixteen < four
        assert self.throughput(target, draft, 4, 0.9) > four > plain
        # g 0.7 with N 16 loses to no speculation by the printed expectation, which leaves out the token of
        # the verification itself (2.33 a pass). With Leviathan's (3.33) it gains a little.
        assert self.throughput(target, draft, 16, expectation="genz") < plain < sixteen < 1.15 * plain

    def test_claim_5_weights_and_cache_of_the_drafts(self) -> None:
        """The paper prints 10.8 % and 9.6 % for weights, 40 % and 28 % for KV, in an order of its own.

        Counted: 8B beside 70B is 11.4 % with embeddings, 2B beside 27B 9.6 %; KV of 8B over 70B is
        32/80 = 40 %, of 2B over 27B 26 x 4 x 256 / (46 x 16 x 128) = 28 %.
        """
        catalog = Catalog()
        pairs = (("llama-3.1-70b", "llama-3.1-8b", 0.40), ("gemma-2-27b", "gemma-2-2b", 0.283))
        for target, draft, kv in pairs:
            big, small = catalog.model(target), catalog.model(draft)
            assert kv_elements_per_token(small) / kv_elements_per_token(big) == pytest.approx(kv, rel=0.01)
            assert 0.07 < parameters(small).total / parameters(big).total < 0.12


class TestChunking:
    """Claim 9: TP 4 on GB200-like chips, FP8, 4096 tokens in, 1024 out."""

    @staticmethod
    def answer(model: str, chunk: int, batch: int) -> Estimate:
        catalog = Catalog()
        on, _ = catalog.hardware("paper-gpu-32")
        plan = Plan(precision=Precision.of("fp8"), tp=4, batch=batch, batching="continuous", chunk=chunk)
        use = UseCase(input_tokens=4096, output_tokens=1024)
        profile = catalog.profile("ideal", on.chip)
        case = Scenario(model=catalog.model(model), platform=on, usecase=use, plan=plan, profile=profile)
        return estimate(case, explain=True)

    def one_pass(self, model: str, chunk: int, batch: int) -> tuple[float, float]:
        """Seconds of the linear layers and of attention in one pass."""
        rows = self.answer(model, chunk, batch).phases["prefill"].operators
        linear = sum(float(row.time_s) for row in rows if row.kind == "gemm" and row.block != "head")
        return linear, sum(float(row.time_s) for row in rows if row.kind == "attention")

    @pytest.mark.parametrize("model", ["gpt-3-175b", "llama-3.1-405b"])
    @pytest.mark.parametrize("chunk", [256, 1024])
    def test_linear_layers_take_the_same_and_attention_grows(self, model: str, chunk: int) -> None:
        passes = [self.one_pass(model, chunk, batch) for batch in (1, 8, 32)]
        assert passes[0][0] == pytest.approx(passes[-1][0], rel=0.02)
        assert passes[0][1] < passes[1][1] < passes[2][1]

    def test_cache_reads_become_gpt_3s_bottleneck_and_stay_small_for_llama(self) -> None:
        share = {}
        for model in ("gpt-3-175b", "llama-3.1-405b"):
            linear, attention = self.one_pass(model, 256, 24)
            share[model] = attention / (linear + attention)
        assert share["gpt-3-175b"] > 0.5 > 0.2 > share["llama-3.1-405b"]

    def test_gpt_3_runs_out_of_memory_where_llama_405b_does_not(self) -> None:
        gpt, llama = (self.answer(m, 512, 128).memory.max_batch for m in ("gpt-3-175b", "llama-3.1-405b"))
        assert gpt < 64 < 128 <= llama


class TestClaim10:
    """Architectures on one GB200-like chip, FP8: what the context does to prefill and to a decode step.

    Holds: Mamba's prefill is linear and its step flat at any context; GQA computes the scores that MHA does;
    a step of dense MHA rises fastest. Does not hold: prefill is linear "for all" only while the weights' FLOP
    outweigh attention's. A causal prompt of S tokens adds 2 S^2 D L to 2 N S, so softmax attention is
    S D L / N above the line: 2 % at 1000 tokens of LLaMA2-7B, two thirds at 32,000. A window of 4096 tokens
    (Mistral-7B v0.1) makes it linear again.
    """

    CONTEXTS = (1000, 4000, 8000, 16000, 32000)

    @staticmethod
    def both(name: str, inputs: int, batch: int = 1) -> tuple[float, float]:
        catalog = Catalog()
        on, _ = catalog.hardware("paper-gpu-32")
        got = serve(name, inputs, 2, on, batch=batch).metrics
        return float(got.ttft_s or 0), float(got.tpot_s or 0)

    def test_mamba_is_linear_in_prefill_and_flat_in_decode(self) -> None:
        found = [self.both("falcon-mamba-7b", n, 16) for n in self.CONTEXTS]
        each = [ttft / n for (ttft, _), n in zip(found, self.CONTEXTS, strict=True)]
        assert each == pytest.approx([each[0]] * len(each), rel=0.01)
        assert len({tpot for _, tpot in found}) == 1

    def test_attention_is_linear_in_prefill_while_it_is_small(self) -> None:
        short, four, long = (self.both("llama-2-7b", n)[0] for n in (1000, 4000, 32000))
        assert four / short == pytest.approx(4, rel=0.03)
        # by hand: 2 N S + 2 S^2 D L against the line through 1000 tokens
        weights, width = parameters(model("llama-2-7b")).layers, 4096 * 32
        line = (weights + 32000 * width) / (weights + 1000 * width)
        assert long / short / 32 == pytest.approx(line, rel=0.1)
        assert line > 1.5

    def test_a_window_makes_prefill_linear(self) -> None:
        eight, long = (self.both("mistral-7b-v0.1", n)[0] for n in (8000, 32000))
        assert long / eight == pytest.approx(4, rel=0.03)

    def test_gqa_brings_prefill_nothing(self) -> None:
        # the same layer with 32 and with 8 KV heads: attention takes as long, only the projection is smaller
        mha = model("llama-2-7b")
        block = mha.blocks["layer"]
        assert isinstance(block.mixer, Attention)
        gqa = mha.replace(blocks={"layer": block.replace(mixer=block.mixer.replace(kv_heads=8))})
        on, _ = Catalog().hardware("paper-gpu-32")
        time = {}
        for name, one in (("mha", mha), ("gqa", gqa)):
            plan, use = Plan(precision=Precision.of("fp8")), UseCase(input_tokens=16000, output_tokens=2)
            case = Scenario(model=one, platform=on, usecase=use, plan=plan, profile=PAPER)
            rows = estimate(case, explain=True).phases["prefill"].operators
            time[name] = sum(float(row.time_s) for row in rows if row.kind == "attention")
        assert time["gqa"] == pytest.approx(time["mha"], rel=1e-6)

    def test_a_step_of_dense_mha_rises_fastest(self) -> None:
        names = ("llama-2-7b", "llama-3-8b", "mixtral-8x7b", "mistral-7b-v0.1", "falcon-mamba-7b")
        rise = {name: self.both(name, 32000)[1] - self.both(name, 1000)[1] for name in names}
        assert rise["llama-2-7b"] == pytest.approx(4 * rise["llama-3-8b"], rel=0.01)  # 32 KV heads over 8
        assert rise["llama-3-8b"] == pytest.approx(rise["mixtral-8x7b"], rel=0.01)  # the same attention
        assert rise["llama-3-8b"] > rise["mistral-7b-v0.1"] > rise["falcon-mamba-7b"] == 0
