"""The patterns under virtual time: the same generators, a model of the services instead of the services."""
