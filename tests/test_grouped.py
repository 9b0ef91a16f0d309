"""Groups of few channels on the lanes, and depthwise volumes, whose blocks are cut in ways of their own."""
import pytest
from cases import assert_exact, case, compute, every_build, integers, layout_name

from fastconv.algorithms import CONVOLUTION

ROWS = {row.name: row for row in CONVOLUTION}


def groups(G, C, K, size, kernel, **arguments):
    return case(size, kernel, C=G * C, K=G * K, groups=G, **arguments)


# Channels of a group: powers of two, primes, more in than out and out than in, around vectors of every build, one in.
CHANNELS = [(9, 2, 2), (5, 4, 4), (3, 8, 8), (3, 16, 16), (2, 32, 32), (7, 3, 3), (3, 7, 7), (2, 5, 17), (3, 20, 3),
            (5, 1, 3), (2, 1, 31), (2, 33, 9), (17, 2, 1)]
# Rows shorter than a tile, of one tile, and some; runs of taps that are cut, or interrupted by strides and dilations.
GEOMETRIES = [((3, 4), (3, 3), {"padding": 1}), ((5, 7), (1, 1), {}), ((4, 23), (2, 7), {"padding": 3}),
              ((9, 17), (3, 3), {"padding": 1, "stride": 2}),
              ((7, 30), (1, 4), {"padding": 2, "stride": (3, 2), "dilation": 2}),
              ((11, 12), (3, 2), {"padding": 4, "dilation": (2, 3), "padding_mode": "circular"}),
              ((8, 9), (3, 5), {"padding": 2, "stride": (4, 1), "padding_mode": "reflect"}), ((130,), (9,), {"padding": 4}),
              ((3, 4, 5), (2, 3, 3), {"padding": 2, "stride": (1, 2, 1)})]
CASES = [groups(*channels, (5, 16), (3, 3), N=2, padding=1) for channels in CHANNELS]
CASES += [groups(3, 4, 4, size, kernel, **arguments) for size, kernel, arguments in GEOMETRIES]
# Several blocks of rows, and of columns.
LARGE = [groups(4, 8, 8, (40, 37), (3, 3), N=2, padding=1), groups(2, 4, 8, (5, 700), (3, 3), padding=1, stride=(1, 2))]
VOLUMES = [case((9, 60, 60), (3, 3, 3), C=3, K=3, groups=3, padding=1),
           case((9, 61, 60), (3, 3, 3), C=2, K=2, groups=2, padding=(2, 1, 0), stride=(2, 1, 1), dilation=(2, 1, 1)),
           case((3, 40, 40), (3, 3, 3), C=40, K=40, groups=40, padding=1),
           case((5, 9, 10), (3, 3, 3), C=35, K=35, groups=35, padding=1, padding_mode="circular"),
           case((4, 5, 6), (1, 3, 3), C=5, K=5, N=2, groups=5, padding=1)]


def check(c, last, name, isa, real, threads=(1, 2)):
    problem, data, row = c.problem(real, last), integers(c, last), ROWS[name]
    if row.refuses(problem):
        pytest.skip(row.refuses(problem))
    for count in threads:
        assert_exact(compute(problem, row, isa, *data.inputs(real), threads=count), problem, row, data)


@pytest.mark.parametrize("isa, real", every_build())
@pytest.mark.parametrize("last", [False, True], ids=layout_name)
@pytest.mark.parametrize("c", [*CASES, *LARGE], ids=str)
def test_groups_of_few_channels_exact(c, last, isa, real):
    check(c, last, "grouped", isa, real)


@pytest.mark.parametrize("isa, real", every_build())
@pytest.mark.parametrize("name, last", [("turned", False), ("depthwise", True)])
@pytest.mark.parametrize("c", VOLUMES, ids=str)
def test_volumes_are_cut_exactly(c, name, last, isa, real):
    check(c, last, name, isa, real)


@pytest.mark.parametrize("size, kernel", [((30, 60, 60), (17, 3, 3)), ((100000,), (3,)), ((40, 9000), (7, 3))])
def test_turned_refuses_what_no_workspace_holds(size, kernel):
    c = case(size, kernel, C=4, K=4, groups=4, padding=1)
    assert "too large" in ROWS["turned"].refuses(c.problem())


def test_grouped_says_why_not():
    refuses = ROWS["grouped"].refuses
    assert "groups" in refuses(case((5, 5), (3, 3), C=4, K=4).problem())
    assert "im2col" in refuses(groups(2, 4, 33, (5, 5), (3, 3)).problem())
    assert "cache" in refuses(groups(2, 64, 4, (200, 200), (31, 31)).problem())
