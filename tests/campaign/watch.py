"""What happens in a checkpoint directory, as the kernel tells it: inotify through ctypes.

One thread.
"""

import ctypes
import os
import select
import struct

ACCESS, CLOSE_WRITE, OPEN = 0x1, 0x8, 0x20
MOVED_FROM, MOVED_TO, CREATE, DELETE = 0x40, 0x80, 0x100, 0x200
ALL = ACCESS | CLOSE_WRITE | OPEN | MOVED_FROM | MOVED_TO | CREATE | DELETE
NAMES = {ACCESS: "access", CLOSE_WRITE: "written", OPEN: "open", MOVED_FROM: "moved_from",
         MOVED_TO: "moved_to", CREATE: "create", DELETE: "delete"}
EVENT = struct.Struct("iIII")


class Watch:
    """Events of a folder and of the folders in it, also of those that come later."""

    def __init__(self, folder):
        self.libc = ctypes.CDLL(None, use_errno=True)
        self.number = self.libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self.number < 0:
            raise OSError(ctypes.get_errno(), "inotify_init1")
        self.folder = os.fsencode(folder)
        self.names = {}  # of watched folders by watch descriptor; "" is the folder itself
        self.add("")
        for name in os.listdir(folder):
            self.add(name)

    def add(self, name):
        path = os.path.join(self.folder, os.fsencode(name)) if name else self.folder
        if not os.path.isdir(path):
            return False
        watch = self.libc.inotify_add_watch(self.number, path, ALL)
        if watch < 0:
            return False  # it is gone again
        self.names[watch] = name
        return True

    def wait(self, seconds):
        """Whether there is something to read."""
        return bool(select.select([self.number], [], [], max(0.0, seconds))[0])

    def read(self):
        """(event, folder, name) of all that happened since."""
        events = []
        while True:
            try:
                blob = os.read(self.number, 1 << 16)
            except BlockingIOError:
                return events
            at = 0
            while at < len(blob):
                watch, mask, _, length = EVENT.unpack_from(blob, at)
                at += EVENT.size
                name = os.fsdecode(blob[at:at + length].rstrip(b"\0"))
                at += length
                folder = self.names.get(watch)
                if folder is None:
                    continue
                for bit, event in NAMES.items():
                    if mask & bit:
                        events.append((event, folder, name))
                if folder == "" and mask & (CREATE | MOVED_TO):
                    # A folder that was renamed has its watch already, under its old name.
                    if self.add(name) and mask & CREATE:
                        events.extend(self.already_in(name))

    def already_in(self, folder):
        """What came before the watch did."""
        try:
            there = sorted(os.listdir(os.path.join(self.folder, os.fsencode(folder))))
        except OSError:
            return []
        return [("create", folder, os.fsdecode(name)) for name in there]

    def close(self):
        os.close(self.number)
