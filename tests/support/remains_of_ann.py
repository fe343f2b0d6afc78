"""Find what is left of Ann after she is removed from a gallery."""

import numpy as np
from toy_gallery import vector

ANN = range(0, 40, 2)


def ann_in(content: bytes) -> list[str]:
    """Return what `content` still holds of Ann: parts of her name, or her vectors."""
    found = [word for word in ("Zebra", b"Zebra".hex()[:8]) if word.encode() in content]
    for number in ANN:
        for kind in (np.float32, np.float16):
            found += [f"{kind.__name__} {number}"] if vector(number).astype(kind).tobytes() in content else []
    return found
