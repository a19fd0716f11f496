"""What the platform writes is read in the admin: no form changes or deletes it."""

import pytest
from django.contrib import admin
from django.db.models import Model
from django.forms import model_to_dict
from django.test import Client

from tests.admin.test_truth import act
from tests.admin.test_walk import ADDED_BY_HAND, DELETED_BY_HAND, MODELS, address, name_of
from tests.pages_server.things import Things

TRUTHS = [model for model in MODELS if name_of(model) not in ADDED_BY_HAND]


@pytest.mark.parametrize("model", TRUTHS, ids=name_of)
def test_nothing_of_what_the_platform_writes_is_changed_by_hand(
    admin_client: Client, standing: Things, model: type[Model]
) -> None:
    row = model._default_manager.first()
    before = model_to_dict(row)
    form = {name: "1" for name in before} | {"status": "completed", "progress": "1", "error": "", "name": "changed"}
    for page in ("change", "delete"):
        assert admin_client.post(address(model, page, row.pk), form | {"post": "yes"}).status_code == 403
    assert admin_client.post(address(model, "add"), form).status_code == 403
    assert model_to_dict(model._default_manager.get(pk=row.pk)) == before
    page = admin_client.get(address(model, "change", row.pk)).content.decode()
    assert 'name="_save"' not in page
    inside = page[page.index('id="content"') :]
    assert "<textarea" not in inside and 'type="text"' not in inside


@pytest.mark.parametrize("model", MODELS, ids=name_of)
def test_rows_are_not_deleted_by_the_dozen(admin_client: Client, standing: Things, model: type[Model]) -> None:
    if admin.site._registry[model].has_delete_permission(admin_client.get("/admin/").wsgi_request):
        assert name_of(model) in DELETED_BY_HAND
        return
    before = model._default_manager.count()
    act(admin_client, model, "delete_selected", *model._default_manager.all())
    assert model._default_manager.count() == before
