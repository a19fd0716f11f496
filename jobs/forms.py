"""Forms of the pages. The fields of a training come from its trainer's config: one source for API, OpenAPI and form."""

from collections.abc import Mapping, Sequence
from typing import Any

from django import forms

from jobs.models import Job
from jobs.services.submission import available_model_types
from trainers import registry
from trainers.configs.checks import from_text, in_words

GROUPS = ("Data", "Model", "Advanced")
HYPERPARAMETER = "hp-"


class TrainingForm(forms.Form):
    """What every training has, whatever its model type."""

    model_type = forms.ChoiceField(label="Model type")
    data_path = forms.CharField(
        label="Data set or path",
        max_length=1000,
        help_text="The id of a data set, or a path under /data/ or s3://.",
        widget=forms.TextInput(attrs={"list": "data-paths", "autocomplete": "off"}),
    )
    description = forms.CharField(
        label="Description",
        max_length=5000,
        required=False,
        help_text="Optional; it becomes the run's name.",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["model_type"].choices = [(name, registry.get(name).title) for name in available_model_types()]

    def add_spec_errors(self, errors: Mapping[str, Sequence[str]]) -> None:
        """Put a service's errors at this form's fields; those of hyperparameters belong to the other form."""
        for field, sentences in errors.items():
            if not field.startswith("hyperparameters."):
                self.add_error(field if field in self.fields else None, list(sentences))


class HyperparameterForm(forms.Form):
    """The fields of one trainer's config. An empty field means the trainer's default, which is its placeholder."""

    def __init__(self, model_type: str, *args: Any, columns: Sequence[str] = (), **kwargs: Any) -> None:
        super().__init__(*args, prefix="hp", **kwargs)
        self.config = registry.get(model_type).config
        self.groups: dict[str, list[str]] = {group: [] for group in GROUPS}
        for name, schema in self.config.model_json_schema()["properties"].items():
            self.fields[name] = _field(name, schema, columns)
            self.groups[schema.get("group", "Advanced")].append(name)

    def grouped(self) -> list[tuple[str, list[forms.BoundField]]]:
        """(group, its fields) in the order in which a page shows them."""
        return [(group, [self[name] for name in names]) for group, names in self.groups.items() if names]

    def values(self) -> dict[str, Any]:
        """The hyperparameters that were filled in, typed."""
        return from_text(self.config, {name: str(text) for name, text in self.cleaned_data.items() if text})

    def add_spec_errors(self, errors: Mapping[str, Sequence[str]]) -> None:
        for field, sentences in errors.items():
            name = field.removeprefix("hyperparameters.")
            if name != field:
                self.add_error(name if name in self.fields else None, list(sentences))


class TryForm(forms.Form):
    """One row of a model's inputs, for trying it; columns that the model ignores are not asked for."""

    def __init__(self, columns: Sequence[Mapping[str, Any]], *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, prefix="in", **kwargs)
        asked = [column for column in columns if column.get("kind") != "ignored"]
        self.names = [column["name"] for column in asked]
        # By position: a column's name may hold what an element's id must not, spaces for one.
        for position, column in enumerate(asked):
            examples = [str(example) for example in column.get("examples", [])]
            self.fields[str(position)] = forms.CharField(
                label=column["name"],
                required=False,
                max_length=10_000,
                initial=examples[0] if examples else "",
                help_text=column.get("kind", ""),
            )

    def row(self) -> dict[str, Any]:
        """The row as an inference takes it; an empty field is a missing value."""
        texts = (self.cleaned_data[str(position)] for position in range(len(self.names)))
        return {name: text if text != "" else None for name, text in zip(self.names, texts, strict=True)}


def initial_hyperparameters(job: Job) -> dict[str, Any]:
    """What a job was given, as the form's texts: the start of "run again with changes"."""
    return {name: _as_text(value) for name, value in job.hyperparameters.items()}


def _field(name: str, schema: Mapping[str, Any], columns: Sequence[str]) -> forms.Field:
    default = _as_text(schema.get("default"))
    common: dict[str, Any] = {
        "label": schema.get("title", name),
        "required": False,
        "help_text": _help(schema),
    }
    if name == "target" and columns:
        choices = [("", f"Last column ({columns[-1]})"), *((column, column) for column in columns)]
        return forms.ChoiceField(choices=choices, **common)
    if schema.get("type") == "boolean":
        said = "yes" if schema.get("default") else "no"
        return forms.ChoiceField(choices=[("", f"Default ({said})"), ("true", "Yes"), ("false", "No")], **common)
    if "enum" in schema:
        others = [(str(option), str(option)) for option in schema["enum"]]
        return forms.ChoiceField(choices=[("", f"Default ({default})"), *others], **common)
    placeholder = "The last column" if name == "target" else f"Default: {default}"
    widget = forms.TextInput(attrs={"placeholder": placeholder, "autocomplete": "off"})
    return forms.CharField(max_length=10_000, widget=widget, **common)


def _help(schema: Mapping[str, Any]) -> str:
    # Where a field takes things of several kinds, its description tells them apart.
    allowed = in_words(schema) if schema.get("type") in ("integer", "number") else ""
    parts = [schema.get("description", ""), f"Takes {allowed}." if allowed else ""]
    return " ".join(part for part in parts if part)


def _as_text(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict | list):
        import json

        return json.dumps(value)
    return str(value)
