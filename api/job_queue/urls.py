"""/jobs…; every path answers with and without its trailing slash."""

from django.urls import re_path

from api.job_queue.views import JobViewSet

JOB = r"^jobs/(?P<job_id>[^/]+)"

urlpatterns = [
    re_path(r"^jobs/?$", JobViewSet.as_view({"get": "list"}), name="job-queue-list"),
    re_path(r"^jobs/training/?$", JobViewSet.as_view({"post": "training"}), name="job-queue-training"),
    re_path(r"^jobs/inference/?$", JobViewSet.as_view({"post": "inference"}), name="job-queue-inference"),
    re_path(JOB + r"/status/?$", JobViewSet.as_view({"get": "status"}), name="job-queue-status"),
    re_path(JOB + r"/resume/?$", JobViewSet.as_view({"post": "resume"}), name="job-queue-resume"),
    re_path(JOB + r"/?$", JobViewSet.as_view({"delete": "destroy"}), name="job-queue-job"),
]
