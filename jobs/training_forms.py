"""The form of a training. Its hyperparameters come from the trainer's config: one source for API, OpenAPI and form."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django import forms
from pydantic import BaseModel

from automl_site.errors import Forbidden, InvalidSpec
from datasets_app.models import Dataset
from jobs.hyperparameter_fields import MAX_TEXT, as_text, field_of
from jobs.models import LOWEST_PRIORITY, Job
from jobs.routing import QUEUES, TRAINING_QUEUES
from jobs.services.limits import check_priority, highest_priority
from jobs.services.submission import available_model_types
from tracking.models import Project, User
from trainers import registry
from trainers.configs.checks import from_text

GROUPS = ("Data", "Model", "Advanced")
OTHER = "other"  # of the model types: one whose name is typed
MORE = "more_hyperparameters"
MAX_PROJECTS = 200


@dataclass(frozen=True)
class DataKind:
    """What a family of trainers learns from: words for it, and what a file picker and the list of data sets show."""

    title: str
    hint: str
    accept: str  # suffixes of what is uploaded for it
    formats: tuple[str, ...]  # of the data sets that are offered for it


_TABLE_SUFFIXES = ".csv,.tsv,.parquet"
_TABLE_FORMATS = (Dataset.Format.CSV.value, Dataset.Format.PARQUET.value)
_RECORD_SUFFIXES = f"{_TABLE_SUFFIXES},.jsonl,.ndjson,.json"
_RECORD_FORMATS = (*_TABLE_FORMATS, Dataset.Format.JSONL.value, Dataset.Format.JSON.value)
TABLES = DataKind(
    "Tables",
    "CSV with a header row, Parquet, JSON lines or a JSON array: one row an example.",
    _RECORD_SUFFIXES,
    _RECORD_FORMATS,
)
IMAGES = DataKind(
    "Images",
    "A zip with a folder of images for each class, or with a CSV of paths and labels; Parquet with the images in it. "
    "A folder under /data/ is named by its path.",
    f".zip,{_TABLE_SUFFIXES}",
    (Dataset.Format.ZIP.value, *_TABLE_FORMATS),
)
TEXT = DataKind(
    "Text",
    "CSV, JSON lines, JSON or Parquet with a column of texts; plain text; a zip of such files. "
    "A folder under /data/ is named by its path.",
    f".txt,.md,.zip,{_RECORD_SUFFIXES}",
    (Dataset.Format.TXT.value, Dataset.Format.ZIP.value, *_RECORD_FORMATS),
)


ANYTHING = DataKind(
    "Any other",
    "For texts: CSV, JSON or Parquet with a column of texts, or plain text. For images: a zip with a folder of images "
    "for each class. Files and folders under /data/ are named by their path.",
    TEXT.accept,
    TEXT.formats,
)


def data_kind(config: type[BaseModel] | None) -> DataKind:
    """What a trainer with this config learns from."""
    named = {"image_column", "text_column"} & set(config.model_fields) if config else set()
    if config is None or len(named) > 1:
        return ANYTHING
    return IMAGES if "image_column" in named else TEXT if named else TABLES


def model_type_choices() -> list[tuple[str, list[tuple[str, str]]]]:
    """(family, [(model type, its title)]): those that can be trained here, and at the end the one to be named."""
    families: dict[str, list[tuple[str, str]]] = {kind.title: [] for kind in (TABLES, IMAGES, TEXT)}
    for name in available_model_types():
        info = registry.get(name)
        families[data_kind(info.config).title].append((name, info.title))
    families[ANYTHING.title] = [(OTHER, "Another architecture…")]
    return [(family, types) for family, types in families.items() if types]


def default_model_type() -> str:
    """The first of the list."""
    return model_type_choices()[0][1][0][0]


class TrainingForm(forms.Form):
    """What every training has, whatever its model type."""

    data_path = forms.CharField(
        label="Data set or path",
        max_length=1000,
        help_text="The id of a data set, or a path under /data/ or s3://.",
        widget=forms.TextInput(attrs={"list": "data-paths", "autocomplete": "off"}),
    )
    model_type = forms.ChoiceField(label="Model type")
    architecture = forms.CharField(
        label="Architecture",
        max_length=100,
        required=False,
        help_text="The name of an architecture of the Hugging Face registry: distilbert, llama, vit…",
        widget=forms.TextInput(attrs={"autocomplete": "off", "autocapitalize": "none", "spellcheck": "false"}),
    )
    description = forms.CharField(
        label="Description",
        max_length=5000,
        required=False,
        help_text="Optional; it becomes the run's name.",
    )
    project = forms.ChoiceField(
        label="Project", required=False, help_text="Who may see it sees the job, its run and its model."
    )
    framework_override = forms.ChoiceField(
        label="Queue", required=False, help_text="Which workers train it. The model type says so, if you do not."
    )
    priority = forms.IntegerField(
        label="Priority",
        required=False,
        help_text=f"Jobs of a higher one go first: from {LOWEST_PRIORITY}, for what can wait; above 0 by operators.",
        widget=forms.TextInput(attrs={"placeholder": "Default: 0", "autocomplete": "off"}),
    )
    timeout = forms.FloatField(
        label="Time limit",
        required=False,
        help_text="Longest time that it may run. Without one the operator's holds, where there is one.",
        widget=forms.TextInput(attrs={"inputmode": "decimal", "autocomplete": "off", "placeholder": "None"}),
    )
    timeout.unit = "seconds"
    requires_gpu = forms.BooleanField(
        label="Needs a GPU", required=False, help_text="It waits for a worker that has one."
    )

    def __init__(self, *args: Any, user: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._user = user
        self.fields["model_type"].choices = model_type_choices()
        projects = Project.objects.changeable_by(user).live().exclude(kind=Project.Kind.JOBS, owner_id=user.pk)
        named = projects.order_by("name", "pk").values_list("pk", "name")[:MAX_PROJECTS]
        self.fields["project"].choices = [("", "Jobs (your own)"), *((str(pk), name) for pk, name in named)]
        queues = [(name, QUEUES[name].title) for name in TRAINING_QUEUES]
        self.fields["framework_override"].choices = [("", "By the model type"), *queues]

    def clean_priority(self) -> int:
        priority: int = self.cleaned_data["priority"] or 0
        try:
            check_priority(self._user, priority)
        except InvalidSpec as error:
            raise forms.ValidationError(list(error.errors["priority"])) from error
        except Forbidden as error:  # which names no field by itself
            raise forms.ValidationError(error.message) from error
        return priority

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        if cleaned.get("model_type") == OTHER and not cleaned.get("architecture"):
            self.add_error("architecture", "Name the architecture, or choose a model type of the list.")
        return cleaned

    def order(self) -> dict[str, Any]:
        """The keyword arguments of `training_submit`, without its hyperparameters. Of a valid form."""
        given = self.cleaned_data
        return {
            "model_type": given["architecture"].strip() if given["model_type"] == OTHER else given["model_type"],
            "data_path": given["data_path"],
            "description": given["description"],
            "requires_gpu": given["requires_gpu"],
            "framework_override": given["framework_override"],
            "project_id": int(given["project"]) if given["project"] else None,
            "priority": given["priority"],
            "timeout": given["timeout"],
        }

    def add_spec_errors(self, errors: Mapping[str, Sequence[str]]) -> None:
        """Put a service's errors at this form's fields; those of hyperparameters belong to the other form."""
        for field, sentences in errors.items():
            if field == "model_type" and self.cleaned_data.get("model_type") == OTHER:
                field = "architecture"
            if not field.startswith("hyperparameters."):
                self.add_error(field if field in self.fields else None, list(sentences))


class HyperparameterForm(forms.Form):
    """The fields of one trainer's config. An empty field means the trainer's default, which is its placeholder.

    What takes hyperparameters that are no field here, as architectures known by their name only do, gets them as JSON.
    """

    def __init__(self, model_type: str, *args: Any, columns: Sequence[str] = (), **kwargs: Any) -> None:
        super().__init__(*args, prefix="hp", **kwargs)
        try:
            self.config: type[BaseModel] | None = registry.get(model_type).config
        except registry.UnknownTrainer:
            self.config = None
        self.groups: dict[str, list[str]] = {group: [] for group in GROUPS}
        schemas = self.config.model_json_schema().get("properties", {}) if self.config else {}
        for name, schema in schemas.items():
            self.fields[name] = field_of(name, schema, columns)
            self.groups[schema.get("group", "Advanced")].append(name)
        is_open = self.config is None or self.config.model_config.get("extra") == "allow"
        if is_open or self.initial.get(MORE) or self.data.get(self.add_prefix(MORE)):
            self.fields[MORE] = forms.CharField(
                label="More hyperparameters",
                required=False,
                max_length=MAX_TEXT,
                help_text='The architecture\'s own settings as a JSON object: {"num_hidden_layers": 4}',
                widget=forms.Textarea(attrs={"rows": 3, "spellcheck": "false"}),
            )
            self.groups["Model"].append(MORE)

    def grouped(self) -> list[tuple[str, list[forms.BoundField]]]:
        """(group, its fields) in the order in which a page shows them."""
        return [(group, [self[name] for name in names]) for group, names in self.groups.items() if names]

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        text = cleaned.get(MORE) or ""
        try:
            more = json.loads(text, parse_constant=str) if text.strip() else {}
        except (ValueError, RecursionError):
            more = None
        if not isinstance(more, dict):
            self.add_error(MORE, 'This must be a JSON object: {"name": value}.')
            more = {}
        cleaned[MORE] = more
        return cleaned

    def values(self) -> dict[str, Any]:
        """The hyperparameters that were filled in, typed. Of a valid form."""
        typed = {name: str(text) for name, text in self.cleaned_data.items() if name != MORE and text}
        return {**self.cleaned_data[MORE], **(from_text(self.config, typed) if self.config else {})}

    def as_typed(self, texts: Mapping[str, str]) -> dict[str, Any]:
        """The hyperparameters that these texts make, right or wrong; those that are no field here are left out."""
        try:
            more = json.loads(texts.get(MORE, "{}"), parse_constant=str)
        except (ValueError, RecursionError):
            more = {}
        known = {name: text for name, text in texts.items() if name in self.fields and name != MORE}
        return {**(more if isinstance(more, dict) else {}), **(from_text(self.config, known) if self.config else {})}

    def add_spec_errors(self, errors: Mapping[str, Sequence[str]]) -> None:
        """Put a service's errors at the fields of the hyperparameters that they name."""
        for field, sentences in errors.items():
            name = field.removeprefix("hyperparameters.")
            if name == field:
                continue
            if name in self.fields:
                self.add_error(name, list(sentences))
            else:
                self.add_error(MORE if MORE in self.fields else None, [f"{name} {each}" for each in sentences])


def initial_order(job: Job, user: User) -> dict[str, Any]:
    """A job's order as the form's texts, as `user` may give it: the start of "run again with changes"."""
    known = job.model_type in available_model_types()
    return {
        "model_type": job.model_type if known else OTHER,
        "architecture": "" if known else job.model_type,
        "data_path": job.data_path,
        "description": job.description,
        "project": str(job.project_id or ""),
        "requires_gpu": job.requires_gpu,
        "framework_override": job.framework_override,
        "priority": min(job.priority, highest_priority(user)) or None,
        "timeout": job.timeout_seconds,
    }


def initial_hyperparameters(job: Job) -> dict[str, Any]:
    """A job's hyperparameters as the form's texts; those that are no field of it stand together, as JSON."""
    try:
        known = set(registry.get(job.model_type).config.model_fields)
    except registry.UnknownTrainer:
        known = set()
    more = {name: value for name, value in job.hyperparameters.items() if name not in known}
    texts = {name: as_text(value) for name, value in job.hyperparameters.items() if name in known}
    return texts | ({MORE: json.dumps(more)} if more else {})
