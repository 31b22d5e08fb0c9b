"""Groups on levels: who spans what, what is shared, and what a hop costs. m / b worked on paper."""

from __future__ import annotations

import numpy as np
import pytest
from engine_samples import IDEAL, close, level, platform

from genzcli.engine.machine.network import Group, collective, extended, hops, spans
from genzcli.spec.profile import CollectiveFit, Profile, Way

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

    def test_all_to_all_uses_both_axes(self) -> None:
        # 16 chips send a mean of 1 hop an axis over 4 links of 50 GB/s: 2 m / 200 GB/s; 2 hops at most
        got = collective("all-to-all", M, Group(size=16), self.torus, IDEAL)
        assert close(got.time_s, 4e-6 + M / 1e11)

    def test_all_to_all_waits_for_the_longest_axis(self) -> None:
        # 8 along y: across its two cuts of 4 x 2 x 2 links go 32 chips x m/2 / 2; x is done in half of it
        y = self.torus.levels[1].replace(size=8)
        longer = self.torus.replace(levels=(self.torus.levels[0], y))
        got = collective("all-to-all", M, Group(size=32), longer, IDEAL)
        assert close(got.time_s, 2e-6 + 4e-6 + 16 * M / 2 / (4 * 2 * 5e10))

    def test_all_to_all_leaves_the_torus_after_its_axes(self) -> None:
        joined = self.torus.replace(levels=(*self.torus.levels, level("switch", 2, name="out")))
        got = collective("all-to-all", M, Group(size=32), joined, IDEAL)
        assert close(got.time_s, 4e-6 + M / 1e11 + 2e-6 + M / 2 / 1e11)

    def test_all_to_all_of_a_library_with_ways_is_theirs(self) -> None:
        ways = {"simple": Way(algorithm="ring")}
        known = IDEAL.replace(collectives={"default": CollectiveFit(ways=ways)})
        got = collective("all-to-all", M, Group(size=16), self.torus, known)
        assert close(got.time_s, 4e-6 + 2 * M / 1e11)

    def test_a_group_beyond_the_torus_goes_level_by_level(self) -> None:
        joined = self.torus.replace(levels=(*self.torus.levels, level("switch", 2, name="out")))
        got = collective("all-gather", M, Group(size=32), joined, IDEAL)
        # shards m/32 out: x and y halves of m, 3/4 m and 3/4 m/4, then m/16 x 1/2 through the switch
        by_hand = 3e-6 + 0.75 * M / 1e11 + 3e-6 + 0.75 * M / 4 / 1e11 + 2e-6 + M / 16 / 2 / 1e11
        assert close(got.time_s, by_hand)


class TestSlices:
    """Part of a torus is a box as square as it goes."""

    axes = (("x", 16), ("y", 16), ("z", 24))
    pod = platform(*(level("ring", size, name=name, links=2, closes=4) for name, size in axes))

    @pytest.mark.parametrize(
        ("chips", "box"),
        [
            (1, [1, 1, 1]),
            (4, [2, 2, 1]),
            (6, [2, 2, 2]),
            (24, [4, 3, 2]),
            (64, [4, 4, 4]),
            (128, [8, 4, 4]),
            (6144, [16, 16, 24]),
            (9999, [16, 16, 24]),
        ],
    )
    def test_boxes(self, chips: int, box: list[int]) -> None:
        assert [item.size for item in extended(self.pod, chips).levels] == box

    def test_a_grid_has_the_boxes_of_its_elements(self) -> None:
        sizes = [item.size for item in extended(self.pod, np.array([4, 64, 9999])).levels]
        assert np.array(sizes).T.tolist() == [[2, 2, 1], [4, 4, 4], [16, 16, 24]]

    def test_an_axis_has_no_more_than_there_is(self) -> None:
        flat = platform(level("ring", 2, name="x"), level("ring", 16, name="y"))
        assert [item.size for item in extended(flat, 16).levels] == [2, 8]

    @pytest.mark.parametrize("kind", ["all-reduce", "all-to-all"])
    def test_a_cube_of_a_pod_is_a_cube(self, kind: str) -> None:
        cube = platform(*(item.replace(size=4) for item in self.pod.levels))
        cut = extended(self.pod, 64)
        for size in (2, 8, 16, 64):
            group = Group(size=size)
            assert collective(kind, M, group, cut, IDEAL) == collective(kind, M, group, cube, IDEAL)

    def test_a_ring_that_is_cut_is_open(self) -> None:
        # 2 x 2 of rings closed at multiples of 4, or of 16 only: 2 m 3/4 over one link of each axis
        for pod in (self.pod, platform(*(item.replace(closes=None) for item in self.pod.levels))):
            got = collective("all-reduce", M, Group(size=4), extended(pod, 4), IDEAL)
            one_link = pod.levels[0].bandwidth_bytes_per_s
            assert close(got.transfer_s, 2 * M * 3 / 4 / (2 * one_link))

    def test_one_axis_or_a_switch_is_no_torus(self) -> None:
        for whole in (platform(level("ring", 8)), platform(level("ring", 8), level(size=4))):
            assert extended(whole, 2) == whole


class TestMesh:
    """Lines that are not closed."""

    line = level("mesh", 8, bandwidth_bytes_per_s=5e10, links=2)

    def test_the_way_back_takes_the_second_direction(self) -> None:
        # 2 m 7/8 / 50 GB/s and 14 hops, where the ring has both directions for the way round
        got = collective("all-reduce", M, Group(size=8), platform(self.line), IDEAL)
        assert close(got.time_s, 14e-6 + 2 * M * 7 / 8 / 5e10)

    def test_is_never_faster_than_the_ring(self) -> None:
        ring = platform(self.line.replace(topology="ring"))
        for kind in ("all-reduce", "all-gather", "reduce-scatter", "all-to-all"):
            for size in (2, 3, 4, 8):
                closed = collective(kind, M, Group(size=size), ring, IDEAL).time_s
                open_ = collective(kind, M, Group(size=size), platform(self.line), IDEAL).time_s
                assert open_ >= closed

    def test_two_dimensions_work_at_once(self) -> None:
        two = platform(self.line.replace(size=4, name="x"), self.line.replace(size=4, name="y"))
        got = collective("all-reduce", M, Group(size=16), two, IDEAL)
        assert close(got.time_s, 12e-6 + 2 * M * 15 / 16 / 1e11)
        # half of 16 chips send m/2 each over the 4 links in the middle; 3 hops an axis to the far corner
        got = collective("all-to-all", M, Group(size=16), two, IDEAL)
        assert close(got.time_s, 6e-6 + 8 * M / 2 / (4 * 5e10))


def test_a_fat_tree_carries_less_through_its_top() -> None:
    # 4 to 1: of 100 GB/s a chip 25 go across
    tree = platform(level(size=8, oversubscription=4))
    got = collective("all-reduce", M, Group(size=8), tree, IDEAL)
    assert close(got.time_s, 4e-6 + 2 * M * 7 / 8 / 2.5e10)


def test_a_dragonfly_is_switches_that_are_all_joined() -> None:
    # groups of 4 behind a switch, 3 of them joined by 2 links of 10 GB/s a chip: m 3/4 in a group, then a
    # third of m/4 to each of the two others at once, 10 GB/s to each, and back
    groups = level("fully-connected", 3, name="global", bandwidth_bytes_per_s=1e10, links=2, latency_s=3e-6)
    dragonfly = platform(level(size=4), groups)
    got = collective("all-reduce", M, Group(size=12), dragonfly, IDEAL)
    inside = 2 * (2e-6 + M * 3 / 4 / 1e11)
    assert close(got.time_s, inside + 2 * 3e-6 + 2 * M / 4 / 3 / 1e10)


class TestLibraries:
    """Ways of a library on levels."""

    two = platform(level(size=8, name="in"), level(size=2, name="out", bandwidth_bytes_per_s=1e10))

    def profile(self, **fits: CollectiveFit) -> Profile:
        return IDEAL.replace(collectives={key.replace("__", "."): fit for key, fit in fits.items()})

    def fit(self, base: float, pipelined: bool = False) -> CollectiveFit:
        return CollectiveFit(ways={"w": Way(algorithm="ring", base_s=base, latency=0)}, pipelined=pipelined)

    def test_one_level_after_the_other(self) -> None:
        # inside 2 (1 ms + 7/8 m / 100 GB/s), outside 1 ms + 2 m/8 1/2 / 10 GB/s
        got = collective("all-reduce", M, Group(size=16), self.two, self.profile(default=self.fit(1e-3)))
        assert close(got.time_s, 3e-3 + 2 * 7 / 8 * 1e-3 + M / 8 / 1e10)

    def test_pipelined_bytes_take_as_long_as_on_the_slower_level(self) -> None:
        got = collective(
            "all-reduce", M, Group(size=16), self.two, self.profile(default=self.fit(1e-3, True))
        )
        assert close(got.time_s, 3e-3 + max(2 * 7 / 8 * 1e-3, M / 8 / 1e10))

    def test_a_switch_that_adds_up_does_so_for_the_levels_behind_it(self) -> None:
        sharp = CollectiveFit(
            ways={"nvls": Way(algorithm="in-switch", latency=0), **self.fit(0).ways}, pipelined=True
        )
        joined = self.two.replace(levels=(self.two.levels[0].replace(reduces=True), self.two.levels[1]))
        got = collective("all-reduce", M, Group(size=16), joined, self.profile(default=sharp))
        assert close(got.time_s, max(1e-3, M / 8 / 1e10))

    def test_the_most_particular_calibration_counts(self) -> None:
        profile = self.profile(
            default=self.fit(1),
            **{"all-gather": self.fit(2), "out": self.fit(3), "in__all-gather": self.fit(4)},
        )
        got = collective("all-gather", 1e-3, Group(size=16), self.two, profile).time_s
        assert round(float(got)) == 4 + 3
        assert (
            round(float(collective("reduce-scatter", 1e-3, Group(size=16), self.two, profile).time_s))
            == 1 + 3
        )

    def test_a_group_of_one_is_free_whatever_the_library(self) -> None:
        profile = self.profile(default=self.fit(1))
        assert collective("all-reduce", M, Group(size=1), self.two, profile).time_s == 0
        assert collective("all-reduce", 0.0, Group(size=8), self.two, profile).time_s == 0

    def test_a_hop_goes_the_fastest_way(self) -> None:
        profile = self.profile(
            default=CollectiveFit(ways={"a": Way(base_s=1), "b": Way(base_s=1e-3, latency=0)})
        )
        assert close(hops(M, range(1), 1, self.two, profile).time_s, 2e-3)
