"""Rows of experiments' lives, people, tokens, drafts, decisions and the audit log that the database has to refuse.

For ``test_models_constraints``, where each rule is broken.
"""

from datetime import timedelta
from typing import Any

from django.db import models

from experiments.models import ApiToken, AuditEntry, Decision, Draft, EventName, Experiment, Person
from tests.experiments.looks import NOW

Refused = list[tuple[str, type[models.Model], dict[str, Any]]]

BEFORE = NOW - timedelta(days=1)
CLOSED = {"state": "enrollment_closed", "enrollment_closed_at": NOW}
DECIDED = {"state": "decided", "outcome": "launched", "decided_at": NOW}
ARCHIVED = {**DECIDED, "state": "archived", "archived_at": NOW}

#: Complete and proper lives, which the cases below spoil in one way each.
PROPER: list[dict[str, Any]] = [CLOSED, DECIDED, ARCHIVED, {**CLOSED, **DECIDED}]

#: Values that a rule refuses, tried with an UPDATE of a running experiment, of a person or a token.
REFUSED: Refused = [
    *(
        ("experiment_state_fits_its_dates", Experiment, values)
        for values in (
            {"state": "in_review"}, {"archived_at": NOW}, {"outcome": "launched"}, {"decided_at": NOW},
            {"enrollment_closed_at": NOW}, {**CLOSED, "enrollment_closed_at": None}, {**CLOSED, "outcome": "launched"},
            {**CLOSED, "plan": None}, {**CLOSED, "decided_at": NOW}, {**CLOSED, "archived_at": NOW},
            {**DECIDED, "outcome": None}, {**DECIDED, "decided_at": None}, {**DECIDED, "archived_at": NOW},
            {**DECIDED, "started_at": None}, {**DECIDED, "plan": None},
            {**ARCHIVED, "archived_at": None}, {**ARCHIVED, "outcome": None}, {**ARCHIVED, "started_at": None},
            {"state": "archived", "archived_at": NOW},
        )
    ),
    ("experiment_outcome_is_known", Experiment, {**DECIDED, "outcome": "celebrated"}),
    ("experiment_dates_are_in_order", Experiment, {**CLOSED, "enrollment_closed_at": BEFORE}),
    ("experiment_dates_are_in_order", Experiment, {**DECIDED, "decided_at": BEFORE}),
    ("experiment_dates_are_in_order", Experiment, {**ARCHIVED, "archived_at": BEFORE}),
    ("person_role_is_known", Person, {"role": "emperor"}),
    ("person_role_is_known", Person, {"role": ""}),
    ("person_email_is_lower_case", Person, {"email": "Owner@example.com"}),
    ("person_email_is_lower_case", Person, {"email": ""}),
    ("person_demo_run_has_a_name", Person, {"demo_run": ""}),
    ("token_scopes_are_known", ApiToken, {"scopes": []}),
    ("token_scopes_are_known", ApiToken, {"scopes": ["read", "all"]}),
    ("token_is_hashed", ApiToken, {"digest": "hf_secret"}),
    ("token_has_a_name", ApiToken, {"name": ""}),
    ("token_has_a_name", ApiToken, {"prefix": ""}),
    ("token_lives", ApiToken, {"expires_at": NOW}),
    ("draft_dates_are_in_order", Draft, {"updated_at": BEFORE}),
    ("draft_of_an_experiment_has_seen_it", Draft, {"seen_revision": 3}),
    ("event_name_has_a_type", EventName, {"type": "text"}),
]  # fmt: skip

BLIND = {"look": None, "document": None, "recommended": None}

#: The same for rows that cannot be updated at all: tried with an INSERT of a valid row that is changed in this way.
REFUSED_NEW: Refused = [
    ("audit_names_who_did_what", AuditEntry, {"actor": ""}),
    ("audit_names_who_did_what", AuditEntry, {"verb": ""}),
    ("audit_names_who_did_what", AuditEntry, {"object_key": ""}),
    ("audit_object_kind_is_known", AuditEntry, {"object_kind": "weather"}),
    ("decision_action_is_known", Decision, {"action": "celebrate", "reason": "why not"}),
    ("decision_recommendation_is_known", Decision, {"recommended": "celebrate", "reason": "why not"}),
    ("decision_against_advice_has_a_reason", Decision, {"action": "launch"}),
    ("decision_against_advice_has_a_reason", Decision, {"recommended": None}),
    ("decision_against_advice_has_a_reason", Decision, {**BLIND, "action": "stop"}),
    ("decision_rests_on_a_look", Decision, {"look": None}),
    ("decision_rests_on_a_look", Decision, {"document": None}),
    ("decision_rests_on_a_look", Decision, {"look": None, "document": None}),
    ("decision_rests_on_a_look", Decision, {**BLIND, "action": "launch", "reason": "why not"}),
]

TWICE: Refused = [
    ("decision_is_the_only_one_at_once", Decision, {"variant": "other"}),
    ("event_name_is_unique", EventName, {}),
]
