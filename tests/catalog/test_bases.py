"""Numbers of the built-in catalogs stand on one basis, and cite what says them."""

from __future__ import annotations

import pytest

from genzcli.catalog.load import Catalog, load_file
from genzcli.spec.hardware import Platform


def _platforms() -> list[Platform]:
    catalog = Catalog()
    found = [load_file(entry, catalog) for entry in catalog.entries("platforms")]
    return [item for item in found if isinstance(item, Platform)]


def test_a_chip_rents_for_its_share_of_its_home() -> None:
    both = {
        home.name: (home.price_usd_per_hour / home.chips, home.chip.price_usd_per_hour)
        for home in _platforms()
        if home.chip.home == home.name and home.price_usd_per_hour and home.chip.price_usd_per_hour
    }
    assert {"inf2-48xlarge", "trn1-32xlarge"} <= set(both)
    for share, alone in both.values():
        assert alone == pytest.approx(share, rel=1e-3)


def test_a_network_does_not_cite_the_links_inside() -> None:
    for platform in _platforms():
        source = platform.sources.get("scale_out.bandwidth")
        if source is not None and any(word in source.reference for word in ("NVLink", "Infinity Fabric")):
            assert "Gbit/s" in source.reference, platform.name
