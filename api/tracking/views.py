"""The tracking contract's projects and runs: each view validates, calls one service or selector, and renders."""

from collections.abc import Mapping
from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ViewSet

from api.tracking import documents
from api.tracking.answers import run_item
from api.tracking.documents import answered, sent
from api.tracking.serializers import (
    TrackingEnvironmentOut,
    TrackingMemberChangeIn,
    TrackingMemberIn,
    TrackingMemberOut,
    TrackingProjectChangeIn,
    TrackingProjectIn,
    TrackingProjectListIn,
    TrackingProjectOut,
    TrackingRunChangeIn,
    TrackingRunIn,
    TrackingRunItemOut,
    TrackingRunListIn,
    TrackingRunOut,
)
from automl_site.errors import InvalidSpec
from tracking.selectors.environments import environment_of
from tracking.selectors.projects import member_list, project_get, project_list, project_to_change
from tracking.selectors.run_pages import run_page, run_page_of
from tracking.selectors.run_table import narrowed
from tracking.selectors.runs import run_get, run_list
from tracking.services.heartbeats import run_heartbeat
from tracking.services.members import member_add, member_remove, member_role_set
from tracking.services.projects import project_create, project_update
from tracking.services.runs import run_create, run_update
from tracking.services.trash import project_restore, project_trash, run_restore, run_trash


def checked(serializer: type[serializers.Serializer], data: Any) -> dict[str, Any]:
    """What the serializer takes of `data`; `null` is the same as leaving a field out. Raises ValidationError."""
    order = serializer(data=data)
    order.is_valid(raise_exception=True)
    return {name: value for name, value in order.validated_data.items() if value is not None}


def page_response(rows: QuerySet, shown: type[serializers.Serializer], query: Mapping[str, Any]) -> Response:
    """The asked part of the rows as a bare list, as the document shows lists; their number is a header."""
    page = rows[query["skip"] : query["skip"] + query["limit"]]
    return Response(shown(page, many=True).data, headers={"X-Total-Count": str(rows.count())})


class FormsMixin:
    """Fills the browsable API's forms: with the document's example, or for a change with what is there."""

    action: str | None
    forms: Mapping[str, tuple[type[serializers.Serializer], Mapping[str, Any]]] = {}

    def get_serializer(self, instance: Any = None) -> serializers.Serializer:
        serializer, example = self.forms.get(self.action or "", (serializers.Serializer, {}))
        return serializer(instance=example if instance is None else instance)


class ProjectViewSet(FormsMixin, ViewSet):
    """Projects."""

    forms = {
        "create": (TrackingProjectIn, documents.PROJECT_IN),
        "update": (TrackingProjectChangeIn, documents.PROJECT_CHANGE),
    }

    @extend_schema(
        parameters=[TrackingProjectListIn],
        responses={200: TrackingProjectOut(many=True)},
        examples=[answered(documents.PROJECT)],
    )
    def list(self, request: Request) -> Response:
        """List the caller's own and shared projects, newest first; `X-Total-Count` says how many there are."""
        query = checked(TrackingProjectListIn, request.query_params)
        return page_response(project_list(user=request.user, name=query.get("name")), TrackingProjectOut, query)

    @extend_schema(
        request=TrackingProjectIn,
        responses={201: TrackingProjectOut},
        examples=[sent(documents.PROJECT_IN), answered(documents.PROJECT, "201")],
    )
    def create(self, request: Request) -> Response:
        """Create a new project."""
        project = project_create(owner=request.user, **checked(TrackingProjectIn, request.data))
        return Response(TrackingProjectOut(project).data, status=201)

    @extend_schema(responses={200: TrackingProjectOut}, examples=[answered(documents.PROJECT)])
    def retrieve(self, request: Request, project_id: str) -> Response:
        """Get a specific project."""
        return Response(TrackingProjectOut(project_get(user=request.user, project_id=int(project_id))).data)

    @extend_schema(
        request=TrackingProjectChangeIn,
        responses={200: TrackingProjectOut},
        examples=[sent(documents.PROJECT_CHANGE), answered({**documents.PROJECT, **documents.PROJECT_CHANGE})],
    )
    def update(self, request: Request, project_id: str) -> Response:
        """Update a project: the fields that are given. For its owners."""
        changes = checked(TrackingProjectChangeIn, request.data)
        project = project_update(user=request.user, project_id=int(project_id), changes=changes)
        return Response(TrackingProjectOut(project).data)

    @extend_schema(responses={204: None})
    def destroy(self, request: Request, project_id: str) -> Response:
        """Delete a project: it goes into the trash, and for good after 30 days. For its owners."""
        project_trash(user=request.user, project_id=int(project_id))
        return Response(status=204)

    @extend_schema(request=None, responses={200: TrackingProjectOut}, examples=[answered(documents.PROJECT)])
    def restore(self, request: Request, project_id: str) -> Response:
        """Take a project out of the trash (an extension)."""
        project = project_restore(user=request.user, project_id=int(project_id))
        return Response(TrackingProjectOut(project).data)


class MemberViewSet(FormsMixin, ViewSet):
    """Who belongs to a project (an extension). Members are named by their user's id."""

    forms = {
        "create": (TrackingMemberIn, documents.MEMBER_IN),
        "update": (TrackingMemberChangeIn, {"role": "editor"}),
    }

    @extend_schema(responses={200: TrackingMemberOut(many=True)}, examples=[answered(documents.MEMBER)])
    def list(self, request: Request, project_id: str) -> Response:
        """List the project's members; its owner comes first."""
        members = member_list(user=request.user, project_id=int(project_id))
        return Response(TrackingMemberOut(members, many=True).data)

    @extend_schema(
        request=TrackingMemberIn,
        responses={201: TrackingMemberOut},
        examples=[sent(documents.MEMBER_IN), answered(documents.MEMBER, "201")],
    )
    def create(self, request: Request, project_id: str) -> Response:
        """Add a user by name or e-mail address. For owners."""
        order = checked(TrackingMemberIn, request.data)
        member = member_add(user=request.user, project_id=int(project_id), **order)
        return Response(TrackingMemberOut(member).data, status=201)

    @extend_schema(
        request=TrackingMemberChangeIn,
        responses={200: TrackingMemberOut},
        examples=[sent({"role": "editor"}), answered(documents.MEMBER)],
    )
    def update(self, request: Request, project_id: str, user_id: str) -> Response:
        """Give a member another role. For owners."""
        role = checked(TrackingMemberChangeIn, request.data)["role"]
        member = member_role_set(user=request.user, project_id=int(project_id), member_id=int(user_id), role=role)
        return Response(TrackingMemberOut(member).data)

    @extend_schema(responses={204: None})
    def destroy(self, request: Request, project_id: str, user_id: str) -> Response:
        """Take a member out (owners), or leave (everyone)."""
        member_remove(user=request.user, project_id=int(project_id), member_id=int(user_id))
        return Response(status=204)


class RunViewSet(FormsMixin, ViewSet):
    """Runs."""

    forms = {
        "create": (TrackingRunIn, documents.RUN_IN),
        "update": (TrackingRunChangeIn, documents.RUN_CHANGE),
    }

    @extend_schema(
        parameters=[TrackingRunListIn],
        responses={200: TrackingRunItemOut(many=True)},
        examples=[answered(documents.RUN_ITEM)],
    )
    def list(self, request: Request) -> Response:
        """List a project's runs, or those of all the caller's projects, newest first."""
        query = checked(TrackingRunListIn, request.query_params)
        chosen, order = query.get("filter", ""), query.get("sort", "")
        place = {"skip": query["skip"], "limit": query["limit"]}
        if "project_id" in query and not chosen and not order:
            project = project_get(user=request.user, project_id=query["project_id"])
            runs, total = run_page(project_id=project.pk, **place)
        else:
            found = run_list(user=request.user, project_id=query.get("project_id")).defer("config", "notes")
            found = narrowed(found, filter=chosen, sort=order)
            runs, total = run_page_of(found, **place, count_along=bool(chosen and order))
        return Response([run_item(run) for run in runs], headers={"X-Total-Count": str(total)})

    @extend_schema(
        parameters=[OpenApiParameter("project_id", int, required=True, description="ID of the project")],
        request=TrackingRunIn,
        responses={201: TrackingRunOut},
        examples=[sent(documents.RUN_IN), answered(documents.RUN, "201")],
    )
    def create(self, request: Request) -> Response:
        """Create a new run in a project."""
        given = checked(
            TrackingRunListIn,
            {"project_id": request.query_params.get("project_id")} if ("project_id" in request.query_params) else {},
        )
        if "project_id" not in given:
            raise InvalidSpec(errors={"project_id": ["Required, in the address: POST /runs/?project_id=1"]})
        order = {"config": {}, "tags": [], **checked(TrackingRunIn, request.data)}
        project = project_to_change(user=request.user, project_id=given["project_id"])
        return Response(TrackingRunOut(run_create(project=project, **order)).data, status=201)

    @extend_schema(responses={200: TrackingRunOut}, examples=[answered(documents.RUN)])
    def retrieve(self, request: Request, run_id: str) -> Response:
        """Get a specific run."""
        return Response(TrackingRunOut(run_get(user=request.user, run_id=int(run_id))).data)

    @extend_schema(
        request=TrackingRunChangeIn,
        responses={200: TrackingRunOut},
        examples=[sent(documents.RUN_CHANGE), answered({**documents.RUN, **documents.RUN_CHANGE})],
    )
    def update(self, request: Request, run_id: str) -> Response:
        """Update a run: the fields that are given. Ending it sets `ended_at`, going on clears it."""
        changes = checked(TrackingRunChangeIn, request.data)
        return Response(TrackingRunOut(run_update(user=request.user, run_id=int(run_id), changes=changes)).data)

    @extend_schema(responses={204: None})
    def destroy(self, request: Request, run_id: str) -> Response:
        """Delete a run: it goes into the trash, and for good after 30 days."""
        run_trash(user=request.user, run_id=int(run_id))
        return Response(status=204)

    @extend_schema(request=None, responses={200: TrackingRunOut}, examples=[answered(documents.RUN)])
    def restore(self, request: Request, run_id: str) -> Response:
        """Take a run out of the trash (an extension)."""
        return Response(TrackingRunOut(run_restore(user=request.user, run_id=int(run_id))).data)

    @extend_schema(request=None, responses={204: None})
    def heartbeat(self, request: Request, run_id: str) -> Response:
        """Say that the run's process is alive (an extension): the run fails once it has been silent for minutes."""
        run_heartbeat(user=request.user, run_id=int(run_id))
        return Response(status=204)

    @extend_schema(responses={200: TrackingEnvironmentOut}, examples=[answered(documents.ENVIRONMENT)])
    def environment(self, request: Request, run_id: str) -> Response:
        """What the run was made with (an extension): set by the fields `environment` and `git` of the run."""
        return Response(environment_of(run_get(user=request.user, run_id=int(run_id))))
