from django.db import migrations, models

from experiments.migrations import _event_tables


class Migration(migrations.Migration):
    """Sources that are tables of a database, and tables for the events that are sent to Holdfast."""

    dependencies = [
        ("experiments", "0008_traffic"),
    ]

    operations = [
        migrations.AddField(model_name="source", name="dsn", field=models.TextField(blank=True, default="")),
        migrations.AddField(model_name="source", name="schema", field=models.TextField(blank=True, default="")),
        migrations.CreateModel(
            name="EventName",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("kind", models.TextField()),
                ("name", models.CharField(max_length=63)),
                ("type", models.TextField()),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("kind", "name"), name="event_name_is_unique"),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("kind", "value"), ("type", "number")),
                            models.Q(("kind", "attribute"), ("type__in", ("text", "number", "boolean"))),
                            _connector="OR",
                        ),
                        name="event_name_has_a_type",
                    ),
                ],
            },
        ),
        migrations.RunSQL(_event_tables.CREATE, _event_tables.DROP),
    ]
