"""Who else could exchange what lies at a path."""

from __future__ import annotations

import os
import stat

MOST_LINKS = 40


def is_ours(path: str) -> bool:
    """Do root and the caller alone decide what is at the absolute `path`?

    Every directory and link on the way belongs to one of them. Of a directory that all may write
    to, as /tmp, the sticky bit keeps others from exchanging what is not theirs.
    """
    ours = (0, os.geteuid())
    waiting = path.split("/")[::-1]
    here, links = "/", 0
    try:
        while waiting:
            place = os.path.normpath(os.path.join(here, waiting.pop()))
            status = os.lstat(place)
            open_to_all = status.st_mode & stat.S_IWOTH and not status.st_mode & stat.S_ISVTX
            if stat.S_ISLNK(status.st_mode):
                links += 1
                target = os.readlink(place)
                waiting += target.split("/")[::-1]
                place, open_to_all = "/" if target.startswith("/") else here, links > MOST_LINKS
            if status.st_uid not in ours or open_to_all:
                return False
            here = place
    except OSError:
        return False
    return True
