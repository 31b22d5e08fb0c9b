"""`genz run`: one question, answered.

Without `from __future__ import annotations`: typer would compile some 40 strings at every start.
"""

from typing import Annotated, Any

import typer

from genzcli.cli.formats import Catalogs, ExitZero, Format, Json, Quiet, chosen
from genzcli.cli.help import (
    DRAFTS,
    EXPERTS,
    LOAD,
    MEMORY,
    OUTPUT,
    PARALLELISM,
    SCHEDULE,
    USED,
    WEIGHTS,
)


def _option(section: str, flags: str, metavar: str, text: str) -> Any:
    return typer.Option(*flags.split(), metavar=metavar, help=text, rich_help_panel=section)


Text = str | None


def command(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="Catalog name, alias, or path to YAML or a config.json.")
    ],
    hardware: Annotated[
        str,
        typer.Argument(metavar="HARDWARE", help="Chip or platform, the same way; 8xh100 is eight of them."),
    ],
    usecase: Annotated[
        Text, _option(USED, "-u --usecase", "NAME", "Tokens, beams and SLOs of a use case.")
    ] = None,
    input: Annotated[Text, _option(USED, "-i --input", "N", "Prompt tokens of a request [1000].")] = None,
    output: Annotated[Text, _option(USED, "-o --output", "N", "Generated tokens of a request [200].")] = None,
    batch: Annotated[Text, _option(USED, "-b --batch", "N", "Requests together, whole platform [1].")] = None,
    concurrency: Annotated[
        Text,
        _option(USED, "--concurrency", "N", "Requests in flight on a server; means continuous batching."),
    ] = None,
    chips: Annotated[
        Text, _option(USED, "-n --chips", "N", "Chips [1 of a chip, all of a platform].")
    ] = None,
    tp: Annotated[
        Text, _option(USED, "--tp", "N", "Tensor parallel degree; what is left out is chosen.")
    ] = None,
    precision: Annotated[
        Text,
        _option(
            USED,
            "--precision",
            "FORMAT",
            "One word sets weights, KV and compute, activations stay bf16: fp32, tf32, bf16, fp16, fp8, "
            "mxfp8, int8, fp6, mxfp6, int4, fp4, mxfp4, int3, int2; w4a16 and w8a16 mean the weights only; "
            "int4-g32 has a scale every 32 elements; awq, gptq, nf4, mlx-4bit and llama.cpp's q4_0, q4_k_m, "
            "q8_0, … are known. Or by tensor, after a word or alone, as "
            "weights=int4,kv=fp8: weights, experts, attention, embeddings, kv, activations, compute "
            "[as the model is published].",
        ),
    ] = None,
    stack: Annotated[
        Text, _option(USED, "--stack", "NAME", "Calibration profile; ideal is pure roofline [generic].")
    ] = None,
    slo: Annotated[
        list[str] | None, _option(USED, "--slo", "METRIC=LIMIT", "Objective, as ttft=200ms; repeatable.")
    ] = None,
    set: Annotated[
        list[str] | None,
        _option(
            USED, "--set", "PATH=VALUE", "Any field: memory.hbm.bandwidth=4TB/s, =*2, =+20%; repeatable."
        ),
    ] = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="Show the operator table.", rich_help_panel=USED)
    ] = False,
    beams: Annotated[Text, _option(LOAD, "--beams", "N", "Beam width [1].")] = None,
    batching: Annotated[
        Text, _option(LOAD, "--batching", "static|continuous", "A batch together [static], or a server.")
    ] = None,
    images: Annotated[
        Text, _option(LOAD, "--images", "N", "Images of a request, beside its input tokens [0].")
    ] = None,
    image_tokens: Annotated[
        Text, _option(LOAD, "--image-tokens", "N", "Tokens an image becomes [the model's].")
    ] = None,
    image_size: Annotated[
        Text, _option(LOAD, "--image-size", "WxH", "Pixels of an image, in place of its tokens.")
    ] = None,
    prefix_hit: Annotated[
        Text, _option(LOAD, "--prefix-hit", "SHARE", "Share of the prompt found in a prefix cache [0].")
    ] = None,
    pp: Annotated[Text, _option(PARALLELISM, "--pp", "N", "Pipeline stages.")] = None,
    dp: Annotated[
        Text, _option(PARALLELISM, "--dp", "N", "Attention-DP groups of a MoE, else replicas.")
    ] = None,
    ep: Annotated[Text, _option(PARALLELISM, "--ep", "N", "Groups the experts are spread over.")] = None,
    sp: Annotated[
        bool, typer.Option("--sp", help="Sequence parallel, on the chips of tp.", rich_help_panel=PARALLELISM)
    ] = False,
    uneven: Annotated[
        Text, _option(PARALLELISM, "--uneven", "error|pad", "Heads that tp does not divide [error].")
    ] = None,
    overlap: Annotated[
        Text, _option(PARALLELISM, "--overlap", "SHARE", "Share of a collective that compute may hide [0].")
    ] = None,
    routing: Annotated[
        Text,
        _option(
            EXPERTS,
            "--routing",
            "balanced|uniform|power-law|worst",
            "Experts a batch of tokens touches [uniform].",
        ),
    ] = None,
    alpha: Annotated[
        Text,
        _option(
            EXPERTS, "--alpha", "X", "Power-law routing: the r-th expert draws r^-X of the tokens [0.6]."
        ),
    ] = None,
    redundant_experts: Annotated[
        Text, _option(EXPERTS, "--redundant-experts", "R", "Replicas of the busiest experts of a layer [0].")
    ] = None,
    imbalance: Annotated[
        Text, _option(EXPERTS, "--imbalance", "X", "Busiest expert rank over the mean [1].")
    ] = None,
    draft: Annotated[
        Text,
        _option(
            DRAFTS,
            "--draft",
            "MODEL|mtp|ngram",
            "Speculative decoding: a model, its own modules, or look-up.",
        ),
    ] = None,
    draft_tokens: Annotated[
        Text,
        _option(DRAFTS, "--draft-tokens", "N", "Tokens drafted ahead of a verification [4; mtp: modules]."),
    ] = None,
    accept: Annotated[
        Text, _option(DRAFTS, "--accept", "SHARE", "Chance that a draft is accepted [0.7].")
    ] = None,
    expectation: Annotated[
        Text,
        _option(DRAFTS, "--expectation", "leviathan|genz", "Tokens a verification yields [leviathan]."),
    ] = None,
    draft_hardware: Annotated[
        Text, _option(DRAFTS, "--draft-hardware", "NAME", "Chip or platform the draft model has for itself.")
    ] = None,
    draft_chips: Annotated[
        Text, _option(DRAFTS, "--draft-chips", "N", "Chips of it [1 of a chip, all of a platform].")
    ] = None,
    draft_latency: Annotated[
        Text, _option(DRAFTS, "--draft-latency", "TIME", "One way to them [that of the slower network].")
    ] = None,
    kv_keep: Annotated[
        Text, _option(MEMORY, "--kv-keep", "SHARE", "Share of the cache kept, with KV pruning [1].")
    ] = None,
    offload: Annotated[
        Text,
        _option(
            MEMORY, "--offload", "MEMORY", "Host, CXL or flash takes what the chip's memory does not hold."
        ),
    ] = None,
    placement: Annotated[
        Text,
        _option(
            MEMORY,
            "--placement",
            "weights-first|kv-first|by-layer",
            "Who gets the fastest memory [weights-first].",
        ),
    ] = None,
    place: Annotated[
        list[str] | None,
        _option(
            MEMORY,
            "--place",
            "KIND=MEMORY",
            "Stated placement, as kv=host or weights=hbm:0.8,host:0.2; repeatable.",
        ),
    ] = None,
    attention_on: Annotated[
        Text,
        _option(MEMORY, "--attention-on", "MEMORY", "Attention runs on the processor beside this memory."),
    ] = None,
    reserve: Annotated[
        Text, _option(MEMORY, "--reserve", "SHARE", "Share of memory kept free [the profile's].")
    ] = None,
    sparsity: Annotated[
        Text, _option(WEIGHTS, "--sparsity", "N:M", "Structured sparsity of the layers' weights, as 2:4.")
    ] = None,
    weight_density: Annotated[
        Text, _option(WEIGHTS, "--weight-density", "SHARE", "Share of the weights kept, with sparsity [1].")
    ] = None,
    lora_rank: Annotated[Text, _option(WEIGHTS, "--lora-rank", "R", "Rank of LoRA adapters.")] = None,
    lora_adapters: Annotated[
        Text, _option(WEIGHTS, "--lora-adapters", "N", "Adapters that are resident, one a request [1].")
    ] = None,
    lora_on: Annotated[
        Text,
        _option(WEIGHTS, "--lora-on", "all-linear|attention|qv", "Layers that an adapter has [all-linear]."),
    ] = None,
    chunk: Annotated[
        Text, _option(SCHEDULE, "--chunk", "N", "Chunked prefill: tokens of a pass, decode tokens first.")
    ] = None,
    flash: Annotated[
        bool | None,
        typer.Option(
            "--flash/--no-flash", help="Attention scores stay on chip [flash].", rich_help_panel=SCHEDULE
        ),
    ] = None,
    fused: Annotated[
        bool | None,
        typer.Option(
            "--fused/--no-fused", help="Norms fused with residual adds [fused].", rich_help_panel=SCHEDULE
        ),
    ] = None,
    price: Annotated[
        Text, _option(OUTPUT, "--price", "USD/H", "Rent of one chip in place of the catalog's.")
    ] = None,
    catalog: Catalogs = None,
    save: Annotated[
        Text, _option(OUTPUT, "--save", "FILE", "Write the resolved scenario for `genz check`; - is stdout.")
    ] = None,
    format: Format = "table",
    json: Json = False,
    quiet: Quiet = False,
    exit_zero: ExitZero = False,
) -> int:
    """Latency, memory, energy and cost of a model on a platform.

    The exit code is the verdict: 0 done or passed, 1 an SLO failed, 2 bad input, 3 does not fit.

    \b
    Examples:
      genz run llama-3.1-70b h100-sxm -n 8 -u chat
      genz run mixtral-8x7b hgx-h100 -b 64 --precision fp8 --slo tpot=20ms --json
      genz run llama-3.1-8b h100-sxm --set memory.hbm.bandwidth=*2
    """
    words = dict(locals())  # before any other name is bound: exactly the parameters
    from genzcli.cli.asking.evaluate import evaluate, exit_code
    from genzcli.cli.asking.request import from_flags
    from genzcli.cli.asking.resolve import resolve
    from genzcli.cli.exits import lenient
    from genzcli.cli.streams import emit, say

    kind = chosen(format, json)
    resolved = resolve(from_flags(words))
    answer = evaluate(resolved, explain=explain or kind == "json")
    if quiet or kind == "csv":  # nothing else of what is printed says so
        for text in answer.no_effect:
            say(f"genz: note: no effect: {text}")
    if save is not None:
        from genzcli.cli.asking.save import write

        write(resolved, save)
    if save == "-":
        from genzcli.report.headline import headline

        say(headline(answer).line, quiet)
    else:
        emit(_report(answer, kind, explain, quiet))
    return lenient(exit_code(answer), exit_zero)


def _report(answer: Any, kind: str, explain: bool, quiet: bool) -> str:
    """The answer in the format asked for; only a table needs rich."""
    if kind == "json":
        from genzcli.report.json import dumps, run_document

        return dumps(run_document(answer))
    if kind == "csv":
        from genzcli.report.csv import run_csv

        return run_csv(answer, explain)
    from genzcli.report.pages import run_page

    page = run_page(answer, explain)
    if kind == "markdown":
        from genzcli.report.markdown import markdown

        return markdown(page, quiet)
    from genzcli.report.table import render

    return render(page, quiet)
