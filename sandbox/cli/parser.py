"""The arguments of those verbs that enter nothing, and can afford argparse."""

from __future__ import annotations

import argparse
from typing import Any, NoReturn

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
        self._words: tuple[str, ...] = ()

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As argparse has it; the words are remembered for `error`."""
        self._words = tuple(args or ())
        return super().parse_known_args(args, namespace)

    def _is_unknown(self, word: str) -> bool:
        return word.startswith("--") and word.partition("=")[0] not in self._option_string_actions

    def error(self, message: str) -> NoReturn:
        """Raises `UsageError` (`option-unknown`, `option-value`)."""
        unknown = message.removeprefix("unrecognized arguments: ")
        if message.startswith("the following arguments are required"):
            # argparse tells of these first, and an option that there is not explains more.
            unknown = next(filter(self._is_unknown, self._words), message)
        if unknown != message:
            text, reason = f"`{self.prog}` has no argument `{unknown}`", "option-unknown"
        else:
            text, reason = f"`{self.prog}` does not go with this: {message}", "option-value"
        raise UsageError(text, reason=reason, hint=f"`{self.prog} --help` lists the options")
