"""Which arrays may enter, and how they reach a kernel: one number type, native byte order, contiguous rows."""
from __future__ import annotations

from ctypes import addressof, c_char
from math import prod

import numpy as np

REALS = {"float32": "f32", "float64": "f64", "float16": "f32", "bfloat16": "f32"}
# Integers that are moved and compared only: widened to floats that hold every one of them, 64 bits as they are.
WIDENED = {"int8": "f32", "uint8": "f32", "int16": "f32", "uint16": "f32", "int32": "f64", "uint32": "f64", "int64": "f64"}
LINE = 64               # bytes of a cache line
LARGE = 1 << 16         # numbers of a result from which on stores across two lines cost more than finding a line
BYTE = np.dtype(np.uint8)
COMPUTED = {"f32": np.dtype(np.float32), "f64": np.dtype(np.float64)}


def as_array(value, name: str) -> np.ndarray:
    """`value` as an ndarray, without a copy if NumPy can view it.

    Raises
    ------
    TypeError
        If it cannot become an array of numbers, or is a masked array with masked values.
    """
    if isinstance(value, np.ma.MaskedArray):
        if np.ma.is_masked(value):
            raise TypeError(f"{name} is a masked array with masked values; fill them first (numpy.ma.filled)")
        value = value.data
    if not hasattr(value, "__array__") and hasattr(value, "__dlpack__"):
        try:
            return np.from_dlpack(value)
        except (BufferError, RuntimeError, TypeError) as error:
            raise TypeError(f"{name} ({type(value).__name__}) cannot be viewed as an array on the CPU: {error}") from None
    try:
        return np.asarray(value)
    except (ValueError, TypeError, RuntimeError) as error:
        raise TypeError(f"{name} ({type(value).__name__}) cannot be viewed as a NumPy array: {error}") from None


def lined(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """As numpy.empty, but from a cache line on, so that no vector lies across two."""
    memory = np.empty(prod(shape) * dtype.itemsize + LINE, BYTE)
    return np.ndarray(shape, dtype, memory, -addressof(c_char.from_buffer(memory)) % LINE)


def allocator(shape: tuple[int, ...]):
    """What makes arrays of this shape: `lined` where that is worth its microsecond."""
    return lined if prod(shape) >= LARGE else np.empty


def common_type(**arrays: np.ndarray | None) -> np.dtype:
    """The float type that all given arrays share, in native byte order.

    Raises
    ------
    TypeError
        For a type that is not computed, and for mixed types.
    """
    first = None
    for name, array in arrays.items():
        if array is None:
            continue
        if array.dtype.name not in REALS:
            wide = array.dtype.name in ("int64", "uint64", "longdouble", "float128")
            raise TypeError(f"{name} has type {array.dtype}; float32, float64, float16 and bfloat16 are computed: "
                            f"convert it, for example with {name}.astype(numpy.float{64 if wide else 32})")
        dtype = array.dtype.newbyteorder("=")
        if first is None:
            first = name, dtype
        elif dtype != first[1]:
            raise TypeError(f"{name} has type {dtype} but {first[0]} has type {first[1]}: convert one of them")
    return first[1]


def compared_type(array: np.ndarray, name: str) -> tuple[np.dtype, np.dtype, str]:
    """Type of an array whose numbers are only compared, in native byte order; the type that kernels see; their real.

    Raises
    ------
    TypeError
        For a type that is neither computed nor widened.
    """
    if array.dtype.name not in WIDENED:
        if array.dtype.kind in "biu":
            raise TypeError(f"{name} has type {array.dtype}; of the integers {', '.join(WIDENED)} are compared: convert it")
        return (dtype := common_type(**{name: array})), COMPUTED[REALS[dtype.name]], REALS[dtype.name]
    dtype, real = array.dtype.newbyteorder("="), WIDENED[array.dtype.name]
    return dtype, dtype if dtype == np.int64 else COMPUTED[real], real


def contiguous(array: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """`array` as numbers of a native `dtype` that lie in C order; itself if they do."""
    return np.require(array, dtype, ["C", "A"])


def with_rows(array: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """`array` as aligned numbers of a native `dtype` of which those along the last axis lie side by side.

    The other axes may have any stride that is not negative: kernels mark zero padding by a negative offset.
    """
    if (array.dtype == dtype and array.dtype.isnative and array.flags.aligned and array.strides[-1] == dtype.itemsize
            and min(array.strides) >= 0):
        return array
    return contiguous(array, dtype)


def check_out(out, shape: tuple[int, ...], dtype: np.dtype) -> None:
    """Raises ValueError or TypeError unless `out` can be written in full with a result of this shape and type."""
    if not isinstance(out, np.ndarray) or isinstance(out, np.ma.MaskedArray):
        raise TypeError(f"out must be a plain ndarray, not {type(out).__name__}")
    if out.shape != shape:
        raise ValueError(f"out has shape {out.shape}, the result has {shape}")
    if out.dtype != dtype:
        raise ValueError(f"out has type {out.dtype}, the result has {dtype}")
    if not out.flags.writeable:
        raise ValueError("out is read-only")
    if out.size and overlaps_itself(out):       # the strides of an empty array mean nothing
        raise ValueError(f"out overlaps itself: shape {out.shape}, strides {out.strides}")


def overlaps_itself(array: np.ndarray) -> bool:
    """Whether two elements may share memory: no order of the axes nests them. (Never true of a slice of an array.)"""
    reach = array.itemsize
    for step, n in sorted((abs(step), n) for n, step in zip(array.shape, array.strides) if n > 1):
        if step < reach:
            return True
        reach = step * (n - 1) + reach
    return False


def can_write(out: np.ndarray, dtype: np.dtype, *inputs: np.ndarray | None) -> bool:
    """Whether a kernel may write its result straight into `out` while it reads the inputs."""
    return (out.dtype == dtype and out.dtype.isnative and out.flags.carray
            and not any(a is not None and np.may_share_memory(out, a) for a in inputs))


def begin_result(shape: tuple[int, ...], K: int, real: np.dtype, dtype: np.dtype, bias, residual, out,
                 *inputs: np.ndarray | None) -> np.ndarray:
    """What a kernel writes: `out` if it can take it, else a new array of type `real`. `end_result` makes the answer of it.

    Raises
    ------
    TypeError, ValueError
        If bias, residual or out do not fit a result of this shape and type with K channels.
    """
    if bias is not None and bias.shape != (K,):
        raise ValueError(f"bias must have shape {(K,)}, one number per output channel, got {bias.shape}")
    if residual is not None and residual.shape != shape:
        raise ValueError(f"residual must have the shape of the output, {shape}, got {residual.shape}")
    if out is not None:
        check_out(out, shape, dtype)
        if can_write(out, real, *inputs, bias, residual):
            return out
    return allocator(shape)(shape, real)


def end_result(y: np.ndarray, out: np.ndarray | None, dtype: np.dtype) -> np.ndarray:
    """`out` with the numbers of y, or y as an array of type `dtype`."""
    if out is None:
        return y.astype(dtype, copy=False)
    if y is not out:
        out[...] = y
    return out


def direct_target(out, shape: tuple[int, ...], dtype: np.dtype, allocate, *inputs: np.ndarray | None) -> np.ndarray | None:
    """`out`, or what `allocate` gives without it, if kernels may write the result of a call straight into it; else None."""
    if out is None:
        return allocate(shape, dtype)
    if (type(out) is np.ndarray and out.dtype is dtype and out.shape == shape and out.flags.carray
            and not any(a is not None and np.may_share_memory(out, a) for a in inputs)):
        return out
    return None
