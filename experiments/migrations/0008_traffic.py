import django.contrib.postgres.constraints
import django.contrib.postgres.fields.ranges
import django.db.models.deletion
from django.contrib.postgres.operations import BtreeGistExtension
from django.db import migrations, models

from experiments.migrations import _kept_traffic


class Migration(migrations.Migration):
    """Layers, slices of holdouts, testers and SDK keys. Experiments that are there get theirs when applied again."""

    dependencies = [
        ("experiments", "0007_holdout_results"),
    ]

    operations = [
        BtreeGistExtension(),
        migrations.CreateModel(
            name="ForcedVariant",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("unit", models.CharField(max_length=1024)),
                ("variant", models.CharField(max_length=63)),
            ],
            options={
                "ordering": ["unit"],
            },
        ),
        migrations.CreateModel(
            name="HoldoutMember",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
            ],
        ),
        migrations.CreateModel(
            name="Layer",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("key", models.CharField(max_length=63, unique=True)),
                ("created_at", models.DateTimeField()),
            ],
            options={
                "ordering": ["key"],
            },
        ),
        migrations.CreateModel(
            name="SdkKey",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.CharField(max_length=100)),
                ("kind", models.TextField()),
                ("hint", models.CharField(max_length=16)),
                ("digest", models.CharField(max_length=64, unique=True)),
                ("origins", models.JSONField(default=list)),
                ("created_at", models.DateTimeField()),
                ("revoked_at", models.DateTimeField(null=True)),
            ],
            options={
                "ordering": ["pk"],
            },
        ),
        migrations.CreateModel(
            name="Traffic",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("salt", models.CharField(max_length=63)),
                ("buckets", django.contrib.postgres.fields.ranges.IntegerRangeField(null=True)),
                ("held_out", models.PositiveIntegerField(null=True)),
                ("days", django.contrib.postgres.fields.ranges.DateRangeField()),
                ("frozen_at", models.DateTimeField(null=True)),
                ("entered", models.BinaryField(null=True)),
            ],
            options={
                "verbose_name_plural": "traffic",
            },
        ),
        migrations.RemoveConstraint(
            model_name="auditentry",
            name="audit_object_kind_is_known",
        ),
        migrations.AddConstraint(
            model_name="auditentry",
            constraint=models.CheckConstraint(
                condition=models.Q(("object_kind__in", ("experiment", "person", "sdk key"))),
                name="audit_object_kind_is_known",
            ),
        ),
        migrations.AddField(
            model_name="forcedvariant",
            name="experiment",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE, related_name="forced", to="experiments.experiment"
            ),
        ),
        migrations.AddConstraint(
            model_name="layer",
            constraint=models.CheckConstraint(
                condition=models.Q(("key__regex", "^[a-z0-9][a-z0-9._-]{0,62}$")), name="layer_key_is_well_formed"
            ),
        ),
        migrations.AddConstraint(
            model_name="sdkkey",
            constraint=models.UniqueConstraint(
                condition=models.Q(("revoked_at__isnull", True)), fields=("name",), name="sdk_key_name_is_unique"
            ),
        ),
        migrations.AddConstraint(
            model_name="sdkkey",
            constraint=models.CheckConstraint(
                condition=models.Q(("digest__regex", "^[0-9a-f]{64}$")), name="sdk_key_digest_is_sha256"
            ),
        ),
        migrations.AddConstraint(
            model_name="sdkkey",
            constraint=models.CheckConstraint(
                condition=models.Q(models.Q(("name", ""), _negated=True), models.Q(("hint", ""), _negated=True)),
                name="sdk_key_has_a_name",
            ),
        ),
        migrations.AddConstraint(
            model_name="sdkkey",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("kind", "server"), ("origins", [])),
                    models.Q(("kind", "client"), models.Q(("origins", []), _negated=True)),
                    _connector="OR",
                ),
                name="sdk_key_origins_belong_to_clients",
            ),
        ),
        migrations.AddConstraint(
            model_name="sdkkey",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("revoked_at__isnull", True),
                    models.Q(("revoked_at__isnull", False), ("revoked_at__gte", models.F("created_at"))),
                    _connector="OR",
                ),
                name="sdk_key_is_revoked_after_it_was_made",
            ),
        ),
        migrations.AddField(
            model_name="traffic",
            name="experiment",
            field=models.OneToOneField(
                on_delete=django.db.models.deletion.PROTECT, related_name="traffic", to="experiments.experiment"
            ),
        ),
        migrations.AddField(
            model_name="traffic",
            name="layer",
            field=models.ForeignKey(
                null=True, on_delete=django.db.models.deletion.PROTECT, related_name="traffics", to="experiments.layer"
            ),
        ),
        migrations.AddField(
            model_name="holdoutmember",
            name="holdout",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="members", to="experiments.traffic"
            ),
        ),
        migrations.AddField(
            model_name="holdoutmember",
            name="member",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="holdouts", to="experiments.traffic"
            ),
        ),
        migrations.AddConstraint(
            model_name="forcedvariant",
            constraint=models.UniqueConstraint(fields=("experiment", "unit"), name="tester_has_one_variant"),
        ),
        migrations.AddConstraint(
            model_name="forcedvariant",
            constraint=models.CheckConstraint(
                condition=models.Q(models.Q(("unit", ""), _negated=True), models.Q(("variant", ""), _negated=True)),
                name="forced_variant_names_both",
            ),
        ),
        migrations.AddConstraint(
            model_name="traffic",
            constraint=django.contrib.postgres.constraints.ExclusionConstraint(
                expressions=[("layer", "="), ("buckets", "&&"), ("days", "&&")],
                name="traffic_of_a_layer_does_not_overlap",
            ),
        ),
        migrations.AddConstraint(
            model_name="traffic",
            constraint=django.contrib.postgres.constraints.ExclusionConstraint(
                expressions=[("salt", "="), ("days", "&&")], name="traffic_salts_differ"
            ),
        ),
        migrations.AddConstraint(
            model_name="traffic",
            constraint=models.UniqueConstraint(
                condition=models.Q(("held_out__isnull", False)),
                fields=("salt",),
                name="holdout_salt_is_never_used_again",
            ),
        ),
        migrations.AddConstraint(
            model_name="traffic",
            constraint=models.CheckConstraint(
                condition=models.Q(("salt__regex", "^[^:]+$")), name="traffic_salt_has_no_colon"
            ),
        ),
        migrations.AddConstraint(
            model_name="traffic",
            constraint=models.CheckConstraint(
                condition=models.Q(("days__startswith__isnull", False), ("days__isempty", False)),
                name="traffic_has_days",
            ),
        ),
        migrations.AddConstraint(
            model_name="traffic",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("buckets__isnull", True),
                    models.Q(("buckets__contained_by", (0, 10000)), ("buckets__isempty", False)),
                    _connector="OR",
                ),
                name="traffic_buckets_are_buckets",
            ),
        ),
        migrations.AddConstraint(
            model_name="traffic",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("buckets__isnull", False), ("layer__isnull", False)),
                    models.Q(("buckets__isnull", True), ("layer__isnull", True)),
                    _connector="OR",
                ),
                name="traffic_buckets_are_of_a_layer",
            ),
        ),
        migrations.AddConstraint(
            model_name="traffic",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("held_out__isnull", True),
                    models.Q(
                        ("held_out__gte", 1),
                        ("held_out__lte", 5000),
                        ("entered__isnull", True),
                        ("layer__isnull", True),
                    ),
                    _connector="OR",
                ),
                name="traffic_slice_is_of_a_holdout",
            ),
        ),
        migrations.AddConstraint(
            model_name="traffic",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("entered__isnull", False), ("frozen_at__isnull", False)),
                    models.Q(("entered__isnull", True), ("frozen_at__isnull", True)),
                    _connector="OR",
                ),
                name="traffic_frozen_knows_who_entered",
            ),
        ),
        migrations.AddConstraint(
            model_name="holdoutmember",
            constraint=models.UniqueConstraint(fields=("holdout", "member"), name="holdout_member_is_unique"),
        ),
        migrations.RunSQL(_kept_traffic.CREATE, _kept_traffic.DROP),
    ]
