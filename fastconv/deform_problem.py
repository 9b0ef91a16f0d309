"""DeformProblem: what one deformable convolution asks. A Problem with offset groups, checked as convolutions are."""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from math import prod

from .problem import Problem, arranged, convolution_problem, index


@dataclass(frozen=True)
class DeformProblem(Problem):
    """One deformable convolution: each of `offset_groups` equal parts of the input channels has offsets of its own."""

    offset_groups: int = 1
    masked: bool = False

    @property
    def offset_shape(self) -> tuple[int, ...]:
        return arranged(self.N, 2 * self.offset_groups * self.taps, self.output_size, self.channels_last)

    @property
    def mask_shape(self) -> tuple[int, ...]:
        return arranged(self.N, self.offset_groups * self.taps, self.output_size, self.channels_last)

    @property
    def bytes(self) -> int:
        """Input, offset, mask, weights and output, each once."""
        return super().bytes + self.itemsize * (prod(self.offset_shape) + self.masked * prod(self.mask_shape))

    def check_offset(self, offset_shape: Sequence[int], mask_shape: Sequence[int] | None) -> None:
        """Raises ValueError unless offset and mask, with the batch axis, have the shapes that this problem needs."""
        for name, shape, right in (("offset", offset_shape, self.offset_shape), ("mask", mask_shape, self.mask_shape)):
            if shape is not None and tuple(shape) != right:
                raise ValueError(f"{name} must have shape {right}, or {right[1:]} without a batch, got {tuple(shape)}: "
                                 f"input of shape {self.input_shape}, weight of shape {self.weight_shape}, "
                                 f"stride={self.stride}, padding={self.padding}, dilation={self.dilation}")


def count_offset_groups(offset_shape: Sequence[int], weight_shape: Sequence[int], channels_last: bool) -> int:
    """The channels of an offset, batch axis included, over two for each tap.

    Raises ValueError if it has none, or another number of axes; a weight that is none gets its error elsewhere.
    """
    if len(offset_shape) != 4:
        layout = "(N, P, Q, 2 * OG * R * S)" if channels_last else "(N, 2 * OG * R * S, P, Q)"
        raise ValueError(f"offset must have 4 axes {layout}, or 3 where the input has no batch; got shape "
                         f"{tuple(offset_shape)}")
    channels, unit = offset_shape[-1 if channels_last else 1], 2 * prod(weight_shape[2:])
    if unit and (channels == 0 or channels % unit):
        raise ValueError(f"offset must have a multiple of {unit} channels, two for each of {unit // 2} taps, got "
                         f"{channels}: offset of shape {tuple(offset_shape)}, weight of shape {tuple(weight_shape)}")
    return channels // unit if unit else 1


def deform_problem(input_shape: Sequence[int], weight_shape: Sequence[int], offset_groups: int, masked: bool, real: str,
                   stride=1, padding=0, dilation=1, channels_last=False, activation=None, bias=False, residual=False,
                   packed=False) -> DeformProblem:
    """Check the arguments of deform_conv2d against each other and make a DeformProblem of them.

    `input_shape` has the batch axis. The groups of the weight are the channels of the input over those of the weight.
    Raises ValueError or TypeError that names the argument, its value and the shape.
    """
    groups = index(offset_groups, "offset_groups", 1)
    shapes = f"input of shape {tuple(input_shape)}, weight of shape {tuple(weight_shape)}"
    G = 1
    if len(input_shape) == len(weight_shape) == 4 and weight_shape[1]:
        C = input_shape[-1 if channels_last else 1]
        if C % weight_shape[1]:
            raise ValueError(f"weight has {weight_shape[1]} channels, which do not divide the {C} of the input: {shapes}")
        G = max(1, C // weight_shape[1])
    plain = convolution_problem("conv2d", input_shape, weight_shape, real, stride, padding, dilation, G, "zeros",
                                channels_last, activation, bias, residual, packed)
    if plain.C % groups:
        raise ValueError(f"{groups} offset groups do not divide the {plain.C} input channels: {shapes}")
    arguments = {field.name: getattr(plain, field.name) for field in fields(plain)} | {"operation": "deform_conv2d"}
    return DeformProblem(**arguments, offset_groups=groups, masked=bool(masked))
