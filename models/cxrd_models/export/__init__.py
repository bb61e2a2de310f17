"""From a finished run to a model package: ONNX graph, parity, manifest, card."""
