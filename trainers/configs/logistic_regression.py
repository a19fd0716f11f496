"""Hyperparameters of `logistic_regression`: those of scikit-learn 1.9's LogisticRegression."""

from typing import Annotated, Literal

from pydantic import Field

from trainers.configs.base import INT32_MAX, ClassWeights, TabularConfig, in_group


class LogisticRegressionConfig(TabularConfig):
    C: Literal["inf"] | Annotated[float, Field(gt=0, le=1e300)] = Field(
        1.0,
        title="C",
        description='Inverse of the regularisation: smaller regularises more; "inf" not at all.',
        json_schema_extra=in_group("Model"),
    )
    penalty: Literal["auto", "l1", "l2", "elasticnet"] | None = Field(
        "auto",
        title="Penalty",
        description="auto follows l1_ratio (0 is l2, 1 is l1, between is elastic net); null for none. scikit-learn 1.8 "
        "deprecated this name in favour of l1_ratio and C; it is translated to them.",
        json_schema_extra=in_group("Model"),
    )
    l1_ratio: Annotated[float, Field(ge=0, le=1)] | None = Field(
        0.0,
        title="L1 ratio",
        description="Share of the L1 penalty: 0 is l2, 1 is l1, between is elastic net.",
        json_schema_extra=in_group("Model", "share"),
    )
    solver: Literal["lbfgs", "liblinear", "newton-cg", "newton-cholesky", "sag", "saga"] = Field(
        "lbfgs",
        title="Solver",
        description="l1 needs liblinear or saga, elastic net saga. liblinear fits several classes one-vs-rest.",
        json_schema_extra=in_group("Model"),
    )
    max_iter: Annotated[int, Field(ge=0, le=INT32_MAX)] = Field(
        100,
        title="Maximum iterations",
        description="Iterations after which the solver gives up; the log says so if it did.",
        json_schema_extra=in_group("Model", "iterations"),
    )
    class_weight: Literal["balanced"] | ClassWeights | None = Field(
        None,
        title="Class weights",
        description='How much each class counts: balanced, or {"class": weight}.',
        json_schema_extra=in_group("Model"),
    )
    fit_intercept: bool = Field(
        True,
        title="Intercept",
        description="Add a constant to the decision function.",
        json_schema_extra=in_group("Advanced"),
    )
    intercept_scaling: Annotated[float, Field(gt=0)] = Field(
        1.0,
        title="Intercept scaling",
        description="liblinear only: value of the synthetic feature behind the intercept.",
        json_schema_extra=in_group("Advanced"),
    )
    dual: bool = Field(
        False,
        title="Dual formulation",
        description="liblinear with l2 only; better when there are more features than rows.",
        json_schema_extra=in_group("Advanced"),
    )
    tol: Annotated[float, Field(ge=0)] = Field(
        1e-4,
        title="Tolerance",
        description="The solver stops when it improves by less.",
        json_schema_extra=in_group("Advanced"),
    )
    n_jobs: Annotated[int, Field(ge=-1024, le=1024)] | None = Field(
        None,
        title="CPU cores",
        description="Has had no effect since scikit-learn 1.8; accepted so that older settings still work.",
        json_schema_extra=in_group("Advanced", "cores"),
    )
    verbose: Annotated[int, Field(ge=0, le=100)] | bool = Field(
        0,
        title="Verbose",
        description="Above 0: one log line for each progress step.",
        json_schema_extra=in_group("Advanced"),
    )
    warm_start: bool = Field(
        False,
        title="Warm start",
        description="scikit-learn's switch for refitting a fitted model. A job fits once, so it changes nothing here.",
        json_schema_extra=in_group("Advanced"),
    )

    def effective_penalty(self) -> Literal["l1", "l2", "elasticnet"] | None:
        """The penalty that `penalty`, `l1_ratio` and `C` mean together."""
        if self.penalty is None or self.C == "inf":
            return None
        if self.penalty != "auto":
            return self.penalty
        ratio = self.l1_ratio or 0.0
        return "l2" if ratio == 0 else "l1" if ratio == 1 else "elasticnet"

    def problems(self) -> dict[str, list[str]]:
        problems: dict[str, list[str]] = {}
        penalty = self.effective_penalty()
        # The user is told about the field that they set: penalty, or the l1_ratio or C that it follows from.
        field = "penalty" if self.penalty != "auto" else "C" if penalty is None else "l1_ratio"
        if penalty == "l1" and self.solver not in ("liblinear", "saga"):
            problems[field] = [f'the l1 penalty needs solver "liblinear" or "saga", not "{self.solver}".']
        if penalty == "elasticnet" and self.solver != "saga":
            problems[field] = [f'the elastic net penalty needs solver "saga", not "{self.solver}".']
        if penalty is None and self.solver == "liblinear":
            problems[field] = ['solver "liblinear" cannot fit without a penalty; use another solver.']
        ratio_given = "l1_ratio" in self.model_fields_set and self.l1_ratio is not None
        if self.penalty == "elasticnet" and not ratio_given:
            problems["l1_ratio"] = ["must be given with the elastic net penalty: a number between 0 and 1."]
        meant = {"l1": 1.0, "l2": 0.0}.get(self.penalty or "")
        # 0.0 is the default, which a form sends along: it contradicts nothing.
        if meant is not None and self.l1_ratio not in (None, 0.0, meant):
            problems["l1_ratio"] = [f'{self.l1_ratio} contradicts penalty "{self.penalty}"; leave one of them out.']
        if self.dual and not (self.solver == "liblinear" and penalty == "l2"):
            problems["dual"] = ['needs solver "liblinear" and the l2 penalty.']
        if self.n_jobs == 0:
            problems["n_jobs"] = ["must not be 0: a number of cores, -1 for all, or null."]
        if self.task == "regression":
            problems["task"] = [
                "logistic_regression predicts classes only; for a number use random_forest or svm (they do regression)."
            ]
        return problems
