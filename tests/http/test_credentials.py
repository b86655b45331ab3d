"""The API key: checked at birth, shown nowhere."""

import pickle
import traceback

import pytest

from isnotai_async._http.credentials import ApiKey
from isnotai_async.errors import APIError, ConfigError

KEY = "aik_v1_" + "k" * 40


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("", "is empty"),
        (" \n", "is empty"),
        (KEY + "\n", "index 47"),
        (f'"{KEY} "', "in quotes"),
        ("caf\u00e9" + KEY, "index 3"),
        ("\ud800" + KEY, "index 0"),
        (KEY + "\r\nX-Evil: 1", "index 47"),
        ("\x00" + KEY, "index 0"),
        (KEY * 20, "940 characters"),
        (KEY.encode(), "is a bytes"),
        (None, "is a NoneType"),
    ],
)
def test_a_key_no_header_may_carry_is_refused_without_showing_it(value: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        ApiKey(value)

    trace = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    ours = "".join(traceback.StackSummary.from_list(trace.stack[1:]).format())  # the first frame is this test's
    assert says in str(caught.value)
    assert "kkk" not in str(caught.value)
    assert "kkk" not in ours


def test_a_key_is_in_no_repr_and_no_pickle() -> None:
    key = ApiKey(KEY)

    assert str(key.authorization) == f"Bearer {KEY}"
    assert "kkk" not in repr(key) + repr(key.authorization) + repr({"Authorization": key.authorization})
    for secret in (key, key.authorization):
        with pytest.raises(TypeError, match="not pickled"):
            pickle.dumps(secret)


def test_a_key_is_taken_out_of_what_echoes_it() -> None:
    key = ApiKey(KEY)

    assert key.scrub(b"you sent Bearer " + KEY.encode()) == b"you sent Bearer ***"
    assert key.scrub(b"nothing of it") == b"nothing of it"


@pytest.mark.parametrize("at", [0, 2**16 - 100, 2**16 - 1, 2**16, 2**17 - 47, 3 * 2**16])
@pytest.mark.parametrize("written", [KEY, KEY.replace("k", "\\u006b"), KEY.replace("a", "\\u0061", 1)])
def test_a_key_is_taken_out_of_a_large_body_wherever_it_stands(written: str, at: int) -> None:
    body = b"k" * at + b" " + written.encode() + b"\\n" + b"k" * (200_000 - at)

    assert ApiKey(KEY).scrub(body) == b"k" * at + b" ***\\n" + b"k" * (200_000 - at)
    assert ApiKey(KEY).scrub(body + written.encode()).endswith(b"k***")


def test_a_key_is_taken_out_of_a_refusal_that_encodes_it() -> None:
    error = APIError(f"bad key {KEY}", status=400, code=KEY, details={"sent": [KEY]})

    ApiKey(KEY).scrub_error(error)

    assert (error.message, error.code, error.details, error.args) == (
        "bad key aik_v1_***",
        "***",
        {},
        ("bad key aik_v1_***",),
    )


def test_a_short_key_is_no_reason_to_change_the_data() -> None:
    assert ApiKey("test").scrub(b"ev-test-1") == b"ev-test-1"
    assert ApiKey("test").scrub_text("ev-test-1") == "ev-test-1"
