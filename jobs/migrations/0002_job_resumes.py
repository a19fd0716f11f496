from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("jobs", "0001_initial")]

    operations = [
        migrations.AddField("job", "resumes", models.BooleanField(default=False)),
        migrations.AddField("job", "checkpoint_host", models.CharField(blank=True, max_length=255)),
    ]
