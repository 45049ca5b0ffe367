"""Draws docs/report.png: the report of the first code of README.md, in Chromium.

python docs/make_report.py
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from io import BytesIO
from pathlib import Path

from make_first import first_code
from PIL import Image
from selenium import webdriver

DOCS = Path(__file__).parent
DESCRIPTION = "A perceptron of scikit-learn, trained on all 150 iris flowers."


def main() -> None:
    """Open the report and save what is seen of it."""
    driver = shutil.which("chromedriver")
    if driver is None:
        sys.exit("There is no chromedriver; on Debian: apt-get install chromium-driver")
    options = webdriver.ChromeOptions()
    for argument in ("--headless=new", "--hide-scrollbars", "--window-size=1240,1980"):
        options.add_argument(argument)
    if os.geteuid() == 0:
        options.add_argument("--no-sandbox")
    names: dict[str, object] = {}
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        exec(compile(first_code(), "README.md", "exec"), names)
        names["explanation"].to_html("report.html", description=DESCRIPTION)
        with webdriver.Chrome(options, webdriver.ChromeService(driver)) as browser:
            browser.get((Path(folder) / "report.html").as_uri())
            (row,) = browser.find_elements("xpath", "//button[text()='example 100']")
            browser.execute_script("arguments[0].click()", row)
            seen = Image.open(BytesIO(browser.get_screenshot_as_png()))
    # Fewer colours make a third of the file, and look the same.
    seen.convert("RGB").quantize(128, dither=0).save(DOCS / "report.png", optimize=True)


if __name__ == "__main__":
    main()
