"""What the small functions of the state machine do: Resolve, Plan, OpenCache, CloseLap, Explain, StopRun, SweepCaches.

No TensorFlow.
"""
