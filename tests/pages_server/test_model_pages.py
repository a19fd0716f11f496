"""A model's page without a browser: what its report shows, and how each kind of model is tried."""

from base64 import b64decode
from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from datasets_app.storage import get_storage
from jobs import lifecycle
from jobs.models import Job, JobStatus, TrainedModel
from jobs.selectors import reports
from tests.pages_server.things import Things, claim
from tests.services.test_previews import png

EVIL = "<script>alert(1)</script>"
HTMX = {"HTTP_HX_REQUEST": "true"}
IMAGES: dict[str, Any] = {
    "model_type": "resnet",
    "framework": "pytorch",
    "task": "image_classification",
    "schema": {"columns": [{"name": "image", "kind": "image"}], "target": "class"},
}
TEXTS = IMAGES | {
    "model_type": "bert",
    "task": "text_classification",
    "schema": {"columns": [{"name": "text", "kind": "text"}], "target": "label"},
}
LANGUAGE = TEXTS | {"model_type": "gpt", "task": "language_modelling"}


def page_of(client: Client, model: TrainedModel, query: str = "") -> str:
    answer = client.get(f"/ui/models/{model.public_id}/{query}")
    assert answer.status_code == 200
    return answer.content.decode()


def tries(client: Client, model: TrainedModel, fields: dict[str, Any]) -> Any:
    return client.post(f"/ui/models/{model.public_id}/try/", fields, **HTMX)


def newest() -> Job:
    return Job.objects.filter(kind="inference").latest("created_at")


def ends(job: Job, predictions: list[dict[str, Any]]) -> Job:
    result = {"model_id": job.model.public_id, "predictions": predictions}
    lifecycle.complete(attempt=claim(job), job=job, result=result)
    return job


# --- The report ------------------------------------------------------------------------------------------------------
@pytest.fixture
def pictured(things: Things, tmp_path: Path) -> TrainedModel:
    """A model with three sample predictions: a picture, a file that is none, and one that is gone."""
    samples = [
        {"file": "samples/00.png", "label": EVIL, "predicted": "cat", "score": 0.993},
        {"file": "samples/01.png", "label": "cat", "predicted": "cat", "score": 1.0},
        {"file": "samples/02.png", "label": "cat", "predicted": "cat", "score": 0.5},
    ]
    model = things.model(**IMAGES, report={"samples": samples})
    folder = tmp_path / "made" / "samples"
    folder.mkdir(parents=True)
    (folder / "00.png").write_bytes(png())
    (folder / "01.png").write_bytes(EVIL.encode())
    (folder / "secret.png").write_bytes(png())
    get_storage().put_folder(f"models/{model.public_id}", folder.parent)
    return model


def test_samples_are_shown_mistakes_told_from_hits_by_more_than_colour(
    signed_in: Client, pictured: TrainedModel
) -> None:
    text = page_of(signed_in, pictured)
    assert text.count(f"/ui/models/{pictured.public_id}/samples/0") == 3
    assert (text.count('aria-label="Wrong"'), text.count('aria-label="Right"')) == (1, 2)
    assert EVIL not in text and "&lt;script&gt;" in text
    assert "99%" in text


def test_a_sample_is_served_as_the_picture_that_it_is(signed_in: Client, pictured: TrainedModel) -> None:
    answer = signed_in.get(f"/ui/models/{pictured.public_id}/samples/00.png")
    assert (answer.status_code, answer["Content-Type"], answer.content) == (200, "image/png", png())
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert "sandbox" in answer["Content-Security-Policy"]


def test_nothing_else_is_served_as_a_sample(signed_in: Client, pictured: TrainedModel) -> None:
    for name in ("01.png", "02.png", "secret.png", "..%2Fmodel.json", "x" * 300):
        assert signed_in.get(f"/ui/models/{pictured.public_id}/samples/{name}").status_code == 404, name


def test_samples_of_somebody_elses_model_are_not_there(client: Client, bobs: Things, pictured: TrainedModel) -> None:
    client.force_login(bobs.owner)
    assert client.get(f"/ui/models/{pictured.public_id}/samples/00.png").status_code == 404


def test_a_thousand_classes_are_still_a_page(signed_in: Client, things: Things) -> None:
    labels = [f"class {number}" for number in range(300)]
    matrix = [
        [number if row == column else int(column == 7) for column in range(300)]
        for row, number in enumerate(range(300))
    ]
    per_class = [
        {"label": label, "precision": 0.5, "recall": number / 300, "f1": 0.5, "support": number}
        for number, label in enumerate(labels)
    ]
    report = {
        "classes": 1000,
        "confusion_matrix": {"labels": labels, "matrix": matrix},
        "per_class": per_class,
    }
    model = things.model(**IMAGES, report=report)
    text = page_of(signed_in, model)
    assert text.count('class="heat-') == reports.MATRIX_CLASSES**2 + 1  # the table's own
    assert "The 50 most frequent of 1,000 classes" in text
    assert "class 299" in text
    assert len(text) < 500_000


def test_scores_are_sorted_as_asked(signed_in: Client, things: Things) -> None:
    scores = {"ant": (0.9, 3), "bee": (0.1, 9), "cat": (0.5, 6)}
    per_class = [
        {"label": label, "precision": share, "recall": share, "f1": share, "support": support}
        for label, (share, support) in scores.items()
    ]
    model = things.model(**IMAGES, report={"per_class": per_class})

    def shown(query: str) -> list[str]:
        text = page_of(signed_in, model, query)
        return sorted(scores, key=lambda label: text.index(f'<th scope="row">{label}</th>'))

    assert shown("") == shown("?sort=nonsense") == shown("?sort=-support") == ["bee", "cat", "ant"]
    assert shown("?sort=f1") == ["bee", "cat", "ant"]
    assert shown("?sort=-f1") == ["ant", "cat", "bee"]
    assert shown("?sort=label") == ["ant", "bee", "cat"]


def test_texts_and_generated_samples_are_shown_as_text(signed_in: Client, things: Things) -> None:
    samples = [{"text": EVIL + "x" * 1000, "label": "spam", "predicted": "ham", "score": 0.8}]
    text = page_of(signed_in, things.model(**TEXTS, report={"samples": samples}))
    assert EVIL not in text and "&lt;script&gt;" in text
    assert "x" * 400 not in text
    generated = [{"prompt": "Once", "text": f" upon {EVIL}"}]
    text = page_of(signed_in, things.model(**LANGUAGE, report={"generated": generated}))
    assert "Written after the training" in text and EVIL not in text


def test_curves_are_drawn_of_what_was_trained_in_epochs(signed_in: Client, things: Things) -> None:
    model = things.model(**IMAGES, metrics={"accuracy": 0.9, "epochs": 3.0})
    assert f'data-curves="/ui/runs/{model.run_id}/series.json"' in page_of(signed_in, model)
    assert "data-curves" not in page_of(signed_in, things.model())


# --- Trying it -------------------------------------------------------------------------------------------------------
def test_an_image_is_tried_as_it_is(signed_in: Client, things: Things) -> None:
    model = things.model(**IMAGES)
    assert 'enctype="multipart/form-data"' in page_of(signed_in, model)
    image = SimpleUploadedFile("a.png", png(), content_type="image/png")
    assert tries(signed_in, model, {"try-image": image, "try-top_k": "3"}).status_code == 200
    job = newest()
    assert job.parameters == {"top_k": 3}
    head, _, body = job.input_data.partition(",")
    assert (head, b64decode(body)) == ("data:image/png;base64", png())
    ends(
        job,
        [{"label": "cat", "score": 0.75, "top_k": [{"label": "cat", "score": 0.75}, {"label": EVIL, "score": 0.2}]}],
    )
    text = signed_in.get(f"/ui/models/{model.public_id}/try/{job.pk}/").content.decode()
    assert 'aria-label="Likeliest classes"' in text and "hx-get" not in text
    assert EVIL not in text and "0.75" in text


def test_an_image_that_the_platform_has_is_tried_by_its_path(
    signed_in: Client, things: Things, files_root: Path
) -> None:
    (files_root / "cat.png").write_bytes(png())
    model = things.model(**IMAGES)
    assert tries(signed_in, model, {"try-path": " /data/cat.png "}).status_code == 200
    assert newest().input_data == "/data/cat.png"


def test_what_is_no_image_is_refused_in_words(signed_in: Client, things: Things) -> None:
    model = things.model(**IMAGES)
    for fields, words in (
        ({}, "Choose an image"),
        ({"try-image": SimpleUploadedFile("a.png", b"")}, "a.png is empty"),
        ({"try-image": SimpleUploadedFile("a.png", bytes(8_000_001))}, "8,000,000 can be tried here"),
        ({"try-path": "/data/none.png"}, "does not exist"),
        ({"try-path": "/etc/passwd"}, "outside the data root"),
        ({"try-path": "/data/a.png", "try-top_k": "0"}, "greater than or equal to 1"),
        ({"try-path": "/data/a.png", "try-top_k": "many"}, "whole number"),
    ):
        answer = tries(signed_in, model, fields)
        assert answer.status_code == 422
        assert words in answer.content.decode()
    assert not Job.objects.filter(kind="inference").exists()


def test_a_text_is_data_also_where_it_looks_like_a_path(signed_in: Client, things: Things) -> None:
    model = things.model(**TEXTS)
    assert tries(signed_in, model, {"try-text": "/data/secret.csv", "try-top_k": ""}).status_code == 200
    assert (newest().input_data, newest().parameters) == (["/data/secret.csv"], {})
    assert tries(signed_in, model, {"try-text": ""}).status_code == 422


def test_a_text_with_masks_is_filled(signed_in: Client, things: Things) -> None:
    model = things.model(**LANGUAGE | {"task": "masked_language_modelling"})
    assert "[MASK]" in page_of(signed_in, model)
    assert tries(signed_in, model, {"try-text": "The sky is [MASK].", "try-top_k": "2"}).status_code == 200
    job = newest()
    fills = [[{"token": "blue", "score": 0.75}, {"token": EVIL, "score": 0.2}]]
    ends(job, [{"prompt": "The sky is [MASK].", "text": "The sky is blue.", "fills": fills}])
    text = signed_in.get(f"/ui/models/{model.public_id}/try/{job.pk}/").content.decode()
    assert "The sky is blue." in text and 'aria-label="Likeliest for mask 1"' in text
    assert EVIL not in text and "0.75" in text


def test_the_playground_passes_on_what_was_filled_in(signed_in: Client, things: Things) -> None:
    model = things.model(**LANGUAGE)
    fields = {"max_length": "20", "temperature": "0.5", "top_k": "", "top_p": "0.9", "seed": "7"}
    answer = tries(signed_in, model, {"try-prompt": "  Once\n", **{f"try-{k}": v for k, v in fields.items()}})
    assert answer.status_code == 200
    job = newest()
    assert job.input_data == ["  Once\n"]
    assert job.parameters == {"max_length": 20, "temperature": 0.5, "top_p": 0.9, "seed": 7}
    text = answer.content.decode()
    assert "Stop" in text and f"/try/{job.pk}/cancel/" in text and "hx-get" in text
    ends(job, [{"prompt": "  Once\n", "text": f" upon {EVIL}", "tokens": 2, "finish": "end"}])
    text = signed_in.get(f"/ui/models/{model.public_id}/try/{job.pk}/").content.decode()
    assert "2 tokens" in text and "to the text's end" in text and "top p 0.9" in text
    assert EVIL not in text and "hx-get" not in text


def test_odd_settings_of_the_playground_are_refused_in_words(signed_in: Client, things: Things) -> None:
    model = things.model(**LANGUAGE)
    for field in ("temperature", "top_p", "top_k", "max_length", "seed"):
        for value in ("-1", "nan", "inf", "1e400", "abc", "99999999999999999999"):
            answer = tries(signed_in, model, {"try-prompt": "Once", f"try-{field}": value})
            assert answer.status_code == 422, (field, value)
            assert "That cannot be generated" in answer.content.decode()
    assert not Job.objects.filter(kind="inference").exists()


def test_a_generation_is_stopped(signed_in: Client, things: Things) -> None:
    model = things.model(**LANGUAGE)
    tries(signed_in, model, {"try-prompt": "Once"})
    job = newest()
    stop = f"/ui/models/{model.public_id}/try/{job.pk}/cancel/"
    assert signed_in.get(stop).status_code == 405
    assert "Stopped before it was done" in signed_in.post(stop, **HTMX).content.decode()
    job.refresh_from_db()
    assert job.status == JobStatus.CANCELLED
    assert signed_in.post(stop, **HTMX).status_code == 200  # twice is once
    other = things.model(**LANGUAGE)
    assert signed_in.post(f"/ui/models/{other.public_id}/try/{job.pk}/cancel/").status_code == 404


def test_somebody_elses_generation_is_not_there(client: Client, things: Things, bobs: Things) -> None:
    job = things.inference(things.model(**LANGUAGE), input_data=["Once"])
    client.force_login(bobs.owner)
    for act in ("", "cancel/"):
        address = f"/ui/models/{job.model.public_id}/try/{job.pk}/{act}"
        assert (client.post if act else client.get)(address).status_code == 404
    job.refresh_from_db()
    assert job.status == JobStatus.PENDING


def test_the_same_act_is_shown_as_a_command(signed_in: Client, things: Things) -> None:
    for facts in (IMAGES, TEXTS, LANGUAGE):
        text = page_of(signed_in, things.model(**facts))
        assert "/jobs/inference" in text and "requests.post(" in text


def test_without_script_a_try_leads_to_its_job(signed_in: Client, things: Things) -> None:
    model = things.model(**LANGUAGE)
    answer = signed_in.post(f"/ui/models/{model.public_id}/try/", {"try-prompt": "Once"})
    job = newest()
    assert answer["Location"] == f"/ui/jobs/{job.pk}/"
    ends(job, [{"prompt": "Once", "text": f" upon {EVIL}", "tokens": 2, "finish": "length"}])
    text = signed_in.get(answer["Location"]).content.decode()
    assert " upon &lt;script&gt;" in text and EVIL not in text
    refused = signed_in.post(f"/ui/models/{model.public_id}/try/", {"try-seed": "x", "try-prompt": "Once more"})
    assert refused.status_code == 422
    assert "Once more" in refused.content.decode()
