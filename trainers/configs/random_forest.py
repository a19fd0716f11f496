"""Hyperparameters of `random_forest`: those of scikit-learn 1.9's RandomForestClassifier and RandomForestRegressor."""

from typing import Annotated, Literal

from pydantic import Field

from trainers.configs.base import INT32_MAX, ClassWeights, Fraction, OpenFraction, Positive, TabularConfig, in_group

CLASSIFICATION_CRITERIA = ("gini", "entropy", "log_loss")
REGRESSION_CRITERIA = ("squared_error", "absolute_error", "friedman_mse", "poisson")


class RandomForestConfig(TabularConfig):
    n_estimators: Annotated[int, Field(ge=1, le=100_000)] = Field(
        100,
        title="Trees",
        description="How many trees to grow.",
        json_schema_extra=in_group("Model", "trees"),
    )
    criterion: Literal[
        "auto", "gini", "entropy", "log_loss", "squared_error", "absolute_error", "friedman_mse", "poisson"
    ] = Field(
        "auto",
        title="Split criterion",
        description="How good a split is. auto: gini for classification, squared_error for regression. gini, entropy "
        "and log_loss are for classification, the others for regression.",
        json_schema_extra=in_group("Model"),
    )
    max_depth: Positive | None = Field(
        None,
        title="Maximum depth",
        description="Deepest level of a tree; null lets trees grow until their leaves are pure.",
        json_schema_extra=in_group("Model", "levels"),
    )
    min_samples_split: Annotated[int, Field(ge=2, le=INT32_MAX)] | Fraction = Field(
        2,
        title="Rows to split",
        description="A node with fewer rows is not split: a number of rows (from 2), or a share of them (up to 1.0).",
        json_schema_extra=in_group("Model", "rows or share"),
    )
    min_samples_leaf: Positive | OpenFraction = Field(
        1,
        title="Rows in a leaf",
        description="The least rows that a leaf may hold: a number (from 1), or a share below 1.",
        json_schema_extra=in_group("Model", "rows or share"),
    )
    max_features: Literal["auto", "sqrt", "log2"] | Positive | Fraction | None = Field(
        "auto",
        title="Features per split",
        description="Features looked at for each split: sqrt, log2, a number, a share, or null for all. "
        "auto: sqrt for classification, all for regression.",
        json_schema_extra=in_group("Model", "features or share"),
    )
    class_weight: Literal["balanced", "balanced_subsample"] | ClassWeights | None = Field(
        None,
        title="Class weights",
        description='How much each class counts: balanced, balanced_subsample, or {"class": weight}. Classes only.',
        json_schema_extra=in_group("Model"),
    )
    min_weight_fraction_leaf: Annotated[float, Field(ge=0, le=0.5)] = Field(
        0.0,
        title="Weight in a leaf",
        description="The least share of the total weight that a leaf may hold.",
        json_schema_extra=in_group("Advanced", "share of weight"),
    )
    max_leaf_nodes: Annotated[int, Field(ge=2, le=INT32_MAX)] | None = Field(
        None,
        title="Maximum leaves",
        description="Most leaves of a tree, grown best first; null for no limit.",
        json_schema_extra=in_group("Advanced", "leaves"),
    )
    min_impurity_decrease: Annotated[float, Field(ge=0)] = Field(
        0.0,
        title="Least impurity decrease",
        description="A node is split only if that lowers the impurity by at least this much.",
        json_schema_extra=in_group("Advanced"),
    )
    bootstrap: bool = Field(
        True,
        title="Bootstrap",
        description="Each tree learns from rows drawn with replacement; false gives every tree all rows.",
        json_schema_extra=in_group("Advanced"),
    )
    oob_score: bool = Field(
        False,
        title="Out-of-bag score",
        description="Also score each row by the trees that have not seen it. Needs bootstrap.",
        json_schema_extra=in_group("Advanced"),
    )
    max_samples: Positive | Annotated[float, Field(gt=0, le=100)] | None = Field(
        None,
        title="Rows per tree",
        description="Rows drawn for each tree: a number, or a share of the rows; null draws as many as there are. "
        "Needs bootstrap.",
        json_schema_extra=in_group("Advanced", "rows or share"),
    )
    ccp_alpha: Annotated[float, Field(ge=0)] = Field(
        0.0,
        title="Pruning strength",
        description="Minimal cost-complexity pruning: larger prunes more, 0 not at all.",
        json_schema_extra=in_group("Advanced"),
    )
    monotonic_cst: list[Literal[-1, 0, 1]] | dict[str, Literal[-1, 0, 1]] | None = Field(
        None,
        title="Monotonic constraints",
        description='Number columns that may only raise (1) or lower (-1) the prediction: {"column": 1}, or a list '
        "with one entry for each input column. Not for more than two classes.",
        json_schema_extra=in_group("Advanced"),
    )
    n_jobs: Annotated[int, Field(ge=-1024, le=1024)] | None = Field(
        None,
        title="CPU cores",
        description="Cores used at once. null and -1: all that this process may use (scikit-learn's null means one; "
        "a worker runs one training at a time). The result does not depend on it.",
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
        description="scikit-learn's switch for growing a fitted forest. A job fits once, so it changes nothing here.",
        json_schema_extra=in_group("Advanced"),
    )

    def problems(self) -> dict[str, list[str]]:
        problems: dict[str, list[str]] = {}
        if self.oob_score and not self.bootstrap:
            problems["oob_score"] = ["needs bootstrap=true: without it no tree has rows that it has not seen."]
        if self.max_samples is not None and not self.bootstrap:
            problems["max_samples"] = ["needs bootstrap=true: without it every tree learns from all rows."]
        if self.class_weight == "balanced_subsample" and not self.bootstrap:
            problems["class_weight"] = ['"balanced_subsample" needs bootstrap=true; use "balanced".']
        if self.n_jobs == 0:
            problems["n_jobs"] = ["must not be 0: a number of cores, -1 for all, or null."]
        if self.task == "classification" and self.criterion in REGRESSION_CRITERIA:
            problems["criterion"] = [f'"{self.criterion}" is for regression; use {", ".join(CLASSIFICATION_CRITERIA)}.']
        if self.task == "regression" and self.criterion in CLASSIFICATION_CRITERIA:
            problems["criterion"] = [f'"{self.criterion}" is for classification; use {", ".join(REGRESSION_CRITERIA)}.']
        if self.task == "regression" and self.class_weight is not None:
            problems["class_weight"] = ["is for classification; a regression has no classes."]
        return problems
