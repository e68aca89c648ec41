"""A report: everything the analysis knows about a method on one data set, as a page with figures and as JSON.

`subjects` is what can be told, a function each; `figures` draws; `page` writes the HTML. Nothing is measured here that
is not measured in `cezsar.analysis` or `cezsar.zeroshot`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cezsar.atomic import write_text
from cezsar.errors import InputError
from cezsar.report import page, subjects
from cezsar.report.sections import Section
from cezsar.report.study import Study

__all__ = ["Report", "Study", "analyse"]

VERSION = 1


@dataclass(frozen=True)
class Report:
    """What was found.

    Attributes:
        about: "method", "dataset", "clips", "classes", "weights", "seed" and the like.
        sections: in the order of the page.
    """

    about: dict[str, Any]
    sections: list[Section]

    def to_dict(self) -> dict[str, Any]:
        """All numbers, as JSON has them: fractions, not percent."""
        numbers = {section.key: section.numbers for section in self.sections}
        return {"cezsar": "report", "version": VERSION, "about": self.about, **numbers}

    def save(self, path: str | Path) -> tuple[Path, Path]:
        """Write one self-contained HTML file and a JSON file beside it, each whole or not at all.

        Args:
            path: with or without the suffix .html.

        Raises:
            InputError: the path has another suffix that a report cannot have.
        """
        path = Path(path)
        if path.suffix.lower() in (".json", ".csv", ".md", ".pdf"):
            raise InputError(f"{path} would hold HTML; give it the suffix .html, a .json is written beside it")
        html = path if path.suffix.lower() == ".html" else path.with_name(f"{path.name}.html")
        numbers = html.with_suffix(".json")
        write_text(numbers, json.dumps(self.to_dict(), ensure_ascii=False, allow_nan=False, indent=1) + "\n")
        write_text(html, page.html_of(self.about, self.sections))
        return html, numbers


def analyse(study: Study, on_progress: Callable[[int, int, str], object] | None = None) -> Report:
    """Everything that can be told of a method on a data set.

    Subjects that do not apply, such as a fusion curve with one modality, are left out.

    Args:
        on_progress: called with (subjects done, all of them, the one that is next).
    """
    sections = []
    for number, subject in enumerate(subjects.SUBJECTS):
        if on_progress:
            on_progress(number, len(subjects.SUBJECTS), subject.__name__.replace("_", " "))
        if section := subject(study):
            sections.append(section)
    if on_progress:
        on_progress(len(subjects.SUBJECTS), len(subjects.SUBJECTS), "")
    return Report(study.about(), sections)
