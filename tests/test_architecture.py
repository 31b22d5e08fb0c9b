"""Imports go down only, and what is public says what it does. Read off the syntax trees."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "genzcli"
FILES = sorted(PACKAGE.rglob("*.py"))
NAMES_PAGE = ROOT / "docs" / "names.md"

GROUND = {"errors", "units", "numeric"}
#: What each room may import of this package.
ALLOWED = {
    "errors": set(),
    "units": {"errors"},
    "numeric": set(),
    "spec": {"spec", *GROUND},
    "engine": {"engine", "spec", *GROUND},
    "slo": {"engine", "spec", *GROUND},
    "explore": {"explore", "slo", "engine", "spec", *GROUND},
    "catalog": {"catalog", "spec", "units", "errors"},
    "report": {"report", "explore", "slo", "engine", "spec", *GROUND},
    "cli": {"cli", "catalog", "report", "explore", "slo", "engine", "spec", "", *GROUND},
}
#: What each room of the engine may import of the engine: counts know no machine, a machine no schedule.
ENGINE = {
    "counts": {"counts"},
    "machine": {"machine", "counts", "result"},
    "schedule": {"schedule", "machine", "counts", "result"},
    "result": set(),
    "legal": {"machine", "counts"},
}
#: Packages that only some rooms may know.
FOREIGN = {
    "yaml": {"catalog", "cli"},
    "rich": {"report"},
    "matplotlib": {"report"},
    "typer": {"cli"},
    "click": {"cli"},
}


def room(path: Path) -> str:
    """First part of the path below the package: a file or a folder."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """(line, dotted name) of everything a file imports, late imports included."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}:{node.lineno}: relative import"
            if node.module == "genzcli":
                yield from ((node.lineno, f"genzcli.{alias.name}") for alias in node.names)
            else:
                yield node.lineno, node.module or ""


def test_every_room_is_known() -> None:
    assert {room(path) for path in FILES} <= {*ALLOWED, "__init__", "__main__"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_down_only(path: Path) -> None:
    here = room(path)
    if here in ("__init__", "__main__"):
        return
    for line, name in imports(path):
        top, *rest = name.split(".")
        if top == "genzcli":
            below = (
                rest[0] if (rest and (PACKAGE / rest[0]).exists()) or (rest and rest[0] in ALLOWED) else ""
            )
            assert below in ALLOWED[here], f"{path.name}:{line}: {here} imports {name}"
        if top in FOREIGN:
            assert here in FOREIGN[top], f"{path.name}:{line}: {here} imports {name}"


@pytest.mark.parametrize("path", sorted((PACKAGE / "engine").rglob("*.py")), ids=lambda path: path.name)
def test_the_engine_is_built_from_counts_up(path: Path) -> None:
    here = path.relative_to(PACKAGE / "engine").parts[0].removesuffix(".py")
    for line, name in imports(path):
        top, engine, *rest = (*name.split("."), "", "")
        if (top, engine) == ("genzcli", "engine") and here in ENGINE:
            assert rest[0] in ENGINE[here], f"{path.name}:{line}: {here} imports {name}"
        if here == "counts":
            assert not name.startswith(("genzcli.spec.hardware", "genzcli.spec.profile")), (path.name, line)


def at_import(tree: ast.Module) -> Iterator[str]:
    """Packages imported as soon as the module is, type checking aside."""
    for node in tree.body:
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield (node.module or "").split(".")[0]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_slow_packages_are_imported_late(path: Path) -> None:
    slow = {"numpy", "difflib", "rich", "importlib", "dataclasses"}
    assert not slow & set(at_import(ast.parse(path.read_text(encoding="utf-8"))))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_what_is_public_has_a_docstring(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    if path.stat().st_size:
        assert ast.get_docstring(tree), f"{path.name} does not say what it is"
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            assert ast.get_docstring(node), f"{path.name}:{node.lineno}: {node.name}"


def test_every_unit_suffix_is_on_the_page_of_names() -> None:
    from genzcli.engine import result
    from genzcli.spec import hardware, model, profile, workload
    from genzcli.spec.noun import _SUFFIXES, Noun

    page = NAMES_PAGE.read_text(encoding="utf-8")
    for module in (hardware, model, profile, workload, result):
        for noun in vars(module).values():
            if not (isinstance(noun, type) and issubclass(noun, Noun)):
                continue
            for item in noun.fields.values():
                suffix = _SUFFIXES.get(item.unit, "")
                if item.kind == "quantity":
                    assert item.name.endswith(suffix), (
                        f"{noun.__name__}.{item.name} hides its unit {item.unit}"
                    )
                    assert f"`{suffix}`" in page, f"{suffix} of {noun.__name__}.{item.name}"
