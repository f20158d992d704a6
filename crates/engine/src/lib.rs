//! The loop: observe, plan, apply; dispatchers that call instances and store results.
