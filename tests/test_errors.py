"""The error tree: its shape, its text, and that it travels."""

import inspect
import pickle

import pytest

import isnotai_async
from isnotai_async import errors
from isnotai_async._models.positions import Position
from isnotai_async.errors import APIError, GatewayError, IsNotAIError, printable

TREE = {
    "IsNotAIError": "Exception",
    "ConfigError": "IsNotAIError",
    "TransportError": "IsNotAIError",
    "ConnectError": "TransportError",
    "TransportTimeoutError": "TransportError",
    "ProtocolError": "TransportError",
    "LimiterError": "TransportError",
    "GatewayError": "TransportError",
    "APIError": "IsNotAIError",
    "InvalidRequestError": "APIError",
    "InvalidCursorError": "InvalidRequestError",
    "AuthenticationError": "APIError",
    "PermissionDeniedError": "APIError",
    "NotFoundError": "APIError",
    "RateLimitedError": "APIError",
    "ServerError": "APIError",
    "DecodeError": "IsNotAIError",
    "PaginationError": "DecodeError",
    "ExportError": "IsNotAIError",
    "SinkError": "ExportError",
    "StoreError": "ExportError",
    "ExportLockedError": "ExportError",
}
CLASSES = [cls for _, cls in inspect.getmembers(errors, inspect.isclass) if issubclass(cls, IsNotAIError)]


def _example(cls: type[IsNotAIError]) -> IsNotAIError:
    if issubclass(cls, APIError):
        return cls("no", status=418, code="TEAPOT", details={"field": "cup"}, retry_after=1.5, hint="Use coffee")
    if issubclass(cls, GatewayError):
        return cls("no", status=404, headers={"server": "edge"})
    return cls("no")


def test_the_tree_is_the_documented_one() -> None:
    assert {cls.__name__: cls.__bases__[0].__name__ for cls in CLASSES} == TREE


def test_every_error_is_part_of_the_public_face() -> None:
    assert set(TREE) <= set(isnotai_async.__all__)


def test_a_timeout_is_also_the_builtin_one() -> None:
    assert issubclass(errors.TransportTimeoutError, TimeoutError)


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_every_error_pickles_with_all_it_knows(cls: type[IsNotAIError]) -> None:
    error = _example(cls)
    error.region, error.attempts, error.elapsed = "eu", 3, 1.25
    error.position = Position(operation="list_events", region="eu", session_id="s1", cursor="c", index=2)

    copy = pickle.loads(pickle.dumps(error))

    assert type(copy) is cls
    assert copy.__dict__ == error.__dict__
    assert (str(copy), copy.args) == (str(error), error.args)


def test_an_api_error_says_status_code_region_field_wait_and_hint() -> None:
    error = _example(errors.RateLimitedError)
    error.region = "eu"

    assert str(error) == "418 TEAPOT from region eu: no (field: cup) (retry after 1.5 s). Use coffee"


def test_an_error_without_extras_says_no_more_than_it_knows() -> None:
    assert str(APIError("gone", status=410)) == "410 unknown: gone"


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("plain é 漢", "plain é 漢"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("a\r\nb", "a\\r\\nb"),
        ("\u202eevil", "\\u202eevil"),
        ("\ud800", "\\ud800"),
        ("x" * 501, "x" * 500 + "…"),
    ],
)
def test_server_text_cannot_steer_a_terminal(raw: str, shown: str) -> None:
    assert printable(raw) == shown
    assert str(errors.DecodeError(raw)) == shown
