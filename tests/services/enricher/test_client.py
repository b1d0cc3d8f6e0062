"""Language and screen, reduced."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.enricher.client import SCREENS, language_of, screen_class
from tests.strategies import texts

CLASSES = {screen_class(f"{long}x{short}") for long, short in SCREENS}


@pytest.mark.parametrize(
    ("tag", "language"),
    [
        ("de", "de"),
        ("DE-ch", "de-CH"),
        ("de-CH-1996", "de-CH"),
        ("zh-Hant-TW", "zh-TW"),
        ("zh-Hans", "zh"),
        ("zh-yue-HK", "zh-HK"),
        ("es-419", "es-419"),
        ("sl-rozaj-biske-1994", "sl"),
        ("de-1996", "de"),
        ("en-US-u-hc-h12", "en-US"),
        ("en-a-bbb-x-a-ccc", "en"),
        ("de-x-us", "de"),
        ("pt_BR", "pt-BR"),
        ("gsw", "gsw"),
        ("x-private", None),
        ("i-klingon", None),
        ("german", None),
        ("d", None),
        ("*", None),
        ("", None),
        ("de\n", None),
        ("\u212ae", None),  # the sign for kelvin, which is a k without regard to case
    ],
)
def test_a_language_is_its_primary_tag_and_region(tag: str, language: str | None) -> None:
    assert language_of(tag) == language


@pytest.mark.parametrize(
    ("size", "found"),
    [
        ("1920x1080", "1920x1080"),
        ("1903x1071", "1920x1080"),
        ("1080x1920", "1920x1080"),  # a desktop's screen on its side
        ("1920x1200", "1920x1080"),
        ("390x844", "390x844"),
        ("844x390", "390x844"),
        ("360x800", "390x844"),
        ("412x915", "390x844"),
        ("430x932", "390x844"),
        ("320x568", "320x568"),
        ("320x480", "320x568"),
        ("768x1024", "768x1024"),
        ("820x1180", "768x1024"),
        ("1024x1366", "1366x1024"),
        ("1366x768", "1366x768"),
        ("1280x720", "1366x768"),
        ("1440x900", "1440x900"),
        ("1512x982", "1440x900"),
        ("1600x900", "1536x864"),
        ("800x600", "768x1024"),
        ("2560x1440", "2560x1440"),
        ("3440x1440", "3440x1440"),
        ("3840x2160", "3840x2160"),
        ("99999x99999", "3840x2160"),
        ("1x1", "320x568"),
        ("0x0", None),
        ("1920", None),
        ("1920x", None),
        ("", None),
        ("१९२०x१०८०", None),
    ],
)
def test_a_screen_is_its_class(size: str, found: str | None) -> None:
    assert screen_class(size) == found


@given(texts)
def test_of_any_text_only_a_class_is_kept(text: str) -> None:
    language = language_of(text)
    assert language is None or re.fullmatch("[a-z]{2,3}(-([A-Z]{2}|[0-9]{3}))?", language)
    assert screen_class(text) in CLASSES | {None}


@given(st.integers(1, 99_999), st.integers(1, 99_999))
def test_of_any_size_only_a_class_is_kept_and_a_class_is_its_own(width: int, height: int) -> None:
    found = screen_class(f"{width}x{height}")
    assert found in CLASSES and screen_class(found or "") == found
    assert screen_class(f"{height}x{width}") == found, "however it is turned"


@given(st.from_regex(r"[a-zA-Z]{2,3}([-_][a-zA-Z0-9]{1,8}){0,4}", fullmatch=True))
def test_a_reduced_language_stays_as_it_is(tag: str) -> None:
    found = language_of(tag)
    assert found is None or language_of(found) == found
