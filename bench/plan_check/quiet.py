"""How much of the machine others used while something was measured."""

import os
import resource
import time


def busy_seconds():
    """Of all cores and all processes since the machine was started, what a host took of them too."""
    with open("/proc/stat", encoding="utf-8") as file:
        fields = [int(word) for word in file.readline().split()[1:]]
    user, nice, system, _idle, _waiting, irq, softirq, steal = fields[:8]
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def own_seconds():
    """Of this process and those that it has waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in used)


class Watch:
    """From when it is made."""

    def __init__(self):
        self.begun = (time.monotonic(), busy_seconds(), own_seconds())

    def others(self):
        """Cores that others kept busy, mean since then."""
        elapsed, busy, own = (now - then for now, then in zip(
            (time.monotonic(), busy_seconds(), own_seconds()), self.begun))
        return max(0.0, (busy - own) / elapsed)
