"""Look every installed package up in an advisory database (PyPI's, else OSV's, through pip-audit).

Exit status 0: looked up, nothing known. 1: something is known, listed. 3: not audited, said in so many words.

A package index that mirrors files but has no advisories makes pip-audit skip every package and end with "No known
vulnerabilities found". So each database is first asked about a release with published advisories, and one that does not
know them counts as not reached; and packages that it skipped are named.
"""

import json
import subprocess
import sys
import tempfile
from typing import Any

NOT_AUDITED = 3
SERVICES = ("pypi", "osv")
TIMEOUT_S = "15"
KNOWN_TO_BE_VULNERABLE = "django==3.2.0"


def look_up(service: str, arguments: list[str]) -> list[dict[str, Any]] | None:
    """pip-audit's answer about each package, or None where it could not ask."""
    command = [sys.executable, "-m", "pip_audit", "--progress-spinner", "off", "--format", "json"]
    command += ["--vulnerability-service", service, "--timeout", TIMEOUT_S, *arguments]
    answer = subprocess.run(command, capture_output=True, text=True)
    try:
        dependencies: list[dict[str, Any]] = json.loads(answer.stdout)["dependencies"]
    except (ValueError, KeyError):
        return None
    return dependencies


def knows_advisories(service: str) -> bool:
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as requirements:
        requirements.write(KNOWN_TO_BE_VULNERABLE + "\n")
        requirements.flush()
        found = look_up(service, ["--no-deps", "--disable-pip", "--requirement", requirements.name])
    return bool(found and found[0].get("vulns"))


def report(packages: list[dict[str, Any]]) -> int:
    """Print what is known of the packages; the exit status."""
    vulnerable = [package for package in packages if package.get("vulns")]
    skipped = [package["name"] for package in packages if "skip_reason" in package]
    for package in vulnerable:
        for advisory in package["vulns"]:
            fixed = ", ".join(advisory["fix_versions"]) or "no release"
            print(f"{package['name']} {package['version']}: {advisory['id']}, fixed in {fixed}")
    if skipped:
        print(f"not audited: {', '.join(skipped)}")
    print(f"{len(packages) - len(skipped)} packages audited, {len(vulnerable)} with known vulnerabilities")
    if vulnerable:
        return 1
    return NOT_AUDITED if len(skipped) == len(packages) else 0


def main() -> int:
    for service in SERVICES:
        if knows_advisories(service):
            packages = look_up(service, ["--local"])
            if packages:
                return report(packages)
        print(f"{service}: no advisory database reached", file=sys.stderr)
    print("not audited: no advisory database was reached, so nothing is known about these packages")
    return NOT_AUDITED


if __name__ == "__main__":
    sys.exit(main())
