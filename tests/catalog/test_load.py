"""A name means one thing, or says what it could have meant."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from catalog_samples import CHIP, MODEL, PLATFORM, PROFILE, Writer

from genzcli.catalog import find
from genzcli.catalog.load import Catalog
from genzcli.errors import CatalogError, UnknownNameError, nearest

pytestmark = pytest.mark.usefixtures("shop")


@pytest.mark.parametrize(
    "name", ["tiny-7b", "Tiny-7B", "tiny_7b", "maker/tiny-7b", "MAKER/Tiny_7B", " tiny-7b "]
)
def test_names_and_aliases_fold(name: str) -> None:
    assert Catalog().model(name).name == "tiny-7b"


@pytest.mark.parametrize("name", ["tiny", "maker/tiny", "tiny-7", "7b", "", "a\0b", "x" * 9000, "..", "mlp"])
def test_part_of_a_name_is_no_name(name: str) -> None:
    with pytest.raises(UnknownNameError, match="see `genz list models`"):
        Catalog().model(name)


def test_an_unknown_name_says_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="unknown model 'tiny-70b'; did you mean tiny-7b"):
        Catalog().model("tiny-70b")
    with pytest.raises(UnknownNameError, match="did you mean hermit"):
        Catalog().hardware("hermitt")
    with pytest.raises(UnknownNameError, match="and no such file"):
        Catalog().model("maker/none")


@pytest.mark.parametrize(
    ("name", "known", "near"),
    [
        ("google", ["wormhole", "goodness"], []),
        ("class", ["aliases", "power"], []),
        ("x", ["precision.experts"], []),
        ("hbn", ["hbm", "ddr5"], ["hbm"]),
        ("mixtral", ["mistral-7b", "mixtral-8x7b"], ["mixtral-8x7b"]),
        ("b300-ultra", ["b300", "b200"], ["b300"]),
    ],
)
def test_suggestions_are_near_or_none(name: str, known: list[str], near: list[str]) -> None:
    assert nearest(name, known) == near


def test_paths(write: Writer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write("apart/mine.yaml", MODEL.format(name="mine", alias="x"))
    assert Catalog().model(str(path)).name == "mine"
    monkeypatch.chdir(path.parent)
    assert Catalog().model("mine.yaml").name == "mine"
    assert Catalog().model("./mine.yaml").name == "mine"
    (path.parent / "plain").write_text(MODEL.format(name="plain", alias="x"))
    assert Catalog().model("plain").name == "plain"
    with pytest.raises(CatalogError, match=r"none\.yaml: there is no such file"):
        Catalog().model("none.yaml")


def test_a_catalog_name_wins_over_a_file_of_that_name(tmp_path: Path) -> None:
    (tmp_path / "elsewhere" / "tiny-7b").write_text("junk")
    assert Catalog().model("tiny-7b").name == "tiny-7b"


def test_a_folder_named_like_an_alias_is_in_nobodys_way(tmp_path: Path) -> None:
    (tmp_path / "elsewhere" / "maker" / "tiny-7b").mkdir(parents=True)
    assert Catalog().model("maker/tiny-7b").name == "tiny-7b"


def test_a_hugging_face_config_is_a_model_or_says_what_it_lacks(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"architectures": ["LlamaForCausalLM"], "hidden_size": 4096}))
    with pytest.raises(
        CatalogError, match=r"config\.json: 'num_hidden_layers'.* is missing, and llama needs it"
    ):
        Catalog().model(str(path))


def test_an_alias_claimed_twice(write: Writer) -> None:
    write("models/tiny-8b.yaml", MODEL.format(name="tiny-8b", alias="maker/tiny-7b"))
    with pytest.raises(CatalogError, match=r"claimed by .*tiny-7b\.yaml and .*tiny-8b\.yaml"):
        Catalog().model("maker/Tiny-7b")
    assert Catalog().model("tiny-7b").name == "tiny-7b"


def test_the_search_path_is_ordered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for place in ("given", "env", "elsewhere"):
        (tmp_path / place / "models").mkdir(parents=True)

    def add(place: str) -> None:
        (tmp_path / place / "models" / "tiny-7b.yaml").write_text(MODEL.format(name=place, alias="x"))

    monkeypatch.setenv("GENZ_PATH", f":{tmp_path / 'env'}:")
    for place in ("elsewhere", "env", "given"):
        add(place)
        assert Catalog([str(tmp_path / "given")]).model("tiny-7b").name == place
    origins = [root.origin for root in Catalog([str(tmp_path / "given")]).roots]
    assert [origin.split()[0] for origin in origins] == ["--catalog", "GENZ_PATH", "current", "built-in"]


def test_a_name_wins_over_an_earlier_roots_alias(tmp_path: Path) -> None:
    (tmp_path / "elsewhere" / "models").mkdir()
    (tmp_path / "elsewhere" / "models" / "own.yaml").write_text(MODEL.format(name="own", alias="tiny-7b"))
    assert Catalog().model("tiny-7b").name == "tiny-7b"


def test_the_checkout_is_searched_once(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(shop)
    assert [root.origin for root in Catalog().roots] == ["built-in"]


def test_bad_roots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CatalogError, match=r"--catalog: .*nowhere is not a directory"):
        Catalog([str(tmp_path / "nowhere")])
    with pytest.raises(CatalogError, match="has no hardware, models, usecases"):
        Catalog([str(tmp_path / "elsewhere")])
    monkeypatch.setenv("GENZ_PATH", str(tmp_path / "gone"))
    with pytest.raises(CatalogError, match=r"GENZ_PATH: .*gone is not a directory"):
        Catalog()


def test_hardware_is_a_platform_or_a_chip_at_home() -> None:
    platform, bare = Catalog().hardware("toybox")
    assert (platform.name, bare, platform.chips) == ("toybox", False, 8)
    platform, bare = Catalog().hardware("TOY-80GB")
    assert (platform.name, bare, platform.chip.name) == ("toybox", True, "toy")
    platform, bare = Catalog().hardware("lone")
    assert (platform.name, bare, platform.levels, platform.chips) == ("lone", True, (), 1)


def test_a_platform_goes_before_a_chip_of_its_name(write: Writer) -> None:
    write("hardware/platforms/toy.yaml", PLATFORM.format(name="toy", chip="toy"))
    assert Catalog().hardware("toy")[1] is False


def test_hardware_by_path_is_told_by_its_keys(write: Writer) -> None:
    chip = write("own/c.yaml", CHIP.format(name="mine", alias="x", kind="gpu", more="home: toybox"))
    platform, bare = Catalog().hardware(str(chip))
    assert (bare, platform.chip.name, platform.levels[0].name) == (True, "mine", "link")
    assert platform.power_w is None  # the box's power is that of another chip
    assert platform.price_usd_per_hour is None
    box = write("own/p.yaml", PLATFORM.format(name="box", chip="toy"))
    assert Catalog().hardware(str(box))[1] is False


def test_references_say_where_they_stand(write: Writer) -> None:
    write("hardware/platforms/odd.yaml", PLATFORM.format(name="odd", chip="tyo"))
    with pytest.raises(UnknownNameError, match=r"odd\.yaml:2: chip: unknown chip 'tyo'; did you mean toy"):
        Catalog().platform("odd")
    write("hardware/chips/lost.yaml", CHIP.format(name="lost", alias="x", kind="gpu", more="home: toybx"))
    with pytest.raises(
        UnknownNameError, match=r"lost\.yaml:9: home: unknown platform 'toybx'; did you mean toybox"
    ):
        Catalog().hardware("lost")


def test_the_most_specific_profile(write: Writer) -> None:
    catalog = Catalog()
    toy, lone = catalog.chip("toy"), catalog.chip("lone")
    assert catalog.profile("fast", toy).name == "fast-toy"
    assert catalog.profile("Fast", toy.replace(name="other")).name == "fast-gpu"
    assert catalog.profile("ideal", lone).name == "ideal"
    with pytest.raises(
        UnknownNameError, match=r"stack 'fast' for lone \(class tpu\); stacks known for it: ideal, slow"
    ):
        catalog.profile("fast", lone)
    with pytest.raises(UnknownNameError, match="did you mean fast"):
        catalog.profile("fsat", toy)
    write(
        "hardware/profiles/fast-twins.yaml",
        PROFILE.format(name="fast-twins", stack="fast", applies="one, two"),
    )
    write(
        "hardware/profiles/fast-er-two.yaml",
        PROFILE.format(name="fast-er-two", stack="fast-er", applies="two"),
    )
    assert Catalog().profile("fast", toy.replace(name="two")).name == "fast-twins"
    path = write("own.yaml", PROFILE.format(name="own", stack="own", applies="lone"))
    assert catalog.profile(str(path), toy).name == "own"


def test_entries_say_where_they_come_from(tmp_path: Path) -> None:
    (tmp_path / "elsewhere" / "models").mkdir()
    (tmp_path / "elsewhere" / "models" / "broken.yaml").write_text("[")
    listed = Catalog().entries("models")
    assert [(entry.name, entry.origin) for entry in listed] == [
        ("broken", "current directory"),
        ("tiny-7b", "built-in"),
    ]
    assert [entry.aliases for entry in listed] == [(), ("maker/Tiny_7B",)]
    assert Catalog().names("chips") == ["lone", "toy"]
    with pytest.raises(UnknownNameError, match="choose from models, chips"):
        Catalog().entries("cars")


def test_only_the_named_files_are_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    for module in ("find", "load"):
        real = getattr(sys.modules[f"genzcli.catalog.{module}"], "read")  # noqa: B009
        monkeypatch.setattr(
            f"genzcli.catalog.{module}.read",
            lambda path, real=real: (seen.append(find.stem(path)), real(path))[1],
        )
    catalog = Catalog()
    catalog.hardware("toy")
    catalog.model("maker/tiny-7b")
    catalog.profile("fast", catalog.chip("toy"))
    assert set(seen) == {"toy", "toybox", "tiny-7b", "fast-toy"}


def test_the_catalog_needs_neither_numpy_nor_rich() -> None:
    code = (
        "import sys; from genzcli.catalog.load import Catalog; c = Catalog(); c.names('models'); "
        "c.model(c.names('models')[0]); print({'numpy', 'rich', 'typer', 'difflib'} & set(sys.modules))"
    )
    root = Path(find.__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "set()", done.stderr
