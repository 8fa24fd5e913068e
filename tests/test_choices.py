"""Choices by cost: each has a measurement of its own, which does measure another value."""

from pathlib import Path

from support import run_python

from benchmarks.choices import CHOICES
from fastxor.backends.fused import choices

ROOT = Path(__file__).parents[1]


def test_every_choice_is_measured():
    assert set(CHOICES) == {name for name in vars(choices) if name.isupper()} - {"REGISTERS"}
    for name, choice in CHOICES.items():
        assert choice.cases
        assert set(choice.others) - {getattr(choices, name)}


PATCHED = """
from benchmarks import choices
choices._Patched.settings = {"MAX_REGISTER_PARAMETERS": 3, "MAX_POOLED_WORKSPACE_BYTES": 5}
choices.sys.meta_path.insert(0, choices._Finder())
from fastxor.backends.fused import choices, specialised
print(choices.MAX_POOLED_WORKSPACE_BYTES, specialised.samples_in_lanes.MAX_REGISTER_PARAMETERS)
"""


def test_a_value_is_set_before_anyone_reads_it():
    assert run_python("-c", PATCHED, cwd=ROOT, path=ROOT).stdout == "5 3\n"
