"""A real Keras training, logged. Its arguments: the server's address."""

import sys

import keras
import numpy as np
from ai_manager import AIManager
from ai_manager.integrations.keras import AIManagerCallback

generator = np.random.default_rng(0)
x = generator.normal(size=(256, 4)).astype("float32")
y = (x.sum(axis=1) > 0).astype("float32")
model = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(8), keras.layers.Dense(1, activation="sigmoid")])
model.compile(optimizer=keras.optimizers.Adam(0.01), loss="binary_crossentropy", metrics=["accuracy"])
manager = AIManager("loops", sys.argv[1], "ann", "password")
with manager.run(name="keras") as run:
    callback = AIManagerCallback(run, log_every_batches=2)
    model.fit(x, y, validation_split=0.25, epochs=4, batch_size=32, verbose=0, callbacks=[callback])
