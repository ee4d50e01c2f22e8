"""JupyterLab in a browser, driven as a person drives it: keys, clicks, and looking until it is there."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import time
import urllib.request
from typing import TYPE_CHECKING, Any

import websocket
from selenium import webdriver
from selenium.common.exceptions import (
    ElementClickInterceptedException,
    ElementNotInteractableException,
    StaleElementReferenceException,
)
from selenium.webdriver import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from tests.kernel.frontends import processes

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from selenium.webdriver.remote.webelement import WebElement

    from tests.kernel.conftest import Home
    from tests.kernel.frontends.processes import Process

CHROMIUM, CHROMEDRIVER = "/usr/bin/chromium", "/usr/bin/chromedriver"
LIMIT_S = 120
NOT_YET = (
    ElementClickInterceptedException,
    ElementNotInteractableException,
    StaleElementReferenceException,
    OSError,  # the server, too, trips over a kernel that is just ending
    IndexError,
    ValueError,
)
TOKEN = secrets.token_hex()
SETTINGS = {
    "apputils-extension/notification": {
        "fetchNews": "false",
        "checkForUpdates": False,
        "doNotDisturbMode": True,
    },
    # What is known of a cell when this is over is all that is offered.
    "completer-extension/manager": {"providerTimeout": 60_000},
    # Every cell is in the page, seen or not, and brackets are not closed for the one who types.
    "notebook-extension/tracker": {
        "windowingMode": "none",
        "codeCellConfig": {"autoClosingBrackets": False},
    },
}


class Server:
    """`jupyter lab` without a browser of its own, on a port that was free."""

    def __init__(self, home: Home, directory: Path) -> None:
        for name, values in SETTINGS.items():
            package, _, plugin = name.partition("/")
            place = home.path / "config/lab/user-settings/@jupyterlab" / package
            place.mkdir(parents=True, exist_ok=True)
            (place / f"{plugin}.jupyterlab-settings").write_text(json.dumps(values))
        options = [
            "--no-browser",
            "--ServerApp.port=0",
            # Others on this machine must not run code as who runs the tests.
            f"--IdentityProvider.token={TOKEN}",
            f"--ServerApp.root_dir={directory}",
            "--ServerApp.terminals_enabled=False",
        ]
        if os.getuid() == 0:
            options.append("--allow-root")
        self.log = home.path / "lab.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "jupyterlab", *options],
                env=home.environment,
                cwd=directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        place = home.path / f"runtime/jpserver-{self.process.pid}.json"
        wait(lambda: place.exists() or self.process.poll() is not None, "the server's address")
        assert self.process.poll() is None, self.log.read_text()
        self.url: str = wait(lambda: json.loads(place.read_text())["url"], "the server's address")
        wait(self._answers, "the server answers")

    def _answers(self) -> bool:
        try:
            return bool(self.get("api/status"))
        except OSError:
            return False

    def get(self, path: str) -> Any:
        """What the server's REST interface says."""
        return json.loads(self._ask(path, "GET"))

    def post(self, path: str, content: dict[str, Any]) -> Any:
        """Make a thing that the server has from then on; what it says of it."""
        return json.loads(self._ask(path, "POST", json.dumps(content).encode()))

    def delete(self, path: str) -> None:
        """Remove a thing that the server has."""
        self._ask(path, "DELETE")

    def _ask(self, path: str, method: str, data: bytes | None = None) -> bytes:
        headers = {"Authorization": f"token {TOKEN}"}
        request = urllib.request.Request(f"{self.url}{path}", data, headers, method=method)
        with urllib.request.urlopen(request, timeout=LIMIT_S) as reply:
            content: bytes = reply.read()
        return content

    def page(self, path: str) -> str:
        """The address of a page, for a browser that the server does not know yet."""
        return f"{self.url}{path}?reset&token={TOKEN}"

    def text_of(self, codes: list[str]) -> str:
        """What the server passes on of the output of cells that are all sent at once."""
        kernel = self.post("api/kernels", {"name": "nbs"})["id"]
        address = f"{self.url}api/kernels/{kernel}/channels?token={TOKEN}".replace("http", "ws", 1)
        socket = websocket.create_connection(address, timeout=LIMIT_S)
        asked = {str(n): _execute_request(str(n), code) for n, code in enumerate(codes)}
        for message in asked.values():
            socket.send(json.dumps(message))
        shown = []
        while asked:
            message = json.loads(socket.recv())
            content = message["content"]
            shown.append(content.get("text", ""))
            if content.get("execution_state") == "idle":
                asked.pop(message["parent_header"].get("msg_id", ""), None)
        socket.close()
        self.delete(f"api/kernels/{kernel}")
        return "".join(shown)

    def kernels(self) -> list[dict[str, Any]]:
        """The running kernels, as the server knows them."""
        found: list[dict[str, Any]] = self.get("api/kernels")
        return found

    def stop(self) -> None:
        """End the server and its kernels as Ctrl-C does."""
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(LIMIT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise


def _execute_request(msg_id: str, code: str) -> dict[str, Any]:
    header = {"msg_id": msg_id, "msg_type": "execute_request", "username": "", "session": "s"}
    content = {"code": code, "allow_stdin": False, "stop_on_error": False}
    return {
        "channel": "shell",
        "header": {**header, "version": "5.3"},
        "parent_header": {},
        "metadata": {},
        "content": content,
    }


def browser(home: Home) -> webdriver.Chrome:
    """A Chromium without a window, of the size of the pictures."""
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in (
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--disable-background-networking",
        "--disable-component-update",
        "--no-first-run",
        "--hide-scrollbars",
        "--force-color-profile=srgb",
        "--window-size=1280,900",
        f"--user-data-dir={home.path}/chromium",
    ):
        options.add_argument(argument)
    service = webdriver.ChromeService(executable_path=CHROMEDRIVER, env=home.environment)
    return webdriver.Chrome(options=options, service=service)


def wait(look: Callable[[], Any], what: str, limit_s: float = LIMIT_S) -> Any:
    """The first true value of `look`. What the page exchanges meanwhile is looked for again."""
    end = time.monotonic() + limit_s
    while True:
        try:
            found = look()
        except NOT_YET:
            found = None
        if found:
            return found
        if time.monotonic() > end:
            raise AssertionError(f"not within {limit_s} s: {what}")
        time.sleep(0.05)


def _is_displayed(element: WebElement) -> bool:
    try:
        return element.is_displayed()
    except StaleElementReferenceException:
        return False  # what has been exchanged is not there


class Lab:
    """One JupyterLab page with one notebook."""

    def __init__(self, driver: webdriver.Chrome, server: Server) -> None:
        self.driver = driver
        self.server = server

    def find(self, selector: str) -> list[WebElement]:
        """The elements that a person sees."""
        every = self.driver.find_elements(By.CSS_SELECTOR, selector)
        return [element for element in every if _is_displayed(element)]

    def see(self, selector: str, text: str = "", limit_s: float = LIMIT_S) -> WebElement:
        """Wait for an element, with that text in it."""

        def look() -> WebElement | None:
            return next((e for e in self.find(selector) if text in e.text), None)

        found: WebElement = wait(look, f"{selector} with {text!r}", limit_s)
        return found

    def click(self, selector: str, text: str = "") -> None:
        """Click on what is there once it is there."""

        def done() -> bool:
            self.see(selector, text).click()
            return True

        wait(done, f"a click on {selector}")

    def press(self, *keys: str) -> None:
        """Type text or single keys where the cursor is."""
        ActionChains(self.driver).send_keys(*keys).perform()

    def chord(self, held: str, key: str) -> None:
        """A key while another is held."""
        ActionChains(self.driver).key_down(held).send_keys(key).key_up(held).perform()

    def open_launcher(self) -> None:
        """The page that JupyterLab begins with."""
        self.driver.get(self.server.page("lab"))
        self.see(".jp-LauncherCard")

    def new_notebook(self, kernel: str) -> None:
        """A click on the kernel's card in the launcher, and its kernel is there."""
        self.click('.jp-LauncherCard[data-category="Notebook"]', kernel)
        self.see(".jp-Notebook .jp-CodeCell")
        self.connected()

    def open_notebook(self, name: str) -> None:
        """A notebook that is in the server's directory."""
        self.driver.get(self.server.page(f"lab/tree/{name}"))
        self.see(".jp-Notebook .jp-CodeCell")
        self.connected()

    def connected(self) -> None:
        """Wait until the page and its kernel have met, which the server knows."""

        def met() -> bool:
            kernels = self.server.kernels()
            return bool(kernels) and all(
                kernel["connections"] and kernel["execution_state"] == "idle" for kernel in kernels
            )

        wait(met, "the page's connection to its kernel")
        self.idle()

    def idle(self) -> None:
        """Wait until the kernel's sign in the toolbar says that it has nothing to do."""
        self.see('.jp-Notebook-ExecutionIndicator[data-status="idle"]')

    def cells(self) -> list[WebElement]:
        """The notebook's code cells."""
        return self.find(".jp-Notebook .jp-CodeCell")

    def enter(self, number: int) -> WebElement:
        """A click into the editor of a code cell; the cell."""

        def editor() -> WebElement:
            self.cells()[number].find_element(By.CSS_SELECTOR, ".cm-content").click()
            return self.cells()[number]

        cell: WebElement = wait(editor, "a cell's editor")
        return cell

    def type(self, code: str) -> WebElement:
        """Write into the last cell, which is empty; the cell."""
        cell = self.enter(-1)
        for number, line in enumerate(code.split("\n")):
            if number:
                self.press(Keys.ENTER)
                self.chord(Keys.SHIFT, Keys.HOME)  # what the editor has indented by itself
            self.press(line)
        return cell

    def start(self, code: str) -> WebElement:
        """Type into the last cell and run it; the cell, whose run goes on."""
        count = len(self.cells())
        cell = self.type(code)
        self.chord(Keys.SHIFT, Keys.ENTER)
        wait(lambda: len(self.cells()) > count, "a new cell below the one that runs")
        return cell

    def run(self, code: str, shows: str = "") -> str:
        """Type into the last cell, run it to its end; what it shows when it shows that text."""
        cell = self.start(code)
        self.finished(cell)
        return self.shows(cell, shows)

    def answer(self, text: str) -> None:
        """Type into the input box, once there is one."""

        def done() -> bool:
            self.see(".jp-Stdin-input").send_keys(text, Keys.ENTER)
            return True

        wait(done, "an input box that takes keys")

    def finished(self, cell: WebElement) -> None:
        """Wait for the number that a cell gets when it has run."""

        def number() -> bool:
            prompt = cell.find_element(By.CSS_SELECTOR, ".jp-InputPrompt").text
            return prompt.strip("[]: ").isdigit()

        wait(number, "the cell's number")

    def output(self, cell: WebElement) -> str:
        """The text of all that a cell has shown so far."""
        shown = cell.find_elements(By.CSS_SELECTOR, ".jp-OutputArea-output")
        return "\n".join(element.text for element in shown)

    def shows(self, cell: WebElement, text: str) -> str:
        """Wait until a cell shows a text, which may be after it has its number; all it shows."""
        seen = [""]

        def shown() -> bool:
            seen[0] = self.output(cell)
            return text in seen[0]

        try:
            wait(shown, f"{text!r} in a cell's output")
        except AssertionError as error:
            raise AssertionError(f"{error}: {seen[0]!r}") from None
        return seen[0]

    def last_text(self) -> str:
        """What stands in the last cell's editor."""
        lines = self.cells()[-1].find_elements(By.CSS_SELECTOR, ".cm-line")
        return "\n".join(line.text for line in lines)

    def kernel_processes(self) -> frozenset[Process]:
        """Those that the server has started."""
        return processes.children(self.server.process.pid)

    def restart(self) -> None:
        """Press the button for it, say yes, and wait until the new kernel is there."""
        before = self.kernel_processes()
        self.click('[data-jp-item-name="restart"] jp-button')
        self.click(".jp-Dialog .jp-mod-accept")
        wait(lambda: not self.find(".jp-Dialog"), "the question is gone")
        wait(lambda: self.kernel_processes() - before, "another kernel's process")
        wait(lambda: not self.kernel_processes() & before, "the end of the one before")
        self.connected()

    def close_notebooks(self) -> None:
        """End every kernel of the server."""

        def closed() -> bool:
            for session in self.server.get("api/sessions"):
                self.server.delete(f"api/sessions/{session['id']}")
            return not self.server.get("api/sessions")

        wait(closed, "the end of all kernels")

    def picture(self, path: Path) -> None:
        """The page as a person sees it."""
        self.driver.save_screenshot(str(path))
