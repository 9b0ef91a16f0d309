"""Transposed convolutions whose weights are packed once: made from arrays, called with inputs."""
from __future__ import annotations

import numpy as np

from . import config
from .arrays import COMPUTED, REALS, allocator, as_array, common_type, direct_target
from .layers import LAYERS
from .problem import arranged, flag, resolve_activation, resolve_padding
from .recall import MOST_CALLS
from .transposed import conv_transpose, run_steps, steps_of
from .transposed_problem import TransposedProblem, transposed_problem


class ConvolutionTranspose:
    """What ConvTranspose1d, ConvTranspose2d and ConvTranspose3d share."""

    operation: str

    def __init__(self, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1, *,
                 channels_last=False, activation=None, algorithm="auto"):
        weight = as_array(weight, "weight")
        bias = None if bias is None else as_array(bias, "bias")
        self.dtype = common_type(weight=weight, bias=bias)
        self.native = COMPUTED[REALS[self.dtype.name]]
        self.weight = np.array(weight, order="C", copy=True)
        self.bias = None if bias is None else np.array(bias, order="C", copy=True)
        self.arguments = dict(stride=stride, padding=padding, output_padding=output_padding, groups=groups,
                              dilation=dilation)
        self.options = dict(channels_last=flag(channels_last, "channels_last"), activation=activation, algorithm=algorithm)
        self.forget()
        self.check_arguments()

    def forget(self) -> None:
        self._kept: dict = {}
        self._known: dict[tuple, tuple] = {}
        LAYERS.add(self)

    def check_arguments(self) -> None:
        """Raise now what any input would raise: one large enough stands for all."""
        resolve_activation(self.options["activation"])
        axes, channels_last = int(self.operation[-2]), self.options["channels_last"]
        size = (1,) * axes
        if self.weight.ndim == axes + 2:
            padding = resolve_padding(self.arguments["padding"], size, size, size, size) if not isinstance(
                self.arguments["padding"], str) else ((0, 0),) * axes
            size = tuple(1 + sum(pair) for pair in padding)
        shape = arranged(1, self.weight.shape[0] if self.weight.ndim else 1, size, channels_last)
        problem = transposed_problem(self.operation, shape, self.weight.shape, REALS[self.dtype.name], **self.arguments,
                                     channels_last=channels_last)
        if self.bias is not None and self.bias.shape != (problem.K,):
            raise ValueError(f"bias must have shape {(problem.K,)}, one number per output channel, got {self.bias.shape}")

    def __getstate__(self) -> dict:
        """Plain weights and arguments: another machine may pack them otherwise."""
        return {name: value for name, value in self.__dict__.items() if name not in ("_kept", "_known")}

    def __setstate__(self, state: dict) -> None:
        self.__dict__.update(state)
        self.forget()

    def __repr__(self) -> str:
        arguments = "".join(f", {name}={value!r}" for name, value in (self.arguments | self.options).items())
        return f"{type(self).__name__}(weight of shape {self.weight.shape}, {self.dtype}{arguments})"

    def problem(self, shape: tuple[int, ...]) -> TransposedProblem:
        """What a call without residual asks for inputs of a shape, batch included."""
        return transposed_problem(self.operation, shape, self.weight.shape, REALS[self.dtype.name], **self.arguments,
                                  channels_last=self.options["channels_last"], activation=self.options["activation"],
                                  bias=self.bias is not None, packed=True)

    def explain(self, shape: tuple[int, ...]) -> str:
        """Which algorithm computes each phase for inputs of a shape.

        Raises
        ------
        ValueError
            If inputs of that shape cannot be convolved.
        """
        from .explanation import batched_shape, explain_phases
        return explain_phases(self.problem(batched_shape(self.operation, tuple(shape))), self.options["algorithm"])

    def __call__(self, input, residual=None, out=None, *, output_size=None):
        """Convolve an input; the arguments are those of the function.

        Raises
        ------
        TypeError, ValueError
            As the function.
        """
        key = input.shape if type(input) is np.ndarray else None, config.get_num_threads()
        known = self._known.get(key)
        if (known is not None and residual is None and output_size is None and input.dtype is self.native
                and input.flags.carray and not config.validating):
            problem, steps, allocate = known
            y = direct_target(out, problem.output_shape, self.native, allocate, input)
            if y is not None:
                run_steps(problem, steps, input, self.weight, self.bias, None, y, self._kept)
                return y
        arguments = self.arguments | ({} if output_size is None else {"output_padding": 0})
        y = conv_transpose(self.operation, input, self.weight, self.bias, **arguments, output_size=output_size,
                           **self.options, residual=residual, out=out, kept=self._kept)
        if (y.size and y.ndim == self.weight.ndim and residual is None and output_size is None and key[0] is not None
                and self.dtype == self.native):
            problem = self.problem(key[0])
            if len(self._known) >= MOST_CALLS:
                self._known.clear()
            self._known[key] = problem, steps_of(problem, self.options["algorithm"], key[1]), allocator(y.shape)
        return y


class ConvTranspose1d(ConvolutionTranspose):
    """`conv_transpose1d` with weights that are packed once.

    Examples
    --------
    >>> import numpy as np, fastconv
    >>> fastconv.ConvTranspose1d(np.ones((1, 1, 2)), stride=2)(np.array([[[1., 2.]]]))
    array([[[1., 1., 2., 2.]]])
    """

    operation = "conv_transpose1d"


class ConvTranspose2d(ConvolutionTranspose):
    """`conv_transpose2d` with weights that are packed once; takes its arguments less `input`, `residual` and `out`.

    A later change of the array that the weights came from does not reach the instance. Instances pickle, and pack anew
    where they are loaded.

    Examples
    --------
    >>> import numpy as np, fastconv
    >>> up = fastconv.ConvTranspose2d(np.ones((8, 4, 4, 4)), stride=2, padding=1)
    >>> up(np.ones((1, 8, 7, 7))).shape
    (1, 4, 14, 14)
    """

    operation = "conv_transpose2d"


class ConvTranspose3d(ConvolutionTranspose):
    """`conv_transpose3d` with weights that are packed once.

    Examples
    --------
    >>> import numpy as np, fastconv
    >>> fastconv.ConvTranspose3d(np.ones((2, 1, 2, 2, 2)), stride=2)(np.ones((1, 2, 3, 3, 3))).shape
    (1, 1, 6, 6, 6)
    """

    operation = "conv_transpose3d"
