"""The rules that keep the package readable, checked by parsing imports."""

import ast
import subprocess
import sys
from collections import defaultdict
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROOMS = [
    "errors", "archives", "arrays", "atomic", "formats", "config", "workspace", "video", "encoders", "data", "world",
    "model", "training", "zeroshot", "analysis", "sweep", "report", "demo", "jobs", "cli",
]  # fmt: skip
SUBJECT_TO_ONE_PLACE = {
    "h5py": {"cezsar/data/features.py"},
    "streamlit": {"app/", "pages/"},
    "plotly": {"app/", "cezsar/report/"},
    "timm": {"cezsar/encoders/"},
    "sentence_transformers": {"cezsar/encoders/"},
    "typer": {"cezsar/cli/"},
    "argparse": {"cezsar/cli/"},
    "pickle": {"cezsar/video.py", "cezsar/video_worker.py"},
    "av": {"cezsar/video_file.py", "cezsar/video_worker.py"},
}
FILES = sorted(path for folder in ("cezsar", "app", "pages") for path in (ROOT / folder).rglob("*.py"))


def imports(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno} imports relatively"
            yield node.module, node.lineno
            if node.module in ("cezsar", "app"):
                yield from ((f"{node.module}.{alias.name}", node.lineno) for alias in node.names)


def room(module):
    name = [*module.split("."), ""][1]
    return "video" if name == "video_worker" else name


def test_a_room_imports_only_rooms_above_it():
    offenders = []
    for path in FILES:
        parts = path.relative_to(ROOT).with_suffix("").parts
        for module, line in imports(path):
            top, own = module.split(".")[0], room(".".join(parts))
            place = f"{path.relative_to(ROOT)}:{line} imports {module}"
            if top in {"cezsar": ("app", "pages"), "app": ("pages",)}.get(parts[0], ()):
                offenders.append(place)
            if parts[0] == top == "cezsar" and own in ROOMS and room(module) in ROOMS:
                offenders += [place] * (ROOMS.index(room(module)) > ROOMS.index(own))
    assert not offenders


def test_a_page_needs_no_other_pages_folder():
    folders = {path.parent.name for path in (ROOT / "app").glob("*/page.py")}
    assert len(folders) == 7
    offenders = []
    for path in (ROOT / "app").rglob("*.py"):
        own = path.relative_to(ROOT / "app").parts[0]
        for module, line in imports(path):
            if module.startswith("app.") and module.split(".")[1] in folders - {own}:
                offenders.append(f"{path.relative_to(ROOT)}:{line} imports {module}")
    assert not offenders


def test_special_libraries_stay_in_their_places():
    offenders = []
    for path in FILES:
        relative = str(path.relative_to(ROOT))
        for module, line in imports(path):
            places = SUBJECT_TO_ONE_PLACE.get(module.split(".")[0])
            if places is not None and not any(relative.startswith(place) for place in places):
                offenders.append(f"{relative}:{line} imports {module}")
    assert not offenders


def test_no_module_imports_itself_in_a_circle():
    names = {".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path for path in FILES}
    needs = {name: set() for name in names}
    for name, path in names.items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom):
                of = {f"{node.module}.{alias.name}" for alias in node.names}
                needs[name] |= (of & names.keys() or {node.module} & names.keys()) - {name}
    try:
        TopologicalSorter(needs).prepare()
    except CycleError as error:
        pytest.fail(" <- ".join(error.args[1]))


def test_no_two_classes_or_modules_of_the_package_have_one_name():
    classes, modules = defaultdict(list), defaultdict(list)
    for path in FILES:
        relative = path.relative_to(ROOT)
        if relative.parts[0] == "cezsar" and "cli" not in relative.parts and not path.stem.startswith("__"):
            modules[path.stem].append(str(relative))  # a verb is called as its subject
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                classes[node.name].append(str(relative))
    twice = {name: places for found in (classes, modules) for name, places in found.items() if len(places) > 1}
    assert not twice


def test_every_room_is_listed():
    found = {path.stem for path in (ROOT / "cezsar").glob("*.py")} | {
        path.name for path in (ROOT / "cezsar").iterdir() if path.is_dir() and any(path.glob("*.py"))
    }
    assert found - {"__init__", "__main__", "video_file", "video_sandbox", "video_worker", "__pycache__"} <= set(ROOMS)


def test_nothing_a_user_gives_is_unpickled_or_decoded_outside_the_decoder():
    for path in FILES:
        text = path.read_text(encoding="utf-8")
        for reader in ("VideoCapture(", "imread(", "imdecode(", "Image.open(", "read_video(", "read_image("):
            assert reader not in text, path
        assert "allow_pickle=True" not in text, path
        assert text.count("torch.load(") == text.count("weights_only=True"), path


def test_the_package_and_its_help_are_light():
    heavy = ["torch", "timm", "cv2", "av", "h5py", "sentence_transformers", "transformers", "pandas", "sklearn"]
    code = f"""import sys, cezsar
from cezsar.cli import main
try: main(["--help"])
except SystemExit: print([name for name in {heavy!r} if name in sys.modules])"""
    printed = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "classify" in printed and printed.endswith("[]\n")


def test_pages_that_compute_no_features_wait_for_no_library_that_does():
    code = """import sys
from pathlib import Path
sys.path.insert(0, "")
for page in sorted(Path("app").glob("*/page.py")): __import__(f"app.{page.parent.name}.page")
from app.parts import models
assert models.models()
print([name for name in ("torch", "timm", "transformers", "sklearn") if name in sys.modules])"""
    printed = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert printed == "[]\n"


def test_public_names():
    import cezsar

    assert cezsar.__all__ == sorted(cezsar.__all__)
    assert set(cezsar.__all__) <= set(dir(cezsar)) | {"Classifier", "Label", "Ranking"}
    assert cezsar.Classifier.__name__ == "Classifier"
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = cezsar.nothing
