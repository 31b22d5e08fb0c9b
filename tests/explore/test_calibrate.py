"""Fits: the optimiser on problems with known answers, profiles found again from runs that they made."""

from __future__ import annotations

import numpy as np
import pytest

from genzcli.catalog.build import build
from genzcli.catalog.document import parse
from genzcli.catalog.load import Catalog
from genzcli.explore import fitted, knobs
from genzcli.explore.calibrate import Runs, calibrate, errors, structured
from genzcli.explore.optimum import Problem, minimise
from genzcli.explore.validate.arrays import answers
from genzcli.explore.validate.endtoend import stacks
from genzcli.explore.validate.kind import Row, Setting
from genzcli.report.profile import text
from genzcli.spec.profile import Profile

CATALOG = Catalog()
WIDE = 1e9


def problem(residuals, low=-WIDE, high=WIDE, centre=0.0, width=WIDE, noise=1.0, size=2) -> Problem:
    def vector(value: float):
        return np.full(size, float(value))

    return Problem(residuals, vector(low), vector(high), vector(centre), vector(width), noise)


def line(x):
    """Residuals of a x + b against 1, 3, 5 at 0, 1, 2."""
    places = np.array([0.0, 1.0, 2.0])
    return x[:, :1] * places + x[:, 1:] - (2 * places + 1)


def test_a_straight_line() -> None:
    assert minimise(problem(line), np.zeros(2)).x == pytest.approx([2, 1], abs=1e-3)


def test_bounds_hold() -> None:
    found = minimise(problem(line, high=1.5), np.zeros(2)).x
    assert found[0] == 1.5 and found[1] <= 1.5


def test_a_prior_pulls() -> None:
    """One residual x - 1 of noise 1 and a prior at 0 of width 1, x small beside the far: half way."""
    found = minimise(problem(lambda x: x - 0.01, width=1.0, size=1), np.zeros(1))
    assert found.x == pytest.approx([0.005], rel=1e-3)
    assert found.shown == pytest.approx([1 - 0.5**0.5], rel=1e-2)


def test_one_outlier_hardly_pulls() -> None:
    def residuals(x):
        return x - np.array([1.0, 1.01, 0.99, 1.0, 9.0])

    assert minimise(problem(residuals, noise=0.02, size=1), np.zeros(1)).x == pytest.approx([1.0], abs=0.01)


def test_a_bent_valley() -> None:
    """Rosenbrock's function as residuals 10 (y - x^2), 1 - x: the only minimum is at (1, 1)."""

    def residuals(x):
        return np.stack([10 * (x[:, 1] - x[:, 0] ** 2), 1 - x[:, 0]], axis=1) * 1e-2

    assert minimise(problem(residuals), np.array([-1.2, 1.0])).x == pytest.approx([1, 1], abs=0.05)


MODELS = ("llama-2-7b", "llama-3-8b", "llama-3-70b", "qwen2-7b")


def rows(batches: tuple[int, ...] = (1, 16, 64), lengths: tuple[int, ...] = (128, 1024)) -> list[Row]:
    """Static runs as people measure them."""
    found = []
    for model in MODELS:
        for chips in (4, 8) if "70b" in model else (1, 2, 4):
            for batch in batches:
                for tokens in lengths:
                    cells = {
                        "hardware": "h100-sxm",
                        "model": model,
                        "stack": "mine",
                        "chips": chips,
                        "tp": chips,
                    }
                    cells |= {"batch": batch, "input_tokens": tokens, "output_tokens": tokens}
                    found.append(Row(len(found) + 2, {key: str(value) for key, value in cells.items()}))
    return found


def base() -> Profile:
    return CATALOG.profile("plain", CATALOG.chip("h100-sxm"))


TRUTH = {"memory": 0.55, "step": 3e-3, "per sequence": 8e-5, "decode attention rereads": 0.6, "layer": 2e-4}


def truth() -> Profile:
    shaped = knobs.shaped(base())
    values = dict(zip([knob.name for knob in knobs.knobs(shaped)], knobs.start(shaped), strict=True)) | TRUTH
    return knobs.turned(shaped, [values[knob.name] for knob in knobs.knobs(shaped)])


def made(given: list[Row]) -> list[Runs]:
    """Runs whose times the true profile made, 3 % of noise and a spoiled one in thirty."""
    random = np.random.default_rng(7)
    found = []
    for group in stacks(given, Setting(CATALOG))[0]:
        values = answers(group, truth()).values["e2e_s"]
        spoiled = np.where(random.random(len(values)) < 1 / 30, 3.0, 1.0)
        found.append(Runs(group, {"e2e_s": values * np.exp(random.normal(0, 0.03, len(values))) * spoiled}))
    return found


@pytest.fixture(scope="module")
def fit():
    runs = made(rows())
    return runs, calibrate(runs, base())


def test_a_profile_is_found_again(fit) -> None:
    _, found = fit
    values = dict(
        zip([knob.name for knob in knobs.knobs(found.profile)], knobs.start(found.profile), strict=True)
    )
    for name, share in (("memory", 0.1), ("step", 0.25), ("per sequence", 0.25)):
        assert values[name] == pytest.approx(TRUTH[name], rel=share), name
    assert values["decode attention rereads"] > 0.4
    assert found.profile.unsplit is None


def test_left_out_models_and_chips_are_predicted(fit) -> None:
    _, found = fit
    for left in (found.within, found.by_model, found.by_chips):
        assert np.median(abs(left.all())) < 0.05


def test_errors_are_those_of_the_profile(fit) -> None:
    runs, found = fit
    group = runs[0]
    alone = errors([group], found.profile).values["e2e_s"]
    expected = answers(group.stack, found.profile).values["e2e_s"] / group.measured["e2e_s"] - 1
    assert alone == pytest.approx(expected)


def test_the_file_loads_as_the_profile(fit) -> None:
    runs, found = fit
    profile = fitted.profile(found, runs, base(), "mine", "a bench")
    read = build(parse(text(profile), "mine.yaml"), Profile)
    assert (read.name, read.stack, read.applies, read.evidence) == (
        "mine-h100-sxm",
        "mine",
        ("h100-sxm",),
        "measured",
    )
    assert read.step_s == pytest.approx(profile.step_s, rel=1e-3)
    assert read.operators.keys() == profile.operators.keys()
    for name, one in profile.operators.items():
        assert read.operators[name].kv_reuse == pytest.approx(one.kv_reuse, rel=1e-3)
        assert read.operators[name].corner == one.corner
    assert read.error == profile.error and "a bench" in read.sources["step"].reference
    assert 0.01 <= profile.error.e2e < 0.1 <= profile.error.ttft  # nobody measured the first token
    left = abs(found.by_model.values["e2e_s"])
    assert 0.6 < (left <= profile.error.e2e).mean() < 0.76


def test_what_one_chip_cannot_show_is_named() -> None:
    single = [item for item in rows() if item.cells["chips"] == "1"]
    found = calibrate(made(single), base())
    hidden = {knob.name for knob in found.hidden}
    assert {"per chip", "collective efficiency", "collective base"} <= hidden
    assert "per sequence" in {knob.name for knob in found.fitted}
    assert {knob.name for knob in (*found.fitted, *found.hidden)} == {
        knob.name for knob in knobs.knobs(found.profile)
    }


def test_unsplit_attention_is_found_where_it_is() -> None:
    """Times of the shipped MI300X profile, which stops splitting: the structure is chosen again."""
    some = rows((1, 16, 64, 256), (128, 2048))
    given = [Row(item.line, {**item.cells, "hardware": "mi300x"}) for item in some]
    profile = CATALOG.profile("vllm-2024", CATALOG.chip("mi300x"))
    assert profile.unsplit is not None
    found = []
    for group in stacks(given, Setting(CATALOG))[0]:
        found.append(Runs(group, {"e2e_s": answers(group, profile).values["e2e_s"]}))
    chosen = calibrate(found, CATALOG.profile("plain", CATALOG.chip("mi300x")))
    assert chosen.profile.unsplit == profile.unsplit


def test_a_rate_of_the_software_is_found_where_it_is() -> None:
    """Times of the shipped profile of AMD parts under vLLM of 2024, on two chips of 362 and 1307 TFLOP/s."""
    profile = CATALOG.profile("vllm-2024", CATALOG.chip("mi325x"))
    rate = profile.operators["gemm.decode"].rate_flop_per_s
    assert profile.name == "vllm-2024-gpu-amd" and rate is not None
    some = [item for item in rows((1, 64, 256), (128, 1024)) if item.cells["chips"] != "1"]
    found = []
    for chip in ("mi250", "mi300x"):
        given = [Row(item.line, {**item.cells, "hardware": chip}) for item in some]
        for group in stacks(given, Setting(CATALOG))[0]:
            found.append(Runs(group, {"e2e_s": answers(group, profile).values["e2e_s"]}))
    plain = CATALOG.profile("plain", CATALOG.chip("mi300x")).replace(unsplit=profile.unsplit)
    best = structured(found, plain).profile
    assert best.operators["gemm.decode"].rate_flop_per_s == pytest.approx(rate, rel=0.4)
    assert abs(errors(found, best).all()).mean() < 0.04
    one = [item for item in found if item.stack.key.hardware == "mi250"]
    assert structured(one, plain).profile.operators["gemm.decode"].rate_flop_per_s is None


def test_formats_keep_their_distance() -> None:
    """A knob turns its kernel and its kin in proportion: FP8 products stay at 68/75 of the others' share."""
    base = knobs.shaped(CATALOG.profile("generic", CATALOG.chip("h100-sxm")))
    names = [knob.name for knob in knobs.knobs(base)]
    values = dict(zip(names, knobs.start(base), strict=True))
    values |= {"prefill compute": 0.6, "decode compute": 0.3, "kernel": 1e-6, "memory": 0.455}
    got = knobs.turned(base, [values[name] for name in names]).operators
    before = base.operators
    assert got["gemm"].compute_efficiency == pytest.approx(0.6)
    assert got["gemm.fp8"].compute_efficiency == pytest.approx(0.68 * 0.6 / 0.75)
    assert got["gemm.decode.fp8"].compute_efficiency == pytest.approx(0.68 * 0.3 / 0.75)
    assert got["moe.fp8"].memory_efficiency == pytest.approx(0.97 / 2)
    assert all(fit.fixed_s == pytest.approx(1e-6) for fit in got.values())
    assert got["moe"].tile_rows == before["moe"].tile_rows
