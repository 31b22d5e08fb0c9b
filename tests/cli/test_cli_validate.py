"""`genz validate`: the contract of its JSON, its other formats, and what it does with bad files."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from genz_process import process

Genz = Callable[..., Any]

HEADER = (
    "collective,topology,algorithm_per_dim,npus,bandwidth_bytes_per_s_per_dim,"
    "latency_ns_per_dim,buffer_bytes,time_us"
)
# 2 steps of 1000 ns + 1 MB / 2 / 1 GB/s = 500 us: 1002.003 us with the clock's ticks
GOOD = "all_reduce,Ring(2),ring,2,1e9,1000,1000000,1000"
BAD = "all_reduce,Torus(2),ring,2,1e9,1000,1000000,1000"
SYSTOLIC = "array_rows,array_cols,dataflow,M,N,K\n4,4,os,4,4,10\n"


@pytest.fixture
def file(tmp_path: Path) -> Callable[..., str]:
    def write(*lines: str) -> str:
        path = tmp_path / "measured.csv"
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return str(path)

    return write


def test_json_has_rows_as_they_stood_with_predictions(genz: Genz, file: Callable[..., str]) -> None:
    ended = genz("validate", file(HEADER, GOOD, BAD), "--json")
    assert ended.code == 0
    found = ended.json
    assert found["schema"] == "genz.validate/1"
    good, bad = found["rows"]
    assert list(good)[:8] == HEADER.split(",")
    assert good["topology"] == "Ring(2)" and good["npus"] == 2 and good["time_us"] == 1000
    assert good["predicted_time_us"] == pytest.approx(1002.006, abs=1e-2)
    assert good["reason"] is None and good["flags"] == []
    assert bad["predicted_time_us"] is None and "Torus" in bad["reason"]
    group = found["groups"][-1]
    assert group["collective"] == "all" and group["column"] == "time_us"
    assert (group["rows"], group["n"]) == (2, 1)
    assert group["mean_absolute_error_pct"] == pytest.approx(0.2, abs=0.01)
    assert group["unpredicted"] == [{"reason": bad["reason"], "rows": 1}]


def test_a_large_error_is_no_failure(genz: Genz, file: Callable[..., str]) -> None:
    assert genz("validate", file(HEADER, GOOD.replace(",1000000,1000", ",1000000,1"))).code == 0


def test_what_was_not_measured_is_predicted_all_the_same(genz: Genz, file: Callable[..., str]) -> None:
    found = genz("validate", file(*SYSTOLIC.split()), "--json").json
    assert found["rows"][0]["predicted_compute_cycles"] == 10 + 4 + 4 - 2 - 1
    assert [group["n"] for group in found["groups"]] == [0, 0]


def test_table_and_markdown_have_errors_and_reasons(genz: Genz, file: Callable[..., str]) -> None:
    path = file(HEADER, GOOD, BAD)
    for form in ("table", "markdown"):
        out = genz("validate", path, "--format", form).out
        assert "time" in out and "Torus" in out and "0.2" in out
    assert "Torus" not in genz("validate", path, "--quiet").out


def test_csv_and_ndjson_have_a_line_a_row(genz: Genz, file: Callable[..., str]) -> None:
    path = file(HEADER, GOOD, BAD)
    rows = list(csv.DictReader(io.StringIO(genz("validate", path, "--format", "csv").out)))
    assert len(rows) == 2 and float(rows[0]["predicted_time_us"]) > 1000 and rows[1]["reason"]
    lines = genz("validate", path, "--format", "ndjson").out.splitlines()
    assert [json.loads(line)["topology"] for line in lines] == ["Ring(2)", "Torus(2)"]
    assert rows[0]["flags"] == ""


def test_csv_goes_in_again(genz: Genz, file: Callable[..., str], tmp_path: Path) -> None:
    once = genz("validate", file(HEADER, GOOD), "--format", "csv").out
    (tmp_path / "again.csv").write_text(once, encoding="utf-8")
    assert genz("validate", str(tmp_path / "again.csv")).code == 0


def test_other_columns_to_group_by(genz: Genz, file: Callable[..., str]) -> None:
    path = file(HEADER, GOOD, BAD)
    groups = genz("validate", path, "--by", "topology", "--json").json["groups"]
    assert [group["topology"] for group in groups] == ["Ring(2)", "Torus(2)", "all"]
    ended = genz("validate", path, "--by", "topologie")
    assert ended.code == 2 and "topology" in ended.err


def test_stdin() -> None:
    ended = process("validate", "-", "--json", text=SYSTOLIC)
    assert ended.code == 0 and ended.json["rows"][0]["predicted_compute_cycles"] == 15
    assert ended.err == ""


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        ("a,b\n", "has no rows"),
        ("a,b\n1,2\n", "no known measurement"),
        ("a,a\n1,2\n", "two columns are called 'a'"),
        (f"{HEADER}\n{GOOD},9\n", "9 cells stand under 8 columns"),
        (HEADER.replace("topology", "topo") + "\n" + GOOD, "lack topology"),
        ('a,b\n"1,2\n', "is no CSV"),
        ("a,b\n1,\0\n", "is binary"),
    ],
)
def test_a_bad_file_is_one_line_and_exit_code_2(genz: Genz, tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "bad.csv"
    path.write_text(text, encoding="utf-8")
    ended = genz("validate", str(path))
    assert ended.code == 2 and ended.out == ""
    assert said in ended.err and ended.err.count("\n") == 1 and "bad.csv" in ended.err


def test_a_file_that_is_not_there(genz: Genz, tmp_path: Path) -> None:
    for path in (str(tmp_path / "none.csv"), str(tmp_path)):
        ended = genz("validate", path)
        assert ended.code == 2 and "Traceback" not in ended.err


def test_a_byte_order_mark_and_windows_lines_are_read(genz: Genz, tmp_path: Path) -> None:
    path = tmp_path / "excel.csv"
    path.write_bytes(b"\xef\xbb\xbf" + SYSTOLIC.replace("\n", "\r\n").encode())
    assert genz("validate", str(path)).code == 0


def test_a_profile_of_ones_own_comes_first(genz: Genz, file: Callable[..., str], tmp_path: Path) -> None:
    # 8 chips over NVLink at 450 GB/s: base 1 ms and one direct exchange at half the bandwidth
    profile = tmp_path / "mine.yaml"
    profile.write_text(
        "name: mine\nstack: nccl\napplies: [h100-sxm]\nsource: {assumed: for this test}\n"
        "operators: {default: {compute_efficiency: 1}}\n"
        "collectives: {default: {ways: {only: "
        "{algorithm: direct, base: 1 ms, latency: 0, efficiency: 0.5}}}}\n"
    )
    path = file(
        "hardware,library,collective,num_chips,message_bytes",
        "H100 SXM 80GB (DGX),nccl,all_to_all,8,900000000",
    )
    (row,) = genz("validate", path, "--profile", str(profile), "--json").json["rows"]
    assert row["predicted_latency_us"] == pytest.approx(1000 + 900e6 * 7 / 8 / 225e9 * 1e6)
    assert row["predicted_time_us"] == row["predicted_latency_us"]
    assert row["predicted_busbw_GBps"] == pytest.approx(
        900e6 * 7 / 8 / row["predicted_latency_us"] / 1e3, rel=1e-9
    )


def test_chips_of_several_nodes_cross_what_joins_them(genz: Genz, tmp_path: Path) -> None:
    """Four GPUs on two nodes are two on each: slower than four in one, by the adapters between."""
    head = "hardware,library,collective,num_chips,nodes,message_bytes,latency_us\n"
    rows = [f"A100-SXM4-80GB,NCCL,all_reduce,4,{nodes},67108864,1\n" for nodes in (1, 2)]
    (tmp_path / "m.csv").write_text(head + "".join(rows))
    inside, across = genz("validate", "m.csv", "--json").json["rows"]
    assert across["predicted_latency_us"] > 3 * inside["predicted_latency_us"]


ODD = "5e-324", "abc", "-1", "0", "inf", "nan", "1e308", "x" * 500


def test_a_measured_value_that_is_none_has_a_reason_and_no_score(
    genz: Genz, file: Callable[..., str]
) -> None:
    path = file(HEADER, GOOD, *(GOOD.removesuffix("1000") + cell for cell in ODD), GOOD.removesuffix("1000"))
    found = genz("validate", path, "--json").json
    reasons = [row["reason"] for row in found["rows"]]
    assert reasons[0] is None and reasons[-1] is None  # measured well, and not measured
    assert reasons[1] == "time_us is '5e-324', not a plausible positive number"
    assert all(reason.startswith("time_us is ") and len(reason) < 120 for reason in reasons[1:-1])
    assert "must be above 0" in reasons[3] and "must be above 0" in reasons[4]
    assert all(row["predicted_time_us"] for row in found["rows"])
    group = found["groups"][-1]
    assert (group["n"], len(group["unpredicted"])) == (1, len(ODD))
    assert group["mean_absolute_error_pct"] == pytest.approx(0.2, abs=0.01)


MEASURED = "hardware,fabric,library,collective,num_chips,nodes,message_bytes,latency_us,busbw_GBps"
WIRES = "H100 SXM,IB 400Gb/s,nccl,all_reduce,16,2,1048576,100,20"
RUNS = "hardware,chips,tp,pp,ep,stack,model,input_tokens,output_tokens,batch,e2e_s"
RUN = "h100-sxm,1,1,1,1,vllm,llama-3-8b,128,128,1,1.2"
MATRIX = "array_rows,array_cols,dataflow,M,N,K,compute_cycles"


@pytest.mark.parametrize(
    ("header", "good"), [(HEADER, GOOD), (MEASURED, WIRES), (RUNS, RUN), (MATRIX, "4,4,os,4,4,10,15")]
)
def test_no_cell_stops_the_other_rows(genz: Genz, file: Callable[..., str], header: str, good: str) -> None:
    cells = good.split(",")
    odd = (*ODD, "IB 0Gb/s", "99999999999999999999", "1.5", "1e18", "1e9", "", "[]", "Ring(9999999)")
    rows = [
        ",".join([*cells[:place], value, *cells[place + 1 :]]) for place in range(len(cells)) for value in odd
    ]
    ended = genz("validate", file(header, *rows, good), "--json")
    assert ended.code == 0 and ended.err == ""
    found = ended.json["rows"]
    target = next(name for name in found[-1] if name.startswith("predicted_"))
    assert found[-1]["reason"] is None and found[-1][target] > 0
    assert all(row["reason"] is None or len(row["reason"]) < 300 for row in found)
    measured = target.removeprefix("predicted_")
    assert all(row["reason"] or row[target] for row in found if row[measured])


def test_columns_of_an_earlier_answer_are_kept(genz: Genz, file: Callable[..., str]) -> None:
    path = file(f"{HEADER},predicted_time_us,earlier_reason,reason", f"{GOOD},7,b,c")
    (row,) = genz("validate", path, "--json").json["rows"]
    assert (row["earlier_predicted_time_us"], row["earlier_reason"]) == (7, "b")
    assert row["earlier_earlier_reason"] == "c" and row["reason"] is None
    assert row["predicted_time_us"] > 1000


@pytest.mark.parametrize(
    ("lines", "options", "said"),
    [
        ((HEADER, GOOD), ("--stack", "vllm"), "--stack: has no effect on simulated collectives"),
        (tuple(SYSTOLIC.split()), ("--profile", "x.yaml"), "--profile: has no effect on systolic"),
        ((MEASURED, WIRES), ("--stack", "ncll"), "unknown stack 'ncll'; nearest: nccl"),
        ((RUNS, RUN), ("--stack", "vlm"), "unknown stack 'vlm'; nearest: vllm"),
    ],
)
def test_an_option_that_says_nothing_is_an_error(
    genz: Genz, file: Callable[..., str], lines: tuple[str, ...], options: tuple[str, ...], said: str
) -> None:
    ended = genz("validate", file(*lines), *options)
    assert ended.code == 2 and ended.out == "" and said in ended.err


def test_the_help_names_the_columns_of_every_kind() -> None:
    from genzcli.explore.validate.kinds import kinds

    said = process("validate", "--help").out.replace(",", " ").replace(";", " ").split()
    for kind in kinds():
        assert {*kind.needs, *kind.targets} <= set(said), kind.name
