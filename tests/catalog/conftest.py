"""A small catalog on disk, and a search path that sees nothing of the machine the tests run on."""

from __future__ import annotations

from pathlib import Path

import pytest
from catalog_samples import CHIP, MODEL, PLATFORM, PROFILE, USECASE, Writer


@pytest.fixture
def write(tmp_path: Path) -> Writer:
    """Put a file into the catalog folder `shop`."""

    def put(name: str, text: str) -> Path:
        path = tmp_path / "shop" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    return put


@pytest.fixture
def shop(write: Writer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A catalog with one of everything, which is also the built-in one."""
    write(
        "hardware/chips/toy.yaml", CHIP.format(name="toy", alias="toy-80gb", kind="gpu", more="home: toybox")
    )
    write("hardware/chips/lone.yaml", CHIP.format(name="lone", alias="hermit", kind="tpu", more=""))
    write("hardware/platforms/toybox.yaml", PLATFORM.format(name="toybox", chip="toy"))
    write("hardware/profiles/ideal.yaml", PROFILE.format(name="ideal", stack="ideal", applies="any"))
    write(
        "hardware/profiles/fast-gpu.yaml",
        PROFILE.format(name="fast-gpu", stack="fast", applies="'class:gpu'"),
    )
    write("hardware/profiles/fast-toy.yaml", PROFILE.format(name="fast-toy", stack="fast", applies="toy"))
    write(
        "hardware/profiles/slow-tpu.yaml",
        PROFILE.format(name="slow-tpu", stack="slow", applies="'class:tpu'"),
    )
    write("models/tiny-7b.yaml", MODEL.format(name="tiny-7b", alias="maker/Tiny_7B"))
    write("usecases/chat.yaml", USECASE)
    monkeypatch.setattr("genzcli.catalog.find.built_in", lambda: str(tmp_path / "shop"))
    monkeypatch.delenv("GENZ_PATH", raising=False)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    return tmp_path / "shop"
