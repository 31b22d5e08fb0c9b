"""Who drafts: MTP modules, n-grams, a model on its own chips; beside static batches, servers and chunks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from engine_samples import (
    BANDWIDTH,
    IDEAL,
    answer,
    attention,
    calibrated,
    chip,
    close,
    dense,
    gemm,
    level,
    moe,
    plan,
    platform,
    scenario,
    usecase,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from genzcli.engine.counts.parameters import parameters
from genzcli.engine.counts.speculation import expected_tokens, round_tokens
from genzcli.engine.result import Estimate
from genzcli.engine.schedule.case import prepare
from genzcli.engine.schedule.timing import server_chunk
from genzcli.errors import PlanError
from genzcli.spec.hardware import Tier
from genzcli.spec.model import Block, CompressedAttention, Mamba2, Mlp, Model, Mtp, SideBySide, Vision
from genzcli.spec.profile import Profile
from genzcli.spec.workload import DraftSite

USE = usecase(500, 101)
TARGET = dense(layers=16).replace(mtp=Mtp())
DRAFT = dense(layers=2)
TOWER = Vision(
    d_model=512,
    blocks={"layer": Block(mixer=attention(heads=4, kv_heads=4), feedforward=Mlp(d_ff=2048, gated=False))},
    stack=(("layer", 2),),
    patch=768,
    merge=4,
    tokens=64,
    projector=(2048, 1024),
)
SITE = DraftSite(platform=platform(level()), profile=IDEAL)
HOWS: dict[str, dict[str, Any]] = {
    "model": {"draft": DRAFT},
    "mtp": {"draft": "mtp"},
    "ngram": {"draft": "ngram"},
    "away": {"draft": DRAFT, "draft_on": SITE},
}
LOADS: dict[str, dict[str, Any]] = {
    "static": {"batch": 6},
    "static chunks": {"batch": 6, "chunk": 256},
    "server": {"batch": 6, "batching": "continuous"},
    "chunked server": {"batch": 6, "batching": "continuous", "chunk": 256},
}
hows, loads = pytest.mark.parametrize("how", HOWS), pytest.mark.parametrize("load", LOADS)


def tpot(*args: Any, **options: Any) -> float:
    return float(answer(*args, use=USE, **options).metrics.tpot_s)  # type: ignore[arg-type]


# --- multi-token prediction ---


def test_a_module_is_a_layer_behind_a_projection_with_the_models_own_head() -> None:
    # One token drafted and none accepted: a round yields one. The module's pass is one layer, embedding
    # and head, 2 D x D, and three norms of 4 D elements; the verification has two tokens of each request.
    layer = tpot(dense(layers=17)) - tpot(dense(layers=16))
    ends = tpot(dense(layers=16)) - 16 * layer
    verification = tpot(TARGET, draft="ngram", draft_tokens=1, accept=0.0)
    drafted = layer + ends + gemm(1, 2048, 1024) + 3 * 4 * 1024 * 2 / BANDWIDTH
    assert close(tpot(TARGET, draft="mtp", draft_tokens=1, accept=0.0), verification + drafted, 1e-9)


def test_modules_are_held_only_when_they_draft() -> None:
    plain, used = answer(TARGET, use=USE), answer(TARGET, use=USE, draft="mtp")
    assert plain.memory == answer(dense(layers=16), use=USE).memory
    one, two = answer(dense(layers=17), use=USE).memory, answer(dense(layers=16), use=USE).memory
    # A layer, 2 D x D and three norms; embedding and head are the model's own.
    assert used.memory.weights_bytes - plain.memory.weights_bytes == (
        one.weights_bytes - two.weights_bytes + (2 * 1024 * 1024 + 3 * 1024) * 2
    )
    assert used.memory.kv_bytes - plain.memory.kv_bytes == one.kv_bytes - two.kv_bytes


def test_distinct_modules_are_held_each_and_as_many_as_draft() -> None:
    three = TARGET.replace(mtp=Mtp(modules=3))

    def more(model: Model, drafts: int) -> float:
        held = answer(model, use=USE, draft="mtp", draft_tokens=drafts).memory.weights_bytes
        return float(held - answer(model, use=USE).memory.weights_bytes)

    assert [more(three, n) / more(TARGET, 1) for n in (1, 2, 3, 5)] == [1, 2, 3, 3]
    assert more(TARGET, 5) == more(TARGET, 1)
    # All of them read the prompt; a reused one reads it once.
    ttft = [answer(TARGET, use=USE, draft="mtp", draft_tokens=3).metrics.ttft_s]
    ttft += [answer(m, use=USE).metrics.ttft_s for m in (TARGET,)]
    each = ttft[0] - ttft[1]  # type: ignore[operator]
    whole = answer(three, use=USE, draft="mtp", draft_tokens=3).metrics.ttft_s
    assert close(whole - ttft[1], 3 * each)  # type: ignore[operator]


def test_a_distinct_module_takes_every_token_of_the_last_round() -> None:
    # 1 + 0.5 + 0.25 + 0.125 tokens a round; a module reused takes them once, then one at a time
    def flop(modules: int) -> list[float]:
        got = answer(
            TARGET.replace(mtp=Mtp(modules=modules)),
            use=USE,
            draft="mtp",
            draft_tokens=3,
            accept=0.5,
            explain=True,
        )
        return [float(row.flop) for row in got.phases["decode"].operators if row.name == "join"]

    token = 2 * 2048 * 1024 / 1.875
    assert sorted(flop(1)) == pytest.approx([1.875 * token, 2 * token])
    assert flop(3) == pytest.approx([3 * 1.875 * token])


def test_in_a_pipeline_the_modules_lie_on_the_last_stage_with_a_copy_of_the_embedding() -> None:
    on = platform(level(size=8))
    plain = answer(TARGET, on, USE, pp=2)
    used = answer(TARGET, on, USE, pp=2, draft="mtp")
    layer = (
        answer(dense(layers=17), use=USE).memory.weights_bytes
        - answer(dense(layers=16), use=USE).memory.weights_bytes
    )
    module = layer + (2 * 1024 * 1024 + 3 * 1024) * 2
    # The last stage has a final norm beside the first one's bytes, so it was the busiest before too.
    assert close(used.memory.weights_bytes - plain.memory.weights_bytes, module + 10000 * 1024 * 2)


def test_experts_of_a_module_are_spread_as_the_others() -> None:
    target, on = moe(layers=4).replace(mtp=Mtp()), platform(level(size=8))
    whole = answer(target, on, USE, tp=4, ep=1, draft="mtp", batch=64)
    spread = answer(target, on, USE, tp=4, ep=4, draft="mtp", batch=64)
    assert close(whole.memory.weights_bytes, float(spread.memory.weights_bytes))
    assert whole.fits
    assert spread.fits


def test_dense_modules_of_a_mixture_are_not_spread() -> None:
    target = moe(layers=4)
    blocks = {**target.blocks, "small": dense().blocks["layer"]}
    target = target.replace(blocks=blocks, mtp=Mtp(block="small"))
    got = answer(target, platform(level(size=8)), USE, tp=4, ep=4, draft="mtp", batch=64)
    assert got.fits


# --- recurrences ---


def test_a_cache_beside_a_recurrence_is_not_kept_for_each_token() -> None:
    # 4 requests of 601 tokens, 4 layers, 2 x 8 x 128 elements: drafts multiply the state alone
    mamba = Mamba2(heads=16, head_dim=128, d_state=128)
    blocks = [
        Block(mixer=mixer, feedforward=Mlp(d_ff=4096))
        for mixer in (SideBySide(attention=attention(), mamba2=mamba), mamba)
    ]

    def held(block: Block, **how: Any) -> float:
        return float(
            answer(dense().replace(blocks={"layer": block}), use=USE, batch=4, **how).memory.kv_bytes
        )

    for how in ({}, {"draft": "ngram", "draft_tokens": 3}):
        assert held(blocks[0], **how) - held(blocks[1], **how) == 4 * 4 * 601 * 2 * 1024 * 2


def test_compressed_entries_are_not_kept_for_each_token_verified() -> None:
    mixer = CompressedAttention(
        heads=8, head_dim=128, q_rank=256, window=64, ratio=4, out_groups=4, out_rank=64
    )
    target = dense().replace(blocks={"layer": Block(mixer=mixer, feedforward=Mlp(d_ff=4096))})
    plain, drafted = (
        answer(target, use=USE, batch=4, **how).memory.kv_bytes for how in ({}, {"draft": "ngram"})
    )
    assert plain == drafted


# --- images ---


@pytest.mark.parametrize("how", ["model", "mtp"])
@loads
def test_what_drafts_reads_images_as_tokens(how: str, load: str) -> None:
    """3 images of 64 tokens beside 308 of text are 500 tokens for a draft without a tower."""
    seeing = TARGET.replace(vision=TOWER)
    use = USE.replace(input_tokens=500 - 3 * 64, images=3)
    for name, options in (("one", {}), ("other", {"profile": calibrated()})):
        seen = answer(seeing, use=use, **HOWS[how], **LOADS[load], **options)
        blind = answer(seeing, use=use, **LOADS[load], **options)
        text = answer(TARGET, use=USE, **HOWS[how], **LOADS[load], **options)
        plain = answer(TARGET, use=USE, **LOADS[load], **options)
        more = float(seen.memory.kv_bytes) - float(blind.memory.kv_bytes)
        assert close(more, float(text.memory.kv_bytes) - float(plain.memory.kv_bytes)), name
        if load.startswith("static"):
            assert close(seen.metrics.tpot_s, float(text.metrics.tpot_s or 0)), name
            # the tower is run once, by the target
            tower = float(blind.metrics.ttft_s or 0) - float(plain.metrics.ttft_s or 0)
            assert close(seen.metrics.ttft_s, float(text.metrics.ttft_s or 0) + tower), name


def test_modules_have_no_tower_of_their_own() -> None:
    assert parameters(TARGET.replace(vision=TOWER)).mtp == parameters(TARGET).mtp


def test_a_recurrence_keeps_a_state_for_each_token_it_verifies() -> None:
    mamba = Mamba2(heads=16, head_dim=128, d_state=128)
    target = dense().replace(blocks={"layer": Block(mixer=mamba, feedforward=Mlp(d_ff=4096))})
    plain = answer(target, use=USE, batch=4, explain=True)
    got = answer(target, use=USE, batch=4, draft="ngram", draft_tokens=3, accept=0.0, explain=True)
    assert got.memory.kv_bytes == 4 * plain.memory.kv_bytes
    before, after = (
        next(row.kv_bytes for row in item.phases["decode"].operators if row.name == "scan")
        for item in (plain, got)
    )
    assert close(after, before / 2 * (1 + 4))  # one read and one written; one read and four written


# --- n-grams ---


@pytest.mark.parametrize("drafts", [1, 4, 7])
def test_a_free_draft_always_accepted_gives_one_more_than_it_drafts(drafts: int) -> None:
    # N + 1 tokens for one verification, which costs as much as a step where weights bound it
    step = tpot(TARGET)
    got = tpot(TARGET, draft="ngram", draft_tokens=drafts, accept=1.0)
    verification = tpot(TARGET, draft="ngram", draft_tokens=drafts, accept=0.0)
    assert close(got * (drafts + 1), verification)
    assert step < verification < 1.05 * step


def test_n_grams_hold_nothing() -> None:
    plain, used = answer(TARGET, use=USE), answer(TARGET, use=USE, draft="ngram")
    assert plain.memory.weights_bytes == used.memory.weights_bytes
    assert plain.memory.kv_bytes == used.memory.kv_bytes
    assert plain.metrics.ttft_s == used.metrics.ttft_s


# --- a draft on chips of its own ---

SLOW = chip(
    name="slow", peaks={"bf16": 2e13}, memory={"hbm": Tier(capacity_bytes=2e10, bandwidth_bytes_per_s=2e11)}
)


def test_a_draft_elsewhere_runs_at_its_own_speed_and_its_ids_cross_twice() -> None:
    far = platform(level(latency_s=5e-6), chip=SLOW)
    site = DraftSite(platform=far, profile=IDEAL)
    got = answer(TARGET, use=USE, draft=DRAFT, draft_on=site, batch=3, explain=True)
    step = answer(DRAFT, far, USE, batch=3).phases["decode"].time_s
    verification = tpot(TARGET, draft="ngram", accept=0.0, batch=3)
    # a switch is two hops of the slower level's 5 us; 3 requests send 4 ids over and 5 back, 4 bytes each
    crossing = 2 * 2 * 5e-6 + 3 * 9 * 4 / 1e11
    assert close(got.metrics.tpot_s, (4 * step + crossing + verification) / 2.7731)
    row = next(r for r in got.phases["decode"].operators if r.name == "ids to and from the draft")
    assert close(row.network_s, crossing / 2.7731)


def test_the_way_to_the_draft_can_be_said_and_is_infiniband_where_nothing_is_known() -> None:
    bare = platform()
    near = answer(
        TARGET, bare, USE, draft=DRAFT, draft_on=DraftSite(platform=bare, profile=IDEAL, latency_s=0.0)
    )
    far = answer(TARGET, bare, USE, draft=DRAFT, draft_on=DraftSite(platform=bare, profile=IDEAL))
    assert close(far.metrics.tpot_s - near.metrics.tpot_s, 20e-6 / 2.7731, 1e-6)  # type: ignore[operator]


def test_a_draft_elsewhere_reads_the_prompt_meanwhile() -> None:
    far = platform(level(), chip=SLOW)
    alone, slow = answer(TARGET, use=USE).metrics.ttft_s, answer(DRAFT, far, USE).metrics.ttft_s
    site = DraftSite(platform=far, profile=IDEAL)
    got = answer(TARGET, use=USE, draft=DRAFT, draft_on=site)
    assert close(got.metrics.ttft_s, max(float(alone), float(slow)))  # type: ignore[arg-type]
    bigger = answer(TARGET, use=USE, draft=TARGET, draft_on=site)
    assert close(bigger.metrics.ttft_s, float(answer(TARGET, far, USE).metrics.ttft_s))  # type: ignore[arg-type]


def test_a_draft_elsewhere_has_its_own_memory_power_and_rent() -> None:
    plain, got = answer(TARGET, use=USE), answer(TARGET, use=USE, **HOWS["away"])
    assert got.memory.weights_bytes == plain.memory.weights_bytes
    assert got.memory.kv_bytes == plain.memory.kv_bytes
    assert got.draft_memory is not None
    assert got.draft_memory.weights_bytes == answer(DRAFT, use=USE).memory.weights_bytes
    # 0.001 USD/s for each of the two chips
    e2e, outputs = got.metrics.e2e_s, 101
    assert close(got.metrics.usd_per_million_output_tokens, 2 * 0.001 * float(e2e) / outputs * 1e6)  # type: ignore[arg-type]
    # Static power of both, and no more than both at their peak.
    watts = float(got.metrics.average_w)  # type: ignore[arg-type]
    assert 2 * 300 < watts < 2 * 1000
    assert close(got.metrics.output_tokens_per_s_per_chip, float(got.metrics.output_tokens_per_s) / 2)  # type: ignore[arg-type]


def test_the_same_work_elsewhere_costs_the_same_energy_but_for_idle_chips() -> None:
    free = DraftSite(platform=platform(level()), profile=IDEAL, latency_s=0.0)
    here, there = (answer(TARGET, use=USE, draft=DRAFT, **how) for how in ({}, {"draft_on": free}))
    idle = there.phases["decode"].time_s * 2 * 300 - here.phases["decode"].time_s * 300
    dynamic = there.phases["decode"].energy_j - idle - here.phases["decode"].energy_j  # type: ignore[operator]
    assert abs(dynamic) < 1e-3 * here.phases["decode"].energy_j  # type: ignore[operator]
    assert close(there.phases["decode"].flop, float(here.phases["decode"].flop))


def test_a_draft_that_does_not_fit_on_its_chips_says_so() -> None:
    small = chip(name="small", memory={"hbm": Tier(capacity_bytes=5e7, bandwidth_bytes_per_s=1e12)})
    site = DraftSite(platform=platform(level(), chip=small), profile=IDEAL)
    got = answer(TARGET, use=USE, draft=DRAFT, draft_on=site)
    assert not got.fits
    assert got.why is not None
    assert "the draft needs" in got.why
    assert "each small" in got.why
    assert got.memory.max_batch == 0


# --- servers: tokens are conserved ---

# A machine on which every pass takes 1 ms, whatever it holds.
INSTANT = chip(peaks={"bf16": 1e40}, memory={"hbm": Tier(capacity_bytes=1e15, bandwidth_bytes_per_s=1e40)})
TICK = Profile(name="tick", stack="test", operators={}, step_s=1e-3)
ROUNDS = {"draft_tokens": 3, "accept": 1.0, "batch": 9, "batching": "continuous"}  # 4 tokens a round


def served(**how: Any) -> Estimate:
    return answer(TARGET, platform(chip=INSTANT), usecase(800, 81), TICK, **{**ROUNDS, **how})


@pytest.mark.parametrize(("draft", "passes"), [("ngram", 1), (DRAFT, 4), ("mtp", 4)])
def test_chunks_conserve_tokens_where_prompts_set_the_pace(draft: Any, passes: int) -> None:
    # A request brings 800 prompt tokens and 20 rounds of 4: 9 x 880 tokens are 30 passes of 264. In each,
    # 264 x 20 / 880 = 6 requests decode with 4 tokens, 240 are of prompts; a prompt takes 3 1/3 passes.
    got = served(draft=draft, chunk=264)
    assert close(got.metrics.e2e_s, 30e-3 * passes)
    assert close(got.metrics.tpot_s, 20e-3 * passes / 80)
    assert close(got.metrics.ttft_s, 10e-3 * passes)  # its own 3 1/3 passes, and 6 2/3 of waiting
    assert close(got.metrics.output_tokens_per_s, 9 * 81 / (30e-3 * passes))


def test_chunks_with_room_to_spare_leave_plain_rounds() -> None:
    # all 8 others decode beside a whole prompt: 8 of a request's 20 rounds are mixed, 12 plain
    got = served(draft="ngram", chunk=1000)
    assert close(got.metrics.tpot_s, 20e-3 / 80)
    assert close(got.metrics.ttft_s, 1e-3 + 0.5e-3 * 8 / 9)


def test_a_server_without_chunks_waits_half_a_round() -> None:
    # 8 prefills of 1 ms between 20 rounds of 1 ms; share of the others' prefills in the cycle 8 / 29
    got = served(draft="ngram")
    share = 8 / 29
    ahead = share / (2 * (1 - share))  # prefills that stand before the own one, and so not between its rounds
    assert close(got.metrics.tpot_s, 1e-3 / 4 + (8 - ahead) * 1e-3 / 80)
    assert close(got.metrics.ttft_s, 1e-3 + 0.5e-3 * 8 / 9 + ahead * 1e-3)


def test_alone_on_a_server_nobody_drafts_while_the_prompt_is_read() -> None:
    got = served(draft=DRAFT, chunk=400, batch=1)
    assert close(got.metrics.ttft_s, 2 * 2e-3)  # two chunks, each through both models
    assert close(got.metrics.tpot_s, 4e-3 / 4)


@given(
    chunk=st.integers(17, 4096),
    drafts=st.integers(1, 16),
    accept=st.floats(0, 1),
    requests=st.integers(1, 200),
)
@settings(deadline=None, max_examples=60)
def test_a_full_pass_has_as_many_tokens_as_the_chunk(
    chunk: int, drafts: int, accept: float, requests: int
) -> None:
    asked = scenario(
        TARGET,
        platform(chip=INSTANT),
        usecase(800, 81),
        draft="ngram",
        draft_tokens=drafts,
        accept=accept,
        batch=requests,
        batching="continuous",
        chunk=chunk,
    )
    held = server_chunk(prepare(asked, False), chunk)
    width, rounds = drafts + 1, 80 / float(round_tokens(asked.plan, asked.usecase))
    inside = held.tokens + held.decoding * width
    alone = min((1 + rounds) / requests, 1)  # as many prompts share a pass as come in a request's time
    assert held.decoding * width < chunk
    if held.passes > alone * (1 + 1e-9):
        assert close(inside, chunk)
        if held.decoding < requests - 1:  # prompts set the pace, so a cycle is C n passes
            assert close(requests * held.passes * chunk, requests * (800 + rounds * width))


# --- laws ---


@hows
@loads
@pytest.mark.parametrize("drafts", [1, 4, 16])
def test_a_draft_never_accepted_is_never_faster(how: str, load: str, drafts: int) -> None:
    plain = answer(TARGET, use=USE, **LOADS[load]).metrics
    got = answer(TARGET, use=USE, accept=0.0, draft_tokens=drafts, **HOWS[how], **LOADS[load]).metrics
    assert got.tpot_s >= plain.tpot_s * (1 - 1e-12)  # type: ignore[operator]
    assert got.e2e_s >= plain.e2e_s * (1 - 1e-12)  # type: ignore[operator]


@hows
@loads
@pytest.mark.parametrize("profile", [IDEAL, calibrated()], ids=["ideal", "calibrated"])
def test_better_drafts_are_never_slower(how: str, load: str, profile: Profile) -> None:
    found = [
        answer(TARGET, use=USE, profile=profile, accept=a, **HOWS[how], **LOADS[load]).metrics
        for a in (0.0, 0.3, 0.7, 0.9, 1.0)
    ]
    e2e = [float(item.e2e_s) for item in found]  # type: ignore[arg-type]
    assert e2e == sorted(e2e, reverse=True)


@hows
@loads
@pytest.mark.parametrize("degrees", [{}, {"tp": 2}, {"pp": 2}, {"dp": 2}], ids=str)
def test_the_operator_table_adds_up(how: str, load: str, degrees: dict[str, int]) -> None:
    got = answer(TARGET, use=USE, explain=True, **HOWS[how], **LOADS[load], **degrees)
    for phase in got.phases.values():
        assert close(sum(row.time_s for row in phase.operators), float(phase.time_s), 1e-9)
        parts = phase.compute_s + phase.memory_s + phase.network_s + phase.overhead_s
        assert close(parts, float(phase.time_s), 1e-12)


@hows
@loads
def test_axes_of_acceptance_and_drafts_equal_scalars(how: str, load: str) -> None:
    accept, drafts = np.array([[0.0], [0.31], [0.7], [1.0]]), np.array([1, 3, 4, 9])
    grid = answer(TARGET, use=USE, accept=accept, draft_tokens=drafts, **HOWS[how], **LOADS[load])
    for i, j in np.ndindex(4, 4):
        options = {"accept": float(accept[i, 0]), "draft_tokens": int(drafts[j])}
        one = answer(TARGET, use=USE, **options, **HOWS[how], **LOADS[load])
        for name in ("ttft_s", "tpot_s", "e2e_s", "output_tokens_per_s", "joules_per_output_token"):
            assert np.broadcast_to(getattr(grid.metrics, name), (4, 4))[i, j] == getattr(one.metrics, name), (
                name
            )
        for name in ("weights_bytes", "kv_bytes", "activations_bytes", "max_batch"):
            assert np.broadcast_to(getattr(grid.memory, name), (4, 4))[i, j] == getattr(one.memory, name), (
                name
            )


@given(
    st.lists(st.floats(0, 1), min_size=1, max_size=6), st.lists(st.integers(1, 300), min_size=1, max_size=6)
)
@settings(deadline=None)
def test_expected_tokens_of_arrays_equal_scalars(chances: list[float], drafts: list[int]) -> None:
    both = expected_tokens(plan(accept=np.array(chances)[:, None], draft_tokens=np.array(drafts)))
    for i, chance in enumerate(chances):
        for j, number in enumerate(drafts):
            one = float(expected_tokens(plan(accept=chance, draft_tokens=number)))
            assert np.asarray(both)[i, j] == one
            assert close(one, sum(chance**k for k in range(number + 1)))


# --- what cannot be ---


def test_a_model_without_modules_cannot_draft_with_them() -> None:
    with pytest.raises(PlanError, match="no multi-token-prediction modules") as caught:
        answer(dense(), draft="mtp")
    assert caught.value.where == "--draft"


@pytest.mark.parametrize("word", ["mtp", "ngram"])
def test_only_a_model_can_draft_elsewhere(word: str) -> None:
    with pytest.raises(PlanError, match="drafts on the chips of the model itself"):
        answer(TARGET, draft=word, draft_on=SITE)


def test_chips_of_the_draft_have_to_divide_its_heads() -> None:
    site = DraftSite(platform=platform(level()), profile=IDEAL, chips=3)
    with pytest.raises(PlanError, match="the draft paper: tp 3 does not divide 8 heads") as caught:
        answer(TARGET, draft=DRAFT, draft_on=site)
    assert caught.value.where == "--draft-chips"
