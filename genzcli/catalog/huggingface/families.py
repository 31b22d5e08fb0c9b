"""Which reader a `model_type` has, and what its class assumes of keys that a config leaves out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from genzcli.catalog.huggingface import dense, encoders, experts, recurrent, vision
from genzcli.catalog.huggingface.config import Config
from genzcli.catalog.huggingface.draft import Draft

Reader = Callable[[Config], Draft]

_READERS: Mapping[Reader, str] = {
    dense.llama: "llama mimo granite internlm3 seed_oss baichuan aquila smollm3 ernie4_5 arcee yi exaone",
    dense.mistral: "mistral mistral3 ministral ministral3 phi3 phi4mm voxtral pixtral",
    dense.qwen2: "qwen2 qwen3 qwen2_vl qwen2_5_vl qwen3_vl qwen2_vl_text qwen2_5_vl_text qwen3_vl_text",
    dense.phi: "phi",
    dense.cohere: "cohere cohere2",
    dense.starcoder2: "starcoder2",
    dense.stablelm: "stablelm",
    dense.nemotron: "nemotron",
    dense.four_norms: "glm4",
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
    experts.mixtral: "mixtral phimoe granitemoe granitemoeshared olmoe",
    experts.minimax_m2: "minimax_m2",
    experts.gpt_oss: "gpt_oss",
    experts.qwen_moe: "qwen2_moe qwen3_moe qwen3_vl_moe qwen3_vl_moe_text",
    experts.llama4: "llama4 llama4_text",
    experts.glm4_moe: "glm4_moe glm4v_moe glm4v_moe_text dots1 bailing_moe",
    experts.deepseek: (
        "deepseek_v2 deepseek_v3 deepseek_v32 deepseek_vl_v2 "
        "kimi_k2 kimi_k25 kimi_vl glm_moe_dsa glm4_moe_lite"
    ),
    experts.deepseek_v4: "deepseek_v4",
    experts.mimo_v2: "mimo_v2_flash mimo_v2",
    experts.step: "step3p5 step3p7 step3 step3_text step3_vl",
    experts.minimax_m3: "minimax_m3 minimax_m3_vl",
    experts.ernie: "ernie4_5_moe",
    experts.dbrx: "dbrx",
    recurrent.mamba: "mamba falcon_mamba",
    recurrent.mamba2: "mamba2",
    recurrent.mamba_ssm: "mamba_ssm",
    recurrent.jamba: "jamba",
    recurrent.bamba: "bamba",
    recurrent.granite_hybrid: "granitemoehybrid",
    recurrent.nemotron_h: "nemotron_h",
    recurrent.zamba2: "zamba zamba2",
    recurrent.falcon_h1: "falcon_h1",
    recurrent.qwen_next: "qwen3_next qwen3_5 qwen3_5_text qwen3_5_moe qwen3_5_moe_text",
    recurrent.minimax_01: "minimax minimax_text_01 minimax_m1 MiniMaxText01 MiniMaxM1",
    recurrent.kimi_linear: "kimi_linear kimi_k3",
}

FAMILIES: Mapping[str, Reader] = {
    word: reader for reader, words in _READERS.items() for word in words.split()
}

#: What the class of a family in `transformers` assumes where a config says nothing; nested configs of its
#: 4.5x versions left such keys out.
DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "gemma3_text": {
        "vocab_size": 262208,
        "num_attention_heads": 8,
        "num_key_value_heads": 4,
        "head_dim": 256,
        "sliding_window": 4096,
        "max_position_embeddings": 131072,
    },
    "llama4_text": {"attention_chunk_size": 8192},
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
