"""Numbers and intervals as tables show them."""

import numpy as np

from facerec import metrics
from facerec.types import Floats


def shown(values: Floats, scale: float, digits: int) -> str:
    """The first value with the 95 % interval of the others, of those resamples that hold searches of both kinds."""
    if np.isnan(values[0]):
        return "-"
    low, high = metrics.percentile_interval(values[1:][~np.isnan(values[1:])])
    return f"{scale * values[0]:.{digits}f} ({scale * low:.{digits}f} to {scale * high:.{digits}f})"
