"""Forms of the account pages. What they check beyond their fields' types, the services check."""

import logging
import threading
from typing import Any

from django import forms
from django.conf import settings
from django.contrib.auth.forms import AuthenticationForm, PasswordResetForm, SetPasswordForm
from django.core.exceptions import ValidationError
from django.http import HttpRequest

from automl_site.errors import InvalidSpec, RateLimited, Unauthenticated
from automl_site.origins import client_address
from tracking.models import User
from tracking.services.accounts import credentials_check, password_set

logger = logging.getLogger(__name__)


def add_errors(form: forms.BaseForm, error: InvalidSpec) -> None:
    """Put a service's complaints at the fields that they are about."""
    for name, sentences in error.errors.items():
        form.add_error(name if name in form.fields else None, list(sentences))
    if not error.errors:
        form.add_error(None, error.message)


class SignInForm(AuthenticationForm):
    """User name (or e-mail address) and password. `rate_limited` is set when there were too many attempts."""

    rate_limited: RateLimited | None = None

    def __init__(self, request: HttpRequest | None = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(request, *args, **kwargs)
        self.fields["username"].label = "User name or e-mail"
        self.fields["username"].max_length = 254

    def clean(self) -> dict[str, Any]:
        username, password = self.cleaned_data.get("username"), self.cleaned_data.get("password")
        if username and password and self.request is not None:
            try:
                self.user_cache = credentials_check(
                    username=username, password=password, address=client_address(self.request.META)
                )
            except RateLimited as error:
                self.rate_limited = error
                raise ValidationError(error.message, code="rate_limited") from None
            except Unauthenticated:
                raise ValidationError("The user name or the password is wrong.", code="invalid_login") from None
        return self.cleaned_data


class PasswordTwiceForm(forms.Form):
    """A form with the fields `password` and `password_again`."""

    def clean(self) -> dict[str, Any]:
        values = super().clean() or {}
        if "password_again" in values and values.get("password") != values["password_again"]:
            self.add_error("password_again", "The two passwords are not the same.")
        return values


class RegisterForm(PasswordTwiceForm):
    username = forms.CharField(
        label="User name",
        max_length=150,
        help_text="Letters, digits and @ . + - _",
        widget=forms.TextInput(attrs={"autocomplete": "username", "autocapitalize": "none", "autofocus": True}),
    )
    email = forms.EmailField(label="E-mail", max_length=254, widget=forms.EmailInput(attrs={"autocomplete": "email"}))
    password = forms.CharField(
        strip=False, max_length=1024, widget=forms.PasswordInput(attrs={"autocomplete": "new-password"})
    )
    password_again = forms.CharField(
        label="Password again", strip=False, widget=forms.PasswordInput(attrs={"autocomplete": "new-password"})
    )


class ProfileForm(forms.ModelForm):
    class Meta:
        model = User
        fields = ("first_name", "last_name", "email")
        widgets = {
            "first_name": forms.TextInput(attrs={"autocomplete": "given-name"}),
            "last_name": forms.TextInput(attrs={"autocomplete": "family-name"}),
            "email": forms.EmailInput(attrs={"autocomplete": "email"}),
        }

    def _post_clean(self) -> None:
        """The service validates, and it alone changes the user (this form would fill the request's user before)."""


class ApiKeyForm(forms.Form):
    name = forms.CharField(max_length=100, help_text="What it is for: “notebook”, “nightly training”.")
    days = forms.IntegerField(label="Days until it expires", min_value=1, max_value=3650)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("initial", {"days": settings.API_KEY_LIFETIME_DAYS})
        super().__init__(*args, **kwargs)


class PasswordChangeForm(PasswordTwiceForm):
    current = forms.CharField(
        label="Present password",
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password", "autofocus": True}),
    )
    password = forms.CharField(
        label="New password",
        strip=False,
        max_length=1024,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
    )
    password_again = forms.CharField(
        label="New password again", strip=False, widget=forms.PasswordInput(attrs={"autocomplete": "new-password"})
    )


class ResetForm(PasswordResetForm):
    """Asks for a mail. Neither the answer nor its time tells whether an account has that address."""

    def send_mail(self, *args: Any, **kwargs: Any) -> None:
        # Talking to a mail server takes time, which would tell that there is such an account.
        threading.Thread(target=self._send, args=args, kwargs=kwargs, name="password-reset-mail").start()

    def _send(self, *args: Any, **kwargs: Any) -> None:
        try:
            super().send_mail(*args, **kwargs)
        except Exception:
            logger.exception("a password-reset mail was not sent")


class NewPasswordForm(SetPasswordForm):
    """A new password, behind a link that was mailed."""

    def save(self, commit: bool = True) -> User:
        user: User = self.user
        password_set(user=user, new=self.cleaned_data["new_password1"])
        return user


class ProjectForm(forms.Form):
    """A new project, or the settings of one. The services check lengths and characters once more."""

    name = forms.CharField(max_length=200)
    description = forms.CharField(required=False, max_length=10_000, widget=forms.Textarea(attrs={"rows": 3}))
    is_public = forms.BooleanField(
        label="Public", required=False, help_text="Everyone who signs in may read it, knowing its address."
    )
