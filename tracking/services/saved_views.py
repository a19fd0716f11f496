"""Writes of saved views: states of a project's runs table under names."""

from django.core.exceptions import ValidationError
from django.db import transaction

from automl_site.errors import Forbidden, InvalidSpec, NotFound
from tracking import text
from tracking.models import Project, SavedView, User

MAX_VIEWS = 100  # of a user in a project


@transaction.atomic
def saved_view_save(*, user: User, project: Project, name: str, address: str, is_shared: bool = False) -> SavedView:
    """Keep the table's address under that name, in place of the user's own view of the same name.

    Raises:
        InvalidSpec: the name, or too many views; `errors` names the field.
        Forbidden: sharing one in a project that `user` may only read.
    """
    if is_shared and not Project.objects.changeable_by(user).filter(pk=project.pk).exists():
        raise Forbidden("You may read this project, but not share views in it; ask its owner for the role editor.")
    name = name.strip()
    if not (text.is_storable(name) and text.is_storable(address)):
        raise InvalidSpec(errors={"name": ["It may not contain NUL characters or half a surrogate pair."]})
    own = SavedView.objects.filter(project=project, owner=user)
    if own.exclude(name=name).count() >= MAX_VIEWS:
        raise InvalidSpec(errors={"name": [f"You have {MAX_VIEWS} views here; delete one first."]})
    view = own.filter(name=name).first() or SavedView(project=project, owner=user, name=name)
    view.address = address
    view.is_shared = is_shared
    try:
        view.clean_fields(exclude=["project", "owner"])
    except ValidationError as error:
        raise InvalidSpec(errors=error.message_dict) from None
    view.save()
    return view


def saved_view_delete(*, user: User, project: Project, view_id: int) -> SavedView:
    """Delete one's own view, or a shared one of a project that one may edit; the view as it was.

    Raises:
        NotFound: there is none, or it is not the user's to see.
        Forbidden: the user may see but not delete it.
    """
    views = SavedView.objects.filter(project=project, pk=view_id)
    view = views.visible_to(user).first()
    if view is None:
        raise NotFound("There is no such view.")
    if not views.changeable_by(user).exists():
        raise Forbidden("This view is another member's; only editors of the project may delete it.")
    views.delete()
    return view
