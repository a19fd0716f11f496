"""The form to try a model with a row of its inputs."""

from collections.abc import Mapping, Sequence
from typing import Any

from django import forms


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
