"""Imports point down, files and functions stay short: design rules that a reader should be able to rely on."""

import ast
from pathlib import Path

import pytest
from commands import python

import max_mahalanobis

PACKAGE = Path(max_mahalanobis.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))
LINES = (  # from the bottom: a room imports from lines below its own, never from its own line or above
    ("errors",),
    ("files", "processes", "versions"),
    ("types", "results", "statistics", "recipe"),
    ("draws",),
    ("centers",),
    ("losses", "threats", "density"),
    ("heads", "attacks"),
    ("data", "models"),
    ("runs",),
    ("training", "evaluation", "interop"),
    ("reports",),
    ("terminal",),
    ("experiments",),
    ("options",),
    ("parser",),
    ("commands",),
    ("cli",),
    ("__main__",),
)
HEIGHT = {room: height for height, line in enumerate(LINES) for room in line}
REPORTS_READ = {"errors", "files", "recipe", "results", "statistics"}
WITHOUT_TORCH = (
    "errors",
    "files",
    "recipe",
    "results",
    "statistics",
    "runs",
    "terminal",
    "options",
    "parser",
    "commands",
    "cli",
    "__main__",
)


def room_of(path):
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def rooms_imported(path):
    """The rooms of the package that a file imports, anywhere in it, also inside functions."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            modules = [name.name.split(".") for name in node.names]
        elif isinstance(node, ast.ImportFrom):
            home = ["max_mahalanobis", *path.relative_to(PACKAGE).parent.parts]
            start = home[: len(home) - node.level + 1] if node.level else []
            base = start + (node.module.split(".") if node.module else [])
            modules = [[*base, name.name] for name in node.names]
        else:
            continue
        for module in modules:
            if module[0] == "max_mahalanobis" and len(module) > 1 and module[1] in HEIGHT:
                yield module[1]


def test_the_walls_know_every_room():
    rooms = {room_of(path) for path in FILES} - {"__init__"}
    assert rooms <= HEIGHT.keys()


def test_imports_point_down():
    up = {
        f"{path.relative_to(PACKAGE)} imports {room}"
        for path in FILES
        for room in rooms_imported(path)
        if room != room_of(path) and HEIGHT[room] >= HEIGHT[room_of(path)]
    }
    assert up == set()


@pytest.mark.parametrize(
    ("home", "allowed"), [("attacks", {"draws", "errors", "threats", "types"}), ("reports", REPORTS_READ)]
)
def test_attacks_do_not_peek_and_reports_read_records_alone(home, allowed):
    imported = {room for path in FILES if room_of(path) == home for room in rooms_imported(path)} - {home}
    assert imported <= allowed


def test_the_package_itself_imports_no_room_until_it_is_asked():
    assert list(rooms_imported(PACKAGE / "__init__.py")) == []


def test_reports_and_the_command_line_import_where_torch_is_not_installed(tmp_path):
    reports = [path.relative_to(PACKAGE).with_suffix("").parts for path in FILES if room_of(path) == "reports"]
    modules = [*WITHOUT_TORCH, *(".".join(parts).removesuffix(".__init__") for parts in reports)]
    lines = ["import sys, importlib", "sys.modules['torch'] = None"]
    lines += [f"importlib.import_module('max_mahalanobis.{module}')" for module in modules]
    done = python("-c", "\n".join(lines), cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def names_of_others(path):
    """What a file imports from a module that itself has it from elsewhere; packages gather names, modules do not."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level and node.module:
            module = path.parents[node.level - 1].joinpath(*node.module.split(".")).with_suffix(".py")
            if module.exists():
                body = ast.parse(module.read_text(encoding="utf-8")).body
                borrowed = {name.asname or name.name for each in body for name in imported_by(each)}
                yield from (f"{path.name}: {name.name}" for name in node.names if name.name in borrowed)


def imported_by(statement):
    return statement.names if isinstance(statement, ast.ImportFrom) else ()


def test_a_name_is_imported_from_where_it_is_made():
    assert [line for path in FILES for line in names_of_others(path)] == []


def test_no_file_is_longer_than_300_lines():
    assert {path.name for path in FILES if len(path.read_text(encoding="utf-8").splitlines()) > 300} == set()


def test_no_function_has_more_than_40_lines_of_code_and_no_attack_more_than_60():
    long = set()
    for path in FILES:
        text = path.read_text(encoding="utf-8")
        for node in ast.walk(ast.parse(text)):
            limit = 60 if room_of(path) == "attacks" else 40
            if isinstance(node, ast.FunctionDef) and code_lines(node, text.splitlines()) > limit:
                long.add(f"{path.relative_to(PACKAGE)}: {node.name}")
    assert long == set()


def code_lines(function, lines):
    """Lines of a function without its docstring, blank lines and comments."""
    first = function.body[1 if ast.get_docstring(function) is not None and len(function.body) > 1 else 0].lineno
    signature = lines[function.lineno - 1 : function.body[0].lineno - 1]
    body = lines[first - 1 : function.end_lineno]
    return sum(bool(line.strip()) and not line.strip().startswith("#") for line in signature + body)
