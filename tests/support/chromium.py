"""A real browser, and what a person with other eyes or no mouse needs of a page."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import uvicorn
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from starlette.applications import Starlette

from support.node import free_port, until

OPTIONS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars")


@contextmanager
def served(app: Starlette) -> Iterator[str]:
    """Serve an application on a free loopback port; its address."""
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_config=None, lifespan="off"))
    thread = Thread(target=server.run, daemon=True)
    thread.start()
    until(lambda: server.started, seconds=30, what="the page is served")
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join(timeout=10)


@contextmanager
def browser() -> Iterator[webdriver.Chrome]:
    """Open headless Chromium; skips where it is not installed."""
    program, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if program is None or driver is None:
        pytest.skip("needs a browser: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for option in OPTIONS:
        options.add_argument(option)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    made = webdriver.Chrome(options=options, service=Service(driver))
    try:
        yield made
    finally:
        made.quit()


def emulate(chrome: webdriver.Chrome, *, dark: bool, width: int, height: int = 1000) -> None:
    """Pretend to be another screen."""
    scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
    screen = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
    chrome.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": scheme})
    chrome.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)


def faults(chrome: webdriver.Chrome) -> list[str]:
    """What axe-core finds on a page: rules of WCAG 2.2 A and AA and good practice that are broken, and where."""
    carrier = find_spec("axe_playwright_python")  # it brings axe-core; the browser is opened by Selenium
    assert carrier is not None
    assert carrier.submodule_search_locations
    chrome.execute_script((Path(carrier.submodule_search_locations[0]) / "axe.min.js").read_text(encoding="utf-8"))
    run = "axe.run(document, {resultTypes: ['violations']}).then(arguments[0])"
    found = chrome.execute_async_script(run)["violations"]
    return [f"{one['impact']} {one['id']}: {node['html'][:120]}" for one in found for node in one["nodes"]]


def is_wider_than_the_window(chrome: webdriver.Chrome) -> bool:
    """Whether a person has to scroll sideways to read it (WCAG 2.2, 1.4.10)."""
    return bool(chrome.execute_script("return document.documentElement.scrollWidth > innerWidth"))


def complaints(chrome: webdriver.Chrome) -> list[Any]:
    """What the browser's console holds: a script that failed, a rule of the page's own that it broke."""
    return [entry["message"] for entry in chrome.get_log("browser")]  # type: ignore[no-untyped-call]
