"""All errors that facerec raises on purpose.

FacerecError              one line that names the thing at fault and the remedy
├── ConfigError           a setting or argument that does not exist or makes no sense
│   └── MissingExtraError     a library that the base install leaves out
├── ImageError            a photo that cannot be read
│   └── TooManyPixelsError    a photo of more pixels than are decoded
├── NoFaceError           a photo without a usable face
├── DataError             a training folder, split list or pairs file that cannot be used
├── ModelError            a model folder or ONNX file that cannot be used
├── TrainingError         a training run that cannot go on or be resumed
└── GalleryError          a gallery that cannot be opened or changed as asked
    ├── ForeignModelError     the gallery holds vectors of another model
    ├── ForeignDetectorError  the gallery holds faces that another detector cut
    ├── UnknownPersonError    nobody of that name is enrolled
    ├── NotKeptError          a photo or an unknown face that the gallery does not hold, or not any more
    ├── UnfitValueError       a name, note or day that no gallery takes
    ├── EngineError           a search engine (Milvus, pgvector) that cannot be reached or does not do as asked
    ├── PassphraseError       the passphrase of an encrypted gallery is missing or empty
    └── DamagedGalleryError   the database is not what facerec wrote, or is encrypted with another passphrase
"""


class FacerecError(Exception):
    """Base of all errors that facerec raises. Its message is one line, written for users.

    >>> import facerec
    >>> try:
    ...     facerec.read_image("no_such.jpg")
    ... except facerec.FacerecError as error:
    ...     print(error)
    no_such.jpg: no such file; check the name
    """


class ConfigError(FacerecError):
    """A setting or argument that does not exist or makes no sense."""


class MissingExtraError(ConfigError):
    """A library that the base install leaves out is needed; see `facerec.extras`."""


class ImageError(FacerecError):
    """A photo that cannot be read."""


class TooManyPixelsError(ImageError):
    """A photo of more pixels than are decoded."""


class NoFaceError(FacerecError):
    """A photo without a usable face.

    >>> import facerec, numpy
    >>> try:
    ...     facerec.load().embed([numpy.zeros((200, 200, 3), numpy.uint8)])
    ... except facerec.NoFaceError as error:
    ...     print(error)
    photo 1: no face found; use a photo with a clear, larger face
    """


class DataError(FacerecError):
    """A training folder, split list or pairs file that cannot be used."""


class ModelError(FacerecError):
    """A model folder or ONNX file that cannot be used."""


class TrainingError(FacerecError):
    """A training run that cannot go on or be resumed."""


class GalleryError(FacerecError):
    """A gallery that cannot be opened or changed as asked."""


class ForeignModelError(GalleryError):
    """The gallery holds vectors of another model."""


class ForeignDetectorError(GalleryError):
    """The gallery holds faces that another detector cut."""


class UnknownPersonError(GalleryError):
    """Nobody of that name is enrolled."""


class NotKeptError(GalleryError):
    """A photo or an unknown face that the gallery does not hold, or not any more."""


class UnfitValueError(GalleryError):
    """A name, note or day that no gallery takes."""


class EngineError(GalleryError):
    """A search engine, such as Milvus, that cannot be reached or does not do as asked."""


class PassphraseError(GalleryError):
    """The passphrase of an encrypted gallery is missing or empty."""


class DamagedGalleryError(GalleryError):
    """The gallery's database is not what facerec wrote, or is encrypted with another passphrase."""
