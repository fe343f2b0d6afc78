"""Slow, obvious reference implementations, to compare the fast code with."""

import itertools
import math
from statistics import NormalDist

import numpy as np

# Verification: distances and labels are plain lists. A failed comparison has the distance +inf.


def auc_by_pairs(distances: list[float], genuine: list[bool]) -> float:
    """Compare every genuine pair with every impostor pair: 1 if it is nearer, 1/2 if tied. Returns the mean."""
    points = 0.0
    for d, same in zip(distances, genuine, strict=True):
        for e, other in zip(distances, genuine, strict=True):
            if same and not other:
                points += 1.0 if d < e else 0.5 if d == e else 0.0
    return points / (sum(genuine) * (len(genuine) - sum(genuine)))


def matches(distances: list[float], genuine: list[bool], threshold: float) -> tuple[int, int]:
    """Return (true matches, false matches) at a threshold."""
    hits = [same for d, same in zip(distances, genuine, strict=True) if d <= threshold and d != float("inf")]
    return sum(hits), len(hits) - sum(hits)


def tar_at_fmr_by_trial(distances: list[float], genuine: list[bool], per_thousand: int) -> float:
    """Try every distance as the threshold, and one below all. Keep the largest with few enough false matches."""
    allowed = per_thousand * (len(genuine) - sum(genuine)) // 1000
    tar = 0.0
    for threshold in sorted({-1.0, *distances}):
        true_matches, false_matches = matches(distances, genuine, threshold)
        if false_matches <= allowed:
            tar = true_matches / sum(genuine)
    return tar


def eer_by_segments(distances: list[float], genuine: list[bool]) -> float:
    """Walk along the ROC's straight pieces, including the closing one, to the point where FMR = FNMR."""
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
    """Count the right decisions at a threshold."""
    return sum((d <= threshold and d != float("inf")) == same for d, same in zip(distances, genuine, strict=True))


def best_threshold_by_trial(distances: list[float], genuine: list[bool]) -> float:
    """Return the middle of the first interval of thresholds, from -1 to 4, with the most right decisions."""
    edges = [-1.0, *sorted({d for d in distances if d != float("inf")}), 4.0]
    scores = [right_decisions(distances, genuine, edge) for edge in edges[:-1]]
    first = scores.index(max(scores))
    after = first
    while after < len(scores) and scores[after] == max(scores):
        after += 1
    return (edges[first] + edges[after]) / 2


def fold_accuracies_by_loop(distances: list[float], genuine: list[bool], folds: list[int]) -> list[float]:
    """Return the accuracy of each fold, by LFW's protocol."""
    result = []
    for fold in sorted(set(folds)):
        inside = [i for i, f in enumerate(folds) if f == fold]
        outside = [i for i, f in enumerate(folds) if f != fold]
        threshold = best_threshold_by_trial([distances[i] for i in outside], [genuine[i] for i in outside])
        right = right_decisions([distances[i] for i in inside], [genuine[i] for i in inside], threshold)
        result.append(right / len(inside))
    return result


def distances_of_all_pairs(vectors: list[list[float]], people: list[str]) -> tuple[list[float], list[bool]]:
    """Return distances and labels of all pairs i < j, by three loops."""
    distances, genuine = [], []
    for i in range(len(vectors)):
        for j in range(i + 1, len(vectors)):
            distances.append(sum((x - y) ** 2 for x, y in zip(vectors[i], vectors[j], strict=True)))
            genuine.append(people[i] == people[j])
    return distances, genuine


# Classification: labels are class numbers. Each photo has a list of probabilities.


def class_auc_by_pairs(labels: list[int], probabilities: list[list[float]]) -> float:
    """Return the mean `auc_by_pairs` over classes, each against the rest (of two classes: only the second).

    Classes with all photos or none are left out; nan if no class remains. A row of nan is a miss of its own class, and
    left out of the others'.
    """
    columns = range(len(probabilities[0]))
    failed = [any(map(math.isnan, row)) for row in probabilities]
    areas = []
    for c in [1] if len(columns) == 2 and not any(failed) else columns:
        chosen = [i for i, label in enumerate(labels) if label == c or not failed[i]]
        own = [labels[i] == c for i in chosen]
        if any(own) and not all(own):
            areas.append(auc_by_pairs([math.inf if failed[i] else -probabilities[i][c] for i in chosen], own))
    return sum(areas) / len(areas) if areas else math.nan


def confusion_by_loop(labels: list[int], predicted: list[int], classes: int) -> list[list[int]]:
    """Return how often each true class got each answer."""
    pairs = list(zip(labels, predicted, strict=True))
    return [[pairs.count((true, answer)) for answer in range(classes)] for true in range(classes)]


# Search: vectors are plain lists.


def nearest_by_loop(stored: dict[int, list[float]], query: list[float], k: int) -> list[tuple[float, int]]:
    """Return (distance, id) of the k nearest: compare with all, then sort."""
    everyone = [(sum((x - y) ** 2 for x, y in zip(v, query, strict=True)), number) for number, v in stored.items()]
    return sorted(everyone)[:k]


def nearest_people_by_loop(gallery: dict[str, list[list[float]]], query: list[float], top: int) -> list[float]:
    """Return the distances of the `top` nearest people. A person is the unit mean of their vectors."""
    means = [unit_mean_by_loop(vectors) for vectors in gallery.values()]
    return sorted(sum((x - y) ** 2 for x, y in zip(mean, query, strict=True)) for mean in means)[:top]


def unit_mean_by_loop(vectors: list[list[float]]) -> list[float]:
    """Return the mean of the vectors, scaled to length 1."""
    sums = [sum(numbers) for numbers in zip(*vectors, strict=True)]
    length = math.sqrt(sum(x * x for x in sums))
    return [x / length for x in sums]


def identification_by_loop(gallery: dict, probes: dict, threshold: float) -> dict[str, float]:
    """Return the rates of an open-set test: search with each probe, count, and try every distance as the threshold."""
    results = []  # (mated, whether the nearest person is the right one, distance)
    for person, rows in probes.items():
        for row in rows:
            best = ("", math.inf)
            if row is None and person not in gallery:
                continue  # would be right without being decided
            for other, templates in gallery.items():
                known = [template.tolist() for template in templates if template is not None]
                if row is not None and known:
                    d = float(((np.array(unit_mean_by_loop(known)) - np.float64(row)) ** 2).sum())
                    best = min(best, (other, d), key=lambda found: found[1])
            results.append((person in gallery, best[0] == person, best[1]))
    mated = [(right, d) for known, right, d in results if known]
    strangers = [d for known, _, d in results if not known]

    def fpir(limit: float) -> float:
        return sum(d <= limit for d in strangers) / len(strangers)

    def fnir(limit: float) -> float:
        return sum(not right or d > limit for right, d in mated) / len(mated)

    rates = {"rank1": sum(right for right, _ in mated) / len(mated), "fpir": fpir(threshold), "fnir": fnir(threshold)}
    limits = [-1.0, *sorted(d for _, _, d in results if d < math.inf)]
    for name in ("0.1", "0.01", "0.003"):
        rates[f"fnir at {name}"] = min(fnir(limit) for limit in limits if fpir(limit) <= float(name) + 1e-12)
    return rates


# Alignment.


def sample_by_pixel(image: np.ndarray, to_photo: np.ndarray, u: int, v: int) -> list[float] | None:
    """Return the colour of pixel (u, v) of a crop, interpolated in the photo; None near or beyond its border.

    image: (H, W, 3). to_photo: (2, 3), from pixel indices of the crop to those of the photo.
    """
    x, y = (row[0] * u + row[1] * v + row[2] for row in to_photo.tolist())
    if not (3 <= x < image.shape[1] - 4 and 3 <= y < image.shape[0] - 4):
        return None
    i, j = int(x), int(y)
    upper = image[j, i] * (1 - (x - i)) + image[j, i + 1] * (x - i)
    lower = image[j + 1, i] * (1 - (x - i)) + image[j + 1, i + 1] * (x - i)
    return (upper * (1 - (y - j)) + lower * (y - j)).tolist()


# Evaluation by rank, by group and by gallery size. Vectors are numpy rows; a photo without a face has None.


def det_by_trial(distances: list[float], genuine: list[bool]) -> list[tuple[float, float]]:
    """Return (FMR, FNMR) at every distance and below all. Of equal FMR the smallest FNMR is kept."""
    best: dict[float, float] = {}
    for threshold in sorted({-1.0, *(d for d in distances if d < math.inf)}):
        true_matches, false_matches = matches(distances, genuine, threshold)
        best[false_matches / (len(genuine) - sum(genuine))] = 1 - true_matches / sum(genuine)
    return sorted(best.items())


def rank_by_loop(gallery: dict, person: str, row: np.ndarray | None) -> float:
    """Return the rank: how many people, including `person`, are at most as far as `person`.

    inf if `person` is not enrolled, or if `row` is None.
    """
    distances = {}
    for other, templates in gallery.items():
        known = [template.tolist() for template in templates if template is not None]
        if known and row is not None:
            distances[other] = sum((x - y) ** 2 for x, y in zip(unit_mean_by_loop(known), row.tolist(), strict=True))
    return sum(d <= distances[person] for d in distances.values()) if person in distances else math.inf


def gallery_threshold_by_loop(gallery: dict, strangers: list[np.ndarray], fpir: float) -> float:
    """Return the largest distance at which a new stranger is expected to match at rate `fpir`.

    The strangers' distances are first moved and stretched to those of strangers of the people's kind (`kind_by_loop`).
    What is not known of that kind is averaged over 40 equally likely values. The first photo of each person also counts
    as a stranger to all others. Its weight grows with the number of people.
    """
    means = {name: unit_mean_by_loop([row.tolist() for row in rows]) for name, rows in gallery.items()}
    centre, spread, their_centre, their_spread = kind_by_loop(gallery, strangers)
    shift_error, stretch_error = kind_errors_by_loop(len(gallery), their_spread)
    own = [nearest_mean_by_loop(rows[0], [m for n, m in means.items() if n != name]) for name, rows in gallery.items()]
    own = own if len(gallery) > 1 else []
    weight = len(own) / 100
    found = [(distance, weight) for distance in own]
    squares = 2 * len(own) * weight**2 + len(strangers)
    for row in strangers:
        unstretched = (1 - nearest_mean_by_loop(row, list(means.values())) / 2 - centre) * their_spread / spread
        error = 2 * math.hypot(shift_error, unstretched * spread / their_spread * stretch_error)
        for i in range(40):
            off = NormalDist().inv_cdf((i + 0.5) / 40)
            found.append((2 - 2 * (their_centre + unstretched) + off * error, 1 / 40))
    total = sum(w for _, w in found)
    worth, within, distance = total**2 / squares, 0.0, -math.inf
    for d, w in sorted(found):
        within += w
        distance = d if within / total * worth <= fpir * (worth + 1) + 1e-9 else distance
    return distance


def nearest_mean_by_loop(row: np.ndarray, means: list[list[float]]) -> float:
    """Return the squared distance of a row to the nearest mean; +inf if there is none."""
    return min((sum((x - y) ** 2 for x, y in zip(m, row.tolist(), strict=True)) for m in means), default=math.inf)


def kind_errors_by_loop(people: int, their_spread: float) -> tuple[float, float]:
    """Return the standard errors of the mean and of the ratio of the spreads, as estimated from so many people."""
    pairs = people * (people - 1) / 2
    known_of_mean, known_of_ratio = (pairs / their_spread**2, pairs / 0.5)
    return 1 / math.sqrt(1 / 0.04**2 + known_of_mean), 1 / math.sqrt(1 / 0.04**2 + known_of_ratio)


def kind_by_loop(gallery: dict, strangers: list[np.ndarray]) -> tuple[float, float, float, float]:
    """Return mean and standard deviation of the similarities between strangers and people.

    The first two are measured on `strangers`. The other two are estimated for strangers of the same kind as the people.
    """
    means = [unit_mean_by_loop([row.tolist() for row in rows]) for rows in gallery.values()]
    found = [float(np.dot(row, mean)) for row in strangers for mean in means]
    centre = sum(found) / len(found)
    spread = math.sqrt(sum((s - centre) ** 2 for s in found) / len(found))
    pairs = [(i, j) for i in range(len(means)) for j in range(len(means)) if i != j]
    if not pairs:
        return centre, spread, centre, spread
    photos = list(gallery.values())
    own, weights = [], []
    for i, j in pairs:
        own += [float(np.dot(row, means[j])) for row in photos[i]]
        weights += [1 / len(photos[i]) / len(pairs)] * len(photos[i])
    own_centre = sum(w * s for w, s in zip(weights, own, strict=True))
    own_spread = math.sqrt(sum(w * (s - own_centre) ** 2 for w, s in zip(weights, own, strict=True)))
    half = len(pairs) / 2  # every pair was counted from both sides
    sure = 0.04**2 / (0.04**2 + 0.5 / half)
    their_spread = spread * (1 + sure * (own_spread / spread - 1))
    known = 0.04**2 / (0.04**2 + their_spread**2 / half)
    return centre, spread, centre + known * (own_centre - centre), their_spread
