"""What the small functions of the state machine do: Resolve, Plan, CloseLap, Explain, StopRun. No TensorFlow."""
