"""Problems of resampling and rearranging: what one call asks, frozen and hashable. Letters as in problem.py.

All checks of shapes and parameters are here; each maker raises ValueError or TypeError that names the argument, its value
and the shape.
"""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import floor, inf, prod

from .problem import LARGEST, LARGEST_ARRAY, arranged, flag, index, is_sequence, one_of, output_size, per_axis

ORDERS = ("CRD", "DCR")
PAD_MODES = ("constant", "reflect", "symmetric", "replicate", "circular")
MODES = ("nearest", "nearest-exact", "linear", "bilinear", "trilinear", "bicubic", "area")
MODE_AXES = {"linear": (1,), "bilinear": (2,), "trilinear": (3,), "bicubic": (2,)}
NEAREST = ("nearest", "nearest-exact")
SAMPLE_MODES = ("bilinear", "nearest", "bicubic")
SAMPLE_PADDING = ("zeros", "border", "reflection")


class Moving:
    """A problem whose items are moved as they are: kernels see unsigned integers of `itemsize` bytes."""

    itemsize: int
    output_shape: tuple[int, ...]
    channels_last = False

    @property
    def work(self) -> int:
        """Items that are read and written."""
        return 2 * prod(self.output_shape)

    def fields(self) -> dict:
        """All that kernels need to know is in the tables that rows make of the problem."""
        return {}

    @property
    def real(self) -> str:
        """The build of the kernels that runs: items of all sizes are moved by the same."""
        return "f32"


@dataclass(frozen=True)
class Rearrangement(Moving):
    """The input seen as an array of shape `view`, its axes in another `order`."""

    operation: str
    itemsize: int
    input_shape: tuple[int, ...]
    view: tuple[int, ...]
    order: tuple[int, ...]
    output_shape: tuple[int, ...]


@dataclass(frozen=True)
class Padding(Moving):
    """Axes that grow or, where a number of `pairs` is negative, are cropped."""

    operation: str
    itemsize: int
    input_shape: tuple[int, ...]
    pairs: tuple[tuple[int, int], ...]      # for each axis
    mode: str

    @property
    def output_shape(self) -> tuple[int, ...]:
        return tuple(n + before + after for n, (before, after) in zip(self.input_shape, self.pairs))


@dataclass(frozen=True)
class Windows(Moving):
    """unfold: windows of images as columns; fold: columns summed into images of `size`."""

    operation: str
    real_name: str
    itemsize: int
    N: int
    C: int
    size: tuple[int, int]
    kernel: tuple[int, int]
    stride: tuple[int, int]
    dilation: tuple[int, int]
    padding: tuple[int, int]

    @property
    def real(self) -> str:
        return self.real_name if self.operation == "fold" else Moving.real.fget(self)

    @property
    def places(self) -> tuple[int, ...]:
        """Windows along each axis."""
        return tuple(output_size(n, k, s, (p, p), d) for n, k, s, p, d in
                     zip(self.size, self.kernel, self.stride, self.padding, self.dilation))

    @property
    def columns_shape(self) -> tuple[int, ...]:
        return self.N, self.C * prod(self.kernel), prod(self.places)

    @property
    def output_shape(self) -> tuple[int, ...]:
        return self.columns_shape if self.operation == "unfold" else (self.N, self.C, *self.size)


class Images:
    """A problem whose input and output are images of the same channels."""

    N: int
    C: int
    size: tuple[int, ...]
    output_size: tuple[int, ...]
    channels_last: bool

    @property
    def input_shape(self) -> tuple[int, ...]:
        return arranged(self.N, self.C, self.size, self.channels_last)

    @property
    def output_shape(self) -> tuple[int, ...]:
        return arranged(self.N, self.C, self.output_size, self.channels_last)

    @property
    def work(self) -> int:
        """Numbers that are read and written."""
        return prod(self.input_shape) + prod(self.output_shape)

    def fields(self) -> dict:
        """All that kernels need to know is in the tables that rows make of the problem."""
        return {}


@dataclass(frozen=True)
class Resampling(Images):
    """interpolate; `scales`: output pixels per input pixel as they were asked for, 0 where only sizes count."""

    operation: str
    real: str
    itemsize: int
    N: int
    C: int
    size: tuple[int, ...]
    output_size: tuple[int, ...]
    mode: str
    scales: tuple[float, ...]
    align_corners: bool = False
    antialias: bool = False
    channels_last: bool = False


@dataclass(frozen=True)
class Sampling(Images):
    """grid_sample; `size` in the order D H W, the grid's last axis in the order x y z."""

    operation: str
    real: str
    N: int
    C: int
    size: tuple[int, ...]
    output_size: tuple[int, ...]
    mode: str
    padding_mode: str
    align_corners: bool
    channels_last: bool


def check_size(shape: Sequence[int], itemsize: int, what: str) -> None:
    if prod(shape) * itemsize > LARGEST_ARRAY:
        raise ValueError(f"output of shape {tuple(shape)} is too large: {what}")


def image_axes(operation: str, shape: Sequence[int], channels_last: bool) -> tuple[tuple[int, ...], int, int, int]:
    """Leading axes, C, H, W of an input whose last three axes are an image."""
    channels_last = flag(channels_last, "channels_last")
    if len(shape) < 3:
        layout = "(*, H, W, C)" if channels_last else "(*, C, H, W)"
        raise ValueError(f"input of {operation} must have at least 3 axes {layout}, got shape {tuple(shape)}")
    *lead, a, b, c = shape
    return (tuple(lead), c, a, b) if channels_last else (tuple(lead), a, b, c)


def rearrangement(operation, itemsize, shape, lead, view, order, tail) -> Rearrangement:
    """`view` and `order` of the axes behind the `lead` ones; `tail` is how the last axes of the result are shaped."""
    keep = tuple(range(len(lead)))
    return Rearrangement(operation, itemsize, tuple(shape), (*lead, *view), (*keep, *(len(lead) + i for i in order)),
                         (*lead, *tail))


def pixel_shuffle_problem(shape: Sequence[int], itemsize: int, factor, order: str, channels_last: bool) -> Rearrangement:
    """Channels (c, i, j) or, in the order DCR, (i, j, c) become the pixels (h * r + i, w * r + j)."""
    lead, C, H, W = image_axes("pixel_shuffle", shape, channels_last)
    r = index(factor, "upscale_factor", 1)
    crd = one_of(order, "order", ORDERS) == "CRD"
    if C % (r * r):
        raise ValueError(f"upscale_factor={r} needs channels in multiples of {r * r}, got {C}: "
                         f"input of shape {tuple(shape)}")
    C //= r * r
    parts = (C, r, r) if crd else (r, r, C)
    c, i, j = (0, 1, 2) if crd else (2, 0, 1)
    if channels_last:
        return rearrangement("pixel_shuffle", itemsize, shape, lead, (H, W, *parts), (0, 2 + i, 1, 2 + j, 2 + c),
                             (H * r, W * r, C))
    return rearrangement("pixel_shuffle", itemsize, shape, lead, (*parts, H, W), (c, 3, i, 4, j), (C, H * r, W * r))


def pixel_unshuffle_problem(shape: Sequence[int], itemsize: int, factor, order: str, channels_last: bool) -> Rearrangement:
    """The inverse of pixel_shuffle."""
    lead, C, H, W = image_axes("pixel_unshuffle", shape, channels_last)
    r = index(factor, "downscale_factor", 1)
    crd = one_of(order, "order", ORDERS) == "CRD"
    if H % r or W % r:
        raise ValueError(f"downscale_factor={r} does not divide the image of {H} x {W} pixels: "
                         f"input of shape {tuple(shape)}")
    return space_to_channels("pixel_unshuffle", shape, itemsize, lead, (C, H, W), r, "cij" if crd else "ijc", channels_last)


def space_to_channels(operation, shape, itemsize, lead, extents, r, channel, channels_last) -> Rearrangement:
    """Pixels (h * r + i, w * r + j) become channels, in the order that `channel` tells."""
    C, H, W = extents
    names = "hiwjc" if channels_last else "chiwj"
    view = {"c": C, "h": H // r, "i": r, "w": W // r, "j": r}
    result = f"hw{channel}" if channels_last else f"{channel}hw"
    tail = (H // r, W // r, C * r * r) if channels_last else (C * r * r, H // r, W // r)
    return rearrangement(operation, itemsize, shape, lead, [view[n] for n in names], [names.index(n) for n in result], tail)


def focus_problem(shape: Sequence[int], itemsize: int, channels_last: bool) -> Rearrangement:
    """The four pixels of each 2 x 2 block as channels, rows before columns."""
    lead, C, H, W = image_axes("focus", shape, channels_last)
    if H % 2 or W % 2:
        raise ValueError(f"focus needs an even number of rows and columns, got {H} x {W}: input of shape {tuple(shape)}")
    return space_to_channels("focus", shape, itemsize, lead, (C, H, W), 2, "jic", channels_last)


def channel_shuffle_problem(shape: Sequence[int], itemsize: int, groups, channels_last: bool) -> Rearrangement:
    """Channels (g, c) become (c, g)."""
    if len(shape) < 3:
        raise ValueError(f"input of channel_shuffle must have at least 3 axes, (N, C, *spatial) or, channels_last, "
                         f"(N, *spatial, C); got shape {tuple(shape)}")
    G, shape, channels_last = index(groups, "groups", 1), tuple(shape), flag(channels_last, "channels_last")
    C = shape[-1] if channels_last else shape[1]
    if C % G:
        raise ValueError(f"groups={G} does not divide the {C} channels: input of shape {shape}")
    lead, rest = (shape[:-1], ()) if channels_last else (shape[:1], shape[2:])
    return rearrangement("channel_shuffle", itemsize, shape, lead, (G, C // G, *rest),
                         (1, 0, *range(2, 2 + len(rest))), (C, *rest))


def pad_problem(shape: Sequence[int], itemsize: int, pad, mode: str, channels_last: bool) -> Padding:
    """`pad` has (before, after) for the last axis first; channels_last leaves the last axis alone."""
    shape, mode = tuple(shape), one_of(mode, "mode", PAD_MODES)
    if not is_sequence(pad):
        raise TypeError(f"pad must be a sequence of ints, not {type(pad).__name__}: {pad!r}")
    numbers = [index(p, f"pad[{i}]", -LARGEST) for i, p in enumerate(pad)]
    axes = len(shape) - flag(channels_last, "channels_last")
    if len(numbers) % 2 or len(numbers) // 2 > axes:
        raise ValueError(f"pad must have two numbers for each of at most {max(axes, 0)} axes, got {len(numbers)}: "
                         f"input of shape {shape}")
    pairs = [(0, 0)] * axes
    for i in range(len(numbers) // 2):
        pairs[axes - 1 - i] = numbers[2 * i], numbers[2 * i + 1]
    for axis, (n, (before, after)) in enumerate(zip(shape, pairs)):
        left = n + min(before, 0) + min(after, 0)
        if left < 0:
            raise ValueError(f"pad={(before, after)} crops more than the {n} pixels of axis {axis}: input of shape {shape}")
        if left == 0 and mode != "constant" and (before > 0 or after > 0):
            raise ValueError(f"mode={mode!r} has no pixels to repeat on axis {axis} with pad={(before, after)}: "
                             f"input of shape {shape}")
    problem = Padding("pad", itemsize, shape, (*pairs, *[(0, 0)] * (len(shape) - axes)), mode)
    check_size(problem.output_shape, itemsize, f"pad={tuple(numbers)}")
    return problem


def windows_problem(operation: str, shape: Sequence[int], size: Sequence[int], C: int, itemsize: int, real: str, kernel,
                    dilation, padding, stride) -> Windows:
    """`shape` has the batch axis; `size` is that of the images, C their channels."""
    dilation, padding = per_axis(dilation, 2, "dilation", 1), per_axis(padding, 2, "padding", 0)
    stride = per_axis(stride, 2, "stride", 1)
    for axis, (n, k, d, p) in enumerate(zip(size, kernel, dilation, padding)):
        if n + 2 * p < d * (k - 1) + 1:
            raise ValueError(f"kernel_size={kernel} with dilation={dilation} reaches over {d * (k - 1) + 1} pixels but "
                             f"spatial axis {axis} of {tuple(size)} has only {n + 2 * p} with padding={padding}: "
                             f"input of shape {tuple(shape)}")
    problem = Windows(operation, real, itemsize, shape[0], C, tuple(size), kernel, stride, dilation, padding)
    check_size(problem.columns_shape, itemsize, f"input of shape {tuple(shape)}, kernel_size={kernel}")
    check_size(problem.output_shape, itemsize, f"input of shape {tuple(shape)}, output_size={tuple(size)}")
    return problem


def unfold_problem(shape: Sequence[int], itemsize: int, kernel_size, dilation, padding, stride) -> Windows:
    if len(shape) != 4:
        raise ValueError(f"input of unfold must have 4 axes (N, C, H, W), or 3 without a batch; got shape {tuple(shape)}")
    if 0 in shape[1:]:
        raise ValueError(f"input of unfold has an axis of length 0: shape {tuple(shape)}")
    return windows_problem("unfold", shape, shape[2:], shape[1], itemsize, "", per_axis(kernel_size, 2, "kernel_size", 1),
                           dilation, padding, stride)


def fold_problem(shape: Sequence[int], real: str, output_size, kernel_size, dilation, padding, stride) -> Windows:
    if len(shape) != 3:
        raise ValueError("input of fold must have 3 axes (N, C * kernel, windows), or 2 without a batch; "
                         f"got shape {tuple(shape)}")
    size, kernel = per_axis(output_size, 2, "output_size", 1), per_axis(kernel_size, 2, "kernel_size", 1)
    if shape[1] == 0 or shape[1] % prod(kernel):
        raise ValueError(f"kernel_size={kernel} needs channels in multiples of {prod(kernel)}, got {shape[1]}: "
                         f"input of shape {tuple(shape)}")
    problem = windows_problem("fold", shape, size, shape[1] // prod(kernel), 8 if real == "f64" else 4, real, kernel,
                              dilation, padding, stride)
    if prod(problem.places) != shape[2]:
        raise ValueError(f"output_size={size} with kernel_size={kernel} has {problem.places[0]} x {problem.places[1]} "
                         f"windows, input has {shape[2]}: shape {tuple(shape)}")
    return problem


def interpolate_problem(shape: Sequence[int], real: str, itemsize: int, size, scale_factor, mode: str, align_corners,
                        recompute_scale_factor, antialias, channels_last: bool) -> Resampling:
    """`real` is empty where items of `itemsize` bytes are moved."""
    mode, shape = one_of(mode, "mode", MODES), tuple(shape)
    antialias, channels_last = flag(antialias, "antialias"), flag(channels_last, "channels_last")
    align_corners = None if align_corners is None else flag(align_corners, "align_corners")
    if recompute_scale_factor is not None:
        recompute_scale_factor = flag(recompute_scale_factor, "recompute_scale_factor")
    axes = len(shape) - 2
    allowed = MODE_AXES.get(mode, (1, 2, 3))
    if axes not in allowed:
        raise ValueError(f"mode={mode!r} needs an input with {' or '.join(str(a + 2) for a in allowed)} axes, a batch and "
                         f"channels among them; got shape {shape}")
    if antialias and mode not in ("bilinear", "bicubic"):
        raise ValueError(f"antialias=True is only for mode='bilinear' and mode='bicubic', not {mode!r}")
    if align_corners is not None and (mode in NEAREST or mode == "area"):
        raise ValueError(f"align_corners={align_corners!r} means nothing for mode={mode!r}: leave it None")
    pixels, C = (shape[1:-1], shape[-1]) if channels_last else (shape[2:], shape[1])
    if C == 0 or 0 in pixels:
        raise ValueError(f"input of interpolate has an axis of length 0: shape {shape}")
    if (size is None) == (scale_factor is None):
        raise ValueError(f"give size or scale_factor, and not both: size={size!r}, scale_factor={scale_factor!r}")
    if size is not None:
        if recompute_scale_factor:
            raise ValueError(f"recompute_scale_factor=True means nothing with size={size!r}")
        result, scales = per_axis(size, axes, "size", 1), (0.0,) * axes
    else:
        scales = factors(scale_factor, axes)
        result = tuple(scaled(n, s, shape) for n, s in zip(pixels, scales))
        if recompute_scale_factor or mode == "area":
            scales = (0.0,) * axes
    real = real or "f32"            # items of all sizes are moved by the same build
    problem = Resampling("interpolate", real, itemsize, shape[0], C, pixels, result, mode, scales, bool(align_corners),
                         antialias, channels_last)
    check_size(problem.output_shape, itemsize, f"input of shape {shape}, size={result}")
    return problem


def factors(scale_factor, axes: int) -> tuple[float, ...]:
    values = tuple(scale_factor) if is_sequence(scale_factor) else (scale_factor,) * axes
    if len(values) != axes:
        raise ValueError(f"scale_factor must be a number or have one for each of {axes} spatial axes, got {scale_factor!r}")
    for value in values:
        if isinstance(value, (bool, str, bytes)):
            raise TypeError(f"scale_factor must be a real number, not {type(value).__name__}: {scale_factor!r}")
    try:
        values = tuple(float(v) for v in values)
    except OverflowError:
        raise ValueError(f"scale_factor={scale_factor!r} exceeds all floats") from None
    except (TypeError, ValueError):
        raise TypeError(f"scale_factor must be a real number or one for each axis: {scale_factor!r}") from None
    if not all(0 < v < inf for v in values):
        raise ValueError(f"scale_factor={scale_factor!r} must be positive and finite")
    return values


def scaled(n: int, scale: float, shape: Sequence[int]) -> int:
    """Pixels of an axis of n pixels after scaling: rounded down."""
    if not 1 <= n * scale <= LARGEST_ARRAY:
        raise ValueError(f"scale_factor={scale} makes {n * scale:g} pixels of an axis of {n}: input of shape {tuple(shape)}")
    return floor(n * scale)


def grid_sample_problem(shape: Sequence[int], grid_shape: Sequence[int], real: str, mode: str, padding_mode: str,
                        align_corners, channels_last: bool) -> Sampling:
    mode, padding_mode = one_of(mode, "mode", SAMPLE_MODES), one_of(padding_mode, "padding_mode", SAMPLE_PADDING)
    align_corners, channels_last = flag(align_corners, "align_corners"), flag(channels_last, "channels_last")
    shape, grid_shape = tuple(shape), tuple(grid_shape)
    axes = len(shape) - 2
    shapes = f"input of shape {shape}, grid of shape {grid_shape}"
    if axes not in (2, 3):
        raise ValueError(f"input of grid_sample must have 4 or 5 axes: {shapes}")
    if len(grid_shape) != axes + 2 or grid_shape[-1] != axes:
        raise ValueError(f"grid must have {axes + 2} axes, the last of them {axes} coordinates: {shapes}")
    if grid_shape[0] != shape[0]:
        raise ValueError(f"grid has a batch of {grid_shape[0]}, input one of {shape[0]}: {shapes}")
    if mode == "bicubic" and axes != 2:
        raise ValueError(f"mode='bicubic' needs an input with 4 axes: {shapes}")
    size, C = (shape[1:-1], shape[-1]) if channels_last else (shape[2:], shape[1])
    if C == 0 or 0 in size:
        raise ValueError(f"input of grid_sample has an axis of length 0: {shapes}")
    if prod(shape[1:]) > 2**62:
        raise ValueError(f"input of grid_sample is too large: {shapes}")
    problem = Sampling("grid_sample", real, shape[0], C, size, grid_shape[1:-1], mode, padding_mode, align_corners,
                       channels_last)
    check_size(problem.output_shape, 8 if real == "f64" else 4, shapes)
    return problem
