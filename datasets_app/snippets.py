"""What the pages do, as commands to copy."""

import shlex

from datasets_app.models import Dataset

TOKEN_HEADER = "Authorization: Bearer $AUTOML_TOKEN"  # noqa: S105 - the name of a variable


def upload_as_curl(base: str, *, filename: str = "data.csv") -> str:
    """`base` is the site's address with its final slash."""
    return (
        f"curl -X POST {shlex.quote(f'{base}api/v1/datasets/upload')} \\\n"
        f'  -H "{TOKEN_HEADER}" \\\n'
        f"  -F {shlex.quote(f'file=@{filename}')}"
    )


def upload_as_python(base: str, *, filename: str = "data.csv") -> str:
    return (
        "import os\n\nimport requests\n\n"
        f"with open({filename!r}, 'rb') as file:\n"
        "    answer = requests.post(\n"
        f"        {f'{base}api/v1/datasets/upload'!r},\n"
        "        headers={'Authorization': f\"Bearer {os.environ['AUTOML_TOKEN']}\"},\n"
        "        files={'file': file},\n"
        "    )\n"
        "print(answer.json())"
    )


def preview_as_curl(dataset: Dataset, base: str) -> str:
    url = f"{base}api/v1/datasets/{dataset.public_id}/preview?limit=10"
    return f'curl {shlex.quote(url)} \\\n  -H "{TOKEN_HEADER}"'


def preview_as_python(dataset: Dataset, base: str) -> str:
    url = f"{base}api/v1/datasets/{dataset.public_id}/preview"
    return (
        "import os\n\nimport requests\n\n"
        "answer = requests.get(\n"
        f"    {url!r},\n"
        "    headers={'Authorization': f\"Bearer {os.environ['AUTOML_TOKEN']}\"},\n"
        "    params={'limit': 10},\n"
        ")\nprint(answer.json()['samples'])"
    )
