"""Regions and base URLs."""

import pytest

from isnotai_async._models.regions import REGIONS, resolve_region
from isnotai_async.errors import ConfigError


def test_the_regions_are_the_documented_ones() -> None:
    assert {name: region.base_url for name, region in REGIONS.items()} == {
        "us": "https://api.isnotai.com",
        "eu": "https://api-eu.isnotai.com",
    }


def test_the_default_is_us() -> None:
    assert resolve_region() is REGIONS["us"]


def test_a_base_url_keeps_the_region_and_its_path_prefix() -> None:
    region = resolve_region("eu", "https://proxy.example:8443/notai/")

    assert (region.name, region.base_url) == ("eu", "https://proxy.example:8443/notai")


@pytest.mark.parametrize(
    "url",
    [
        "https://gw_1.internal-net.example:8443/a-b/~c",
        "https://host/a%20b/%C3%A9",
        "https://10.0.0.1",
        "https://[2001:db8::1]:8443",
        "https://xn--hst-sna.example.",
    ],
)
def test_plain_base_urls_are_taken_as_they_are(url: str) -> None:
    assert resolve_region(None, url).base_url == url


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:1", "http://127.9.9.9", "http://localhost:80", "http://[::1]:8080"]
)
def test_loopback_may_go_without_encryption(url: str) -> None:
    assert resolve_region(None, url).base_url == url


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("http://api.isnotai.com", "use https"),
        ("http://127.0.0.1.evil.example", "use https"),
        ("http://10.0.0.1", "use https"),
        ("https://user:hunter2@host", "remove it"),
        ("https://host/?a=b", "query or a fragment"),
        ("https://host/?", "query or a fragment"),
        ("https://host/#x", "query or a fragment"),
        ("ftp://host", "not http(s)"),
        ("api.isnotai.com", "no usable host"),
        ("https://", "no usable host"),
        ("https://ho st", "no usable host"),
        ("https://h\u00f6st", "no usable host"),
        ("https://host:99999", "is not a URL"),
        ("https://[::1", "is not a URL"),
        ("https://host/a/../b", "path segment"),
        ("https://host/a//b", "path segment"),
        ("https://host/%2e%2e", "path segment"),
        ("https://host/a/%2E./b", "path segment"),
        ("https://host/a/..\\b", "backslash"),
        ("https://host/a\\b", "backslash"),
        ("https://host/a%5Cb", "backslash"),
        ("https://host/a%2Fb", "path segment"),
        ("https://host/a%00b", "path segment"),
        ("https://host/a%zzb", "path segment"),
        ("https://host/a%", "path segment"),
        ("https://[v1.x]", "no usable host"),
        ("https://[v1.x]:80/a", "no usable host"),
        ("https://host\\evil.example", "no usable host"),
        ("https://evil.example\\@host", "remove it"),
        ("https://a..b", "no usable host"),
        ("https://a%2eb", "no usable host"),
        ("https://a,b", "no usable host"),
        ("https://-a", "no usable host"),
        ("https://host:0", "port 0"),
        ("http://127.0.0.1:00/a", "port 0"),
        ("http://127.1", "use https"),
        ("https://[::1]evil.example", "no usable host"),
        (b"https://host", "is not a URL"),
        (7, "is not a URL"),
    ],
)
def test_a_base_url_that_could_leak_the_key_is_refused(url: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        resolve_region("us", url)

    assert says in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_an_unknown_region_is_refused_and_the_known_ones_named() -> None:
    with pytest.raises(ConfigError, match=r"unknown region 'mars'; the regions are: us, eu"):
        resolve_region("mars")
