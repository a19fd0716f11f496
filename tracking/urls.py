"""Pages of this app."""

from django.contrib.auth import views as auth_views
from django.urls import path

from tracking import (
    compare_views,
    project_views,
    run_act_views,
    run_edit_views,
    run_table_views,
    run_views,
    views,
)

urlpatterns = [
    path("ui/projects/", project_views.projects, name="projects"),
    path("ui/projects/new/", project_views.new_project, name="project-new"),
    path("ui/projects/<int:project_id>/", run_table_views.project, name="project"),
    path("ui/projects/<int:project_id>/complete.json", run_table_views.completion, name="project-complete"),
    path("ui/projects/<int:project_id>/runs.csv", run_table_views.export, name="project-export"),
    path("ui/projects/<int:project_id>/runs/", run_act_views.bulk, name="project-runs"),
    path("ui/projects/<int:project_id>/empty-trash/", run_act_views.empty_trash, name="project-empty-trash"),
    path("ui/projects/<int:project_id>/views/", run_act_views.save_view, name="project-views"),
    path("ui/projects/<int:project_id>/views/<int:view_id>/delete/", run_act_views.delete_view, name="view-delete"),
    path("ui/projects/<int:project_id>/settings/", project_views.project_settings, name="project-settings"),
    path("ui/projects/<int:project_id>/members/", project_views.add_member, name="project-members"),
    path("ui/projects/<int:project_id>/members/<int:user_id>/", project_views.change_member, name="project-member"),
    path("ui/projects/<int:project_id>/trash/", project_views.trash, name="project-trash"),
    path("ui/projects/<int:project_id>/restore/", project_views.restore, name="project-restore"),
    path("ui/compare/", compare_views.compare_page, name="run-compare"),
    path("ui/compare/names.json", compare_views.names, name="compare-names"),
    path("ui/compare/points.json", compare_views.points, name="compare-points"),
    path("ui/runs/<int:run_id>/", run_views.run_detail, name="run-detail"),
    path("ui/runs/<int:run_id>/edit/", run_edit_views.edit, name="run-edit"),
    path("ui/runs/<int:run_id>/archive/", run_edit_views.archive, name="run-archive"),
    path("ui/runs/<int:run_id>/trash/", run_edit_views.trash, name="run-trash"),
    path("ui/runs/<int:run_id>/restore/", run_edit_views.restore, name="run-restore"),
    path("ui/runs/<int:run_id>/config.json", run_views.config_json, name="run-config"),
    path("ui/runs/<int:run_id>/metrics.csv", run_views.metrics_csv, name="run-metrics"),
    path("ui/runs/<int:run_id>/log.txt", run_views.log_text, name="run-log"),
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
