"""Slow, obvious reference implementations that the fast code is held against."""

import functools
import itertools
import math

import numpy as np

# Verification: distances and labels are plain lists, +inf is a comparison that failed.


def auc_by_pairs(distances: list[float], genuine: list[bool]) -> float:
    """Every genuine comparison against every impostor: 1 if nearer, 1/2 if tied."""
    points = 0.0
    for d, same in zip(distances, genuine, strict=True):
        for e, other in zip(distances, genuine, strict=True):
            if same and not other:
                points += 1.0 if d < e else 0.5 if d == e else 0.0
    return points / (sum(genuine) * (len(genuine) - sum(genuine)))


def matches(distances: list[float], genuine: list[bool], threshold: float) -> tuple[int, int]:
    """(true matches, false matches) at a threshold."""
    hits = [same for d, same in zip(distances, genuine, strict=True) if d <= threshold and d != float("inf")]
    return sum(hits), len(hits) - sum(hits)


def tar_at_fmr_by_trial(distances: list[float], genuine: list[bool], per_thousand: int) -> float:
    """Try every distance as the threshold, and one below all; keep the largest with few enough false matches."""
    allowed = per_thousand * (len(genuine) - sum(genuine)) // 1000
    tar = 0.0
    for threshold in sorted({-1.0, *distances}):
        true_matches, false_matches = matches(distances, genuine, threshold)
        if false_matches <= allowed:
            tar = true_matches / sum(genuine)
    return tar


def eer_by_segments(distances: list[float], genuine: list[bool]) -> float:
    """Walk the ROC's straight pieces, the one that closes it included, until FMR = FNMR lies on one."""
    positives, negatives = sum(genuine), len(genuine) - sum(genuine)
    points = [(0.0, 1.0)]
    for threshold in sorted({d for d in distances if d != float("inf")}):
        true_matches, false_matches = matches(distances, genuine, threshold)
        points.append((false_matches / negatives, 1 - true_matches / positives))
    points.append((1.0, 0.0))
    for (fmr, fnmr), (next_fmr, next_fnmr) in itertools.pairwise(points):
        if next_fmr >= next_fnmr:
            step = (fnmr - fmr) / ((next_fmr - fmr) + (fnmr - next_fnmr))
            return fmr + step * (next_fmr - fmr)
    raise AssertionError("the last point has FMR 1 and FNMR 0")


def right_decisions(distances: list[float], genuine: list[bool], threshold: float) -> int:
    """Comparisons decided rightly at a threshold."""
    return sum((d <= threshold and d != float("inf")) == same for d, same in zip(distances, genuine, strict=True))


def best_threshold_by_trial(distances: list[float], genuine: list[bool]) -> float:
    """The middle of the first run of distances that decides most rightly, between -1 and 4."""
    edges = [-1.0, *sorted({d for d in distances if d != float("inf")}), 4.0]
    scores = [right_decisions(distances, genuine, edge) for edge in edges[:-1]]
    first = scores.index(max(scores))
    after = first
    while after < len(scores) and scores[after] == max(scores):
        after += 1
    return (edges[first] + edges[after]) / 2


def fold_accuracies_by_loop(distances: list[float], genuine: list[bool], folds: list[int]) -> list[float]:
    """LFW's protocol, fold by fold."""
    result = []
    for fold in sorted(set(folds)):
        inside = [i for i, f in enumerate(folds) if f == fold]
        outside = [i for i, f in enumerate(folds) if f != fold]
        threshold = best_threshold_by_trial([distances[i] for i in outside], [genuine[i] for i in outside])
        right = right_decisions([distances[i] for i in inside], [genuine[i] for i in inside], threshold)
        result.append(right / len(inside))
    return result


def distances_of_all_pairs(vectors: list[list[float]], people: list[str]) -> tuple[list[float], list[bool]]:
    """Three loops: i < j, and the dimensions."""
    distances, genuine = [], []
    for i in range(len(vectors)):
        for j in range(i + 1, len(vectors)):
            distances.append(sum((x - y) ** 2 for x, y in zip(vectors[i], vectors[j], strict=True)))
            genuine.append(people[i] == people[j])
    return distances, genuine


# Search: vectors are plain lists.


def nearest_by_loop(stored: dict[int, list[float]], query: list[float], k: int) -> list[tuple[float, int]]:
    """(distance, id) of the k nearest: compare with every one, sort."""
    everyone = [(sum((x - y) ** 2 for x, y in zip(v, query, strict=True)), number) for number, v in stored.items()]
    return sorted(everyone)[:k]


def nearest_people_by_loop(gallery: dict[str, list[list[float]]], query: list[float], top: int) -> list[float]:
    """Distances of the `top` nearest people, each by their nearest vector."""
    people = [
        min(sum((x - y) ** 2 for x, y in zip(v, query, strict=True)) for v in vectors) for vectors in gallery.values()
    ]
    return sorted(people)[:top]


# Alignment.


def sample_by_pixel(image: np.ndarray, to_photo: np.ndarray, u: int, v: int) -> list[float] | None:
    """The colour of one pixel (u, v) of a crop, looked up in the photo bilinearly; None near its border and outside.

    image: (H, W, 3). to_photo: (2, 3), from pixel indices of the crop to those of the photo.
    """
    x, y = (row[0] * u + row[1] * v + row[2] for row in to_photo.tolist())
    if not (3 <= x < image.shape[1] - 4 and 3 <= y < image.shape[0] - 4):
        return None
    i, j = int(x), int(y)
    upper = image[j, i] * (1 - (x - i)) + image[j, i + 1] * (x - i)
    lower = image[j + 1, i] * (1 - (x - i)) + image[j + 1, i + 1] * (x - i)
    return (upper * (1 - (y - j)) + lower * (y - j)).tolist()


# Training: vectors are plain lists, labels a list of people.


def squared_distance(a: list[float], b: list[float]) -> float:
    """The lecture's d."""
    return sum((x - y) ** 2 for x, y in zip(a, b, strict=True))


def all_triplets(labels: list[int]) -> list[tuple[int, int, int]]:
    """(anchor, positive, negative): two photos of one person, one of another."""
    n = range(len(labels))
    return [(a, p, q) for a in n for p in n for q in n if a != p and labels[a] == labels[p] != labels[q]]


def triplet_loss_by_loop(vectors: list[list[float]], labels: list[int], mining: str, margin: float) -> float:
    """Mean over the triplets that cost something; 0 when none does. Margin 0 is the soft margin."""
    d = [[squared_distance(a, b) for b in vectors] for a in vectors]
    triplets = all_triplets(labels)
    if mining == "semihard":
        triplets = [(a, p, n) for a, p, n in triplets if d[a][p] < d[a][n] <= d[a][p] + margin]
    if mining == "hard":
        hardest = []
        for anchor in sorted({a for a, _, _ in triplets}):
            far = max((p for a, p, _ in triplets if a == anchor), key=lambda p: d[anchor][p])
            near = min((n for a, _, n in triplets if a == anchor), key=lambda n: d[anchor][n])
            hardest.append((anchor, far, near))
        triplets = hardest
    if margin == 0:
        losses = [math.log(1 + math.exp(d[a][p] - d[a][n])) for a, p, n in triplets]
    else:
        losses = [max(d[a][p] - d[a][n] + margin, 0) for a, p, n in triplets]
    losses = [loss for loss in losses if loss > 0]
    return sum(losses) / len(losses) if losses else 0.0


def active_share_and_spread(vectors: list[list[float]], labels: list[int], margin: float) -> tuple[float, float]:
    """Share of triplets that violate the margin, and the mean d of two people's photos."""
    d = [[squared_distance(a, b) for b in vectors] for a in vectors]
    active = [d[a][p] - d[a][n] + margin > 0 for a, p, n in all_triplets(labels)]
    apart = [d[i][j] for i, a in enumerate(labels) for j, b in enumerate(labels) if a != b]
    return sum(active) / max(1, len(active)), sum(apart) / len(apart) if apart else 0.0


def relational_loss_by_loop(student: list[list[float]], teacher: list[list[float]]) -> float:
    """Mean squared difference of the cosines of every two rows."""
    n = range(len(student))
    differences = [
        sum(x * y for x, y in zip(student[i], student[j], strict=True))
        - sum(x * y for x, y in zip(teacher[i], teacher[j], strict=True))
        for i in n
        for j in n
        if i != j
    ]
    return sum(x**2 for x in differences) / len(differences)


@functools.cache
def most_batches(left: tuple[int, ...], people: int) -> int:
    """How often `people` different persons can be taken, each as often as they have chunks `left`: try every way."""
    best = 0
    for chosen in itertools.combinations([i for i, count in enumerate(left) if count], people):
        after = tuple(sorted(count - (i in chosen) for i, count in enumerate(left)))
        best = max(best, 1 + most_batches(after, people))
    return best
