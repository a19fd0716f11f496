"""Real trainings by XGBoost and LightGBM, logged. Its arguments: the server's address."""

import sys

import lightgbm
import xgboost
from ai_manager import AIManager
from ai_manager.integrations import lightgbm as for_lightgbm
from ai_manager.integrations import xgboost as for_xgboost
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split

data = load_breast_cancer()
x, x_valid, y, y_valid = train_test_split(data.data, data.target, random_state=0)
manager = AIManager("loops", sys.argv[1], "ann", "password")
with manager.run(name="xgboost") as run:
    sets = [(xgboost.DMatrix(x, y), "train"), (xgboost.DMatrix(x_valid, y_valid), "valid")]
    parameters = {"objective": "binary:logistic", "eval_metric": ["logloss", "error"]}
    xgboost.train(parameters, sets[0][0], 30, evals=sets, verbose_eval=False, early_stopping_rounds=5,
                  callbacks=[for_xgboost.AIManagerCallback(run)])  # fmt: skip
with manager.run(name="xgboost cv") as run:
    xgboost.cv(parameters, sets[0][0], 3, nfold=3, callbacks=[for_xgboost.AIManagerCallback(run)])
with manager.run(name="lightgbm") as run:
    train = lightgbm.Dataset(x, y)
    lightgbm.train(
        {"objective": "binary", "metric": ["binary_logloss", "auc"], "verbosity": -1}, train, 20,
        valid_sets=[train, lightgbm.Dataset(x_valid, y_valid, reference=train)], valid_names=["train", "valid"],
        callbacks=[for_lightgbm.AIManagerCallback(run), lightgbm.early_stopping(5, verbose=False)],
    )  # fmt: skip
