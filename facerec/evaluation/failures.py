"""Photos that fail, counted one way by every protocol.

| kind | what becomes of it |
|---|---|
| missing: no such file | it says nothing of the model: the evaluation is refused, or `skip_missing` leaves it out |
| unreadable: damaged, or no image | the same |
| without a usable face | it failed: whoever is on it is missed |
| with a poor face, too poor to be enrolled (`Quality.faults`) | it is used like any other, and counted |

A failed photo makes a miss of a genuine pair, of a search by somebody enrolled, and of a photo that has a class. An
impostor pair and a stranger's search would instead be right without being decided. So rates leave them out (`counted`),
and the counts of pairs and searches keep them.
"""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from facerec.errors import DataError, FacerecError, ImageError, NoFaceError
from facerec.faces.quality import measure
from facerec.photos.memory import EmbeddedPhoto
from facerec.photos.reading import require_image
from facerec.text import how_many, printable
from facerec.types import Face

Bools = NDArray[np.bool_]


class DonePhoto(Protocol):
    """A photo that was embedded or classified. faces: those that were used; none where whole pictures are read."""

    @property
    def path(self) -> Path: ...
    @property
    def faces(self) -> Sequence[Face]: ...
    @property
    def error(self) -> FacerecError | None: ...
    @property
    def remarks(self) -> Sequence[str]: ...


Done = TypeVar("Done", bound=DonePhoto)


def counted(genuine: Bools, usable: Bools) -> Bools:
    """(N,) whether rates are about a comparison. usable: (N,) whether all its photos have a usable face."""
    return genuine | usable


@dataclass(slots=True)
class Failures:
    """The photos of one evaluation that failed, by kind: a message each, in their order.

    skip_missing: leave out missing and unreadable photos instead of refusing. photos: how many were asked for.
    left_out: the missing and the unreadable ones. remarked: those used with a remark (`types.Photo.remarks`).
    known: path -> a photo that was embedded before, which need not be there.
    """

    skip_missing: bool = False
    photos: int = 0
    missing: list[str] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    no_face: list[str] = field(default_factory=list)
    poor: list[str] = field(default_factory=list)
    remarked: list[str] = field(default_factory=list)
    left_out: set[Path] = field(default_factory=set)
    known: Mapping[Path, EmbeddedPhoto] = field(default_factory=dict)

    def readable(self, paths: Iterable[Path], absent: Mapping[Path, str] | None = None) -> list[Path]:
        """Return the photos that exist and begin like photos, each once; they are not decoded.

        absent: photos known to be missing -> the message. Raises DataError if not all photos can be returned, unless
        `skip_missing`; also if none is left.
        """
        absent = absent or {}
        wanted = [path for path in dict.fromkeys(paths) if path not in absent]
        self.photos += len(wanted) + len(absent)
        for path, message in absent.items():
            self._leave_out(path, self.missing, message)
        for path in wanted:
            if path not in self.known and not os.path.exists(path):
                self._leave_out(path, self.missing, f"{printable(path)}: no such file")
        self._refuse()
        for path in wanted:
            if path not in self.left_out and (error := self._fault(path)):
                self._leave_out(path, self.unreadable, error)
        self._refuse()
        left = [path for path in wanted if path not in self.left_out]
        if not left:
            raise DataError(f"not one photo (of {self.photos}) can be read, the first {self.first()}")
        return left

    def noted(self, photos: Iterable[Done]) -> Iterator[Done]:
        """Pass on the photos as they are done, except those that turn out to be unreadable.

        If there were such, raises DataError after the last photo, unless `skip_missing`.
        """
        for photo in photos:
            if photo.error is not None and not isinstance(photo.error, NoFaceError):
                self._leave_out(photo.path, self.unreadable, str(photo.error))
                continue
            if photo.error is not None:
                self.no_face.append(str(photo.error))
            elif photo.faces and (faults := measure(photo.faces[0]).faults):
                self.poor.append(f"{printable(photo.path)}: {'; '.join(faults)}")
            self.remarked.extend(f"{printable(photo.path)}: {remark}" for remark in photo.remarks[:1])
            yield photo
        self._refuse()

    def counts(self) -> dict[str, int]:
        """How many photos there are of each kind, for the JSON line of every protocol."""
        return {
            "photos": self.photos,
            "photos_missing": len(self.missing),
            "photos_unreadable": len(self.unreadable),
            "photos_without_face": len(self.no_face),
            "poor_faces": len(self.poor),
        }

    def require_some(self, folder: Path) -> None:
        """Raise DataError where not one photo of the folder could be used."""
        if len(self.no_face) + len(self.left_out) == self.photos:
            raise DataError(
                f"{printable(folder)}: not one photo (of {self.photos}) has a usable face, the first {self.first()}"
            )

    def remark(self) -> str:
        """One line on the photos that were read with a remark; "" for none."""
        return (
            f"{how_many(len(self.remarked), 'photo')} used with a remark, the first {self.remarked[0]}"
            if self.remarked
            else ""
        )

    def lines(self) -> list[str]:
        """One line for each kind of photo that could not be used: how many, what became of them, the first."""
        kinds = (
            (self.missing, "missing and left out"),
            (self.unreadable, "unreadable and left out"),
            (self.no_face, "without a usable face, counted as failed"),
        )
        return [f"{how_many(len(told), 'photo')} {what}, the first {told[0]}" for told, what in kinds if told]

    def messages(self) -> list[str]:
        """One line for every photo that could not be used, or only badly."""
        return [*self.missing, *self.unreadable, *self.no_face, *self.poor, *self.remarked]

    def first(self) -> str:
        """The message of the first photo that could not be used."""
        return [*self.missing, *self.unreadable, *self.no_face][0]

    def _fault(self, path: Path) -> str:
        """Why the file is no photo that can be read; "" if it begins like one."""
        if path in self.known:
            error = self.known[path].embedded().error
            return "" if error is None or isinstance(error, NoFaceError) else str(error)
        try:
            require_image(path)
        except ImageError as error:
            return str(error)
        return ""

    def _leave_out(self, path: Path, kind: list[str], message: str) -> None:
        self.left_out.add(path)
        kind.append(message)

    def _refuse(self) -> None:
        """Raise DataError for photos that say nothing of the model, unless they are to be left out."""
        if not self.left_out or self.skip_missing:
            return
        told, what = (self.missing, "missing") if self.missing else (self.unreadable, "unreadable")
        remedy = "; add them, or" if self.missing else ", or"  # what is wrong with a photo names its own remedy
        raise DataError(
            f"{len(told)} of {how_many(self.photos, 'photo')} {'is' if len(told) == 1 else 'are'} {what}, "
            f"the first {told[0]}{remedy} leave such photos out with `skip_missing`"
        )
