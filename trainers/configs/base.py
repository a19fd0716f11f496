"""What the configs of the tabular trainers share. Imports pydantic only: the web process uses these."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

INT32_MAX = 2**31 - 1
UINT32_MAX = 2**32 - 1

# Widths that scikit-learn's compiled code can hold; JSON itself knows no bounds.
Positive = Annotated[int, Field(ge=1, le=INT32_MAX)]
Fraction = Annotated[float, Field(gt=0, le=1)]
OpenFraction = Annotated[float, Field(gt=0, lt=1)]
ClassWeights = dict[str, Annotated[float, Field(ge=0, le=1e12)]]


def in_group(group: Literal["Data", "Model", "Advanced"], unit: str | None = None) -> dict[str, Any]:
    """Where a form shows the field, and the unit behind its number."""
    return {"group": group} | ({"unit": unit} if unit else {})


class TrainerConfig(BaseModel):
    """Strict: a bool is no number, "5" is no number, NaN and infinity are none, unknown names are refused."""

    model_config = ConfigDict(
        extra="forbid", strict=True, allow_inf_nan=False, frozen=True, validate_default=True, protected_namespaces=()
    )

    # Fields that name a file or folder as data is named. Who runs a training for others puts the local path there, of
    # what its user may see.
    path_fields: ClassVar[tuple[str, ...]] = ()
    # Those of them that name a model: a plain name means a folder in the model folder, else what the Hub has.
    base_models: ClassVar[tuple[str, ...]] = ()

    def problems(self) -> dict[str, list[str]]:
        """What is wrong between fields: {field: [sentences]}. A trainer with such rules overrides it."""
        return {}

    @model_validator(mode="after")
    def _fields_agree(self) -> "TrainerConfig":
        problems = self.problems()
        if problems:
            sentences = "; ".join(f"{name}: {text}" for name, texts in problems.items() for text in texts)
            raise PydanticCustomError("cross_field", "{sentences}", {"sentences": sentences, "problems": problems})
        return self


class TabularConfig(TrainerConfig):
    """Data fields of every trainer that learns from a table."""

    target: str | None = Field(
        None,
        title="Target column",
        description="The column to predict. The last one when left out.",
        min_length=1,
        max_length=1000,
        json_schema_extra=in_group("Data"),
    )
    task: Literal["auto", "classification", "regression"] = Field(
        "auto",
        title="Task",
        description="What to predict: a class or a number. auto finds it from the target, and logs why.",
        json_schema_extra=in_group("Data"),
    )
    test_size: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.2,
        title="Test share",
        description="Share of the rows that is held out and scored; the model never learns from it.",
        json_schema_extra=in_group("Data", "share of rows"),
    )
    random_state: Annotated[int, Field(ge=0, le=UINT32_MAX)] | None = Field(
        0,
        title="Random seed",
        description="The same seed gives the same split and the same model. "
        "0 by default so that a training can be repeated; null draws one and logs it.",
        json_schema_extra=in_group("Advanced"),
    )
