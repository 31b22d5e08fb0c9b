"""Which reader a `model_type` has, and what its class assumes of keys that a config leaves out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from genzcli.catalog.huggingface import dense, encoders, experts, recurrent, vision
from genzcli.catalog.huggingface.config import Config
from genzcli.catalog.huggingface.draft import Draft

Reader = Callable[[Config], Draft]

_READERS: Mapping[Reader, str] = {
    dense.llama: (
        "llama mimo granite internlm internlm2 internlm3 seed_oss baichuan aquila smollm3 ernie4_5 yi exaone "
        "glm helium"
    ),
    dense.mistral: "mistral mistral3 ministral ministral3 phi3 phi4mm phi4_multimodal voxtral pixtral",
    dense.qwen2: (
        "qwen2 qwen3 qwen2_vl qwen2_5_vl qwen3_vl qwen2_vl_text qwen2_5_vl_text qwen3_vl_text "
        "qwen2_5_omni qwen2_5_omni_text"
    ),
    dense.qwen1: "qwen",
    dense.chatglm: "chatglm",
    dense.exaone4: "exaone4",
    dense.hunyuan_dense: "hunyuan_v1_dense",
    dense.lfm2: "lfm2",
    dense.mpt: "mpt",
    dense.phi: "phi",
    dense.cohere: "cohere cohere2",
    dense.starcoder2: "starcoder2",
    dense.stablelm: "stablelm",
    dense.ungated: "nemotron arcee apertus persimmon",
    dense.four_norms: "glm4 glm4v glm4v_text",
    dense.olmo: "olmo",
    dense.olmo2: "olmo2 olmo3",
    dense.gemma: "gemma",
    dense.gemma2: "gemma2",
    dense.gemma3: "gemma3 gemma3_text",
    dense.gemma3n: "gemma3n gemma3n_text",
    dense.gemma4: "gemma4 gemma4_text",
    dense.gpt_neox: "gpt_neox",
    dense.gptj: "gptj",
    dense.gpt2: "gpt2 gpt_bigcode",
    dense.opt: "opt",
    dense.bloom: "bloom",
    dense.falcon: "falcon RefinedWeb RefinedWebModel",
    dense.deci: "deci",
    dense.nemotron_nas: "nemotron-nas",
    vision.mllama_text: "mllama mllama_text_model",
    encoders.t5: "t5 mt5 umt5",
    encoders.bart: "bart mbart pegasus marian m2m_100 whisper",
    experts.mixtral: "mixtral phimoe granitemoe granitemoeshared olmoe flex_olmo",
    experts.minimax_m2: "minimax_m2",
    experts.gpt_oss: "gpt_oss",
    experts.qwen_moe: "qwen2_moe qwen3_moe qwen3_vl_moe qwen3_vl_moe_text qwen3_omni_moe qwen3_omni_moe_text",
    experts.llama4: "llama4 llama4_text",
    experts.glm4_moe: "glm4_moe glm4v_moe glm4v_moe_text dots1 bailing_moe bailing_moe_v2",
    experts.hunyuan: "hunyuan hunyuan_v1_moe hunyuan_moe",
    experts.lfm2_moe: "lfm2_moe",
    experts.deepseek: (
        "deepseek_v2 deepseek_v3 deepseek_v32 deepseek_vl_v2 "
        "kimi_k2 kimi_k25 kimi_vl glm_moe_dsa glm4_moe_lite mistral4"
    ),
    experts.deepseek_v4: "deepseek_v4",
    experts.mimo_v2: "mimo_v2_flash mimo_v2",
    experts.step: "step3p5 step3p7 step3 step3_text step3_vl",
    experts.minimax_m3: "minimax_m3 minimax_m3_vl minimax_m3_vl_text minimax_m3_sparse",
    experts.ernie: "ernie4_5_moe ernie4_5_vl_moe ernie4_5_vl_moe_text",
    experts.dbrx: "dbrx",
    recurrent.mamba: "mamba falcon_mamba",
    recurrent.mamba2: "mamba2",
    recurrent.mamba_ssm: "mamba_ssm",
    recurrent.jamba: "jamba",
    recurrent.bamba: "bamba",
    recurrent.granite_hybrid: "granitemoehybrid",
    recurrent.nemotron_h: "nemotron_h nemotron_h_puzzle",
    recurrent.zamba: "zamba",
    recurrent.zamba2: "zamba2",
    recurrent.falcon_h1: "falcon_h1",
    recurrent.qwen_next: "qwen3_next qwen3_5 qwen3_5_text qwen3_5_moe qwen3_5_moe_text",
    recurrent.minimax_01: "minimax minimax_text_01 minimax_m1 MiniMaxText01 MiniMaxM1",
    recurrent.kimi_linear: "kimi_linear kimi_k3",
}

FAMILIES: Mapping[str, Reader] = {
    word: reader for reader, words in _READERS.items() for word in words.split()
}

_QWEN2 = {"num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 32}
_GEMMA_HEAD = {"head_dim": 256}
_ZAMBA = {"mamba_d_state": 16, "mamba_d_conv": 4, "mamba_expand": 2, "mamba_dt_rank": "auto"}
_MAMBA = {"state_size": 16, "conv_kernel": 4, "expand": 2, "time_step_rank": "auto"}
_TIED = {"tie_word_embeddings": True}

#: What the class of a family in `transformers` assumes where a config says nothing.
DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "mistral": {"sliding_window": 4096},
    "gemma": _GEMMA_HEAD,
    "gemma2": _GEMMA_HEAD,
    "gemma3_text": _GEMMA_HEAD,
    "gemma3n_text": {
        **_GEMMA_HEAD,
        "num_kv_shared_layers": 15,
        "altup_num_inputs": 4,
        "laurel_rank": 64,
        "hidden_size_per_layer_input": 256,
        "vocab_size_per_layer_input": 262144,
        "sliding_window": 512,
    },
    "gemma4_text": {**_GEMMA_HEAD, "global_head_dim": 512},
    "llama4_text": {"attention_chunk_size": 8192},
    "smollm3": _TIED,
    "ernie4_5": _TIED,
    "ernie4_5_moe": _TIED,
    "exaone4": {"sliding_window_pattern": 4},
    "mamba": _MAMBA,
    "falcon_mamba": _MAMBA,
    "mamba2": {
        **{"num_heads": 128, "head_dim": 64, "state_size": 128, "n_groups": 8, "expand": 2},
        **{"conv_kernel": 4, "chunk_size": 256},
    },
    "jamba": {
        **_ZAMBA,
        **{"attn_layer_period": 8, "attn_layer_offset": 4},
        **{"expert_layer_period": 2, "expert_layer_offset": 1, "num_experts": 16, "num_experts_per_tok": 2},
    },
    "bamba": {"mamba_n_heads": 128, "mamba_d_state": 256, "mamba_expand": 2, "num_key_value_heads": 8},
    "zamba": _ZAMBA,
    "zamba2": {"mamba_d_state": 64, "mamba_expand": 2, "mamba_ngroups": 1, "n_mamba_heads": 8},
    "falcon_h1": {"mamba_d_state": 256, "mamba_n_heads": 128, "mamba_d_ssm": 1024, "num_key_value_heads": 8},
    "minimax_m3": {"dense_intermediate_size": 12288},
}

#: The same of nested configs, which leave out what their class has.
NESTED: Mapping[str, Mapping[str, Any]] = {
    "llama": {
        **{"vocab_size": 32000, "hidden_size": 4096, "intermediate_size": 11008},
        **{"num_hidden_layers": 32, "num_attention_heads": 32},
    },
    "mistral": {
        **{"vocab_size": 32000, "hidden_size": 4096, "intermediate_size": 14336},
        **{"num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8},
    },
    "mixtral": {
        **{"vocab_size": 32000, "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32},
        **{"num_attention_heads": 32, "num_key_value_heads": 8, "num_local_experts": 8},
        **{"num_experts_per_tok": 2},
    },
    "qwen2": {**_QWEN2, "vocab_size": 151936, "hidden_size": 4096, "intermediate_size": 22016},
    "qwen3": {
        **_QWEN2,
        "vocab_size": 151936,
        "hidden_size": 4096,
        "intermediate_size": 22016,
        "head_dim": 128,
    },
    "phi3": {
        **{"vocab_size": 32064, "hidden_size": 3072, "intermediate_size": 8192},
        **{"num_hidden_layers": 32, "num_attention_heads": 32},
    },
    "gemma": {"vocab_size": 256000, "hidden_size": 3072, "intermediate_size": 24576, "num_hidden_layers": 28}
    | {"num_attention_heads": 16, "num_key_value_heads": 16},
    "gemma2": {"vocab_size": 256000, "hidden_size": 2304, "intermediate_size": 9216, "num_hidden_layers": 26}
    | {"num_attention_heads": 8, "num_key_value_heads": 4, "sliding_window": 4096},
    "gemma3_text": {
        "vocab_size": 262208,
        "num_attention_heads": 8,
        "num_key_value_heads": 4,
        "sliding_window": 4096,
        "max_position_embeddings": 131072,
    },
    "gemma3n_text": {
        **{"vocab_size": 262400, "hidden_size": 2048, "intermediate_size": 16384, "num_hidden_layers": 35},
        **{"num_attention_heads": 8, "num_key_value_heads": 2},
    },
    "gemma4_text": {
        **{"vocab_size": 262144, "hidden_size": 2304, "intermediate_size": 9216, "num_hidden_layers": 30},
        **{"num_attention_heads": 8, "num_key_value_heads": 4, "sliding_window": 512},
        "hidden_size_per_layer_input": 256,
    },
    "llama4_text": {
        **{"vocab_size": 202048, "hidden_size": 5120, "intermediate_size": 8192},
        **{"intermediate_size_mlp": 16384, "num_hidden_layers": 48, "num_attention_heads": 40},
        **{"head_dim": 128, "num_experts_per_tok": 1, "num_local_experts": 16},
    },
}


def fold(word: str) -> str:
    """What a model_type and the name of its class have in common."""
    for end in ("ForCausalLM", "ForConditionalGeneration", "LMHeadModel", "Model"):
        word = word.removesuffix(end)
    return "".join(letter for letter in word.lower() if letter.isalnum())


def known(word: str) -> str | None:
    """The family a model_type or an architecture means."""
    if word in FAMILIES:
        return word
    folded = fold(word)
    return next((name for name in FAMILIES if fold(name) == folded), None)
