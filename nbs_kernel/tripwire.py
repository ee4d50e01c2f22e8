"""Nothing is imported inside: the files there belong to a build, not to Python."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType
    from typing import Never


class Tripwire:
    """A finder of modules that finds none, and says which one was wanted."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> Never:
        """Refuse, and tell on stderr: the import belongs to the top of the file that wants it."""
        del path, target
        os.write(2, f"[nbs kernel] late import of {name!r} refused\n".encode())
        raise ModuleNotFoundError(f"{name} was not imported before entering", name=name)


def set_tripwire() -> None:
    """From here on no module can be loaded, from wherever it would come."""
    sys.path.clear()
    sys.path_importer_cache.clear()
    sys.path_hooks.clear()
    sys.meta_path[:] = [Tripwire()]
