"""Cursors, without a server."""

from __future__ import annotations

import pytest

from isnotai_async.sandbox.cursors import CursorRefusedError, Mint, Place

SCOPE = ("us", "list_events", "s1", None, 5)


def mint(*, ttl: float | None = None, padded: bool = False, altchars: bytes = b"-_") -> Mint:
    return Mint(b"secret", altchars=altchars, padded=padded, ttl=ttl)


@pytest.mark.parametrize("padded", [True, False])
@pytest.mark.parametrize("place", [Place(), Place(7, 2), Place(2**32 - 1, 2**16 - 1)])
def test_a_cursor_leads_back_to_its_place(place: Place, *, padded: bool) -> None:
    maker = mint(padded=padded)

    assert maker.place(SCOPE, maker.token(SCOPE, place, now=1.0), now=1e9) == place


@pytest.mark.parametrize(
    "other",
    [
        ("eu", "list_events", "s1", None, 5),
        ("us", "list_sessions", "s1", None, 5),
        ("us", "list_events", "s2", None, 5),
        ("us", "list_events", "s1", 2, 5),
        ("us", "list_events", "s1", None, "5"),
    ],
)
def test_a_cursor_of_another_list_is_refused(other: tuple[object, ...]) -> None:
    token = mint().token(SCOPE, Place(3), now=0.0)

    with pytest.raises(CursorRefusedError, match="these filters"):
        mint().place(other, token, now=0.0)


@pytest.mark.parametrize("token", ["", "x", "é", "AAAA", "=" * 8, "A" * 48, "A" * 100_000, "\ud800"])
def test_what_is_no_cursor_is_refused(token: str) -> None:
    with pytest.raises(CursorRefusedError):
        mint().place(SCOPE, token, now=0.0)


def test_every_single_change_of_a_cursor_is_noticed() -> None:
    token = mint().token(SCOPE, Place(3), now=0.0)
    for at, character in enumerate(token):
        forged = token[:at] + ("A" if character != "A" else "B") + token[at + 1 :]
        with pytest.raises(CursorRefusedError):
            mint().place(SCOPE, forged, now=0.0)
    for longer in (token + "A", token + "=", token + " "):
        with pytest.raises(CursorRefusedError):
            mint().place(SCOPE, longer, now=0.0)


def test_a_cursor_expires_when_its_time_is_over() -> None:
    maker = mint(ttl=30.0)
    token = maker.token(SCOPE, Place(3), now=100.0)

    assert maker.place(SCOPE, token, now=129.9) == Place(3)
    with pytest.raises(CursorRefusedError, match="expired"):
        maker.place(SCOPE, token, now=130.0)


def test_without_a_lifetime_cursors_do_not_depend_on_time() -> None:
    assert mint().token(SCOPE, Place(3), now=1.0) == mint().token(SCOPE, Place(3), now=2.0)


def test_alphabets_differ() -> None:
    tokens = "".join(mint(padded=True, altchars=b"+/").token(SCOPE, Place(n), now=0.0) for n in range(50))

    assert set("+/=") <= set(tokens)
    assert not set("-_") & set(tokens)


def test_the_secret_is_not_shown() -> None:
    assert "secret" not in repr(mint()).replace("secret=", "")
