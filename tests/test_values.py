"""How values show themselves, compare and hash: as attrs would have it."""

from attrs import field, fields, frozen
from hypothesis import given
from hypothesis import strategies as st

import isnotai_async as isnotai
from isnotai_async._values import equals, hashed, show


@frozen
class Generated:
    name: object
    _rows: tuple[object, ...] = ()
    count: int = field(default=0, init=False)
    note: object = field(default="", eq=False)
    extra: object = field(factory=dict, hash=False)


@frozen
class Shared:
    name: object
    _rows: tuple[object, ...] = ()
    count: int = field(default=0, init=False)
    note: object = field(default="", eq=False)
    extra: object = field(factory=dict, hash=False)

    __repr__, __eq__, __hash__ = show, equals, hashed


class Heir(Shared):
    """A plain subclass, with no fields of its own."""


@frozen
class HeirWithFields(Shared):
    """A subclass for which attrs writes the methods."""

    more: int = 0


def test_a_value_shows_what_attrs_would_show() -> None:
    expected = repr(Generated("it's", (Generated("ü"), None)))
    assert repr(Shared("it's", (Shared("ü"), None))) == expected.replace("Generated", "Shared")
    assert repr(Heir("a")) == "Heir(name='a', _rows=(), count=0, note='', extra={})"


def test_a_value_whose_construction_was_refused_shows_what_it_has() -> None:
    begun = object.__new__(Shared)
    object.__setattr__(begun, "name", "a")
    assert repr(begun) == "Shared(name='a', _rows=NOTHING, count=NOTHING, note=NOTHING, extra=NOTHING)"


_VALUES = st.sampled_from(["a", "b", 1, 1.0, True, float("nan")])
_ARGUMENTS = st.tuples(_VALUES, st.tuples(_VALUES), _VALUES, st.dictionaries(st.just("k"), _VALUES))


@given(_ARGUMENTS, _ARGUMENTS)
def test_values_are_equal_and_hash_alike_when_attrs_would_say_so(one: tuple[object], other: tuple[object]) -> None:
    ours, theirs = (Shared(*one), Shared(*other)), (Generated(*one), Generated(*other))
    assert (ours[0] == ours[1]) is (theirs[0] == theirs[1])
    assert (ours[0] != ours[1]) is (theirs[0] != theirs[1])
    assert (hash(ours[0]) == hash(ours[1])) is (hash(theirs[0]) == hash(theirs[1]))


def test_a_value_leaves_the_comparison_with_another_class_to_the_other() -> None:
    class Anything:
        def __eq__(self, other: object) -> bool:
            return True

    value = Shared("a")
    assert value == Anything()
    assert value not in (Heir("a"), HeirWithFields("a"), Generated("a"))
    assert value.__eq__(Heir("a")) is NotImplemented
    assert Heir("a") == Heir("a")
    assert HeirWithFields("a") != HeirWithFields("a", more=1)


def test_a_value_that_cannot_be_hashed_says_which_type_cannot() -> None:
    try:
        hash(Shared(["a"]))
    except TypeError as error:
        assert "unhashable type: 'list'" in str(error)
    else:
        raise AssertionError("hashed a list")


def test_no_field_of_a_public_value_is_compared_by_a_key() -> None:  # the shared methods know none
    public = [getattr(isnotai, name) for name in isnotai.__all__]
    shared = [kind for kind in public if isinstance(kind, type) and vars(kind).get("__eq__") is equals]
    assert len(shared) > 30
    assert [field.name for kind in shared for field in fields(kind) if field.eq_key is not None] == []
