"""Pages of jobs, models and workers, and the figures for monitoring."""

from django.urls import path, re_path

from jobs.views import board, bulk, dashboard, job_form, jobs, model_files, models, prometheus, run_files

urlpatterns = [
    path("ui/", dashboard.dashboard, name="dashboard"),
    path("ui/search/", dashboard.search, name="search"),
    path("ui/workers/", board.board, name="workers"),
    path("ui/jobs/", jobs.jobs, name="jobs"),
    path("ui/jobs/export.csv", jobs.export, name="jobs-export"),
    path("ui/jobs/bulk/", bulk.bulk, name="jobs-bulk"),
    path("ui/jobs/new/", job_form.new_job, name="job-new"),
    path("ui/jobs/new/fields/", job_form.config_fields, name="job-config-fields"),
    path("ui/jobs/new/code/", job_form.commands, name="job-order-code"),
    path("ui/jobs/<uuid:job_id>/", jobs.job, name="job"),
    path("ui/jobs/<uuid:job_id>/log.txt", jobs.log_text, name="job-log"),
    path("ui/jobs/<uuid:job_id>/cancel/", jobs.cancel, name="job-cancel"),
    path("ui/jobs/<uuid:job_id>/again/", jobs.again, name="job-again"),
    path("ui/jobs/<uuid:job_id>/resume/", jobs.resume, name="job-resume"),
    path("ui/runs/<int:run_id>/files.zip", run_files.archive, name="run-files-zip"),
    path("ui/runs/<int:run_id>/files/trash/", run_files.trash, name="run-files-trash"),
    path("ui/runs/<int:run_id>/files/restore/", run_files.restore, name="run-files-restore"),
    path("ui/runs/<int:run_id>/files/purge/", run_files.purge, name="run-files-purge"),
    path("ui/runs/<int:run_id>/file/<path:path>", run_files.file_page, name="run-file"),
    path("ui/runs/<int:run_id>/raw/<path:path>", run_files.raw, name="run-file-raw"),
    path("ui/models/", models.models, name="models"),
    path("ui/models/<str:model_id>/", models.model, name="model"),
    path("ui/models/<str:model_id>/model.json", models.manifest, name="model-manifest"),
    path("ui/models/<str:model_id>/files.zip", model_files.archive, name="model-files-zip"),
    path("ui/models/<str:model_id>/file/<path:path>", model_files.file, name="model-file"),
    path("ui/models/<str:model_id>/samples/<str:name>", model_files.sample, name="model-sample"),
    path("ui/models/<str:model_id>/try/", models.try_model, name="model-try"),
    path("ui/models/<str:model_id>/try/<uuid:job_id>/", models.try_result, name="model-try-result"),
    path("ui/models/<str:model_id>/try/<uuid:job_id>/cancel/", models.try_cancel, name="model-try-cancel"),
    path("ui/models/<str:model_id>/trash/", models.trash, name="model-trash"),
    path("ui/models/<str:model_id>/restore/", models.restore, name="model-restore"),
    re_path("^metrics/prometheus/?$", prometheus.metrics, name="prometheus"),
]
