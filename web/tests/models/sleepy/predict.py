"""Sleeps as long as the input says."""

import time


def predict(inputs):
    for text in inputs:
        time.sleep(float(text))
    return [{"slept": float(text)} for text in inputs]
