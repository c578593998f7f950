"""Fixtures for all tests. Data is rendered; the research footage beside the checkout is used where it is there."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from dcfnet.config import TrackerConfig
from dcfnet.devices.cpu import CpuBackend
from dcfnet.tracking.pipeline import Pipeline
from dcfnet_evaluation.rendered import Clip, noise_texture, render_clip

SHARED = Path(__file__).parents[2] / "shared"


@pytest.fixture
def shared() -> Path:
    """The folder of research footage; the test is skipped, and says so, where it is absent."""
    if not SHARED.is_dir():
        pytest.skip(f"needs the research footage in {SHARED.name}/ beside the checkout")
    return SHARED


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A temporary folder of this test run. With pytest-xdist, all its processes get the same folder."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


@pytest.fixture(scope="session", autouse=True)
def one_thread_in_onnx_runtime() -> Iterator[None]:
    """With pytest-xdist there is a process per core, and spinning threads would take time from the other processes."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        yield
        return

    class OneThread(onnxruntime.SessionOptions):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.intra_op_num_threads = 1

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(onnxruntime, "SessionOptions", OneThread)
        yield


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def clip() -> Clip:
    """A short rendered clip without an occluder, 320 x 240."""
    return render_clip(length=40, width=320, height=240, occluder=False)


@pytest.fixture
def frame(rng: np.random.Generator) -> np.ndarray:
    """A picture full of texture, uint8 (240, 320, 3)."""
    return noise_texture(rng, 240, 320)


def make_raw_pipeline(**changes: object) -> Pipeline:
    """The whole tracker on raw pixels: the identity for a network, so that nothing hides the arithmetic."""
    config = TrackerConfig(patch_size=64).replace(**changes)
    return Pipeline.build(config, CpuBackend(), lambda patches: patches, np.array([104, 117, 123], np.float32))


@pytest.fixture
def raw_pipeline() -> Pipeline:
    return make_raw_pipeline()


@pytest.fixture(scope="session")
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
