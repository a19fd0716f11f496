"""Write requirements/constraints.txt: the exact version of every package that requirements.txt brings in.

The versions come from a fresh resolution (pip's own, nothing is installed), so a second run takes newer releases of
what the requirement files do not pin themselves. Versions only, no addresses and no hashes: the same file serves any
index and any platform.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "requirements" / "constraints.txt"
# Pinned in each requirement file that brings them in, since worker environments differ in them: TensorFlow wants an
# older h5py, and PyTorch 2.0 and 2.1 want an older numpy (and that an older pyarrow) and an older transformers with
# what belongs to it.
VARYING = re.compile(r"torch|h5py|numpy|pyarrow|transformers|tokenizers|huggingface-hub")
# Which build of torch is taken, and so which of the next ones it needs, depends on the machine; each build pins its
# own. pip and setuptools belong to the environment.
LEFT_OUT = re.compile(rf"{VARYING.pattern}|triton|nvidia-.*|cuda-.*|pip|setuptools|wheel")
# Asked for on some interpreters only: by redis on Python before 3.11.3, which Debian 12 has.
SOMEWHERE_NEEDED = ["async-timeout"]
HEADER = """\
# Exact versions of everything that requirements.txt brings in, made by `make lock`; not for editing. Passed to pip as
# --constraint: a line only says which version is taken where something asks for the package.
"""


def resolve() -> dict[str, str]:
    """Versions by normalised package name, as pip would install them into an empty environment."""
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "-qq", "--report", "-"]
    command += ["-r", str(ROOT / "requirements.txt"), *SOMEWHERE_NEEDED]
    answer = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    packages = (item["metadata"] for item in json.loads(answer.stdout)["install"])
    return {re.sub(r"[-_.]+", "-", package["name"]).lower(): package["version"] for package in packages}


def main() -> int:
    versions = {name: version for name, version in resolve().items() if not LEFT_OUT.fullmatch(name)}
    lines = [f"{name}=={version}\n" for name, version in sorted(versions.items())]
    TARGET.write_text(HEADER + "".join(lines))
    print(f"{len(lines)} versions in {TARGET.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
