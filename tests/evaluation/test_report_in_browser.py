"""The report in a browser."""

from __future__ import annotations

import json
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
