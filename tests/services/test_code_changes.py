"""What tells the code of two runs apart."""

import time

import pytest

from tracking.selectors import code_changes
from tracking.selectors.code_changes import Code, facts, file_changes, package_changes

PATCH = """diff --git a/train.py b/train.py
index 1111111..2222222 100644
--- a/train.py
+++ b/train.py
@@ -1,3 +1,3 @@
 import torch
-lr = 0.1
+lr = {lr}
 epochs = 3
"""
OTHER = """diff --git a/src/a b.py b/src/a b.py
new file mode 100644
index 0000000..3333333
--- /dev/null
+++ b/src/a b.py
@@ -0,0 +1,2 @@
+++ not a header
+x = 1
"""


def code(diff: str = "", **environment) -> Code:
    return Code(environment, {"diff": diff, "commit": "abc"} if diff else {})


def test_the_same_change_is_told_to_be_the_same_whatever_its_index_line():
    (change,), left_out = file_changes(code(PATCH), code(PATCH.replace("1111111", "9999999")))
    assert (change.path, change.state, list(change.lines), left_out) == ("train.py", "same", [], 0)


def test_a_line_that_differs_is_shown_with_what_surrounds_it():
    (change,), _ = file_changes(code(PATCH.format(lr="0.2")), code(PATCH.format(lr="0.3")))
    assert change.state == "differs"
    assert [(line.kind, line.text) for line in change.lines] == [
        ("same", "@@ -1,3 +1,3 @@"),
        ("same", " import torch"),
        ("same", "-lr = 0.1"),
        ("first", "+lr = 0.2"),
        ("second", "+lr = 0.3"),
        ("same", " epochs = 3"),
    ]
    assert [(row.kind, row.first, row.second) for row in change.rows if row.kind != "same"] == [
        ("changed", "+lr = 0.2", "+lr = 0.3")
    ]


def test_a_file_that_one_run_alone_has_changed_is_shown_whole():
    changes, _ = file_changes(code(PATCH), code(PATCH + OTHER))
    assert [(change.path, change.state) for change in changes] == [("src/a b.py", "second"), ("train.py", "same")]
    assert [line.text for line in changes[0].lines] == [
        "new file mode 100644",
        "@@ -0,0 +1,2 @@",
        "+++ not a header",
        "+x = 1",
    ]
    assert {row.first for row in changes[0].rows} == {None}


def test_packages_are_told_apart_by_name_and_version():
    first = code(packages=["Torch==2.1", "numpy==1.26", "typing_extensions==4", "odd", 3])
    second = code(packages={"torch": "2.2", "numpy": "1.26", "typing-extensions": "4", "polars": "1"})
    changes, same = package_changes(first, second)
    assert [(change.name, change.first, change.second) for change in changes] == [
        ("odd", "?", ""),
        ("polars", "", "1"),
        ("torch", "2.1", "2.2"),
    ]
    assert same == 2


def test_facts_that_neither_tells_are_left_out():
    found = facts(Code({"python": "3.11"}, {"dirty": True}), Code({"python": "3.12", "host": {"odd": 1}}, {}))
    assert [(fact.label, fact.first, fact.second, fact.differs) for fact in found] == [
        ("Uncommitted changes", "yes", "", True),
        ("Python", "3.11", "3.12", True),
    ]


@pytest.mark.parametrize("odd", [None, 3, [], {"packages": 3, "python": []}, {"packages": [None, {}]}])
def test_whatever_a_client_sent_breaks_nothing(odd):
    strange = Code(odd if isinstance(odd, dict) else {}, {"diff": odd, "commit": odd, "diff_truncated": odd})
    assert file_changes(strange, code(PATCH))[0][0].state == "second"
    package_changes(strange, strange)
    facts(strange, strange)


def test_long_changes_are_bounded_in_lines_and_in_time(monkeypatch):
    def long(lines):
        return "diff --git a/x b/x\n" + "\n".join(lines)

    many = [f"+{n % 7}" for n in range(code_changes.MAX_LINES)]
    began = time.process_time()
    (change,), _ = file_changes(code(long(many)), code(long(reversed([*many[:-1], "+z"]))))
    assert time.process_time() - began < 10
    assert change.state == "differs"
    (change,), _ = file_changes(code(long([*many, "+1"])), code(long(many)))
    assert (list(change.lines), change.note) == ([], "Changes of more than 1,500 lines are not compared here.")
    (change,), _ = file_changes(code(long(many * 3)), code())
    assert (len(change.lines), change.note) == (1500, "The first 1,500 of 4,500 lines.")
    monkeypatch.setattr(code_changes, "MAX_LINES_SHOWN", 3)
    (change,), _ = file_changes(code(PATCH), code())
    assert "Too much differs" in change.note
    monkeypatch.setattr(code_changes, "MAX_FILES", 1)
    assert file_changes(code(PATCH), code(PATCH + OTHER))[1] == 1
