"""The laptop twin and the command line around it: the same stack on an AWS emulator."""
