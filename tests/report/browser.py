"""A browser without a window, which opens pages of files and has no network."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

_BROWSERS = ("chromium", "chromium-browser", "google-chrome")
_ARGUMENTS = (
    "--headless=new",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--window-size=1300,900",
    # No name of a server is found.
    "--host-resolver-rules=MAP * ~NOTFOUND",
)


def browser_problem() -> str:
    """Return why there is no browser here; empty if there is one."""
    if not any(map(shutil.which, _BROWSERS)):
        return "no Chromium here; on Debian: apt-get install chromium chromium-driver"
    if not shutil.which("chromedriver"):
        return "no chromedriver here; on Debian: apt-get install chromium-driver"
    return ""


@contextmanager
def opened_browser() -> Iterator[Any]:
    """A driver of Chromium, which is closed after the block."""
    webdriver = pytest.importorskip("selenium.webdriver")
    options = webdriver.ChromeOptions()
    options.binary_location = next(filter(None, map(shutil.which, _BROWSERS)))
    for argument in _ARGUMENTS:
        options.add_argument(argument)
    if os.geteuid() == 0:
        options.add_argument("--no-sandbox")  # root has none
    logs = {"browser": "ALL", "performance": "ALL"}
    options.set_capability("goog:loggingPrefs", logs)
    # With its path, selenium does not look for a driver to download.
    service = webdriver.ChromeService(shutil.which("chromedriver"))
    driver = webdriver.Chrome(options, service)
    try:
        yield driver
    finally:
        driver.quit()


def complaints(driver: Any) -> list[str]:
    """Return what the console says, and which addresses were asked for, since the last.

    The page itself does not count, nor what is within it.
    """
    found = [entry["message"] for entry in driver.get_log("browser")]
    for entry in driver.get_log("performance"):
        message = json.loads(entry["message"])["message"]
        if message["method"] == "Network.requestWillBeSent":
            url = message["params"]["request"]["url"]
            if url != driver.current_url and not url.startswith(("data:", "chrome:")):
                found.append(f"request: {url}")
    return found
