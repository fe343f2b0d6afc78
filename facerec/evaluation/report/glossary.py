"""The terms of a report, each explained in one line where it is first used."""

import re
from collections.abc import Iterable, Iterator, Mapping

TERMS = {
    "95 % interval": "holds the true value 19 times out of 20; without width, people differ too little to tell",
    "accuracy": "the share of right answers",
    "accuracy_mean": "the share of pairs decided rightly; the threshold is chosen on other folds if there are any",
    "accuracy_se": "the standard error of that mean over the folds",
    "AUC": "the chance that a genuine pair is nearer than an impostor pair; 1 is perfect, 0.5 is a guess",
    "Brier score": "the mean squared error of stated probabilities; 0 is perfect",
    "calibration error": "by how much stated probabilities miss on average; 0 is perfect",
    "confusion": "a row for each true class, a column for each answer",
    "DET": "misses against false alarms, for every threshold; nearer to the lower left is better",
    "EER": "the equal error rate: at this threshold as many genuine pairs are missed as impostor pairs match",
    "failures_to_acquire": "searches with a photo without a usable face; a search by an enrolled person is a miss",
    "failures_to_acquire_nonmated": "how many of these searches are by strangers; no rate is about them",
    "failures_to_enrol": "pairs, or photos to enroll, without a usable face; a genuine pair is then a miss",
    "failures_to_enrol_impostor": "how many of these pairs show two people; no rate is about them",
    "FMR": "the false match rate: the share of pairs of two people that match",
    "FNIR": "the false negative identification rate: the share of searches by enrolled people that do not name them",
    "FNMR": "the false non-match rate: the share of pairs of one person that do not match",
    "FPIR": "the false positive identification rate: the share of searches by strangers that name somebody",
    "genuine": "pairs of one person",
    "impostor": "pairs of two people",
    "mated": "searches by people who are enrolled",
    "non-mated": "searches by strangers",
    "rank 1": "the share of searches by enrolled people whose nearest person is the right one, at any distance",
    "reliability": "how often an answer was right, against how sure it was said to be; on the diagonal, both agree",
    "ROC": "true accepts against false matches, for every threshold; nearer to the upper left is better",
    "roc_auc": "the chance that a photo of a class is rated likelier than another; 1 is perfect, 0.5 is a guess",
    "search_ms": "milliseconds of one search, of which half (p50) or 99 % (p99) are faster",
    "skipped": "pairs or photos left out, because a file is missing or unreadable",
    "TAR": "the true accept rate: the share of pairs of one person that match",
    "templates": "photos that were enrolled",
    "threshold": "the largest distance of two faces that counts as one person; distances are from 0 to 4",
}
OTHER_WORDS = {
    "AUC": ("auc",), "EER": ("eer",), "FMR": ("fmr",), "FNIR": ("fnir",), "FPIR": ("fpir",),
    "mated": ("mated_searches",), "non-mated": ("nonmated_searches",), "rank 1": ("rank1_rate",),
    "search_ms": ("search_ms_p50",), "strategy": ("strategies",), "threshold": ("at distance",),
}  # fmt: skip


def explain(sections: Iterable[Iterable[str]], terms: Mapping[str, str] = TERMS) -> Iterator[list[tuple[str, str]]]:
    """For the texts of each section the terms first used there, in the order of `terms`, with what they mean."""
    known: set[str] = set()
    for texts in sections:
        whole = "\n".join(texts)
        new = [term for term in terms if term not in known and _mentions(whole, term)]
        known.update(new)
        yield [(term, terms[term]) for term in new]


def _mentions(text: str, term: str) -> bool:
    words = "|".join(map(re.escape, (term, *OTHER_WORDS.get(term, ()))))
    return re.search(rf"(?<![\w-])({words})(s|\d+)?(?![\w-])", text) is not None or (
        term in ("FNIR", "FPIR") and f"{term.lower()}_at_" in text
    )
