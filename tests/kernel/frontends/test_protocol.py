"""The protocol's own test suite, with samples of ours."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import pytest

from tests.kernel.frontends.conftest import LIMIT_S

jupyter_kernel_test = pytest.importorskip("jupyter_kernel_test")

if TYPE_CHECKING:
    from tests.kernel.conftest import Home


@pytest.fixture(autouse=True, scope="module")
def here(in_home: Home) -> None:
    """Kernels are found and started as in that home."""
    del in_home


def _with_patience(get: Any, timeout: float | None = None) -> Any:
    del timeout
    return get(timeout=LIMIT_S)


class TestKernel(jupyter_kernel_test.KernelTests):
    kernel_name = "nbs"

    def flush_channels(self) -> None:
        """Take what has come and what is still to come: until an answer that is the last."""
        msg_id = self.kc.kernel_info()
        while self.kc.get_shell_msg(timeout=LIMIT_S)["parent_header"].get("msg_id") != msg_id:
            pass
        ended = False
        while not ended:
            message = self.kc.get_iopub_msg(timeout=LIMIT_S)
            is_its = message["parent_header"].get("msg_id") == msg_id
            ended = is_its and message["content"].get("execution_state") == "idle"

    @classmethod
    def setUpClass(cls) -> None:
        """The suite allows 0.1 s from one message to the next; none of them is left out here."""
        super().setUpClass()
        for channel in (cls.kc.shell_channel, cls.kc.iopub_channel):
            channel.get_msg = functools.partial(_with_patience, channel.get_msg)

    language_name = "bash"
    file_extension = ".sh"
    code_hello_world = "echo 'hello, world'"
    code_stderr = "%streams split\necho oops >&2"
    code_generate_error = "false"
    code_inspect_sample = "cd"
    code_display_data = [{"code": "%build", "mime": "text/html"}]  # noqa: RUF012
    completion_samples = [  # noqa: RUF012
        {"text": "whil", "matches": {"while"}},
        {"text": "cat Makef", "matches": {"Makefile"}},
        {"text": "echo $NIX_BUILD_T", "matches": {"NIX_BUILD_TOP"}},
        {"text": "%rest", "matches": {"%restart", "%restore"}},
    ]
    complete_code_samples = (
        "",
        "echo hi",
        "for i in 1 2; do echo $i; done",
        "cat <<E\nx\nE",
        "f() { echo x; }",
        "%build",
    )
    incomplete_code_samples = (
        "for i in 1 2; do",
        "echo 'abc",
        'echo "abc',
        "cat <<E\nx",
        "if true; then echo",
        "echo a \\",
        "f() {",
        "echo $(",
    )
    invalid_code_samples = ("fi", "if then", "echo )", "for i in; do; done")
    # A shell's cells have output and no value: these are for the history.
    code_execute_result = [  # noqa: RUF012
        {"code": "echo 1", "result": "1\n"},
        {"code": "echo 22", "result": "22\n"},
        {"code": "echo 1; echo 22", "result": "1\n22\n"},
    ]
    supported_history_operations = ("tail", "range", "search")
    code_history_pattern = "echo 22*"

    def test_execute_result(self) -> None:
        """A cell shows what it prints, and that alone."""
        for sample in self.code_execute_result:
            self.flush_channels()
            reply, messages = self.execute_helper(sample["code"])
            assert reply["content"]["status"] == "ok"
            assert {message["msg_type"] for message in messages} == {"stream"}
            assert "".join(m["content"]["text"] for m in messages) == sample["result"]

    def test_language_info_is_what_front_ends_highlight_by(self) -> None:
        self.flush_channels()
        self.kc.kernel_info()
        info: dict[str, Any] = self.kc.get_shell_msg(timeout=15)["content"]
        language = info["language_info"]
        assert language["pygments_lexer"] == "bash"
        assert language["mimetype"] == "text/x-sh"
        assert language["codemirror_mode"] == "shell"
        assert info["help_links"]


class TestWelcome(jupyter_kernel_test.IopubWelcomeTests):
    kernel_name = "nbs"
    support_iopub_welcome = True
