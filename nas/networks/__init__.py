"""From the operator graph to Keras models and TFLite files."""
