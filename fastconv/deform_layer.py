"""Deformable convolution whose weights are packed once, and that can predict its offsets and masks itself."""
from __future__ import annotations

from math import prod

from . import config
from .arrays import COMPUTED, REALS, as_array, common_type, contiguous
from .convolution import execute
from .deform_problem import count_offset_groups, deform_problem
from .deformable import with_batch
from .layers import Conv2d, Convolution
from .plan import Plan, make_plan


class DeformConv2d(Convolution):
    """`deform_conv2d` with weights that are packed once, and with convolutions for its offsets and masks if they are given.

    Without `offset_weight` it is called ``conv(input, offset, mask=None)``; with it ``conv(input)``: offsets are then
    ``conv2d(input, offset_weight, offset_bias)`` and masks, with `mask_weight`, ``sigmoid(conv2d(input, mask_weight,
    mask_bias))``, all with this layer's stride, padding and dilation (Zhu et al., arXiv:1811.11168, section 3.2).
    `residual` and `out` are those of the function.

    Parameters
    ----------
    weight, bias, stride, padding, dilation, channels_last, activation, algorithm
        As of `deform_conv2d`.
    offset_weight : array, (2 * OG * R * S, C, R, S), optional
    offset_bias : array, (2 * OG * R * S,), optional
    mask_weight : array, (OG * R * S, C, R, S), optional
    mask_bias : array, (OG * R * S,), optional

    Raises
    ------
    TypeError, ValueError
        As the function; and for weights of offset or mask that do not fit `weight` or each other.

    Examples
    --------
    >>> import numpy as np, fastconv
    >>> image = np.arange(9.).reshape(1, 1, 3, 3)
    >>> one_down = np.zeros((1, 2, 3, 3))
    >>> one_down[:, 0] = 1
    >>> fastconv.DeformConv2d(np.ones((1, 1, 1, 1)))(image, one_down)[0, 0]
    array([[3., 4., 5.],
           [6., 7., 8.],
           [0., 0., 0.]])
    >>> still = fastconv.DeformConv2d(np.ones((1, 1, 1, 1)), offset_weight=np.zeros((2, 1, 1, 1)))
    >>> bool((still(image) == image).all())
    True
    """

    operation = "deform_conv2d"

    def __init__(self, weight, bias=None, stride=1, padding=0, dilation=1, *, offset_weight=None, offset_bias=None,
                 mask_weight=None, mask_bias=None, channels_last=False, activation=None, algorithm="auto"):
        super().__init__(weight, bias, stride, padding, dilation, channels_last=channels_last, activation=activation,
                         algorithm=algorithm)
        del self.arguments["groups"], self.arguments["padding_mode"]
        given = {name: None if array is None else as_array(array, name) for name, array in
                 (("offset_weight", offset_weight), ("offset_bias", offset_bias), ("mask_weight", mask_weight),
                  ("mask_bias", mask_bias))}
        common_type(weight=as_array(weight, "weight"), **given)
        check_predictors(self.weight.shape, **given)
        parts = [None if array is None else contiguous(array, COMPUTED[self.real]) for array in given.values()]
        where = dict(stride=stride, padding=padding, dilation=dilation, channels_last=channels_last)
        self.offset = None if offset_weight is None else Conv2d(*parts[:2], **where)
        self.mask = None if mask_weight is None else Conv2d(*parts[2:], **where, activation="sigmoid")

    def plan(self, shape: tuple[int, ...], residual: bool = False, offset_groups: int = 1, masked: bool = False) -> Plan:
        """The plan for inputs of a shape, batch included."""
        problem = deform_problem(shape, self.weight.shape, offset_groups, masked, self.real, **self.arguments,
                                 bias=self.bias is not None, residual=residual, packed=True)
        return make_plan(problem, self.algorithm, threads=config.get_num_threads())

    def explain(self, shape: tuple[int, ...]) -> str:
        """Which algorithm runs for inputs of a shape, its FLOPs and workspace; then the same of offset and mask.

        A layer that does not predict its offsets is explained for one offset group without a mask.

        Raises
        ------
        ValueError
            If inputs of that shape cannot be convolved.
        """
        from .explanation import explain_plan
        shape, groups = self.batched_shape(tuple(shape)), 1
        if self.offset is not None:
            groups = self.offset.weight.shape[0] // (2 * prod(self.weight.shape[2:]))
        own = explain_plan(self.plan(shape, False, groups, self.mask is not None))
        return "\n".join([own, *(part.explain(shape) for part in (self.offset, self.mask) if part is not None)])

    def __call__(self, input, offset=None, mask=None, residual=None, out=None):
        """Convolve an input; the arguments are those of the function.

        Raises
        ------
        TypeError, ValueError
            As the function; and where offsets are given to a layer that predicts them, or missing in one that does not.
        """
        x = as_array(input, "input")
        r = None if residual is None else as_array(residual, "residual")
        if self.offset is None:
            if offset is None:
                raise TypeError("offset is missing: this layer has no offset_weight to predict it from")
            offset, mask = as_array(offset, "offset"), None if mask is None else as_array(mask, "mask")
            dtype = common_type(input=x, offset=offset, mask=mask, residual=r)
        elif offset is not None or mask is not None:
            raise ValueError(f"{'mask' if offset is None else 'offset'} is given, but this layer predicts it: it has an "
                             "offset_weight")
        else:
            dtype = common_type(input=x, residual=r)
        self.check_type(dtype)
        if self.offset is not None:
            numbers = x.astype(COMPUTED[REALS[dtype.name]], copy=False)
            offset, mask = self.offset(numbers), None if self.mask is None else self.mask(numbers)
        shape = self.batched_shape(x.shape)
        batched = len(shape) == x.ndim
        offset, mask = with_batch(offset, batched), with_batch(mask, batched)
        groups = count_offset_groups(offset.shape, self.weight.shape, self.arguments["channels_last"])
        plan = self.plan(shape, r is not None, groups, mask is not None)
        plan.problem.check_offset(offset.shape, None if mask is None else mask.shape)
        return execute(plan, x, self.weight, self.bias, r, out, dtype, batched, self.packed_for(plan), offset, mask)


def check_predictors(weight_shape, offset_weight, offset_bias, mask_weight, mask_bias) -> None:
    """Raises ValueError unless the convolutions of offset and mask fit the weight and each other."""
    for name, array, needed, other in (("offset_bias", offset_bias, "offset_weight", offset_weight),
                                       ("mask_weight", mask_weight, "offset_weight", offset_weight),
                                       ("mask_bias", mask_bias, "mask_weight", mask_weight)):
        if array is not None and other is None:
            raise ValueError(f"{name} of shape {array.shape} is of no use without {needed}")
    if offset_weight is None:
        return
    _, C, *kernel = weight_shape
    taps, shape = prod(kernel), offset_weight.shape
    fits = len(shape) == 4 and list(shape[2:]) == kernel and min(shape) > 0 and shape[0] % (2 * taps) == 0
    if not fits or shape[1] % C or shape[1] % (shape[0] // (2 * taps)):
        raise ValueError(f"offset_weight must have shape (2 * OG * {taps}, channels, {kernel[0]}, {kernel[1]}), its "
                         f"channels a multiple of {C} and of OG, got {shape}: weight of shape {tuple(weight_shape)}")
    if mask_weight is not None and mask_weight.shape != (shape[0] // 2, *shape[1:]):
        raise ValueError(f"mask_weight must have shape {(shape[0] // 2, *shape[1:])}, got {mask_weight.shape}: "
                         f"offset_weight of shape {shape}")
    for name, bias, weight in (("offset_bias", offset_bias, offset_weight), ("mask_bias", mask_bias, mask_weight)):
        if bias is not None and bias.shape != weight.shape[:1]:
            raise ValueError(f"{name} must have shape {weight.shape[:1]}, got {bias.shape}")
