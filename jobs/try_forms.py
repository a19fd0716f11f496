"""Forms to try a model on its page: rows of a table, an image, a text, a prompt. Each makes an inference's order."""

import re
from base64 import b64encode
from typing import Any

from django import forms
from django.http import HttpRequest

from automl_site.errors import InvalidSpec, TooLarge
from jobs.forms import TryForm
from jobs.models import TrainedModel

Order = tuple[Any, dict[str, Any]]  # an inference's input_data and parameters

# A form of more fields than this is no help; such a model is tried by pasting rows.
TRY_FIELDS = 60
MAX_IMAGE_BYTES = 8_000_000  # a third more as text, which has to fit into one request of the API
MAX_TEXT = 100_000  # characters
TOP_K = 5
_IMAGE_TYPE = re.compile(r"image/[\w.+-]{1,60}")


class RowsForm:
    """A row's fields, or pasted rows."""

    template = "models/_try_rows.html"

    def __init__(self, model: TrainedModel, request: HttpRequest | None = None) -> None:
        columns = model.schema.get("columns", [])
        self.rows = request.POST.get("rows", "") if request else ""
        self.form = TryForm(columns if len(columns) <= TRY_FIELDS else [], request.POST if request else None)
        self._parameters: dict[str, Any] = {"probability": True} if model.task == "classification" else {}

    def order(self) -> Order:
        """What was pasted, else the row of the fields. Raises InvalidSpec."""
        if pasted := self.rows.strip():
            return pasted, self._parameters
        if not self.form.fields:
            raise InvalidSpec("Paste at least one row.")
        if not self.form.is_valid():
            raise _refused(self.form)
        return [self.form.row()], self._parameters


class _TaskForm(forms.Form):
    """A form whose optional numbers are the inference's parameters of the same names."""

    template: str
    parameters: tuple[str, ...] = ()

    def __init__(self, model: TrainedModel, request: HttpRequest | None = None) -> None:
        data, files = (request.POST, request.FILES) if request else (None, None)
        super().__init__(data, files, prefix="try")

    def order(self) -> Order:
        """What was filled in. Raises InvalidSpec, TooLarge."""
        if not self.is_valid():
            raise _refused(self)
        asked = {name: self.cleaned_data[name] for name in self.parameters if self.cleaned_data[name] is not None}
        return self.input_data(), asked

    def input_data(self) -> Any:
        """The inference's input. Raises InvalidSpec, TooLarge."""
        raise NotImplementedError


class ImageForm(_TaskForm):
    """An image of the reader's own, or one that the platform has."""

    template = "models/_try_image.html"
    parameters = ("top_k",)

    image = forms.FileField(label="Image", required=False, allow_empty_file=True)
    path = forms.CharField(
        label="Or images on the platform",
        required=False,
        max_length=1000,
        help_text="A path under /data/, an s3:// address, or a data set's id.",
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )
    top_k = forms.IntegerField(label="Classes shown", min_value=1, max_value=100, initial=TOP_K, required=False)

    def input_data(self) -> Any:
        image, path = self.cleaned_data["image"], self.cleaned_data["path"].strip()
        if not image:
            if not path:
                raise InvalidSpec("Choose an image, or name one that the platform has.")
            return path
        if not image.size:
            raise InvalidSpec(f"{image.name} is empty.")
        if image.size > MAX_IMAGE_BYTES:
            raise TooLarge(
                f"{image.name} has {image.size:,} bytes; {MAX_IMAGE_BYTES:,} can be tried here. Make it smaller, or "
                "put it under /data on the server and name its path."
            )
        kind = image.content_type or ""
        kind = kind if _IMAGE_TYPE.fullmatch(kind) else "image/png"  # the name only: who reads it looks at the bytes
        return f"data:{kind};base64,{b64encode(image.read()).decode()}"


class TextForm(_TaskForm):
    """A text to be classified."""

    template = "models/_try_text.html"
    parameters = ("top_k",)

    text = forms.CharField(
        label="Text", max_length=MAX_TEXT, strip=False, widget=forms.Textarea(attrs={"rows": 5, "spellcheck": "false"})
    )
    top_k = forms.IntegerField(label="Classes shown", min_value=1, max_value=100, initial=TOP_K, required=False)

    def input_data(self) -> Any:
        return [self.cleaned_data["text"]]  # in a list it is data, whatever it looks like


class MaskForm(TextForm):
    """A text with holes to be filled."""

    text = forms.CharField(
        label="Text",
        max_length=MAX_TEXT,
        strip=False,
        widget=forms.Textarea(attrs={"rows": 5, "spellcheck": "false"}),
        help_text="Each [MASK] in it is filled.",
    )
    top_k = forms.IntegerField(label="Fillings shown", min_value=1, max_value=100, initial=TOP_K, required=False)


class PromptForm(_TaskForm):
    """The playground of a language model. What is left empty is the model's default."""

    template = "models/_try_prompt.html"
    parameters = ("max_length", "temperature", "top_k", "top_p", "seed", "stop")

    prompt = forms.CharField(
        label="Prompt",
        required=False,
        max_length=MAX_TEXT,
        strip=False,
        widget=forms.Textarea(attrs={"rows": 5, "spellcheck": "false"}),
        help_text="The model goes on with it; without one it begins a text of its own.",
    )
    max_length = forms.IntegerField(
        label="Tokens", min_value=1, max_value=4096, initial=100, required=False, help_text="Added at most."
    )
    temperature = forms.FloatField(
        label="Temperature",
        min_value=0,
        max_value=1000,
        initial=0.8,
        required=False,
        help_text="Below 1 bolder towards the likely, above 1 more varied; 0 always takes the likeliest.",
    )
    top_k = forms.IntegerField(
        label="Top k", min_value=1, max_value=1000, required=False, help_text="Draw from the k likeliest tokens."
    )
    top_p = forms.FloatField(
        label="Top p",
        min_value=0.001,
        max_value=1,
        required=False,
        help_text="Draw from the likeliest tokens that make up this share.",
    )
    seed = forms.IntegerField(
        label="Seed", min_value=0, max_value=2**32 - 1, required=False, help_text="The same one gives the same text."
    )
    stop = forms.CharField(
        label="Stop at",
        max_length=200,
        required=False,
        strip=False,
        empty_value=None,
        help_text="Ends before this text.",
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )

    def input_data(self) -> Any:
        return [self.cleaned_data["prompt"]]


TaskForm = RowsForm | ImageForm | TextForm | PromptForm


def try_form(model: TrainedModel, request: HttpRequest | None = None) -> TaskForm:
    """The form for what this model takes; filled in, where there is a request."""
    if model.task == "image_classification":
        return ImageForm(model, request)
    if model.task == "language_modelling":
        return PromptForm(model, request)
    if model.task == "masked_language_modelling":
        return MaskForm(model, request)
    if model.task == "text_classification":
        return TextForm(model, request)
    return RowsForm(model, request)


def example_order(model: TrainedModel) -> Order:
    """An order to copy: what "as curl" and "as Python" show of such a model."""
    if model.task == "image_classification":
        return "/data/image.jpg", {"top_k": TOP_K}
    if model.task == "language_modelling":
        return "Once upon a time", {"max_length": 100, "temperature": 0.8}
    if model.task == "masked_language_modelling":
        return "The sky is [MASK].", {"top_k": TOP_K}
    if model.task == "text_classification":
        return "This is a great product!", {"top_k": TOP_K}
    columns = model.schema.get("columns", [])
    return [{column["name"]: (column.get("examples") or [None])[0] for column in columns}], {}


def _refused(form: forms.Form) -> InvalidSpec:
    return InvalidSpec(
        errors={str(form[name].label): list(map(str, sentences)) for name, sentences in form.errors.items()}
    )
