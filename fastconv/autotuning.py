"""autotune(): let measured times choose the algorithms, where predicted ones would."""
from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from math import isfinite, prod
from numbers import Real

from . import config, tuned
from .plan import forget_plans
from .problem import Problem
from .rivals import SECONDS, candidates, time_rows

MOST_SECONDS = 60


@contextmanager
def autotune(*, again: bool = False, seconds: float = SECONDS) -> Iterator[dict[str, dict[str, float]]]:
    """Inside the block, measure every algorithm for each new convolution, and keep the quickest for all later calls.

    Whatever is called inside with ``algorithm="auto"`` counts: functions, layers, transposed and combined convolutions.
    The first call of a shape takes as long as all its algorithms together. The choice holds for the rest of the process,
    for every batch and every number of threads, so that a result depends on neither; where the environment variable
    ``FASTCONV_TUNE_FILE`` names a file, it is kept there, and read by every process that the variable is set for.
    Entries are valid for one CPU model, version of fastconv and instruction set; one file may serve several machines,
    and several processes may write to it. Without an entry the predicted times choose.

    Parameters
    ----------
    again : bool
        Measure also what was measured before.
    seconds : float
        For how long each algorithm is called.

    Yields
    ------
    dict
        Fills with what is measured: the convolution -> algorithm -> seconds of its quickest call.

    Raises
    ------
    TypeError, ValueError
        If an argument is none, or FASTCONV_TUNE_FILE names a file that holds something else: it is not overwritten.

    Notes
    -----
    As in FFTW's wisdom [1]_, measuring is asked for, and what was found can be carried on.

    References
    ----------
    .. [1] M. Frigo and S. G. Johnson, The design and implementation of FFTW3, Proc. IEEE 93 (2005) 216-231.

    Examples
    --------
    >>> import numpy as np, fastconv
    >>> image, weight = np.ones((1, 3, 20, 20)), np.ones((8, 3, 3, 3))
    >>> with fastconv.autotune() as found:
    ...     y = fastconv.conv2d(image, weight)
    >>> [sorted(times)[0] for times in found.values()]
    ['direct']
    """
    if not isinstance(again, bool):
        raise TypeError(f"again must be a bool, not {type(again).__name__}: {again!r}")
    if not isinstance(seconds, Real) or isinstance(seconds, bool):
        raise TypeError(f"seconds must be a number, not {type(seconds).__name__}: {seconds!r}")
    if not (isfinite(seconds) and 0 < seconds <= MOST_SECONDS):
        raise ValueError(f"seconds must be above 0 and at most {MOST_SECONDS}, got {seconds!r}")
    check_file()
    found: dict[str, dict[str, float]] = {}

    def measure(problem: Problem, isa: str, threads: int) -> dict[str, float]:
        """Times of all rows; nothing where only one can compute the problem, or where it is known."""
        name = tuned.problem_name(problem)
        if not prod(problem.output_shape) or len(candidates(problem)) < 2 or name in found:
            return {}
        if tuned.known(problem, isa) and not again:
            return {}
        found[name] = time_rows(problem, isa, threads, seconds)
        return found[name]

    before, tuned.measure = tuned.measure, measure
    forget_plans()
    try:
        yield found
    finally:
        tuned.measure = before
        try:
            tuned.save()
        except (OSError, ValueError) as error:
            warnings.warn(f"FASTCONV_TUNE_FILE={str(config.tune_file)!r} is not written: {error}", RuntimeWarning,
                          stacklevel=3)


def check_file() -> None:
    """ValueError if the file that would be written holds something else, or cannot be read."""
    if config.tune_file is not None:
        try:
            tuned.read(config.tune_file)
        except (OSError, ValueError) as error:
            raise ValueError(f"FASTCONV_TUNE_FILE={str(config.tune_file)!r} cannot be used: {error}; remove it, or name "
                             "another") from None
