from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('jobs', '0003_job_gpus'),
    ]

    operations = [
        migrations.RemoveIndex(
            model_name='job',
            name='job_similar',
        ),
        migrations.AddIndex(
            model_name='job',
            index=models.Index(fields=['model_type', 'kind', 'status', '-ended_at', 'started_at'], name='job_similar'),
        ),
        migrations.AddIndex(
            model_name='job',
            index=models.Index(condition=models.Q(('ended_at__isnull', False)), fields=['ended_at'], name='job_ended'),
        ),
    ]
