"""Any bytes at all give a tree or one line that names the place and the cure."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genzcli.catalog.document import DEEPEST, parse
from genzcli.catalog.read import read
from genzcli.errors import CatalogError


def refusal(path: Path, content: str | bytes) -> str:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(CatalogError) as caught:
        read(path)
    assert caught.value.cure
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("content", "line", "says"),
    [
        ("", 1, "is empty"),
        ("# only a comment\n", 1, "is empty"),
        ("~", 1, "is empty"),
        ("- a\n", 1, "holds a list, not a mapping"),
        ("word", 1, "holds 'word', not a mapping"),
        ("a: 1\nb: [1, 2\n", 3, "not valid YAML"),
        ("a: 1\n\tb: 2\n", 2, "not valid YAML"),
        ("a: b: c\n", 1, "not valid YAML"),
        ('a: "open\n', 2, "not valid YAML"),
        ("a: 1\nb: 2\na: 3\n", 3, "key 'a' twice, first in line 1"),
        ("m:\n  x: 1\n  x: 2\n", 3, "key 'x' twice, first in line 2"),
        ("a: &x 1\nb: *x\n", 1, "YAML reference &x"),
        ("b: *x\n", 1, "YAML reference *x"),
        ("a: 1\n<<: {b: 2}\n", 2, "merge key"),
        ("a: 1\n---\nb: 2\n", 2, "second document"),
        ("a: 1\nb: !!python/object/apply:os.system [ls]\n", 2, "YAML tag"),
        ("a: !!binary aGk=\n", 1, "YAML tag"),
        ("a: !mine x\n", 1, "YAML tag !mine"),
        ("{[a]: b}", 1, "has a list as a key"),
        ("a: 1\nb: \x07\n", 2, "not valid YAML"),
        ('a: 1\nb: "\\e[31mred"\n', 2, "control character"),
        (b"a: 1\nb: \xff\xfe\n", 2, "is not UTF-8"),
    ],
)
def test_refuses(tmp_path: Path, content: str | bytes, line: int, says: str) -> None:
    message = refusal(tmp_path / "bad.yaml", content)
    assert f"bad.yaml:{line}: " in message
    assert says in message


@pytest.mark.parametrize("content", [b"\0\1\2", "name: x".encode("utf-16"), b"\x7fELF\0"])
def test_refuses_binary(tmp_path: Path, content: bytes) -> None:
    assert "bad.yaml: is binary" in refusal(tmp_path / "bad.yaml", content)


def test_refuses_what_is_no_file(tmp_path: Path) -> None:
    for path, says in (
        (tmp_path, "directory"),
        (tmp_path / "no.yaml", "no such file"),
        ("a\0b.yaml", "no such file"),
    ):
        with pytest.raises(CatalogError, match=says):
            read(path)


def test_refuses_a_large_file(tmp_path: Path) -> None:
    assert "larger than 1 MiB" in refusal(tmp_path / "bad.yaml", "a: " + "x" * (1 << 20))


# In a process of its own: a crash of the C composer would take the tests with it.
@pytest.mark.parametrize(
    "nest",
    ["'[' * 100_000", "'- ' * 50_000", "'{a: ' * 100_000", "'? ' * 100_000", "'[' * 100_000 + ']' * 100_000"],
)
def test_deep_nesting_is_an_error_and_no_crash(nest: str) -> None:
    code = (
        "from genzcli.catalog.document import parse\nfrom genzcli.errors import CatalogError\n"
        f"try:\n    parse({nest}, 'deep.yaml')\nexcept CatalogError as error:\n    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"deep.yaml:1: is nested deeper than {DEEPEST} levels")


def test_scalars_stay_words() -> None:
    root = parse("a: no\nb: 1e12\nc: 0o17\nd: 2024-01-01\ne: ~\nf: ''\n", "f.yaml")
    entries = root.mapping("")
    assert [entries[key].word for key in "abcd"] == ["no", "1e12", "0o17", "2024-01-01"]
    assert entries["e"].is_null
    assert not entries["f"].is_null
    assert [node.line for node in entries.values()] == [1, 2, 3, 4, 5, 6]


def test_json_is_yaml() -> None:
    assert parse('{"a": {"b": [1, 2]}}', "f.json").mapping("")["a"].mapping("a")["b"].items


def test_a_byte_order_mark_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "bom.yaml").write_bytes(b"\xef\xbb\xbfname: x\n")
    assert list(read(tmp_path / "bom.yaml").mapping("")) == ["name"]


@settings(deadline=None)  # the machines that run this are shared
@given(st.text(alphabet=st.sampled_from("ab:-[]{}?&*!|>'\"%@`#,\n \t~0."), max_size=60))
def test_any_text_is_a_tree_or_one_line(text: str) -> None:
    try:
        assert parse(text, "f.yaml").entries is not None
    except CatalogError as error:
        assert str(error).startswith("f.yaml:")
        assert "\n" not in str(error)
