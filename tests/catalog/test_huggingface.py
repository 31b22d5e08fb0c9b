"""Configs of Hugging Face as models: counts and cache of real files, every family, every quantisation."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from genzcli.catalog.build import build
from genzcli.catalog.document import parse
from genzcli.catalog.huggingface import families
from genzcli.catalog.huggingface.convert import convert
from genzcli.catalog.load import Catalog
from genzcli.cli.import_hf import document
from genzcli.engine.counts.mixers import kv_bytes_per_token
from genzcli.engine.counts.ops import Bytes, Shard
from genzcli.engine.counts.parameters import parameters
from genzcli.errors import CatalogError, GenzError
from genzcli.spec.model import Attention, LatentAttention, LinearAttention, Mamba, Mamba2, Mlp, Model, Moe

DATA = os.environ.get("GENZ_DATA", "")
CONFIGS = Path(DATA) / "hf_configs"
needs_data = pytest.mark.skipif(
    not DATA or not CONFIGS.is_dir(), reason="GENZ_DATA names no folder with hf_configs"
)

SIXTEEN_BIT = Shard(size=Bytes(weights=2.0, experts=2.0, kv=2.0, activations=2.0))

#: Billions of parameters as the authors round them (in the name, or of the model card from memory), and
#: cache bytes of a token at 16 bit by hand.
REAL = {
    "MiniMaxAI--MiniMax-M2.5": (230, 62 * 2 * 8 * 128 * 2),
    "Qwen--Qwen3-0.6B": (0.596, 28 * 2 * 8 * 128 * 2),  # with the embedding once
    "Qwen--Qwen3-235B-A22B-FP8": (235, 94 * 2 * 4 * 128 * 2),
    "Qwen--Qwen3-VL-235B-A22B-Instruct": (235, 94 * 2 * 4 * 128 * 2),
    "Qwen--Qwen3-VL-2B-Instruct": (2.1275, 28 * 2 * 8 * 128 * 2),  # 1.72 of language, 0.41 of vision
    "Qwen--Qwen3.5-122B-A10B": (122, 12 * 2 * 2 * 256 * 2),  # one layer of four has a cache
    "Qwen--Qwen3.5-27B": (27, 16 * 2 * 4 * 256 * 2),
    "MiniMaxAI--MiniMax-M3": (428, 2 * (60 * 2 * 4 * 128 + 57 * 128)),  # an index key in 57 layers
    "nvidia--MiniMax-M3-NVFP4": (428, 2 * (60 * 2 * 4 * 128 + 57 * 128)),
    # a row of the window in each layer; of 21 layers a fourth of an entry and of an index key, of 20 a 128th
    "deepseek-ai--DeepSeek-V4-Flash": (284, 2 * 512 * (43 + 21 / 4 + 20 / 128) + 21 * (128 + 4) / 4),
    "XiaomiMiMo--MiMo-7B-Base": (7.62, 36 * 2 * 8 * 128 * 2),  # 7.83 with the prediction layer
    "XiaomiMiMo--MiMo-V2-Flash": (309, (9 * 4 + 39 * 8) * (192 + 128) * 2),
    "deepseek-ai--DeepSeek-R1": (671, 61 * (512 + 64) * 2),
    "deepseek-ai--DeepSeek-V3.2": (671, 61 * ((512 + 64) * 2 + 128 + 4)),  # index keys in FP8, scaled
    "google--gemma-4-26B-A4B": (25.75, (25 * 2 * 8 * 256 + 5 * 2 * 2 * 512) * 2),  # 0.55 of vision
    "meta-llama--Llama-4-Maverick-17B-128E-Instruct": (400, 48 * 2 * 8 * 128 * 2),
    "meta-llama--Meta-Llama-3.1-405B": (405, 126 * 2 * 8 * 128 * 2),
    "mistralai--Mixtral-8x22B-v0.1": (141, 56 * 2 * 8 * 128 * 2),
    "moonshotai--Kimi-K2.5": (1040, 61 * (512 + 64) * 2),
    "nvidia--GLM-5-NVFP4": (744, 78 * ((512 + 64) * 2 + 128 + 4)),
    "nvidia--Llama-3_3-Nemotron-Super-49B-v1": (49.9, 49 * 2 * 8 * 128 * 2),  # 31 layers have no attention
    "nvidia--NVIDIA-Nemotron-3-Nano-30B-A3B-BF16": (31.6, 6 * 2 * 2 * 128 * 2),
    "openai--gpt-oss-120b": (116.8, 36 * 2 * 8 * 64 * 2),
    "stepfun-ai--Step-3.7-Flash-FP8": (196, 45 * 2 * 8 * 128 * 2),
}

PRECISIONS = {
    "MiniMaxAI--MiniMax-M2.5": ("fp8", "", "bf16", "fp8"),
    "openai--gpt-oss-120b": ("bf16", "mxfp4", "bf16", "bf16"),
    "moonshotai--Kimi-K2.5": ("bf16", "int4g32", "bf16", "bf16"),
    "moonshotai--Kimi-K3": ("bf16", "mxfp4", "bf16", "bf16"),
    "Qwen--Qwen3-0.6B": ("bf16", "", "bf16", "bf16"),
}

#: Multi-token-prediction modules, and the block in each.
PREDICTING = {
    "MiniMaxAI--MiniMax-M2.5": (3, "layer"),
    "Qwen--Qwen3.5-122B-A10B": (1, "attention"),
    "Qwen--Qwen3.5-27B": (1, "attention"),
    "XiaomiMiMo--MiMo-7B-Base": (1, "layer"),
    "deepseek-ai--DeepSeek-R1": (1, "moe"),
    "deepseek-ai--DeepSeek-V3.2": (1, "moe"),
    "nvidia--GLM-5-NVFP4": (1, "moe"),
    "stepfun-ai--Step-3.7-Flash-FP8": (3, "local-dense"),
}

LLAMA: dict[str, Any] = {
    "model_type": "llama",
    "hidden_size": 64,
    "intermediate_size": 160,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "vocab_size": 1000,
    "torch_dtype": "bfloat16",
}
MIXTRAL = {**LLAMA, "model_type": "mixtral", "num_local_experts": 8, "num_experts_per_tok": 2}


def made(values: dict[str, Any]) -> Model:
    return build(parse(convert(values, "config.json", ("toy", "")), "toy"), Model)


def cache(model: Model) -> float:
    mixers = [(model.blocks[name].mixer, repeat) for name, repeat in model.stack]
    return sum(float(kv_bytes_per_token(mixer, SIXTEEN_BIT)) * n for mixer, n in mixers if mixer is not None)


def mixers(model: Model) -> list[Any]:
    return [model.blocks[name].mixer for name, repeat in model.stack for _ in range(repeat)]


def feeds(model: Model) -> list[Any]:
    return [model.blocks[name].feedforward for name, repeat in model.stack for _ in range(repeat)]


# --- real files ---


@needs_data
@pytest.mark.parametrize("name", REAL)
def test_real_configs_have_the_parameters_of_their_card_and_the_cache_by_hand(name: str) -> None:
    model = Catalog().model(str(CONFIGS / f"{name}_config.json"))
    billions, cached = REAL[name]
    assert parameters(model).total == pytest.approx(billions * 1e9, rel=0.02)
    assert cache(model) == cached


@needs_data
@pytest.mark.parametrize("name", PRECISIONS)
def test_real_configs_have_their_precision(name: str) -> None:
    found = Catalog().model(str(CONFIGS / f"{name}_config.json")).precision
    assert (found.weights, found.experts, found.kv, found.compute) == PRECISIONS[name]


@needs_data
def test_kimi_k3_has_latent_experts_and_gated_latent_attention() -> None:
    model = Catalog().model(str(CONFIGS / "moonshotai--Kimi-K3_config.json"))
    assert sum(isinstance(mixer, LatentAttention) and mixer.output_gate for mixer in mixers(model)) == 24
    assert {part.d_latent for part in feeds(model) if isinstance(part, Moe)} == {3584}


@needs_data
def test_every_real_config_is_a_model() -> None:
    for path in sorted(CONFIGS.glob("*.json")):
        assert Catalog().model(str(path)).layers > 0


# --- families by small configs ---


def test_llama_takes_what_is_left_out_from_its_heads() -> None:
    mixer = made(LLAMA).blocks["layer"].mixer
    assert isinstance(mixer, Attention)
    assert (mixer.heads, mixer.kv_heads, mixer.head_dim, mixer.window) == (4, 4, 16, None)
    assert parameters(made(LLAMA)).total == 2 * 64000 + 4 * (4 * 64 * 64 + 3 * 64 * 160 + 2 * 64) + 64


@pytest.mark.parametrize(("said", "head"), [(None, 64000), (False, 64000), (True, 0)])
def test_llama_has_a_head_of_its_own_unless_tied(said: bool | None, head: int) -> None:
    assert parameters(made({**LLAMA, "tie_word_embeddings": said})).head == head


@pytest.mark.parametrize("family", ["gemma", "cohere", "starcoder2"])
def test_families_that_tie_by_default(family: str) -> None:
    assert parameters(made({**LLAMA, "model_type": family})).head == 0


#: Published shapes and counts, in billions: config.json and model card of each.
PUBLISHED: list[tuple[dict[str, Any], float]] = [
    (
        {
            "model_type": "gptj",
            "n_embd": 4096,
            "n_layer": 28,
            "n_head": 16,
            "n_inner": None,
            "vocab_size": 50400,
        },
        6.05,
    ),
    ({"model_type": "bloom", "n_embed": 14336, "n_layer": 70, "n_head": 112, "vocab_size": 250880}, 176.2),
    (
        {
            **{"model_type": "opt", "hidden_size": 5120, "ffn_dim": 20480, "num_hidden_layers": 40},
            **{"num_attention_heads": 40, "vocab_size": 50272, "max_position_embeddings": 2048},
        },
        12.85,
    ),
    (
        {
            **{"model_type": "falcon", "hidden_size": 8192, "num_hidden_layers": 60, "vocab_size": 65024},
            **{"num_attention_heads": 128, "num_kv_heads": 8, "new_decoder_architecture": True},
        },
        41.3,
    ),
    (
        {
            **{"model_type": "gpt_neox", "hidden_size": 6144, "num_hidden_layers": 44, "vocab_size": 50432},
            **{"num_attention_heads": 64, "intermediate_size": 24576},
        },
        20.55,
    ),
    (
        {
            **{"model_type": "phimoe", "hidden_size": 4096, "num_hidden_layers": 32, "vocab_size": 32064},
            **{"num_attention_heads": 32, "num_key_value_heads": 8, "intermediate_size": 6400},
            **{"num_local_experts": 16, "num_experts_per_tok": 2},
        },
        41.9,
    ),
    (
        {
            **{"model_type": "bamba", "hidden_size": 4096, "num_hidden_layers": 32, "vocab_size": 128256},
            **{"num_attention_heads": 32, "num_key_value_heads": 8, "intermediate_size": 14336},
            **{"attn_layer_indices": [9, 18, 27], "mamba_n_heads": 128, "mamba_d_head": "auto"},
            **{"mamba_expand": 2, "mamba_d_state": 128, "mamba_n_groups": 1, "mamba_chunk_size": 256},
        },
        9.78,
    ),
]


@pytest.mark.parametrize(
    ("values", "billions"), PUBLISHED, ids=[str(row[0]["model_type"]) for row in PUBLISHED]
)
def test_published_shapes_have_the_published_count(values: dict[str, Any], billions: float) -> None:
    assert parameters(made(values)).total == pytest.approx(billions * 1e9, rel=0.002)


def test_defaults_of_a_class_are_used_and_said() -> None:
    text = {
        "model_type": "gemma3_text",
        "hidden_size": 2560,
        "intermediate_size": 10240,
        "num_hidden_layers": 34,
    }
    config = {
        "model_type": "gemma3",
        "text_config": {**text, "sliding_window": 1024},
        "torch_dtype": "bfloat16",
    }
    assert parameters(made(config)).total == pytest.approx(3.88e9, rel=0.002)  # Gemma 3, Table 1
    said = convert(config, "config.json", ("toy", "")).splitlines()[1]
    assert "defaults of its class" in said
    assert "num_attention_heads 8" in said


def windows(values: dict[str, Any]) -> list[Any]:
    return [mixer.window for mixer in mixers(made({**LLAMA, "sliding_window": 8, **values}))]


def test_which_layers_slide() -> None:
    assert windows({"model_type": "mistral"}) == [8, 8, 8, 8]
    assert windows({"model_type": "mistral", "max_position_embeddings": 8}) == [None] * 4
    assert windows({"model_type": "gemma2"}) == [8, None, 8, None]
    assert windows({"model_type": "gemma3_text", "sliding_window_pattern": 3}) == [8, 8, None, 8]
    assert windows({"model_type": "cohere2"}) == [8, 8, 8, None]
    assert windows({"model_type": "olmo3"}) == [8, 8, 8, None]
    assert windows({"model_type": "qwen2", "max_window_layers": 3}) == [None] * 4
    assert windows({"model_type": "qwen2", "use_sliding_window": True, "max_window_layers": 3})[2:] == [
        None,
        8,
    ]
    types = ["full_attention", "sliding_attention"] * 2
    assert windows({"model_type": "gemma2", "layer_types": types}) == [None, 8, None, 8]


def test_llama_4_chunks_and_interleaves() -> None:
    text = {
        **MIXTRAL,
        "model_type": "llama4_text",
        "intermediate_size_mlp": 320,
        "interleave_moe_layer_step": 2,
    }
    model = made(
        {
            "model_type": "llama4",
            "text_config": {**text, "attention_chunk_size": 16},
            "vision_config": {"a": 1},
        }
    )
    assert [mixer.chunk for mixer in mixers(model)] == [16, 16, 16, None]
    assert [type(part) for part in feeds(model)] == [Mlp, Moe, Mlp, Moe]
    assert [part.d_ff for part in feeds(model)[::2]] == [320, 320]
    assert feeds(model)[1].d_shared == 160


@pytest.mark.parametrize(
    ("more", "sparse"),
    [
        ({"decoder_sparse_step": 2}, [False, True, False, True]),
        ({"mlp_only_layers": [0]}, [False, True, True, True]),
    ],
)
def test_which_layers_of_qwen_have_experts(more: dict[str, Any], sparse: list[bool]) -> None:
    values = {
        **LLAMA,
        "model_type": "qwen3_moe",
        "num_experts": 8,
        "num_experts_per_tok": 2,
        "moe_intermediate_size": 32,
    }
    assert [isinstance(part, Moe) for part in feeds(made({**values, **more}))] == sparse


DEEPSEEK = {
    **{
        **LLAMA,
        "model_type": "deepseek_v3",
        "kv_lora_rank": 32,
        "qk_nope_head_dim": 16,
        "qk_rope_head_dim": 8,
    },
    **{"v_head_dim": 16, "n_routed_experts": 8, "n_shared_experts": 2, "num_experts_per_tok": 2},
    **{"moe_intermediate_size": 24, "first_k_dense_replace": 1, "q_lora_rank": None},
}


def test_deepseek_has_dense_first_layers_and_shared_experts() -> None:
    model = made(DEEPSEEK)
    assert [type(part) for part in feeds(model)] == [Mlp, Moe, Moe, Moe]
    assert feeds(model)[1].d_shared == 48
    assert mixers(model)[0].q_rank is None
    assert cache(model) == 4 * (32 + 8) * 2


@pytest.mark.parametrize(
    ("more", "groups"),
    [
        ({"n_group": 4, "topk_group": 2, "topk_method": "noaux_tc"}, (4, 2)),
        ({"n_group": 4, "topk_group": 2, "topk_method": "group_limited_greedy"}, (4, 2)),
        ({"n_group": 4, "topk_group": 2, "topk_method": "greedy"}, (1, 1)),  # takes no notice of groups
        ({"n_group": 4, "topk_group": 4}, (1, 1)),
        ({"n_group": None, "topk_group": None}, (1, 1)),
    ],
)
def test_a_router_limited_to_groups_is_read(more: dict[str, Any], groups: tuple[int, int]) -> None:
    part = feeds(made({**DEEPSEEK, **more}))[1]
    assert (part.groups, part.groups_per_token) == groups


@needs_data
@pytest.mark.parametrize(
    ("name", "groups"),
    [
        ("deepseek-ai--DeepSeek-R1", (8, 4)),
        ("deepseek-ai--DeepSeek-V3.2", (8, 4)),
        ("moonshotai--Kimi-K2.5", (1, 1)),
        ("nvidia--GLM-5-NVFP4", (1, 1)),
    ],
)
def test_groups_of_real_routers(name: str, groups: tuple[int, int]) -> None:
    model = Catalog().model(str(CONFIGS / f"{name}_config.json"))
    parts = [part for part in feeds(model) if isinstance(part, Moe)]
    assert {(part.groups, part.groups_per_token) for part in parts} == {groups}


@pytest.mark.parametrize("family", ["deepseek_v32", "glm_moe_dsa"])
def test_an_indexer_is_read(family: str) -> None:
    values = {**DEEPSEEK, "model_type": family, "index_n_heads": 4, "index_head_dim": 16, "index_topk": 8}
    assert mixers(made(values))[0].index.top_k == 8


def test_mamba_layers_stand_alone() -> None:
    values = {
        "model_type": "falcon_mamba",
        "hidden_size": 64,
        "num_hidden_layers": 2,
        "vocab_size": 1000,
        "expand": 2,
    }
    model = made({**values, "state_size": 4, "time_step_rank": "auto", "torch_dtype": "bfloat16"})
    assert model.blocks["layer"].mixer == Mamba(d_inner=128, d_state=4, d_conv=4, dt_rank=4)
    assert feeds(model) == [None, None]


def test_jamba_puts_attention_and_experts_where_it_says() -> None:
    periods = {
        "attn_layer_period": 4,
        "attn_layer_offset": 2,
        "expert_layer_period": 2,
        "expert_layer_offset": 1,
    }
    scan = {"mamba_d_state": 4, "mamba_d_conv": 4, "mamba_expand": 2, "mamba_dt_rank": 4, "num_experts": 8}
    model = made({**LLAMA, "model_type": "jamba", "num_experts_per_tok": 2, **periods, **scan})
    assert [type(mixer) for mixer in mixers(model)] == [Mamba, Mamba, Attention, Mamba]
    assert [type(part) for part in feeds(model)] == [Mlp, Moe, Mlp, Moe]


def test_nemotron_h_follows_its_letters() -> None:
    shape = {"mamba_num_heads": 4, "mamba_head_dim": 32, "ssm_state_size": 8, "n_groups": 2, "chunk_size": 16}
    values = {
        **MIXTRAL,
        "model_type": "nemotron_h",
        "hybrid_override_pattern": "M*-E",
        "moe_intermediate_size": 24,
    }
    model = made({**values, **shape})
    assert [type(mixer) for mixer in mixers(model)] == [Mamba2, Attention, type(None), type(None)]
    assert [type(part) for part in feeds(model)] == [type(None), type(None), Mlp, Moe]
    assert not feeds(model)[2].gated


def test_qwen_next_has_one_gated_attention_in_four() -> None:
    delta = {"linear_num_key_heads": 2, "linear_num_value_heads": 4}
    dims = {"linear_key_head_dim": 16, "linear_value_head_dim": 16}
    model = made({**LLAMA, "model_type": "qwen3_5_text", **delta, **dims})
    assert [type(mixer) for mixer in mixers(model)] == [LinearAttention] * 3 + [Attention]
    assert mixers(model)[3].output_gate


def test_a_searched_block_may_lack_a_part() -> None:
    attention = [{"n_heads_in_group": 2}, {"no_op": True}, {"replace_with_linear": True}, {"no_op": True}]
    ffn = [{"ffn_mult": 1.5}, {"ffn_mult": 1.5}, {"no_op": True}, {"no_op": True}]
    blocks = [{"attention": a, "ffn": f} for a, f in zip(attention, ffn, strict=True)]
    model = made({**LLAMA, "model_type": "nemotron-nas", "block_configs": blocks})
    assert [type(mixer) for mixer in mixers(model)] == [Attention, type(None), type(None)]
    assert [part.d_ff for part in feeds(model)] == [256, 256, 32]  # rounded up to 256; a 64 x 64 matrix
    assert mixers(model)[0].kv_heads == 2


def test_shared_caches_and_double_mlps_of_gemma_4() -> None:
    more = {
        "num_kv_shared_layers": 2,
        "use_double_wide_mlp": True,
        "sliding_window": 8,
        "global_head_dim": 32,
    }
    more |= {"head_dim": 16}
    model = made({**LLAMA, "model_type": "gemma4_text", "sliding_window_pattern": 2, **more})
    assert [mixer.shares_kv for mixer in mixers(model)] == [False, False, True, True]
    assert [part.d_ff for part in feeds(model)] == [160, 160, 320, 320]
    assert [mixer.head_dim for mixer in mixers(model)] == [16, 32, 16, 32]


def test_a_class_name_stands_for_a_missing_type() -> None:
    values = {**LLAMA, "architectures": ["Qwen3ForCausalLM"]}
    del values["model_type"]
    assert made(values).layers == 4
    assert families.known("DeepseekV3ForCausalLM") == "deepseek_v3"


# --- quantisation ---

EXPERTS_ONLY = ["lm_head", "re:.*self_attn.*", "re:.*mlp\\.(gate|up|gate_up|down)_proj.*"]


def group(bits: int, kind: str, acts: int | None = None, size: int | None = None) -> dict[str, Any]:
    inputs = None if acts is None else {"num_bits": acts, "type": kind}
    weights = {"num_bits": bits, "type": kind, "group_size": size}
    return {
        "quant_method": "compressed-tensors",
        "config_groups": {"g": {"weights": weights, "input_activations": inputs, "targets": ["Linear"]}},
    }


@pytest.mark.parametrize(
    ("quantised", "words"),
    [
        ({"quant_method": "fp8"}, ("fp8", "", "bf16", "fp8")),
        ({"quant_method": "awq", "bits": 4}, ("int4", "", "bf16", "bf16")),
        ({"quant_method": "gptq", "bits": 8}, ("int8", "", "bf16", "bf16")),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True}, ("int4", "", "bf16", "bf16")),
        (
            {"quant_method": "mxfp4", "modules_to_not_convert": ["model.layers.*.self_attn"]},
            ("bf16", "mxfp4", "bf16", "bf16"),
        ),
        (
            {"quant_method": "modelopt", "quant_algo": "FP8", "kv_cache_quant_algo": "FP8"},
            ("fp8", "", "fp8", "fp8"),
        ),
        ({"quant_method": "modelopt", "quant_algo": "NVFP4"}, ("fp4", "", "bf16", "fp4")),
        (
            {"quant_method": "modelopt", "quant_algo": "NVFP4", "ignore": ["model.layers.*.self_attn*"]},
            ("bf16", "fp4", "bf16", "fp4"),
        ),
        (group(8, "float", 8), ("fp8", "", "bf16", "fp8")),
        (group(8, "int", 8), ("int8", "", "bf16", "int8")),
        (group(4, "int"), ("int4", "", "bf16", "bf16")),
        (group(4, "float", 4, 16), ("fp4", "", "bf16", "fp4")),
        (group(4, "float", None, 32) | {"ignore": EXPERTS_ONLY}, ("bf16", "mxfp4", "bf16", "bf16")),
        (
            {"quant_method": "quark", "global_quant_config": {"weight": {"dtype": "fp4", "group_size": 32}}},
            ("mxfp4", "", "bf16", "bf16"),
        ),
        (
            {
                "quant_method": "modelopt",
                "quant_algo": "MIXED_PRECISION",
                "quantized_layers": {
                    "model.layers.0.self_attn.q_proj": {"quant_algo": "MXFP8"},
                    "model.layers.0.mlp.experts.0.up_proj": {"quant_algo": "NVFP4"},
                },
            },
            ("fp8", "fp4", "bf16", "fp4"),
        ),
    ],
)
def test_quantisation_sets_the_precision(quantised: dict[str, Any], words: tuple[str, ...]) -> None:
    found = made({**MIXTRAL, "quantization_config": quantised}).precision
    assert (found.weights, found.experts, found.kv, found.compute) == words


def test_parts_that_are_not_quantised_keep_their_format() -> None:
    """DeepSeek-like FP8: embedding and head in 16 bits; compressed-tensors: what its rules leave out."""
    plain = made({**LLAMA, "quantization_config": {"quant_method": "fp8"}}).precision
    assert (plain.weights, plain.attention, plain.embeddings) == ("fp8", "", "bf16")
    rules = group(4, "int", size=32) | {"ignore": ["lm_head", "re:.*self_attn.*"]}
    mixed = made({**LLAMA, "quantization_config": rules}).precision
    assert (mixed.weights, mixed.attention, mixed.embeddings, mixed.compute) == (
        "int4g32",
        "bf16",
        "bf16",
        "bf16",
    )
    whole = made(LLAMA).precision
    assert (whole.attention, whole.embeddings) == ("", "")


def test_shared_experts_are_a_part_of_their_own() -> None:
    """Routed experts in FP4, attention in 16 bits, and the shared expert with the routed ones."""
    values = {
        **LLAMA,
        "model_type": "qwen2_moe",
        "num_experts": 8,
        "num_experts_per_tok": 2,
        "moe_intermediate_size": 64,
        "shared_expert_intermediate_size": 64,
        "quantization_config": {"quant_method": "modelopt", "quant_algo": "NVFP4", "ignore": ["*self_attn*"]},
    }
    found = made(values).precision
    assert (found.weights, found.experts, found.attention, found.embeddings) == ("fp4", "", "bf16", "bf16")


@pytest.mark.parametrize(
    ("quantised", "word"),
    [
        ({"quant_method": "gptq", "bits": 4, "group_size": 32}, "int4g32"),
        ({"quant_method": "gptq", "bits": 4, "group_size": 128}, "int4"),
        ({"quant_method": "gptq", "bits": 4, "group_size": -1}, "int4"),
        ({"quant_method": "gptq", "bits": 3, "group_size": 64}, "int3g64"),
        ({"quant_method": "awq", "w_bit": 4, "q_group_size": 64}, "int4g64"),
        (group(4, "int", size=32), "int4g32"),
        (group(8, "int", 8), "int8"),
    ],
)
def test_group_sizes_are_read(quantised: dict[str, Any], word: str) -> None:
    found = made({**LLAMA, "quantization_config": quantised}).precision
    assert found.weights == word


def test_sparsity_of_a_checkpoint_is_said() -> None:
    rules = group(8, "float", 8) | {"sparsity_config": {"sparsity_structure": "2:4"}}
    text = convert({**LLAMA, "quantization_config": rules}, "config.json", ("toy", ""))
    assert "--sparsity 2:4" in text


def test_the_quantisation_file_beside_a_config_counts(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(LLAMA))
    (tmp_path / "hf_quant_config.json").write_text(
        json.dumps({"quantization": {"quant_algo": "NVFP4", "kv_cache_quant_algo": "FP8"}})
    )
    found = Catalog().model(f"{tmp_path}/").precision
    assert (found.weights, found.kv, found.compute) == ("fp4", "fp8", "fp4")


@pytest.mark.parametrize("quantised", [{"quant_method": "aqlm"}, {"quant_method": "gptq", "bits": 5}, "fp8"])
def test_an_unknown_quantisation_is_an_error(quantised: Any) -> None:
    with pytest.raises(CatalogError, match=r"aqlm|bits|quantization_config"):
        made({**LLAMA, "quantization_config": quantised})


# --- what goes wrong ---


@pytest.mark.parametrize("key", ["hidden_size", "num_hidden_layers", "num_attention_heads", "vocab_size"])
def test_a_missing_key_is_named_with_its_family(key: str) -> None:
    values = {name: value for name, value in LLAMA.items() if name != key}
    with pytest.raises(CatalogError, match=rf"'{key}'.* is missing, and llama needs it"):
        made(values)


@pytest.mark.parametrize("value", [0, -1, 1.5, "64", True, [64], float("inf"), float("nan")])
def test_a_wrong_value_is_named(value: Any) -> None:
    with pytest.raises(CatalogError, match="hidden_size of llama is"):
        made({**LLAMA, "hidden_size": value})


def test_an_unknown_architecture_lists_what_it_lacks_and_what_is_known() -> None:
    with pytest.raises(
        CatalogError, match=r"unknown architecture lama; it lacks vocab_size; nearest: llama.*mixtral"
    ):
        made({"model_type": "lama", "hidden_size": 1, "num_hidden_layers": 1, "num_attention_heads": 1})


T5_LARGE = {
    "model_type": "t5",
    "is_encoder_decoder": True,
    "d_model": 1024,
    "d_ff": 4096,
    "d_kv": 64,
    "num_heads": 16,
    "num_layers": 24,
    "vocab_size": 32128,
}


def test_t5_has_the_parameters_of_its_checkpoint() -> None:
    # 737,668,096 tensors' elements, of which 2 x 32 x 16 are relative position biases
    assert parameters(made(T5_LARGE)).total == 737_668_096 - 2 * 32 * 16


def test_flan_t5_xxl_is_gated_and_untied() -> None:
    shape = {"d_model": 4096, "d_ff": 10240, "num_heads": 64, "num_decoder_layers": 24}
    flags = {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False}
    assert parameters(made({**T5_LARGE, **shape, **flags})).total == 11_135_332_352 - 2 * 32 * 64


def test_bart_large_has_the_parameters_of_its_checkpoint() -> None:
    # 406,291,456 with biases and the norms behind the embeddings, which are left out here (0.1 %)
    sides = {
        f"{side}_{key}": value
        for side in ("encoder", "decoder")
        for key, value in {"layers": 12, "attention_heads": 16, "ffn_dim": 4096}.items()
    }
    values = {
        "model_type": "bart",
        "is_encoder_decoder": True,
        "d_model": 1024,
        "vocab_size": 50265,
        "max_position_embeddings": 1024,
        **sides,
    }
    assert parameters(made(values)).total == pytest.approx(406.29e6, rel=0.002)


# --- vision towers ---

CLIP = {
    "model_type": "clip_vision_model",
    "hidden_size": 1024,
    "image_size": 336,
    "intermediate_size": 4096,
    "num_attention_heads": 16,
    "num_hidden_layers": 24,
    "patch_size": 14,
}
SIGLIP = {
    "model_type": "siglip_vision_model",
    "hidden_size": 1152,
    "image_size": 896,
    "intermediate_size": 4304,
    "num_attention_heads": 16,
    "num_hidden_layers": 27,
    "patch_size": 14,
}
MLLAMA_TOWER = {
    "model_type": "mllama_vision_model",
    "hidden_size": 1280,
    "image_size": 560,
    "intermediate_size": 5120,
    "num_attention_heads": 16,  # of vision; `attention_heads` in some copies
    "num_hidden_layers": 32,
    "patch_size": 14,
    "vision_output_dim": 7680,
}
LLAMA4_TOWER = {
    "model_type": "llama4_vision_model",
    "hidden_size": 1408,
    "image_size": 336,
    "intermediate_size": 5632,
    "num_attention_heads": 16,
    "num_hidden_layers": 34,
    "patch_size": 14,
    "pixel_shuffle_ratio": 0.5,
    "projector_input_dim": 4096,
    "projector_output_dim": 4096,
}


def seeing(width: int, tower: dict[str, Any], **outer: Any) -> Model:
    return made({"text_config": {**LLAMA, "hidden_size": width}, "vision_config": tower, **outer})


@pytest.mark.parametrize(
    ("width", "outer", "tower", "millions", "tokens"),
    [
        # CLIP ViT-L/14-336 has 304M; LLaVA's two matrices 1024 x 5120 and 5120^2 beside it
        (5120, "llava", CLIP, 303.5 + 31.5, 576),
        # Gemma 3 report, table 1: 417M; here with the projector 1152 x 3840
        (3840, "gemma3", SIGLIP, 417 + 4.4, 256),
        # the projector file of Llama 3.2 11B: 895M
        (4096, "mllama", MLLAMA_TOWER, 895, 6404),
        # 400.7B of Maverick's 401.58B are language
        (5120, "llama4", LLAMA4_TOWER, 401_583 - 400_712, 144),
        # Qwen2.5-VL-7B: 8292M, 7616M of them Qwen2.5-7B; three keys and the defaults of the class
        (
            3584,
            "qwen2_5_vl",
            {"model_type": "qwen2_5_vl", "hidden_size": 1280, "in_chans": 3},
            8292 - 7616,
            1369,
        ),
    ],
)
def test_towers_have_their_published_size(
    width: int, outer: str, tower: dict[str, Any], millions: float, tokens: int
) -> None:
    model = seeing(width, tower, model_type=outer)
    assert parameters(model).vision == pytest.approx(millions * 1e6, rel=0.005)
    assert model.vision is not None and model.vision.tokens == tokens


def test_qwen_2_5_sees_all_in_one_layer_of_eight() -> None:
    tower = {"model_type": "qwen2_5_vl", "hidden_size": 1280}
    vision = seeing(3584, tower, model_type="qwen2_5_vl").vision
    assert vision is not None
    order = [name for name, repeat in vision.stack for _ in range(repeat)]
    limits = [vision.blocks[name].mixer.chunk for name in order]  # type: ignore[union-attr]
    assert limits == ([64] * 7 + [None]) * 4  # 112 pixels a window, 14 a patch: 8 x 8


def test_layers_of_mllama_that_look_at_the_image() -> None:
    text = {**LLAMA, "model_type": "mllama_text_model", "num_hidden_layers": 5, "cross_attention_layers": [3]}
    model = made({"model_type": "mllama", "text_config": text, "vision_config": MLLAMA_TOWER})
    order = [name for name, repeat in model.stack for _ in range(repeat)]
    assert [model.blocks[name].cross_attention is not None for name in order] == [False] * 3 + [True, False]


@pytest.mark.parametrize(
    "tower",
    [
        {**CLIP, "model_type": "somebodys_tower"},
        {key: value for key, value in CLIP.items() if key != "hidden_size"},
        {**CLIP, "patch_size": [14, 14]},
        {**SIGLIP, "image_size": 14},
    ],
)
def test_a_tower_that_cannot_be_read_is_left_out_and_said(tower: dict[str, Any]) -> None:
    values = {"model_type": "llava", "text_config": LLAMA, "vision_config": tower}
    text = convert(values, "config.json", ("toy", ""))
    assert "# Left out: vision tower" in text
    assert build(parse(text, "toy"), Model).vision is None


def test_whisper_large() -> None:
    # 1550M in table 1 of the paper; the convolutions, 5.4M, and the biases are left out
    sides = {
        f"{side}_{key}": value
        for side in ("encoder", "decoder")
        for key, value in {"layers": 32, "attention_heads": 20, "ffn_dim": 5120}.items()
    }
    values = {"model_type": "whisper", "d_model": 1280, "vocab_size": 51866, **sides}
    model = made({**values, "max_source_positions": 1500, "max_target_positions": 448})
    assert parameters(model).total == pytest.approx(1550e6, rel=0.01)
    assert parameters(model) == parameters(Catalog().model("whisper-large-v3"))


def test_an_encoder_decoder_that_lacks_a_key_says_which() -> None:
    with pytest.raises(CatalogError, match="'d_kv' is missing, and t5 needs it"):
        made({key: value for key, value in T5_LARGE.items() if key != "d_kv"})


@pytest.mark.parametrize(
    "text", ["{", "[]", "[" * 100_000, '{"model_type": "llama"}', '{"model_type": 3, "hidden_size": 1}']
)
def test_junk_is_one_line(text: str, tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(text)
    with pytest.raises(CatalogError) as caught:
        Catalog().model(str(path))
    assert "config.json" in str(caught.value)


def test_a_hub_name_is_not_fetched() -> None:
    with pytest.raises(GenzError, match=r"download config\.json from huggingface\.co/maker/model"):
        document("maker/model", None)


# --- prediction modules ---


@needs_data
@pytest.mark.parametrize("name", REAL)
def test_prediction_modules_of_real_configs(name: str) -> None:
    found = Catalog().model(str(CONFIGS / f"{name}_config.json")).mtp
    assert (found and (found.modules, found.block)) == PREDICTING.get(name)


def test_a_prediction_module_of_a_kind_that_no_layer_has_is_a_block_of_its_own() -> None:
    mixture = {
        **LLAMA,
        "model_type": "mimo_v2_flash",
        "head_dim": 16,
        "swa_num_attention_heads": 4,
        "swa_head_dim": 16,
        "sliding_window": 128,
        "hybrid_layer_pattern": [0, 1, 1, 0],
        "moe_layer_freq": [0, 1, 1, 1],
        "n_routed_experts": 8,
        "num_experts_per_tok": 2,
        "moe_intermediate_size": 32,
        "num_nextn_predict_layers": 2,
    }
    model = build(parse(convert(mixture, "toy", ("toy", "")), "toy"), Model)
    assert model.mtp is not None
    assert (model.mtp.modules, model.mtp.block) == (2, "local-dense")
    assert model.blocks["local-dense"].mixer.window == 128  # type: ignore[union-attr]
    assert "local-dense" not in dict(model.stack)


@pytest.mark.parametrize(
    "words", [{"use_mtp": False}, {"mtp_transformer_layers": 2}, {"num_mtp_modules": 0}], ids=str
)
def test_modules_that_are_off_or_stack_layers_are_left_out(words: dict[str, Any]) -> None:
    config = {**MIXTRAL, "model_type": "minimax_m2", "num_mtp_modules": 3, **words}
    text = convert(config, "toy", ("toy", ""))
    assert build(parse(text, "toy"), Model).mtp is None
    assert ("Left out: multi-token-prediction layers" in text) is ("mtp_transformer_layers" in words)


# --- the file ---


def test_the_file_says_what_it_left_out_and_cites_the_config(tmp_path: Path) -> None:
    path = tmp_path / "Maker--Toy_2B_config.json"
    path.write_text(json.dumps({**LLAMA, "attention_bias": True, "num_nextn_predict_layers": 1}))
    text = document(str(path), None)
    assert "# Left out: multi-token-prediction layers, biases." in text
    assert "name: toy-2b\naliases: [Maker/Toy_2B]" in text
    model = build(parse(text, "toy"), Model)
    loaded = Catalog().model(str(path))
    assert model.replace(origin=loaded.origin) == loaded
    assert {source.kind for source in model.sources.values()} == {"vendor"}
    assert all("config.json of Maker/Toy_2B" in source.reference for source in model.sources.values())


@pytest.mark.parametrize("name", ['"; x: 1', "a: b", "#", "no", "1e3", "- a", "ünï"])
def test_any_name_makes_a_file_that_loads(name: str, tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(LLAMA))
    assert build(parse(document(str(path), name), "toy"), Model).name == name.lower().replace(" ", "-")


@pytest.mark.parametrize("name", ["", "  ", "a/b", "..\\x", "two\nlines", "x" * 201])
def test_a_name_that_cannot_be_an_id_is_an_error(name: str, tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(LLAMA))
    with pytest.raises(GenzError) as caught:
        document(str(path), name)
    assert caught.value.where == "--name"


def test_another_name_keeps_the_citation_of_the_config(tmp_path: Path) -> None:
    path = tmp_path / "Maker--Toy_2B_config.json"
    path.write_text(json.dumps(LLAMA))
    text = document(str(path), "mine")
    assert "# From the config.json of Maker/Toy_2B (llama)." in text
    assert "name: mine\naliases: [Maker/Toy_2B]" in text


def test_folders_without_a_config_say_so_everywhere(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "odd" / "config.json").mkdir(parents=True)
    for folder, said in (("empty", "has no config.json"), ("odd", "is a folder itself")):
        for load in (lambda path: document(path, None), Catalog().model):
            with pytest.raises(GenzError, match=said):
                load(str(tmp_path / folder))
    with pytest.raises(GenzError, match=r"config\.json is a folder"):
        document(str(tmp_path / "odd" / "config.json"), None)


@pytest.mark.parametrize("name", ["config", "config.txt", "config.json.bak"])
def test_a_config_is_known_by_what_it_holds(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text(json.dumps(LLAMA))
    assert parameters(Catalog().model(str(path))) == parameters(made(LLAMA))


def test_json_that_is_a_catalog_file_stays_one(tmp_path: Path) -> None:
    mixer = {"heads": 4, "kv_heads": 4, "head_dim": 16}
    values = {"name": "toy", "source": {"assumed": "a test"}, "d_model": 64, "vocab": 1000, "layers": 4}
    path = tmp_path / "toy.json"
    path.write_text(json.dumps({**values, "attention": mixer, "mlp": {"d_ff": 160}}))
    assert parameters(Catalog().model(str(path))) == parameters(made(LLAMA))
