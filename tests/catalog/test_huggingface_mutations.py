"""Configs with one wrong value anywhere: a model or one line of error, whatever it is."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from test_huggingface import CLIP, LLAMA, LLAMA4_TOWER, MIXTRAL, MLLAMA_TOWER, SIGLIP, group
from test_huggingface_variants import VARIANTS

from genzcli.catalog.build import build
from genzcli.catalog.document import parse
from genzcli.catalog.huggingface.convert import convert
from genzcli.engine.counts.parameters import parameters
from genzcli.errors import GenzError
from genzcli.spec.model import Model

CONFIGS = Path(os.environ.get("GENZ_DATA", "")) / "hf_configs"
REAL = sorted(CONFIGS.glob("*.json")) if os.environ.get("GENZ_DATA") else []

WRONG: tuple[Any, ...] = (
    *(None, [], {}, "", "x", "\n: [", "1e3", -1, 0, 10**9, 10**30, 1.5, 1e308, 5e-324, True, False),
    *(float("nan"), float("inf"), [None], [[]], [{}], [1], ["x"], {"": 1}, {"x": []}, {"a": {"b": None}}),
)
QUANTISED: dict[str, dict[str, Any]] = {
    "compressed": group(4, "int", 8, 32) | {"ignore": ["lm_head"], "kv_cache_scheme": {"num_bits": 8}},
    "gptq": {"quant_method": "gptq", "bits": 4, "group_size": 32, "modules_to_not_convert": ["lm_head"]},
    "modelopt": {"quant_method": "modelopt", "quant_algo": "FP8", "exclude_modules": ["lm_head"]},
    "by-layer": {"quant_method": "modelopt", "quantized_layers": {"self_attn": {"quant_algo": "FP8"}}},
    "quark": {"quant_method": "quark", "global_quant_config": {"weight": {"dtype": "fp4", "group_size": 32}}},
}
TOWERS = {"llava": CLIP, "gemma3": SIGLIP, "mllama": MLLAMA_TOWER, "llama4": LLAMA4_TOWER}
COMPACT: dict[str, dict[str, Any]] = {
    **{name: values for name, (values, *_) in VARIANTS.items()},
    "llama": LLAMA,
    "sliding": {**LLAMA, "model_type": "mistral", "layer_types": ["full_attention"] * 4},
    **{
        f"{name}-tower": {"model_type": name, "text_config": LLAMA, "vision_config": tower}
        for name, tower in TOWERS.items()
    },
    **{name: {**MIXTRAL, "quantization_config": how} for name, how in QUANTISED.items()},
}

Place = tuple[str | int, ...]


def paths(value: Any, before: Place = ()) -> Iterator[Place]:
    """Every place in a config; of a list, and of a mapping of many modules, the first few."""
    if before:
        yield before
    if isinstance(value, dict):
        for key in list(value)[: 4 if len(value) > 100 else None]:
            yield from paths(value[key], (*before, key))
    elif isinstance(value, list):
        for index in range(min(len(value), 3)):
            yield from paths(value[index], (*before, index))


def put(value: Any, path: Place, new: Any) -> Any:
    """A copy with something else in one place."""
    if not path:
        return new
    changed = value.copy()
    changed[path[0]] = put(value[path[0]], path[1:], new)
    return changed


def tried(values: dict[str, Any], said: str) -> bool:
    """Whether it is a model; a failure of any other kind than one line names what was put where."""
    try:
        text = convert(values, "config.json", ("toy", ""))
        assert parameters(build(parse(text, "toy"), Model)).total > 0
    except GenzError as error:
        assert str(error).isprintable() and len(str(error)) < 2000, said
        return False
    except Exception as error:
        raise AssertionError(f"{said}: {error!r}") from error
    return True


def mutants(configs: dict[str, dict[str, Any]], count: int, seed: int) -> Iterator[tuple[Any, str]]:
    """Configs with one wrong value each."""
    choose = random.Random(seed)
    places = {name: list(paths(values)) for name, values in configs.items()}
    names = sorted(configs)
    for number in range(count):
        name = names[number % len(names)]
        path, new = choose.choice(places[name]), choose.choice(WRONG)
        yield put(configs[name], path, new), f"{name} with {new!r} at {path}"


@pytest.mark.parametrize("seed", range(4))
def test_a_wrong_value_is_one_line_or_a_model(seed: int) -> None:
    found = [tried(values, said) for values, said in mutants(COMPACT, 300, seed)]
    assert any(found) and not all(found)


@pytest.mark.skipif(not REAL, reason="GENZ_DATA names no folder with hf_configs")
def test_a_wrong_value_in_a_real_config_is_one_line_or_a_model() -> None:
    configs = {path.name: json.loads(path.read_text(encoding="utf-8")) for path in REAL}
    found = [tried(values, said) for values, said in mutants(configs, 800, 5)]
    assert any(found) and not all(found)


@pytest.mark.parametrize(
    ("name", "path", "new", "said"),
    [
        ("sliding", ("layer_types", 0), [], "a word for each layer"),
        ("nemotron-51b-of-blocks", ("block_configs", 0), [], "block_configs of .* a mapping"),
        ("compressed", ("quantization_config", "config_groups", "g", "weights", "num_bits"), [], "bits"),
        ("compressed", ("quantization_config", "config_groups", "g", "targets"), 5, "a list of modules"),
        ("gptq", ("quantization_config", "modules_to_not_convert"), [5], "a list of modules"),
        ("llama", ("hidden_size",), 10**30, "at most 1000000000"),
        ("llama", ("vocab_size",), "1\n2", r"is '1\\n2'; give a whole number"),
        ("exaone-4-32b", ("sliding_window_pattern",), "", "letters L and G"),
        ("olmoe", ("tie_word_embeddings",), "x", "true or false"),
    ],
)
def test_the_error_says_what_is_wanted(name: str, path: Place, new: Any, said: str) -> None:
    with pytest.raises(GenzError, match=said):
        convert(_with(name, path, new), "config.json", ("toy", ""))


def _with(name: str, path: Place, new: Any) -> dict[str, Any]:
    values: dict[str, Any] = json.loads(json.dumps(COMPACT[name]))
    inner: Any = values
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = new
    return values


def test_a_tower_of_a_billion_layers_is_left_out() -> None:
    values = put(COMPACT["llava-tower"], ("vision_config", "num_hidden_layers"), 10**9)
    assert "Left out: vision tower" in convert(values, "config.json", ("toy", ""))


def test_no_word_of_a_config_becomes_a_line_of_the_file() -> None:
    values = {**COMPACT["kimi-linear-48b"], "routed_expert_hidden_size": "1\nvocab: 5"}
    with pytest.raises(GenzError, match="routed_expert_hidden_size"):
        convert(values, "config.json", ("toy", ""))
