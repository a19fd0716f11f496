"""Orders as commands to copy: whole where they can be read, short where nobody would."""

import pytest

from jobs.models import Job
from jobs.snippets import MAX_ITEMS, job_as_curl, job_as_python, order_of

IMAGE = "data:image/png;base64," + "A" * 1_000_000


@pytest.mark.parametrize(
    "given",
    [IMAGE, [IMAGE] * 2, {"image": IMAGE}, [{"image": IMAGE}], [[{"x": 1.5}] * 50] * 50_000],
    ids=["text", "texts", "object", "objects", "rows"],
)
def test_a_long_input_is_told_in_short(given):
    job = Job(kind=Job.Kind.INFERENCE, input_data=given)
    assert len(job_as_curl(job, "http://here/")) < 200_000 and len(job_as_python(job, "http://here/")) < 200_000


def test_what_can_be_read_is_told_whole():
    rows = [{"height": number, "kind": "é"} for number in range(MAX_ITEMS)]
    assert order_of(Job(kind=Job.Kind.INFERENCE, input_data=rows))[1]["input_data"] == rows
    longer = order_of(Job(kind=Job.Kind.INFERENCE, input_data=[*rows, {}, {}]))[1]["input_data"]
    assert longer == [*rows, "… and 2 more"]
