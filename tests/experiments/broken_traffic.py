"""Statements that break a rule of the tables behind traffic and keys, with the rule that refuses each."""

from experiments.services import entry, keys
from tests.experiments.traffic_world import NEXT_MONDAY, NOW, experiment, holdout, put

_A = "WHERE experiment_id = (SELECT id FROM experiments_experiment WHERE key = 'a')"
_WINTER = "WHERE experiment_id = (SELECT id FROM experiments_experiment WHERE key = 'winter')"
_ONE = "WHERE name = 'one'"


def _traffic(change: str, where: str = _A) -> str:
    return f"UPDATE experiments_traffic SET {change} {where}"


def _key(change: str) -> str:
    return f"UPDATE experiments_sdkkey SET {change} {_ONE}"


def _twice(table: str, columns: str, values: str) -> str:
    return f"INSERT INTO {table} ({columns}) SELECT {values} FROM {table}"


REFUSED = [
    ("traffic_of_a_layer_does_not_overlap", _traffic("buckets = int4range(0, 3001)")),
    ("traffic_buckets_are_buckets", _traffic("buckets = int4range(9000, 10001)")),
    ("traffic_buckets_are_buckets", _traffic("buckets = int4range(-1, 10)")),
    ("traffic_buckets_are_buckets", _traffic("buckets = 'empty'")),
    ("traffic_buckets_are_of_a_layer", _traffic("buckets = NULL")),
    ("traffic_buckets_are_of_a_layer", _traffic("layer_id = NULL")),
    ("traffic_has_days", _traffic("days = 'empty'")),
    ("traffic_has_days", _traffic("days = daterange(NULL, '2024-01-01')")),
    ("traffic_salt_has_no_colon", _traffic("salt = 'a:b'")),
    ("traffic_salt_has_no_colon", _traffic("salt = ''")),
    ("traffic_slice_is_of_a_holdout", _traffic("held_out = 500")),
    ("traffic_slice_is_of_a_holdout", _traffic("held_out = 0", _WINTER)),
    ("traffic_slice_is_of_a_holdout", _traffic("held_out = 5001", _WINTER)),
    ("traffic_slice_is_of_a_holdout", _traffic("frozen_at = now(), entered = 'x'", _WINTER)),
    ("traffic_frozen_knows_who_entered", _traffic("frozen_at = now()")),
    ("traffic_frozen_knows_who_entered", _traffic("entered = 'x'")),
    ("traffic_salts_differ", _traffic("salt = 'b'")),
    ("holdout_salt_is_never_used_again",
     _traffic("salt = 'spring', days = daterange('2020-01-01', '2020-02-01')", _WINTER)),
    ("layer_key_is_well_formed", "UPDATE experiments_layer SET key = 'Search/1'"),
    ("holdout_member_is_unique",
     _twice("experiments_holdoutmember", "holdout_id, member_id", "holdout_id, member_id")),
    ("tester_has_one_variant",
     _twice("experiments_forcedvariant", "experiment_id, unit, variant", "experiment_id, unit, 'treatment'")),
    ("forced_variant_names_both", "UPDATE experiments_forcedvariant SET unit = ''"),
    ("forced_variant_names_both", "UPDATE experiments_forcedvariant SET variant = ''"),
    ("sdk_key_name_is_unique", _key("name = 'two'")),
    ("sdk_key_digest_is_sha256", _key("digest = 'hfs_secret'")),
    ("sdk_key_has_a_name", _key("name = ''")),
    ("sdk_key_has_a_name", _key("hint = ''")),
    ("sdk_key_origins_belong_to_clients", _key("kind = 'client'")),
    ("sdk_key_origins_belong_to_clients", _key("origins = '[\"https://a.example.com\"]'")),
    ("sdk_key_origins_belong_to_clients", _key("kind = 'other'")),
    ("sdk_key_is_revoked_after_it_was_made", _key("revoked_at = created_at - interval '1 day'")),
]  # fmt: skip


def world() -> None:
    """Drafts, which no trigger keeps as they are, a tester and two keys."""
    later = {"start_date": NEXT_MONDAY}
    put(holdout(members=["a"], **later), holdout("spring", **later))
    put(*(experiment(key, layer="search", share=0.3, **later) for key in ("a", "b")))
    entry.force("a", "me", "control", by="x", now=NOW)
    for name in ("one", "two"):
        keys.create(name, "server", [], by="x", now=NOW)
