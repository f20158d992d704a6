//! What to start, stop and fail next: decided from a picture of the world.
