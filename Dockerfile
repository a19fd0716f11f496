# syntax=docker/dockerfile:1
# One image for every role: web, worker and reconciler differ by their command. The worker of another framework is the same
# file with other requirements: docker build --build-arg REQUIREMENTS=worker-torch.txt . (or worker-torch-2.1.txt, …)

FROM python:3.11-slim-bookworm AS packages
ARG REQUIREMENTS=worker-sklearn.txt
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /venv
COPY requirements/ /requirements/
RUN /venv/bin/pip install --requirement /requirements/${REQUIREMENTS} --constraint /requirements/constraints.txt

FROM python:3.11-slim-bookworm
# A numeric id: an orchestrator can see that it is not root.
RUN useradd --uid 10001 --user-group --no-create-home --shell /usr/sbin/nologin automl \
    && install --directory --owner=10001 --group=10001 --mode=0700 /data
COPY --from=packages /venv /venv
WORKDIR /app
COPY manage.py ./
COPY automl_site/ automl_site/
COPY api/ api/
COPY tracking/ tracking/
COPY jobs/ jobs/
COPY datasets_app/ datasets_app/
COPY trainers/ trainers/
COPY templates/ templates/
COPY static/ static/
COPY scripts/container_health.py scripts/
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 AUTOML_PROFILE=production AUTOML_DATA=/data
USER 10001:10001
VOLUME /data
EXPOSE 8000
# The supervisor hands running jobs back before it ends; it needs SIGTERM, and about ten seconds.
STOPSIGNAL SIGTERM
ENTRYPOINT ["python", "manage.py"]
CMD ["up", "--only", "web", "--bind", "0.0.0.0:8000"]
