"""Figures of deformable convolution: every tap moved by its own offset, from a smooth random field."""
from __future__ import annotations

import numpy as np

from .draw_canvas import Dot, Path, Shape
from .draw_figure import AMBER, EMBER, INK, PAPER
from .draw_planes import LIFT, Stage, hull
from .draw_windows import Layer, Place

REACH = 0.6                         # pixels: the standard deviation of an offset


def offset_field(layer: Layer, seed: int, reach: float = REACH) -> np.ndarray:
    """Offsets (P, Q, taps, 2) in pixels, row first: for every tap a wave over the outputs, so that neighbours move alike."""
    random = np.random.default_rng(seed)
    P, Q = layer.output
    taps = int(np.prod([axis.kernel for axis in layer.axes]))
    waves = random.uniform(0.5, 1.1, (2, taps, 2)) * random.choice([-1, 1], (2, taps, 2))
    phase = random.uniform(0, 2 * np.pi, (taps, 2))
    p, q = np.arange(P)[:, None, None, None], np.arange(Q)[None, :, None, None]
    return reach * np.sqrt(2) * np.sin(waves[0] * p + waves[1] * q + phase)


class DeformedStage(Stage):
    """The planes of one deformable convolution."""

    def __init__(self, layer: Layer, seed: int):
        super().__init__([layer])
        self.offsets = offset_field(layer, seed)

    def taps(self, p: Place) -> list[tuple[Place, tuple[float, float]]]:
        """For every tap of output `p` its place without an offset, and where it reads."""
        return [(place, (place[0] + float(dy), place[1] + float(dx)))
                for place, (dy, dx) in zip(self.chain[0].reads(p), self.offsets[p])]

    def frame(self, number: int) -> list[Shape]:
        k, p = self.frames[number]
        shapes: list[Shape] = []
        end = self.rows[-1][k].middle(*p)
        for c in self.chain[0].channels_of(k):
            plane = self.rows[0][c]
            taps = [(plane.face(*place), plane.middle(*place), plane.face(*at, LIFT), plane.middle(*at, LIFT))
                    for place, at in self.taps(p)]
            shapes.append(Path(hull((*(top for *_, top in taps), end)), AMBER, opacity=0.14))
            shapes += [Path(regular, stroke=PAPER, width=1.3, dashed=True) for regular, *_ in taps]
            shapes += [Path(face, AMBER, opacity=0.6) for _, _, face, _ in taps]
            shapes += [Path(face, stroke=EMBER, width=1.2) for _, _, face, _ in taps]
            shapes += [Path((top, end), stroke=EMBER, width=0.9, opacity=0.7, closed=False) for *_, top in taps]
            for _, start, _, top in taps:
                shapes += [Path((start, top), stroke=PAPER, width=2.6, closed=False), Dot(start, 2.8, PAPER),
                           Path((start, top), stroke=INK, width=1.2, closed=False), Dot(start, 1.8, INK)]
            shapes += [dot for *_, top in taps for dot in (Dot(top, 4.0, PAPER), Dot(top, 3.0, INK))]
        for channel, plane in enumerate(self.rows[-1]):
            shapes += self.output_plane(channel, plane, number)
        return shapes
