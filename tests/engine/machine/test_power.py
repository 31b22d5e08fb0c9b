"""Whose power is shared out: the platform's, that of chips and hosts, or that of chips alone."""

from __future__ import annotations

import pytest
from engine_samples import chip, level, platform

from genzcli.catalog.load import Catalog
from genzcli.catalog.path.change import set_path
from genzcli.engine.machine.energy import chip_power_w, power_basis
from genzcli.errors import GenzError


def test_three_bases_by_hand() -> None:
    """Eight chips of 1000 W: 1500 W each in a server of 12 kW, 1300 with hosts of 2.4 kW, 1000 alone."""
    whole = platform(level(size=8), power_w=12e3)
    hosted = platform(level(size=8), host_power_w=2400)
    alone = platform(level(size=8))
    assert [chip_power_w(one) for one in (whole, hosted, alone)] == [1500, 1300, 1000]
    assert [power_basis(one) for one in (whole, hosted, alone)] == ["platform", "chips and hosts", "chips"]
    assert (whole.beside_chips_w, hosted.beside_chips_w, alone.beside_chips_w) == (4000, 2400, None)


def test_hosts_know_nothing_of_a_chip_without_a_figure() -> None:
    unknown = platform(level(size=8), host_power_w=2400, chip=chip(power_w=None))
    assert chip_power_w(unknown) is None
    assert power_basis(unknown) is None


def test_a_server_that_draws_less_than_its_chips_may_has_no_negative_hosts() -> None:
    assert platform(level(size=8), power_w=6e3).beside_chips_w == 0


def test_hosts_stay_around_another_chip() -> None:
    """A DGX H100 has 10.2 kW, 5.6 of it in its GPUs: 575 W a GPU are hosts, fans and switches."""
    parts = {"platform": Catalog().platform("hgx-h100")}
    more = set_path(parts, "chip.power", "1 kW")["platform"]
    assert chip_power_w(more) == pytest.approx(1575)  # type: ignore[arg-type]
    assert power_basis(more) == "chips and hosts"  # type: ignore[arg-type]


def test_the_whole_and_a_part_are_not_given_together() -> None:
    parts = {"platform": Catalog().platform("hgx-h100")}
    with pytest.raises(GenzError, match="host_power a part of it"):
        set_path(parts, "platform.host_power", "1 kW")
    freed = set_path(parts, "platform.power", "none")
    assert chip_power_w(set_path(freed, "platform.host_power", "1 kW")["platform"]) == 825  # type: ignore[arg-type]


def test_every_server_of_the_catalog_is_on_equal_terms() -> None:
    """Wherever the chips' power is known, hosts are counted, or the chip's own figure is the machine's."""
    catalog = Catalog()
    found = {name: catalog.platform(name) for name in catalog.names("platforms")}
    alone = {name for name, one in found.items() if power_basis(one) == "chips"}
    assert {name for name in alone if not name.startswith("paper-")} == {"hailo-10h-module"}
