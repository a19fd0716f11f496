"""Hyperparameters of `svm`: those of scikit-learn 1.9's SVC (classification) and SVR (regression)."""

from typing import Annotated, Literal

from pydantic import Field

from trainers.configs.base import INT32_MAX, ClassWeights, TabularConfig, in_group


class SVMConfig(TabularConfig):
    C: Annotated[float, Field(gt=0, le=1e12)] = Field(
        1.0,
        title="C",
        description="Inverse of the regularisation: smaller is smoother, larger follows the data more closely.",
        json_schema_extra=in_group("Model"),
    )
    kernel: Literal["linear", "poly", "rbf", "sigmoid"] = Field(
        "rbf",
        title="Kernel",
        description="How rows are compared. (scikit-learn's precomputed kernel takes a matrix in place of a table.)",
        json_schema_extra=in_group("Model"),
    )
    gamma: Literal["scale", "auto"] | Annotated[float, Field(ge=0)] = Field(
        "scale",
        title="Gamma",
        description="Reach of a row for rbf, poly and sigmoid: scale is 1 / (features x variance), auto 1 / features.",
        json_schema_extra=in_group("Model"),
    )
    degree: Annotated[int, Field(ge=0, le=100)] = Field(
        3,
        title="Degree",
        description="Degree of the poly kernel; the others ignore it.",
        json_schema_extra=in_group("Model"),
    )
    epsilon: Annotated[float, Field(ge=0)] = Field(
        0.1,
        title="Epsilon",
        description="Regression only: errors smaller than this cost nothing, in units of the target.",
        json_schema_extra=in_group("Model", "target's units"),
    )
    class_weight: Literal["balanced"] | ClassWeights | None = Field(
        None,
        title="Class weights",
        description='How much each class counts: balanced, or {"class": weight}. Classification only.',
        json_schema_extra=in_group("Model"),
    )
    probability: Literal["auto"] | bool = Field(
        "auto",
        title="Probabilities",
        description="Calibrate class probabilities by cross-validation, which fits the model up to 5 times more. "
        "auto: with up to 5,000 training rows, so that predictions of small models come with probabilities.",
        json_schema_extra=in_group("Model"),
    )
    coef0: float = Field(
        0.0,
        title="Coef0",
        description="Independent term of the poly and sigmoid kernels.",
        json_schema_extra=in_group("Advanced"),
    )
    shrinking: bool = Field(
        True,
        title="Shrinking",
        description="Use the shrinking heuristic.",
        json_schema_extra=in_group("Advanced"),
    )
    tol: Annotated[float, Field(gt=0)] = Field(
        1e-3,
        title="Tolerance",
        description="The solver stops when it improves by less.",
        json_schema_extra=in_group("Advanced"),
    )
    cache_size: Annotated[float, Field(gt=0, le=65536)] = Field(
        200.0,
        title="Kernel cache",
        description="Memory for kernel values; more is faster on large data.",
        json_schema_extra=in_group("Advanced", "MB"),
    )
    max_iter: Annotated[int, Field(ge=-1, le=INT32_MAX)] = Field(
        -1,
        title="Maximum iterations",
        description="Hard limit of the solver; -1 for none.",
        json_schema_extra=in_group("Advanced", "iterations"),
    )
    decision_function_shape: Literal["ovr", "ovo"] = Field(
        "ovr",
        title="Decision function",
        description="One-vs-rest or one-vs-one values for more than two classes.",
        json_schema_extra=in_group("Advanced"),
    )
    break_ties: bool = Field(
        False,
        title="Break ties",
        description="Break ties between classes by their decision values. Needs decision_function_shape ovr.",
        json_schema_extra=in_group("Advanced"),
    )
    verbose: bool = Field(
        False,
        title="Verbose",
        description="Log more about the fit.",
        json_schema_extra=in_group("Advanced"),
    )

    def problems(self) -> dict[str, list[str]]:
        problems: dict[str, list[str]] = {}
        if self.break_ties and self.decision_function_shape == "ovo":
            problems["break_ties"] = ["needs decision_function_shape=ovr."]
        if self.task == "regression":
            if self.class_weight is not None:
                problems["class_weight"] = ["is for classification; a regression has no classes."]
            if self.probability is True:
                problems["probability"] = ["is for classification; a regression predicts a number."]
        if self.task == "classification" and "epsilon" in self.model_fields_set and self.epsilon != 0.1:
            problems["epsilon"] = ["is for regression; a classification does not use it."]
        return problems
