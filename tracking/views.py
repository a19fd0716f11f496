"""Pages to sign in, to make an account and to look after it."""

from typing import Any

from django.conf import settings
from django.contrib import messages
from django.contrib.auth import login, update_session_auth_hash
from django.contrib.auth import views as auth_views
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect, render
from django.urls import reverse_lazy
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods

from automl_site import rates
from automl_site.errors import Conflict, InvalidSpec, RateLimited
from automl_site.origins import client_address
from tracking.forms import (
    ApiKeyForm,
    NewPasswordForm,
    PasswordChangeForm,
    ProfileForm,
    RegisterForm,
    ResetForm,
    SignInForm,
    add_errors,
)
from tracking.models import ApiKey, User
from tracking.selectors.accounts import api_key_get
from tracking.services.accounts import (
    api_key_create,
    api_key_revoke,
    password_change,
    profile_update,
    user_register,
)


class PlatformLoginView(auth_views.LoginView):
    form_class = SignInForm

    def form_invalid(self, form: SignInForm) -> HttpResponse:
        response = super().form_invalid(form)
        if form.rate_limited is not None:
            response.status_code = 429
            response["Retry-After"] = str(int(form.rate_limited.retry_after) + 1)
        return response


class PlatformLogoutView(auth_views.LogoutView):
    """POST only: no link of another site signs anybody out."""


def _count(name: str, request: HttpRequest) -> None:
    """Count one call of this address. Raises RateLimited."""
    for usage in rates.hit(rates.limit_for(name, f"address:{client_address(request.META)}")):
        if usage.exceeded:
            raise RateLimited("Too many attempts from your address; try again later.", retry_after=usage.retry_after)


def _safe_next(request: HttpRequest) -> str:
    """Where to go after signing in: `next` if it is of this site, else the dashboard."""
    target = request.POST.get("next") or request.GET.get("next") or ""
    allowed = url_has_allowed_host_and_scheme(target, {request.get_host()}, require_https=request.is_secure())
    return target if allowed else settings.LOGIN_REDIRECT_URL


@sensitive_post_parameters("password", "password_again")
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def register(request: HttpRequest) -> HttpResponse:
    form = RegisterForm(request.POST or None)
    status = 200 if settings.REGISTRATION_OPEN else 403
    if request.method == "POST" and settings.REGISTRATION_OPEN and form.is_valid():
        _count("register", request)
        values = form.cleaned_data
        try:
            user = user_register(username=values["username"], email=values["email"], password=values["password"])
        except InvalidSpec as error:
            add_errors(form, error)
        else:
            login(request, user)
            return HttpResponseRedirect(_safe_next(request))
    return render(request, "registration/register.html", {"form": form}, status=status)


@never_cache
@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def account(request: HttpRequest) -> HttpResponse:
    """The user's profile and API keys. A form posts here with the hidden field `action`."""
    action = request.POST.get("action", "") if request.method == "POST" else ""
    user: User = request.user
    profile_form = ProfileForm(request.POST if action == "profile" else None, instance=User.objects.get(pk=user.pk))
    key_form = ApiKeyForm(request.POST if action == "key_create" else None)
    new_key = ""
    if action == "profile" and profile_form.is_valid():
        try:
            profile_update(user=user, **profile_form.cleaned_data)
        except InvalidSpec as error:
            add_errors(profile_form, error)
        else:
            messages.success(request, "The profile is saved.")
            return redirect("account")
    elif action == "key_create" and key_form.is_valid():
        try:
            _, new_key = api_key_create(owner=user, **key_form.cleaned_data)
        except Conflict as error:
            key_form.add_error(None, error.message)
        else:
            key_form = ApiKeyForm()
    elif action == "key_revoke":
        number = request.POST.get("key", "")
        key = api_key_get(user=user, key_id=int(number) if number.isascii() and number.isdigit() else 0)
        api_key_revoke(key=key)
        messages.success(request, f"“{key.name}” is revoked.")
        return redirect("account")
    context = {
        "profile_form": profile_form,
        "key_form": key_form,
        "new_key": new_key,  # in this answer only: nothing keeps it
        "api_keys": ApiKey.objects.visible_to(user)[:200],
    }
    return render(request, "account.html", context)


@sensitive_post_parameters()
@never_cache
@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def change_password(request: HttpRequest) -> HttpResponse:
    form = PasswordChangeForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        user: User = request.user
        try:
            password_change(user=user, current=form.cleaned_data["current"], new=form.cleaned_data["password"])
        except InvalidSpec as error:
            add_errors(form, error)
        else:
            update_session_auth_hash(request, user)  # this session stays, the others end
            return redirect("password_change_done")
    return render(request, "registration/password_change_form.html", {"form": form})


@login_required
def password_changed(request: HttpRequest) -> HttpResponse:
    return render(request, "registration/password_change_done.html")


class PasswordResetView(auth_views.PasswordResetView):
    form_class = ResetForm
    success_url = reverse_lazy("password_reset_done")

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        _count("password_reset", request)
        return super().post(request, *args, **kwargs)


class PasswordResetConfirmView(auth_views.PasswordResetConfirmView):
    form_class = NewPasswordForm
    success_url = reverse_lazy("password_reset_complete")
