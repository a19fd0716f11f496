"""What a run's page shows as commands to copy."""

import shlex
from urllib.parse import quote

from tracking.models import Artifact, Run


def log_as_curl(run: Run, base: str) -> str:
    """Log one value. `base` is the site's address with its final slash."""
    return (
        f"curl -X POST {shlex.quote(f'{base}metrics/{run.pk}')} \\\n"
        '  -H "Authorization: Bearer $AUTOML_TOKEN" \\\n'
        '  -H "Content-Type: application/json" \\\n'
        """  -d '{"name": "loss", "value": 0.25, "step": 0}'"""
    )


def config_as_curl(run: Run, base: str) -> str:
    """Give the run a config."""
    body = '{"config": {"lr": 0.001, "batch_size": 32}}'
    return (
        f"curl -X PUT {shlex.quote(f'{base}runs/{run.pk}')} \\\n"
        '  -H "Authorization: Bearer $AUTOML_TOKEN" \\\n'
        '  -H "Content-Type: application/json" \\\n'
        f"  -d {shlex.quote(body)}"
    )


def upload_as_curl(run: Run, base: str) -> str:
    """Upload a file of the run."""
    return (
        f"curl -T model.pt {shlex.quote(f'{base}runs/{run.pk}/artifacts/checkpoints/model.pt')} \\\n"
        '  -H "Authorization: Bearer $AUTOML_TOKEN"'
    )


def download_as_curl(file: Artifact, base: str) -> str:
    """Download this version of a file of a run."""
    name = file.path.rpartition("/")[2]
    address = f"{base}runs/{file.run_id}/artifacts/{quote(file.path)}?version={file.version}"
    return f'curl -L -o {shlex.quote(name)} {shlex.quote(address)} \\\n  -H "Authorization: Bearer $AUTOML_TOKEN"'


def upload_as_python(run: Run, base: str, username: str) -> str:
    """Upload a file and a folder by the SDK."""
    return (
        "from ai_manager import AIManager\n\n"
        f"manager = AIManager(project_name={run.project.name!r}, api_url={base.rstrip('/')!r},\n"
        f'                    username={username!r}, password="…")\n'
        f"with manager.run(id={run.pk}) as run:\n"
        '    run.log_artifact("model.pt", path="checkpoints/model.pt")\n'
        '    run.log_artifact("plots/")  # a folder with all that is in it'
    )


def environment_as_curl(run: Run, base: str) -> str:
    """Say what the run was made with."""
    body = '{"environment": {"python": "3.11", "host": "node-7"}, "git": {"commit": "8f3c2d1", "branch": "main"}}'
    return (
        f"curl -X PUT {shlex.quote(f'{base}runs/{run.pk}')} \\\n"
        '  -H "Authorization: Bearer $AUTOML_TOKEN" \\\n'
        '  -H "Content-Type: application/json" \\\n'
        f"  -d {shlex.quote(body)}"
    )


def log_as_python(run: Run, base: str, username: str) -> str:
    """Go on with the run by the SDK."""
    return (
        "from ai_manager import AIManager\n\n"
        f"manager = AIManager(project_name={run.project.name!r}, api_url={base.rstrip('/')!r},\n"
        f'                    username={username!r}, password="…")\n'
        f"with manager.run(id={run.pk}) as run:\n"
        '    run.log({"loss": 0.25}, step=0)'
    )


def runs_as_curl(runs: list[Run], base: str) -> str:
    """Read runs, one after the other."""
    keys = ",".join(str(run.pk) for run in runs)
    address = f"{base}runs/{{{keys}}}" if len(runs) > 1 else f"{base}runs/{keys}"
    return f'curl {shlex.quote(address)} \\\n  -H "Authorization: Bearer $AUTOML_TOKEN"'


def runs_as_python(runs: list[Run], base: str) -> str:
    return (
        "import os\n\nimport requests\n\n"
        "headers = {'Authorization': f\"Bearer {os.environ['AUTOML_TOKEN']}\"}\n"
        f"for run_id in {[run.pk for run in runs]}:\n"
        f'    run = requests.get(f"{base}runs/{{run_id}}", headers=headers).json()\n'
        "    print(run['name'], run['status'], run['config'])"
    )
