"""Where a number comes from. A number without a source does not load."""

from __future__ import annotations

from genzcli.spec.noun import Noun, choice, text

KINDS = ("vendor", "paper", "measured", "derived", "assumed")


class Source(Noun):
    """One citation.

    vendor    the maker's datasheet, manual or announcement
    paper     a publication, or a model's published configuration
    measured  somebody's measurement, with whose
    derived   computed from other cited numbers; the reference says how
    assumed   a guess, or known only from memory; the reference says why it is plausible
    """

    kind: str = choice("how the number is known", *KINDS)
    reference: str = text("title, edition, table or address: enough to find it again")
    note: str = text("a decision taken between sources, or a caveat", default="")
