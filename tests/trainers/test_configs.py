"""What hyperparameters are accepted, and in which words others are refused."""

import math
import subprocess
import sys

import pytest
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.linear_model import LogisticRegression
from sklearn.svm import SVC, SVR
from sklearn.utils._param_validation import Interval, Options, StrOptions

from trainers import registry
from trainers.protocol import ConfigProblem

ESTIMATORS = [
    ("random_forest", RandomForestClassifier),
    ("random_forest", RandomForestRegressor),
    ("svm", SVC),
    ("svm", SVR),
    ("logistic_regression", LogisticRegression),
]
EXAMPLE = {"n_estimators": 100, "max_depth": 10, "min_samples_split": 5, "random_state": 42}
# What differs from scikit-learn's own default, and why is written at the field.
OWN_DEFAULTS = {
    ("random_forest", "criterion"): "auto",
    ("random_forest", "max_features"): "auto",
    ("random_forest", "random_state"): 0,
    ("svm", "random_state"): 0,
    ("svm", "probability"): "auto",
    ("logistic_regression", "random_state"): 0,
    ("logistic_regression", "penalty"): "auto",
}
# A kernel matrix is no table; 1e12 is as good as infinite for libsvm, which cannot compute with infinity.
NOT_IN_A_TABLE = {("svm", "kernel", "precomputed")}
FIXES = {  # another field that a value needs
    ("random_forest", "oob_score", True): {"bootstrap": True},
    ("logistic_regression", "penalty", "l1"): {"solver": "saga"},
    ("logistic_regression", "penalty", "elasticnet"): {"solver": "saga", "l1_ratio": 0.5},
    ("logistic_regression", "l1_ratio", 0.5): {"solver": "saga"},
    ("logistic_regression", "l1_ratio", 1.0): {"solver": "saga"},
    ("logistic_regression", "dual", True): {"solver": "liblinear"},
}


def accepts(model_type: str, name: str, value) -> bool:
    try:
        registry.check_config(model_type, {name: value, **FIXES.get((model_type, name, value), {})})
    except ConfigProblem as problem:
        assert name in problem.details
        return False
    return True


@pytest.mark.parametrize(("model_type", "estimator"), ESTIMATORS)
def test_every_hyperparameter_of_scikit_learn_is_there_with_its_default(model_type, estimator):
    fields = registry.get(model_type).config.model_fields
    for name, default in estimator().get_params().items():
        assert name in fields, name
        assert fields[name].default == OWN_DEFAULTS.get((model_type, name), default), name


def constraint_cases():
    for model_type, estimator in ESTIMATORS:
        for name, constraints in estimator._parameter_constraints.items():
            for constraint in constraints:
                if isinstance(constraint, StrOptions):
                    hidden = constraint.deprecated
                    for option in sorted(constraint.options - hidden):
                        yield model_type, name, option, (model_type, name, option) not in NOT_IN_A_TABLE
                elif isinstance(constraint, Options):
                    for option in sorted(constraint.options, key=repr):
                        yield model_type, name, option, True
                elif isinstance(constraint, Interval):
                    yield from interval_cases(model_type, name, constraint)
                elif constraint is None:
                    yield model_type, name, None, True
                elif constraint == "boolean":
                    yield model_type, name, True, True
                    yield model_type, name, False, True


def interval_cases(model_type: str, name: str, interval: Interval):
    """The interval's edges, and something within."""
    integral = interval.type.__name__ == "Integral"
    low, high = interval.left, interval.right
    if low is not None and math.isfinite(low):
        edge = int(low) if integral else float(low)
        yield model_type, name, edge, interval.closed in ("left", "both")
        within = edge + 1 if integral else (low + high) / 2 if high is not None and math.isfinite(high) else edge + 0.5
        yield model_type, name, within, True
    if high is not None and math.isfinite(high):
        yield model_type, name, int(high) if integral else float(high), interval.closed in ("right", "both")


@pytest.mark.parametrize(("model_type", "name", "value", "fits"), sorted(set(constraint_cases()), key=repr))
def test_values_are_accepted_as_scikit_learn_constrains_them(model_type, name, value, fits):
    if name == "n_estimators" and value == 0:
        fits = False
    assert accepts(model_type, name, value) == fits


def test_the_documents_example_is_accepted():
    config = registry.check_config("random_forest", EXAMPLE)
    assert {name: getattr(config, name) for name in EXAMPLE} == EXAMPLE


@pytest.mark.parametrize(
    ("model_type", "given", "field", "words"),
    [
        (
            "random_forest",
            {"n_estimators": 0},
            "n_estimators",
            "a whole number of at least 1 and at most 100000; got 0",
        ),
        ("random_forest", {"n_estimators": "100"}, "n_estimators", 'got "100"'),
        ("random_forest", {"n_estimators": True}, "n_estimators", "got true"),
        ("random_forest", {"n_estimators": 10.5}, "n_estimators", "got 10.5"),
        ("random_forest", {"n_estimators": 10**5000}, "n_estimators", "an integer of more than 400 digits"),
        ("random_forest", {"n_estimators": None}, "n_estimators", "got null"),
        ("random_forest", {"ccp_alpha": float("nan")}, "ccp_alpha", "got NaN"),
        ("random_forest", {"ccp_alpha": float("inf")}, "ccp_alpha", "got Infinity"),
        ("random_forest", {"ccp_alpha": 10**400}, "ccp_alpha", "more than 400 digits"),
        ("random_forest", {"ccp_alpha": -(10**400)}, "ccp_alpha", "more than 400 digits"),
        ("random_forest", {"bootstrap": 1}, "bootstrap", "must be true or false; got 1"),
        ("random_forest", {"n_estimator": 5}, "n_estimator", 'Did you mean "n_estimators"?'),
        ("random_forest", {"kernel": "rbf"}, "kernel", "is no hyperparameter of this model type"),
        ("random_forest", {"max_features": "all"}, "max_features", 'one of "auto", "sqrt", "log2"'),
        ("random_forest", {"class_weight": {"a": -1}}, "class_weight", "an object whose values are"),
        ("random_forest", {"class_weight": {"a": {"b": {}}}}, "class_weight", "got an object of 1 entries"),
        ("random_forest", {"oob_score": True, "bootstrap": False}, "oob_score", "needs bootstrap=true"),
        ("random_forest", {"max_samples": 5, "bootstrap": False}, "max_samples", "needs bootstrap=true"),
        ("random_forest", {"n_jobs": 0}, "n_jobs", "must not be 0"),
        ("random_forest", {"task": "classification", "criterion": "poisson"}, "criterion", "is for regression"),
        ("random_forest", {"task": "regression", "criterion": "gini"}, "criterion", "is for classification"),
        ("random_forest", {"random_state": -1}, "random_state", "of at least 0"),
        ("random_forest", {"test_size": 0}, "test_size", "above 0 and below 1"),
        ("random_forest", {"test_size": 1.0}, "test_size", "above 0 and below 1"),
        ("random_forest", {"target": 5}, "target", "a text of 1 to 1000 characters"),
        ("random_forest", {"target": ["\0"]}, "target", "got a list of 1 items"),
        ("random_forest", {"monotonic_cst": [2]}, "monotonic_cst", "one of -1, 0, 1"),
        ("svm", {"C": 0}, "C", "above 0"),
        ("svm", {"kernel": "precomputed"}, "kernel", '"linear", "poly", "rbf", "sigmoid"'),
        ("svm", {"break_ties": True, "decision_function_shape": "ovo"}, "break_ties", "ovr"),
        ("svm", {"task": "regression", "probability": True}, "probability", "is for classification"),
        ("logistic_regression", {"penalty": "l1"}, "penalty", 'needs solver "liblinear" or "saga", not "lbfgs"'),
        ("logistic_regression", {"l1_ratio": 0.5}, "l1_ratio", 'needs solver "saga"'),
        ("logistic_regression", {"C": "inf", "solver": "liblinear"}, "C", "cannot fit without a penalty"),
        ("logistic_regression", {"penalty": "elasticnet", "solver": "saga"}, "l1_ratio", "must be given"),
        ("logistic_regression", {"dual": True}, "dual", 'needs solver "liblinear"'),
        ("logistic_regression", {"task": "regression"}, "task", "use random_forest or svm"),
        ("noop", {"x": 1}, "x", "is no hyperparameter"),
    ],
)
def test_what_makes_no_sense_is_refused_in_plain_words(model_type, given, field, words):
    with pytest.raises(ConfigProblem) as caught:
        registry.check_config(model_type, given)
    assert words in " ".join(caught.value.details[field])
    assert caught.value.message


def test_all_problems_are_told_at_once():
    with pytest.raises(ConfigProblem) as caught:
        registry.check_config("random_forest", {"n_estimators": 0, "max_depth": "x", "nonsense": 1})
    assert set(caught.value.details) == {"n_estimators", "max_depth", "nonsense"}


def test_an_unknown_model_type_names_the_nearest():
    with pytest.raises(registry.UnknownTrainer, match="Did you mean random_forest"):
        registry.get("randomforest")
    with pytest.raises(registry.UnknownTrainer, match="There are"):
        registry.check_config("\0" * 5000, {})


def test_text_of_a_form_means_what_it_says():
    config = registry.config_from_text(
        "random_forest",
        {
            "target": "5",
            "n_estimators": " 20 ",
            "max_depth": "none",
            "max_features": "0.5",
            "oob_score": "on",
            "task": "",
        },
    )
    assert (config.target, config.n_estimators, config.max_depth) == ("5", 20, None)
    assert (config.max_features, config.oob_score, config.task) == (0.5, True, "auto")
    for text in ("NaN", "Infinity", "1e999", "[" * 100_000):
        with pytest.raises(ConfigProblem):
            registry.config_from_text("random_forest", {"ccp_alpha": text})


@pytest.mark.parametrize("model_type", ["random_forest", "svm", "logistic_regression"])
def test_a_form_can_be_made_of_every_field(model_type):
    for name, schema in registry.get(model_type).config.model_json_schema()["properties"].items():
        assert schema["title"] and schema["description"], name
        assert schema["group"] in ("Data", "Model", "Advanced"), name
        assert "default" in schema, name


def test_nothing_heavy_is_imported_to_check_a_config():
    code = (
        "import sys, trainers.registry as r, trainers.protocol, trainers.testing; "
        "r.check_config('svm', {'C': 2.0}); r.get('random_forest').config.model_json_schema(); "
        "heavy = {'sklearn', 'numpy', 'polars', 'scipy', 'skops', 'pandas', 'pyarrow', 'django', 'rq'}; "
        "sys.exit(', '.join(sorted(heavy & {name.partition('.')[0] for name in sys.modules})) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
