"""Writes of projects. Who belongs to one: `members`; what happens to deleted ones: `trash`."""

from collections.abc import Mapping
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone

from automl_site.errors import Forbidden, InvalidSpec, NotFound
from tracking import access, text
from tracking.models import Project, User
from tracking.selectors.projects import project_to_own

JOBS_PROJECT_NAME = "Jobs"
EDITABLE = {"name", "description", "is_public"}


def project_create(*, owner: User, name: str, description: str = "", is_public: bool = False) -> Project:
    """A new project of `owner`.

    Raises:
        InvalidSpec: name or description; `errors` names the field.
    """
    project = Project(owner=owner, name=name.strip(), description=description, is_public=is_public)
    _refuse_unkeepable(project)
    project.save(force_insert=True)
    return project


def project_update(*, user: User, project_id: int, changes: Mapping[str, Any]) -> Project:
    """Set what is given of name, description and is_public.

    Raises:
        NotFound, Forbidden: `user` may not see the project, or is not its owner.
        InvalidSpec: name or description; `errors` names the field.
    """
    project = project_to_own(user=user, project_id=project_id)
    for field in EDITABLE & changes.keys():
        setattr(project, field, changes[field].strip() if field == "name" else changes[field])
    _refuse_unkeepable(project)
    project.updated_at = timezone.now()
    # Of a live one only: who put it into the trash meanwhile is not undone.
    written = {
        field: getattr(project, field) for field in (*EDITABLE, "updated_at") if field in {*changes, "updated_at"}
    }
    if not Project.objects.filter(pk=project.pk, deleted_at__isnull=True).update(**written):
        raise NotFound()
    if "is_public" in changes:
        access.forget_on_commit()
    return project


def _refuse_unkeepable(project: Project) -> None:
    errors = {
        field: ["It may not contain NUL characters or half a surrogate pair."]
        for field in ("name", "description")
        if not text.is_storable(getattr(project, field))
    }
    try:
        project.clean_fields(exclude=["owner", *errors])
    except ValidationError as error:
        errors |= error.message_dict
    if errors:
        raise InvalidSpec(errors=errors)


@transaction.atomic(savepoint=False)
def jobs_project(user: User) -> Project:
    """The private project that takes the runs of `user`'s jobs, made when first needed; its row is locked.

    One that lies in the trash is taken out of it: a new job's run would be invisible there.
    """
    # The constraint of one a user makes this safe against a second request doing the same.
    project, _ = Project.objects.select_for_update(no_key=True).get_or_create(
        owner=user, kind=Project.Kind.JOBS, defaults={"name": JOBS_PROJECT_NAME, "is_public": False}
    )
    if project.deleted_at is not None:
        project.deleted_at = None
        project.save(update_fields=["deleted_at", "updated_at"])
    return project


def project_for_submission(*, user: User, project_id: int | None) -> Project:
    """Where a job's run is to live: the project of that id, or without one the user's own project for jobs.

    Must be called in the transaction that writes the job: it holds the project's row, so that whoever puts the project
    into the trash waits, and then finds the job.

    Raises:
        NotFound: no such project, or not `user`'s to see.
        Forbidden: `user` may see it but not submit into it.
    """
    if project_id is None:
        return jobs_project(user)
    # Not so strong that who adds runs to the project has to wait.
    locked = Project.objects.select_for_update(no_key=True)
    project = locked.visible_to(user).live().filter(pk=project_id).first()
    if project is None:
        raise NotFound(f"Project {project_id} not found")
    if not Project.objects.changeable_by(user).filter(pk=project.pk).exists():
        raise Forbidden(
            f"You may read project {project_id}, but not submit into it; ask its owner for the role editor."
        )
    return project
