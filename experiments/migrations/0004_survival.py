import django.db.models.deletion
import django.db.models.expressions
from django.db import migrations, models


class Migration(migrations.Migration):
    """Times to event, who has left, and events among what is kept of the units.

    Looks taken before have none of these, so they are dropped and taken again by the next refresh, as in 0002_claims.
    """

    dependencies = [
        ("experiments", "0003_segments"),
    ]

    operations = [
        migrations.RunSQL("TRUNCATE experiments_look CASCADE", migrations.RunSQL.noop),
        migrations.AddField(
            model_name="currenttriangle",
            name="knows_left",
            field=models.BooleanField(default=False),
        ),
        migrations.CreateModel(
            name="SurvivalComparisonRow",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("position", models.PositiveIntegerField()),
                ("metric", models.CharField(max_length=63)),
                ("role", models.TextField()),
                ("term", models.TextField(null=True)),
                ("variant", models.CharField(max_length=63)),
                ("tau", models.PositiveIntegerField()),
                ("readable_from", models.DateField()),
                ("horizon_week", models.PositiveIntegerField(null=True)),
                ("decides", models.BooleanField()),
                ("n_control", models.BigIntegerField()),
                ("n_treatment", models.BigIntegerField()),
                ("events_control", models.BigIntegerField()),
                ("events_treatment", models.BigIntegerField()),
                ("rmst_control", models.FloatField(null=True)),
                ("rmst_treatment", models.FloatField(null=True)),
                ("rmst_difference", models.FloatField(null=True)),
                ("rmst_se", models.FloatField(null=True)),
                ("rmst_low", models.FloatField(null=True)),
                ("rmst_high", models.FloatField(null=True)),
                ("rmst_p_value", models.FloatField(null=True)),
                ("rmst_lift", models.FloatField(null=True)),
                ("rmst_lift_low", models.FloatField(null=True)),
                ("rmst_lift_high", models.FloatField(null=True)),
                ("p_value_adjusted", models.FloatField(null=True)),
                ("sequential_look", models.PositiveIntegerField(null=True)),
                ("sequential_looks", models.PositiveIntegerField(null=True)),
                ("sequential_critical", models.FloatField(null=True)),
                ("sequential_rmst_low", models.FloatField(null=True)),
                ("sequential_rmst_high", models.FloatField(null=True)),
                ("sequential_lift_low", models.FloatField(null=True)),
                ("sequential_lift_high", models.FloatField(null=True)),
                ("sequential_significant", models.BooleanField(null=True)),
                ("median_control", models.PositiveIntegerField(null=True)),
                ("median_treatment", models.PositiveIntegerField(null=True)),
                ("logrank_chi2", models.FloatField(null=True)),
                ("logrank_p_value", models.FloatField(null=True)),
                ("hazard_ratio", models.FloatField(null=True)),
                ("hazard_ratio_low", models.FloatField(null=True)),
                ("hazard_ratio_high", models.FloatField(null=True)),
                ("hazard_p_value", models.FloatField(null=True)),
                ("proportional_p_value", models.FloatField(null=True)),
                ("censored_control", models.FloatField(null=True)),
                ("censored_treatment", models.FloatField(null=True)),
                ("censoring_p_value", models.FloatField(null=True)),
                ("returned_share", models.FloatField(null=True)),
                ("gap_weeks", models.PositiveIntegerField(null=True)),
                ("gap_advised", models.PositiveIntegerField(null=True)),
                ("margin", models.FloatField(null=True)),
                ("verdict", models.TextField(null=True)),
                ("state", models.TextField()),
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
            name="HazardPeriodRow",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("start_week", models.PositiveIntegerField()),
                ("end_week", models.PositiveIntegerField()),
                ("hazard_ratio", models.FloatField(null=True)),
                ("low", models.FloatField(null=True)),
                ("high", models.FloatField(null=True)),
                ("p_value", models.FloatField(null=True)),
                (
                    "comparison",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="periods",
                        to="experiments.survivalcomparisonrow",
                    ),
                ),
            ],
            options={
                "ordering": ["start_week"],
            },
        ),
        migrations.CreateModel(
            name="AdjustedHazardRow",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("hazard_ratio", models.FloatField()),
                ("low", models.FloatField()),
                ("high", models.FloatField()),
                ("p_value", models.FloatField()),
                ("units", models.BigIntegerField()),
                ("left_out", models.BigIntegerField()),
                (
                    "comparison",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="adjusted_hazard",
                        to="experiments.survivalcomparisonrow",
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="SurvivalDifferenceRow",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("week", models.PositiveIntegerField()),
                ("difference", models.FloatField()),
                ("low", models.FloatField()),
                ("high", models.FloatField()),
                (
                    "comparison",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="survival_difference",
                        to="experiments.survivalcomparisonrow",
                    ),
                ),
            ],
            options={
                "ordering": ["week"],
            },
        ),
        migrations.CreateModel(
            name="SurvivalRow",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("position", models.PositiveIntegerField()),
                ("metric", models.CharField(max_length=63)),
                ("variant", models.CharField(max_length=63)),
                ("week", models.PositiveIntegerField()),
                ("at_risk", models.BigIntegerField()),
                ("events", models.BigIntegerField()),
                ("censored", models.BigIntegerField()),
                ("survival", models.FloatField()),
                ("low", models.FloatField()),
                ("high", models.FloatField()),
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
            name="DepartureRow",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("variant", models.CharField(max_length=63)),
                ("cohort", models.PositiveIntegerField()),
                ("crossed_week", models.IntegerField(null=True)),
                ("segment", models.TextField(null=True)),
                ("week", models.IntegerField()),
                ("n", models.BigIntegerField()),
                (
                    "triangle",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="departures",
                        to="experiments.currenttriangle",
                    ),
                ),
            ],
            options={
                "ordering": ["pk"],
                "abstract": False,
                "constraints": [
                    models.UniqueConstraint(
                        fields=("triangle", "week", "variant", "cohort", "crossed_week", "segment"),
                        name="departure_is_unique",
                        nulls_distinct=False,
                    ),
                    models.CheckConstraint(condition=models.Q(("n__gte", 0)), name="departure_counts_units"),
                ],
            },
        ),
        migrations.CreateModel(
            name="EventCell",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("variant", models.CharField(max_length=63)),
                ("cohort", models.PositiveIntegerField()),
                ("crossed_week", models.IntegerField(null=True)),
                ("segment", models.TextField(null=True)),
                ("type", models.TextField()),
                ("column", models.TextField()),
                ("gap_weeks", models.PositiveIntegerField()),
                ("counts", models.JSONField()),
                (
                    "triangle",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="event_cells",
                        to="experiments.currenttriangle",
                    ),
                ),
            ],
            options={
                "ordering": ["pk"],
                "abstract": False,
                "constraints": [
                    models.UniqueConstraint(
                        fields=(
                            "triangle",
                            "type",
                            "column",
                            "gap_weeks",
                            "variant",
                            "cohort",
                            "crossed_week",
                            "segment",
                        ),
                        name="event_cell_is_unique",
                        nulls_distinct=False,
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("type__in", ("occurrence", "inactivity"))), name="event_cell_type_is_known"
                    ),
                ],
            },
        ),
        migrations.AddConstraint(
            model_name="survivalcomparisonrow",
            constraint=models.UniqueConstraint(
                fields=("look", "metric", "variant"), name="survival_comparison_is_unique"
            ),
        ),
        migrations.AddConstraint(
            model_name="survivalcomparisonrow",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(
                        models.Q(("rmst_control__gt", float("-inf")), ("rmst_control__lt", float("inf"))),
                        ("rmst_control__isnull", True),
                        _connector="OR",
                    ),
                    models.Q(
                        models.Q(("rmst_treatment__gt", float("-inf")), ("rmst_treatment__lt", float("inf"))),
                        ("rmst_treatment__isnull", True),
                        _connector="OR",
                    ),
                    models.Q(
                        models.Q(("rmst_difference__gt", float("-inf")), ("rmst_difference__lt", float("inf"))),
                        ("rmst_difference__isnull", True),
                        _connector="OR",
                    ),
                    models.Q(
                        models.Q(("rmst_se__gt", float("-inf")), ("rmst_se__lt", float("inf"))),
                        ("rmst_se__isnull", True),
                        _connector="OR",
                    ),
                    models.Q(
                        models.Q(("rmst_low__gt", float("-inf")), ("rmst_low__lt", float("inf"))),
                        ("rmst_low__isnull", True),
                        _connector="OR",
                    ),
                    models.Q(
                        models.Q(("rmst_high__gt", float("-inf")), ("rmst_high__lt", float("inf"))),
                        ("rmst_high__isnull", True),
                        _connector="OR",
                    ),
                    models.Q(
                        models.Q(("rmst_lift__gt", float("-inf")), ("rmst_lift__lt", float("inf"))),
                        ("rmst_lift__isnull", True),
                        _connector="OR",
                    ),
                    models.Q(
                        models.Q(("rmst_lift_low__gt", float("-inf")), ("rmst_lift_low__lt", float("inf"))),
                        ("rmst_lift_low__isnull", True),
                        _connector="OR",
                    ),
                    models.Q(
                        models.Q(("rmst_lift_high__gt", float("-inf")), ("rmst_lift_high__lt", float("inf"))),
                        ("rmst_lift_high__isnull", True),
                        _connector="OR",
                    ),
                    models.Q(
                        models.Q(("sequential_critical__gt", float("-inf")), ("sequential_critical__lt", float("inf"))),
                        ("sequential_critical__isnull", True),
                        _connector="OR",
                    ),
                    models.Q(
                        models.Q(("sequential_rmst_low__gt", float("-inf")), ("sequential_rmst_low__lt", float("inf"))),
                        ("sequential_rmst_low__isnull", True),
                        _connector="OR",
                    ),
                    models.Q(
                        models.Q(
                            ("sequential_rmst_high__gt", float("-inf")), ("sequential_rmst_high__lt", float("inf"))
                        ),
                        ("sequential_rmst_high__isnull", True),
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
                    models.Q(
                        models.Q(("logrank_chi2__gt", float("-inf")), ("logrank_chi2__lt", float("inf"))),
                        ("logrank_chi2__isnull", True),
                        _connector="OR",
                    ),
                    models.Q(
                        models.Q(("hazard_ratio__gt", float("-inf")), ("hazard_ratio__lt", float("inf"))),
                        ("hazard_ratio__isnull", True),
                        _connector="OR",
                    ),
                    models.Q(
                        models.Q(("hazard_ratio_low__gt", float("-inf")), ("hazard_ratio_low__lt", float("inf"))),
                        ("hazard_ratio_low__isnull", True),
                        _connector="OR",
                    ),
                    models.Q(
                        models.Q(("hazard_ratio_high__gt", float("-inf")), ("hazard_ratio_high__lt", float("inf"))),
                        ("hazard_ratio_high__isnull", True),
                        _connector="OR",
                    ),
                    models.Q(
                        models.Q(("margin__gt", float("-inf")), ("margin__lt", float("inf"))),
                        ("margin__isnull", True),
                        _connector="OR",
                    ),
                ),
                name="survival_comparison_is_finite",
            ),
        ),
        migrations.AddConstraint(
            model_name="survivalcomparisonrow",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(
                        models.Q(("rmst_p_value__gte", 0), ("rmst_p_value__lte", 1)),
                        ("rmst_p_value__isnull", True),
                        _connector="OR",
                    ),
                    models.Q(
                        models.Q(("p_value_adjusted__gte", 0), ("p_value_adjusted__lte", 1)),
                        ("p_value_adjusted__isnull", True),
                        _connector="OR",
                    ),
                    models.Q(
                        models.Q(("logrank_p_value__gte", 0), ("logrank_p_value__lte", 1)),
                        ("logrank_p_value__isnull", True),
                        _connector="OR",
                    ),
                    models.Q(
                        models.Q(("hazard_p_value__gte", 0), ("hazard_p_value__lte", 1)),
                        ("hazard_p_value__isnull", True),
                        _connector="OR",
                    ),
                    models.Q(
                        models.Q(("proportional_p_value__gte", 0), ("proportional_p_value__lte", 1)),
                        ("proportional_p_value__isnull", True),
                        _connector="OR",
                    ),
                    models.Q(
                        models.Q(("censored_control__gte", 0), ("censored_control__lte", 1)),
                        ("censored_control__isnull", True),
                        _connector="OR",
                    ),
                    models.Q(
                        models.Q(("censored_treatment__gte", 0), ("censored_treatment__lte", 1)),
                        ("censored_treatment__isnull", True),
                        _connector="OR",
                    ),
                    models.Q(
                        models.Q(("censoring_p_value__gte", 0), ("censoring_p_value__lte", 1)),
                        ("censoring_p_value__isnull", True),
                        _connector="OR",
                    ),
                    models.Q(
                        models.Q(("returned_share__gte", 0), ("returned_share__lte", 1)),
                        ("returned_share__isnull", True),
                        _connector="OR",
                    ),
                ),
                name="survival_comparison_has_shares",
            ),
        ),
        migrations.AddConstraint(
            model_name="survivalcomparisonrow",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(
                        models.Q(
                            ("rmst_high__isnull", False),
                            ("rmst_low__isnull", False),
                            ("rmst_low__lte", models.F("rmst_high")),
                        ),
                        models.Q(("rmst_high__isnull", True), ("rmst_low__isnull", True)),
                        _connector="OR",
                    ),
                    models.Q(
                        models.Q(
                            ("rmst_lift_high__isnull", False),
                            ("rmst_lift_low__isnull", False),
                            ("rmst_lift_low__lte", models.F("rmst_lift_high")),
                        ),
                        models.Q(("rmst_lift_high__isnull", True), ("rmst_lift_low__isnull", True)),
                        _connector="OR",
                    ),
                    models.Q(
                        models.Q(
                            ("sequential_rmst_high__isnull", False),
                            ("sequential_rmst_low__isnull", False),
                            ("sequential_rmst_low__lte", models.F("sequential_rmst_high")),
                        ),
                        models.Q(("sequential_rmst_high__isnull", True), ("sequential_rmst_low__isnull", True)),
                        _connector="OR",
                    ),
                    models.Q(
                        models.Q(
                            ("sequential_lift_high__isnull", False),
                            ("sequential_lift_low__isnull", False),
                            ("sequential_lift_low__lte", models.F("sequential_lift_high")),
                        ),
                        models.Q(("sequential_lift_high__isnull", True), ("sequential_lift_low__isnull", True)),
                        _connector="OR",
                    ),
                    models.Q(
                        models.Q(
                            ("hazard_ratio_high__isnull", False),
                            ("hazard_ratio_low__isnull", False),
                            ("hazard_ratio_low__lte", models.F("hazard_ratio_high")),
                        ),
                        models.Q(("hazard_ratio_high__isnull", True), ("hazard_ratio_low__isnull", True)),
                        _connector="OR",
                    ),
                ),
                name="survival_comparison_is_ordered",
            ),
        ),
        migrations.AddConstraint(
            model_name="survivalcomparisonrow",
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
                name="survival_comparison_claim_is_whole",
            ),
        ),
        migrations.AddConstraint(
            model_name="survivalcomparisonrow",
            constraint=models.CheckConstraint(
                condition=models.Q(("decides", False), ("horizon_week", models.F("tau")), _connector="OR"),
                name="survival_comparison_decides_at_tau",
            ),
        ),
        migrations.AddConstraint(
            model_name="survivalcomparisonrow",
            constraint=models.CheckConstraint(
                condition=models.Q(("state__in", ("ok", "not_yet", "too_few", "failed"))),
                name="survival_comparison_state_is_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="survivalcomparisonrow",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("verdict__isnull", True),
                    ("verdict__in", ("superior", "non_inferior", "inferior", "undecided")),
                    _connector="OR",
                ),
                name="survival_comparison_verdict_is_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="survivalcomparisonrow",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(
                        ("hazard_ratio__isnull", False),
                        ("rmst_difference__isnull", False),
                        ("rmst_se__isnull", False),
                        ("sequential_rmst_low__isnull", False),
                    ),
                    models.Q(("reason__isnull", False), models.Q(("reason", ""), _negated=True)),
                    _connector="OR",
                ),
                name="survival_comparison_is_a_number_or_a_reason",
            ),
        ),
        migrations.AddConstraint(
            model_name="hazardperiodrow",
            constraint=models.UniqueConstraint(fields=("comparison", "start_week"), name="hazard_period_is_unique"),
        ),
        migrations.AddConstraint(
            model_name="hazardperiodrow",
            constraint=models.CheckConstraint(
                condition=models.Q(("start_week__lt", models.F("end_week"))), name="hazard_period_has_weeks"
            ),
        ),
        migrations.AddConstraint(
            model_name="hazardperiodrow",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(
                        models.Q(
                            ("hazard_ratio__isnull", False),
                            ("high__isnull", False),
                            ("low__isnull", False),
                            ("p_value__isnull", False),
                        ),
                        models.Q(
                            ("hazard_ratio__isnull", True),
                            ("high__isnull", True),
                            ("low__isnull", True),
                            ("p_value__isnull", True),
                        ),
                        _connector="OR",
                    ),
                    models.Q(
                        models.Q(("hazard_ratio__gt", float("-inf")), ("hazard_ratio__lt", float("inf"))),
                        ("hazard_ratio__isnull", True),
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
                    models.Q(
                        models.Q(("high__isnull", False), ("low__isnull", False), ("low__lte", models.F("high"))),
                        models.Q(("high__isnull", True), ("low__isnull", True)),
                        _connector="OR",
                    ),
                    models.Q(
                        models.Q(("p_value__gte", 0), ("p_value__lte", 1)), ("p_value__isnull", True), _connector="OR"
                    ),
                ),
                name="hazard_period_is_whole",
            ),
        ),
        migrations.AddConstraint(
            model_name="adjustedhazardrow",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(
                        models.Q(("hazard_ratio__gt", float("-inf")), ("hazard_ratio__lt", float("inf"))),
                        ("hazard_ratio__isnull", True),
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
                    models.Q(
                        models.Q(("high__isnull", False), ("low__isnull", False), ("low__lte", models.F("high"))),
                        models.Q(("high__isnull", True), ("low__isnull", True)),
                        _connector="OR",
                    ),
                    models.Q(
                        models.Q(("p_value__gte", 0), ("p_value__lte", 1)), ("p_value__isnull", True), _connector="OR"
                    ),
                    ("left_out__gte", 0),
                    ("units__gt", 0),
                ),
                name="adjusted_hazard_is_whole",
            ),
        ),
        migrations.AddConstraint(
            model_name="survivaldifferencerow",
            constraint=models.UniqueConstraint(
                fields=("comparison", "week"), name="survival_difference_week_is_unique"
            ),
        ),
        migrations.AddConstraint(
            model_name="survivaldifferencerow",
            constraint=models.CheckConstraint(
                condition=models.Q(
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
                    ("high__gte", models.F("difference")),
                    ("low__lte", models.F("difference")),
                ),
                name="survival_difference_is_in_its_interval",
            ),
        ),
        migrations.AddConstraint(
            model_name="survivalrow",
            constraint=models.UniqueConstraint(
                fields=("look", "metric", "variant", "week"), name="survival_week_is_unique"
            ),
        ),
        migrations.AddConstraint(
            model_name="survivalrow",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(
                        models.Q(("survival__gte", 0), ("survival__lte", 1)),
                        ("survival__isnull", True),
                        _connector="OR",
                    ),
                    models.Q(models.Q(("low__gte", 0), ("low__lte", 1)), ("low__isnull", True), _connector="OR"),
                    models.Q(models.Q(("high__gte", 0), ("high__lte", 1)), ("high__isnull", True), _connector="OR"),
                ),
                name="survival_is_a_share",
            ),
        ),
        migrations.AddConstraint(
            model_name="survivalrow",
            constraint=models.CheckConstraint(
                condition=models.Q(("high__gte", models.F("survival")), ("low__lte", models.F("survival"))),
                name="survival_is_in_its_interval",
            ),
        ),
        migrations.AddConstraint(
            model_name="survivalrow",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    (
                        "at_risk__gte",
                        django.db.models.expressions.CombinedExpression(models.F("events"), "+", models.F("censored")),
                    ),
                    ("censored__gte", 0),
                    ("events__gte", 0),
                ),
                name="survival_counts_units",
            ),
        ),
    ]
