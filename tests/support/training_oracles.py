"""Slow, obvious reference implementations for training. Vectors are plain lists; labels list the people."""

import functools
import itertools
import math


def squared_distance(a: list[float], b: list[float]) -> float:
    """Return the squared Euclidean distance, the lectures' d."""
    return sum((x - y) ** 2 for x, y in zip(a, b, strict=True))


def all_triplets(labels: list[int]) -> list[tuple[int, int, int]]:
    """Return all (anchor, positive, negative): two photos of one person, one of another."""
    n = range(len(labels))
    return [(a, p, q) for a in n for p in n for q in n if a != p and labels[a] == labels[p] != labels[q]]


def triplet_loss_by_loop(vectors: list[list[float]], labels: list[int], mining: str, margin: float) -> float:
    """Return the mean loss over the triplets with a loss; 0 if there is none. Margin 0: the soft margin."""
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
    """Return the share of triplets that violate the margin, and the mean d of photos of two people."""
    d = [[squared_distance(a, b) for b in vectors] for a in vectors]
    active = [d[a][p] - d[a][n] + margin > 0 for a, p, n in all_triplets(labels)]
    apart = [d[i][j] for i, a in enumerate(labels) for j, b in enumerate(labels) if a != b]
    return sum(active) / max(1, len(active)), sum(apart) / len(apart) if apart else 0.0


def relational_loss_by_loop(student: list[list[float]], teacher: list[list[float]]) -> float:
    """Return the mean squared difference between student and teacher in the cosines of any two rows."""
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
    """Return how many batches of `people` different people can be made. Tries every way. left: chunks per person."""
    best = 0
    for chosen in itertools.combinations([i for i, count in enumerate(left) if count], people):
        after = tuple(sorted(count - (i in chosen) for i, count in enumerate(left)))
        best = max(best, 1 + most_batches(after, people))
    return best


def cosine(a: list[float], b: list[float]) -> float:
    """Return the cosine of two vectors of any length."""
    dot = sum(x * y for x, y in zip(a, b, strict=True))
    return dot / math.sqrt(sum(x * x for x in a)) / math.sqrt(sum(y * y for y in b))


def mean_of_nonzero(losses: list[float]) -> float:
    """Return the mean of the positive losses; 0 if there is none."""
    losses = [loss for loss in losses if loss > 0]
    return sum(losses) / len(losses) if losses else 0.0


def contrastive_loss_by_loop(vectors: list[list[float]], labels: list[int]) -> float:
    """Positives cost d, negatives max(0, 1 - d). Each kind is averaged over its pairs with a cost."""
    n = range(len(labels))
    same = [squared_distance(vectors[i], vectors[j]) for i in n for j in n if i != j and labels[i] == labels[j]]
    other = [1 - squared_distance(vectors[i], vectors[j]) for i in n for j in n if labels[i] != labels[j]]
    return mean_of_nonzero(same) + mean_of_nonzero(other)


def supcon_loss_by_loop(vectors: list[list[float]], labels: list[int], temperature: float = 0.1) -> float:
    """Khosla et al. 2020, eq. 2: the mean log-probability of positives among all others, over rows with positives."""
    n, losses = range(len(labels)), []
    if len(set(labels)) in (1, len(labels)):
        return 0.0
    for i in n:
        odds = {j: math.exp(cosine(vectors[i], vectors[j]) / temperature) for j in n if j != i}
        positives = [j for j in odds if labels[j] == labels[i]]
        if positives:
            losses.append(-sum(math.log(odds[p] / sum(odds.values())) for p in positives) / len(positives))
    return mean_of_nonzero(losses)


def multi_similarity_loss_by_loop(vectors: list[list[float]], labels: list[int]) -> float:
    """Wang et al. 2019, with their mining: eqs. 11 to 13, alpha 2, beta 50, lambda 0.5, epsilon 0.1."""
    n, losses = range(len(labels)), []
    for i in n:
        positives = [cosine(vectors[i], vectors[j]) for j in n if j != i and labels[j] == labels[i]]
        negatives = [cosine(vectors[i], vectors[j]) for j in n if labels[j] != labels[i]]
        hard_positives = [s for s in positives if s - 0.1 < max(negatives, default=-math.inf)]
        hard_negatives = [s for s in negatives if s + 0.1 > min(positives, default=math.inf)]
        pull = math.log(1 + sum(math.exp(-2 * (s - 0.5)) for s in hard_positives)) / 2
        push = math.log(1 + sum(math.exp(50 * (s - 0.5)) for s in hard_negatives)) / 50
        losses.append(pull + push)
    return sum(losses) / len(losses)


def smoothed_cross_entropy(logits: list[float], label: int, smoothing: float) -> float:
    """The target is 1 - smoothing on the label, and smoothing spread evenly over all classes, including the label."""
    total = math.log(sum(math.exp(x - max(logits)) for x in logits)) + max(logits)
    costs = [total - x for x in logits]
    return (1 - smoothing) * costs[label] + smoothing * sum(costs) / len(costs)


def class_loss_by_loop(
    name: str, vectors: list[list[float]], labels: list[int], classes: list[list[float]], smoothing: float = 0.0
) -> float:
    """Return the arcface, cosface or cross-entropy loss, from the cosines to one vector per class."""
    losses = []
    for vector, label in zip(vectors, labels, strict=True):
        cosines = [cosine(vector, row) for row in classes]
        if name == "arcface":
            angle, margin = math.acos(cosines[label]), math.radians(28.6)
            beyond = angle > math.pi - margin  # beyond this the cosine would rise again
            cosines[label] = math.cos(angle) - margin * math.sin(margin) if beyond else math.cos(angle + margin)
        if name == "cosface":
            cosines[label] -= 0.35
        scale = 20 if name == "cross-entropy" else 64
        losses.append(smoothed_cross_entropy([scale * c for c in cosines], label, smoothing))
    return sum(losses) / len(losses)


def proxy_anchor_loss_by_loop(vectors: list[list[float]], labels: list[int], classes: list[list[float]]) -> float:
    """Kim et al. 2020, eq. 4: alpha 32, delta 0.1."""
    pull = push = 0.0
    for c, proxy in enumerate(classes):
        own = [cosine(v, proxy) for v, label in zip(vectors, labels, strict=True) if label == c]
        others = [cosine(v, proxy) for v, label in zip(vectors, labels, strict=True) if label != c]
        pull += math.log(1 + sum(math.exp(-32 * (s - 0.1)) for s in own))
        push += math.log(1 + sum(math.exp(32 * (s + 0.1)) for s in others))
    return pull / len(set(labels)) + push / len(classes)


def negative_odds_by_loop(vectors: list[list[float]], labels: list[int], anchor: int) -> list[float]:
    """Return each row's probability to be drawn as the anchor's negative.

    It is proportional to 1 / q(distance) of Wu et al. 2017, for distances from 0.5 to 1.4. At least one negative must
    be nearer than 1.4.
    """
    dimension, weights = len(vectors[0]), []
    for vector, label in zip(vectors, labels, strict=True):
        distance = max(0.5, math.sqrt(squared_distance(vectors[anchor], vector)))
        density = distance ** (dimension - 2) * max(0.0, 1 - distance**2 / 4) ** ((dimension - 3) / 2)
        weights.append(0.0 if label == labels[anchor] or distance > 1.4 else 1 / density)
    assert any(weights)
    return [weight / sum(weights) for weight in weights]


def triplet_loss_with_memory_by_loop(
    vectors: list[list[float]], labels: list[int], old: list[list[float]], old_labels: list[int], margin: float
) -> float:
    """Anchors are from the batch, positives and negatives from the batch and the memory (`old`)."""
    everyone, everybody = vectors + old, labels + old_labels
    n, losses = range(len(everyone)), []
    for a in range(len(vectors)):
        for p in n:
            for q in n:
                if p != a and everybody[p] == labels[a] != everybody[q]:
                    d = squared_distance(vectors[a], everyone[p]) - squared_distance(vectors[a], everyone[q])
                    losses.append(d + margin)
    return mean_of_nonzero(losses)
