"""Rows of serving runs to scenarios and back: nothing is dropped, arrays say what single rows say."""

from __future__ import annotations

import pytest

from genzcli.catalog.load import Catalog
from genzcli.engine.estimate import estimate
from genzcli.explore.validate.endtoend import KIND, calibration, stacks
from genzcli.explore.validate.kind import Predicted, Row, Setting
from genzcli.spec.dtype import Precision
from genzcli.spec.workload import Plan, Scenario, UseCase

CATALOG = Catalog()
BASE = {
    "hardware": "h100-sxm",
    "stack": "generic",
    "model": "llama-3.1-8b",
    "precision": "bf16",
    "input_tokens": "512",
    "output_tokens": "128",
    "batch": "16",
}


def row(**cells: object) -> Row:
    return Row(2, {**BASE, **{name: str(cell) for name, cell in cells.items()}})


def predict(*rows: Row) -> list[Predicted]:
    return list(KIND.predict(rows, Setting(CATALOG)))


def run(
    model: str = "llama-3.1-8b", hardware: str = "h100-sxm", tokens: tuple[int, int] = (512, 128), **plan
):
    platform, _ = CATALOG.hardware(hardware)
    word = plan.pop("precision", Precision.of("bf16"))
    return estimate(
        Scenario(
            model=CATALOG.model(model),
            platform=platform,
            usecase=UseCase(input_tokens=tokens[0], output_tokens=tokens[1]),
            plan=Plan(**{"precision": word, "batch": 16, "uneven": "pad", **plan}),
            profile=CATALOG.profile("generic", platform.chip),
        )
    )


def test_a_row_is_the_scenario_that_a_user_would_write() -> None:
    found = predict(row())[0]
    metrics = run().metrics
    assert found.reason is None and found.flags == ()
    assert found.values["e2e_s"] == metrics.e2e_s
    assert found.values["ttft_ms"] == metrics.ttft_s * 1e3
    assert found.values["tpot_ms"] == metrics.tpot_s * 1e3
    assert found.values["output_tok_s"] == pytest.approx(metrics.output_tokens_per_s, rel=1e-12)


def test_rows_together_are_rows_alone() -> None:
    rows = [
        row(),
        row(model="mixtral-8x7b", chips=4, tp=2, ep=2),
        row(batch=1, input_tokens=2048),
        row(hardware="mi300x", tp=2, chips=2),
        row(batch=64),
        row(concurrency=8, batch="", batching="continuous"),
    ]
    assert predict(*rows) == [predict(item)[0] for item in rows]


def test_degrees_inside_chips() -> None:
    """tp 2 x ep 2 on 4 chips: attention is cut over all four."""
    found = predict(row(model="mixtral-8x7b", chips=4, tp=2, ep=2))[0]
    assert found.values["e2e_s"] == run("mixtral-8x7b", tp=4, ep=2).metrics.e2e_s
    inside = predict(row(model="mixtral-8x7b", chips=4, tp=2, attention_dp=2, ep=4))[0]
    assert inside.values["e2e_s"] == run("mixtral-8x7b", tp=2, dp=2, ep=4).metrics.e2e_s


def test_degrees_recorded_times_ep() -> None:
    """64 chips at tp 64 and ep 8 of a machine of eight are eight chips with tp 8."""
    cells = {"model": "mixtral-8x7b", "batch": "", "concurrency": 16, "chips": 64, "tp": 64, "ep": 8}
    found = predict(row(**cells))[0]
    assert any("read as 8 chips" in flag for flag in found.flags)
    alone = run("mixtral-8x7b", batching="continuous", tp=8, ep=8).metrics
    assert found.values["tpot_ms"] == alone.tpot_s * 1e3


def test_a_dense_model_has_no_experts_to_spread() -> None:
    found = predict(row(chips=2, tp=2, ep=1, attention_dp=1))[0]
    assert found.values["e2e_s"] == run(tp=2).metrics.e2e_s


def test_nothing_is_dropped() -> None:
    rows = [
        row(model="no-such-model"),
        row(),
        row(hardware="no-such-chip"),
        row(batch="x"),
        row(chips=3, tp=2),
    ]
    found = predict(*rows)
    assert len(found) == 5
    assert [item.reason is None for item in found] == [False, True, False, False, False]
    assert "no-such-model" in found[0].reason and "no-such-chip" in found[2].reason
    assert "batch" in found[3].reason and "chips is 3" in found[4].reason


def test_a_plan_that_cannot_be_spoils_only_its_row() -> None:
    found = predict(row(), row(tp=1, pp=40, chips=40, batch=40), row(batch=2))
    assert [item.reason is None for item in found] == [True, False, True]


def test_more_than_fits_runs_in_waves() -> None:
    """Llama-2-7B in bf16 on 40 GB: what fits is known; twice as many take twice as long."""
    cells = {"hardware": "a100-sxm-40gb", "model": "llama-2-7b", "input_tokens": 1024, "output_tokens": 1024}
    most = int(run("llama-2-7b", "a100-sxm-40gb", (1024, 1024), batch=1).memory.max_batch)
    full, twice = predict(row(**cells, batch=most), row(**cells, batch=2 * most))
    assert full.flags == () and twice.flags == ("runs in waves: more than fits",)
    assert twice.values["e2e_s"] == pytest.approx(2 * full.values["e2e_s"], rel=1e-12)
    assert twice.values["output_tok_s"] == pytest.approx(full.values["output_tok_s"], rel=1e-12)
    mean = full.values["ttft_ms"] + full.values["e2e_s"] * 1e3 / 2
    assert twice.values["ttft_ms"] == pytest.approx(mean, rel=1e-12)


def test_what_does_not_fit_at_all_is_answered_and_flagged() -> None:
    found = predict(row(model="llama-2-70b", batch=2))[0]
    assert found.reason is None and found.flags == ("runs in waves: more than fits",)


def test_one_output_token_has_no_interval() -> None:
    found = predict(row(output_tokens=1))[0]
    assert "tpot_ms" not in found.values and found.values["e2e_s"] > 0


def test_formats_of_servers() -> None:
    """A server of fp4 weights has a cache of 8 bits."""
    cells = {"hardware": "b200", "batch": "", "concurrency": 4, "precision": "fp4"}
    expected = Precision.of("fp4").replace(kv="fp8")
    alone = run(hardware="b200", batch=4, batching="continuous", precision=expected).metrics
    assert predict(row(**cells))[0].values["tpot_ms"] == alone.tpot_s * 1e3


def test_an_unknown_stack_is_stood_in_for() -> None:
    found = predict(row(stack="my-own-server"))[0]
    assert found.values == predict(row())[0].values
    assert found.flags == ("no calibration of my-own-server for it: generic-gpu-hopper",)


def test_the_profile_of_a_row() -> None:
    """Static batches were measured in 2024; the user's --stack stands before the rows'."""
    groups, _, _ = stacks([row(stack="vllm", hardware="mi300x")], Setting(CATALOG))
    assert calibration(groups[0], Setting(CATALOG))[0].name == "vllm-2024-mi300x"
    assert calibration(groups[0], Setting(CATALOG, "ideal"))[0].name == "ideal"
