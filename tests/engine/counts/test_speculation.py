"""Speculative decoding: expected tokens, the cycle of drafts and a verification, memory, and laws."""

from __future__ import annotations

import pytest
from engine_samples import answer, close, dense, plan, usecase

from genzcli.engine.counts.speculation import expected_tokens

TARGET = dense(layers=16)
DRAFT = dense(layers=2)
USE = usecase(500, 101)


@pytest.mark.parametrize("chance", [0.0, 0.3, 0.5, 0.7, 0.9, 1.0])
@pytest.mark.parametrize("drafts", [1, 4, 16])
def test_expected_tokens_by_their_definition(chance: float, drafts: int) -> None:
    """Sum over the number of accepted drafts of its probability; Leviathan's has one token more."""
    how = plan(accept=chance, draft_tokens=drafts)
    accepted = sum(i * chance**i * (1 - chance) for i in range(drafts)) + drafts * chance**drafts
    assert close(expected_tokens(how) - 1, accepted) or accepted == expected_tokens(how) - 1
    assert close(expected_tokens(how.replace(expectation="genz")) + 1, accepted + 1)


def test_the_printed_sum_is_below_one() -> None:
    """paper-claims 6: N 4 and g 0.5 give 0.94 accepted drafts, so they cannot break even by themselves."""
    how = plan(accept=0.5, draft_tokens=4, expectation="genz")
    assert close(expected_tokens(how), 0.9375)
    assert close(expected_tokens(how.replace(expectation="leviathan")), 1.9375)


def test_a_token_costs_the_cycle_over_what_it_yields() -> None:
    # 4 steps of the draft and one verification of 5 tokens, over 1 + 0.7 + ... + 0.7^4 = 2.7731 tokens
    speculative = answer(TARGET, use=USE, draft=DRAFT, explain=True)
    alone = answer(DRAFT, use=USE).phases["decode"].time_s
    rows = speculative.phases["decode"].operators
    drafted = sum(row.time_s for row in rows if row.block.startswith("draft"))
    assert close(drafted, 4 * alone / 2.7731)
    assert close(sum(row.time_s for row in rows), speculative.metrics.tpot_s)
    qkv = next(row for row in rows if row.name == "qkv" and row.block == "layer")
    assert close(qkv.flop, 16 * 2 * 5 * 1024 * 3 * 1024 / 2.7731)


def test_a_draft_never_accepted_is_never_faster() -> None:
    for drafts in (1, 4, 16):
        plain = answer(TARGET, use=USE)
        got = answer(TARGET, use=USE, draft=DRAFT, accept=0.0, draft_tokens=drafts)
        assert got.metrics.tpot_s > plain.metrics.tpot_s


def test_better_drafts_are_never_slower() -> None:
    times = [
        answer(TARGET, use=USE, draft=DRAFT, accept=chance).metrics.tpot_s for chance in (0, 0.3, 0.7, 1)
    ]
    assert times == sorted(times, reverse=True)


def test_the_draft_is_held_and_reads_the_prompt() -> None:
    plain, draft, both = answer(TARGET, use=USE), answer(DRAFT, use=USE), answer(TARGET, use=USE, draft=DRAFT)
    assert both.memory.weights_bytes == plain.memory.weights_bytes + draft.memory.weights_bytes
    assert both.memory.kv_bytes == plain.memory.kv_bytes + draft.memory.kv_bytes
    assert close(both.metrics.ttft_s, plain.metrics.ttft_s + draft.metrics.ttft_s)
    most = int(both.memory.max_batch)
    assert answer(TARGET, use=USE, draft=DRAFT, batch=most).fits
    assert not answer(TARGET, use=USE, draft=DRAFT, batch=most + 1).fits
