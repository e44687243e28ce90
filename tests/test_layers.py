"""Imports go down the floors, never up; heavy packages are loaded by the leaves that need them alone."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "nas"

# From the ground up; a module may import its own floor and those below.
FLOORS = (
    ("errors", "silence"),
    ("decoding",),
    ("graph",),
    ("cost", "head", "shrink"),
    ("architecture", "units", "presets", "rung"),
    ("yamlfile",),
    ("families",),
    ("measurement", "statistics"),
    ("indicator", "space", "headed_space"),
    ("pareto", "reach"),
    ("data",),
    ("task",),
    ("run",),
    ("networks",),
    ("deploy", "report"),
    ("devices", "preparation"),
    ("certificates",),
    ("synthesis", "evaluation"),
    ("compression",),
    ("race", "heritage", "rescoring", "remeasuring", "probing"),
    ("loop",),
    ("machine",),
    ("trainings",),
    ("settings", "generators", "recipes"),
    ("execution",),
    ("certify",),
    ("comparison",),
    ("api", "tuning"),
    ("cli",),
)
LEVEL = {name: level for level, names in enumerate(FLOORS) for name in names}
ONLY_IN = {
    "ray": {f"nas/execution/{name}.py" for name in ("cluster", "driver", "store", "trainable", "tune")},
    "tensorflow_model_optimization": {"nas/compression/wrap.py"},
    "optuna": {"nas/pareto.py", "nas/space.py", "nas/headed_space.py"}
    | {"nas/families/residual_space.py", "nas/families/staged_space.py"}
    | {"nas/run/journal.py", "nas/run/study.py", "nas/synthesis/", "nas/generators.py", "nas/tuning.py"},
}


def imports(path: Path, *, top_only: bool = False) -> set[str]:
    tree = ast.parse(path.read_text())
    nodes = tree.body if top_only else list(ast.walk(tree))
    found: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: relative import"
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found.update(names if node.module == "nas" else {node.module})
    return found


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_no_import_goes_up(path: Path) -> None:
    own = path.relative_to(PACKAGE).with_suffix("").parts[0]
    if own == "__init__":
        return
    for name in imports(path):
        parts = name.split(".")
        if parts[0] == "nas" and len(parts) > 1 and parts[1] in LEVEL:
            assert LEVEL[parts[1]] <= LEVEL[own], f"{path} imports {name}, which is on a higher floor"


def test_every_module_has_a_floor() -> None:
    tops = {p.relative_to(PACKAGE).with_suffix("").parts[0] for p in modules()} - {"__init__"}
    assert tops == set(LEVEL)


def test_heavy_packages_stay_where_they_belong() -> None:
    for path in modules():
        relative = f"nas/{path.relative_to(PACKAGE)}"
        for name in imports(path):
            allowed = ONLY_IN.get(name.split(".")[0])
            assert allowed is None or relative.startswith(tuple(allowed)), f"{relative} imports {name}"
        heavy = {n.split(".")[0] for n in imports(path, top_only=True)} & {
            "tensorflow",
            "tf_keras",
            "keras",
            "matplotlib",
        }
        assert not heavy, f"{relative} imports {heavy} when it is imported"


def loaded(code: str) -> set[str]:
    program = f"import sys\n{code}\nprint(' '.join(sorted({{m.split('.')[0] for m in sys.modules}})))"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(result.stdout.splitlines()[-1].split())


def test_import_and_help_load_neither_tensorflow_nor_ray() -> None:
    heavy = {"tensorflow", "tf_keras", "keras", "ray", "optuna", "matplotlib", "sklearn", "torch"}
    assert not loaded("import nas") & heavy
    help_code = "import nas.cli.main as m\ntry:\n    m.app(['--help'])\nexcept SystemExit:\n    pass"
    assert not loaded(help_code) & heavy


def test_no_cycles_between_modules() -> None:
    graph = {}
    for path in modules():
        name = ".".join(["nas", *path.relative_to(PACKAGE).with_suffix("").parts])
        graph[name] = {n for n in imports(path, top_only=True) if n.startswith("nas.")}
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, " -> ".join((*trail, name))
        if name in graph and name not in done:
            for other in sorted(graph[name]):
                visit(other, (*trail, name))
            done.add(name)

    for name in graph:
        visit(name, ())
