"""What the benchmarks of prepare share: its parameters, and the clock."""

import resource
import time

import numpy as np
import numpy.typing as npt

from stages.common.params import Prepare

SIZE_PX = 128
SETTINGS = Prepare(
    seed=0,
    image_size_px=SIZE_PX,
    validation_fraction=0.1,
    test_fraction=0.1,
    min_side_px=32,
    max_megapixels=64,
    max_aspect_ratio=4,
    max_rejected_fraction=0.5,
    near_duplicate_bits=8,
    given_splits="keep",
)


def spent() -> npt.NDArray[np.float64]:
    """Return seconds on the clock, and seconds of all cores by this process and its children."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return np.array([time.perf_counter(), sum(one.ru_utime + one.ru_stime for one in used)])
