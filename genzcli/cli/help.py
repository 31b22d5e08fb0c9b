"""`--help` in sections, the most used options first."""

from __future__ import annotations

from typing import Any

from typer.core import TyperCommand

#: The sections of `genz run --help`, in this order; an option names its own where it is declared.
USED = "Most used"
LOAD = "Load"
PARALLELISM = "Parallelism"
EXPERTS = "Mixture of experts"
DRAFTS = "Speculative decoding"
MEMORY = "Cache and memory"
WEIGHTS = "Sparsity and adapters"
SCHEDULE = "Kernels and schedule"
OUTPUT = "Output, catalogs, price"
SECTIONS = (USED, OUTPUT, LOAD, PARALLELISM, EXPERTS, DRAFTS, MEMORY, WEIGHTS, SCHEDULE)


_OWN = ("Arguments", "Options")


class Sectioned(TyperCommand):
    """A command whose options stand in sections: its own, then those that commands share."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        for title, items in self.sections(ctx).items():
            with formatter.section(title):
                formatter.write_dl([item.get_help_record(ctx) for item in items])

    def sections(self, ctx: Any) -> dict[str, list[Any]]:
        """What stands in the help, by title, in order; none is empty."""
        found: dict[str, list[Any]] = {title: [] for title in (*_OWN, *SECTIONS)}
        for item in self.get_params(ctx):
            if item.get_help_record(ctx) is not None:
                found[_section(item)].append(item)
        return {title: items for title, items in found.items() if items}


class Asking(Sectioned):
    """A command that asks the question of `run`: the options that it shares are explained there."""

    def sections(self, ctx: Any) -> dict[str, list[Any]]:
        found = super().sections(ctx)
        return {_SHARED.get(title, title): items for title, items in found.items() if title in _HERE}

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """The flags that are only named."""
        from textwrap import wrap

        rest = [items for title, items in super().sections(ctx).items() if title not in _HERE]
        flags = ", ".join("/".join((*item.opts, *item.secondary_opts)) for items in rest for item in items)
        said = f"And all others of `genz run`, which explains them: {flags}."
        formatter.write_paragraph()
        formatter.write("\n".join(wrap(said, formatter.width, break_on_hyphens=False)) + "\n")


_HERE = (*_OWN, USED, OUTPUT)
_SHARED = {USED: f"{USED} of `genz run`"}


def _section(item: Any) -> str:
    if item.param_type_name == "argument":
        return "Arguments"
    return OUTPUT if "--help" in item.opts else item.rich_help_panel or "Options"
