"""The house rules that a machine can check, over every file that git knows or would add."""

import ast
import re
import subprocess
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import pytest
from django.contrib.staticfiles import finders
from django.core.management import CommandError, call_command
from django.template.loader import get_template

ROOT = Path(__file__).resolve().parent.parent.parent
LONGEST_FILE = 450
# Vendored files keep their makers' shape; migrations and the lock are made by machines; texts may be long.
NOT_COUNTED = ("static/vendor/", "/migrations/", "tests/assets/")
COUNTED_SUFFIXES = {".py", ".html", ".js", ".css", ".sh"}
TEXT_SUFFIXES = COUNTED_SUFFIXES | {".md", ".toml", ".txt", ".yaml", ".yml", ".json", ".ini", ".cfg", ""}
# Where a developer's or a build machine's own folders begin; no file of the repository may know one.
MACHINE_PATH = re.compile(r"""(?<![\w./-])/(?:home|root|Users|work|workspace|mnt|opt/wheels)/[\w.]""")
UNSAFE_MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "shelve", "marshal"}


def repository_files() -> list[Path]:
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    names = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split("\0")
    return sorted(path for name in names if name and (path := ROOT / name).is_file())


FILES = repository_files()
PYTHON_FILES = [path for path in FILES if path.suffix == ".py"]
TEMPLATES = [path for path in FILES if path.suffix == ".html" and "templates" in path.relative_to(ROOT).parts]


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def template_name(path: Path) -> str:
    return name_of(path).rpartition("templates/")[2]


def lines_matching(path: Path, pattern: re.Pattern[str]) -> list[str]:
    text = path.read_text(encoding="utf-8")
    return [
        f"{name_of(path)}:{number}: {line.strip()[:100]}"
        for number, line in enumerate(text.splitlines(), 1)
        if pattern.search(line)
    ]


def test_no_file_is_longer_than_it_can_be_read() -> None:
    long = {
        name_of(path): length
        for path in FILES
        if path.suffix in COUNTED_SUFFIXES
        and not any(part in name_of(path) for part in NOT_COUNTED)
        and (length := path.read_text(encoding="utf-8").count("\n")) > LONGEST_FILE
    }
    assert not long, f"split at about 400 lines: {long}"


def test_no_file_knows_a_folder_of_one_machine() -> None:
    found = [
        line
        for path in FILES
        if path.suffix in TEXT_SUFFIXES and not any(part in name_of(path) for part in NOT_COUNTED)
        for line in lines_matching(path, MACHINE_PATH)
    ]
    assert not found, "\n".join(found)


@pytest.mark.django_db
def test_migrations_say_what_the_models_say() -> None:
    out = StringIO()
    try:
        call_command("makemigrations", check=True, dry_run=True, stdout=out, verbosity=1)
    except (SystemExit, CommandError):
        pytest.fail(f"run `manage.py makemigrations`:\n{out.getvalue()}")


# --- Templates: a strict content security policy, and forms that no other site can send -----------------------------


@pytest.mark.parametrize("path", TEMPLATES, ids=name_of)
def test_a_template_compiles(path: Path) -> None:
    get_template(template_name(path))


@pytest.mark.parametrize("path", TEMPLATES, ids=name_of)
def test_a_template_has_no_inline_script_style_or_handler(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    inline_script = [
        tag
        for tag in re.findall(r"<script\b[^>]*>", text)
        if "src=" not in tag and not re.search(r'type="application/(json|ld\+json)"', tag)
    ]
    assert not inline_script
    assert not re.findall(r"<style\b", text)
    assert not re.findall(r"<[^>]*\sstyle\s*=", text), "the policy refuses style attributes: use a class"
    assert not re.findall(r"<[^>]*\son[a-z]+\s*=", text), (
        "an on… attribute is refused by the policy: listen in a script"
    )
    assert not re.findall(r"""(?:src|href)=["'](?:https?:)?//""", text), "no page loads anything from another host"


@pytest.mark.parametrize("path", TEMPLATES, ids=name_of)
def test_every_form_that_posts_carries_its_csrf_token(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    forms = re.findall(r"<form\b.*?</form>", text, flags=re.DOTALL | re.IGNORECASE)
    posting = [form for form in forms if re.search(r'method="?post|hx-(post|put|patch|delete)=', form, re.IGNORECASE)]
    bare = [form[:120] for form in posting if "{% csrf_token %}" not in form]
    assert not bare


@pytest.mark.parametrize("path", TEMPLATES, ids=name_of)
def test_every_static_file_that_a_template_names_exists(path: Path) -> None:
    named = re.findall(r"""{%\s*static\s+["']([^"']+)["']""", path.read_text(encoding="utf-8"))
    assert [name for name in named if finders.find(name) is None] == []


# --- Python -----------------------------------------------------------------------------------------------------------


def syntax_trees(*folders: str) -> Iterator[tuple[Path, ast.Module]]:
    for path in PYTHON_FILES:
        if not folders or name_of(path).split("/")[0] in folders:
            yield path, ast.parse(path.read_text(encoding="utf-8"))


def test_nothing_loads_a_pickle() -> None:
    found = []
    for path, tree in syntax_trees():
        for node in ast.walk(tree):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            found += [f"{name_of(path)}: {name}" for name in names if name.split(".")[0] in UNSAFE_MODULES]
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                call = f"{node.value.id}.{node.attr}"
                found += [f"{name_of(path)}: {call}" for unsafe in ("joblib.load", "skops.load") if call == unsafe]
    assert not found


def test_no_test_sleeps() -> None:
    """A sleep is too short on a slow machine, too long on a fast one: what polls does it in a loop, with a deadline."""
    found = []
    for path, tree in syntax_trees("tests"):
        polling = {node for loop in ast.walk(tree) if isinstance(loop, ast.While) for node in ast.walk(loop)}
        found += [
            f"{name_of(path)}:{node.lineno}"
            for node in ast.walk(tree)
            if isinstance(node, ast.Call) and node not in polling
            # asyncio.sleep(0) does not wait: it lets others run.
            if ast.unparse(node.func) in ("time.sleep", "asyncio.sleep") and ast.unparse(node) != "asyncio.sleep(0)"
        ]
    assert not found, found


def test_every_test_asserts_something() -> None:
    """A test without an assertion passes whatever the code does."""
    asserting = re.compile(r"assert|pytest\.(raises|fail|warns)|wait_until|expect\(|check|axe\(|look\(|get_template")
    empty = [
        f"{name_of(path)}::{function.name}"
        for path, tree in syntax_trees("tests")
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        and function.name.startswith("test_")
        and not asserting.search(ast.unparse(function))
    ]
    assert not empty, empty


# --- Documents ------------------------------------------------------------------------------------------------------


def test_every_link_between_documents_leads_somewhere() -> None:
    broken = []
    for path in FILES:
        if path.suffix != ".md" or "static/vendor" in name_of(path):
            continue
        text = re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
        for target in re.findall(r"\]\(([^)\s]+)\)", text):
            file = target.partition("#")[0]
            if file and not re.match(r"[a-z]+:", file) and not (path.parent / file).exists():
                broken.append(f"{name_of(path)}: {target}")
    assert not broken


def test_every_decision_note_has_its_number_and_its_parts() -> None:
    notes = [path for path in FILES if path.parent == ROOT / "docs" / "decisions" and path.suffix == ".md"]
    assert notes
    for number, path in enumerate(notes, 1):
        text = path.read_text(encoding="utf-8")
        assert path.name.startswith(f"{number:04d}-"), f"{path.name}: numbers are consecutive"
        assert text.startswith(f"# {number}. "), path.name
        for heading in ("## Context", "## Decision", "## Consequences"):
            assert heading in text, f"{path.name} has no {heading}"


def test_every_environment_variable_that_the_settings_read_is_documented() -> None:
    sources = [ROOT / "automl_site" / name for name in ("settings.py", "env.py")]
    read = re.compile(r"""(?:env\.\w+\(|environ(?:\.get\(|\[))\s*["']([A-Z_]+)["']""")
    names = {name for path in sources for name in read.findall(path.read_text(encoding="utf-8"))}
    text = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    assert len(names) > 30
    assert [name for name in sorted(names - {"XDG_RUNTIME_DIR"}) if f"`{name}`" not in text] == []
