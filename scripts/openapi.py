"""Write the snapshot of each contract's OpenAPI document: tests/contracts/<contract>/openapi.json.

A test compares the documents with them, so that every change of what a contract takes or answers is seen in a diff.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent


def snapshot_path(contract: str) -> Path:
    return ROOT / "tests" / "contracts" / contract.replace("-", "_") / "openapi.json"


def snapshot_text(document: dict[str, Any]) -> str:
    return json.dumps(document, indent=1, ensure_ascii=False, default=str) + "\n"


def main() -> int:
    sys.path.insert(0, str(ROOT))
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"  # what the test sees
    import django

    django.setup()
    from api.base.dialect import dialects
    from api.base.docs import openapi_document

    for name in dialects():
        path = snapshot_path(name)
        path.parent.mkdir(exist_ok=True)
        text = snapshot_text(openapi_document(name))
        changed = not path.exists() or path.read_text() != text
        path.write_text(text)
        print(f"{'changed' if changed else 'as it was':9}  {path.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
