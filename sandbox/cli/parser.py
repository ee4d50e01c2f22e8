"""The arguments of those verbs that enter nothing, and can afford argparse."""

from __future__ import annotations

import argparse
from typing import NoReturn

from sandbox.errors import UsageError


class Parser(argparse.ArgumentParser):
    """argparse, with the errors of this project and help that keeps its lines."""

    def __init__(self, *, prog: str, description: str, epilog: str = "") -> None:
        super().__init__(
            prog=prog,
            description=description,
            epilog=epilog,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )

    def error(self, message: str) -> NoReturn:
        """Raises `UsageError` (`option-unknown`, `option-value`)."""
        unknown = message.removeprefix("unrecognized arguments: ")
        if unknown != message:
            text, reason = f"`{self.prog}` has no argument `{unknown}`", "option-unknown"
        else:
            text, reason = f"`{self.prog}` does not go with this: {message}", "option-value"
        raise UsageError(text, reason=reason, hint=f"`{self.prog} --help` lists the options")
