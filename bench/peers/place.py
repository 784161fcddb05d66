"""place: where the peers' environment and our programs lie, and what each is started with."""

import os
import shutil
import subprocess

from contest import Absent

HERE = os.path.dirname(os.path.abspath(__file__))


class Place:
    def __init__(self, environment, programs, quick):
        self.environment, self.programs, self.quick = environment, programs, quick
        self.cores = len(os.sched_getaffinity(0))

    def program(self, name):
        path = os.path.join(self.programs, name)
        if not os.path.exists(path):
            raise Absent(f"{name} was not built")
        return path

    def why_absent(self, package):
        """What setting up said of a package that it could not have."""
        try:
            with open(os.path.join(self.environment, "absent", package), encoding="utf-8") as file:
                return file.read().strip()
        except OSError:
            return None

    def python(self, script, *arguments, needs=("torch",)):
        """The command of one of theirs, in their environment."""
        for package in needs:
            reason = self.why_absent(package)
            if reason is not None:
                raise Absent(f"{package}: {reason}")
        interpreter = os.path.join(self.environment, "venv", "bin", "python")
        if not os.path.exists(interpreter):
            raise Absent("no environment: scripts/peers.sh sets it up")
        return [interpreter, "-B", os.path.join(HERE, script), *map(str, arguments)]

    def around(self, threads, meeting=None):
        """Theirs: huge pages as ours have them, no GPU, no more threads than their share."""
        debian = os.path.join(self.environment, "debian", "usr")
        libraries = os.path.join(debian, "lib", f"{os.uname().machine}-linux-gnu")
        return {"OMP_NUM_THREADS": str(threads), "THP_MEM_ALLOC_ENABLE": "1",
                "CUDA_VISIBLE_DEVICES": "", "DS_ACCELERATOR": "cpu", "GLOO_SOCKET_IFNAME": "lo",
                "MAX_JOBS": str(self.cores),
                "TORCH_EXTENSIONS_DIR": os.path.join(self.environment, "extensions"),
                "CPATH": os.path.join(debian, "include"), "LIBRARY_PATH": libraries,
                "LD_LIBRARY_PATH": libraries,
                "PATH": os.path.join(self.environment, "venv", "bin") + ":" + os.environ["PATH"],
                **({"ZERO_PEERS_MEETING": meeting} if meeting else {})}

    def launch(self, ranks, name, *arguments):
        """One of our programs as ranks of a shared-memory world."""
        return [self.program("zero"), "launch", "--ranks", str(ranks), "--", self.program(name),
                *map(str, arguments)]


def command_version(*command):
    """The first line that a command says of its version; None where there is none."""
    if shutil.which(command[0]) is None:
        return None
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = (ran.stdout + ran.stderr).splitlines()
    return lines[0].strip() if lines else None
