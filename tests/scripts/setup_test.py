"""scripts/setup.sh against a machine made of stand-ins: which packages dpkg-query says are there,
who the user is, whether there is sudo and apt-get. Nothing is ever installed."""

import os
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent

DPKG_QUERY = """#!/bin/bash
grep -qx "${@: -1}" "$MACHINE/installed" || exit 1
version=$(sed -n "s/^${@: -1} //p" "$MACHINE/versions" 2>/dev/null)
echo "installed ${version:-9:99}"
"""
DPKG = '#!/bin/bash\n[ "$1" = --compare-versions ] && exec /usr/bin/dpkg "$@"\n'
# Records its call; an install makes packages appear, as long as the machine lets it.
APT_GET = """#!/bin/bash
echo "apt-get $*" >> "$MACHINE/calls"
[ "$1" = update ] && exit 0
[ -e "$MACHINE/apt_fails" ] && exit 100
for word; do echo "$word"; done >> "$MACHINE/installed"
"""
SUDO = '#!/bin/bash\necho "sudo $1" >> "$MACHINE/calls"\n[ "$1" = -n ] && shift\nexec "$@"\n'
COMMANDS = ("bash", "sed", "grep", "head", "cut", "xargs", "dirname", "env", "cat", "echo", "mktemp", "rm")


def packages():
    lines = (ROOT / "scripts" / "packages.txt").read_text(encoding="utf-8").splitlines()
    words = [line.split("#")[0].split(">=")[0].strip() for line in lines]
    return [word for word in words if word and not word.startswith("[")]


@unittest.skipUnless(shutil.which("dpkg"), "compares versions with dpkg, which is not here")
class SetupTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.machine = Path(folder.name, "a machine")
        self.bin = self.machine / "bin"
        scripts = self.machine / "a clone" / "scripts"
        for path in (self.bin, scripts):
            path.mkdir(parents=True)
        for name in ("setup.sh", "packages.txt"):
            shutil.copy(ROOT / "scripts" / name, scripts)
        self.script = scripts / "setup.sh"
        for name in COMMANDS:
            os.symlink(shutil.which(name), self.bin / name)
        self.command("dpkg-query", DPKG_QUERY)
        self.command("dpkg", DPKG)
        self.command("apt-get", APT_GET)
        self.command("id", "#!/bin/bash\necho 1000\n")
        self.installed(packages())

    def command(self, name, text):
        path = self.bin / name
        path.write_text(text, encoding="utf-8")
        path.chmod(0o755)

    def installed(self, names):
        (self.machine / "installed").write_text("".join(n + "\n" for n in names), encoding="utf-8")

    def run_setup(self, *sections):
        return subprocess.run([self.script, *sections], env={"PATH": str(self.bin),
                              "MACHINE": str(self.machine)}, stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, check=False)

    def calls(self):
        path = self.machine / "calls"
        return path.read_text(encoding="utf-8").splitlines() if path.exists() else []

    def test_nothing_missing_needs_neither_root_nor_network(self):
        ran = self.run_setup("build", "test", "optional")
        self.assertEqual((ran.returncode, ran.stderr, self.calls()), (0, "", []))

    def test_an_ordinary_user_installs_with_sudo_what_is_missing_and_no_more(self):
        self.command("sudo", SUDO)
        self.installed(name for name in packages() if name not in ("cmake", "libhwy-dev", "ccache"))
        ran = self.run_setup("build")
        self.assertEqual(ran.returncode, 0, ran.stderr)
        self.assertIn("will install with apt-get: cmake libhwy-dev\n", ran.stdout)
        self.assertEqual(self.calls()[:2], ["sudo -n", "apt-get update -qq"])
        self.assertTrue(self.calls()[3].endswith(" cmake libhwy-dev"), self.calls())
        self.assertIn("--no-install-recommends", self.calls()[3])
        self.assertEqual(self.run_setup("build").stdout, "setup: nothing to install\n")

    def test_root_needs_no_sudo(self):
        self.command("id", "#!/bin/bash\necho 0\n")
        self.installed(name for name in packages() if name != "libgtest-dev")
        ran = self.run_setup("build", "test")
        self.assertEqual(ran.returncode, 0, ran.stderr)
        self.assertTrue(self.calls()[-1].endswith(" libgtest-dev"), self.calls())

    def test_neither_root_nor_sudo(self):
        self.installed(name for name in packages() if name not in ("g++", "cmake"))
        ran = self.run_setup("build")
        self.assertEqual((ran.returncode, self.calls()), (1, []))
        self.assertEqual(ran.stderr.count("\n"), 1)
        self.assertIn(": g++ cmake\n", ran.stderr)

    def test_apt_that_fails(self):
        self.command("id", "#!/bin/bash\necho 0\n")
        (self.machine / "apt_fails").touch()
        self.installed(name for name in packages() if name != "cmake")
        ran = self.run_setup("build")
        self.assertEqual(ran.returncode, 1)
        self.assertIn("could not install: cmake\n", ran.stderr)

    def test_a_version_that_is_too_old(self):
        (self.machine / "versions").write_text("cmake 3.22.1-1\n", encoding="utf-8")
        ran = self.run_setup("build")
        self.assertEqual((ran.returncode, self.calls()), (1, []))
        self.assertIn("cmake 3.22.1-1, needs 3.25\n", ran.stderr)

    def test_another_system_with_everything(self):
        os.remove(self.bin / "apt-get")
        for name in ("c++", "cmake", "ninja", "python3"):
            self.command(name, "#!/bin/bash\n")
        ran = self.run_setup("build")
        self.assertEqual((ran.returncode, ran.stderr), (0, ""))
        self.assertIn("not a Debian or Ubuntu machine", ran.stdout)

    def test_another_system_without_a_compiler(self):
        os.remove(self.bin / "apt-get")
        ran = self.run_setup("build")
        self.assertEqual((ran.returncode, ran.stderr.count("\n")), (1, 1))
        self.assertIn("not found: c++ cmake ninja python3;", ran.stderr)

    def test_sections_that_are_not_there(self):
        for sections in ((), ("everything",)):
            ran = self.run_setup(*sections)
            self.assertEqual((ran.returncode, ran.stdout), (1, ""))


if __name__ == "__main__":
    unittest.main()
