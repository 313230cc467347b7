"""The recipe of the shipped model: human ratings of single photographs and simulated camera faults, on cached views."""
