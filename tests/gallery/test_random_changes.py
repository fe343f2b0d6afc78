"""A gallery under random changes, against a dict."""

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from oracles import nearest_people_by_loop
from toy_gallery import opened, template, vector

from facerec.errors import GalleryError, UnknownPersonError


class GalleryMachine(RuleBasedStateMachine):
    """A writer and a reader that stays open, against a dict."""

    names = st.sampled_from(["Ann", "Bob", "Cy", "Dee"])

    def __init__(self) -> None:
        super().__init__()
        self.temporary = tempfile.TemporaryDirectory()
        self.folder = Path(self.temporary.name) / "gallery"
        self.writer, self.reader = opened(self.folder), opened(self.folder)
        self.people: dict[str, dict[int, list[float]]] = {}

    def teardown(self) -> None:
        self.writer.close()
        self.reader.close()
        self.temporary.cleanup()

    @rule(name=names, number=st.integers(0, 30))
    def add(self, name: str, number: int) -> None:
        owner = next((person for person, photos in self.people.items() if number in photos), None)
        assert self.writer.find_photo(template(number).photo_hash) == owner
        if owner not in {None, name}:
            with pytest.raises(GalleryError, match=f"already enrolled as '{owner}'"):
                self.writer.add(name, template(number))
            return
        assert self.writer.add(name, template(number)) == (owner is None)
        self.people.setdefault(name, {})[number] = vector(number).tolist()

    @rule(old=names, new=names)
    def rename(self, old: str, new: str) -> None:
        if old not in self.people:
            with pytest.raises(UnknownPersonError):
                self.writer.rename(old, new)
        elif new in self.people and new != old:
            with pytest.raises(GalleryError, match="choose another name"):
                self.writer.rename(old, new)
        else:
            self.writer.rename(old, new)
            self.people[new] = self.people.pop(old)

    @rule(name=names)
    def remove(self, name: str) -> None:
        if name not in self.people:
            with pytest.raises(UnknownPersonError):
                self.writer.remove(name)
        else:
            assert self.writer.remove(name) == len(self.people.pop(name))

    @rule()
    def reopen(self) -> None:
        self.reader.close()
        self.reader = opened(self.folder)

    @rule(seed=st.integers(0, 1000), top=st.integers(1, 5), count=st.integers(1, 25))
    def search(self, seed: int, top: int, count: int) -> None:
        queries = np.stack([vector(1000 + seed + i) for i in range(count)])
        people = {name: list(photos.values()) for name, photos in self.people.items()}
        for query, found in zip(queries.tolist(), self.reader.search(queries, top), strict=True):
            assert [c.distance for c in found] == pytest.approx(nearest_people_by_loop(people, query, top), abs=4e-6)
            for c in found:
                (alone,) = nearest_people_by_loop({c.person: people[c.person]}, query, 1)
                assert c.distance == pytest.approx(alone, abs=4e-6)

    @invariant()
    def lists_who_is_enrolled(self) -> None:
        assert {p.name: p.templates for p in self.reader.people()} == {n: len(t) for n, t in self.people.items()}
        assert self.reader.check().problems == ()


def test_any_sequence_of_changes_agrees_with_a_dict(held_by: str) -> None:
    examples = 20 if held_by == "sqlite" else 4  # a gallery on a server takes longer to make
    often = settings(max_examples=examples, stateful_step_count=25, deadline=None)
    run_state_machine_as_test(GalleryMachine, settings=often)
