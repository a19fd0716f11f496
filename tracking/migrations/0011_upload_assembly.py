import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('tracking', '0010_drop_covered_indexes'),
    ]

    operations = [
        migrations.AlterField(
            model_name='artifactupload',
            name='sha256',
            field=models.CharField(blank=True, max_length=64),
        ),
        migrations.AddField(
            model_name='artifactupload',
            name='artifact',
            field=models.ForeignKey(editable=False, null=True, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='tracking.artifact'),
        ),
        migrations.AddField(
            model_name='artifactupload',
            name='assembled_at',
            field=models.DateTimeField(editable=False, null=True),
        ),
        migrations.AddField(
            model_name='artifactupload',
            name='refusal',
            field=models.JSONField(default=dict, editable=False),
        ),
    ]
