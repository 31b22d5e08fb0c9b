"""LoRA by hand: parameters of published adapters, bytes and FLOP of a step; and rank 0 changes nothing."""

from __future__ import annotations

import numpy as np
import pytest
from engine_samples import answer, close, dense, level, model_of, moe, platform, shard, usecase

from genzcli.catalog.load import Catalog
from genzcli.engine.counts.lora import Adapters, elements, operators, stored_bytes
from genzcli.engine.counts.ops import WHOLE
from genzcli.engine.counts.stages import stages
from genzcli.errors import PlanError
from genzcli.spec.model import Block, Mamba2, Mlp

LLAMA = Catalog().model("llama-2-7b")
ON = ("all-linear", "attention", "qv")


def parameters_of(rank: int, on: str) -> float:
    return float(rank * elements(LLAMA, stages(LLAMA, 1)[0], on, WHOLE))


def test_adapters_of_llama_7b_have_the_published_parameters() -> None:
    """What PEFT's print_trainable_parameters says of Llama-7B at r = 8.

    q and v: 32 layers x 2 matrices x 8 x (4096 + 4096) = 4,194,304. All seven matrices: 32 x 8 x
    (4 x 8192 + 3 x (4096 + 11008)) = 19,988,480.
    """
    assert parameters_of(8, "qv") == 4_194_304
    assert parameters_of(8, "all-linear") == 19_988_480
    assert parameters_of(8, "attention") == 8_388_608


def test_memory_of_a_hundred_adapters() -> None:
    """2 bytes x 100 x 19,988,480, and an eighth of what is cut, over eight chips."""
    stage, adapters = stages(LLAMA, 1)[0], Adapters(rank=8, count=100, on="all-linear")
    assert close(stored_bytes(LLAMA, stage, adapters, WHOLE), 2 * 100 * 19_988_480)
    # tp 8: A of q, k, v, gate and up whole (5 x 4096), of o and down an eighth; B the other way round.
    cut = 5 * 4096 + (3 * 4096 + 2 * 11008) / 8 + (4096 + 11008) / 8 + 2 * 4096
    assert close(stored_bytes(LLAMA, stage, adapters, shard(tp=8)), 2 * 100 * 8 * 32 * cut)


def test_a_step_reads_the_adapters_of_its_requests() -> None:
    """Four requests over three adapters of rank 16 on q and v of D = 1024, beside an MLP."""
    block = dense().blocks["layer"]
    shrink, expand = operators(block, 1024, 4, 4, shard(), Adapters(rank=16, count=3, on="qv"))
    assert (shrink.name, expand.name) == ("lora qv shrink", "lora qv expand")
    assert close(shrink.flop, 2 * 4 * 1024 * 2 * 16)
    assert close(expand.flop, 2 * 4 * 16 * 2048)
    assert close(shrink.weight_bytes, 3 * 1024 * 2 * 16 * 2)
    assert close(expand.weight_bytes, 3 * 16 * 2048 * 2)
    assert close(shrink.activation_bytes, 4 * (1024 + 2 * 16) * 2)
    assert close(expand.activation_bytes, 4 * (2 * 16 + 2 * 2048) * 2)
    few = operators(block, 1024, 2, 2, shard(), Adapters(rank=16, count=300, on="qv"))
    assert close(few[0].weight_bytes, 2 * 1024 * 2 * 16 * 2)


@pytest.mark.parametrize("on", ON)
def test_rank_0_changes_nothing(on: str) -> None:
    plain = answer(batch=4)
    none = answer(batch=4, lora_rank=0, lora_adapters=50, lora_on=on)
    assert none.metrics == plain.metrics
    assert none.memory == plain.memory


@pytest.mark.parametrize("on", ON)
def test_rank_adapters_and_places_only_add(on: str) -> None:
    last = answer(batch=8)
    for rank, count in ((8, 1), (8, 4), (64, 4), (64, 400)):
        here = answer(batch=8, lora_rank=rank, lora_adapters=count, lora_on=on)
        assert here.metrics.tpot_s >= last.metrics.tpot_s
        assert here.memory.weights_bytes > last.memory.weights_bytes
        last = here


def test_arrays_are_the_scalars() -> None:
    ranks, counts = np.array([0, 8, 64])[:, None], np.array([1, 16])
    grid = answer(batch=8, lora_rank=ranks, lora_adapters=counts)
    for i, rank in enumerate(ranks[:, 0].tolist()):
        for j, count in enumerate(counts.tolist()):
            alone = answer(batch=8, lora_rank=rank, lora_adapters=count)
            assert np.broadcast_to(grid.metrics.tpot_s, (3, 2))[i, j] == alone.metrics.tpot_s
            assert np.broadcast_to(grid.memory.weights_bytes, (3, 2))[i, j] == alone.memory.weights_bytes


def test_the_operator_table_adds_up_and_shows_the_adapters() -> None:
    found = answer(moe(d_shared=1024), batch=8, lora_rank=16, lora_adapters=4, explain=True)
    for phase in found.phases.values():
        assert close(sum(row.time_s for row in phase.operators), float(phase.time_s))
        names = {row.name for row in phase.operators if row.name.startswith("lora")}
        assert names == {f"lora {x} {y}" for x in ("qkv", "out", "up", "down") for y in ("shrink", "expand")}


def test_the_base_model_is_quantised_and_the_adapters_are_not() -> None:
    found = answer(batch=8, precision="int8", lora_rank=16, explain=True)
    kinds = {row.dtype for row in found.phases["decode"].operators if row.name.startswith("lora")}
    assert kinds == {"bf16"}


def test_a_model_without_queries_has_no_qv_adapters() -> None:
    mixer = Mamba2(heads=8, head_dim=64, d_state=16)
    model = model_of({"scan": Block(mixer=mixer, feedforward=Mlp(d_ff=64))}, (("scan", 2),))
    with pytest.raises(PlanError, match="no layer with adapters on qv"):
        answer(model, platform(level()), usecase(), lora_rank=8, lora_on="qv")
