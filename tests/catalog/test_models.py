"""The built-in models against what their authors publish: parameters, cache, names."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

from genzcli.catalog.build import build
from genzcli.catalog.find import fold
from genzcli.catalog.load import Catalog
from genzcli.catalog.read import read
from genzcli.engine.counts.parameters import kv_elements_per_token, parameters
from genzcli.errors import UnknownNameError
from genzcli.numeric import Number
from genzcli.spec.model import Model

MODELS = Path(__file__).resolve().parents[2] / "models"
NAMES = sorted(path.stem for path in MODELS.glob("*.yaml"))

TOLERANCE = 0.02

#: Where the authors print the count to four digits, or the checkpoint gives it: tight enough that half or
#: twice the KV heads of a 70B show (0.9 %).
TIGHT = 0.002

#: Models whose count is known only rounded, or is counted otherwise (see the file).
ROUNDED = {
    *("falcon-7b", "falcon-40b", "falcon-180b", "glm-4.5", "glm-4.5-air", "gpt-3-175b", "gpt-4-1.8t"),
    *(
        "grok-1-314b",
        "minimax-m2.5",
        "opt-6.7b",
        "opt-13b",
        "opt-66b",
        "opt-175b",
        "qwen3-0.6b",
        "qwen3-1.7b",
    ),
    *("kimi-k2", "kimi-k2.5", "llama-4-scout", "llama-3.2-11b-vision", "llama-3.2-90b-vision"),
    *(
        "deepseek-v4-pro",
        "dots.llm1-142b",
        "ernie-4.5-300b-a47b",
        "hunyuan-a13b",
        "lfm2-8b-a1b",
        "minimax-m3",
    ),
    *("zamba2-2.7b", "zamba2-7b"),
    *("qwen3.5-122b-a10b", "gemma-4-26b-a4b", "whisper-large-v3"),
    *("qwen1.5-14b", "solar-10.7b", "ministral-3-14b", "glm-4.6", "arctic-480b", "ling-mini-2.0-16b"),
    *("kimi-k2-0905", "kimi-k2-thinking", "whisper-small", "whisper-medium", "whisper-large-v3-turbo"),
}

#: Models whose file states no parameter count, and why there is none to compare with.
UNPUBLISHED = {
    "aquila-7b": "the authors say 7B of what its vocabulary makes 7.3B, and print nothing finer",
    "dense-5t": "hypothetical: 5T is a label",
    "moe-10t": "hypothetical: 10T is a label",
    "kimi-k3": "its config.json is known, a model card with a count is not",
    "gemma-3n-e2b": "the card counts its towers, and rounds to 5B",
    "gemma-3n-e4b": "the card counts its towers, and rounds to 8B",
    "gemma-4-e2b": "the 5.1B of the card count its towers, checked below",
    "gemma-4-e4b": "the 8B of the card count its towers, checked below",
    "kimi-linear-48b-a3b": "48B is a label, 49.1B are counted",
    "mimo-7b": "the 7.83B of the checkpoint count a multi-token-prediction layer, checked below",
}

#: Mixtures of experts whose file states no active count.
NO_ACTIVE_COUNT = {
    "gpt-4-1.8t": "hypothetical",
    "moe-10t": "hypothetical",
    "kimi-k3": "no model card known",
    "kimi-linear-48b-a3b": "3B is one digit of 3.1B, counted without the embedding",
    "grok-1-314b": "25 % of the weights, say the authors, as if attention were sparse too",
}

#: Active counts that are printed to one or two digits, and what a one in the last of them is: some authors
#: round, some cut.
FEW_DIGITS = {
    **dict.fromkeys(("deepseek-v2-lite", "lfm2-8b-a1b"), 0.1e9),
    **dict.fromkeys(("deepseek-v4-flash", "ernie-4.5-21b-a3b", "glm-4.7-flash-30b-a3b"), 1e9),
    **dict.fromkeys(("granite-4-h-small-32b", "granite-4-h-tiny-7b", "minimax-m3"), 1e9),
    **dict.fromkeys(("qwen3-next-80b-a3b", "qwen3.5-122b-a10b", "qwen3.5-397b-a17b"), 1e9),
}

#: Aliases that give another size than the id, and why.
OTHER_SIZE = {
    "meta-llama/Llama-4-Scout-17B-16E": "17B are the active parameters",
    "meta-llama/Llama-4-Scout-17B-16E-Instruct": "17B are the active parameters",
    "meta-llama/Llama-4-Maverick-17B-128E": "17B are the active parameters",
    "meta-llama/Llama-4-Maverick-17B-128E-Instruct": "17B are the active parameters",
    "llama-30b": "the 33B of the paper is filed as 30b",
    "huggyllama/llama-30b": "the 33B of the paper is filed as 30b",
    "bloom-7b": "short for 7b1",
}

#: Names that could mean several models.
VAGUE = """
llama llama-1 llama-2 llama-3 llama3 llama-3.1 llama-8b llama-70b llama-405b meta-llama codellama mistral
mixtral mixtral-8x qwen qwen2 qwen2.5 qwen3 qwen-7b qwen-72b gemma gemma-2 gemma-3 gemma-27b gpt gpt-3 gpt-4
gpt-oss opt bloom falcon phi phi-3 phi-3-mini yi glm olmo-2
deepseek qwen3.5 kimi llama-4 jamba mamba moe dense
"""


@cache
def load(name: str) -> Model:
    return build(read(MODELS / f"{name}.yaml"), Model)


def names_of(model: Model) -> list[str]:
    return [model.name, *model.aliases]


def windows(name: str) -> list[Number | None]:
    """The window of each layer, in order."""
    model = load(name)
    found: list[Number | None] = []
    for block, repeat in model.stack:
        found += [getattr(model.blocks[block].mixer, "window", None)] * repeat
    return found


@pytest.fixture
def catalog(monkeypatch: pytest.MonkeyPatch) -> Catalog:
    """The built-in catalog alone, wherever the tests run."""
    monkeypatch.delenv("GENZ_PATH", raising=False)
    monkeypatch.chdir(MODELS.parent)
    return Catalog()


# --- parameters ---


@pytest.mark.parametrize("name", [name for name in NAMES if name not in UNPUBLISHED])
def test_parameters_agree_with_the_published_count(name: str) -> None:
    model = load(name)
    assert model.published is not None, "state `published`, or list the model in UNPUBLISHED with the reason"
    tolerance = TOLERANCE if name in ROUNDED else TIGHT
    assert parameters(model).total == pytest.approx(model.published.parameters, rel=tolerance)


def test_only_the_listed_models_have_no_published_count() -> None:
    assert {name for name in NAMES if load(name).published is None} == set(UNPUBLISHED)
    assert len(NAMES) >= 315  # none was lost


@pytest.mark.parametrize("name", [n for n in NAMES if load(n).has_experts and n not in NO_ACTIVE_COUNT])
def test_active_parameters_agree_with_the_published_count(name: str) -> None:
    model, count = load(name), parameters(load(name))
    assert model.published is not None
    assert model.published.active_parameters is not None, "state it, or list the model in NO_ACTIVE_COUNT"
    counted = count.active_less(model.published.active_leaves_out)
    tolerance = FEW_DIGITS.get(name, TOLERANCE * model.published.active_parameters)
    assert counted == pytest.approx(model.published.active_parameters, rel=0, abs=tolerance)


def test_only_the_listed_mixtures_have_no_active_count() -> None:
    def stated(model: Model) -> bool:
        return model.published is not None and model.published.active_parameters is not None

    mixtures = {name for name in NAMES if load(name).has_experts}
    assert {name for name in mixtures if not stated(load(name))} == set(NO_ACTIVE_COUNT)
    assert not [name for name in NAMES if name not in mixtures and stated(load(name))]


def test_dense_models_use_all_their_parameters() -> None:
    for name in NAMES:
        count = parameters(load(name))
        assert (count.active + count.vision < count.total) is load(name).has_experts, name


def test_mimo_is_the_checkpoint_less_its_prediction_layer() -> None:
    model, count = load("mimo-7b"), parameters(load("mimo-7b"))
    prediction_layer = count.layers / model.layers + 2 * model.d_model**2
    assert count.total + prediction_layer == pytest.approx(7.83e9, rel=1e-3)
    assert count.mtp == pytest.approx(prediction_layer, rel=1e-3)


@pytest.mark.parametrize(
    ("name", "modules", "each"),
    [
        ("deepseek-v3", 1, 11.5e9),  # README_WEIGHTS.md of deepseek-ai/DeepSeek-V3, embedding and head shared
        ("deepseek-r1", 1, 11.5e9),
        ("mimo-v2-flash", 3, 0.33e9),  # README.md of XiaomiMiMo/MiMo-V2-Flash
    ],
)
def test_prediction_modules_have_the_published_size(name: str, modules: int, each: float) -> None:
    model = load(name)
    assert model.mtp is not None
    assert model.mtp.modules == modules
    assert parameters(model).mtp / modules == pytest.approx(each, rel=0.01)


@pytest.mark.parametrize(
    ("name", "stated", "effective"), [("gemma-4-e2b", 5.1e9, 2.3e9), ("gemma-4-e4b", 8.0e9, 4.5e9)]
)
def test_small_gemma_4_have_their_count_with_the_towers(name: str, stated: float, effective: float) -> None:
    """The card: a vision tower of 150M, an audio tower of 300M; `effective` leaves the embeddings out."""
    count, towers = parameters(load(name)), 150e6 + 300e6
    assert count.total + towers == pytest.approx(stated, rel=0.015)
    assert count.total - count.embedding + towers == pytest.approx(effective, rel=0.02)


def test_a_shared_block_is_stored_once_and_has_adapters_of_each_use() -> None:
    # Zamba2-7B: two sets of (7168 x 3 x 7168 + 7168 x 3584) + 3 x 3584 x 14336; 13 uses of 128 (3584 + 28672)
    # + 3584^2; 81 Mamba-2 layers
    count = parameters(load("zamba2-7b"))
    shared = 2 * (3 * 7168 * 7168 + 7168 * 3584 + 3 * 3584 * 14336)
    uses = 13 * (128 * (3584 + 2 * 14336) + 3584 * 3584)
    inner, groups = 112 * 64, 2 * 2 * 64
    mamba = 3584 * (2 * inner + groups + 112 + inner) + 4 * (inner + groups)
    assert count.attention + count.feedforward == shared + uses + 81 * mamba


def test_hypothetical_models_have_the_size_their_gated_mlps_give() -> None:
    assert parameters(load("dense-5t")).total == pytest.approx(4.4e12, rel=0.01)
    assert parameters(load("moe-10t")).total == pytest.approx(9.4e12, rel=0.01)


def test_hypothetical_models_are_served_in_fp8_as_in_the_paper() -> None:
    for name in ("gpt-4-1.8t", "dense-5t", "moe-10t"):
        assert (load(name).precision.weights, load(name).precision.kv) == ("fp8", "fp8")


def test_an_untied_head_is_counted_and_a_tied_one_is_not() -> None:
    llama, gemma = parameters(load("llama-3-8b")), parameters(load("gemma-2-2b"))
    assert llama.embedding == llama.head == 128256 * 4096
    assert (gemma.embedding, gemma.head) == (256000 * 2304, 0)


def test_shared_experts_and_dense_first_layers_are_counted() -> None:
    glm = load("glm-4.5")
    assert [repeat for _, repeat in glm.stack] == [3, 89]
    per_layer = 3 * 5120 * 1536
    routed_and_shared = 89 * (161 * per_layer + 160 * 5120) + 3 * 3 * 5120 * 12288
    assert parameters(glm).feedforward == routed_and_shared


# --- cache ---


@pytest.mark.parametrize(
    ("name", "expected_bytes"),
    [
        ("llama-2-7b", 524288),  # 32 layers · 2 · 32 heads · 128 · 2 B
        ("llama-2-70b", 327680),  # 80 · 2 · 8 · 128 · 2
        ("llama-3-70b", 327680),
        ("mixtral-8x7b", 131072),  # 32 · 2 · 8 · 128 · 2
        ("gemma-2-27b", 376832),  # 46 · 2 · 16 · 128 · 2
        ("falcon-7b", 8192),  # 32 · 2 · 1 · 64 · 2: one KV head, not 71
        ("falcon-40b", 122880),  # 60 · 2 · 8 · 64 · 2
        ("gpt-oss-120b", 73728),  # 36 · 2 · 8 · 64 · 2
        ("decilm-7b", 34304),  # 67 KV heads over all layers · 2 · 128 · 2
        ("gpt-3-175b", 4718592),  # 96 · 2 · 96 · 128 · 2
        ("deepseek-r1", 70272),  # 61 · (512 + 64) · 2: one latent and one rotary key, whatever the heads
        ("kimi-k2", 70272),
        ("llama-4-maverick", 196608),  # 48 · 2 · 8 · 128 · 2, chunks not yet full
        ("mimo-v2-flash", 222720),  # (9 · 4 + 39 · 8 heads) · (192 + 128) · 2
        ("gemma-4-26b-a4b", 225280),  # (25 · 8 · 256 + 5 · 2 · 512) · 2 · 2
        ("falcon-mamba-7b", 0),  # a state, no cache
        ("jamba-1.5-mini", 16384),  # 4 attention layers · 2 · 8 · 128 · 2
        ("nemotron-3-nano-30b-a3b", 6144),  # 6 · 2 · 2 · 128 · 2
        ("qwen3-next-80b-a3b", 24576),  # 12 · 2 · 2 · 256 · 2
        ("minimax-01", 40960),  # 10 · 2 · 8 · 128 · 2
        ("kimi-k3", 27648),  # 24 · (512 + 64) · 2
        ("falcon-h1-7b", 45056),  # 44 · 2 · 2 · 128 · 2
        ("zamba2-7b", 372736),  # 13 uses · 2 · 32 · 224 · 2, each with a cache of its own
        ("gemma-3n-e4b", 40960),  # 20 of 35 layers · 2 · 2 · 256 · 2
        ("gemma-4-e2b", 18432),  # (12 · 256 + 3 · 512) · 2 · 2, 20 layers read them
        ("step3-321b", 62464),  # 61 · 2 · 1 · 256 · 2
        ("hunyuan-large-389b", 81920),  # 32 of 64 layers · 2 · 8 · 80 · 2
        ("longcat-flash-560b", 64512),  # 56 · (512 + 64) · 2: two attentions a layer
        ("minicpm3-4b", 35712),  # 62 · (256 + 32) · 2
        ("qwen1.5-72b", 2621440),  # 80 · 2 · 64 · 128 · 2
        ("qwen1.5-110b", 327680),  # 80 · 2 · 8 · 128 · 2
        ("starcoder-15b", 20480),  # 40 · 2 · 1 · 128 · 2
        ("aya-expanse-32b", 163840),  # 40 · 2 · 8 · 128 · 2, where command-r-35b has 64 KV heads
        ("lfm2-1.2b", 12288),  # 6 of 16 layers · 2 · 8 · 64 · 2
    ],
)
def test_kv_bytes_of_a_token_at_16_bit(name: str, expected_bytes: int) -> None:
    assert 2 * kv_elements_per_token(load(name)) == expected_bytes


@pytest.mark.parametrize("name", ["gemma-2-2b", "gemma-2-9b", "gemma-2-27b", "gpt-oss-20b", "gpt-oss-120b"])
def test_every_other_layer_slides_beginning_with_the_first(name: str) -> None:
    found = windows(name)
    width = 4096 if name.startswith("gemma") else 128
    assert found[0::2] == [width] * (len(found) // 2)
    assert found[1::2] == [None] * (len(found) // 2)


@pytest.mark.parametrize(
    ("name", "layers", "width"),
    [("gemma-3-1b", 26, 512), ("gemma-3-4b", 34, 1024), ("gemma-3-12b", 48, 1024), ("gemma-3-27b", 62, 1024)],
)
def test_every_sixth_layer_of_gemma_3_sees_everything(name: str, layers: int, width: int) -> None:
    assert windows(name) == [None if layer % 6 == 5 else width for layer in range(layers)]


def test_of_mistral_7b_only_the_first_version_slides() -> None:
    assert set(windows("mistral-7b-v0.1")) == {4096}
    assert set(windows("mistral-7b-v0.2")) == set(windows("mistral-7b")) == {None}


def test_a_full_window_is_shorter_than_the_context() -> None:
    for name in NAMES:
        longest = load(name).max_context
        assert longest is None or all(width is None or width < longest for width in windows(name)), name


# --- names ---


def test_ids_are_file_names() -> None:
    assert [load(name).name for name in NAMES] == NAMES
    assert all(re.fullmatch(r"[a-z0-9.-]+", name) for name in NAMES)


def test_a_name_means_one_model() -> None:
    words = [fold(word) for name in NAMES for word in names_of(load(name))]
    assert sorted({word for word in words if words.count(word) > 1}) == []


@pytest.mark.parametrize("vague", VAGUE.split())
def test_a_name_that_could_mean_several_models_means_none(vague: str, catalog: Catalog) -> None:
    with pytest.raises(UnknownNameError):
        catalog.model(vague)


@pytest.mark.parametrize(
    ("word", "name"),
    [
        ("meta-llama/Meta-Llama-3-8B-Instruct", "llama-3-8b"),
        ("meta-llama/Llama-3.1-8B-Instruct", "llama-3.1-8b"),
        ("meta-llama/Llama-3.3-70B-Instruct", "llama-3.3-70b"),
        ("llama-3-405b", "llama-3.1-405b"),
        ("meta-llama/Llama-2-70b-chat-hf", "llama-2-70b"),
        ("llama-1-7b", "llama-7b"),
        ("mistralai/Mistral-7B-Instruct-v0.1", "mistral-7b-v0.1"),
        ("mistralai/Mistral-7B-Instruct-v0.2", "mistral-7b-v0.2"),
        ("mistralai/Mistral-7B-Instruct-v0.3", "mistral-7b"),
        ("mistralai/Mixtral-8x22B-Instruct-v0.1", "mixtral-8x22b-instruct"),
        ("Qwen/Qwen2-7B-Instruct", "qwen2-7b"),
        ("Qwen/Qwen2.5-7B-Instruct", "qwen2.5-7b"),
        ("Qwen/QwQ-32B", "qwen2.5-32b"),
        ("Qwen/Qwen3-32B", "qwen3-32b"),
        ("google/gemma-2b-it", "gemma-2b"),
        ("google/gemma-2-2b-it", "gemma-2-2b"),
        ("MiniMaxAI/MiniMax-M2", "minimax-m2.5"),
        ("deepseek-ai/DeepSeek-V3-0324", "deepseek-v3"),
        ("deepseek-ai/DeepSeek-R1-0528", "deepseek-r1"),
        ("meta-llama/Llama-4-Scout-17B-16E-Instruct", "llama-4-scout"),
        ("moonshotai/Kimi-K2-Instruct", "kimi-k2"),
        ("Qwen/Qwen2.5-Coder-32B-Instruct", "qwen2.5-32b"),
        ("mistralai/Mistral-Small-Instruct-2409", "codestral-22b"),
        ("mistralai/Mistral-Small-3.2-24B-Instruct-2506", "mistral-small-3.1-24b"),
        ("command-r", "command-r-35b"),
        ("CohereForAI/c4ai-command-r-08-2024", "aya-expanse-32b"),
        ("google/codegemma-7b-it", "gemma-7b"),
    ],
)
def test_a_name_means_its_own_generation(word: str, name: str, catalog: Catalog) -> None:
    assert catalog.model(word).name == name


def test_an_alias_states_no_other_size_than_its_model() -> None:
    size = re.compile(r"(?:\d+x)?\d+(?:\.\d+)?[bt](?![a-z0-9])")
    wrong = {
        alias
        for name in NAMES
        for alias in load(name).aliases
        if not set(size.findall(alias.casefold().replace("_", "."))) <= set(size.findall(name))
    }
    assert wrong == set(OTHER_SIZE)


def test_models_with_equal_names_but_the_version_differ_in_context() -> None:
    old, new = load("llama-3-70b"), load("llama-3.1-70b")
    assert (old.max_context, new.max_context) == (8192, 131072)
    assert parameters(old) == parameters(new)
