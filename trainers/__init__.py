"""The training library: it knows no Django, no queue and no HTTP, and runs from a shell.

    python -m trainers random_forest --data wine.csv --set n_estimators=200

Importing this package, `trainers.registry`, `trainers.protocol` or a config is cheap: the numeric libraries are
imported by `registry.train` and `registry.load`, so a web process can validate hyperparameters without them.
"""
