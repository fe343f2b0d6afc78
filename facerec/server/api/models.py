"""The answers of the API, as OpenAPI describes them. What the command line prints, too, has the same keys there."""

from dataclasses import fields
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, create_model, model_validator

from facerec.faces import quality

Number = Annotated[int, Field(ge=1, le=2**62)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="allow")


_MEASURES: dict[str, Any] = {each.name: (float, ...) for each in fields(quality.Quality)}
_Measures = create_model("_Measures", __base__=_Model, **_MEASURES)


class Quality(_Measures):
    """How suitable a face is for recognition; the measures are explained in facerec/faces/README.md."""

    problems: list[str]


class Candidate(_Model):
    """A person enrolled, and how far the face is from them: 0 to 4."""

    person: str
    person_id: int | None = None
    distance: float


class Answer(_Model):
    """A face of a photo and who it is; or a photo without a face, whose values are null."""

    image: str = Field(description="What the photo is called; it is no path")
    face: int | None = Field(description="The face's number in the photo; 0 is the main one")
    box: list[float] | None = Field(description="x1, y1, x2, y2 in pixels of the upright photo")
    detection_confidence: float | None
    decision: Literal["match", "unknown", "no_face", "error"]
    person: str | None
    person_id: int | None = None
    distance: float | None = Field(description="To the nearest person: 0 to 4")
    threshold: float | None
    threshold_source: str | None
    margin: float | None
    candidates: list[Candidate]
    reason: str
    probability: float | None
    quality: Quality | None
    remarks: list[str] = []


class Answers(_Model):
    """The faces of all photos of a request."""

    answers: list[Answer]


class Verified(_Model):
    """Whether the main faces of two photos are one person's."""

    image_a: str
    image_b: str
    same: bool
    distance: float | None
    threshold: float
    reason: str
    remarks: list[str] = []


class FoundFace(_Model):
    """A face and its quality."""

    face: int
    box: list[float]
    landmarks: list[list[float]] = Field(description="Eyes, nose and mouth corners: x, y in pixels")
    detection_confidence: float
    quality: Quality


class FoundFaces(_Model):
    """The faces of a photo. error: why it cannot be read."""

    image: str
    faces: list[FoundFace]
    error: str | None = None
    remarks: list[str] = []


class FoundPhotos(_Model):
    """The photos of a request."""

    photos: list[FoundFaces]


class Person(_Model):
    """Somebody enrolled. id: theirs for good, whatever they are called."""

    id: int
    name: str
    photos: int
    enrolled: str = Field(description="When the first photo was enrolled (UTC)")
    consent: str | None
    until: str | None = Field(description="The last day (UTC) on which they may be kept")


class People(_Model):
    """Some of the people. next: the cursor for more; null at the end."""

    people: list[Person]
    next: str | None


class PersonChange(BaseModel):
    """What to change of a person. "" deletes a note or a day; null, or nothing, leaves it as it is."""

    model_config = ConfigDict(extra="forbid")

    name: str | None = None
    consent: str | None = None
    until: str | None = Field(None, examples=["2027-01-31"])
    merge_into: Number | None = Field(None, description="The id of the person to whom all photos go")


class Enrolled(_Model):
    """What became of one photo."""

    image: str
    person: str | None
    status: Literal["added", "skipped", "failed"]
    reason: str
    quality: Quality | None
    remarks: list[str] = []


class Enrollment(_Model):
    """What became of all photos of a request, and what to look at again."""

    results: list[Enrolled]
    person: Person
    added: int
    skipped: int
    failed: int
    alike: list[dict[str, Any]] = Field(description="Pairs of people who may be one")
    misplaced: list[dict[str, Any]] = Field(description="Photos that may be of somebody else")


class EnrolledPhoto(_Model):
    """A photo that is enrolled. id: its own for good. quality: the detector's confidence."""

    id: int
    photo_hash: str
    source: str
    box: list[float]
    quality: float
    enrolled: str


class EnrolledPhotos(_Model):
    """Some of a person's photos. next: the cursor for more; null at the end."""

    photos: list[EnrolledPhoto]
    next: str | None


class Trace(_Model):
    """What was held of a person, of one kind. shared: it may be found still, as part of what stays."""

    kind: str
    pieces: int
    before: int = Field(description="How often one of the pieces was found in the files")
    after: int
    shared: bool


class Proof(_Model):
    """What a search of all bytes of all files found of a person, before and after the removal.

    encrypted: so nothing can be found, before or after. entry, hash: of the removal in the log.
    """

    nothing_left: bool
    traces: list[Trace]
    files: int
    size: int
    encrypted: bool
    problems: list[str]
    entry: int
    hash: str


class Removal(_Model):
    """What was removed. remains: whether something keeps it in the gallery's files yet (a full disk, another program).

    dry_run: nothing was removed; this is what would be.
    """

    removed: str
    templates: int
    vetoes: int
    person_removed: bool
    remains: bool
    dry_run: bool
    proof: Proof | None = None


class TwoPeople(_Model):
    """Two people, and whether they are said to be two. changed: false if that was known."""

    ids: list[int]
    two: bool
    changed: bool


class NotSame(_Model):
    """A face that is not a person, and who it is now."""

    image: str
    face: int
    box: list[float]
    added: bool = Field(description="false: it was known")
    decision: Literal["match", "unknown"]
    person: str | None
    reason: str
    until: str | None


class KeptFace(_Model):
    """An unknown face that is kept until a day (UTC). claimed: the name as which it was held back."""

    id: int
    source: str
    box: list[float]
    quality: float
    seen: str
    until: str
    claimed: str | None


class Suggestion(_Model):
    """A kept face and the person whom it is most like. within: whether that is within the threshold."""

    face: KeptFace
    nearest: Candidate
    within: bool


class LookAlikes(_Model):
    """Two people who may be one."""

    people: list[str]
    ids: list[int | None]
    distance: float


class Doubt(_Model):
    """An enrolled photo that may be of somebody else."""

    person: str
    person_id: int | None
    photo_id: int | None
    reason: str


class Waiting(_Model):
    """What waits for a person. groups: unknown faces, by person, as far as they look alike."""

    near: list[Suggestion]
    held_back: list[Suggestion]
    groups: list[list[KeptFace]]
    alike: list[LookAlikes]
    doubts: list[Doubt]


class _KnownFaces(BaseModel):
    model_config = ConfigDict(extra="forbid")

    faces: list[Number] = Field(description="The ids of kept faces", min_length=1, max_length=1000)


class FacesOf(_KnownFaces):
    """Kept faces, and whose they are: the id of somebody enrolled, or a name, which may be new."""

    person: Number | None = None
    name: str | None = None
    force: bool = Field(False, description="Also enroll faces that are nearer to somebody else")

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if (self.person is None) == (self.name is None):
            raise ValueError("give `person` or `name`")
        return self

    @property
    def who(self) -> str | int:
        """The person, by their name or number."""
        return self.name or self.person or ""


class FacesNotOf(_KnownFaces):
    """Kept faces, and the id of the person whose they are not."""

    person: Number


class Vetoed(_Model):
    """How many of the faces were not known to be somebody else's."""

    added: int


class Crops(BaseModel):
    """Whether the gallery keeps a crop of each face that is enrolled."""

    model_config = ConfigDict(extra="forbid")

    kept: bool


class Forgotten(_Model):
    """How many faces were forgotten."""

    forgotten: int


class Calibration(_Model):
    """The threshold and what sets it. Where nobody is enrolled, it is the model's, and the rest is null."""

    threshold: float | None
    threshold_source: str | None
    fpir: float = Field(description="The share of strangers who may be taken for somebody enrolled")
    people: int | None = None
    strangers: int | None = None
    within: int | None = None
    ci95: dict[str, list[float]] | None = None
    given_strangers: int


class Missed(_Model):
    """How many photos of members, each searched while it is left out, would not be named. ci95: of the share."""

    errors: int
    searches: int
    people: int
    rate: float
    ci95: list[float]


class Cost(_Model):
    """A share of strangers, its threshold, and what that costs in missed members."""

    fpir: float
    threshold: float
    fpir_ci95: list[float] = Field(description="The 95 % interval of the true share of strangers at the threshold")
    missed: Missed | None = Field(description="null if nobody has two photos")


class Costs(_Model):
    """What some shares of strangers cost, the smallest first. Where nobody is enrolled, there are none."""

    costs: list[Cost]


class Target(BaseModel):
    """The rate to aim at."""

    model_config = ConfigDict(extra="forbid")

    fpir: float = Field(gt=0, lt=1)


class LogEntry(_Model):
    """A change of the gallery. facts: counts, and `by`, the key that asked for it."""

    number: int
    time: str
    facerec: str
    action: str
    person: int | None
    name: str | None = Field(description="Of the person, if they are enrolled still")
    facts: dict[str, Any]
    hash: str


class Log(_Model):
    """Some of the log, oldest first. head: the hash over all of it. next: the cursor for more; null at the end."""

    entries: list[LogEntry]
    head: str
    next: str | None


class Health(_Model):
    """That the server answers."""

    status: Literal["ok"]
    version: str
