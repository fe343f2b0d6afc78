"""Slow, obvious reference implementations that the fast code is held against."""

import itertools

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
