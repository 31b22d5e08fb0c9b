"""Other members of each family, by their published shapes: parameters within 2 %, the cache by hand.

Shapes are those of the config.json or the class defaults; counts are those of the model cards and papers, in
billions (total, active; active counts leave out what the third entry says).
"""

from __future__ import annotations

from typing import Any

import pytest

from genzcli.catalog.build import build
from genzcli.catalog.document import parse
from genzcli.catalog.huggingface.convert import convert
from genzcli.engine.counts.parameters import kv_elements_per_token, parameters
from genzcli.errors import CatalogError
from genzcli.spec.model import Attention, CompressedAttention, Mlp, Model, Moe

KEYS = (
    *("hidden_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads"),
    *("intermediate_size", "vocab_size"),
)


def of(family: str, *shape: int | None, **more: Any) -> dict[str, Any]:
    """A config: D, L, H, Hkv, F, V under the usual keys, and others."""
    values = {key: value for key, value in zip(KEYS, shape, strict=False) if value is not None}
    return {"model_type": family, "torch_dtype": "bfloat16", **values, **more}


def made(values: dict[str, Any]) -> Model:
    return build(parse(convert(values, "config.json", ("toy", "")), "toy"), Model)


def layers(count: int, every: int, one: str, other: str, offset: int = -1) -> list[str]:
    """`other` in each layer that is `offset` modulo `every`, `one` elsewhere."""
    return [other if index % every == offset % every else one for index in range(count)]


LOCAL, FULL = "sliding_attention", "full_attention"
MLA = {
    **{"kv_lora_rank": 512, "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "v_head_dim": 128},
    **{"first_k_dense_replace": 1, "moe_layer_freq": 1},
}
MAMBA = {"mamba_head_dim": 64, "ssm_state_size": 128, "n_groups": 8, "conv_kernel": 4, "chunk_size": 128}
KDA = {"num_heads": 32, "head_dim": 128, "short_conv_kernel_size": 4}
V4 = {
    **{
        "head_dim": 512,
        "o_lora_rank": 1024,
        "sliding_window": 128,
        "index_n_heads": 64,
        "index_head_dim": 128,
    },
    **{"n_shared_experts": 1, "num_experts_per_tok": 6, "hc_mult": 4, "num_hash_layers": 3},
}
SUPER = (
    "MEMEMEM*EMEMEMEM*EMEMEMEM*EMEMEMEMEM*EMEMEMEMEM*EMEMEMEMEM*EMEMEMEMEM*EMEMEMEM*EMEMEMEME"  # 88 letters
)
NANO_9B = "M-M-M-MM-M-M-M*-M-M-M*-M-M-M-M*-M-M-M-M*-M-MM-M-M-M-M-M-"

ZAMBA2 = {"num_attention_heads": 32, "vocab_size": 32000, "mamba_d_state": 64, "adapter_rank": 128}


def hybrids(count: int, *places: int) -> list[str]:
    return ["hybrid" if index in places else "mamba" for index in range(count)]


def falcon_h1(*shape: int, scan: tuple[int, int, int], **more: Any) -> dict[str, Any]:
    heads, dim, state = scan
    own = {"mamba_n_heads": heads, "mamba_d_head": dim, "mamba_d_state": state, "mamba_d_ssm": heads * dim}
    return of("falcon_h1", *shape, **own, tie_word_embeddings=False, **more)


def gemma4(*shape: int, **more: Any) -> dict[str, Any]:
    text = of(
        "gemma4_text", *shape, head_dim=256, global_head_dim=512, hidden_size_per_layer_input=256, **more
    )
    return {"model_type": "gemma4", "text_config": text, "dtype": "bfloat16", "vision_config": {"x": 1}}


#: name: (config, billions, active billions or None, what the active count leaves out, cache elements a token)
VARIANTS: dict[str, tuple[dict[str, Any], float, float | None, str, float]] = {
    # --- two mixers a layer, layers used many times ---
    "falcon-h1-0.5b": (
        falcon_h1(1024, 36, 8, 2, 2048, 32784, scan=(24, 64, 128), head_dim=64),
        *(0.52, None, "", 36 * 2 * 2 * 64),
    ),
    "falcon-h1-1.5b-deep": (
        falcon_h1(1280, 66, 6, 2, 3072, 65537, scan=(24, 64, 256), head_dim=128),
        *(1.55, None, "", 66 * 2 * 2 * 128),
    ),
    "falcon-h1-34b": (
        falcon_h1(5120, 72, 20, 4, 21504, 261120, scan=(32, 128, 256), head_dim=128, mamba_n_groups=2),
        *(33.6, None, "", 72 * 2 * 4 * 128),
    ),
    "zamba2-1.2b": (
        of("zamba2", 2048, 38, intermediate_size=8192, n_mamba_heads=64, num_mem_blocks=1, **ZAMBA2)
        | {"layers_block_type": hybrids(38, 5, 11, 17, 23, 29, 35), "use_shared_attention_adapter": True},
        *(1.2, None, "", 6 * 2 * 32 * 128),
    ),
    "zamba2-2.7b": (
        of("zamba2", 2560, 54, n_mamba_heads=80, num_mem_blocks=2, **ZAMBA2)
        | {"layers_block_type": hybrids(54, 6, 12, 18, 24, 30, 36, 42, 47, 51)},
        *(2.69, None, "", 9 * 2 * 32 * 160),
    ),
    # --- compressed, sparse and factorised attention ---
    "deepseek-v4-pro": (
        of("deepseek_v4", 7168, 61, 128, 1, None, 129280, q_lora_rank=1536, o_groups=16, **V4)
        | {"n_routed_experts": 384, "moe_intermediate_size": 3072, "index_topk": 1024}
        | {"compress_ratios": [128, 128] + [128 if i % 2 else 4 for i in range(2, 62)]},
        *(1600, 49, "embedding", 512 * (61 + 31 / 128 + 30 / 4) + 30 * (128 + 4) / 4),
    ),
    "step3": (
        of("step3_text", 7168, 61, 64, None, 18432, 128815, num_attention_groups=1, head_dim=256)
        | {"share_q_dim": 2048, "moe_num_experts": 48, "moe_top_k": 3, "moe_intermediate_size": 5120}
        | {"share_expert_dim": 5120, "moe_layers_enum": ",".join(map(str, range(4, 60)))},
        *(316, 38, "embedding", 61 * 2 * 256),
    ),
    "kimi-linear-48b": (
        of("kimi_linear", 2304, 27, 32, 32, 9216, 163840, num_experts=256, num_experts_per_token=8, **MLA)
        | {"num_shared_experts": 1, "moe_intermediate_size": 1024}
        | {"linear_attn_config": {"full_attn_layers": [4, 8, 12, 16, 20, 24, 27]} | KDA}
        | {"q_lora_rank": None},
        *(49.1, None, "", 7 * 576),
    ),
    # --- caches read by other layers, embeddings of each layer (the towers are 0.45 more) ---
    "gemma-4-e2b": (
        gemma4(1536, 35, 8, 1, 6144, 262144, num_kv_shared_layers=20, use_double_wide_mlp=True) | {},
        *(5.1 - 0.45, None, "", (12 * 256 + 3 * 512) * 2),
    ),
    "gemma-4-e4b": (
        gemma4(2560, 42, 8, 2, 10240, 262144, num_kv_shared_layers=18),
        *(8.0 - 0.5, None, "", (20 * 256 + 4 * 512) * 2 * 2),
    ),
    "hunyuan-large": (
        of("hunyuan", 6400, 64, 80, 8, 18304, 129024, num_experts=16, moe_topk=1, num_shared_expert=1)
        | {"use_cla": True, "cla_share_factor": 2, "tie_word_embeddings": True},
        *(389, 52, "", 32 * 2 * 8 * 80),
    ),
    "hunyuan-a13b": (
        of("hunyuan_v1_moe", 4096, 32, 32, 8, 3072, 128167, head_dim=128, num_experts=64, moe_topk=[8] * 32)
        | {"num_shared_expert": [1] * 32, "moe_intermediate_size": [3072] * 32, "tie_word_embeddings": True},
        *(80, 13, "", 32 * 2 * 8 * 128),
    ),
    # --- recurrences ---
    "nemotron-nano-9b-v2": (
        of(
            "nemotron_h",
            4480,
            56,
            40,
            8,
            15680,
            131072,
            head_dim=128,
            hybrid_override_pattern=NANO_9B,
            **MAMBA,
        )
        | {"mamba_num_heads": 128, "mamba_head_dim": 80},
        *(8.89, None, "", 4 * 2 * 8 * 128),
    ),
    "nemotron-3-super": (
        of("nemotron_h", 4096, 88, 32, 2, 2688, 131072, head_dim=128, hybrid_override_pattern=SUPER, **MAMBA)
        | {"mamba_num_heads": 128, "moe_intermediate_size": 2688, "n_routed_experts": 512}
        | {"num_experts_per_tok": 22, "n_shared_experts": 1, "moe_shared_expert_intermediate_size": 5376}
        | {"moe_latent_size": 1024, "mlp_hidden_act": "relu2"},
        *(120.6, 12.7, "", 8 * 2 * 2 * 128),
    ),
    "granite-4-h-small": (
        of("granitemoehybrid", 4096, 40, 32, 8, 768, 100352, num_local_experts=72, num_experts_per_tok=10)
        | {"shared_intermediate_size": 1536, "layer_types": layers(40, 10, "mamba", "attention", 5)}
        | {"mamba_n_heads": 128, "mamba_d_head": 64, "mamba_d_state": 128, "mamba_expand": 2}
        | {"tie_word_embeddings": True},
        *(32.2, None, "", 4 * 2 * 8 * 128),
    ),
    "jamba-v0.1": (of("jamba", 4096, 32, 32, 8, 14336, 65536), 51.6, 12, "", 4 * 2 * 8 * 128),
    "minimax-m1": (
        of("minimax_m1", 6144, 80, 64, 8, 9216, 200064, head_dim=128, attn_type_list=([0] * 7 + [1]) * 10)
        | {"num_local_experts": 32, "num_experts_per_tok": 2},
        *(456, 45.9, "embedding-and-head", 10 * 2 * 8 * 128),
    ),
    "lfm2-1.2b": (
        of("lfm2", 2048, 16, 32, 8, 12288, 65536, full_attn_idxs=[2, 5, 8, 10, 12, 14]),
        *(1.17, None, "", 6 * 2 * 8 * 64),
    ),
    "lfm2-8b-a1b": (
        of("lfm2_moe", 2048, 24, 32, 8, 7168, 65536, num_dense_layers=2, num_experts=32)
        | {"num_experts_per_tok": 4, "moe_intermediate_size": 1792}
        | {"layer_types": [FULL if i in (2, 6, 10, 14, 18, 21) else "conv" for i in range(24)]},
        *(8.3, None, "", 6 * 2 * 8 * 64),
    ),
    # --- mixtures of experts ---
    "kimi-k2": (
        of("kimi_k2", 7168, 61, 64, 64, 18432, 163840, q_lora_rank=1536, n_routed_experts=384, **MLA)
        | {"num_experts_per_tok": 8, "n_shared_experts": 1, "moe_intermediate_size": 2048},
        *(1026, 32.6, "", 61 * 576),
    ),
    "deepseek-v2-lite": (
        of("deepseek_v2", 2048, 27, 16, 16, 10944, 102400, q_lora_rank=None, n_routed_experts=64, **MLA)
        | {"num_experts_per_tok": 6, "n_shared_experts": 2, "moe_intermediate_size": 1408},
        *(15.7, None, "", 27 * 576),
    ),
    "mimo-v2.5-pro": (
        of("mimo_v2", 6144, 70, 128, 8, 16384, 152576, head_dim=192, v_head_dim=128, sliding_window=128)
        | {"swa_num_attention_heads": 128, "swa_num_key_value_heads": 8, "swa_head_dim": 192}
        | {"swa_v_head_dim": 128, "hybrid_layer_pattern": [0] + [0 if i % 7 == 6 else 1 for i in range(69)]}
        | {"n_routed_experts": 384, "num_experts_per_tok": 8, "moe_intermediate_size": 2048}
        | {"moe_layer_freq": [0] + [1] * 69},
        *(1020, 42, "", 70 * 8 * 320),
    ),
    "ernie-4.5-300b": (
        of("ernie4_5_moe", 8192, 54, 64, 8, 28672, 103424, moe_num_experts=64, moe_k=8)
        | {"moe_intermediate_size": 3584, "moe_layer_start_index": 3, "moe_layer_end_index": -1}
        | {"tie_word_embeddings": False},
        *(300, 47, "embedding", 54 * 2 * 8 * 128),
    ),
    "dots.llm1": (
        of("dots1", 4096, 62, 32, 32, 10944, 152064, head_dim=128, n_routed_experts=128, n_shared_experts=2)
        | {"num_experts_per_tok": 6, "moe_intermediate_size": 1408, "first_k_dense_replace": 1},
        *(142, 14, "", 62 * 2 * 32 * 128),
    ),
    "olmoe": (
        of("olmoe", 2048, 16, 16, 16, 1024, 50304, num_experts=64, num_experts_per_tok=8),
        *(6.92, 1.28, "", 16 * 2 * 16 * 128),
    ),
    "ling-lite": (
        of("bailing_moe", 2048, 28, 16, 4, 5632, 126464, num_experts=64, num_experts_per_tok=6)
        | {"num_shared_experts": 2, "moe_intermediate_size": 1408, "first_k_dense_replace": 0},
        *(16.8, 2.75, "", 28 * 2 * 4 * 128),
    ),
    "llama-4-scout": (
        {"model_type": "llama4", "torch_dtype": "bfloat16"}
        | {"text_config": of("llama4_text", 5120, 48, 40, 8, 8192, 202048, interleave_moe_layer_step=1)}
        | {"vision_config": {"x": 1}},
        *(107.8, 17, "", 48 * 2 * 8 * 128),
    ),
    "qwen3-omni-30b": (
        {"model_type": "qwen3_omni_moe", "torch_dtype": "bfloat16", "thinker_config": {}}
        | {
            "thinker_config": {
                "text_config": of("qwen3_omni_moe_text", 2048, 48, 32, 4, 768, 152064, head_dim=128)
                | {"num_experts": 128, "num_experts_per_tok": 8, "moe_intermediate_size": 768}
            }
        },
        *(30.5, 3.3, "", 48 * 2 * 4 * 128),
    ),
    # --- dense ---
    "llava-1.5-7b": (
        {
            "model_type": "llava",
            "text_config": {"model_type": "llama", "vocab_size": 32064},
            "dtype": "float16",
        },
        *(6.74, None, "", 32 * 2 * 32 * 128),
    ),
    "pixtral-12b": (
        {"model_type": "llava", "text_config": of("mistral", 5120, 40, None, 8, 14336, 131072, head_dim=128)},
        *(12.25, None, "", 40 * 2 * 8 * 128),
    ),
    "nemotron-51b-of-blocks": (
        of("nemotron-nas", 8192, 4, 64, None, None, 128256)
        | {
            "block_configs": [
                {"attention": {"n_heads_in_group": 8}, "ffn": {"ffn_mult": 5.25}},
                {"attention": {"no_op": True, "n_heads_in_group": None}, "ffn": {"ffn_mult": 1.3125}},
                {"attention": {"replace_with_linear": True}, "ffn": {"ffn_mult": 2.625}},
                {"attention": {"n_heads_in_group": 16}, "ffn": {"no_op": True, "ffn_mult": None}},
            ]
        },
        # 28672, 7168 and 14336 wide MLPs, 8 and 4 KV heads, a matrix, embedding and head
        *(
            (
                8192 * (3 * (28672 + 7168 + 14336) + 2 * 128256)
                + 4 * 8192**2
                + 2 * 8192 * (1024 + 512)
                + 8192**2
            )
            / 1e9,
            *(None, "", 2 * (8 + 4) * 128),
        ),
    ),
    "smollm3-3b": (of("smollm3", 2048, 36, 16, 4, 11008, 128256), 3.08, None, "", 36 * 2 * 4 * 128),
    "afm-4.5b": (of("arcee", 2560, 36, 20, 4, 18432, 128004, head_dim=128), 4.6, None, "", 36 * 2 * 4 * 128),
    "apertus-70b": (of("apertus", 8192, 80, 64, 8, 43008, 131072), 70.6, None, "", 80 * 2 * 8 * 128),
    "seed-oss-36b": (
        of("seed_oss", 5120, 64, 80, 8, 27648, 155136, head_dim=128),
        *(36.15, None, "", 64 * 2 * 8 * 128),
    ),
    "glm-4-9b": (of("glm4", 4096, 40, 32, 2, 13696, 151552, head_dim=128), 9.4, None, "", 40 * 2 * 2 * 128),
    "chatglm3-6b": (
        of("chatglm", 4096, None, 32, num_layers=28, ffn_hidden_size=13696, kv_channels=128)
        | {"multi_query_attention": True, "multi_query_group_num": 2, "padded_vocab_size": 65024},
        *(6.24, None, "", 28 * 2 * 2 * 128),
    ),
    "exaone-4-32b": (
        of("exaone4", 5120, 64, 40, 8, 27392, 102400, sliding_window=4096, sliding_window_pattern="LLLG")
        | {"head_dim": 128},
        *(32.0, None, "", 64 * 2 * 8 * 128),
    ),
    "internlm2-20b": (of("internlm2", 6144, 48, 48, 8, 16384, 92544), 19.86, None, "", 48 * 2 * 8 * 128),
    "baichuan2-7b": (of("baichuan", 4096, 32, 32, None, 11008, 125696), 7.51, None, "", 32 * 2 * 4096),
    "qwen-7b": (of("qwen", 4096, 32, 32, None, 22016, 151936), 7.72, None, "", 32 * 2 * 4096),
    "starcoder2-15b": (
        of("starcoder2", 6144, 40, 48, 4, 24576, 49152, sliding_window=4096, tie_word_embeddings=False),
        *(15.96, None, "", 40 * 2 * 4 * 128),
    ),
    "mpt-30b": (
        of("mpt", vocab_size=50432, d_model=7168, n_layers=48, n_heads=64, max_seq_len=8192)
        | {"attn_config": {"alibi": True, "attn_type": "multihead_attention"}},
        *(29.96, None, "", 48 * 2 * 7168),
    ),
    "persimmon-8b": (of("persimmon", 4096, 36, 64, None, 16384, 262144), 9.4, None, "", 36 * 2 * 4096),
    "stablelm-2-12b": (
        of("stablelm", 5120, 40, 32, 8, 13824, 100352, use_parallel_residual=True),
        *(12.14, None, "", 40 * 2 * 8 * 160),
    ),
    "command-r7b": (
        of("cohere2", 4096, 32, 32, 8, 14336, 256000, sliding_window=4096, head_dim=128),
        *(8.03, None, "", 32 * 2 * 8 * 128),
    ),
    "falcon-11b": (
        of("falcon", 4096, 60, 32, None, None, 65024, num_kv_heads=8, new_decoder_architecture=True)
        | {"num_ln_in_parallel_attn": 1, "tie_word_embeddings": False},
        *(11.1, None, "", 60 * 2 * 8 * 128),
    ),
}


def with_layer_types(values: dict[str, Any]) -> dict[str, Any]:
    """The pattern of the small Gemma 4: four local layers to a global one in E2B."""
    text = values.get("text_config", {})
    if text.get("num_hidden_layers") == 35:
        return {**values, "text_config": {**text, "layer_types": layers(35, 5, LOCAL, FULL)}}
    return values


@pytest.mark.parametrize("name", VARIANTS)
def test_variants_have_the_published_counts_and_the_cache_by_hand(name: str) -> None:
    values, billions, active, left_out, cached = VARIANTS[name]
    model = made(with_layer_types(values))
    count = parameters(model)
    assert count.total == pytest.approx(billions * 1e9, rel=0.02)
    if active is not None:
        assert count.active_less(left_out) == pytest.approx(active * 1e9, rel=0.02)
    assert kv_elements_per_token(model) == pytest.approx(cached)


@pytest.mark.parametrize("name", VARIANTS)
def test_nulls_in_place_of_missing_keys_change_nothing(name: str) -> None:
    values = with_layer_types(VARIANTS[name][0])
    # what transformers writes, and what no family here has a use for
    empty = ("rope_scaling", "pretraining_tp", "quantization_config", "layer_type_map", "compression_config")
    padded = {**values, **dict.fromkeys(empty)}
    inner = padded.get("text_config")
    if isinstance(inner, dict):
        padded["text_config"] = {**inner, **dict.fromkeys(("sliding_window_pattern", "attn_config"))}
    assert made(padded) == made(values)


# --- what a class assumes, and what it does not ---

SMALL = of("mistral", 64, 4, 4, None, 160, 1000)


def windows(values: dict[str, Any]) -> list[Any]:
    model = made(values)
    return [getattr(model.blocks[name].mixer, "window", None) for name, n in model.stack for _ in range(n)]


def test_mistral_slides_unless_it_says_null() -> None:
    assert windows(SMALL) == [4096] * 4  # the default of its class, and the file says so
    assert "sliding_window 4096" in convert(SMALL, "config.json", ("toy", ""))
    assert windows({**SMALL, "sliding_window": None}) == [None] * 4
    assert windows({**SMALL, "sliding_window": None, "layer_types": [FULL] * 4}) == [None] * 4


def test_qwen_has_windows_only_where_it_uses_them() -> None:
    qwen = {**SMALL, "model_type": "qwen2", "sliding_window": 32, "max_window_layers": 2}
    assert windows(qwen) == [None] * 4
    assert windows({**qwen, "use_sliding_window": True}) == [None, None, 32, 32]


@pytest.mark.parametrize("family", ["gemma", "gemma2", "gemma3_text"])
def test_gemmas_have_heads_of_256(family: str) -> None:
    mixer = made({**SMALL, "model_type": family, "sliding_window": 8}).blocks.values()
    assert {block.mixer.head_dim for block in mixer if isinstance(block.mixer, Attention)} == {256}


@pytest.mark.parametrize(
    ("family", "tied"),
    [
        *(("llama", False), ("mistral", False), ("qwen2", False), ("phi3", False), ("granite", False)),
        *(("gemma", True), ("smollm3", True), ("ernie4_5", True), ("starcoder2", True), ("cohere", True)),
    ],
)
def test_which_families_tie_where_nothing_is_said(family: str, tied: bool) -> None:
    assert made({**SMALL, "model_type": family}).tied_embeddings is tied


def test_what_the_outer_config_ties_counts() -> None:
    text = {**SMALL, "model_type": "qwen2_5_vl_text"}
    assert made(
        {"model_type": "qwen2_5_vl", "text_config": text, "tie_word_embeddings": True}
    ).tied_embeddings


MOE = of(
    "qwen3_moe", 64, 4, 4, None, 160, 1000, num_experts=8, num_experts_per_tok=2, moe_intermediate_size=32
)
DEEP = of("deepseek_v3", 64, 4, 4, None, 160, 1000, n_routed_experts=8, num_experts_per_tok=2) | {
    **MLA,
    "moe_intermediate_size": 32,
    "q_lora_rank": None,
}


@pytest.mark.parametrize(
    "values",
    [
        {**MOE, "decoder_sparse_step": 1000},
        {**MOE, "mlp_only_layers": [0, 1, 2, 3]},
        {**DEEP, "moe_layer_freq": 1000},
        {**DEEP, "first_k_dense_replace": 4},
    ],
)
def test_experts_that_no_layer_has_are_an_error(values: dict[str, Any]) -> None:
    with pytest.raises(CatalogError, match="layers with experts"):
        made(values)


def test_a_deepseek_without_experts_is_dense() -> None:
    model = made({**DEEP, "n_routed_experts": None})
    assert {type(block.feedforward) for block in model.blocks.values()} == {Mlp}


def test_first_dense_layers_and_every_other() -> None:
    model = made({**DEEP, "first_k_dense_replace": 1, "moe_layer_freq": 2})
    feeds = [type(model.blocks[name].feedforward) for name, n in model.stack for _ in range(n)]
    assert feeds == [Mlp, Mlp, Moe, Mlp]


def test_deepseek_v4_by_types_is_that_by_ratios() -> None:
    base = of("deepseek_v4", 64, 4, 4, 1, None, 1000, q_lora_rank=16, o_groups=2, **V4) | {
        **{"n_routed_experts": 8, "moe_intermediate_size": 32, "index_topk": 16},
    }
    kinds = [LOCAL, "compressed_sparse_attention", "heavily_compressed_attention"]
    ratios, types = [0, 4, 128, 4], [kinds[0], kinds[1], kinds[2], kinds[1]]
    by_ratio, by_type = (
        made({**base, **more}) for more in ({"compress_ratios": ratios}, {"layer_types": types})
    )
    assert by_ratio == by_type
    rates = {"compressed_sparse_attention": 2, "heavily_compressed_attention": 64}
    model = made({**base, "layer_types": types, "compress_rates": rates})
    mixers = [block.mixer for block in model.blocks.values()]
    assert {mixer.ratio for mixer in mixers if isinstance(mixer, CompressedAttention)} == {None, 2, 64}


def test_experts_of_deepseek_v4_are_four_bit_where_it_says_so() -> None:
    base = of("deepseek_v4", 64, 4, 4, 1, None, 1000, q_lora_rank=16, o_groups=2, **V4) | {
        **{"n_routed_experts": 8, "moe_intermediate_size": 32, "index_topk": 16, "compress_ratios": [0] * 4},
    }
    assert made(base).precision.experts == ""
    assert made({**base, "expert_dtype": "fp4"}).precision.experts == "mxfp4"


@pytest.mark.parametrize(
    ("more", "word"),
    [
        ({"sparse_attention_config": {"use_sparse_attention": True}}, "sparse_topk_blocks"),
        (
            {
                "sparse_attention_config": {
                    **{"sparse_topk_blocks": 4, "sparse_block_size": 16, "sparse_num_index_heads": 2},
                    **{"sparse_index_dim": 8, "sparse_disable_index_value": [0, 0, 0, 0]},
                }
            },
            "sparse_disable_index_value",
        ),
    ],
)
def test_an_index_that_cannot_be_said_is_refused(more: dict[str, Any], word: str) -> None:
    values = of("minimax_m3", 64, 4, 4, 2, 160, 1000, num_local_experts=8, num_experts_per_tok=2, **more)
    with pytest.raises(CatalogError, match=word):
        made(values)


# --- what newer configs say otherwise ---


def mixers(values: dict[str, Any]) -> list[Any]:
    model = made(values)
    return [model.blocks[name].mixer for name, n in model.stack for _ in range(n)]


GLM5 = of("glm_moe_dsa", 6144, 78, 64, 64, 12288, 154880, q_lora_rank=2048, kv_lora_rank=512) | {
    **{"qk_nope_head_dim": 192, "qk_rope_head_dim": 64, "v_head_dim": 256, "n_routed_experts": 256},
    **{"num_experts_per_tok": 8, "n_shared_experts": 1, "moe_intermediate_size": 2048},
    **{"index_n_heads": 32, "index_head_dim": 128, "index_topk": 2048},
}
OWN = [0, 1, 2, *range(6, 78, 4)]  # layers of GLM-5.2 with an indexer; the others take its choice


@pytest.mark.parametrize(
    "more",
    [
        {"index_topk_freq": 4, "index_skip_topk_offset": 3, "first_k_dense_replace": 3},
        {"indexer_types": ["full" if i in OWN else "shared" for i in range(78)], "first_k_dense_replace": 3},
        {"index_topk_pattern": "".join("F" if i in OWN else "S" for i in range(78))}
        | {"mlp_layer_types": ["dense"] * 3 + ["sparse"] * 75},
    ],
)
def test_indexers_that_layers_share(more: dict[str, Any]) -> None:
    model = made({**GLM5, **more})
    found = mixers({**GLM5, **more})
    assert [index for index, mixer in enumerate(found) if not mixer.index.reuses] == OWN
    # 57 of 78 layers lack 2048 x 32 x 128 + 6144 (128 + 32) weights, and an index key of 128 + 4 bytes
    every = made({**GLM5, "first_k_dense_replace": 3})
    assert parameters(every).total == pytest.approx(744e9, rel=0.002)
    assert parameters(every).total - parameters(model).total == 57 * (2048 * 4096 + 6144 * 160)
    assert kv_elements_per_token(model) == 78 * 576 + 21 * 132


def test_local_heads_of_step_and_mimo_are_the_others_where_nothing_is_said() -> None:
    types = [FULL, LOCAL, LOCAL, LOCAL]
    step = of(
        "step3p5", 64, 4, 4, None, 160, 1000, num_attention_groups=2, head_dim=16, layer_types=types
    ) | {
        **{"sliding_window": 8, "moe_num_experts": 8, "moe_top_k": 2, "moe_intermediate_size": 32},
        **{"share_expert_dim": 32, "moe_layers_enum": "1,2,3", "attention_other_setting": None},
    }
    other = {"attention_other_setting": {"num_attention_heads": 6}}
    shapes = [(m.heads, m.kv_heads, m.head_dim) for m in mixers({**step, **other})]
    assert shapes == [(4, 2, 16), *[(6, 2, 16)] * 3]
    assert len({(m.heads, m.kv_heads) for m in mixers(step)}) == 1
    mimo = of("mimo_v2", 64, 2, 4, 2, 160, 1000, head_dim=24, v_head_dim=16, swa_num_key_value_heads=4) | {
        **{"hybrid_layer_pattern": [0, 1], "moe_layer_freq": [0, 1], "sliding_window": 8},
        **{"n_routed_experts": 8, "num_experts_per_tok": 2, "moe_intermediate_size": 32},
    }
    assert [(m.heads, m.kv_heads, m.head_dim, m.value_dim) for m in mixers(mimo)] == [
        (4, 2, 24, 16),
        (4, 4, 24, 16),
    ]


def test_searched_nemotrons_have_experts_of_their_own_size() -> None:
    blocks = [
        {"block_type": "mamba"},
        {"block_type": "moe", "moe_intermediate_size": 16, "num_experts_per_tok": 1},
        {"block_type": "attention"},
        {"block_type": "moe", "moe_intermediate_size": 32, "num_experts_per_tok": 4},
    ]
    values = of("nemotron_h_puzzle", 64, None, 4, 2, 160, 1000, n_routed_experts=8, **MAMBA) | {
        **{"mamba_num_heads": 8, "num_hidden_layers": None, "n_shared_experts": 0},
        **{"layers_block_type": [block["block_type"] for block in blocks], "block_configs": blocks},
    }
    model = made(values)
    assert model.layers == 4
    parts = [block.feedforward for block in model.blocks.values() if isinstance(block.feedforward, Moe)]
    assert [(part.d_expert, part.experts_per_token) for part in parts] == [(16, 1), (32, 4)]
