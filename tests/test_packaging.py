"""What the package page shows: links that lead somewhere, and metadata that agrees with the project's own files."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from isnotai_async import __version__

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
VERSIONS = {name.rpartition(" ")[2] for name in PROJECT["classifiers"] if re.search(r":: 3\.\d+$", name)}
VENDOR = "https://api.isnotai.com/"


def test_links_of_the_readme_lead_within_it_or_to_the_vendor() -> None:
    # A package page has no other files, so a relative link would be dead there.
    targets = re.findall(r"\]\(([^)]+)\)", README)
    assert targets
    assert [target for target in targets if not target.startswith(("#", VENDOR))] == []


def test_files_that_the_readme_names_exist() -> None:
    names = re.findall(r"`((?:docs|examples|benchmarks)/[\w./-]+|[A-Z]+\.md)`", README)
    assert len(names) > 20
    assert [name for name in names if not (ROOT / name).exists()] == []


def test_the_source_distribution_has_what_the_readme_names() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    included = tomllib.loads(text)["tool"]["hatch"]["build"]["targets"]["sdist"]["include"]
    assert {"docs", "examples", "benchmarks", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"} <= set(included)


def test_the_addresses_of_the_project_are_the_vendors() -> None:
    assert PROJECT["urls"]
    assert all(address.startswith(VENDOR) for address in PROJECT["urls"].values())


def test_the_classifiers_are_the_versions_of_the_matrix_and_of_the_readme() -> None:
    matrix = (ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
    assert {"3.11", "3.12", "3.13"} == VERSIONS
    assert set(re.findall(r'"(3\.\d+)"', matrix)) == VERSIONS
    assert "Python 3.11, 3.12 and 3.13" in README
    assert PROJECT["requires-python"] == ">=3.11"


def test_the_newest_release_in_the_changelog_is_this_version() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    released = [heading for heading in re.findall(r"^## (\S+)", changelog, re.MULTILINE) if heading != "Unreleased"]
    assert released[:1] == [__version__] if released else __version__ == "0.1.0"


@pytest.mark.parametrize("extra", sorted(PROJECT["optional-dependencies"]))
def test_each_extra_is_in_the_table_of_the_readme(extra: str) -> None:
    assert f"\n| `{extra}` |" in README
