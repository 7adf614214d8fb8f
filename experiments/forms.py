"""Forms: what people may type, checked before a service is asked. A wrong value is named, with what is allowed."""

import json
from collections.abc import Sequence
from typing import Any, get_args

from django import forms

from analysis.results import Action
from experiments.models import Person
from experiments.models.person import ROLES
from experiments.models.token import SCOPES
from experiments.services.entry import LONGEST_UNIT
from experiments.services.keys import LONGEST_NAME as LONGEST_KEY_NAME
from experiments.services.tokens import IN_WORDS, LONGEST_NAME

LONGEST_REASON = 2000
LONGEST_ATTRIBUTES = 8000

ACTION_WORDS: dict[Action, tuple[str, str]] = {
    "launch": ("Launch", "Everybody gets the treatment."),
    "launch_with_holdback": ("Launch with holdback", "Everybody but a small control group, which is read on."),
    "keep_running": ("Keep running", "Nothing changes; the next look decides."),
    "stop": ("Stop", "It ends, and the treatment is not launched."),
    "roll_back": ("Roll back", "Everybody goes back to control."),
}

NO_ROLE = "none"
ROLE_CHOICES = [*((role, role) for role in ROLES), (NO_ROLE, "no role")]


class DecideForm(forms.Form):
    """A decision on one treatment. ``recommended`` needs no reason."""

    action = forms.ChoiceField(
        choices=[(action, ACTION_WORDS[action][0]) for action in get_args(Action)],
        error_messages={"required": "Choose what is decided."},
    )
    reason = forms.CharField(required=False, max_length=LONGEST_REASON, strip=True)
    confirmed = forms.BooleanField(error_messages={"required": "Confirm that you have read the evidence."})
    look = forms.IntegerField(required=False, widget=forms.HiddenInput)
    revision = forms.IntegerField(widget=forms.HiddenInput)

    def __init__(self, *args: Any, recommended: Action | None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.recommended = recommended

    def clean(self) -> dict[str, Any]:
        values = super().clean() or {}
        action = values.get("action")
        if action and action != self.recommended and not values.get("reason") and "reason" not in self.errors:
            self.add_error("reason", "This is not what is recommended: say why.")
        return values


class VerbForm(forms.Form):
    """The confirmation of a change of state, with the revision that was looked at."""

    revision = forms.IntegerField(widget=forms.HiddenInput)


class ReleaseForm(forms.Form):
    """The confirmation that a holdout is released, and why."""

    reason = forms.CharField(
        max_length=LONGEST_REASON, strip=True, widget=forms.Textarea(attrs={"rows": 3}),
        error_messages={"required": "Say why; it stands in the history for good."},
    )  # fmt: skip
    revision = forms.IntegerField(widget=forms.HiddenInput)


class RoleForm(forms.Form):
    role = forms.ChoiceField(choices=ROLE_CHOICES)


class ActiveForm(forms.Form):
    active = forms.TypedChoiceField(choices=[("yes", "enabled"), ("no", "disabled")], coerce=lambda text: text == "yes")


#: For how many days a token is good.
LIVES = [("30", "30 days"), ("90", "90 days"), ("365", "a year"), ("", "until it is revoked")]


class TokenForm(forms.Form):
    """A new token of one's own."""

    name = forms.CharField(
        max_length=LONGEST_NAME, strip=True, error_messages={"required": "Say what the token is for."}
    )
    scopes = forms.MultipleChoiceField(
        choices=[(scope, IN_WORDS[scope]) for scope in SCOPES],
        error_messages={"required": "Choose what it may be used for."},
    )
    days = forms.TypedChoiceField(choices=LIVES, coerce=int, empty_value=None, required=False, initial="90")


class KeyForm(forms.Form):
    """A new key of a program. What an origin is, ``services.keys`` says."""

    name = forms.CharField(
        max_length=LONGEST_KEY_NAME, strip=True, error_messages={"required": "Say which program it is for."}
    )
    kind = forms.ChoiceField(
        choices=[
            ("server", "a server: the key is a secret"),
            ("client", "web pages: everybody can read the key, and it works from their origins alone"),
        ],
        widget=forms.RadioSelect,
        error_messages={"required": "Choose where the program runs."},
    )
    origins = forms.CharField(
        required=False, max_length=4000, strip=True,
        widget=forms.Textarea(attrs={"rows": 3, "spellcheck": "false", "aria-describedby": "origins-help"}),
    )  # fmt: skip

    def clean_origins(self) -> list[str]:
        """One origin a line."""
        return [line.strip() for line in self.cleaned_data["origins"].splitlines() if line.strip()]


class ConsoleForm(forms.Form):
    """Which flag is asked for which unit; ``attributes`` come out as a mapping."""

    flag = forms.ChoiceField(error_messages={"required": "Choose a flag."})
    unit = forms.CharField(
        max_length=LONGEST_UNIT, strip=False, error_messages={"required": "Name a unit, as programs name it."},
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
    )  # fmt: skip
    attributes = forms.CharField(
        required=False, max_length=LONGEST_ATTRIBUTES,
        widget=forms.Textarea(attrs={"rows": 3, "spellcheck": "false", "aria-describedby": "attributes-help"}),
    )  # fmt: skip
    day = forms.DateField(required=False, widget=forms.DateInput(attrs={"type": "date"}))

    def __init__(self, *args: Any, flags: Sequence[str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["flag"]
        assert isinstance(field, forms.ChoiceField)
        field.choices = [(key, key) for key in flags]

    def clean_attributes(self) -> dict[str, Any]:
        try:
            found = attributes_of(self.cleaned_data["attributes"])
            json.dumps(found, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            raise forms.ValidationError("Half a character (a lone surrogate) is no text.") from error
        except (ValueError, RecursionError) as error:
            raise forms.ValidationError(str(error)) from error
        return found


class TesterForm(forms.Form):
    """A tester with a variant, or with ``remove`` without one. Lengths are said by ``services.entry``."""

    unit = forms.CharField(
        strip=False, error_messages={"required": "Name a unit, as programs name it."},
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
    )  # fmt: skip
    variant = forms.ChoiceField(error_messages={"required": "Choose a variant."})

    def __init__(self, *args: Any, variants: Sequence[str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["variant"]
        assert isinstance(field, forms.ChoiceField)
        field.choices = [(key, key) for key in variants]
        field.required = "remove" not in self.data


def attributes_of(text: str) -> dict[str, Any]:
    """Read attributes: a JSON object, or one ``name=value`` a line. Raises ValueError.

    A value of a line that is a number, true or false in JSON is one, as is text in quotes; anything else is text.
    """
    if text.lstrip().startswith("{"):
        try:
            found = json.loads(text)
        except ValueError as error:
            raise ValueError(f"This is no JSON object: {error}.") from error
        assert isinstance(found, dict)
        return found
    pairs = {}
    for number, line in enumerate(text.splitlines(), start=1):
        name, equals, value = line.partition("=")
        if not line.strip():
            continue
        if not equals or not name.strip():
            raise ValueError(f"Line {number} is {line.strip()[:80]!r}; write name=value, or one JSON object for all.")
        pairs[name.strip()] = _value(value.strip())
    return pairs


def _value(text: str) -> Any:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return found if isinstance(found, str | int | float) else text


class OwnerForm(forms.Form):
    """Assign somebody to an experiment, or take it back."""

    person = forms.ModelChoiceField(queryset=Person.objects.none())
    assigned = forms.TypedChoiceField(choices=[("yes", "assign"), ("no", "remove")], coerce=lambda text: text == "yes")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["person"]
        assert isinstance(field, forms.ModelChoiceField)
        field.queryset = Person.objects.filter(is_active=True, demo_run__isnull=True, role__in=("owner", "admin"))
