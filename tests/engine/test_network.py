"""Groups on levels: who spans what, what is shared, and what a hop costs. m / b worked on paper."""

from __future__ import annotations

import pytest
from engine_samples import IDEAL, close, level, platform

from genzcli.engine.network import Group, collective, extended, hops, spans
from genzcli.spec.profile import CollectiveFit

M = 1e8


def members(size: int, stride: int, *sizes: int) -> list[float]:
    return [float(n) for n, _ in spans(Group(size=size, stride=stride), tuple(level(size=s) for s in sizes))]


def test_a_group_takes_whole_inner_levels_first() -> None:
    assert members(8, 1, 8, 4) == [8, 1]
    assert members(16, 1, 8, 4) == [8, 2]
    assert members(4, 1, 8, 4) == [4, 1]
    assert members(64, 1, 4, 4, 4) == [4, 4, 4]


def test_a_strided_group_finds_fewer_members_inside() -> None:
    assert members(4, 2, 8, 4) == [4, 1]
    assert members(4, 4, 8, 4) == [2, 2]
    assert members(4, 8, 8, 4) == [1, 4]


def test_scale_out_is_the_outermost_level_and_has_room() -> None:
    wide = extended(platform(level(), scale_out=level(name="out", size=1)), 32)
    assert [item.name for item in wide.levels] == ["switch", "out"]
    assert wide.chips == 32
    assert [n for n, _ in spans(Group(size=32), wide.levels)] == [8, 4]


def test_nothing_is_sent_by_one_chip_or_without_payload() -> None:
    assert collective("all-reduce", M, Group(size=1), platform(level()), IDEAL).time_s == 0
    assert collective("all-reduce", 0.0, Group(size=8), platform(level()), IDEAL).time_s == 0


def test_the_algorithm_is_named() -> None:
    route = collective("all-reduce", M, Group(size=8), platform(level(reduces=True)), IDEAL)
    assert route.detail == "switch in-switch x8"


def test_a_chain_of_part_of_a_ring_has_one_direction_for_the_way_round() -> None:
    # 4 of a ring of 8, two links of 50 GB/s: the wrap-around runs back over the same wires:
    # 2 m 3/4 / 50e9 + 6 hops; the closed ring of 8 has both: 2 m 7/8 / 100e9 + 14 hops
    ring = platform(level("ring", 8, bandwidth_bytes_per_s=5e10, links=2))
    assert close(collective("all-reduce", M, Group(size=4), ring, IDEAL).time_s, 6e-6 + 2 * M * 0.75 / 5e10)
    assert close(collective("all-reduce", M, Group(size=8), ring, IDEAL).time_s, 14e-6 + 2 * M * 7 / 8 / 1e11)


def test_fully_connected_splits_the_bandwidth_over_all_peers() -> None:
    # seven links of 10 GB/s, all eight: 2 + 2 m / (8 x 1e10)
    mesh = platform(level("fully-connected", 8, bandwidth_bytes_per_s=1e10, links=7))
    assert close(collective("all-reduce", M, Group(size=8), mesh, IDEAL).time_s, 2e-6 + 2 * M / 8e10)


@pytest.mark.parametrize("size", [2, 4])
def test_part_of_a_mesh_has_the_links_between_its_members_only(size: int) -> None:
    # A pair has one link of 10 GB/s: exchanging halves, then halves again, takes 2 (m/2) / 1e10 at best.
    # Four have three links each: 2 m/4 / 1e10.
    mesh = platform(level("fully-connected", 8, bandwidth_bytes_per_s=1e10, links=7))
    route = collective("all-reduce", M, Group(size=size), mesh, IDEAL)
    assert route.time_s >= 2 * M / size / 1e10


def test_efficiency_of_a_level_in_the_profile() -> None:
    half = IDEAL.replace(collectives={"switch": CollectiveFit(efficiency=0.5)})
    got = collective("all-reduce", M, Group(size=8), platform(level()), half)
    assert close(got.time_s, 4e-6 + 2 * 2 * M * 7 / 8 / 1e11)


def test_efficiency_of_a_collective_in_the_profile() -> None:
    half = IDEAL.replace(collectives={"all-reduce": CollectiveFit(efficiency=0.5)})
    got = collective("all-reduce", M, Group(size=8), platform(level()), half)
    assert close(got.time_s, 4e-6 + 2 * 2 * M * 7 / 8 / 1e11)


def test_smooth_corner_of_a_collective() -> None:
    # p = 1/2: (sqrt l + sqrt x)^2; l = 5 + 4, x = 1750
    fit = IDEAL.replace(collectives={"default": CollectiveFit(base_s=5e-6, corner=0.5)})
    got = collective("all-reduce", M, Group(size=8), platform(level()), fit)
    assert close(got.time_s, (9e-6**0.5 + 1.75e-3**0.5) ** 2)


class TestHop:
    """From one pipeline stage to the next."""

    def test_takes_the_innermost_level_that_holds_both(self) -> None:
        two = platform(level(), level(size=4, name="out", bandwidth_bytes_per_s=1e10, latency_s=5e-6))
        assert close(hops(M, range(0, 0 + 1), 4, two, IDEAL).time_s, 2e-6 + M / 1e11)  # chips 0 and 4
        assert close(hops(M, range(1, 1 + 1), 4, two, IDEAL).time_s, 10e-6 + M / 1e10)  # chips 4 and 8
        assert close(hops(M, range(0, 0 + 1), 8, two, IDEAL).time_s, 10e-6 + M / 1e10)

    def test_uses_one_peers_link_of_a_mesh(self) -> None:
        mesh = platform(level("fully-connected", 8, bandwidth_bytes_per_s=1e10, links=7))
        assert close(hops(M, range(0, 0 + 1), 1, mesh, IDEAL).time_s, 1e-6 + M / 1e10)

    def test_uses_one_link_of_a_ring(self) -> None:
        ring = platform(level("ring", 8, bandwidth_bytes_per_s=5e10, links=2))
        assert close(hops(M, range(0, 0 + 1), 1, ring, IDEAL).time_s, 1e-6 + M / 5e10)

    def test_stages_of_two_chips_share_the_links_of_a_ring(self) -> None:
        # chips 0 and 1 send to 2 and 3 at once: the link 1-2 carries both, and each goes two hops
        ring = platform(level("ring", 8, bandwidth_bytes_per_s=5e10, links=2))
        assert close(hops(M, range(0, 0 + 1), 2, ring, IDEAL).time_s, 2e-6 + 2 * M / 5e10)


class TestTorus:
    """Levels that are all rings: every axis works all the time."""

    torus = platform(
        level("ring", 4, name="x", links=2, bandwidth_bytes_per_s=5e10),
        level("ring", 4, name="y", links=2, bandwidth_bytes_per_s=5e10),
    )

    def test_all_reduce_uses_both_axes(self) -> None:
        # 2 m 15/16 over 2 x 100 GB/s; latency 2 (4 - 1) hops an axis as before
        got = collective("all-reduce", M, Group(size=16), self.torus, IDEAL)
        assert close(got.time_s, 12e-6 + 2 * M * 15 / 16 / 2e11)

    def test_one_axis_alone_is_a_ring(self) -> None:
        got = collective("all-reduce", M, Group(size=4), self.torus, IDEAL)
        assert close(got.time_s, 6e-6 + 2 * M * 3 / 4 / 1e11)

    def test_a_group_beyond_the_torus_goes_level_by_level(self) -> None:
        joined = self.torus.replace(levels=(*self.torus.levels, level("switch", 2, name="out")))
        got = collective("all-gather", M, Group(size=32), joined, IDEAL)
        # shards m/32 out: x and y halves of m, 3/4 m and 3/4 m/4, then m/16 x 1/2 through the switch
        by_hand = 3e-6 + 0.75 * M / 1e11 + 3e-6 + 0.75 * M / 4 / 1e11 + 2e-6 + M / 16 / 2 / 1e11
        assert close(got.time_s, by_hand)
