"""Each example as a project of its own, against an installed libzero, as its README says.
    alone_test.py BUILD_FOLDER GENERATOR [unittest's options]"""

import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

from programs import start

ROOT = Path(__file__).resolve().parent.parent.parent
BUILD = Path(sys.argv.pop(1)).resolve()
GENERATOR = sys.argv.pop(1)


class AloneTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(dir=BUILD)
        cls.addClassCleanup(cls.folder.cleanup)
        cls.prefix = Path(cls.folder.name, "installed there")
        cls.call("cmake", "--install", BUILD, "--prefix", cls.prefix)

    @classmethod
    def call(cls, *command):
        ran = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                             check=False)
        if ran.returncode != 0:
            raise AssertionError(f"{command}: {ran.returncode}\n{ran.stdout}\n{ran.stderr}")

    def build(self, name):
        """The folder of its programs."""
        build = Path(self.folder.name, name)
        self.call("cmake", "-S", ROOT / "libzero" / "examples" / name, "-B", build, "-G", GENERATOR,
                  "-DCMAKE_BUILD_TYPE=Release", f"-DCMAKE_PREFIX_PATH={self.prefix}")
        self.call("cmake", "--build", build)
        return build

    def check(self, plain, sharded):
        twin = start([plain, "--steps", "3"], 0)
        ran = start([sharded, "--steps", "3"], 2, {"LIBZERO_STAGE": "3"})
        self.assertEqual((twin.codes, ran.codes), ([0], [0, 0]), ran.errors)
        self.assertEqual(len(ran.losses), 3)
        for loss, wanted in zip(ran.losses, twin.losses):
            self.assertLess(abs(float(loss) - float(wanted)), 1e-6)

    def test_the_c_trainer(self):
        build = self.build("c_trainer")
        self.check(build / "c_trainer_plain", build / "c_trainer_stage3")

    def test_the_cpp_trainer(self):
        build = self.build("cpp_trainer")
        self.check(build / "cpp_trainer_plain", build / "cpp_trainer_sharded")


if __name__ == "__main__":
    unittest.main()
