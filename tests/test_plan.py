"""Plans: what is chosen does not depend on what must not matter, and no thread takes more memory than promised."""
import math
from dataclasses import replace

import numpy as np
import pytest
from cases import BLOCKED, BUILDS, SMALL, case, every_build, layout_name

import fastconv
from fastconv import plan as plans
from fastconv.algorithms import CONVOLUTIONS, TABLE
from fastconv.blocks import WORKSPACE
from fastconv.costs import winograd_tiles
from fastconv.plan import make_plan

LARGE = [case((224, 224), (7, 7), C=3, K=64, stride=2, padding=3), case((7, 7), (3, 3), C=2048, K=2048, padding=1),
         case((4096, 4096), (3, 3), C=64, K=64, padding=1), case((56, 56), (1, 1), C=256, K=64),
         case((14, 14), (1, 1), C=4096, K=1000), case((10**7,), (1001,), C=1, K=1), case((10**6,), (3,), C=512, K=512),
         case((64, 256, 256), (3, 3, 3), C=128, K=128), case((512, 512), (64, 64), C=8, K=8),
         case((32, 32), (31, 31), C=2048, K=2048, padding=15),
         case((300, 300), (9, 9), C=960, K=960, groups=960), case((100, 100), (5, 5), C=15, K=33, groups=3, dilation=7)]
HEAVY = {"many kernels": case((7, 7), (1, 1), C=512, K=50257), "more kernels": case((7, 7), (3, 3), C=512, K=200000),
         "large window, few channels": case((300, 300), (181, 181), C=15, K=8),
         "large window, many channels": case((300, 300), (181, 181), C=512, K=8),
         "large window, small image": case((130, 130), (128, 128), C=15, K=64)}


@pytest.mark.parametrize("isa, real", every_build())
def test_a_turned_image_is_bounded(isa, real):
    """All threads share it: 16 MiB, and a vector for each pixel where channels are a power of two."""
    for c in (*LARGE, *HEAVY.values()):
        problem = c.problem(real, False)
        for row in TABLE[c.operation]:
            if row.name == "small" and not row.refuses(problem):
                plan = make_plan(problem, row.name, isa, 1)
                pixels = math.prod(problem.size)
                assert plan.shared <= (16 << 20) + pixels * 16 * problem.itemsize + 1024


@pytest.mark.parametrize("channels_last", [False, True])
def test_a_dilation_that_reaches_nothing_costs_nothing(channels_last):
    """Along an axis of one tap; and beyond the outputs, of which winograd then has no empty tiles."""
    plain, dilated = (case((1, 4000), (1, 2), C=64, K=64, dilation=(d, 16)).problem("f32", channels_last) for d in (1, 16))
    assert dilated == plain
    few, more = (make_plan(case((9, 9), (3, 3), C=8, K=8, dilation=d, padding=d).problem("f32", channels_last), "winograd")
                 for d in (9, 18))
    assert more.workspace == few.workspace
    assert winograd_tiles(more.problem, 6) == winograd_tiles(few.problem, 6)


def over_limit(c, isa, real):
    """Rows that would need more than WORKSPACE, with how they are run."""
    return [(row.name, layout_name(last), "packed" if packed else "unpacked", threads, plan.workspace)
            for last in (False, True) for packed in (False, True) for row in TABLE[c.operation]
            if not row.refuses(problem := c.problem(real, last, packed=packed)) for threads in (1, 2, 64)
            if (plan := make_plan(problem, row.name, isa, threads)).workspace > WORKSPACE]


@pytest.mark.parametrize("isa, real", every_build())
@pytest.mark.parametrize("case", LARGE, ids=str)
def test_workspace_of_large_shapes_is_bounded(case, isa, real):
    assert WORKSPACE == 8 << 20
    assert not over_limit(case, isa, real)


@pytest.mark.parametrize("name", HEAVY)
def test_workspace_of_extreme_shapes_is_bounded(name):
    for isa, real in BUILDS:
        assert not over_limit(HEAVY[name], isa, real)


@pytest.mark.parametrize("isa, real", every_build())
@pytest.mark.parametrize("channels_last", [False, True], ids=layout_name)
@pytest.mark.parametrize("case", [*SMALL[::5], *BLOCKED, *LARGE], ids=str)
def test_choice_looks_at_neither_batch_nor_threads(case, channels_last, isa, real):
    problem = case.problem(real, channels_last)
    chosen = {make_plan(replace(problem, N=N), "auto", isa, threads).row.name
              for N in (1, 2, 7, 64) for threads in (1, 2, 16)}
    assert len(chosen) == 1


@pytest.mark.parametrize("operation", CONVOLUTIONS)
def test_table_is_sound(operation):
    rows = TABLE[operation]
    assert len({row.name for row in rows}) == len(rows) and "auto" not in {row.name for row in rows}
    assert all(row.error >= 1 and row.summary for row in rows)
    axes = int(operation[-2])
    for c in (*SMALL, *LARGE, *HEAVY.values()):
        if len(c.size) == axes:
            for last in (False, True):
                assert rows[-1].refuses(c.problem(channels_last=last)) == "", "the last row never refuses"


@pytest.mark.parametrize("row", TABLE["conv2d"], ids=lambda row: row.name)
def test_every_row_runs_somewhere(row):
    """A row that refuses all cases of the suite would go untested."""
    assert any(not row.refuses(c.problem(channels_last=last)) for c in SMALL for last in (False, True))


def test_equal_problems_share_a_plan():
    problem = SMALL[0].problem("f32")
    assert make_plan(problem) is make_plan(SMALL[0].problem("f32"))
    assert make_plan(problem, threads=2) is not make_plan(problem, threads=3)


def test_plans_kept_are_bounded(monkeypatch):
    monkeypatch.setattr(plans, "MOST_PLANS", 20)
    monkeypatch.setattr(plans, "_plans", plans.OrderedDict())
    for n in range(1, 60):
        make_plan(case((1, n), (1, 1)).problem())
    assert len(plans._plans) <= 20


def test_refusal_gives_its_reason():
    for row in TABLE["conv2d"][:-1]:
        for c in SMALL:
            reason = row.refuses(c.problem("f32")) if len(c.size) == 2 else ""
            if reason:
                with pytest.raises(ValueError) as caught:
                    make_plan(c.problem("f32"), row.name)
                assert reason in str(caught.value) and row.name in str(caught.value)
                break


@pytest.mark.parametrize("shapes", [((1, 3, 9, 9), (0, 3, 3, 3)), ((0, 3, 9, 9), (4, 3, 3, 3)), ((3, 9, 9), (4, 3, 3, 3))])
def test_explain_of_odd_shapes(shapes):
    assert "conv2d" in fastconv.explain("conv2d", *shapes)


@pytest.mark.parametrize("c", [*SMALL[::9], *LARGE], ids=str)
def test_explain_names_every_row_once(c):
    arguments = dict(c.arguments) | {"groups": c.groups}
    text = fastconv.explain(c.operation, c.input_shape(), c.weight_shape, **arguments)
    chosen = [line.split()[1].rstrip(":") for line in text.splitlines() if line.startswith("  algorithm")]
    others = [line.split()[1].rstrip(":") for line in text.splitlines() if line.startswith("  not ")]
    assert sorted(chosen + others) == sorted(fastconv.list_algorithms(c.operation))


def test_explain_checks_its_arguments():
    for arguments, word in (({"dtype": "int8"}, "int8"), ({"stride": 0}, "stride"), ({"algorithm": "fast"}, "fast")):
        with pytest.raises(ValueError, match=word):
            fastconv.explain("conv2d", (1, 3, 9, 9), (4, 3, 3, 3), **arguments)
    with pytest.raises(ValueError):
        fastconv.explain("conv7d", (1, 3, 9, 9), (4, 3, 3, 3))


@pytest.mark.parametrize("error, name, operation, shapes, arguments", [
    (TypeError, "operation", 5, [(1, 3, 9, 9)], {}),
    (TypeError, "input_shape", "conv2d", ["abc", (4, 3, 3, 3)], {}),
    (TypeError, "input_shape", "conv2d", [5, (4, 3, 3, 3)], {}),
    (TypeError, r"input_shape\[0\]", "max_pool2d", [np.zeros((1, 3, 9, 9))], {"kernel_size": 2}),
    (TypeError, r"input_shape\[2\]", "max_pool2d", [(1, 3, 9.5, 9)], {"kernel_size": 2}),
    (ValueError, r"input_shape\[2\]", "max_pool2d", [(1, 3, -9, 9)], {"kernel_size": 2}),
    (TypeError, r"shapes\[0\]", "conv2d", [(1, 3, 9, 9), 5], {}),
    (TypeError, "dtype", "max_pool2d", [(1, 3, 9, 9)], {"kernel_size": 2, "dtype": "number"}),
    (ValueError, "input_shape", "max_pool2d", [(1, 3, 2**40, 2**40)], {"kernel_size": 2}),
    (ValueError, "padding", "conv_transpose2d", [(1, 3, 9, 9), (3, 4, 2, 2)], {"padding": "same"})])
def test_explain_names_what_is_wrong(error, name, operation, shapes, arguments):
    with pytest.raises(error, match=name):
        fastconv.explain(operation, *shapes, **arguments)


@pytest.mark.parametrize("last", [False, True])
def test_explain_of_transposed_as_its_layer(last):
    shape, weight = (2, 9, 7, 8) if last else (2, 8, 9, 7), (8, 3, 3, 2)
    arguments = dict(stride=2, padding=1, output_padding=1, groups=2, channels_last=last)
    text = fastconv.explain("conv_transpose2d", shape, weight, packed=True, **arguments)
    assert text == fastconv.ConvTranspose2d(np.zeros(weight, np.float32), **arguments).explain(shape)
    assert "taps" in text and "-> (2, " in text


STREAMS = [("max_pool2d", [(1, 64, 112, 112)], dict(kernel_size=3, stride=2, padding=1), "windows"),
           ("max_pool2d", [(64, 12, 12)], dict(kernel_size=2, return_indices=True), "direct"),
           ("adaptive_avg_pool2d", [(1, 12, 12, 8)], dict(output_size=1, channels_last=True), "pixels"),
           ("max_unpool2d", [(1, 2, 4, 4), (1, 2, 4, 4)], dict(kernel_size=2), "scatter"),
           ("interpolate", [(1, 3, 9, 9)], dict(scale_factor=2), "gather"),
           ("interpolate", [(1, 3, 9, 9)], dict(scale_factor=2, mode="bilinear"), "resample"),
           ("grid_sample", [(1, 3, 9, 9), (1, 5, 6, 2)], {}, "grid_taps"),
           ("fold", [(1, 8, 4)], dict(output_size=3, kernel_size=2), "fold_rows"),
           ("pixel_shuffle", [(4, 3, 3)], dict(upscale_factor=2), "rearrange"),
           ("roi_align", [(1, 8, 50, 50), (30, 5)], dict(output_size=7), "region_bins"),
           ("deform_roi_pool", [(1, 8, 50, 50), (30, 5), (30, 2, 7, 7)], dict(output_size=7), "region_bins")]


@pytest.mark.parametrize("number", range(len(STREAMS)))
def test_explain_of_streams(number):
    """The rows are those of the table, nothing is computed, and the call that was explained still works."""
    operation, shapes, arguments, row = STREAMS[number]
    text = fastconv.explain(operation, *shapes, **arguments)
    assert text.startswith(f"{operation} of {shapes[0]}")
    assert f"  algorithm   {row}: " in text
    assert "workspace" in text
    others = [line.split()[1].rstrip(":") for line in text.splitlines() if line.startswith("  not ")]
    assert sorted([row, *others]) == sorted(a.name for a in TABLE[operation])


def test_explain_of_streams_checks_arguments():
    with pytest.raises(ValueError, match="kernel_size"):
        fastconv.explain("max_pool2d", (1, 2, 9, 9), kernel_size=0)
    with pytest.raises(ValueError, match="nonsense"):
        fastconv.explain("nonsense", (1, 2, 9, 9))
    assert "empty" in fastconv.explain("avg_pool2d", (0, 2, 9, 9), kernel_size=2)
    with pytest.raises(TypeError):
        fastconv.explain("avg_pool2d", (1, 2, 9, 9), kernel_size=2, colour=3)
