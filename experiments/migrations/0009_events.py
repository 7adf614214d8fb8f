from django.db import migrations, models


class Migration(migrations.Migration):
    """Sources that are tables of a database."""

    dependencies = [
        ("experiments", "0006_replays"),
    ]

    operations = [
        migrations.AddField(model_name="source", name="dsn", field=models.TextField(blank=True, default="")),
        migrations.AddField(model_name="source", name="schema", field=models.TextField(blank=True, default="")),
    ]
