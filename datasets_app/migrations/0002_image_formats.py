from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('datasets_app', '0001_initial'),
    ]

    operations = [
        migrations.AlterField(
            model_name='dataset',
            name='format',
            field=models.CharField(choices=[('csv', 'Csv'), ('parquet', 'Parquet'), ('json', 'Json'), ('jsonl', 'Jsonl'), ('txt', 'Txt'), ('zip', 'Zip'), ('image', 'Image')], max_length=10),
        ),
    ]
