"""Has DeepSpeed compile its C++ parts, so that none is compiled while something is measured.

    extensions.py DIR     for each part that does not build writes DIR/deepspeed-PART: why, one line
"""

import os
import sys

os.environ["DS_ACCELERATOR"] = "cpu"

from deepspeed.accelerator import get_accelerator  # noqa: E402

PARTS = {"cpu_adam": "CPUAdamBuilder", "async_io": "AsyncIOBuilder",
         "shm_comm": "ShareMemCommBuilder"}


def main():
    for part, builder in PARTS.items():
        why = os.path.join(sys.argv[1], "deepspeed-" + part)
        if os.path.exists(why):
            os.remove(why)
        try:
            get_accelerator().create_op_builder(builder).load(verbose=False)
        except Exception as problem:  # whatever a compiler run within Python may raise
            lines = [line.strip() for line in str(problem).splitlines() if line.strip()]
            told = [line for line in lines if "error" in line.lower()] or lines or ["no reason"]
            with open(why, "w", encoding="utf-8") as file:
                file.write(f"{type(problem).__name__}: {told[0][:200]}\n")
            print(f"peers: DeepSpeed's {part} does not build: {told[0][:200]}", file=sys.stderr)


main()
