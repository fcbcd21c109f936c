"""The modules of tfos.compat, under the name by which programs of the first TensorFlowOnSpark import them."""
