"""The page of a report is whole, safe and readable in a real browser."""

import re
import shutil
from collections.abc import Generator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from selenium import webdriver

from holdtrue.evaluation.page import render
from tests.evaluation.page.sample import HOSTILE, sample

LISTS = ("promises", "comparisons", "per_class", "slices", "fairness", "robustness", "learning_curve", "search")
ABSENT = ("confusion", "decision", "importance", "contributions")
EMPTY: dict[str, Any] = {**{name: [] for name in LISTS}, **dict.fromkeys(ABSENT), "metrics": {}, "curves": {}}


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))


def tags(page: str) -> list[tuple[str, dict[str, str | None]]]:
    parser = Tags()
    parser.feed(page)
    return parser.seen


def test_nothing_is_fetched_and_nothing_runs() -> None:
    seen = tags(render(sample()))
    assert not [tag for tag, _ in seen if tag in {"script", "iframe", "object", "link", "img"}]
    assert not [
        name for _, attributes in seen for name in attributes if name.startswith("on") or name in {"src", "href"}
    ]


def test_words_from_the_data_stay_words() -> None:
    page = render(sample(project=HOSTILE))
    assert "<script>" not in page
    assert "&lt;script&gt;" in page


def test_every_picture_is_well_formed() -> None:
    pictures = re.findall(r"<svg.*?</svg>", render(sample()), flags=re.DOTALL)
    assert len(pictures) >= 16
    for picture in pictures:
        assert ElementTree.fromstring(picture).get("aria-label")
        assert "nan" not in picture.lower().replace("finance", "")


def test_a_report_without_parts_is_still_a_page() -> None:
    page = render({**sample(), **EMPTY})
    assert "promises nothing" in page


def test_a_model_that_loses_to_a_baseline_says_so_first() -> None:
    page = render(sample())
    assert page.index("does not beat its simple baselines") < page.index("<h2>Promises</h2>")


def test_the_same_report_gives_the_same_page() -> None:
    assert render(sample()) == render(sample())


@pytest.fixture
def browser() -> Generator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    for flag in (
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--window-size=1100,1400",
        "--disable-background-networking",
    ):
        options.add_argument(flag)
    binary = shutil.which("chromium") or shutil.which("google-chrome")
    assert binary, "This test needs Chromium; `make install` and `make test` install it where apt is at hand."
    options.binary_location = binary
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))
    yield driver
    driver.quit()


@pytest.mark.browser
@pytest.mark.slow
@pytest.mark.parametrize("width", [1100, 420])
def test_a_browser_shows_it_without_overflow(browser: webdriver.Chrome, tmp_path: Path, width: int) -> None:
    file = tmp_path / "report.html"
    file.write_text(render(sample()), encoding="utf-8")
    browser.set_window_size(width, 1400)
    browser.get(file.as_uri())
    assert browser.title == "hotel-cancellations: refuted"
    ask = "return [document.documentElement.scrollWidth, document.documentElement.clientWidth]"
    wide, shown = browser.execute_script(ask)
    assert wide <= shown + 1
    words = browser.find_element("tag name", "body").text
    assert "✘ refuted" in words
    assert "31,000" in words or "Made up for the page." in words
    outside = browser.execute_script(
        "return [...document.querySelectorAll('svg')].filter(s => s.getBoundingClientRect().width < 60).length"
    )
    assert outside == 0
    picture = tmp_path / "page.png"
    assert browser.save_screenshot(str(picture))
    assert picture.stat().st_size > 20_000, "the page is blank"
