"""The distribution: what it needs, what it holds, and that it works where nothing else is installed."""

import ast
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

from tests.clients.conftest import SOURCES

PROJECT = SOURCES.parent
OPTIONAL = {"psutil", "pynvml"}
PARTS_WITH_DEPENDENCIES = {"integrations"}


def imported(path: Path) -> set[str]:
    """The top-level names of the packages that a module imports anywhere."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.partition(".")[0])
    return found


def test_nothing_but_the_standard_library_is_needed() -> None:
    modules = [path for path in SOURCES.rglob("*.py") if not PARTS_WITH_DEPENDENCIES & set(path.parts)]
    assert len(modules) > 10
    foreign = (
        {name for path in modules for name in imported(path)}
        - set(sys.stdlib_module_names)
        - {"ai_manager", "ai_job_client"}
    )
    assert foreign <= OPTIONAL


def test_the_sources_are_python_3_9() -> None:
    for path in SOURCES.rglob("*.py"):
        assert ast.parse(path.read_text(), feature_version=(3, 9)).body


MET_ONLY = "".join(
    f"[mypy-{name}.*]\nfollow_imports = skip\n"
    for name in (
        "torch",
        "transformers",
        "keras",
        "lightning",
        "sklearn",
        "xgboost",
        "lightgbm",
        "mlflow",
        "tensorboard",
    )
)


def test_the_package_is_typed(tmp_path: Path) -> None:
    assert (SOURCES / "ai_manager" / "py.typed").exists() and (SOURCES / "ai_job_client" / "py.typed").exists()
    packages = ["-p", "ai_manager", "-p", "ai_job_client"]
    config = tmp_path / "mypy.ini"
    # The libraries that it may be used with need not be there; where they are, reading them takes a minute.
    config.write_text("[mypy]\nstrict = true\nignore_missing_imports = true\n" + MET_ONLY)
    done = subprocess.run(
        [sys.executable, "-m", "mypy", f"--config-file={config}", *packages]
        + [f"--cache-dir={PROJECT.parent.parent / '.mypy_cache' / 'clients'}"],
        cwd=SOURCES,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy to build in: setuptools leaves its folders where it works."""
    return Path(
        shutil.copytree(PROJECT, tmp_path / "project", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    )


@pytest.mark.full
def test_a_wheel_is_built_and_works_alone(project: Path, tmp_path: Path) -> None:
    """Needs a package index: the build takes setuptools from it."""
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", "-q", "--no-deps", "-w", str(tmp_path), str(project)], check=True)
    (wheel,) = tmp_path.glob("automl_platform_client-*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert "ai_manager/py.typed" in names and "ai_manager/manager.py" in names
    assert "ai_job_client/py.typed" in names and "ai_job_client/client.py" in names
    venv.create(tmp_path / "env", with_pip=False)
    python = tmp_path / "env" / "bin" / "python"
    target = next((tmp_path / "env" / "lib").iterdir()) / "site-packages"
    subprocess.run([*pip, "install", "-q", "--no-deps", "--target", str(target), str(wheel)], check=True)
    said = subprocess.run([python, "-m", "ai_manager", "--version"], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == wheel.name.split("-")[1]
    script = """
import sys
from ai_manager import AIManager
manager = AIManager("p", mode="offline", spool_dir=sys.argv[1])
with manager.run(name="a") as run:
    run.log({"loss": 1.0})
print(run.folder)
"""
    done = subprocess.run([python, "-c", script, str(tmp_path / "spool")], capture_output=True, text=True, check=True)
    assert (Path(done.stdout.strip()) / "records.log").stat().st_size


def test_the_sdist_holds_its_readme_and_types(project: Path, tmp_path: Path) -> None:
    build = "import sys, setuptools.build_meta as backend; print(backend.build_sdist(sys.argv[1]))"
    subprocess.run([sys.executable, "-c", build, str(tmp_path)], cwd=project, check=True, capture_output=True)
    (sdist,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"README.md", "pyproject.toml", "src/ai_manager/py.typed", "src/ai_manager/cli.py"} <= names
