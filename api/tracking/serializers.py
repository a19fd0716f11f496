"""What the tracking contract takes and answers."""

from typing import Any

from rest_framework import serializers

from api.base.fields import NaiveUtcDateTimeField, StrictBooleanField, StrictCharField
from api.base.serializers import StrictSerializer
from tracking.models import Project, ProjectMember, Run, User

LIMIT_DEFAULT = 100
LIMIT_MAX = 1000
METRICS_DEFAULT = 1000
METRICS_MAX = 10_000
MAX_SKIP = 2**62


class TrackingRegisterIn(StrictSerializer):
    email = StrictCharField(max_length=254)
    username = StrictCharField(max_length=150)
    password = StrictCharField(trim_whitespace=False, max_length=1024, write_only=True)


class TrackingUserOut(serializers.ModelSerializer):
    created_at = NaiveUtcDateTimeField()
    updated_at = NaiveUtcDateTimeField()

    class Meta:
        model = User
        fields = ["id", "email", "username", "is_active", "is_superuser", "created_at", "updated_at"]


class TrackingLoginIn(StrictSerializer):
    """The OAuth2 password form; what else that form may carry is not looked at."""

    ignored = ("grant_type", "scope", "client_id", "client_secret")

    username = StrictCharField(max_length=254)
    password = StrictCharField(trim_whitespace=False, max_length=4096, write_only=True)


class TrackingRefreshIn(StrictSerializer):
    refresh_token = StrictCharField(max_length=4096)


class TrackingTokenOut(serializers.Serializer):
    access_token = serializers.CharField()
    token_type = serializers.CharField()
    refresh_token = serializers.CharField()


class StrictDictField(serializers.DictField):
    """A JSON object; its values are free."""

    default_error_messages = {"not_a_dict": "Must be an object."}


class StrictChoiceField(serializers.ChoiceField):
    """One of these strings; the answer to another one names them all."""

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str) or data not in self.choices:
            raise serializers.ValidationError(f"Must be one of {', '.join(self.choices)}.", code="invalid_choice")
        return data


# --- Lists ----------------------------------------------------------------------------------------------------------


class TrackingPageIn(serializers.Serializer):
    """The query of a list."""

    skip = serializers.IntegerField(required=False, default=0, min_value=0, max_value=MAX_SKIP)
    limit = serializers.IntegerField(
        required=False, default=LIMIT_DEFAULT, min_value=0, help_text=f"Cut to {LIMIT_MAX:,}."
    )

    limit_max = LIMIT_MAX

    def validate_limit(self, value: int) -> int:
        return min(value, self.limit_max)


class TrackingProjectListIn(TrackingPageIn):
    name = serializers.CharField(required=False, max_length=200, help_text="Only those called so; an extension.")


class TrackingRunListIn(TrackingPageIn):
    project_id = serializers.IntegerField(required=False, help_text="Only this project's.")
    filter = serializers.CharField(
        required=False, help_text="Only runs of which this is true, e.g. `metrics.loss.min < 0.3`; an extension."
    )
    sort = serializers.CharField(
        required=False, help_text="By this field, e.g. `-metrics.loss.min`, instead of the newest first; an extension."
    )


class TrackingMetricListIn(TrackingPageIn):
    metric_name = serializers.CharField(required=False, trim_whitespace=False, help_text="Only this metric's.")
    limit = serializers.IntegerField(
        required=False, default=METRICS_DEFAULT, min_value=0, help_text=f"Cut to {METRICS_MAX:,}."
    )

    limit_max = METRICS_MAX


# --- Projects -------------------------------------------------------------------------------------------------------


class TrackingProjectIn(StrictSerializer):
    name = StrictCharField(max_length=200)
    description = StrictCharField(
        required=False, allow_null=True, allow_blank=True, trim_whitespace=False, max_length=10_000
    )
    is_public = StrictBooleanField(required=False)


class TrackingProjectChangeIn(TrackingProjectIn):
    """Every field may be left out."""

    ignored = ("id", "owner_id", "kind", "created_at", "updated_at")

    name = StrictCharField(max_length=200, required=False)


class TrackingProjectOut(serializers.ModelSerializer):
    owner_id = serializers.IntegerField()
    created_at = NaiveUtcDateTimeField()
    updated_at = NaiveUtcDateTimeField()

    class Meta:
        model = Project
        fields = ["id", "name", "description", "owner_id", "is_public", "created_at", "updated_at"]


class TrackingMemberIn(StrictSerializer):
    username = StrictCharField(max_length=254, help_text="A username or an e-mail address.")
    role = StrictChoiceField(choices=ProjectMember.Role.choices, default=ProjectMember.Role.VIEWER)


class TrackingMemberChangeIn(StrictSerializer):
    ignored = ("user_id", "username")

    role = StrictChoiceField(choices=ProjectMember.Role.choices)


class TrackingMemberOut(serializers.ModelSerializer):
    user_id = serializers.IntegerField(source="user.pk")
    username = serializers.CharField(source="user.username")

    class Meta:
        model = ProjectMember
        fields = ["user_id", "username", "role"]


# --- Runs -----------------------------------------------------------------------------------------------------------


class TrackingRunIn(StrictSerializer):
    name = StrictCharField(max_length=200)
    config = StrictDictField(required=False, allow_null=True, help_text="Free-form.")
    tags = serializers.ListField(child=StrictCharField(), required=False, allow_null=True)
    notes = StrictCharField(required=False, allow_blank=True, trim_whitespace=False, help_text="An extension.")
    status = StrictChoiceField(
        choices=Run.Status.choices, required=False, help_text="An extension; running if left out."
    )
    started_at = NaiveUtcDateTimeField(required=False, help_text="An extension; now if left out.")
    environment = StrictDictField(
        required=False, allow_null=True, help_text="An extension: python, packages, host, command …"
    )
    git = StrictDictField(
        required=False, allow_null=True, help_text="An extension: origin, commit, branch, dirty, diff …"
    )


class TrackingRunChangeIn(TrackingRunIn):
    """Every field may be left out."""

    ignored = ("id", "project_id", "created_at", "updated_at", "archived_at")

    name = StrictCharField(max_length=200, required=False)
    status_reason = StrictCharField(required=False, allow_blank=True, max_length=500, help_text="An extension.")
    ended_at = NaiveUtcDateTimeField(required=False, allow_null=True)
    archived = StrictBooleanField(required=False, help_text="An extension.")


class TrackingEnvironmentOut(serializers.Serializer):
    environment = serializers.DictField()
    git = serializers.DictField()


class TrackingRunItemOut(serializers.ModelSerializer):
    """A run in a list."""

    started_at = NaiveUtcDateTimeField()
    ended_at = NaiveUtcDateTimeField()
    project_id = serializers.IntegerField()
    archived = serializers.SerializerMethodField()

    class Meta:
        model = Run
        fields = ["id", "name", "status", "started_at", "ended_at", "tags", "project_id", "archived"]

    def get_archived(self, run: Run) -> bool:
        return run.archived_at is not None


class TrackingRunOut(TrackingRunItemOut):
    config = serializers.DictField()
    created_at = NaiveUtcDateTimeField()
    updated_at = NaiveUtcDateTimeField()

    class Meta:
        model = Run
        fields = [
            "id",
            "name",
            "project_id",
            "status",
            "config",
            "tags",
            "started_at",
            "ended_at",
            "created_at",
            "updated_at",
            "status_reason",
            "notes",
            "archived",
        ]


# --- Metrics --------------------------------------------------------------------------------------------------------


class TrackingMetricIn(serializers.Serializer):
    """As `metric_bodies.parse_point` reads it; this is for the document."""

    name = serializers.CharField(max_length=250)
    value = serializers.FloatField(help_text='A number, "NaN", "Infinity" or "-Infinity".')
    step = serializers.IntegerField(required=False, help_text="The series' next one if left out.")
    timestamp = serializers.CharField(
        required=False, help_text="ISO 8601 (UTC where it names no zone) or seconds since 1970; now if left out."
    )


class TrackingColumnsIn(serializers.Serializer):
    values = serializers.ListField(child=serializers.FloatField())
    steps = serializers.ListField(child=serializers.IntegerField(), required=False)
    timestamps = serializers.ListField(child=serializers.CharField(), required=False)


class TrackingBatchIn(serializers.Serializer):
    """One of metrics, points and series, as `metric_bodies.parse_batch` reads it; this is for the document."""

    metrics = serializers.DictField(child=serializers.FloatField(), required=False)
    step = serializers.IntegerField(required=False)
    timestamp = serializers.CharField(required=False)
    points = TrackingMetricIn(many=True, required=False)
    series = serializers.DictField(child=TrackingColumnsIn(), required=False)


class TrackingMetricOut(serializers.Serializer):
    id = serializers.IntegerField()
    run_id = serializers.IntegerField()
    name = serializers.CharField()
    value = serializers.FloatField(help_text='A number, "NaN", "Infinity" or "-Infinity".')
    step = serializers.IntegerField()
    timestamp = serializers.CharField()


class TrackingLoggedOut(serializers.Serializer):
    message = serializers.CharField()


class TrackingHistoryIn(serializers.Serializer):
    """The query of a metric's history; both are extensions."""

    max_points = serializers.IntegerField(
        required=False, min_value=5, help_text="At most so many points, chosen so that every spike stays."
    )
    since_step = serializers.IntegerField(required=False, help_text="Only steps above it.")


class TrackingHistoryOut(serializers.Serializer):
    name = serializers.CharField()
    values = serializers.ListField(child=serializers.FloatField())
    steps = serializers.ListField(child=serializers.IntegerField())
    timestamps = serializers.ListField(child=serializers.CharField())


class TrackingSummaryOut(serializers.Serializer):
    name = serializers.CharField()
    current_value = serializers.FloatField()
    min_value = serializers.FloatField(allow_null=True)
    max_value = serializers.FloatField(allow_null=True)
    mean_value = serializers.FloatField(allow_null=True)
    total_points = serializers.IntegerField()
    next_step = serializers.IntegerField(help_text="An extension: what a point without a step would get.")
