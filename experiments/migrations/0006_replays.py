import django.contrib.postgres.fields
import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    """What past looks would have said, stored with a look. Looks taken before have none and stay as they are."""

    dependencies = [
        ("experiments", "0005_decide"),
    ]

    operations = [
        migrations.CreateModel(
            name="NaiveLaunchRow",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("position", models.PositiveIntegerField()),
                ("variant", models.CharField(max_length=63)),
                ("as_of", models.DateField()),
                ("launched", models.BooleanField(null=True)),
                ("metric", models.CharField(max_length=63, null=True)),
                ("lift", models.FloatField(null=True)),
                ("p_value", models.FloatField(null=True)),
                ("reason", models.TextField(null=True)),
                (
                    "look",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="%(class)ss", to="experiments.look"
                    ),
                ),
            ],
            options={
                "ordering": ["position"],
                "abstract": False,
            },
        ),
        migrations.CreateModel(
            name="OutcomeRow",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("position", models.PositiveIntegerField()),
                ("metric", models.CharField(max_length=63)),
                ("start_week", models.PositiveIntegerField()),
                ("end_week", models.PositiveIntegerField()),
                ("effect", models.FloatField(null=True)),
                ("lift", models.FloatField(null=True)),
                ("loss", models.BooleanField()),
                (
                    "launch",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="outcomes",
                        to="experiments.naivelaunchrow",
                    ),
                ),
            ],
            options={
                "ordering": ["position"],
            },
        ),
        migrations.CreateModel(
            name="ReplayStepRow",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("position", models.PositiveIntegerField()),
                ("variant", models.CharField(max_length=63)),
                ("number", models.PositiveIntegerField()),
                ("as_of", models.DateField()),
                ("action", models.TextField()),
                ("reasons", django.contrib.postgres.fields.ArrayField(base_field=models.TextField(), size=None)),
                (
                    "look",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="%(class)ss", to="experiments.look"
                    ),
                ),
            ],
            options={
                "ordering": ["position"],
                "abstract": False,
            },
        ),
        migrations.AddConstraint(
            model_name="naivelaunchrow",
            constraint=models.UniqueConstraint(fields=("look", "variant"), name="naive_launch_is_unique"),
        ),
        migrations.AddConstraint(
            model_name="naivelaunchrow",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(
                        models.Q(("lift__gt", float("-inf")), ("lift__lt", float("inf"))),
                        ("lift__isnull", True),
                        _connector="OR",
                    ),
                    models.Q(
                        models.Q(("p_value__gte", 0), ("p_value__lte", 1)), ("p_value__isnull", True), _connector="OR"
                    ),
                ),
                name="naive_launch_is_finite",
            ),
        ),
        migrations.AddConstraint(
            model_name="naivelaunchrow",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("metric__isnull", False), ("p_value__isnull", False)),
                    models.Q(
                        ("reason__isnull", False),
                        models.Q(("reason", ""), _negated=True),
                        models.Q(("launched", False), ("launched__isnull", True), _connector="OR"),
                    ),
                    _connector="OR",
                ),
                name="naive_launch_is_a_number_or_a_reason",
            ),
        ),
        migrations.AddConstraint(
            model_name="outcomerow",
            constraint=models.UniqueConstraint(fields=("launch", "metric"), name="outcome_is_unique"),
        ),
        migrations.AddConstraint(
            model_name="outcomerow",
            constraint=models.CheckConstraint(
                condition=models.Q(("start_week__lt", models.F("end_week"))), name="outcome_has_weeks"
            ),
        ),
        migrations.AddConstraint(
            model_name="outcomerow",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(
                        models.Q(("effect__gt", float("-inf")), ("effect__lt", float("inf"))),
                        ("effect__isnull", True),
                        _connector="OR",
                    ),
                    models.Q(
                        models.Q(("lift__gt", float("-inf")), ("lift__lt", float("inf"))),
                        ("lift__isnull", True),
                        _connector="OR",
                    ),
                ),
                name="outcome_is_finite",
            ),
        ),
        migrations.AddConstraint(
            model_name="replaysteprow",
            constraint=models.UniqueConstraint(fields=("look", "variant", "as_of"), name="replay_step_is_unique"),
        ),
        migrations.AddConstraint(
            model_name="replaysteprow",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("action__in", ("launch", "launch_with_holdback", "keep_running", "stop", "roll_back"))
                ),
                name="replay_step_action_is_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="replaysteprow",
            constraint=models.CheckConstraint(
                condition=models.Q(("reasons__len__gt", 0), models.Q(("reasons__contains", [""]), _negated=True)),
                name="replay_step_has_reasons",
            ),
        ),
    ]
