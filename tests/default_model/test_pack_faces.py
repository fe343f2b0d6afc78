"""scripts/default_model/pack_faces.py: what is packed is what the links lead to."""

import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import PIL.Image
from running import ROOT
from toy_faces import photo


def test_links_are_packed_as_files_and_crops_smaller_on_request(tmp_path: Path) -> None:
    folder, crop = tmp_path / "wide", tmp_path / "crop.webp"
    (folder / "faces" / "ann").mkdir(parents=True)
    PIL.Image.fromarray(photo(0, 0)).save(crop, "WEBP", quality=95)
    PIL.Image.fromarray(photo(0, 0, 80)).save(folder / "faces" / "ann" / "2.webp", "WEBP", quality=95)
    (folder / "faces" / "ann" / "1.webp").symlink_to(crop)
    (folder / "times.csv").write_text("photo,times\n", "utf-8")
    sizes = {}
    for name, more in (("whole", []), ("small", ["--quality", "30"])):
        packed, there = tmp_path / f"{name}.tar.gz", tmp_path / name
        script = ROOT / "scripts" / "default_model" / "pack_faces.py"
        command = [sys.executable, str(script), str(folder), str(packed), *more]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        assert said == f"{packed}: 3 files, {packed.stat().st_size / 2**20:.1f} MiB\n"
        with tarfile.open(packed) as file:
            file.extractall(there, filter="data")
        assert (there / "times.csv").read_text("utf-8") == "photo,times\n"
        copy = there / "faces" / "ann" / "1.webp"
        sizes[name] = copy.stat().st_size
        difference = np.asarray(PIL.Image.open(copy).convert("RGB")).astype(int) - photo(0, 0)
        assert np.abs(difference).mean() < 15
        assert PIL.Image.open(copy.with_name("2.webp")).size == ((80, 80) if name == "whole" else (128, 128))
        assert (copy.read_bytes() == crop.read_bytes()) == (name == "whole")
    assert sizes["small"] < 0.7 * sizes["whole"]
