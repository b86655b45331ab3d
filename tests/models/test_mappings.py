"""Read-only mappings."""

import copy
import pickle

import pytest

from isnotai_async._models.mappings import ReadOnlyMapping

SAMPLE = ReadOnlyMapping({"a": 1, "b": ReadOnlyMapping({"c": (1, 2)})})


def test_it_is_a_mapping_like_the_dict_it_was_made_of() -> None:
    assert SAMPLE == {"a": 1, "b": {"c": (1, 2)}}
    assert (list(SAMPLE), len(SAMPLE), SAMPLE["a"], SAMPLE.get("x", 7)) == (["a", "b"], 2, 1, 7)
    assert repr(SAMPLE) == "{'a': 1, 'b': {'c': (1, 2)}}"


def test_it_cannot_be_changed_not_even_through_what_it_was_made_of() -> None:
    source = {"a": 1}
    mapping = ReadOnlyMapping(source)
    source["a"] = 2

    assert mapping["a"] == 1
    with pytest.raises(TypeError):
        mapping["a"] = 2  # type: ignore[index] # the fault under test
    with pytest.raises(TypeError):
        del mapping["a"]  # type: ignore[attr-defined] # likewise


def test_it_pickles_copies_and_hashes() -> None:
    assert pickle.loads(pickle.dumps(SAMPLE)) == SAMPLE
    assert copy.deepcopy(SAMPLE) == SAMPLE
    assert len({SAMPLE, ReadOnlyMapping(dict(SAMPLE))}) == 1
