"""What a job is called: by its description, an inference without one by its model, on every page that names it."""

import pytest
from django.test import Client

from jobs.models import TrainedModel
from tests.pages_server.things import Things, claim


@pytest.mark.parametrize("path", ["/ui/", "/ui/jobs/", "/ui/search/?q=grapes", "/ui/jobs/{job}/"])
def test_an_inference_is_named_by_its_model(signed_in: Client, things: Things, path: str) -> None:
    job = things.prediction()
    TrainedModel.objects.update(name="Grapes & vines")
    page = signed_in.get(path.format(job=job.pk)).content.decode()
    assert "Inference with Grapes &amp; vines" in page
    assert job.public_id[:15] in page


def test_the_workers_page_names_the_inference_that_runs(signed_in: Client, things: Things) -> None:
    job = things.inference()
    claim(job)
    TrainedModel.objects.update(name="Grapes")
    assert "Inference with Grapes" in signed_in.get("/ui/workers/").content.decode()


def test_a_training_is_named_by_its_description_or_by_what_it_trains(signed_in: Client, things: Things) -> None:
    named, nameless = things.training(description="My <b>plants</b>"), things.training()
    page = signed_in.get("/ui/jobs/").content.decode()
    assert f'href="/ui/jobs/{named.pk}/">My &lt;b&gt;plants&lt;/b&gt;</a>' in page
    assert f'href="/ui/jobs/{nameless.pk}/">{nameless.model_type}</a>' in page
    assert nameless.public_id[:15] in page
