import django.contrib.postgres.fields
import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    """Claims over all looks, and what follows from them.

    Looks taken before have no claims and cannot be given any, so they are dropped: a look is a function of its plan,
    day and data, and is taken again by the next refresh. TRUNCATE leaves no pending events of foreign keys, which
    would forbid to alter the tables in the same transaction.
    """

    dependencies = [
        ("experiments", "0001_initial"),
    ]

    operations = [
        migrations.RunSQL("TRUNCATE experiments_look CASCADE", migrations.RunSQL.noop),
        migrations.CreateModel(
            name="ConflictRow",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("position", models.PositiveIntegerField()),
                ("variant", models.CharField(max_length=63)),
                ("short_metric", models.CharField(max_length=63)),
                ("long_metric", models.CharField(max_length=63)),
                ("state", models.TextField()),
                ("readable_from", models.DateField()),
                ("p_value", models.FloatField(null=True)),
                ("p_value_adjusted", models.FloatField(null=True)),
                ("first_seen", models.DateField(null=True)),
                ("reason", models.TextField(null=True)),
            ],
            options={
                "ordering": ["position"],
                "abstract": False,
            },
        ),
        migrations.CreateModel(
            name="FlipRow",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("position", models.PositiveIntegerField()),
                ("metric", models.CharField(max_length=63)),
                ("weight", models.FloatField()),
            ],
            options={
                "ordering": ["position"],
            },
        ),
        migrations.CreateModel(
            name="HeterogeneityRow",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("position", models.PositiveIntegerField()),
                ("metric", models.CharField(max_length=63)),
                ("variant", models.CharField(max_length=63)),
                ("window", models.TextField()),
                ("segment", models.TextField()),
                ("values", models.PositiveIntegerField()),
                ("p_value", models.FloatField(null=True)),
                ("p_value_adjusted", models.FloatField(null=True)),
                ("reason", models.TextField(null=True)),
            ],
            options={
                "ordering": ["position"],
                "abstract": False,
            },
        ),
        migrations.CreateModel(
            name="OecRow",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("position", models.PositiveIntegerField()),
                ("variant", models.CharField(max_length=63)),
                ("value", models.FloatField(null=True)),
                ("se", models.FloatField(null=True)),
                ("low", models.FloatField(null=True)),
                ("high", models.FloatField(null=True)),
                (
                    "dominated_by",
                    django.contrib.postgres.fields.ArrayField(base_field=models.TextField(), blank=True, size=None),
                ),
                ("reason", models.TextField(null=True)),
            ],
            options={
                "ordering": ["position"],
                "abstract": False,
            },
        ),
        migrations.CreateModel(
            name="RecommendationRow",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("position", models.PositiveIntegerField()),
                ("variant", models.CharField(max_length=63)),
                ("action", models.TextField()),
                ("reasons", django.contrib.postgres.fields.ArrayField(base_field=models.TextField(), size=None)),
                ("changes_on", models.DateField(null=True)),
            ],
            options={
                "ordering": ["position"],
                "abstract": False,
            },
        ),
        migrations.CreateModel(
            name="RollbackRow",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("position", models.PositiveIntegerField()),
                ("metric", models.CharField(max_length=63)),
                ("variant", models.CharField(max_length=63)),
                ("window", models.TextField()),
                ("below", models.FloatField()),
                ("met", models.BooleanField()),
                ("start_week", models.PositiveIntegerField(null=True)),
                ("end_week", models.PositiveIntegerField(null=True)),
                ("lift", models.FloatField(null=True)),
                ("lift_high", models.FloatField(null=True)),
                ("distance", models.FloatField(null=True)),
                ("reason", models.TextField(null=True)),
            ],
            options={
                "ordering": ["position"],
                "abstract": False,
            },
        ),
        migrations.RemoveConstraint(
            model_name="effectrow",
            name="effect_is_a_number_or_a_reason",
        ),
        migrations.RemoveConstraint(
            model_name="reversalrow",
            name="reversal_p_is_a_share",
        ),
        migrations.RemoveConstraint(
            model_name="reversalrow",
            name="reversal_is_finite",
        ),
        migrations.RemoveConstraint(
            model_name="trajectoryrow",
            name="trajectory_is_a_number_or_a_reason",
        ),
        migrations.RemoveConstraint(
            model_name="variant",
            name="variant_weight_is_positive",
        ),
        migrations.AddField(
            model_name="effectrow",
            name="sequential_critical",
            field=models.FloatField(null=True),
        ),
        migrations.AddField(
            model_name="effectrow",
            name="sequential_effect_high",
            field=models.FloatField(null=True),
        ),
        migrations.AddField(
            model_name="effectrow",
            name="sequential_effect_low",
            field=models.FloatField(null=True),
        ),
        migrations.AddField(
            model_name="effectrow",
            name="sequential_lift_high",
            field=models.FloatField(null=True),
        ),
        migrations.AddField(
            model_name="effectrow",
            name="sequential_lift_low",
            field=models.FloatField(null=True),
        ),
        migrations.AddField(
            model_name="effectrow",
            name="sequential_look",
            field=models.PositiveIntegerField(null=True),
        ),
        migrations.AddField(
            model_name="effectrow",
            name="sequential_looks",
            field=models.PositiveIntegerField(null=True),
        ),
        migrations.AddField(
            model_name="effectrow",
            name="sequential_significant",
            field=models.BooleanField(null=True),
        ),
        migrations.AddField(
            model_name="reversalrow",
            name="first_seen",
            field=models.DateField(null=True),
        ),
        migrations.AddField(
            model_name="reversalrow",
            name="late_end_week",
            field=models.PositiveIntegerField(null=True),
        ),
        migrations.AddField(
            model_name="reversalrow",
            name="late_start_week",
            field=models.PositiveIntegerField(null=True),
        ),
        migrations.AddField(
            model_name="reversalrow",
            name="turned_end_week",
            field=models.PositiveIntegerField(null=True),
        ),
        migrations.AddField(
            model_name="reversalrow",
            name="turned_first_seen",
            field=models.DateField(null=True),
        ),
        migrations.AddField(
            model_name="reversalrow",
            name="turned_lift",
            field=models.FloatField(null=True),
        ),
        migrations.AddField(
            model_name="reversalrow",
            name="turned_p_value",
            field=models.FloatField(null=True),
        ),
        migrations.AddField(
            model_name="reversalrow",
            name="turned_start_week",
            field=models.PositiveIntegerField(null=True),
        ),
        migrations.AlterField(
            model_name="variant",
            name="weight",
            field=models.FloatField(null=True),
        ),
        migrations.AddConstraint(
            model_name="effectrow",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(
                        ("effect__isnull", False),
                        ("effect_low__isnull", False),
                        ("effect_se__isnull", False),
                        ("lift__isnull", False),
                        ("lift_low__isnull", False),
                        ("p_value__isnull", False),
                        ("p_value_adjusted__isnull", False),
                        ("sequential_effect_low__isnull", False),
                    ),
                    models.Q(("reason__isnull", False), models.Q(("reason", ""), _negated=True)),
                    _connector="OR",
                ),
                name="effect_is_a_number_or_a_reason",
            ),
        ),
        migrations.AddConstraint(
            model_name="effectrow",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(
                        ("p_value_adjusted__isnull", False),
                        ("sequential_look__isnull", False),
                        ("sequential_looks__isnull", False),
                        ("sequential_significant__isnull", False),
                    ),
                    models.Q(
                        ("p_value_adjusted__isnull", True),
                        ("sequential_look__isnull", True),
                        ("sequential_looks__isnull", True),
                        ("sequential_significant__isnull", True),
                    ),
                    _connector="OR",
                ),
                name="effect_claim_is_whole",
            ),
        ),
        migrations.AddConstraint(
            model_name="effectrow",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("sequential_look__isnull", True),
                    models.Q(("sequential_look__gte", 1), ("sequential_look__lte", models.F("sequential_looks"))),
                    _connector="OR",
                ),
                name="effect_look_is_planned",
            ),
        ),
        migrations.AddConstraint(
            model_name="effectrow",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(
                        models.Q(("sequential_critical__gt", float("-inf")), ("sequential_critical__lt", float("inf"))),
                        ("sequential_critical__isnull", True),
                        _connector="OR",
                    ),
                    models.Q(
                        models.Q(
                            ("sequential_effect_low__gt", float("-inf")), ("sequential_effect_low__lt", float("inf"))
                        ),
                        ("sequential_effect_low__isnull", True),
                        _connector="OR",
                    ),
                    models.Q(
                        models.Q(
                            ("sequential_effect_high__gt", float("-inf")), ("sequential_effect_high__lt", float("inf"))
                        ),
                        ("sequential_effect_high__isnull", True),
                        _connector="OR",
                    ),
                    models.Q(
                        models.Q(("sequential_lift_low__gt", float("-inf")), ("sequential_lift_low__lt", float("inf"))),
                        ("sequential_lift_low__isnull", True),
                        _connector="OR",
                    ),
                    models.Q(
                        models.Q(
                            ("sequential_lift_high__gt", float("-inf")), ("sequential_lift_high__lt", float("inf"))
                        ),
                        ("sequential_lift_high__isnull", True),
                        _connector="OR",
                    ),
                    models.Q(("sequential_critical__gt", 0), ("sequential_critical__isnull", True), _connector="OR"),
                ),
                name="effect_sequential_is_finite",
            ),
        ),
        migrations.AddConstraint(
            model_name="effectrow",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(
                        ("sequential_effect_high__isnull", False),
                        ("sequential_effect_low__isnull", False),
                        ("sequential_effect_low__lte", models.F("sequential_effect_high")),
                    ),
                    models.Q(("sequential_effect_high__isnull", True), ("sequential_effect_low__isnull", True)),
                    _connector="OR",
                ),
                name="effect_sequential_effect_is_ordered",
            ),
        ),
        migrations.AddConstraint(
            model_name="effectrow",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("sequential_lift_low__isnull", True),
                    ("sequential_lift_high__isnull", True),
                    ("sequential_lift_low__lte", models.F("sequential_lift_high")),
                    _connector="OR",
                ),
                name="effect_sequential_lift_is_ordered",
            ),
        ),
        migrations.AddConstraint(
            model_name="reversalrow",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(
                        models.Q(("p_value__gte", 0), ("p_value__lte", 1)), ("p_value__isnull", True), _connector="OR"
                    ),
                    models.Q(
                        models.Q(("p_value_adjusted__gte", 0), ("p_value_adjusted__lte", 1)),
                        ("p_value_adjusted__isnull", True),
                        _connector="OR",
                    ),
                    models.Q(
                        models.Q(("late_loss_probability__gte", 0), ("late_loss_probability__lte", 1)),
                        ("late_loss_probability__isnull", True),
                        _connector="OR",
                    ),
                    models.Q(
                        models.Q(("contrast_p_value__gte", 0), ("contrast_p_value__lte", 1)),
                        ("contrast_p_value__isnull", True),
                        _connector="OR",
                    ),
                    models.Q(
                        models.Q(("lift_contrast_p_value__gte", 0), ("lift_contrast_p_value__lte", 1)),
                        ("lift_contrast_p_value__isnull", True),
                        _connector="OR",
                    ),
                    models.Q(
                        models.Q(("turned_p_value__gte", 0), ("turned_p_value__lte", 1)),
                        ("turned_p_value__isnull", True),
                        _connector="OR",
                    ),
                ),
                name="reversal_p_is_a_share",
            ),
        ),
        migrations.AddConstraint(
            model_name="reversalrow",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(
                        models.Q(("early_effect__gt", float("-inf")), ("early_effect__lt", float("inf"))),
                        ("early_effect__isnull", True),
                        _connector="OR",
                    ),
                    models.Q(
                        models.Q(("late_effect__gt", float("-inf")), ("late_effect__lt", float("inf"))),
                        ("late_effect__isnull", True),
                        _connector="OR",
                    ),
                    models.Q(
                        models.Q(("contrast__gt", float("-inf")), ("contrast__lt", float("inf"))),
                        ("contrast__isnull", True),
                        _connector="OR",
                    ),
                    models.Q(
                        models.Q(("contrast_se__gt", float("-inf")), ("contrast_se__lt", float("inf"))),
                        ("contrast_se__isnull", True),
                        _connector="OR",
                    ),
                    models.Q(
                        models.Q(("early_lift__gt", float("-inf")), ("early_lift__lt", float("inf"))),
                        ("early_lift__isnull", True),
                        _connector="OR",
                    ),
                    models.Q(
                        models.Q(("late_lift__gt", float("-inf")), ("late_lift__lt", float("inf"))),
                        ("late_lift__isnull", True),
                        _connector="OR",
                    ),
                    models.Q(
                        models.Q(("lift_contrast__gt", float("-inf")), ("lift_contrast__lt", float("inf"))),
                        ("lift_contrast__isnull", True),
                        _connector="OR",
                    ),
                    models.Q(
                        models.Q(("lift_contrast_low__gt", float("-inf")), ("lift_contrast_low__lt", float("inf"))),
                        ("lift_contrast_low__isnull", True),
                        _connector="OR",
                    ),
                    models.Q(
                        models.Q(("lift_contrast_high__gt", float("-inf")), ("lift_contrast_high__lt", float("inf"))),
                        ("lift_contrast_high__isnull", True),
                        _connector="OR",
                    ),
                    models.Q(
                        models.Q(("turned_lift__gt", float("-inf")), ("turned_lift__lt", float("inf"))),
                        ("turned_lift__isnull", True),
                        _connector="OR",
                    ),
                ),
                name="reversal_is_finite",
            ),
        ),
        migrations.AddConstraint(
            model_name="reversalrow",
            constraint=models.CheckConstraint(
                condition=models.Q(("n_control__gte", 0), ("n_treatment__gte", 0)), name="reversal_counts_units"
            ),
        ),
        migrations.AddConstraint(
            model_name="reversalrow",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(
                        ("late_end_week__isnull", False),
                        ("late_start_week__isnull", False),
                        ("late_end_week__gt", models.F("late_start_week")),
                    ),
                    models.Q(("late_end_week__isnull", True), ("late_start_week__isnull", True)),
                    _connector="OR",
                ),
                name="reversal_late_weeks_are_in_order",
            ),
        ),
        migrations.AddConstraint(
            model_name="reversalrow",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(
                        models.Q(
                            ("turned_end_week__isnull", False),
                            ("turned_start_week__isnull", False),
                            ("turned_end_week__gt", models.F("turned_start_week")),
                        ),
                        models.Q(("turned_end_week__isnull", True), ("turned_start_week__isnull", True)),
                        _connector="OR",
                    ),
                    models.Q(
                        models.Q(
                            ("turned_end_week__isnull", False),
                            ("turned_first_seen__isnull", False),
                            ("turned_lift__isnull", False),
                            ("turned_p_value__isnull", False),
                            ("turned_start_week__isnull", False),
                        ),
                        models.Q(
                            ("turned_end_week__isnull", True),
                            ("turned_first_seen__isnull", True),
                            ("turned_lift__isnull", True),
                            ("turned_p_value__isnull", True),
                            ("turned_start_week__isnull", True),
                        ),
                        _connector="OR",
                    ),
                ),
                name="reversal_turned_is_whole",
            ),
        ),
        migrations.AddConstraint(
            model_name="reversalrow",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(
                        ("contrast_p_value__isnull", False),
                        ("early_lift__isnull", False),
                        ("late_lift__isnull", False),
                        ("late_loss_probability__isnull", False),
                        ("lift_contrast_low__isnull", False),
                        ("lift_contrast_p_value__isnull", False),
                        ("p_value__isnull", False),
                        ("p_value_adjusted__isnull", False),
                    ),
                    models.Q(("reason__isnull", False), models.Q(("reason", ""), _negated=True)),
                    _connector="OR",
                ),
                name="reversal_is_a_number_or_a_reason",
            ),
        ),
        migrations.AddConstraint(
            model_name="trajectoryrow",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(
                        ("effect__isnull", False),
                        ("effect_low__isnull", False),
                        ("effect_se__isnull", False),
                        ("lift__isnull", False),
                        ("lift_low__isnull", False),
                        ("p_value__isnull", False),
                    ),
                    models.Q(("reason__isnull", False), models.Q(("reason", ""), _negated=True)),
                    _connector="OR",
                ),
                name="trajectory_is_a_number_or_a_reason",
            ),
        ),
        migrations.AddConstraint(
            model_name="variant",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("weight__gt", 0), ("weight__isnull", True), _connector="OR"),
                    models.Q(
                        models.Q(("weight__gt", float("-inf")), ("weight__lt", float("inf"))),
                        ("weight__isnull", True),
                        _connector="OR",
                    ),
                ),
                name="variant_weight_is_positive",
            ),
        ),
        migrations.AddField(
            model_name="conflictrow",
            name="look",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE, related_name="%(class)ss", to="experiments.look"
            ),
        ),
        migrations.AddField(
            model_name="heterogeneityrow",
            name="look",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE, related_name="%(class)ss", to="experiments.look"
            ),
        ),
        migrations.AddField(
            model_name="oecrow",
            name="look",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE, related_name="%(class)ss", to="experiments.look"
            ),
        ),
        migrations.AddField(
            model_name="fliprow",
            name="oec",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE, related_name="flips", to="experiments.oecrow"
            ),
        ),
        migrations.AddField(
            model_name="recommendationrow",
            name="look",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE, related_name="%(class)ss", to="experiments.look"
            ),
        ),
        migrations.AddField(
            model_name="rollbackrow",
            name="look",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE, related_name="%(class)ss", to="experiments.look"
            ),
        ),
        migrations.AddConstraint(
            model_name="conflictrow",
            constraint=models.UniqueConstraint(
                fields=("look", "variant", "short_metric", "long_metric"), name="conflict_is_unique"
            ),
        ),
        migrations.AddConstraint(
            model_name="conflictrow",
            constraint=models.CheckConstraint(
                condition=models.Q(("short_metric", models.F("long_metric")), _negated=True),
                name="conflict_is_of_two_metrics",
            ),
        ),
        migrations.AddConstraint(
            model_name="conflictrow",
            constraint=models.CheckConstraint(
                condition=models.Q(("state__in", ("confirmed", "immature", "none"))), name="conflict_state_is_known"
            ),
        ),
        migrations.AddConstraint(
            model_name="conflictrow",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(
                        models.Q(("p_value__gte", 0), ("p_value__lte", 1)), ("p_value__isnull", True), _connector="OR"
                    ),
                    models.Q(
                        models.Q(("p_value_adjusted__gte", 0), ("p_value_adjusted__lte", 1)),
                        ("p_value_adjusted__isnull", True),
                        _connector="OR",
                    ),
                ),
                name="conflict_p_is_a_share",
            ),
        ),
        migrations.AddConstraint(
            model_name="conflictrow",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("p_value__isnull", False), ("p_value_adjusted__isnull", False)),
                    models.Q(("reason__isnull", False), models.Q(("reason", ""), _negated=True)),
                    _connector="OR",
                ),
                name="conflict_is_a_number_or_a_reason",
            ),
        ),
        migrations.AddConstraint(
            model_name="heterogeneityrow",
            constraint=models.UniqueConstraint(
                fields=("look", "metric", "variant", "window", "segment"), name="heterogeneity_is_unique"
            ),
        ),
        migrations.AddConstraint(
            model_name="heterogeneityrow",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(
                        models.Q(("p_value__gte", 0), ("p_value__lte", 1)), ("p_value__isnull", True), _connector="OR"
                    ),
                    models.Q(
                        models.Q(("p_value_adjusted__gte", 0), ("p_value_adjusted__lte", 1)),
                        ("p_value_adjusted__isnull", True),
                        _connector="OR",
                    ),
                ),
                name="heterogeneity_p_is_a_share",
            ),
        ),
        migrations.AddConstraint(
            model_name="heterogeneityrow",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("p_value__isnull", False), ("p_value_adjusted__isnull", False)),
                    models.Q(("reason__isnull", False), models.Q(("reason", ""), _negated=True)),
                    _connector="OR",
                ),
                name="heterogeneity_is_a_number_or_a_reason",
            ),
        ),
        migrations.AddConstraint(
            model_name="oecrow",
            constraint=models.UniqueConstraint(fields=("look", "variant"), name="oec_is_unique"),
        ),
        migrations.AddConstraint(
            model_name="oecrow",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(
                        models.Q(("value__gt", float("-inf")), ("value__lt", float("inf"))),
                        ("value__isnull", True),
                        _connector="OR",
                    ),
                    models.Q(
                        models.Q(("se__gt", float("-inf")), ("se__lt", float("inf"))),
                        ("se__isnull", True),
                        _connector="OR",
                    ),
                    models.Q(
                        models.Q(("low__gt", float("-inf")), ("low__lt", float("inf"))),
                        ("low__isnull", True),
                        _connector="OR",
                    ),
                    models.Q(
                        models.Q(("high__gt", float("-inf")), ("high__lt", float("inf"))),
                        ("high__isnull", True),
                        _connector="OR",
                    ),
                ),
                name="oec_is_finite",
            ),
        ),
        migrations.AddConstraint(
            model_name="oecrow",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("high__isnull", False), ("low__isnull", False), ("low__lte", models.F("high"))),
                    models.Q(("high__isnull", True), ("low__isnull", True)),
                    _connector="OR",
                ),
                name="oec_is_ordered",
            ),
        ),
        migrations.AddConstraint(
            model_name="oecrow",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("low__isnull", False), ("se__isnull", False), ("value__isnull", False)),
                    models.Q(("reason__isnull", False), models.Q(("reason", ""), _negated=True)),
                    _connector="OR",
                ),
                name="oec_is_a_number_or_a_reason",
            ),
        ),
        migrations.AddConstraint(
            model_name="fliprow",
            constraint=models.UniqueConstraint(fields=("oec", "metric"), name="flip_is_unique"),
        ),
        migrations.AddConstraint(
            model_name="fliprow",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("weight__gt", 0),
                    models.Q(
                        models.Q(("weight__gt", float("-inf")), ("weight__lt", float("inf"))),
                        ("weight__isnull", True),
                        _connector="OR",
                    ),
                ),
                name="flip_weight_is_positive",
            ),
        ),
        migrations.AddConstraint(
            model_name="recommendationrow",
            constraint=models.UniqueConstraint(fields=("look", "variant"), name="recommendation_is_unique"),
        ),
        migrations.AddConstraint(
            model_name="recommendationrow",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("action__in", ("launch", "launch_with_holdback", "keep_running", "stop", "roll_back"))
                ),
                name="recommendation_action_is_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="recommendationrow",
            constraint=models.CheckConstraint(
                condition=models.Q(("reasons__len__gt", 0), models.Q(("reasons__contains", [""]), _negated=True)),
                name="recommendation_has_reasons",
            ),
        ),
        migrations.AddConstraint(
            model_name="rollbackrow",
            constraint=models.UniqueConstraint(
                fields=("look", "metric", "variant", "window", "below"), name="rollback_is_unique"
            ),
        ),
        migrations.AddConstraint(
            model_name="rollbackrow",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(
                        models.Q(("below__gt", float("-inf")), ("below__lt", float("inf"))),
                        ("below__isnull", True),
                        _connector="OR",
                    ),
                    models.Q(
                        models.Q(("lift__gt", float("-inf")), ("lift__lt", float("inf"))),
                        ("lift__isnull", True),
                        _connector="OR",
                    ),
                    models.Q(
                        models.Q(("lift_high__gt", float("-inf")), ("lift_high__lt", float("inf"))),
                        ("lift_high__isnull", True),
                        _connector="OR",
                    ),
                    models.Q(
                        models.Q(("distance__gt", float("-inf")), ("distance__lt", float("inf"))),
                        ("distance__isnull", True),
                        _connector="OR",
                    ),
                ),
                name="rollback_is_finite",
            ),
        ),
        migrations.AddConstraint(
            model_name="rollbackrow",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(
                        ("end_week__isnull", False),
                        ("start_week__isnull", False),
                        ("end_week__gt", models.F("start_week")),
                    ),
                    models.Q(("end_week__isnull", True), ("start_week__isnull", True)),
                    _connector="OR",
                ),
                name="rollback_weeks_are_in_order",
            ),
        ),
        migrations.AddConstraint(
            model_name="rollbackrow",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("met", False),
                    models.Q(("lift_high__isnull", False), ("lift_high__lt", models.F("below"))),
                    _connector="OR",
                ),
                name="rollback_is_met_below_only",
            ),
        ),
        migrations.AddConstraint(
            model_name="rollbackrow",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(
                        ("distance__isnull", False),
                        ("lift__isnull", False),
                        ("lift_high__isnull", False),
                        ("start_week__isnull", False),
                    ),
                    models.Q(("reason__isnull", False), models.Q(("reason", ""), _negated=True)),
                    _connector="OR",
                ),
                name="rollback_is_a_number_or_a_reason",
            ),
        ),
    ]
