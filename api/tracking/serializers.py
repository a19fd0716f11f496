"""What the tracking contract's /auth takes and answers."""

from rest_framework import serializers

from api.base.fields import NaiveUtcDateTimeField, StrictCharField
from api.base.serializers import StrictSerializer
from tracking.models import User


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
