"""The pictures of the documentation, made anew: python -m tests.kernel.frontends.pictures [DIRECTORY]

They need Chromium. The build is that of `nbs demo`.
"""

from __future__ import annotations

import base64
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import nbformat
from nbformat import v4
from selenium.webdriver.common.keys import Keys

from tests.kernel.conftest import ROOT, prepare
from tests.kernel.frontends.lab import Lab, Server, browser

STORY = (
    "# Why does the check phase of hello fail?",
    "make check",
    "head -n 1 test.sh\nls /usr/bin/env",
    'sed -i "1s|.*|#!$SHELL|" test.sh && make check',
)


def main() -> None:
    """Make them in the directory that is named, or where the documents look for them."""
    target = Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "docs/pictures").resolve()
    target.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as directory:
        place = Path(directory)
        home = prepare(place / "home", demonstration(), dict(os.environ))
        notebooks = place / "notebooks"
        notebooks.mkdir()
        write(notebooks / "hello.ipynb")
        server = Server(home, notebooks)
        try:
            driver = browser(home)
            try:
                lab = Lab(driver, server)
                notebook(lab, target / "notebook.png")
                launcher(lab, target / "launcher.png")
            finally:
                driver.quit()
        finally:
            server.stop()


def demonstration() -> str:
    """A kept directory of `nbs demo`."""
    command = [sys.executable, "-m", "sandbox.cli.nbs", "demo", "--", "true"]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    line = next(line for line in done.stderr.splitlines() if "is what is left" in line)
    return line.partition(" is what is left")[0]


def write(path: Path) -> None:
    """The story as a notebook that has not run."""
    title, *code = STORY
    cells = [v4.new_markdown_cell(title), *map(v4.new_code_cell, code)]
    kernel = {"name": "nbs", "display_name": "Nix build (nbs)", "language": "bash"}
    nbformat.write(v4.new_notebook(cells=cells, metadata={"kernelspec": kernel}), path)


def notebook(lab: Lab, path: Path) -> None:
    """The story, run."""
    lab.driver.set_window_size(960, 1400)
    lab.driver.get(lab.server.page("doc/tree/hello.ipynb"))
    lab.see(".jp-Notebook .jp-CodeCell")
    lab.connected()
    for number in range(len(STORY) - 1):
        cell = lab.enter(number)
        lab.chord(Keys.SHIFT, Keys.ENTER)
        lab.finished(cell)
        lab.idle()
    time.sleep(1)  # until what moves in the page has come to rest
    panel = lab.see(".jp-NotebookPanel").rect
    last = lab.cells()[-2].rect  # behind it is an empty one
    height = last["y"] + last["height"] - panel["y"]
    take(lab, path, {**panel, "height": height})


def launcher(lab: Lab, path: Path) -> None:
    """The card of the kernel."""
    lab.driver.set_window_size(1000, 700)
    lab.open_launcher()
    time.sleep(1)
    take(lab, path, {"x": 0, "y": 0, "width": 1000, "height": 460})


def take(lab: Lab, path: Path, part: dict[str, float]) -> None:
    """A part of the page as a picture, with a line around it."""
    frame = "left: {x}px; top: {y}px; width: {width}px; height: {height}px".format(**part)
    lab.driver.execute_script(
        "const frame = document.body.appendChild(document.createElement('div'));"
        "frame.style.cssText = arguments[0]",
        f"position: fixed; box-sizing: border-box; border: 1px solid #bdbdbd; z-index: 9999; {frame}",
    )
    shot = {"format": "png", "optimizeForSpeed": False, "clip": {**part, "scale": 1}}
    taken = lab.driver.execute_cdp_cmd("Page.captureScreenshot", shot)
    path.write_bytes(base64.b64decode(taken["data"]))


if __name__ == "__main__":
    main()
