"""The files of a trained model: one, or all of them as a zip."""

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.views.decorators.http import require_GET

from jobs.downloads import download_key, zipped
from jobs.selectors.model_files import model_entries, model_file_key, sample_image
from jobs.selectors.models import model_get


@login_required
@require_GET
def file(request: HttpRequest, model_id: str, path: str) -> HttpResponseBase:
    """One file of the model's folder, as an attachment."""
    key = model_file_key(model=model_get(user=request.user, model_id=model_id), path=path)
    return download_key(request, key)


@login_required
@require_GET
def sample(request: HttpRequest, model_id: str, name: str) -> HttpResponse:
    """A picture of the model's sample predictions, for an <img> of its page."""
    content, content_type = sample_image(model=model_get(user=request.user, model_id=model_id), name=name)
    headers = {
        "Content-Security-Policy": "sandbox; default-src 'none'",
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "private, max-age=86400",  # a model's files do not change
    }
    return HttpResponse(content, content_type=content_type, headers=headers)


@login_required
@require_GET
def archive(request: HttpRequest, model_id: str) -> HttpResponseBase:
    """All of them, by their paths in the model's folder."""
    shown = model_get(user=request.user, model_id=model_id)
    return zipped(request, model_entries(model=shown), f"{shown.public_id}.zip")
