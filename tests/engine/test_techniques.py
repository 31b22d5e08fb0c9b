"""Prefix caching, KV pruning and weight sparsity: by hand, and neutral where they do nothing."""

from __future__ import annotations

import pytest
from engine_samples import answer, close, dense, usecase

from genzcli.engine.memory import weights_of
from genzcli.spec.dtype import Precision


@pytest.mark.parametrize("word", ["prefix_hit", "kv_keep", "weight_density"])
def test_neutral_values_change_nothing(word: str) -> None:
    neutral = {"prefix_hit": 0.0, "kv_keep": 1.0, "weight_density": 1.0}[word]
    assert answer(**{word: neutral}).metrics == answer().metrics


class TestPrefixCaching:
    def test_only_the_rest_of_the_prompt_is_computed(self) -> None:
        # 1000 tokens, 60 % cached: 400 new ones see 600 + 200.5 keys on average; 1000 cached tokens read
        got = answer(use=usecase(1000, 2), prefix_hit=0.6, explain=True).phases["prefill"].operators
        rows = {row.name: row for row in got}
        assert rows["qkv"].flop == 4 * 2 * 400 * 1024 * 3 * 1024
        assert rows["attention"].flop == 4 * 4 * 400 * 800.5 * 8 * 128
        assert rows["attention"].kv_bytes == 4 * (1000 + 400) * 2048 * 2

    def test_a_prompt_in_cache_costs_one_token(self) -> None:
        whole = answer(use=usecase(1000, 2), prefix_hit=1.0, explain=True).phases["prefill"]
        assert next(row for row in whole.operators if row.name == "qkv").flop == 4 * 2 * 1024 * 3 * 1024

    def test_more_hits_are_never_slower_and_hold_the_same_cache(self) -> None:
        answers = [answer(use=usecase(4000, 10), prefix_hit=hit) for hit in (0.0, 0.3, 0.9, 1.0)]
        times = [float(got.metrics.ttft_s or 0) for got in answers]
        assert times == sorted(times, reverse=True)
        assert len({float(got.memory.kv_bytes) for got in answers}) == 1


class TestPruning:
    def test_half_the_cache_is_half_the_bytes(self) -> None:
        full, half = (answer(use=usecase(4096, 65), kv_keep=keep, explain=True) for keep in (1.0, 0.5))
        assert half.memory.kv_bytes * 2 == full.memory.kv_bytes
        rows = [
            next(row for row in got.phases["decode"].operators if row.name == "attention")
            for got in (full, half)
        ]
        written = 4 * 2048 * 2
        assert close(rows[1].kv_bytes - written, (rows[0].kv_bytes - written) / 2)
        assert half.metrics.ttft_s == full.metrics.ttft_s


class TestSparsity:
    def test_bytes_and_a_bitmap(self) -> None:
        # half of 2 bytes, and a bit a place: 1.125 of 2
        dense_, sparse = (answer(weight_density=density).memory.weights_bytes for density in (1.0, 0.5))
        assert close(sparse, dense_ * 1.125 / 2)
        assert weights_of(dense(), Precision.of("bf16")) == dense_

    def test_compute_is_not_spared(self) -> None:
        busy = [
            answer(use=usecase(4000, 2), weight_density=density).phases["prefill"].flop
            for density in (1.0, 0.5)
        ]
        assert busy[0] == busy[1]
