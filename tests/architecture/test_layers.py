"""The layers of the house, as pyproject.toml states them for import-linter."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent


def lint_imports(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).parent / "lint-imports"), "--no-cache", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)


def test_every_import_respects_the_layers() -> None:
    answer = lint_imports()
    assert answer.returncode == 0, answer.stdout


def test_an_import_from_below_to_above_is_found(tmp_path: Path) -> None:
    """The check itself: a contract that the code breaks must fail, or the test above would prove nothing."""
    rules = tmp_path / "rules.ini"
    rules.write_text(
        "[importlinter]\nroot_packages =\n    jobs\n    tracking\n"
        "[importlinter:contract:1]\nname = turned upside down\ntype = layers\nlayers =\n    tracking\n    jobs\n"
    )
    answer = lint_imports("--config", str(rules))
    assert answer.returncode != 0
    assert "jobs" in answer.stdout and "BROKEN" in answer.stdout


@pytest.mark.parametrize("app", ["tracking", "jobs", "datasets_app"])
@pytest.mark.parametrize("layer", ["services", "selectors"])
def test_services_and_selectors_know_no_http(app: str, layer: str) -> None:
    """import-linter knows whole external packages only; these layers may use Django, but not django.http."""
    files = [*(ROOT / app).glob(f"{layer}.py"), *(ROOT / app / layer).rglob("*.py")]
    assert files
    for path in files:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names = [f"{node.module}.{alias.name}" for alias in node.names]
            assert not [name for name in names if name.startswith(("django.http", "rest_framework"))], path


@pytest.mark.full
def test_the_training_library_imports_without_django() -> None:
    """import-linter looks at our own imports; this also at those of the libraries that the trainers bring."""
    program = (
        "import sys, pkgutil, importlib, trainers\n"
        "for module in pkgutil.walk_packages(trainers.__path__, 'trainers.'):\n"
        "    if not module.name.endswith(('__main__', 'tensorflow_engine')): importlib.import_module(module.name)\n"
        "print(sorted(name for name in ('django', 'rest_framework', 'rq', 'redis') if name in sys.modules))\n"
    )
    answer = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert answer.stdout.strip() == "[]", answer.stdout + answer.stderr
