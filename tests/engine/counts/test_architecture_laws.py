"""Laws between architectures: what must be the same, and what a kind of block saves."""

from __future__ import annotations

from pathlib import Path

import pytest
from engine_samples import answer, close, dense, model_of, platform, usecase

from genzcli.catalog.load import Catalog
from genzcli.engine.counts import anatomy, mixers
from genzcli.engine.counts.ops import Bytes, Shard
from genzcli.engine.counts.parameters import kv_elements_per_token, parameters
from genzcli.engine.result import Estimate
from genzcli.spec.model import Block, Mamba, Mlp, Model, Moe

MODELS = sorted(path.stem for path in (Path(__file__).resolve().parents[3] / "models").glob("*.yaml"))


def total(got: Estimate, phase: str, field: str, *kinds: str) -> float:
    """Sum of a column over the operators of some kinds."""
    return sum(float(getattr(r, field)) for r in got.phases[phase].operators if r.kind in kinds)


@pytest.mark.parametrize("batch", [1, 7])
def test_one_expert_of_one_is_a_dense_mlp(batch: int) -> None:
    one = dense(feedforward=Moe(experts=1, experts_per_token=1, d_expert=4096))
    of = {"use": usecase(100, 11), "batch": batch, "explain": True}
    expert, plain = answer(model=one, **of), answer(model=dense(), **of)
    router = 4 * 1024  # D x 1, four layers
    assert parameters(one).total - parameters(dense()).total == router
    assert parameters(one).active == parameters(one).total
    for phase, tokens in (("prefill", 100 * batch), ("decode", batch)):
        more = total(expert, phase, "flop", "gemm", "moe") - total(plain, phase, "flop", "gemm")
        assert close(more, 2 * tokens * router, 1e-6)
        read = total(expert, phase, "weight_bytes", "gemm", "moe") - total(
            plain, phase, "weight_bytes", "gemm"
        )
        assert close(read, 2 * router, 1e-6)
    assert close(expert.phases["prefill"].time_s, float(plain.phases["prefill"].time_s), 0.03)


def test_a_parallel_block_sends_once() -> None:
    # GPT-J and Command R sum attention and MLP before one all-reduce of the stream; in line they send two
    block = dense().blocks["layer"]
    beside = dense().replace(blocks={"layer": block.replace(parallel=True)})

    def sent(model: Model) -> list[float]:
        rows = answer(model=model, use=usecase(100, 11), tp=8, explain=True).phases["decode"].operators
        return [float(row.network_bytes) for row in rows if row.kind == "collective" and row.block == "layer"]

    # a token of 1024 elements of 2 bytes, four layers
    assert sent(beside) == [4 * 1024 * 2]
    assert sent(dense()) == [4 * 1024 * 2] * 2
    one, two = (answer(model=m, use=usecase(100, 11), tp=8).metrics.tpot_s for m in (beside, dense()))
    assert one is not None and two is not None and one < two


@pytest.mark.parametrize("name", ["gpt-j-6b", "command-r-35b"])
def test_the_catalogs_parallel_models_send_once(name: str) -> None:
    model = Catalog().model(name)
    rows = (
        answer(model=model, use=usecase(16, 4), on=platform(), explain=True, tp=1).phases["decode"].operators
    )
    assert all(block.parallel for block in model.blocks.values())
    assert not any(row.kind == "collective" for row in rows)  # alone on a chip there is nothing to sum


def test_a_hybrid_lies_between_its_kinds() -> None:
    # half the layers with a cache: a token more costs half of what it does with all
    mamba = Block(mixer=Mamba(d_inner=2048, d_state=16, dt_rank=64), feedforward=Mlp(d_ff=4096))
    attention = dense().blocks["layer"]
    hybrid = model_of({"m": mamba, "a": attention}, (("m", 2), ("a", 2)))
    assert kv_elements_per_token(hybrid) * 2 == kv_elements_per_token(dense())

    def slope(model: Model) -> float:
        short, long = (answer(model=model, use=usecase(n, 2)).metrics.tpot_s for n in (1000, 9000))
        return float(long or 0) - float(short or 0)

    assert close(2 * slope(hybrid), slope(dense()), 1e-6)


class TestAnatomy:
    @pytest.mark.parametrize("name", MODELS)
    def test_parts_add_up(self, name: str) -> None:
        model = Catalog().model(name)
        parts = anatomy.parts(model)
        assert min(parts.values()) >= 0
        assert sum(parts.values()) == parameters(model).total

    @pytest.mark.parametrize("name", MODELS)
    def test_what_is_kept_adds_up(self, name: str) -> None:
        model = Catalog().model(name)
        size = Shard(size=Bytes(weights=1, experts=1, kv=2, activations=2))
        each = {name: block.mixer for name, block in model.blocks.items()}
        total = sum(
            repeat * mixers.kv_bytes_per_token(mixer, size)
            for name, repeat in model.stack
            if (mixer := each[name]) is not None
        )
        found = anatomy.kept(model, "bf16")
        assert sum(item.token_bytes * item.layers for item in found) == pytest.approx(total)

    def test_mixers_side_by_side(self) -> None:
        # falcon-h1-7b, 44 layers: 12 heads and 2 KV heads of 128 beside 24 heads of 128 with state 256
        model = Catalog().model("falcon-h1-7b")
        assert anatomy.parts(model)["attention"] == 44 * 3072 * (12 + 2 * 2 + 12) * 128
        cache, state = anatomy.kept(model, "bf16")
        assert (cache.token_bytes, cache.state_bytes) == (2 * 2 * 128 * 2, 0)
        assert (state.token_bytes, state.layers) == (0, 44)

    def test_tables_of_layers_and_what_stands_around_their_parts(self) -> None:
        # gemma-4-e2b, 35 layers: a table of 262144 x 256, projections in, of the gate and out
        parts = anatomy.parts(Catalog().model("gemma-4-e2b"))
        assert parts["layer_embeddings"] == 35 * 262144 * 256
        assert parts["residual"] == 35 * 3 * 1536 * 256
        assert parts["embedding"] == 262144 * 1536

    def test_shared_layers_count_once_and_their_adapters_each_time(self) -> None:
        # zamba2-7b: two sets of 3 x 3584 x 14336, 13 uses of adapters of rank 128 and a projection
        parts = anatomy.parts(Catalog().model("zamba2-7b"))
        assert parts["mlp"] == 2 * 3 * 3584 * 14336
        assert parts["reuse"] == 13 * (128 * (3584 + 2 * 14336) + 3584 * 3584)

    def test_a_window_and_entries_are_kept_apart(self) -> None:
        # deepseek-v4-flash: rows of 512 in the window, an entry of 512 each 128 tokens, or (with a key of 128
        # in FP8 and its scale) each 4
        found = anatomy.kept(Catalog().model("deepseek-v4-flash"), "bf16")
        recent = [item for item in found if item.limit is not None]
        assert {(item.token_bytes, item.limit) for item in recent} == {(1024, 128)}
        whole = {item.token_bytes for item in found if item.limit is None and item.token_bytes}
        assert whole == {1024 / 128, (1024 + 128 + 4) / 4}

    def test_experts_of_mixtral(self) -> None:
        # 32 layers of 8 experts of 3 x 4096 x 14336, routers of 4096 x 8
        parts = anatomy.parts(Catalog().model("mixtral-8x7b"))
        assert parts["experts"] == 32 * 8 * 3 * 4096 * 14336
        assert parts["router"] == 32 * 4096 * 8
        assert parts["shared_experts"] == parts["mlp"] == 0

    def test_windows_hold_a_sequence_down(self) -> None:
        # gemma-2-27b: 46 layers of 2 x 16 x 128 in bf16, every other one keeps 4096 tokens
        model, each = Catalog().model("gemma-2-27b"), 2 * 16 * 128 * 2
        assert anatomy.sequence_bytes(model, 8192, "bf16") == 23 * each * (8192 + 4096)
        assert anatomy.sequence_bytes(model, 2048, "bf16") == 46 * each * 2048

    def test_a_state_is_the_same_at_any_length(self) -> None:
        model = Catalog().model("falcon-mamba-7b")
        (kept,) = anatomy.kept(model, "bf16")
        assert kept.token_bytes == 0 and kept.layers == 64
        at = [anatomy.sequence_bytes(model, tokens, "bf16") for tokens in (1, 1000, 100_000)]
        assert at[0] == at[1] == at[2] == 64 * kept.state_bytes

    def test_an_encoder_decoder_keeps_its_input_and_a_start_token(self) -> None:
        # t5-11b: 24 layers, 2 x 128 x 128 elements of 2 bytes
        assert anatomy.sequence_bytes(Catalog().model("t5-11b"), 500, "bf16") == 24 * 65536 * (500 + 1)


def test_gqa_keeps_the_flop_of_attention() -> None:
    # fewer KV heads: the same scores and sums; only the projection and the cache are smaller
    mha, gqa = (answer(model=dense(kv_heads=n), use=usecase(4000, 2), explain=True) for n in (8, 2))
    assert total(mha, "prefill", "flop", "attention") == total(gqa, "prefill", "flop", "attention")
    saved = total(mha, "prefill", "flop", "gemm") - total(gqa, "prefill", "flop", "gemm")
    assert close(saved, 4 * 2 * 4000 * 1024 * 2 * 6 * 128, 1e-6)
