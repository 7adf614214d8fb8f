import django.db.models.deletion
from django.db import migrations, models

from experiments.migrations import _frozen_plans


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="Experiment",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("key", models.CharField(max_length=63, unique=True)),
                ("kind", models.TextField()),
                ("name", models.CharField(max_length=200)),
                ("hypothesis", models.TextField(blank=True)),
                ("owner", models.CharField(max_length=200)),
                ("state", models.TextField(default="draft")),
                ("definition", models.TextField(blank=True)),
                ("created_at", models.DateTimeField()),
                ("started_at", models.DateTimeField(null=True)),
            ],
            options={
                "ordering": ["key"],
            },
        ),
        migrations.CreateModel(
            name="Metric",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("key", models.CharField(max_length=63)),
                ("version", models.PositiveIntegerField()),
                ("kind", models.TextField()),
                ("better", models.TextField()),
                ("column", models.TextField(blank=True)),
                ("numerator", models.TextField(blank=True)),
                ("denominator", models.TextField(blank=True)),
                ("cap", models.FloatField(null=True)),
                ("event_type", models.TextField(blank=True)),
                ("event_column", models.TextField(blank=True)),
                ("gap_weeks", models.PositiveIntegerField(default=0)),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("key", "version"), name="metric_version_is_unique"),
                    models.CheckConstraint(
                        condition=models.Q(("version__gte", 1)), name="metric_versions_begin_at_one"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("better__in", ("higher", "lower"))), name="metric_better_is_known"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(
                                models.Q(("cap__gt", float("-inf")), ("cap__lt", float("inf"))),
                                ("cap__isnull", True),
                                _connector="OR",
                            ),
                            models.Q(("cap__gt", 0), ("cap__isnull", True), _connector="OR"),
                        ),
                        name="metric_cap_is_positive",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("kind__in", ("mean", "active")), models.Q(("column", ""), _negated=True)),
                            models.Q(
                                ("kind", "ratio"),
                                models.Q(("numerator", ""), _negated=True),
                                models.Q(("denominator", ""), _negated=True),
                            ),
                            models.Q(
                                ("kind", "event"),
                                models.Q(("event_column", ""), _negated=True),
                                ("event_type__in", ("occurrence", "inactivity")),
                            ),
                            _connector="OR",
                        ),
                        name="metric_kind_has_its_columns",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="Plan",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("version", models.PositiveIntegerField()),
                ("body", models.JSONField()),
                ("digest", models.CharField(max_length=64)),
                ("frozen_at", models.DateTimeField(null=True)),
                (
                    "experiment",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="plans", to="experiments.experiment"
                    ),
                ),
            ],
            options={
                "ordering": ["version"],
            },
        ),
        migrations.CreateModel(
            name="Look",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("as_of", models.DateField()),
                ("number", models.PositiveIntegerField()),
                ("planned_looks", models.PositiveIntegerField()),
                ("fingerprint", models.TextField()),
                ("state", models.TextField(default="planned")),
                ("error", models.TextField(blank=True)),
                ("planned_at", models.DateTimeField()),
                ("finished_at", models.DateTimeField(null=True)),
                ("first_fact", models.DateField(null=True)),
                ("last_fact", models.DateField(null=True)),
                ("fact_rows", models.BigIntegerField(default=0)),
                (
                    "plan",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="looks", to="experiments.plan"
                    ),
                ),
            ],
        ),
        migrations.AddField(
            model_name="experiment",
            name="plan",
            field=models.OneToOneField(
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="in_force_for",
                to="experiments.plan",
            ),
        ),
        migrations.CreateModel(
            name="CurrentTriangle",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("as_of", models.DateField()),
                ("fingerprint", models.TextField()),
                ("first_fact", models.DateField(null=True)),
                (
                    "look",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="+", to="experiments.look"
                    ),
                ),
                (
                    "plan",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE, related_name="triangle", to="experiments.plan"
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="Amendment",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("reason", models.TextField()),
                ("amended_at", models.DateTimeField()),
                (
                    "experiment",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="amendments",
                        to="experiments.experiment",
                    ),
                ),
                (
                    "after",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="amendments", to="experiments.plan"
                    ),
                ),
                (
                    "before",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="experiments.plan"
                    ),
                ),
            ],
            options={
                "ordering": ["amended_at", "pk"],
            },
        ),
        migrations.CreateModel(
            name="ReversalRow",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("position", models.PositiveIntegerField()),
                ("metric", models.CharField(max_length=63)),
                ("variant", models.CharField(max_length=63)),
                ("state", models.TextField()),
                ("readable_from", models.DateField()),
                ("n_control", models.BigIntegerField()),
                ("n_treatment", models.BigIntegerField()),
                ("p_value", models.FloatField(null=True)),
                ("p_value_adjusted", models.FloatField(null=True)),
                ("late_loss_probability", models.FloatField(null=True)),
                ("early_effect", models.FloatField(null=True)),
                ("late_effect", models.FloatField(null=True)),
                ("contrast", models.FloatField(null=True)),
                ("contrast_se", models.FloatField(null=True)),
                ("contrast_p_value", models.FloatField(null=True)),
                ("early_lift", models.FloatField(null=True)),
                ("late_lift", models.FloatField(null=True)),
                ("lift_contrast", models.FloatField(null=True)),
                ("lift_contrast_low", models.FloatField(null=True)),
                ("lift_contrast_high", models.FloatField(null=True)),
                ("lift_contrast_p_value", models.FloatField(null=True)),
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
            name="Source",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("key", models.CharField(max_length=63, null=True, unique=True)),
                ("kind", models.TextField()),
                ("folder", models.TextField()),
                ("exposures", models.TextField()),
                ("facts", models.TextField()),
                ("unit_column", models.TextField()),
                ("variant_column", models.TextField()),
                ("exposed_at_column", models.TextField()),
                ("at_column", models.TextField()),
                ("left_at_column", models.TextField(null=True)),
            ],
            options={
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("kind", ""), _negated=True),
                            models.Q(("exposures", ""), _negated=True),
                            models.Q(("facts", ""), _negated=True),
                        ),
                        name="source_names_its_data",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("key__isnull", True), models.Q(("key", ""), _negated=True), _connector="OR"
                        ),
                        name="source_key_is_not_empty",
                    ),
                ],
            },
        ),
        migrations.AddField(
            model_name="experiment",
            name="source",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="experiments", to="experiments.source"
            ),
        ),
        migrations.CreateModel(
            name="TallyExclusion",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("week", models.IntegerField()),
                ("reason", models.TextField()),
                ("units", models.BigIntegerField()),
                (
                    "triangle",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="exclusions",
                        to="experiments.currenttriangle",
                    ),
                ),
            ],
            options={
                "ordering": ["pk"],
            },
        ),
        migrations.CreateModel(
            name="TallyRow",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("week", models.IntegerField()),
                ("rows", models.BigIntegerField()),
                ("last", models.DateField(null=True)),
                ("nulls", models.BigIntegerField()),
                (
                    "triangle",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="tallies",
                        to="experiments.currenttriangle",
                    ),
                ),
            ],
            options={
                "ordering": ["pk"],
            },
        ),
        migrations.CreateModel(
            name="TrajectoryRow",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("position", models.PositiveIntegerField()),
                ("n_control", models.BigIntegerField()),
                ("n_treatment", models.BigIntegerField()),
                ("control_mean", models.FloatField(null=True)),
                ("treatment_mean", models.FloatField(null=True)),
                ("adjusted", models.BooleanField()),
                ("effect", models.FloatField(null=True)),
                ("effect_se", models.FloatField(null=True)),
                ("effect_low", models.FloatField(null=True)),
                ("effect_high", models.FloatField(null=True)),
                ("p_value", models.FloatField(null=True)),
                ("lift", models.FloatField(null=True)),
                ("lift_low", models.FloatField(null=True)),
                ("lift_high", models.FloatField(null=True)),
                ("unadjusted_effect", models.FloatField(null=True)),
                ("unadjusted_se", models.FloatField(null=True)),
                ("state", models.TextField()),
                ("reason", models.TextField(null=True)),
                ("metric", models.CharField(max_length=63)),
                ("variant", models.CharField(max_length=63)),
                ("kind", models.TextField()),
                ("week", models.PositiveIntegerField()),
                ("readable_from", models.DateField()),
                ("band_low", models.FloatField(null=True)),
                ("band_high", models.FloatField(null=True)),
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
            name="Variant",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("key", models.CharField(max_length=63)),
                ("position", models.PositiveIntegerField()),
                ("weight", models.FloatField()),
                ("control", models.BooleanField(default=False)),
                (
                    "experiment",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="variants",
                        to="experiments.experiment",
                    ),
                ),
            ],
            options={
                "ordering": ["position"],
            },
        ),
        migrations.CreateModel(
            name="FactCountRow",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("week", models.IntegerField()),
                ("exposure_week", models.IntegerField()),
                ("rows", models.BigIntegerField()),
                ("before_pre_period", models.BigIntegerField()),
                (
                    "triangle",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="facts",
                        to="experiments.currenttriangle",
                    ),
                ),
            ],
            options={
                "ordering": ["pk"],
                "constraints": [
                    models.UniqueConstraint(fields=("triangle", "week", "exposure_week"), name="fact_count_is_unique"),
                    models.CheckConstraint(
                        condition=models.Q(("before_pre_period__gte", 0), ("rows__gte", models.F("before_pre_period"))),
                        name="fact_count_is_not_negative",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="EffectRow",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("position", models.PositiveIntegerField()),
                ("n_control", models.BigIntegerField()),
                ("n_treatment", models.BigIntegerField()),
                ("control_mean", models.FloatField(null=True)),
                ("treatment_mean", models.FloatField(null=True)),
                ("adjusted", models.BooleanField()),
                ("effect", models.FloatField(null=True)),
                ("effect_se", models.FloatField(null=True)),
                ("effect_low", models.FloatField(null=True)),
                ("effect_high", models.FloatField(null=True)),
                ("p_value", models.FloatField(null=True)),
                ("lift", models.FloatField(null=True)),
                ("lift_low", models.FloatField(null=True)),
                ("lift_high", models.FloatField(null=True)),
                ("unadjusted_effect", models.FloatField(null=True)),
                ("unadjusted_se", models.FloatField(null=True)),
                ("state", models.TextField()),
                ("reason", models.TextField(null=True)),
                ("metric", models.CharField(max_length=63)),
                ("role", models.TextField()),
                ("term", models.TextField(null=True)),
                ("variant", models.CharField(max_length=63)),
                ("window", models.TextField()),
                ("start_week", models.PositiveIntegerField()),
                ("end_week", models.PositiveIntegerField()),
                ("readable_from", models.DateField()),
                ("segment", models.TextField(null=True)),
                ("p_value_adjusted", models.FloatField(null=True)),
                ("margin", models.FloatField(null=True)),
                ("verdict", models.TextField(null=True)),
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
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(
                                models.Q(("control_mean__gt", float("-inf")), ("control_mean__lt", float("inf"))),
                                ("control_mean__isnull", True),
                                _connector="OR",
                            ),
                            models.Q(
                                models.Q(("treatment_mean__gt", float("-inf")), ("treatment_mean__lt", float("inf"))),
                                ("treatment_mean__isnull", True),
                                _connector="OR",
                            ),
                            models.Q(
                                models.Q(("effect__gt", float("-inf")), ("effect__lt", float("inf"))),
                                ("effect__isnull", True),
                                _connector="OR",
                            ),
                            models.Q(
                                models.Q(("effect_se__gt", float("-inf")), ("effect_se__lt", float("inf"))),
                                ("effect_se__isnull", True),
                                _connector="OR",
                            ),
                            models.Q(
                                models.Q(("effect_low__gt", float("-inf")), ("effect_low__lt", float("inf"))),
                                ("effect_low__isnull", True),
                                _connector="OR",
                            ),
                            models.Q(
                                models.Q(("effect_high__gt", float("-inf")), ("effect_high__lt", float("inf"))),
                                ("effect_high__isnull", True),
                                _connector="OR",
                            ),
                            models.Q(
                                models.Q(("lift__gt", float("-inf")), ("lift__lt", float("inf"))),
                                ("lift__isnull", True),
                                _connector="OR",
                            ),
                            models.Q(
                                models.Q(("lift_low__gt", float("-inf")), ("lift_low__lt", float("inf"))),
                                ("lift_low__isnull", True),
                                _connector="OR",
                            ),
                            models.Q(
                                models.Q(("lift_high__gt", float("-inf")), ("lift_high__lt", float("inf"))),
                                ("lift_high__isnull", True),
                                _connector="OR",
                            ),
                            models.Q(
                                models.Q(
                                    ("unadjusted_effect__gt", float("-inf")), ("unadjusted_effect__lt", float("inf"))
                                ),
                                ("unadjusted_effect__isnull", True),
                                _connector="OR",
                            ),
                            models.Q(
                                models.Q(("unadjusted_se__gt", float("-inf")), ("unadjusted_se__lt", float("inf"))),
                                ("unadjusted_se__isnull", True),
                                _connector="OR",
                            ),
                        ),
                        name="effect_is_finite",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("p_value__gte", 0), ("p_value__lte", 1)),
                            ("p_value__isnull", True),
                            _connector="OR",
                        ),
                        name="effect_p_is_a_share",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(
                                ("effect_high__isnull", False),
                                ("effect_low__isnull", False),
                                ("effect_low__lte", models.F("effect_high")),
                            ),
                            models.Q(("effect_high__isnull", True), ("effect_low__isnull", True)),
                            _connector="OR",
                        ),
                        name="effect_effect_is_ordered",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(
                                ("lift_high__isnull", False),
                                ("lift_low__isnull", False),
                                ("lift_low__lte", models.F("lift_high")),
                            ),
                            models.Q(("lift_high__isnull", True), ("lift_low__isnull", True)),
                            _connector="OR",
                        ),
                        name="effect_lift_is_ordered",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("n_control__gte", 0), ("n_treatment__gte", 0)), name="effect_counts_units"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("state__in", ("ok", "not_yet", "too_few", "failed"))),
                        name="effect_state_is_known",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("effect__isnull", False),
                            models.Q(("reason__isnull", False), models.Q(("reason", ""), _negated=True)),
                            _connector="OR",
                        ),
                        name="effect_is_a_number_or_a_reason",
                    ),
                    models.UniqueConstraint(
                        fields=("look", "metric", "variant", "window", "segment"),
                        name="effect_is_unique",
                        nulls_distinct=False,
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("start_week__lt", models.F("end_week"))), name="effect_window_has_weeks"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("p_value_adjusted__gte", 0), ("p_value_adjusted__lte", 1)),
                            ("p_value_adjusted__isnull", True),
                            _connector="OR",
                        ),
                        name="effect_adjusted_p_is_a_share",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("verdict__isnull", True),
                            ("verdict__in", ("superior", "non_inferior", "inferior", "undecided")),
                            _connector="OR",
                        ),
                        name="effect_verdict_is_known",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="CheckRow",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("position", models.PositiveIntegerField()),
                ("name", models.TextField()),
                ("state", models.TextField()),
                ("p_value", models.FloatField(null=True)),
                ("detail", models.TextField(blank=True)),
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
                "constraints": [
                    models.UniqueConstraint(fields=("look", "name"), name="check_is_unique"),
                    models.CheckConstraint(
                        condition=models.Q(("state__in", ("ok", "alarm", "unknown"))), name="check_state_is_known"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("p_value__gte", 0), ("p_value__lte", 1)),
                            ("p_value__isnull", True),
                            _connector="OR",
                        ),
                        name="check_p_is_a_share",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="LookCell",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("kind", models.TextField()),
                ("partition", models.PositiveIntegerField(default=0)),
                ("state", models.TextField(default="waiting")),
                ("token", models.UUIDField(null=True)),
                ("lease_until", models.DateTimeField(null=True)),
                ("attempts", models.PositiveIntegerField(default=0)),
                ("failures", models.PositiveIntegerField(default=0)),
                ("error", models.TextField(blank=True)),
                ("result", models.BinaryField(null=True)),
                (
                    "look",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="cells", to="experiments.look"
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("look", "kind", "partition"), name="look_cell_is_unique"),
                    models.CheckConstraint(
                        condition=models.Q(("kind__in", ("check", "moments", "finish"))), name="look_cell_kind_is_known"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("lease_until__isnull", False), ("state", "leased"), ("token__isnull", False)),
                            models.Q(
                                ("lease_until__isnull", True),
                                ("state__in", ("waiting", "done", "failed")),
                                ("token__isnull", True),
                            ),
                            _connector="OR",
                        ),
                        name="look_cell_lease_fits_its_state",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("kind", "moments"), ("partition", 0), _connector="OR"),
                        name="look_cell_only_moments_have_partitions",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("result__isnull", True), ("state", "done"), _connector="OR"),
                        name="look_cell_result_is_of_done_work",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="LookExclusion",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("reason", models.TextField()),
                ("n", models.BigIntegerField()),
                (
                    "look",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="exclusions", to="experiments.look"
                    ),
                ),
            ],
            options={
                "ordering": ["pk"],
                "constraints": [
                    models.UniqueConstraint(fields=("look", "reason"), name="look_exclusion_is_unique"),
                    models.CheckConstraint(
                        condition=models.Q(
                            (
                                "reason__in",
                                (
                                    "exposed_before_start",
                                    "exposed_after_enrollment",
                                    "two_variants",
                                    "unknown_variant",
                                    "facts_of_unknown_units",
                                    "facts_before_pre_period",
                                    "nulls",
                                ),
                            )
                        ),
                        name="look_exclusion_is_known",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="LookUnits",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("variant", models.CharField(max_length=63)),
                ("n", models.BigIntegerField()),
                (
                    "look",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="units", to="experiments.look"
                    ),
                ),
            ],
            options={
                "ordering": ["pk"],
                "constraints": [
                    models.UniqueConstraint(fields=("look", "variant"), name="look_units_are_unique"),
                    models.CheckConstraint(condition=models.Q(("n__gte", 0)), name="look_units_are_not_negative"),
                ],
            },
        ),
        migrations.CreateModel(
            name="MetricUse",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("position", models.PositiveIntegerField()),
                ("role", models.TextField()),
                ("term", models.TextField(null=True)),
                ("window", models.TextField(null=True)),
                ("margin", models.FloatField(null=True)),
                ("weight", models.FloatField(null=True)),
                (
                    "experiment",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="metric_uses",
                        to="experiments.experiment",
                    ),
                ),
                (
                    "metric",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="uses", to="experiments.metric"
                    ),
                ),
            ],
            options={
                "ordering": ["position"],
                "constraints": [
                    models.UniqueConstraint(fields=("experiment", "metric"), name="metric_is_used_once"),
                    models.UniqueConstraint(fields=("experiment", "position"), name="metric_use_position_is_unique"),
                    models.CheckConstraint(
                        condition=models.Q(("role__in", ("primary", "secondary", "guardrail", "diagnostic"))),
                        name="metric_use_role_is_known",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("term__isnull", True), ("term__in", ("short", "long")), _connector="OR"),
                        name="metric_use_term_is_known",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(
                                ("margin__gt", 0), ("margin__isnull", False), ("margin__lt", 1), ("role", "guardrail")
                            ),
                            models.Q(models.Q(("role", "guardrail"), _negated=True), ("margin__isnull", True)),
                            _connector="OR",
                        ),
                        name="metric_use_margin_belongs_to_guardrails",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(
                                models.Q(("weight__gt", float("-inf")), ("weight__lt", float("inf"))),
                                ("weight__isnull", True),
                                _connector="OR",
                            ),
                            models.Q(("weight__gte", 0), ("weight__isnull", True), _connector="OR"),
                        ),
                        name="metric_use_weight_is_not_negative",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="MomentsCell",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("variant", models.CharField(max_length=63)),
                ("cohort", models.PositiveIntegerField()),
                ("crossed_week", models.IntegerField(null=True)),
                ("n", models.BigIntegerField()),
                ("columns", models.PositiveIntegerField()),
                ("shift", models.BinaryField()),
                ("sums", models.BinaryField()),
                ("products", models.BinaryField()),
                (
                    "triangle",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="cells",
                        to="experiments.currenttriangle",
                    ),
                ),
            ],
            options={
                "ordering": ["pk"],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("triangle", "variant", "cohort", "crossed_week"),
                        name="moments_cell_is_unique",
                        nulls_distinct=False,
                    ),
                    models.CheckConstraint(condition=models.Q(("n__gte", 0)), name="moments_cell_counts_units"),
                ],
            },
        ),
        migrations.AddConstraint(
            model_name="plan",
            constraint=models.UniqueConstraint(fields=("experiment", "version"), name="plan_version_is_unique"),
        ),
        migrations.AddConstraint(
            model_name="plan",
            constraint=models.UniqueConstraint(fields=("experiment", "digest"), name="plan_digest_is_unique"),
        ),
        migrations.AddConstraint(
            model_name="plan",
            constraint=models.CheckConstraint(
                condition=models.Q(("digest__regex", "^[0-9a-f]{64}$")), name="plan_digest_is_sha256"
            ),
        ),
        migrations.AddConstraint(
            model_name="plan",
            constraint=models.CheckConstraint(
                condition=models.Q(("version__gte", 1)), name="plan_versions_begin_at_one"
            ),
        ),
        migrations.AddIndex(
            model_name="look",
            index=models.Index(fields=["plan", "-as_of", "-finished_at"], name="look_newest_first"),
        ),
        migrations.AddConstraint(
            model_name="look",
            constraint=models.UniqueConstraint(fields=("plan", "as_of", "fingerprint"), name="look_is_unique"),
        ),
        migrations.AddConstraint(
            model_name="look",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("finished_at__isnull", False), ("state__in", ("done", "failed"))),
                    models.Q(("finished_at__isnull", True), ("state__in", ("planned", "running"))),
                    _connector="OR",
                ),
                name="look_is_finished_when_it_ends",
            ),
        ),
        migrations.AddConstraint(
            model_name="look",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("state", "failed"), models.Q(("error", ""), _negated=True)),
                    models.Q(models.Q(("state", "failed"), _negated=True), ("error", "")),
                    _connector="OR",
                ),
                name="look_fails_with_a_reason",
            ),
        ),
        migrations.AddConstraint(
            model_name="look",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(
                        ("first_fact__isnull", False),
                        ("first_fact__lte", models.F("last_fact")),
                        ("last_fact__isnull", False),
                    ),
                    models.Q(("first_fact__isnull", True), ("last_fact__isnull", True)),
                    _connector="OR",
                ),
                name="look_facts_are_in_order",
            ),
        ),
        migrations.AddConstraint(
            model_name="amendment",
            constraint=models.CheckConstraint(
                condition=models.Q(("reason", ""), _negated=True), name="amendment_has_a_reason"
            ),
        ),
        migrations.AddConstraint(
            model_name="amendment",
            constraint=models.CheckConstraint(
                condition=models.Q(("before", models.F("after")), _negated=True), name="amendment_changes_the_plan"
            ),
        ),
        migrations.AddConstraint(
            model_name="reversalrow",
            constraint=models.UniqueConstraint(fields=("look", "metric", "variant"), name="reversal_is_unique"),
        ),
        migrations.AddConstraint(
            model_name="reversalrow",
            constraint=models.CheckConstraint(
                condition=models.Q(("state__in", ("confirmed", "turned", "warning", "immature", "fading", "none"))),
                name="reversal_state_is_known",
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
                ),
                name="reversal_is_finite",
            ),
        ),
        migrations.AddConstraint(
            model_name="reversalrow",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(
                        ("lift_contrast_high__isnull", False),
                        ("lift_contrast_low__isnull", False),
                        ("lift_contrast_low__lte", models.F("lift_contrast_high")),
                    ),
                    models.Q(("lift_contrast_high__isnull", True), ("lift_contrast_low__isnull", True)),
                    _connector="OR",
                ),
                name="reversal_contrast_is_ordered",
            ),
        ),
        migrations.AddConstraint(
            model_name="experiment",
            constraint=models.CheckConstraint(
                condition=models.Q(("kind__in", ("experiment", "holdout"))), name="experiment_kind_is_known"
            ),
        ),
        migrations.AddConstraint(
            model_name="experiment",
            constraint=models.CheckConstraint(
                condition=models.Q(("key__regex", "^[a-z0-9][a-z0-9._-]{0,62}$")), name="experiment_key_is_well_formed"
            ),
        ),
        migrations.AddConstraint(
            model_name="experiment",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("started_at__isnull", True), ("state", "draft")),
                    models.Q(("plan__isnull", False), ("started_at__isnull", False), ("state", "running")),
                    _connector="OR",
                ),
                name="experiment_state_fits_its_dates",
            ),
        ),
        migrations.AddConstraint(
            model_name="tallyexclusion",
            constraint=models.UniqueConstraint(fields=("triangle", "week", "reason"), name="tally_exclusion_is_unique"),
        ),
        migrations.AddConstraint(
            model_name="tallyexclusion",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    (
                        "reason__in",
                        (
                            "exposed_before_start",
                            "exposed_after_enrollment",
                            "two_variants",
                            "unknown_variant",
                            "facts_of_unknown_units",
                            "facts_before_pre_period",
                            "nulls",
                        ),
                    )
                ),
                name="tally_exclusion_is_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="tallyrow",
            constraint=models.UniqueConstraint(fields=("triangle", "week"), name="tally_week_is_unique"),
        ),
        migrations.AddConstraint(
            model_name="tallyrow",
            constraint=models.CheckConstraint(
                condition=models.Q(("nulls__gte", 0), ("rows__gte", 0)), name="tally_is_not_negative"
            ),
        ),
        migrations.AddConstraint(
            model_name="trajectoryrow",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(
                        models.Q(("control_mean__gt", float("-inf")), ("control_mean__lt", float("inf"))),
                        ("control_mean__isnull", True),
                        _connector="OR",
                    ),
                    models.Q(
                        models.Q(("treatment_mean__gt", float("-inf")), ("treatment_mean__lt", float("inf"))),
                        ("treatment_mean__isnull", True),
                        _connector="OR",
                    ),
                    models.Q(
                        models.Q(("effect__gt", float("-inf")), ("effect__lt", float("inf"))),
                        ("effect__isnull", True),
                        _connector="OR",
                    ),
                    models.Q(
                        models.Q(("effect_se__gt", float("-inf")), ("effect_se__lt", float("inf"))),
                        ("effect_se__isnull", True),
                        _connector="OR",
                    ),
                    models.Q(
                        models.Q(("effect_low__gt", float("-inf")), ("effect_low__lt", float("inf"))),
                        ("effect_low__isnull", True),
                        _connector="OR",
                    ),
                    models.Q(
                        models.Q(("effect_high__gt", float("-inf")), ("effect_high__lt", float("inf"))),
                        ("effect_high__isnull", True),
                        _connector="OR",
                    ),
                    models.Q(
                        models.Q(("lift__gt", float("-inf")), ("lift__lt", float("inf"))),
                        ("lift__isnull", True),
                        _connector="OR",
                    ),
                    models.Q(
                        models.Q(("lift_low__gt", float("-inf")), ("lift_low__lt", float("inf"))),
                        ("lift_low__isnull", True),
                        _connector="OR",
                    ),
                    models.Q(
                        models.Q(("lift_high__gt", float("-inf")), ("lift_high__lt", float("inf"))),
                        ("lift_high__isnull", True),
                        _connector="OR",
                    ),
                    models.Q(
                        models.Q(("unadjusted_effect__gt", float("-inf")), ("unadjusted_effect__lt", float("inf"))),
                        ("unadjusted_effect__isnull", True),
                        _connector="OR",
                    ),
                    models.Q(
                        models.Q(("unadjusted_se__gt", float("-inf")), ("unadjusted_se__lt", float("inf"))),
                        ("unadjusted_se__isnull", True),
                        _connector="OR",
                    ),
                ),
                name="trajectory_is_finite",
            ),
        ),
        migrations.AddConstraint(
            model_name="trajectoryrow",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("p_value__gte", 0), ("p_value__lte", 1)), ("p_value__isnull", True), _connector="OR"
                ),
                name="trajectory_p_is_a_share",
            ),
        ),
        migrations.AddConstraint(
            model_name="trajectoryrow",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(
                        ("effect_high__isnull", False),
                        ("effect_low__isnull", False),
                        ("effect_low__lte", models.F("effect_high")),
                    ),
                    models.Q(("effect_high__isnull", True), ("effect_low__isnull", True)),
                    _connector="OR",
                ),
                name="trajectory_effect_is_ordered",
            ),
        ),
        migrations.AddConstraint(
            model_name="trajectoryrow",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(
                        ("lift_high__isnull", False),
                        ("lift_low__isnull", False),
                        ("lift_low__lte", models.F("lift_high")),
                    ),
                    models.Q(("lift_high__isnull", True), ("lift_low__isnull", True)),
                    _connector="OR",
                ),
                name="trajectory_lift_is_ordered",
            ),
        ),
        migrations.AddConstraint(
            model_name="trajectoryrow",
            constraint=models.CheckConstraint(
                condition=models.Q(("n_control__gte", 0), ("n_treatment__gte", 0)), name="trajectory_counts_units"
            ),
        ),
        migrations.AddConstraint(
            model_name="trajectoryrow",
            constraint=models.CheckConstraint(
                condition=models.Q(("state__in", ("ok", "not_yet", "too_few", "failed"))),
                name="trajectory_state_is_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="trajectoryrow",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("effect__isnull", False),
                    models.Q(("reason__isnull", False), models.Q(("reason", ""), _negated=True)),
                    _connector="OR",
                ),
                name="trajectory_is_a_number_or_a_reason",
            ),
        ),
        migrations.AddConstraint(
            model_name="trajectoryrow",
            constraint=models.UniqueConstraint(
                fields=("look", "metric", "variant", "kind", "week"), name="trajectory_week_is_unique"
            ),
        ),
        migrations.AddConstraint(
            model_name="trajectoryrow",
            constraint=models.CheckConstraint(
                condition=models.Q(("kind__in", ("weekly", "cumulative", "calendar"))), name="trajectory_kind_is_known"
            ),
        ),
        migrations.AddConstraint(
            model_name="trajectoryrow",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(
                        models.Q(("band_low__gt", float("-inf")), ("band_low__lt", float("inf"))),
                        ("band_low__isnull", True),
                        _connector="OR",
                    ),
                    models.Q(
                        models.Q(("band_high__gt", float("-inf")), ("band_high__lt", float("inf"))),
                        ("band_high__isnull", True),
                        _connector="OR",
                    ),
                    models.Q(
                        models.Q(
                            ("band_high__isnull", False),
                            ("band_low__isnull", False),
                            ("band_low__lte", models.F("band_high")),
                        ),
                        models.Q(("band_high__isnull", True), ("band_low__isnull", True)),
                        _connector="OR",
                    ),
                ),
                name="trajectory_band_is_ordered",
            ),
        ),
        migrations.AddConstraint(
            model_name="variant",
            constraint=models.UniqueConstraint(fields=("experiment", "key"), name="variant_key_is_unique"),
        ),
        migrations.AddConstraint(
            model_name="variant",
            constraint=models.UniqueConstraint(fields=("experiment", "position"), name="variant_position_is_unique"),
        ),
        migrations.AddConstraint(
            model_name="variant",
            constraint=models.UniqueConstraint(
                condition=models.Q(("control", True)), fields=("experiment",), name="experiment_has_one_control"
            ),
        ),
        migrations.AddConstraint(
            model_name="variant",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("weight__gt", 0),
                    models.Q(
                        models.Q(("weight__gt", float("-inf")), ("weight__lt", float("inf"))),
                        ("weight__isnull", True),
                        _connector="OR",
                    ),
                ),
                name="variant_weight_is_positive",
            ),
        ),
        migrations.RunSQL(_frozen_plans.CREATE, _frozen_plans.DROP),
    ]
