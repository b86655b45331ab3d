"""How values show themselves: as attrs would have them."""

from attrs import field, frozen

from isnotai_async._showing import show


@frozen
class Generated:
    name: str
    _rows: tuple[object, ...] = ()
    count: int = field(default=0, init=False)


@frozen
class Shown:
    name: str
    _rows: tuple[object, ...] = ()
    count: int = field(default=0, init=False)

    __repr__ = show


class Heir(Shown):
    """A plain subclass, with no fields of its own."""


def test_a_value_shows_what_attrs_would_show() -> None:
    expected = repr(Generated("it's", (Generated("ü"), None)))
    assert repr(Shown("it's", (Shown("ü"), None))) == expected.replace("Generated", "Shown")
    assert repr(Heir("a")) == "Heir(name='a', _rows=(), count=0)"


def test_a_value_whose_construction_was_refused_shows_what_it_has() -> None:
    begun = object.__new__(Shown)
    object.__setattr__(begun, "name", "a")
    assert repr(begun) == "Shown(name='a', _rows=NOTHING, count=NOTHING)"
