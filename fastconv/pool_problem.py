"""PoolProblem: what one pooling asks, frozen and hashable. The only home of the shape formulas of pooling.

Letters as in problem.py. A window begins at ``i * stride - padding`` and has `kernel` pixels, `dilation` apart; an
adaptive window i of n pixels and m windows covers ``floor(i n / m) .. ceil((i + 1) n / m) - 1``.
"""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod

from .problem import LARGEST, LARGEST_ARRAY, arranged, flag, index, is_sequence, per_axis

MOST_POSITIONS = 2**31 - 1      # of one plane that float32 lanes can count


@dataclass(frozen=True)
class PoolProblem:
    """One pooling: extents, windows, layout, number type."""

    operation: str
    real: str
    N: int
    C: int
    size: tuple[int, ...]
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    padding: tuple[int, ...]
    output_size: tuple[int, ...]
    adaptive: tuple[bool, ...]          # axes whose windows differ in length
    channels_last: bool = False
    indices: bool = False               # positions of the largest pixels are wanted too
    include_pad: bool = True            # a mean divides by the pixels of its window, padding included
    divisor: int = 0                    # by this number instead, unless it is 0
    integers: bool = False              # 64-bit integers, by kernels whose real is "f64"

    @property
    def largest(self) -> bool:
        """Whether the largest pixel is wanted, not the mean."""
        return "max" in self.operation

    @property
    def input_shape(self) -> tuple[int, ...]:
        return arranged(self.N, self.C, self.size, self.channels_last)

    @property
    def output_shape(self) -> tuple[int, ...]:
        return arranged(self.N, self.C, self.output_size, self.channels_last)

    @property
    def itemsize(self) -> int:
        return 8 if self.real == "f64" else 4

    @property
    def work(self) -> int:
        """Numbers read and written."""
        return self.N * self.C * (prod(self.size) + prod(self.output_size))

    @property
    def taps(self) -> int:
        return prod(self.kernel)

    @cached_property
    def reach(self) -> tuple[int, ...]:
        """Pixels from the first of a window to its last."""
        return tuple(d * (k - 1) + 1 for k, d in zip(self.kernel, self.dilation))

    @property
    def whole(self) -> bool:
        """Whether one window covers the whole image."""
        return all(out == 1 and d == 1 and k - p >= n for out, d, k, p, n in
                   zip(self.output_size, self.dilation, self.kernel, self.padding, self.size))

    def in_three_axes(self, values: Sequence, missing) -> list:
        """`values`, one per spatial axis, with `missing` for the leading axes that the problem lacks."""
        return [missing] * (3 - len(values)) + list(values)

    def fields(self) -> dict[str, int]:
        """The kernels' struct Pool, its blocks as small as can be."""
        fields = {"rows": 1, "columns": 1, "channels": 1, "lines": 1, "herk": 0}
        fields |= {"N": self.N, "C": self.C, "channels_last": int(self.channels_last), "largest": int(self.largest),
                   "include_pad": int(self.include_pad), "divisor": self.divisor,
                   "integers": int(self.integers)}
        for names, values, missing in (("DHW", self.size, 1), ("TRS", self.kernel, 1), ("OPQ", self.output_size, 1)):
            fields |= zip(names, self.in_three_axes(values, missing))
        for name, values, missing in (("stride", self.stride, 1), ("dilation", self.dilation, 1), ("pad", self.padding, 0),
                                      ("adaptive", self.adaptive, 0)):
            fields |= zip((f"{name}_d", f"{name}_h", f"{name}_w"), map(int, self.in_three_axes(values, missing)))
        return fields


def pooled_size(size: int, kernel: int, stride: int, padding: int, dilation: int, ceil_mode: bool) -> int:
    """Number of windows along one axis: floor((size + 2 padding - reach) / stride) + 1.

    With `ceil_mode` rounded up, but no window begins beyond the image and the padding before it.
    """
    room = size + 2 * padding - dilation * (kernel - 1) - 1
    if not ceil_mode:
        return room // stride + 1
    out = -(-room // stride) + 1
    return out - 1 if (out - 1) * stride >= size + padding else out


def split_shape(operation: str, shape: Sequence[int], channels_last: bool) -> tuple[int, int, tuple[int, ...]]:
    """N, C and the spatial extents of a shape with batch axis; ValueError unless it has the right axes, none empty."""
    axes, channels_last = int(operation[-2]), flag(channels_last, "channels_last")
    layout = "(N, *spatial, C)" if channels_last else "(N, C, *spatial)"
    if len(shape) != axes + 2:
        raise ValueError(f"input of {operation} must have {axes + 2} axes {layout}, or {axes + 1} without a batch; "
                         f"got shape {tuple(shape)}")
    C, size = shape[-1 if channels_last else 1], tuple(shape[1:-1] if channels_last else shape[2:])
    if C == 0:
        raise ValueError(f"input has no channels: shape {tuple(shape)}")
    if 0 in size:
        raise ValueError(f"input has a spatial axis of length 0: shape {tuple(shape)}")
    return shape[0], C, size


def resolve_stride(stride, kernel: tuple[int, ...]) -> tuple[int, ...]:
    """The stride of each axis; by default windows lie side by side."""
    if stride is None or (is_sequence(stride) and len(stride) == 0):
        return kernel
    return per_axis(stride, len(kernel), "stride", 1)


def pool_problem(operation: str, input_shape: Sequence[int], real: str, kernel_size, stride=None, padding=0, dilation=1,
                 ceil_mode=False, include_pad=True, divisor=None, *, channels_last=False, indices=False,
                 integers=False) -> PoolProblem:
    """Check the arguments of max_pool, avg_pool and lp_pool against each other and make a PoolProblem of them.

    `input_shape` has the batch axis. Raises ValueError or TypeError that names the argument, its value and the shape.
    """
    N, C, size = split_shape(operation, input_shape, channels_last)
    shape, axes = f"input of shape {tuple(input_shape)}", len(size)
    kernel = per_axis(kernel_size, axes, "kernel_size", 1)
    stride = resolve_stride(stride, kernel)
    padding = per_axis(padding, axes, "padding", 0)
    dilation = per_axis(dilation, axes, "dilation", 1)
    divisor, ceil_mode = check_divisor(divisor), flag(ceil_mode, "ceil_mode")
    include_pad, indices = flag(include_pad, "count_include_pad"), flag(indices, "return_indices")
    out = []
    for axis, (n, k, s, p, d) in enumerate(zip(size, kernel, stride, padding, dilation)):
        reach = d * (k - 1) + 1
        if p > k // 2:
            raise ValueError(f"padding={p} is more than half of kernel_size={k} on spatial axis {axis}: {shape}")
        out.append(pooled_size(n, k, s, p, d, ceil_mode))
        if out[-1] < 1:
            raise ValueError(f"kernel_size={k} reaches over {reach} pixels (dilation={d}) but spatial axis {axis} has only "
                             f"{n + 2 * p} with padding={p}: {shape}")
    problem = PoolProblem(operation, real, N, C, size, kernel, stride, dilation, padding, tuple(out), (False,) * axes,
                          bool(channels_last), indices, include_pad, divisor, integers)
    return check_size(problem)


def check_divisor(divisor) -> int:
    if divisor is None:
        return 0
    divisor = index(divisor, "divisor_override", -LARGEST)
    if divisor == 0:
        raise ValueError("divisor_override must not be 0")
    return divisor


def check_size(problem: PoolProblem) -> PoolProblem:
    if prod(problem.output_shape) * 8 > LARGEST_ARRAY:
        raise ValueError(f"output of shape {problem.output_shape} is too large: input of shape {problem.input_shape}")
    if problem.indices and problem.real == "f32" and prod(problem.size) > MOST_POSITIONS:
        raise ValueError(f"return_indices=True with {prod(problem.size)} pixels in a plane: more than {MOST_POSITIONS} are "
                         f"counted in float64 only, input of shape {problem.input_shape}")
    return problem


def adaptive_problem(operation: str, input_shape: Sequence[int], real: str, output_size, *, channels_last=False,
                     indices=False, integers=False) -> PoolProblem:
    """Check the arguments of the adaptive pools and make a PoolProblem of them; None in `output_size` keeps an axis.

    Where the windows are all of one length they are those of a plain pool.
    """
    N, C, size = split_shape(operation, input_shape, channels_last)
    axes = len(size)
    wanted = tuple(output_size) if is_sequence(output_size) else (output_size,) * axes
    if len(wanted) != axes:
        raise ValueError(f"output_size must be an int or have one value for each of {axes} spatial axes, got "
                         f"{output_size!r}: input of shape {tuple(input_shape)}")
    out = tuple(n if m is None else index(m, "output_size", 0) for n, m in zip(size, wanted))
    even = [m == 0 or n % m == 0 for n, m in zip(size, out)]
    kernel = tuple(n // max(m, 1) if same else -(-n // m) + (m % n > 0) for n, m, same in zip(size, out, even))
    stride = tuple(k if same else 1 for k, same in zip(kernel, even))
    kernel = tuple(min(k, n) for k, n in zip(kernel, size))
    problem = PoolProblem(operation, real, N, C, size, kernel, stride, (1,) * axes, (0,) * axes, out,
                          tuple(not same for same in even), bool(channels_last), flag(indices, "return_indices"),
                          integers=integers)
    return check_size(problem)


@dataclass(frozen=True)
class UnpoolProblem:
    """One max_unpool: numbers of one plane go to positions of a larger one."""

    operation: str
    real: str
    N: int
    C: int
    size: tuple[int, ...]
    output_size: tuple[int, ...]
    channels_last: bool = False

    @property
    def output_shape(self) -> tuple[int, ...]:
        return arranged(self.N, self.C, self.output_size, self.channels_last)

    @property
    def work(self) -> int:
        return self.N * self.C * (2 * prod(self.size) + prod(self.output_size))

    def fields(self) -> dict[str, int]:
        return {"N": self.N, "C": self.C, "pixels": prod(self.size), "places": prod(self.output_size),
                "channels_last": int(self.channels_last)}


def unpool_problem(operation: str, input_shape: Sequence[int], real: str, kernel_size, stride=None, padding=0,
                   output_size=None, *, channels_last=False) -> UnpoolProblem:
    """Check the arguments of max_unpool; its extents are those of `output_size`, less than a stride away from the default.

    The default is (size - 1) stride - 2 padding + kernel; `output_size` may have the axes of batch and channels in front.
    """
    N, C, size = split_shape(operation, input_shape, channels_last)
    shape, axes = f"input of shape {tuple(input_shape)}", len(size)
    kernel = per_axis(kernel_size, axes, "kernel_size", 1)
    stride = resolve_stride(stride, kernel)
    padding = per_axis(padding, axes, "padding", 0)
    default = tuple((n - 1) * s - 2 * p + k for n, k, s, p in zip(size, kernel, stride, padding))
    wanted = default
    if output_size is not None:
        given = tuple(output_size) if is_sequence(output_size) else (output_size,) * axes
        if len(given) not in (axes, axes + 2):
            raise ValueError(f"output_size must have {axes} or {axes + 2} values, got {output_size!r}: {shape}")
        spatial = given[-axes:] if len(given) == axes or not channels_last else given[1:-1]
        wanted = tuple(index(m, "output_size", 0) for m in spatial)
    for axis, (m, n, s) in enumerate(zip(wanted, default, stride)):
        if m < 1 or not n - s < m < n + s:
            raise ValueError(f"output_size={m} on spatial axis {axis} is not in {max(1, n - s + 1)} .. {n + s - 1}, which "
                             f"kernel_size={kernel[axis]}, stride={s}, padding={padding[axis]} allow: {shape}")
    problem = UnpoolProblem(operation, real, N, C, size, wanted, bool(channels_last))
    if prod(problem.output_shape) * 8 > LARGEST_ARRAY:
        raise ValueError(f"output of shape {problem.output_shape} is too large: {shape}")
    return problem
