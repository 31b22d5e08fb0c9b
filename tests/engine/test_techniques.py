"""Prefix caching, KV pruning and weight sparsity: by hand, and neutral where they do nothing."""

from __future__ import annotations

import numpy as np
import pytest
from engine_samples import answer, close, dense, scenario, usecase

from genzcli.engine import legal
from genzcli.engine.machine.memory import weights_of
from genzcli.errors import PlanError
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


class TestChunkedPrefill:
    def test_a_chunk_that_holds_the_batch_is_one_pass(self) -> None:
        whole, chunked = (
            answer(use=usecase(500, 20), batch=4),
            answer(use=usecase(500, 20), batch=4, chunk=2000),
        )
        assert close(chunked.metrics.ttft_s, whole.metrics.ttft_s)
        assert chunked.metrics.tpot_s == whole.metrics.tpot_s

    def test_static_passes_by_hand(self) -> None:
        # 2 prompts of 1000 in chunks of 500: 4 passes of 500 tokens, on average behind 250 of their prompt
        got = answer(use=usecase(1000, 2), batch=2, chunk=500, explain=True).phases["prefill"]
        rows = {row.name: row for row in got.operators}
        assert rows["qkv"].flop == 4 * 2 * 500 * 1024 * 3 * 1024
        assert rows["attention"].flop == 4 * 4 * 500 * (250 + 250.5) * 8 * 128
        one = sum(row.time_s for row in got.operators if row.name != "further passes")
        assert close(got.time_s, 4 * one)

    def test_a_server_by_hand(self) -> None:
        # 9 requests, 8 decode tokens in a pass of 108: 100 of a prompt of 1000, so 10 passes a prompt. Of the
        # 10 + 200 passes of a cycle 90 carry a prompt.
        how = {"batch": 9, "batching": "continuous", "chunk": 108}
        got = answer(use=usecase(1000, 201), **how, explain=True)
        prefill, step = got.phases["prefill"], got.phases["decode"].time_s
        rows = {row.name: row for row in prefill.operators}
        assert rows["qkv"].flop == 4 * 2 * 108 * 1024 * 3 * 1024
        mixed = prefill.time_s / 10
        cycle = 90 * mixed + 120 * step
        assert close(got.metrics.tpot_s, (cycle - 10 * mixed) / 200)
        assert close(got.metrics.ttft_s, 10 * mixed + mixed / 2 * 8 / 9)

    def test_a_chunk_smaller_than_the_batch_lets_others_wait(self) -> None:
        # 10 requests of 1000 prompt tokens and 199 steps, one token a pass: 11990 passes a cycle, all of them
        # somebody's. A request decodes in 199 in a row; the first token comes with all the others behind it.
        how = {"batch": 10, "batching": "continuous", "chunk": 1}
        got = answer(use=usecase(1000, 200), **how, explain=True)
        prefill = got.phases["prefill"].time_s
        mixed = got.metrics.tpot_s
        assert close(prefill, 1199 * mixed)  # 1000 / (1 - 199/1199)
        assert close(got.metrics.e2e_s, 11990 * mixed)

    def test_a_chunk_has_room_for_what_a_request_decodes(self) -> None:
        with pytest.raises(PlanError, match="no room for the 4"):
            answer(use=usecase(100, 11, 4), batch=2, batching="continuous", chunk=3)
        chunks = np.array([3, 4, 5])
        case = scenario(use=usecase(100, 11, 4), batch=2, batching="continuous", chunk=chunks)
        assert list(legal.check(case)) == [False, True, True]

    def test_smaller_chunks_smooth_steps_and_delay_the_first_token(self) -> None:
        how = {"batch": 16, "batching": "continuous"}
        small, large = (answer(use=usecase(4000, 2000), **how, chunk=c).metrics for c in (64, 2048))
        assert small.ttft_s > large.ttft_s

    def test_rows_add_up(self) -> None:
        for how in ({"batch": 3}, {"batch": 9, "batching": "continuous"}, {"batch": 3, "pp": 2}):
            got = answer(use=usecase(1000, 50), chunk=128, **how, explain=True)
            for phase in got.phases.values():
                assert close(sum(row.time_s for row in phase.operators), phase.time_s)

    def test_memory_of_activations_is_bounded_by_the_chunk(self) -> None:
        big, small = (answer(use=usecase(8000, 2), chunk=c).memory.activations_bytes for c in (None, 512))
        assert small < big / 10

    @pytest.mark.parametrize("chunk", [16, 60, 64, 65, 100])
    def test_tokens_are_conserved_where_prompts_set_the_pace(self, chunk: int) -> None:
        # 64 requests of 1000 + 100 tokens: a cycle has 64 x 1100 tokens, so 70,400 / chunk full passes
        how = {"batch": 64, "batching": "continuous", "chunk": chunk}
        got = answer(use=usecase(1000, 101), **how)
        cycle = got.metrics.ttft_s + 100 * got.metrics.tpot_s
        one = got.metrics.tpot_s  # every pass is mixed
        assert close(cycle / one, 64 * 1100 / chunk, 0.01)

    def test_larger_chunks_serve_more(self) -> None:
        how = {"use": usecase(1000, 101), "batch": 64, "batching": "continuous"}
        chunks = (8, 32, 63, 64, 65, 128, 256, 1024)
        rates = [answer(**how, chunk=chunk).metrics.requests_per_s for chunk in chunks]
        assert rates == sorted(rates)

    def test_short_prompts_share_a_pass(self) -> None:
        how = {"use": usecase(100, 1), "batch": 8, "batching": "continuous"}
        together = answer(use=usecase(100, 1), batch=8).metrics.ttft_s
        assert close(answer(**how, chunk=800).metrics.ttft_s, together)

    def test_a_server_over_a_deep_pipeline_is_never_negative(self) -> None:
        got = answer(pp=4, batch=2, batching="continuous", use=usecase(1000, 2), chunk=512)
        assert got.metrics.tpot_s >= got.phases["decode"].time_s
        assert got.metrics.e2e_s > got.metrics.ttft_s > 0

    @pytest.mark.parametrize("mixer", [{"window": 128}, {"chunk": 96}, {}])
    @pytest.mark.parametrize("chunk", [37, 100, 250])
    def test_slices_do_the_work_of_the_whole(self, mixer: dict[str, int], chunk: int) -> None:
        model = dense(**mixer)
        whole = answer(model, use=usecase(1000, 2)).phases["prefill"].flop
        sliced = answer(model, use=usecase(1000, 2), chunk=chunk).phases["prefill"].flop
        # Passes are equal, and each has a head of its own.
        passes, head = -(-1000 // chunk), 2 * 1024 * 10000
        assert close(sliced - passes * head, whole - head, 1e-9)
