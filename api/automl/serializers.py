"""What the automl contract's /v1/auth takes and answers."""

from rest_framework import serializers

from api.base.fields import StrictCharField
from api.base.serializers import StrictSerializer


class AutomlTokenIn(StrictSerializer):
    username = StrictCharField(max_length=254)
    password = StrictCharField(trim_whitespace=False, max_length=4096, write_only=True)


class AutomlTokenOut(serializers.Serializer):
    """Both are the same key."""

    api_key = serializers.CharField()
    access_token = serializers.CharField()
    token_type = serializers.CharField()
