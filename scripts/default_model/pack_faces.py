"""Pack the folders that `various_faces.py` made into one file, for a machine to which they must be carried.

    .venv/bin/python scripts/default_model/pack_faces.py ../runs/wide wide.tar.gz --quality 35
    mkdir -p RUNS/wide && tar -xzf wide.tar.gz -C RUNS/wide                       # there

The file holds what the links lead to. --quality stores the crops anew: 128 pixels a side, as training scales them, in
WebP of this quality, from 1 to 100. That makes the file smaller; without it they stay as they are.
"""

import argparse
import io
import tarfile
from pathlib import Path

import PIL.Image

from facerec.datasets.drawn import STORED_SIZE
from facerec.photos.crops import aligned_crop
from facerec.photos.reading import read_image


def packed(path: Path, quality: int | None) -> bytes:
    """What the file holds of a crop, or of another file."""
    if quality is None or path.suffix != ".webp":
        return path.read_bytes()
    content = io.BytesIO()
    PIL.Image.fromarray(aligned_crop(read_image(path), STORED_SIZE)).save(content, "WEBP", quality=quality, method=6)
    return content.getvalue()


def main() -> None:
    """Parse the arguments, pack, and say how large the file is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--quality", type=int)
    options = parser.parse_args()
    paths = sorted(path for path in options.folder.rglob("*") if path.is_file())
    with tarfile.open(options.output, "w:gz") as file:
        for path in paths:
            content = packed(path, options.quality)
            entry = tarfile.TarInfo(path.relative_to(options.folder).as_posix())
            entry.size = len(content)
            file.addfile(entry, io.BytesIO(content))
    print(f"{options.output}: {len(paths)} files, {options.output.stat().st_size / 2**20:.1f} MiB")


if __name__ == "__main__":
    main()
