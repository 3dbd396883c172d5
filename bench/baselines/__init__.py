"""The peers' exchange algorithms, written anew from their descriptions, to be held against ours.

Each is a plain generator of one rank that yields blocking operations (:mod:`.operations`) one after the other, as the
originals call boto3 one call after the other. :mod:`.simulated` performs it on the simulator's services, :mod:`.real`
on servers. They are repaired just enough to end with the right sum; every repair is named where it is made.

MLLess is not among them: its filter sends a part of the sum, so that its speed is bought with another result.
"""
