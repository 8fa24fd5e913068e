"""Functions fit on a page and into a reader's head, or their docstring says why not."""

import ast

import pytest
from support import PACKAGE

LINES, ARGUMENTS = 60, 8


def functions(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef):
            yield node


def lines(function):
    """Those of its code: neither its arguments, one a line perhaps, nor its docstring."""
    body = function.body[ast.get_docstring(function) is not None :]
    return body[-1].end_lineno - body[0].lineno + 1 if body else 0


def arguments(function):
    """Those that are told apart by their order alone."""
    own = [argument.arg for argument in function.args.posonlyargs + function.args.args]
    return len(own) - (own[:1] in (["self"], ["cls"]))


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_large_function_says_why(path):
    for function in functions(path):
        said, where = ast.get_docstring(function) or "", f"{path}:{function.lineno}, {function.name}"
        assert lines(function) <= LINES or "Many lines: " in said, where
        assert arguments(function) <= ARGUMENTS or "any arguments" in said or "arguments are many" in said, where
