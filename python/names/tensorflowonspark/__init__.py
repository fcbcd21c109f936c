"""The modules of tfos.compat, under the name by which programs of TensorFlowOnSpark import them."""
