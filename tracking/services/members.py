"""Who belongs to a project.

Members are added at once, without an invitation to accept: it takes a username, gives access to one project only, and
whoever does not want to be a member leaves.
"""

from django.db import IntegrityError, transaction
from django.db.models import QuerySet

from automl_site.errors import Conflict, Forbidden, InvalidSpec, NotFound
from tracking import access
from tracking.models import Project, ProjectMember, User
from tracking.selectors.accounts import user_by_login
from tracking.selectors.projects import project_get, project_to_own

Role = ProjectMember.Role
LAST_OWNER = "A project keeps at least one owner; give somebody else the role owner first."


def member_add(*, user: User, project_id: int, username: str, role: str = Role.VIEWER) -> ProjectMember:
    """Make the user of that name (or e-mail address) a member.

    Raises:
        NotFound, Forbidden: `user` may not see the project, or is not its owner.
        InvalidSpec: no such user, or no such role.
        Conflict: a member already.
    """
    project = project_to_own(user=user, project_id=project_id)
    _refuse_unknown(role)
    added = user_by_login(username.strip())
    if added is None or not added.is_active:
        raise InvalidSpec(errors={"username": [f"There is no user '{username.strip()[:150]}'."]})
    try:
        with transaction.atomic():
            if added.pk == project.owner.pk:
                raise IntegrityError
            return ProjectMember.objects.create(project=project, user=added, role=role)
    except IntegrityError:
        raise Conflict(f"{added.username} is a member already; change the role instead.") from None


@transaction.atomic
def member_role_set(*, user: User, project_id: int, member_id: int, role: str) -> ProjectMember:
    """Give the member (a user's id) another role. Who made the project hands it on to another owner by this.

    Raises:
        NotFound, Forbidden: `user` may not see the project, or is not its owner; nobody of that id is a member.
        InvalidSpec: no such role.
        Conflict: the last owner.
    """
    project = _locked(project_to_own(user=user, project_id=project_id))
    _refuse_unknown(role)
    if member_id == project.owner.pk:
        if role == Role.OWNER:
            return ProjectMember(project=project, user=project.owner, role=Role.OWNER)
        former = project.owner
        _hand_on(project)
        return ProjectMember.objects.create(project=project, user=former, role=role)
    members = _members(project, member_id)
    if not members.update(role=role):
        raise NotFound(f"User {member_id} is no member of this project.")
    access.forget_on_commit()
    return members.select_related("user").get()


@transaction.atomic
def member_remove(*, user: User, project_id: int, member_id: int) -> None:
    """Take the member (a user's id) out; everyone may leave.

    Raises:
        NotFound, Forbidden: as for `member_role_set`.
        Conflict: the last owner.
    """
    if member_id == user.pk:
        project = project_get(user=user, project_id=project_id)
    else:
        project = project_to_own(user=user, project_id=project_id)
    project = _locked(project)
    if member_id == project.owner.pk:
        _hand_on(project)
        return
    count, _ = _members(project, member_id).delete()
    if not count:
        raise NotFound(f"User {member_id} is no member of this project.")
    access.forget_on_commit()


def _members(project: Project, member_id: int) -> QuerySet[ProjectMember]:
    # By a primary key: SQLite fails on a foreign key of more than 64 bits.
    return ProjectMember.objects.filter(project=project, user__in=User.objects.filter(pk=member_id))


def _locked(project: Project) -> Project:
    """The project, its row held until the transaction ends: two owners who leave at once would leave none."""
    return Project.objects.select_for_update(of=("self",)).select_related("owner").get(pk=project.pk)


def _hand_on(project: Project) -> None:
    """Make the longest-standing member with the role owner the project's owner."""
    if project.kind == Project.Kind.JOBS:
        raise Forbidden("The project of a user's jobs stays that user's.")
    heir = ProjectMember.objects.filter(project=project, role=Role.OWNER).select_related("user").order_by("pk").first()
    if heir is None:
        raise Conflict(LAST_OWNER)
    Project.objects.filter(pk=project.pk).update(owner=heir.user)
    heir.delete()
    access.forget_on_commit()


def _refuse_unknown(role: str) -> None:
    if role not in Role.values:
        raise InvalidSpec(errors={"role": [f"'{role[:50]}' is not one of {', '.join(Role.values)}."]})
