from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("jobs", "0002_job_resumes")]

    operations = [
        migrations.AddField("job", "gpus", models.PositiveSmallIntegerField(default=0)),
        migrations.AddIndex(
            "job",
            models.Index(
                fields=["owner", "queue", "-priority", "created_at"],
                condition=models.Q(status="pending"),
                name="job_pending_by_owner",
            ),
        ),
        migrations.AddConstraint(
            "job",
            models.CheckConstraint(condition=models.Q(priority__gte=-10, priority__lte=10), name="job_priority_bounds"),
        ),
    ]
