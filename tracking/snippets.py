"""What the projects' pages show, as commands to copy."""

import shlex

from tracking.models import Project


def runs_as_curl(project: Project, base: str) -> str:
    """`base` is the site's address with its final slash."""
    address = f"{base}runs/?project_id={project.pk}&limit=100"
    return f'curl {shlex.quote(address)} \\\n  -H "Authorization: Bearer $AUTOML_TOKEN"'


def runs_as_python(project: Project, base: str) -> str:
    return (
        "import os\n\nimport requests\n\n"
        "answer = requests.get(\n"
        f"    {base + 'runs/'!r},\n"
        "    headers={'Authorization': f\"Bearer {os.environ['AUTOML_TOKEN']}\"},\n"
        f"    params={{'project_id': {project.pk}, 'limit': 100}},\n"
        ")\nfor run in answer.json():\n    print(run['id'], run['name'], run['status'])"
    )


def project_as_curl(base: str) -> str:
    body = '{"name": "My project", "description": "What it is about"}'
    return (
        f"curl -X POST {shlex.quote(f'{base}projects/')} \\\n"
        '  -H "Authorization: Bearer $AUTOML_TOKEN" \\\n'
        '  -H "Content-Type: application/json" \\\n'
        f"  -d {shlex.quote(body)}"
    )


def project_as_python(base: str) -> str:
    return (
        "import os\n\nimport requests\n\n"
        "answer = requests.post(\n"
        f"    {base + 'projects/'!r},\n"
        "    headers={'Authorization': f\"Bearer {os.environ['AUTOML_TOKEN']}\"},\n"
        "    json={'name': 'My project', 'description': 'What it is about'},\n"
        ")\nprint(answer.json())"
    )


def first_run(project: Project, base: str, username: str) -> str:
    """A first run, logged by the SDK."""
    return (
        "from ai_manager import AIManager\n\n"
        f"manager = AIManager(project_name={project.name!r}, api_url={base.rstrip('/')!r},\n"
        f'                    username={username!r}, password="…")\n'
        'with manager.run(name="first run") as run:\n'
        "    for step in range(100):\n"
        '        run.log({"loss": 1 / (step + 1)}, step=step)'
    )
