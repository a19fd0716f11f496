"""The admin's forms of users and projects: they refuse what the services refuse, in the same words, at the field."""

from typing import Any

from django import forms
from django.contrib.auth import forms as auth_forms

from automl_site.errors import InvalidSpec
from tracking import text
from tracking.models import Project, User
from tracking.services.accounts import check_new_password, identity_check

UNKEEPABLE = "It may not contain NUL characters or half a surrogate pair."
LOCKED_OUT = {
    "is_active": "You cannot shut yourself out; ask another operator.",
    "is_staff": "Without it you could not come back here; ask another operator.",
    "is_superuser": "You cannot take your own rights away; ask another operator.",
}


class IdentityMixin(forms.ModelForm):
    """A name and an address that `tracking.services.accounts` would take."""

    def clean(self) -> dict[str, Any]:
        values = super().clean() or self.cleaned_data
        user = User(pk=self.instance.pk, username=values.get("username") or "", email=values.get("email") or "")
        try:
            identity_check(user=user)
        except InvalidSpec as error:
            for name, sentences in error.errors.items():
                # What is as it was is not refused: the name of the open mode's own user, which nobody else may take.
                if name in self.changed_data and name not in self.errors:
                    self.add_error(name, list(sentences))
        return values


class PasswordMixin:
    """A new password that `tracking.services.accounts` would take."""

    def validate_password_for_user(self, user: User, password_field_name: str = "password2") -> None:  # noqa: S107
        values = self.cleaned_data  # type: ignore[attr-defined]
        if not values.get("set_usable_password", True) or not values.get(password_field_name):
            return
        try:
            check_new_password(values[password_field_name], user=user)
        except InvalidSpec as error:
            self.add_error(password_field_name, list(error.errors["password"]))  # type: ignore[attr-defined]


class UserAddForm(PasswordMixin, IdentityMixin, auth_forms.UserCreationForm):
    class Meta(auth_forms.UserCreationForm.Meta):
        model = User
        fields = ("username", "email")


class UserChangeForm(IdentityMixin, auth_forms.UserChangeForm):
    is_own = False  # whether operators edit themselves

    class Meta(auth_forms.UserChangeForm.Meta):
        model = User

    def clean(self) -> dict[str, Any]:
        values = super().clean()
        for name, sentence in LOCKED_OUT.items():
            if self.is_own and name in self.changed_data and not values.get(name):
                self.add_error(name, sentence)
        return values


class PasswordForm(PasswordMixin, auth_forms.AdminPasswordChangeForm):
    pass


class ProjectForm(forms.ModelForm):
    class Meta:
        model = Project
        fields = "__all__"

    def clean(self) -> dict[str, Any]:
        values = super().clean() or self.cleaned_data
        for name in ("name", "description"):
            if not text.is_storable(values.get(name) or ""):
                self.add_error(name, UNKEEPABLE)
        return values
