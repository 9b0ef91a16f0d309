"""Region functions at the sizes of a detector: 200 boxes on a feature map of 50 x 68 pixels."""
import numpy as np
import pytest
from streams import LEAST_ROUNDS, MOST_SECONDS, Call, measure, name_of

MAP, PARTS = (1, 256, 50, 68), (1, 8 * 49, 50, 68)
CALLS = [Call("roi_pool", "roi_pool", MAP), Call("roi_align", "roi_align", MAP),
         Call("roi_align max", "roi_align", MAP, options=(("mode", "max"), ("sampling_ratio", 2))),
         Call("ps_roi_pool", "ps_roi_pool", PARTS), Call("ps_roi_align", "ps_roi_align", PARTS),
         Call("deform_roi_pool", "deform_roi_pool", MAP)]


@pytest.mark.benchmark(max_time=MOST_SECONDS, min_rounds=LEAST_ROUNDS)
@pytest.mark.parametrize("call,channels_last", [case for call in CALLS for case in call.cases()], ids=name_of)
def test_regions(benchmark, call, channels_last):
    rng = np.random.default_rng(1)
    corners = np.sort(rng.uniform(0, 800, (200, 2, 2)), axis=1).reshape(200, 4)
    boxes = np.insert(corners, 0, 0, axis=1).astype(np.float32)
    offset = (rng.standard_normal((200, 2, 7, 7), np.float32),) if call.function == "deform_roi_pool" else ()
    measure(benchmark, call, channels_last, (boxes, *offset, 7, 1 / 16))
