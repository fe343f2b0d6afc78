"""Ann, who is enrolled and removed, and what is left of her."""

import numpy as np
from toy_gallery import vector

ANN = range(0, 40, 2)


def ann_in(content: bytes) -> list[str]:
    """What of Ann is in some bytes."""
    found = [word for word in ("Zebra", b"Zebra".hex()[:8]) if word.encode() in content]
    for number in ANN:
        for kind in (np.float32, np.float16):
            found += [f"{kind.__name__} {number}"] if vector(number).astype(kind).tobytes() in content else []
    return found
