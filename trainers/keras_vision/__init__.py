"""Image classifiers of `keras.applications`, on Keras' TensorFlow or PyTorch backend."""
