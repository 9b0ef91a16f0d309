"""Convolutions whose weights are packed once: made from arrays, called with inputs."""
from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from weakref import WeakSet

import numpy as np

from . import config
from .arrays import COMPUTED, REALS, allocator, as_array, common_type, direct_target
from .convolution import execute
from .plan import Plan, forgetting, make_plan
from .problem import Problem, convolution_problem, flag, index, per_axis
from .rank_one import factors, may_be_rank_one
from .recall import MOST_CALLS

LAYERS: WeakSet = WeakSet()         # all that exist and know plans


def forget_calls() -> None:
    for layer in list(LAYERS):
        layer._known.clear()


forgetting.append(forget_calls)


class Convolution:
    """What Conv1d, Conv2d and Conv3d share."""

    operation: str

    def __init__(self, weight, bias=None, stride=1, padding=0, dilation=1, groups=1, *, padding_mode="zeros",
                 channels_last=False, activation=None, algorithm="auto"):
        weight = as_array(weight, "weight")
        bias = None if bias is None else as_array(bias, "bias")
        self.dtype = common_type(weight=weight, bias=bias)
        self.real = REALS[self.dtype.name]
        self.weight = np.array(weight, COMPUTED[self.real], order="C", copy=True)
        self.bias = None if bias is None else np.array(bias, COMPUTED[self.real], order="C", copy=True)
        self.arguments = dict(stride=stride, padding=padding, dilation=dilation, groups=groups, padding_mode=padding_mode,
                              channels_last=flag(channels_last, "channels_last"), activation=activation)
        self.algorithm = algorithm
        self.forget()
        self.check_arguments()

    def forget(self) -> None:
        self._packed: dict[tuple, np.ndarray] = {}
        self._known: dict[tuple, tuple] = {}
        LAYERS.add(self)

    def check_arguments(self) -> None:
        """Raise now what any input would raise: a large one, on which any kernel fits, stands for all."""
        if self.bias is not None and self.bias.shape != self.weight.shape[:1]:
            raise ValueError(f"bias must have shape {self.weight.shape[:1]}, one number per output channel, "
                             f"got {self.bias.shape}")
        axes = int(self.operation[-2])
        if self.weight.ndim == axes + 2:
            channels = self.weight.shape[1] * index(self.arguments["groups"], "groups", 1)
            dilation = per_axis(self.arguments["dilation"], axes, "dilation", 1)
            spatial = [max(1, d * (k - 1) + 1) for d, k in zip(dilation, self.weight.shape[2:])]
            shape = (1, *spatial, channels) if self.arguments["channels_last"] else (1, channels, *spatial)
        else:
            shape = (1,) * (axes + 2)
        convolution_problem(self.operation, shape, self.weight.shape, self.real, **self.arguments)

    def __getstate__(self) -> dict:
        """Plain weights and arguments: another machine may pack them otherwise."""
        return {name: value for name, value in self.__dict__.items() if name not in ("_packed", "_known")}

    def __setstate__(self, state: dict) -> None:
        self.__dict__.update(state)
        self.forget()

    def __repr__(self) -> str:
        arguments = "".join(f", {name}={value!r}" for name, value in self.arguments.items())
        return f"{type(self).__name__}(weight of shape {self.weight.shape}, {self.dtype}{arguments})"

    def plan(self, shape: tuple[int, ...], residual: bool = False) -> Plan:
        """The plan for inputs of a shape, batch included."""
        return make_plan(self.problem(shape, residual), self.algorithm, threads=config.get_num_threads())

    def problem(self, shape: tuple[int, ...], residual: bool = False) -> Problem:
        """What a call asks for inputs of a shape, batch included."""
        problem = convolution_problem(self.operation, shape, self.weight.shape, self.real, **self.arguments,
                                      bias=self.bias is not None, residual=residual, packed=True)
        return replace(problem, rank_one=self.rank_one) if may_be_rank_one(problem, self.algorithm) else problem

    @cached_property
    def rank_one(self) -> bool:
        """Whether every kernel is a column times a row."""
        return factors(self.weight) is not None

    def explain(self, shape: tuple[int, ...]) -> str:
        """Which algorithm runs for inputs of a shape, why the others do not, FLOPs and workspace.

        Raises
        ------
        ValueError
            If inputs of that shape cannot be convolved.
        """
        from .explanation import explain_plan
        return explain_plan(self.plan(self.batched_shape(tuple(shape))))

    def check_type(self, dtype: np.dtype) -> np.dtype:
        """The type of an input. Raises TypeError if the weights have another."""
        if dtype != self.dtype:
            raise TypeError(f"input has type {dtype} but the weights have type {self.dtype}: convert one of them")
        return dtype

    def batched_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return (1, *shape) if len(shape) == int(self.operation[-2]) + 1 else shape

    def packed_for(self, plan: Plan) -> np.ndarray:
        key = plan.row.name, plan.file, plan.isa, plan.problem.G, plan.parts
        if key not in self._packed:
            self._packed[key] = plan.pack(self.weight)
        return self._packed[key]

    def __call__(self, input, residual=None, out=None):
        """Convolve an input; the arguments are those of the function.

        Raises
        ------
        TypeError, ValueError
            As the function.
        """
        if type(input) is np.ndarray and residual is None and not config.validating:
            dtype = input.dtype
            known = self._known.get((input.shape, config.get_num_threads()))
            if known is not None and dtype is known[0] and input.flags.carray:
                y = direct_target(out, known[3], dtype, known[4], input)
                if y is not None:
                    known[1].run(input, self.weight, self.bias, None, y, known[2])
                    return y
        x = as_array(input, "input")
        r = None if residual is None else as_array(residual, "residual")
        dtype = self.check_type(common_type(input=x, residual=r))
        shape = self.batched_shape(x.shape)
        batched = len(shape) == x.ndim
        plan = self.plan(shape, r is not None)
        packed = self.packed_for(plan)
        y = execute(plan, x, self.weight, self.bias, r, out, dtype, batched, packed)
        if r is None and batched and y.size and dtype == COMPUTED[self.real]:
            if len(self._known) >= MOST_CALLS:
                self._known.clear()
            dtype = COMPUTED[self.real]
            self._known[shape, config.get_num_threads()] = dtype, plan, packed, y.shape, allocator(y.shape)
        return y


class Conv1d(Convolution):
    """`conv1d` with weights that are packed once; takes its arguments less `input`, `residual` and `out`.

    Examples
    --------
    >>> import numpy as np, fastconv
    >>> difference = fastconv.Conv1d(np.array([[[-1., 1.]]]))
    >>> difference(np.array([[[1., 4., 9.]]]))
    array([[[3., 5.]]])
    """

    operation = "conv1d"


class Conv2d(Convolution):
    """`conv2d` with weights that are packed once; takes its arguments less `input`, `residual` and `out`.

    A later change of the array that the weights came from does not reach the instance. Instances pickle, and pack anew
    where they are loaded.

    Examples
    --------
    >>> import numpy as np, fastconv
    >>> blur = fastconv.Conv2d(np.full((1, 1, 3, 3), 1 / 9), padding="same", padding_mode="replicate")
    >>> blur(np.ones((1, 1, 4, 4)))[0, 0, 0].round(3)
    array([1., 1., 1., 1.])
    """

    operation = "conv2d"


class Conv3d(Convolution):
    """`conv3d` with weights that are packed once; takes its arguments less `input`, `residual` and `out`.

    Examples
    --------
    >>> import numpy as np, fastconv
    >>> fastconv.Conv3d(np.ones((2, 1, 1, 1, 1)))(np.ones((1, 2, 2, 2))).shape
    (2, 2, 2, 2)
    """

    operation = "conv3d"
