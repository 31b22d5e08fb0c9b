"""`genz check` in CI: the JUnit report against what the scenarios answer; the workflow of docs/ci.md, run."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml
from genz_process import ROOT

from genzcli.report.junit import Suite, junit
from genzcli.report.pages import Outcome

Genz = Callable[..., Any]

MIXED = """\
model: llama-3.1-70b
usecase: chat
scenarios:
  - {name: "good & <fine>", hardware: h100-sxm, chips: 8, slo: {ttft: 10 s, tpot: 1 s}}
  - {name: slow, hardware: h100-sxm, chips: 8, slo: {tpot: 1 ms}}
  - {name: big, hardware: h100-sxm}
  - {name: odd, hardware: h101-sxm}
  - {hardware: h100-sxm, chips: 8, slo: {ttft: 10 s, tpot: 1 s}}
"""


def counts(element: Any) -> tuple[int, ...]:
    return tuple(int(element.get(key)) for key in ("tests", "failures", "errors", "skipped"))


@pytest.fixture
def report(genz: Genz, tmp_path: Path) -> Any:
    (tmp_path / "mixed.yaml").write_text(MIXED)
    (tmp_path / "good.yaml").write_text("model: llama-3.1-8b\nhardware: h100-sxm\n")
    ended = genz("check", "mixed.yaml", "good.yaml", "missing.yaml", "--format", "junit")
    assert ended.code == 2 and "missing.yaml" in ended.err
    return ElementTree.fromstring(ended.out)


def test_suites_are_files_and_cases_are_scenarios(report: Any) -> None:
    assert report.tag == "testsuites" and counts(report) == (7, 2, 2, 0)
    assert [(suite.tag, suite.get("name"), counts(suite)) for suite in report] == [
        ("testsuite", "mixed.yaml", (5, 2, 1, 0)),
        ("testsuite", "good.yaml", (1, 0, 0, 0)),
        ("testsuite", "missing.yaml", (1, 0, 1, 0)),
    ]
    names = [(case.tag, case.get("classname"), case.get("name")) for case in report[0]]
    assert names == [
        ("testcase", "mixed.yaml", name)
        for name in ("good & <fine>", "slow", "big", "odd", "llama-3.1-70b on h100-sxm, chat")
    ]


def test_failures_and_errors_say_why(report: Any) -> None:
    good, slow, big, odd, plain = report[0]
    assert [child.tag for child in good] == ["system-out"] and "TTFT" in good[0].text
    assert [child.tag for child in plain] == ["system-out"]
    assert slow.find("failure").get("type") == "objective"
    assert re.match(r"TPOT [\d.]+ ms > 1 ms", slow.find("failure").get("message"))
    assert big.find("failure").get("message").startswith("does not fit: needs")
    assert "--chips" in big.find("failure").text
    assert [child.tag for child in odd] == ["error"]
    assert "mixed.yaml:7" in odd[0].get("message") and "h100-sxm" in odd[0].get("message")
    assert "missing.yaml" in report[2][0][0].get("message")


@pytest.mark.parametrize(
    ("lines", "code"), [([4], 0), ([4, 5], 1), ([5, 6], 3), ([6, 7], 2), ([7], 2)], ids=str
)
def test_exit_codes_are_those_of_the_table(genz: Genz, tmp_path: Path, lines: list[int], code: int) -> None:
    text = MIXED.splitlines()
    (tmp_path / "some.yaml").write_text("\n".join([*text[:3], *(text[line - 1] for line in lines)]))
    for kind in ("table", "junit", "markdown"):
        assert genz("check", "some.yaml", "--format", kind).code == code
    assert genz("check", "some.yaml", "--format", "junit", "--exit-zero").code == (2 if code == 2 else 0)
    found = ElementTree.fromstring(genz("check", "some.yaml", "--format", "junit").out)
    assert counts(found)[0] == len(lines)


def test_any_text_is_legal_xml() -> None:
    name = 'a\x07b\uffffé<&"\U0001f600\ud800\n\tc'
    out = junit([Suite(name, [Outcome(name, None, name)])])
    assert out.isascii() and out.startswith('<?xml version="1.0" encoding="UTF-8"?>\n')
    [case] = ElementTree.fromstring(out).iter("testcase")
    legal = 'a\ufffdb\ufffdé<&"\U0001f600\ufffd\n\tc'
    assert case.get("name") == case.get("classname") == case[0].get("message") == case[0].text == legal


def test_equal_answers_are_equal_bytes(genz: Genz, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(MIXED)
    assert (
        genz("check", "a.yaml", "--format", "junit").out == genz("check", "a.yaml", "--format", "junit").out
    )


def test_only_check_has_it(genz: Genz) -> None:
    ended = genz("run", "llama-3.1-8b", "h100-sxm", "--format", "junit")
    assert ended.code == 2 and "unknown format" in ended.err
    assert "did you mean junit" in genz("check", "a.yaml", "--format", "junti").err


# --- the page ---

PAGE = (ROOT / "docs" / "ci.md").read_text(encoding="utf-8")
SCENARIOS, WORKFLOW = re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.M | re.S)


def test_the_page_shows_the_example() -> None:
    example = (ROOT / "docs" / "examples" / "serving.yaml").read_text(encoding="utf-8")
    assert example.partition("\n")[2] == SCENARIOS


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")
@pytest.mark.parametrize(("example", "codes"), [("serving", [0, 0]), ("too-much", [3, 0])])
def test_the_steps_of_the_workflow_do_what_they_say(tmp_path: Path, example: str, codes: list[int]) -> None:
    """Each `genz` step in bash as Actions calls it, beside a file of that name."""
    shutil.copy(ROOT / "docs" / "examples" / f"{example}.yaml", tmp_path / "serving.yaml")
    tool = tmp_path / "bin" / "genz"
    tool.parent.mkdir()
    tool.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m genzcli "$@"\n')
    tool.chmod(0o755)
    environment = {**os.environ, "PATH": f"{tool.parent}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    environment["GITHUB_STEP_SUMMARY"] = str(tmp_path / "summary.md")
    steps = yaml.safe_load(WORKFLOW)["jobs"]["objectives"]["steps"]
    asked = [step for step in steps if step.get("run", "").startswith("genz ")]
    done = [
        subprocess.run(
            ["bash", "-e", "-c", step["run"]], cwd=tmp_path, env=environment, timeout=60
        ).returncode
        for step in asked
    ]
    assert done == codes
    assert asked[1]["if"] == "always()"
    found = ElementTree.parse(tmp_path / steps[-1]["with"]["path"]).getroot()
    summary = (tmp_path / "summary.md").read_text(encoding="utf-8")
    assert counts(found)[0] == summary.count("h100-sxm |")
    assert summary.startswith("**PASS**" if codes[0] == 0 else "**DOES NOT FIT**")
