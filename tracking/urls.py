"""Pages of this app."""

from django.contrib.auth import views as auth_views
from django.urls import path

from tracking import run_views, views

urlpatterns = [
    path("ui/runs/<int:run_id>/series.json", run_views.series, name="run-series"),
    path("login", views.PlatformLoginView.as_view(), name="login"),
    path("logout", views.PlatformLogoutView.as_view(), name="logout"),
    path("register", views.register, name="register"),
    path("ui/account/", views.account, name="account"),
    path("ui/account/password/", views.change_password, name="password_change"),
    path("ui/account/password/done/", views.password_changed, name="password_change_done"),
    path("password-reset/", views.PasswordResetView.as_view(), name="password_reset"),
    path("password-reset/sent/", auth_views.PasswordResetDoneView.as_view(), name="password_reset_done"),
    path("password-reset/<uidb64>/<token>/", views.PasswordResetConfirmView.as_view(), name="password_reset_confirm"),
    path("password-reset/done/", auth_views.PasswordResetCompleteView.as_view(), name="password_reset_complete"),
]
