"""The platform's one log: on a full disk its lines are lost, and nothing else."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
# The system refuses to let the file grow, as a full disk does, and then does not any more.
GROWING = """
import io, resource, sys
from pathlib import Path
from automl_site.supervisor.log import Log
log = Log(Path(sys.argv[1]), ["web"], echo=io.StringIO())
_, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (40, hard))
for number in range(200):
    log.line("web", f"lost {number}")
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
log.line("web", "kept")
"""


def test_a_full_disk_costs_lines_of_the_log_and_no_more(tmp_path: Path) -> None:
    log = tmp_path / "up.log"
    subprocess.run([sys.executable, "-c", GROWING, str(log)], cwd=ROOT, check=True, timeout=60)
    written = log.read_text()
    assert "lost 0" in written and "lost 9" not in written
    assert written.endswith("web │ kept\n")
