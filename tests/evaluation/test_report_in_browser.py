"""The report in a browser."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from tests.evaluation.reported import make_evaluation, render_sequences

for library in ("matplotlib", "jinja2", "PIL"):
    pytest.importorskip(library, reason="needs the extra 'evaluation'")


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    from dcfnet_evaluation.report import write_report

    sequences = render_sequences(tmp_path_factory.mktemp("footage"))
    return write_report(make_evaluation(sequences), sequences, tmp_path_factory.mktemp("report")).as_uri()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium with chromedriver. The tests are skipped, with a reason, if one of them or selenium is missing."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="needs selenium to drive a browser")
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not chromium or not driver:
        pytest.skip("needs chromium and chromedriver on the path")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    chrome = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    yield chrome
    chrome.quit()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 360])
def test_the_page_renders_completely_and_makes_no_requests(browser: Any, address: str, width: int, scheme: str) -> None:
    metrics = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    for kind in ("browser", "performance"):
        browser.get_log(kind)  # drops entries of earlier pages
    browser.get(address)

    assert browser.execute_script("return innerWidth") == width
    sizes = "return [document.scrollingElement.scrollWidth, document.scrollingElement.clientWidth]"
    content_width, page_width = browser.execute_script(sizes)
    assert content_width <= page_width
    broken = "return [...document.images].filter(image => !image.complete || !image.naturalWidth).map(i => i.alt)"
    assert browser.execute_script(broken) == []
    assert browser.execute_script("return document.images.length") == 5 + 3 * 4
    dark = browser.execute_script("return getComputedStyle(document.body).backgroundColor") != "rgb(255, 255, 255)"
    assert dark == (scheme == "dark")
    hidden = (
        "return [...document.querySelectorAll('h1, h2, h3')].filter(h => !h.checkVisibility()).map(h => h.innerText)"
    )
    assert browser.execute_script(hidden) == []
    assert browser.execute_script("return document.querySelectorAll('b').length > 0 && !document.scripts.length")
    assert browser.get_log("browser") == [], "errors on the console"
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    urls = [event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"]
    assert urls, "the request log is empty"
    assert [address for address in urls if not address.startswith(("data:", "file:"))] == []
    assert len([address for address in urls if address.startswith("file:")]) == 1
