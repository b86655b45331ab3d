"""The canary: a key that must show up nowhere, and the watch that looks for it through the whole run."""

from __future__ import annotations

import logging
import traceback
import warnings
from typing import Any, Final

import attrs
import pytest

CANARY_KEY: Final = "aik_v1_CANARYq7Wd2x-Zt9_fKb3LmR8sVh5Yp0NcJgE4uX"
"""What every client of the fault tests is given."""

_PREFIX: Final = (
    "aik_v1_CANARY"  # not looked for: every key begins so, and every line of code that names the constant
)
_FRAGMENTS: Final = [CANARY_KEY[at : at + 5] for at in range(len(_PREFIX), len(CANARY_KEY), 5)]
_OPENED: Final = ("isnotai_async", "aiohttp", "multidict", "yarl")


def shows_key(text: str | bytes) -> bool:
    """Tell whether a text holds the key, or nine characters in a row of its secret part."""
    if isinstance(text, bytes):
        text = text.decode("latin-1")
    return any(fragment in text for fragment in _FRAGMENTS)


def find_key(*roots: object) -> list[str]:
    """Name the types of the objects that can be reached and whose repr or str shows the key.

    Strings and bytes themselves are passed by: the key has to be kept somewhere, and what counts is whether anything
    around it puts it on display.
    """
    found, seen, waiting = [], set[int](), list(roots)
    while waiting:
        thing = waiting.pop()
        if id(thing) in seen or isinstance(thing, str | bytes | bytearray | type):
            continue
        seen.add(id(thing))
        if shows_key(repr(thing)) or shows_key(str(thing)):
            found.append(f"{type(thing).__module__}.{type(thing).__qualname__}")
        waiting += _held(thing)
    return found


def _held(thing: object) -> list[object]:
    if isinstance(thing, dict):
        return [*thing.keys(), *thing.values()]
    if isinstance(thing, list | tuple | set | frozenset):
        return list(thing)
    held: list[object] = []
    if isinstance(thing, BaseException):
        held += [*thing.args, thing.__cause__, thing.__context__]
    if type(thing).__module__.startswith(_OPENED) or isinstance(thing, BaseException):
        held += getattr(thing, "__dict__", {}).values()
        if attrs.has(cls := type(thing)):
            held += [getattr(thing, attribute.name) for attribute in attrs.fields(cls)]
    return held


def show_trace(error: BaseException) -> str:
    """Write a traceback as error trackers do: with the locals of every frame, and what is chained to it."""
    shown = traceback.format_exception(error)
    link: BaseException | None = error
    while link is not None:
        for frame, _ in traceback.walk_tb(link.__traceback__):
            shown += [f"{name} = {_show(value)}" for name, value in frame.f_locals.items()]
        link = link.__cause__ or link.__context__
    return "\n".join(shown)


def _show(value: object) -> str:
    try:
        return repr(value)
    except Exception as error:  # noqa: BLE001 - a record that is not finished yet, in the frame of its __init__
        return f"<{type(error).__name__} in repr>"


class KeyWatch(logging.Handler):
    """A pytest plugin: fails the run when the key was logged, printed or warned of in any test."""

    def __init__(self) -> None:
        super().__init__(logging.NOTSET)
        self.leaks: list[str] = []
        self._test = "before the first test"

    def emit(self, record: logging.LogRecord) -> None:
        # Arguments and extras too: handlers of other programs ship them as structured fields.
        self._look(f"the log of {record.name}", f"{self.format(record)} {vars(record)!r}")

    def _look(self, where: str, text: str, *, test: str | None = None) -> None:
        if shows_key(text):
            self.leaks.append(f"{test or self._test}: {where}")

    def pytest_sessionstart(self) -> None:
        root = logging.getLogger()
        root.addHandler(self)
        root.setLevel(logging.DEBUG)

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self._test = nodeid

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        for title, text in report.sections:
            self._look(title, text, test=report.nodeid)  # with several workers, another may have started since

    def pytest_warning_recorded(self, warning_message: warnings.WarningMessage) -> None:
        self._look("a warning", str(warning_message))

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        logging.getLogger().removeHandler(self)
        if hasattr(session.config, "workeroutput"):  # in a worker of pytest-xdist, whose exit status nobody looks at
            session.config.workeroutput["shown_keys"] = self.leaks
        if self.leaks:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:  # untyped in pytest-xdist
        self.leaks += getattr(node, "workeroutput", {}).get("shown_keys", [])

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        for leak in self.leaks:
            terminalreporter.write_line(f"THE API KEY WAS SHOWN in {leak}", red=True)
