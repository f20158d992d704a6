//! Serves any model folder over the model-server contract.
